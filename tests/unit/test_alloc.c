/* Allocation: copies, vectors, and the end of a process that asks for what cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "protocol/alloc.h"

static void copies(void **state)
{
	(void)state;
	char *s = xstrdup("abc");
	assert_string_equal(s, "abc");
	free(s);
	s = xstrndup("abcdef", 3);
	assert_string_equal(s, "abc");
	free(s);
	s = xstrndup("ab", 100);
	assert_string_equal(s, "ab");
	free(s);
	s = xmemdup("a\0b", 3);
	assert_memory_equal(s, "a\0b", 4); /* one NUL behind it */
	free(s);
	s = xmemdup(NULL, 0);
	assert_string_equal(s, "");
	free(s);
	s = xasprintf("%s-%d", "x", 7);
	assert_string_equal(s, "x-7");
	free(s);
}

/* Sizes of 0 give something that can be freed, never NULL. */
static void nothing(void **state)
{
	(void)state;
	void *p = xmalloc(0);
	assert_non_null(p);
	p = xreallocarray(p, 0, 10);
	assert_non_null(p);
	free(p);
	p = xcalloc(0, 8);
	assert_non_null(p);
	free(p);
}

static void vectors(void **state)
{
	(void)state;
	char *v[] = {"one", "", "three", NULL};
	char **copy = strv_dup(v);
	assert_int_equal(strv_len(copy), 3);
	for (size_t i = 0; i < 3; i++) {
		assert_string_equal(copy[i], v[i]);
		assert_ptr_not_equal(copy[i], v[i]);
	}
	strv_free(copy);
	copy = strv_dup(NULL);
	assert_non_null(copy);
	assert_int_equal(strv_len(copy), 0);
	strv_free(copy);
	strv_free(NULL);
	assert_int_equal(strv_len(NULL), 0);
}

static void secrets(void **state)
{
	(void)state;
	free_secret(NULL, 10);
	free_secret_str(NULL);
	free_secret_str(xstrdup("hunter2"));
	free_secret(xmalloc(16), 16);
}

/* In volatile, so that the compiler does not see what is asked for. */
static volatile size_t huge = SIZE_MAX;

static void overflow_of_realloc(void)
{
	free(xreallocarray(NULL, huge / 2, 3));
}

static void overflow_of_calloc(void)
{
	free(xcalloc(huge / 2, 3));
}

static void no_such_memory(void)
{
	free(xmalloc(huge / 4));
}

static void no_such_copy(void)
{
	free(xmemdup("", huge));
}

/* Runs fn in a process of its own, which must abort with a message that says what it is. */
static void assert_aborts(void (*fn)(void))
{
	int fds[2], status;
	char text[512];
	size_t len = 0;
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const struct rlimit none = {0};
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL); /* cmocka has a handler */
		dup2(fds[1], STDERR_FILENO);
		fn();
		_exit(0);
	}
	close(fds[1]);
	while (len < sizeof(text) - 1 && (n = read(fds[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* The sanitizers report such sizes themselves, before malloc() returns. */
	bool ours = strstr(text, "test_alloc: out of memory") && WIFSIGNALED(status) &&
		    WTERMSIG(status) == SIGABRT;
	bool theirs = strstr(text, "Sanitizer: ") && !(WIFEXITED(status) && !WEXITSTATUS(status));
	if (!ours && !theirs)
		fail_msg("status %x, \"%s\"", (unsigned)status, text);
}

static void out_of_memory(void **state)
{
	(void)state;
	assert_aborts(overflow_of_realloc);
	assert_aborts(overflow_of_calloc);
	assert_aborts(no_such_memory);
	assert_aborts(no_such_copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies),	 cmocka_unit_test(nothing),
		cmocka_unit_test(vectors),	 cmocka_unit_test(secrets),
		cmocka_unit_test(out_of_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
