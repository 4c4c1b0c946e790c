/* Tokens, variables, `~`, and patterns; ssh -G itself is the judge of %C and of the local names. */
#include "tests/unit/trust_helpers.h"

#include <pwd.h>

#include "daemon/expand.h"
#include "daemon/pattern.h"

static char *env[] = {"FOO=bar", "EMPTY=", "PCT=%h", "FOOD=x", NULL};

static const struct expand_context ctx = {
	.typed = "typed",
	.hostname = "real.example",
	.port = "2222",
	.user = "joe",
	.alias = "alias",
	.env = env,
	.cwd = "/work dir",
};

static void check(const char *text, const char *expected)
{
	char *why = NULL, *got = expand_value(text, &ctx, &why);

	if (got == NULL)
		fail_msg("%s: %s", text, why);
	assert_string_equal(got, expected);
	free(got);
}

static void check_refused(const char *text, const char *word)
{
	char *why = NULL, *got = expand_value(text, &ctx, &why);

	assert_null(got);
	assert_non_null(why);
	if (strstr(why, word) == NULL)
		fail_msg("%s: %s", text, why);
	free(why);
}

static void test_tokens(void **state)
{
	char *uid = xasprintf("%u", (unsigned)getuid());
	char host[256] = "", *shorthost;

	(void)state;
	check("plain", "plain");
	check("", "");
	check("100%%", "100%");
	check("%n-%h-%p-%r-%k", "typed-real.example-2222-joe-alias");
	check("%j", "");
	check("%i", uid);
	gethostname(host, sizeof(host) - 1);
	check("%l", host);
	shorthost = xstrndup(host, strcspn(host, "."));
	check("%L", shorthost);
	free(shorthost);
	free(uid);
	check_refused("%x", "%x");
	check_refused("%", "%");
	check_refused("a%T", "%T");
}

/* HOME must not matter: ssh takes the password entry's. */
static void test_home(void **state)
{
	const struct passwd *pw = getpwuid(getuid());
	char *home, *user, *root;

	(void)state;
	assert_non_null(pw);
	home = xasprintf("%s/x", pw->pw_dir);
	user = xasprintf("~%s/x", pw->pw_name);
	setenv("HOME", "/nowhere", 1);
	check("~/x", home);
	check("%d/x", home);
	check(user, home);
	check("%u", pw->pw_name);
	check("a~/x", "a~/x");
	root = xstrdup(expand_home());
	check("~", root);
	check_refused("~nosuchuser-hawser/x", "nosuchuser-hawser");
	free(root);
	free(user);
	free(home);
}

static void test_variables(void **state)
{
	(void)state;
	check("/a/${FOO}/b", "/a/bar/b");
	check("${EMPTY}", "");
	check("$FOO", "$FOO");
	/* a value is not looked into again */
	check("${PCT}", "%h");
	check_refused("${UNSET}", "UNSET");
	check_refused("${FO}", "FO");
	check_refused("${FOO", "malformed");
	check_refused("${}", "malformed");
}

static void test_path(void **state)
{
	char *why = NULL, *path = expand_path("%r/key", &ctx, &why);

	(void)state;
	assert_string_equal(path, "/work dir/joe/key");
	free(path);
	path = expand_path("/abs", &ctx, &why);
	assert_string_equal(path, "/abs");
	free(path);
}

/* ssh expands ControlPath before it prints it. */
static void test_against_ssh(void **state)
{
	char *out = RUN("ssh", "-F", "none", "-G", "-p", "2222", "-l", "joe",
			"-oHostname=real.example", "-oHostKeyAlias=alias",
			"-oControlPath=/%C/%L/%i/%k/%l/%n/%p/%r/%u/%h/%d", "typed");
	char *why = NULL, *ours = expand_value("/%C/%L/%i/%k/%l/%n/%p/%r/%u/%h/%d", &ctx, &why);
	char *line = xasprintf("\ncontrolpath %s\n", ours);

	(void)state;
	assert_non_null(strstr(out, line));
	free(line);
	free(ours);
	free(out);
}

static void test_patterns(void **state)
{
	static const struct {
		const char *text, *list;
		int expected;
	} cases[] = {
		{"abc", "abc", 1},     {"abc", "ab", 0},    {"abc", "a*", 1},
		{"abc", "*c", 1},      {"abc", "a?c", 1},   {"abc", "????", 0},
		{"", "", 0},	       {"", "*", 1},	    {"abc", "*b*c*", 1},
		{"aXbXc", "a*b*c", 1}, {"aab", "*ab", 1},   {"abab", "*abb", 0},
		{"abc", "x,abc", 1},   {"abc", "x,y", 0},   {"abc", "!abc,*", -1},
		{"abc", "*,!abc", -1}, {"abc", "!x,*", 1},  {"abc", "!x", 0},
		{"abc", "ABC", 1},     {"abc", ",,abc", 1}, {"abc", "**********c", 1},
	};

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(cases); i++) {
		int got = pattern_list_match(cases[i].text, cases[i].list, strlen(cases[i].list),
					     true);

		if (got != cases[i].expected)
			fail_msg("%s in %s: %d", cases[i].text, cases[i].list, got);
	}
	assert_int_equal(pattern_list_match("abc", "ABC", 3, false), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),	    cmocka_unit_test(test_home),
		cmocka_unit_test(test_variables),   cmocka_unit_test(test_path),
		cmocka_unit_test(test_against_ssh), cmocka_unit_test(test_patterns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
