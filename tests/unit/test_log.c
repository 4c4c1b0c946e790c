/* Log lines as they reach their descriptor: form, escaping, levels, and one line per write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "protocol/alloc.h"
#include "protocol/log.h"

/* A datagram socket shows each write(2) as one message. */
static int sink[2];
static char line[32768];

static int setup(void **state)
{
	(void)state;
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sink) < 0)
		return -1;
	log_init("hawserd", sink[1], true);
	log_set_level(LOG_LVL_INFO);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(sink[0]);
	close(sink[1]);
	return 0;
}

/* The next write, NUL-terminated; "" when there is none. */
static const char *next_line(void)
{
	ssize_t n = recv(sink[0], line, sizeof(line) - 1, MSG_DONTWAIT);
	line[n < 0 ? 0 : n] = '\0';
	return line;
}

static void journal_lines(void **state)
{
	(void)state;
	static const char *const want[] = {
		"<3>hawserd: a 1\n", "<4>hawserd: b 2\n", "<6>hawserd: c 3\n",
		"<7>hawserd: d 4\n", "<7>hawserd: e 5\n",
	};
	log_set_level(LOG_LVL_TRACE);
	log_error("a %d", 1);
	log_warn("b %d", 2);
	log_info("c %d", 3);
	log_debug("d %d", 4);
	log_trace("e %d", 5);
	for (size_t i = 0; i < HW_ARRAY_LEN(want); i++)
		assert_string_equal(next_line(), want[i]);
	assert_string_equal(next_line(), "");
}

static void stderr_lines(void **state)
{
	(void)state;
	regex_t re;
	log_init("hawserd", sink[1], false);
	log_warn("web1:22 transport %d: handshaking -> ready", 3);
	assert_int_equal(
		regcomp(&re,
			"^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]"
			"\\.[0-9]{3}Z hawserd: warn: web1:22 transport 3: handshaking -> ready\n$",
			REG_EXTENDED | REG_NOSUB),
		0);
	assert_int_equal(regexec(&re, next_line(), 0, NULL, 0), 0);
	regfree(&re);
}

static int evaluated;
static int count_call(void)
{
	return ++evaluated;
}

static void levels(void **state)
{
	(void)state;
	enum log_level level = LOG_LVL_TRACE;

	log_set_level(LOG_LVL_WARN);
	log_info("%d", count_call());
	assert_int_equal(evaluated, 0); /* arguments cost nothing when nobody listens */
	assert_string_equal(next_line(), "");
	log_warn("%d", count_call());
	assert_string_equal(next_line(), "<4>hawserd: 1\n");

	static const char *const names[] = {"error", "warn", "info", "debug", "trace"};
	for (size_t i = 0; i < HW_ARRAY_LEN(names); i++) {
		assert_int_equal(log_level_parse(names[i], &level), HW_OK);
		assert_int_equal(level, i);
		assert_string_equal(log_level_name(level), names[i]);
	}
	assert_int_equal(log_level_parse("Info", &level), HW_EINVAL);
	assert_int_equal(log_level_parse("", &level), HW_EINVAL);
	assert_int_equal(level, LOG_LVL_TRACE); /* untouched */
	assert_string_equal(log_level_name((enum log_level)99), "unknown");
}

static void escaping(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"plain ~ text", "plain ~ text"},
		{"two\nlines\r\ttab", "two\\nlines\\r\\ttab"},
		{"\x1b[31mred\x7f\x01", "\\x1b[31mred\\x7f\\x01"},
		{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\xa2", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\xa2"},
		{"\xc2\x9b"
		 "31m",
		 "\\xc2\\x9b31m"}, /* C1, which terminals obey */
		{"\x9b\xff", "\\x9b\\xff"},
		{"\xc0\xaf", "\\xc0\\xaf"}, /* overlong */
		{"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},
		{"\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf"},
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"},	      /* surrogate */
		{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* beyond U+10FFFF */
		{"\xe2\x82", "\\xe2\\x82"},		      /* cut short */
		{"\xe2(\xa1", "\\xe2(\\xa1"},
	};
	for (size_t i = 0; i < HW_ARRAY_LEN(cases); i++) {
		char want[100];
		snprintf(want, sizeof(want), "<6>hawserd: %s\n", cases[i].out);
		log_info("%s", cases[i].in);
		assert_string_equal(next_line(), want);
	}
}

/* Long messages are cut, visibly, and stay one line; the worst case of escaping fits. */
static void long_messages(void **state)
{
	(void)state;
	char *text = xmalloc(100001);
	const struct {
		char fill;
		size_t width;
	} cases[] = {{'x', 1}, {'\x01', 4}};

	text[100000] = '\0';
	for (size_t i = 0; i < HW_ARRAY_LEN(cases); i++) {
		memset(text, cases[i].fill, 100000);
		log_info("%s", text);
		const char *got = next_line();
		size_t len = strlen(got);
		assert_true(len > 4000 * cases[i].width && len < 4200 * cases[i].width);
		assert_string_equal(got + len - 4, "...\n");
		assert_ptr_equal(strchr(got, '\n'), got + len - 1);
	}
	free(text);
}

static void errno_is_kept(void **state)
{
	(void)state;
	errno = ENOTTY;
	log_info("something");
	assert_int_equal(errno, ENOTTY);
	log_init("hawserd", -1, true); /* a sink that is gone */
	errno = ENOTTY;
	log_error("nobody hears this");
	assert_int_equal(errno, ENOTTY);
}

enum { THREADS = 4, LINES = 500 };

static void *chatter(void *ctx)
{
	for (int i = 0; i < LINES; i++) {
		log_info("thread %d line %d", *(int *)ctx, i);
		if (i % 100 == 0)
			log_set_level(LOG_LVL_DEBUG);
	}
	return NULL;
}

/* Threads that write into one file: every line is whole, and all are there. */
static void threads(void **state)
{
	(void)state;
	pthread_t id[THREADS];
	int numbers[THREADS], next[THREADS] = {0};
	char row[200];
	FILE *f = tmpfile();

	assert_non_null(f);
	assert_int_equal(fcntl(fileno(f), F_SETFL, O_APPEND), 0);
	log_init("hawserd", fileno(f), true);
	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&id[i], NULL, chatter, &numbers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(id[i], NULL);
	rewind(f);
	for (int n = 0; n < THREADS * LINES; n++) {
		int thread, number;
		assert_non_null(fgets(row, sizeof(row), f));
		assert_int_equal(sscanf(row, "<6>hawserd: thread %d line %d\n", &thread, &number),
				 2);
		assert_true(thread >= 0 && thread < THREADS);
		assert_int_equal(number, next[thread]++);
	}
	assert_null(fgets(row, sizeof(row), f));
	fclose(f);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(journal_lines), T(stderr_lines),  T(levels),	T(escaping),
		T(long_messages), T(errno_is_kept), T(threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
