/* What a proxy command finds in its environment, and how one that leads to itself is seen. */
#include "tests/unit/trust_helpers.h"

#include "daemon/proxy_env.h"

static struct destination *made(const char *lines)
{
	static char *env[] = {NULL};
	const struct client_context client = {.env = env, .cwd = "/"};
	char *text = xasprintf("user u\nhostname h\nport 22\n%s\n", lines);
	struct cause why;
	struct destination *d = destination_parse(text, NULL, "h", &client, &why);

	free(text);
	assert_non_null(d);
	return d;
}

/* env: up to two variables, or NULL. */
static struct origin *from(const char *first, const char *second)
{
	char **env = xcalloc(3, sizeof(*env));

	env[0] = first != NULL ? xstrdup(first) : NULL;
	env[1] = first != NULL && second != NULL ? xstrdup(second) : NULL;
	return origin_create(env, NULL, 0);
}

static const char *value(char *const *env, const char *name)
{
	size_t len = strlen(name);
	const char *found = NULL;

	for (; *env != NULL; env++) {
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=') {
			assert_null(found); /* once only */
			found = *env + len + 1;
		}
	}
	return found;
}

static void test_environment(void **state)
{
	static const struct {
		const char *first, *second, *level;
	} cases[] = {
		{NULL, NULL, "1"},
		{"A=b", "SHLVL=0", "1"},
		{"SHLVL=3", "A=b", "3"},
		{"SHLVL=x", "A=b", "1"},
	};
	struct destination *d = made("proxycommand x");

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(cases); i++) {
		struct origin *o = from(cases[i].first, cases[i].second);
		char *way, **env = proxy_env_make(d, o, &way);

		assert_string_equal(value(env, "SHLVL"), cases[i].level);
		assert_int_equal(strncmp(value(env, "HAWSER_WAY"), d->key, 16), 0);
		if (cases[i].first != NULL)
			assert_string_equal(value(env, "A"), "b");
		free(env);
		free(way);
		origin_unref(o);
	}
	destination_unref(d);
}

static void test_loop(void **state)
{
	struct destination *one = made("proxycommand one"), *two = made("proxycommand two"),
			   *direct = made(""), *behind = made("proxyjump j");
	struct origin *outside = from("A=b", NULL), *in_one, *in_both;
	char *way, **env;

	(void)state;
	destination_set_jump(behind, made("proxycommand one"));
	env = proxy_env_make(one, outside, &way);
	in_one = from("A=b", way);
	free(env);
	free(way);
	env = proxy_env_make(two, in_one, &way);
	in_both = from("A=b", way);
	free(env);
	free(way);

	assert_false(proxy_env_is_loop(one, outside));
	assert_true(proxy_env_is_loop(one, in_one));
	assert_true(proxy_env_is_loop(behind, in_one));
	assert_false(proxy_env_is_loop(two, in_one));
	assert_false(proxy_env_is_loop(direct, in_one));
	assert_true(proxy_env_is_loop(one, in_both));
	assert_true(proxy_env_is_loop(two, in_both));
	origin_unref(outside);
	origin_unref(in_one);
	origin_unref(in_both);
	destination_unref(one);
	destination_unref(two);
	destination_unref(direct);
	destination_unref(behind);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
