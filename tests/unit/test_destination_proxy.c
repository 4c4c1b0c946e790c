/* ProxyCommand, ProxyJump: what a destination makes of them, and what is asked for the jump host.
 */
#include "tests/unit/trust_helpers.h"

#include "daemon/destination.h"
#include "daemon/destination_proxy.h"
#include "daemon/resolve_jump.h"

static char *one_env[] = {"WAY=left", "OTHER=1", NULL};
static char *two_env[] = {"WAY=right", "OTHER=1", NULL};

static struct destination *made(const char *lines, char *const *env)
{
	struct client_context client = {.env = env, .cwd = "/work"};
	char *text = xasprintf("host typed\nuser me\nhostname real.example\nport "
			       "2222\npubkeyauthentication yes\n%s",
			       lines);
	struct cause why;
	struct destination *d = destination_parse(text, NULL, "typed", &client, &why);

	free(text);
	assert_non_null(d);
	return d;
}

static void test_tokens(void **state)
{
	static const struct {
		const char *lines, *command;
	} cases[] = {
		{"proxycommand nc %h %p", "nc real.example 2222"},
		{"proxycommand x %n %r %k 100%%", "x typed me typed 100%"},
		{"hostkeyalias as\nproxycommand x %k", "x as"},
		/* The shell's, which knows what stands in quotes. */
		{"proxycommand x ${HOME} $WAY ${NOT_SET:-z} '${' ~", "x ${HOME} $WAY "
								     "${NOT_SET:-z} '${' ~"},
	};

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(cases); i++) {
		struct destination *d = made(cases[i].lines, one_env);

		assert_null(d->fallback);
		assert_string_equal(d->proxy_command, cases[i].command);
		assert_null(d->jump_spec);
		destination_unref(d);
	}
}

static void test_what_ssh_says_itself(void **state)
{
	static const char *const lines[] = {
		"proxycommand x %i", /* a token of others */
		"proxycommand x %",  /* none at all */
		"proxycommand -",    /* the caller's own stdin and stdout */
		"proxyjump j-%Z:22",
	};

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(lines); i++) {
		struct destination *d = made(lines[i], one_env);

		assert_non_null(d->fallback);
		destination_unref(d);
	}
}

static void test_none(void **state)
{
	static const char *const lines[] = {"proxycommand none", "proxyjump none",
					    "proxyusefdpass yes"};

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(lines); i++) {
		struct destination *d = made(lines[i], one_env);

		assert_null(d->fallback);
		assert_null(d->proxy_command);
		assert_null(d->jump_spec);
		assert_false(d->proxy_fdpass);
		destination_unref(d);
	}
}

static void check_hop(const char *spec, const char *user, const char *host, const char *port,
		      const char *before)
{
	const char *const want[] = {user, host, port, before};
	struct destination_hop hop;

	destination_hop_parse(spec, &hop);
	const char *const got[] = {hop.user, hop.host, hop.port, hop.before};
	for (size_t i = 0; i < HW_ARRAY_LEN(want); i++) {
		if (want[i] == NULL)
			assert_null(got[i]);
		else
			assert_string_equal(got[i], want[i]);
	}
	destination_hop_finish(&hop);
}

static void test_hops(void **state)
{
	(void)state;
	check_hop(NULL, NULL, NULL, NULL, NULL);
	check_hop("none", NULL, NULL, NULL, NULL);
	check_hop("j", NULL, "j", NULL, NULL);
	check_hop("u@j:22", "u", "j", "22", NULL);
	check_hop("u@corp@j", "u@corp", "j", NULL, NULL);
	check_hop("a,ssh://b@c:1,u@j", "u", "j", NULL, "a,ssh://b@c:1");
	check_hop("a,[10.0.0.1]:44", NULL, "10.0.0.1", "44", "a");
	check_hop("u@[::1]", "u", "::1", NULL, NULL);
}

static void test_arguments(void **state)
{
	char *typed[] = {"-4vF", "first", "-o", "F=no", "-Fsecond", "-lF", "-p", "22", NULL};
	static const char *const want[] = {"-l",   "u",	 "-p",	   "22", "-J",
					   "a-me", "-F", "second", "-W", "[real.example]:2222"};
	struct destination *d = made("proxyjump a-%r,u@%h.gw:22", one_env);
	struct destination_hop hop;
	char **args;

	(void)state;
	destination_hop_parse(d->jump_spec, &hop);
	assert_string_equal(hop.host, "real.example.gw");
	args = resolve_jump_args(d, &hop, typed);
	assert_int_equal(strv_len(args), HW_ARRAY_LEN(want));
	for (size_t i = 0; i < HW_ARRAY_LEN(want); i++)
		assert_string_equal(args[i], want[i]);
	strv_free(args);
	destination_hop_finish(&hop);
	destination_unref(d);
}

/* Keys of two sets of lines, each in an environment. */
static bool share(const char *a, char *const *a_env, const char *b, char *const *b_env)
{
	struct destination *one = made(a, a_env), *two = made(b, b_env);
	bool same = strcmp(one->key, two->key) == 0;

	destination_unref(one);
	destination_unref(two);
	return same;
}

static void test_key_of_command(void **state)
{
	(void)state;
	assert_true(share("proxycommand x %h", one_env, "proxycommand x %h", one_env));
	assert_true(share("proxycommand x %h", one_env, "proxycommand x %h", two_env));
	assert_false(share("proxycommand x %h", one_env, "proxycommand y %h", one_env));
	assert_false(share("proxycommand x", one_env, "", one_env));
	assert_false(
		share("proxycommand x", one_env, "proxycommand x\nproxyusefdpass yes", one_env));
	/* A variable that it names decides where it leads. */
	assert_false(share("proxycommand x $WAY", one_env, "proxycommand x $WAY", two_env));
	assert_false(share("proxycommand x ${WAY}", one_env, "proxycommand x ${WAY}", two_env));
	assert_true(share("proxycommand x $OTHER", one_env, "proxycommand x $OTHER", two_env));
}

static void test_jump_in_key_and_fallback(void **state)
{
	struct destination *direct = made("", one_env), *a = made("proxyjump j", one_env),
			   *b = made("proxyjump j", one_env), *c = made("proxyjump j", one_env);

	(void)state;
	destination_set_jump(a, made("", one_env));
	destination_set_jump(b, made("ciphers aes128-ctr", one_env));
	assert_string_not_equal(a->key, direct->key);
	assert_string_not_equal(a->key, b->key);
	assert_null(a->fallback);
	destination_set_jump(c, made("tunnel yes", one_env));
	assert_non_null(strstr(c->fallback, "jump host typed: Tunnel"));
	destination_unref(direct);
	destination_unref(a);
	destination_unref(b);
	destination_unref(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_what_ssh_says_itself),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_hops),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_key_of_command),
		cmocka_unit_test(test_jump_in_key_and_fallback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
