/* Children run to their end, or ended: by deadline, by request, for too much output. */
#include "tests/unit/trust_helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>

static char *env[] = {"PATH=/usr/bin:/bin", "WORD=hello", NULL};

static int run(const char *script, const char *cwd, int cancel_fd, unsigned timeout_ms,
	       struct resolve_output *o)
{
	char *argv[] = {"sh", "-c", (char *)(uintptr_t)script, NULL};

	return resolve_run("/bin/sh", argv, env, cwd, cancel_fd, timeout_ms, o);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Gone, or a zombie that nobody has taken yet. */
static bool is_dead(const char *pid)
{
	char *path = xasprintf("/proc/%.*s/stat", (int)strcspn(pid, "\n"), pid), state = 'Z';
	FILE *f = fopen(path, "re");

	free(path);
	if (f == NULL)
		return true;
	if (fscanf(f, "%*d %*s %c", &state) != 1)
		state = 'Z';
	fclose(f);
	return state == 'Z' || state == 'X';
}

static void wait_dead(const char *pid)
{
	double start = now();

	for (; !is_dead(pid); pause_briefly())
		assert_true(now() - start < 10);
}

static void test_output_and_status(void **state)
{
	struct resolve_output o;

	(void)state;
	assert_int_equal(run("echo $WORD; pwd; echo oops >&2; exit 3", "/usr", -1, 10000, &o),
			 HW_OK);
	assert_true(WIFEXITED(o.status));
	assert_int_equal(WEXITSTATUS(o.status), 3);
	assert_string_equal(o.out, "hello\n/usr\n");
	assert_string_equal(o.err, "oops\n");
	resolve_output_finish(&o);
	/* a directory that is gone is no reason to fail */
	assert_int_equal(run("pwd; cat", "/no.such/dir", -1, 10000, &o), HW_OK);
	assert_string_equal(o.out, "/\n");
	resolve_output_finish(&o);
	assert_int_equal(resolve_run("/no.such/dir", (char *[]){"x", NULL}, env, "/", -1, 1000, &o),
			 HW_ESYS);
	assert_int_equal(errno, ENOENT);
	resolve_output_finish(&o);
}

/* The child gets our three streams and no other descriptor, even one that is not CLOEXEC. */
static void test_no_descriptor_leaks(void **state)
{
	struct resolve_output o;
	int fd = dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 50);

	(void)state;
	assert_int_equal(fd, 50);
	assert_int_equal(
		run("test -e /proc/$$/fd/0 && ! test -e /proc/$$/fd/50", "/", -1, 10000, &o),
		HW_OK);
	assert_int_equal(o.status, 0);
	close(fd);
	resolve_output_finish(&o);
}

static void test_deadline_ends_the_group(void **state)
{
	struct resolve_output o;
	double start = now();

	(void)state;
	assert_int_equal(run("sleep 30 & echo $!; wait", "/", -1, 300, &o), HW_ETIMEOUT);
	assert_true(now() - start < 10);
	wait_dead(o.out);
	resolve_output_finish(&o);
}

static void test_cancel(void **state)
{
	struct resolve_output o;
	int fd = eventfd(1, EFD_CLOEXEC);
	double start = now();

	(void)state;
	assert_int_equal(run("sleep 30", "/", fd, 30000, &o), HW_EAGAIN);
	assert_true(now() - start < 10);
	close(fd);
	resolve_output_finish(&o);
}

static void test_too_much(void **state)
{
	struct resolve_output o;

	(void)state;
	assert_int_equal(run("yes", "/", -1, 30000, &o), HW_ETOOBIG);
	assert_true(strlen(o.out) <= RESOLVE_OUTPUT_MAX);
	resolve_output_finish(&o);
	assert_int_equal(run("yes >&2", "/", -1, 30000, &o), HW_ETOOBIG);
	resolve_output_finish(&o);
	/* more than a pipe holds, on both streams, is fine */
	assert_int_equal(run("head -c 200000 /dev/zero | tr '\\0' x >&2; "
			     "head -c 200000 /dev/zero | tr '\\0' y",
			     "/", -1, 30000, &o),
			 HW_OK);
	assert_int_equal(strlen(o.out), 200000);
	assert_int_equal(strlen(o.err), 200000);
	resolve_output_finish(&o);
}

/* What a command left in the background with our stderr must not hold us up. */
static void test_background_child(void **state)
{
	struct resolve_output o;
	double start = now();

	(void)state;
	assert_int_equal(run("sleep 30 >/dev/null & echo $!", "/", -1, 20000, &o), HW_OK);
	assert_true(now() - start < 10);
	assert_int_equal(kill((pid_t)strtol(o.out, NULL, 10), SIGKILL), 0);
	resolve_output_finish(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output_and_status),
		cmocka_unit_test(test_no_descriptor_leaks),
		cmocka_unit_test(test_deadline_ends_the_group),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_background_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
