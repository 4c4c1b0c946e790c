/* Forwards as ssh -G prints them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/forward_spec.h"

static struct forward_spec *specs;
static size_t count;

static bool parse(const char *const *lines)
{
	return forward_specs_parse((char *const *)(uintptr_t)lines, &specs, &count);
}

static void done(void)
{
	forward_specs_free(specs, count);
}

static void check_end(const struct forward_end *e, const char *text, const char *host)
{
	char *made = forward_end_text(e);

	assert_string_equal(made, text);
	free(made);
	if (host == NULL)
		assert_null(e->host);
	else
		assert_string_equal(e->host, host);
}

static void test_local(void **state)
{
	static const char *const lines[] = {"user me",
					    "localforward 8080 [h]:80",
					    "localforward [127.0.0.1]:8081 [::2]:81",
					    "localforward []:8082 [h]:82",
					    "localforward [*]:8083 [h]:83",
					    "localforward 8084 /far/sock",
					    "localforward /near [h]:84",
					    NULL};

	(void)state;
	assert_true(parse(lines));
	assert_int_equal(count, 6);
	check_end(&specs[0].listen, "8080", NULL);
	check_end(&specs[0].connect, "h:80", "h");
	check_end(&specs[1].listen, "127.0.0.1:8081", "127.0.0.1");
	check_end(&specs[1].connect, "[::2]:81", "::2");
	check_end(&specs[2].listen, ":8082", "");
	check_end(&specs[3].listen, "*:8083", "*");
	check_end(&specs[4].connect, "/far/sock", NULL);
	check_end(&specs[5].listen, "/near", NULL);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(specs[i].kind, FORWARD_LOCAL);
		assert_false(specs[i].socks);
	}
	done();
}

/* OpenSSH prints a local forward to a path as a dynamic one too. */
static void test_dynamic(void **state)
{
	static const char *const lines[] = {"dynamicforward 8084", "localforward 8084 /far",
					    "dynamicforward [localhost]:1080",
					    "dynamicforward /a path", NULL};

	(void)state;
	assert_true(parse(lines));
	assert_int_equal(count, 3);
	assert_false(specs[0].socks);
	assert_true(specs[1].socks);
	check_end(&specs[1].listen, "localhost:1080", "localhost");
	assert_true(specs[2].socks);
	check_end(&specs[2].listen, "/a path", NULL);
	done();
}

static void test_remote(void **state)
{
	static const char *const lines[] = {
		"remoteforward 0 [h]:80", "remoteforward 9000 [socks]:0",
		"remoteforward [b]:9001 /near sock", "localforward 1 [h]:2", NULL};

	(void)state;
	assert_true(parse(lines));
	assert_int_equal(count, 4);
	assert_int_equal(specs[0].kind, FORWARD_LOCAL); /* first, as ssh sets them up */
	assert_int_equal(specs[1].kind, FORWARD_REMOTE);
	check_end(&specs[1].listen, "0", NULL);
	assert_true(specs[2].socks);
	check_end(&specs[3].connect, "/near sock", NULL);
	done();
}

/* A path is what has a slash in it; one with spaces ends where host and port begin. */
static void test_paths(void **state)
{
	static const char *const lines[] = {"localforward ./a [h]:1", "localforward b/c d [h]:1",
					    NULL};

	(void)state;
	assert_true(parse(lines));
	assert_int_equal(count, 2);
	check_end(&specs[0].listen, "./a", NULL);
	check_end(&specs[1].listen, "b/c d", NULL);
	check_end(&specs[1].connect, "h:1", "h");
	done();
}

static void test_nonsense(void **state)
{
	static const char *const bad[] = {"localforward x [h]:80",	 "localforward 8080 [h]",
					  "localforward 8080 [h]:99999", "localforward [h 80",
					  "localforward -1 [h]:1",	 "remoteforward 1 [h]:-5"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *const lines[] = {bad[i], "localforward 1 [h]:2", NULL};

		assert_false(parse(lines));
		assert_int_equal(count, 1); /* the others are there */
		done();
	}
}

static void test_same(void **state)
{
	static const char *const lines[] = {"localforward 1 [h]:2", "localforward 1 [h]:3",
					    "remoteforward 1 [h]:2", "localforward 1 [h]:2", NULL};

	(void)state;
	assert_true(parse(lines));
	assert_int_equal(count, 4);
	assert_true(forward_spec_same_listener(&specs[0], &specs[1]));
	assert_false(forward_spec_same(&specs[0], &specs[1]));
	assert_false(forward_spec_same_listener(&specs[0], &specs[3]));
	assert_true(forward_spec_same(&specs[0], &specs[2]));
	done();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_local),	 cmocka_unit_test(test_dynamic),
		cmocka_unit_test(test_remote),	 cmocka_unit_test(test_paths),
		cmocka_unit_test(test_nonsense), cmocka_unit_test(test_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
