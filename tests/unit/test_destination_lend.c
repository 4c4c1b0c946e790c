/* What a destination lends to the server: agent and display, by what the installed ssh prints. */
#include "tests/unit/trust_helpers.h"

#include "daemon/destination.h"

/* ssh -F none -G with options given as "-x -oy" (no blanks within), for host h. */
static struct destination *with(const char *options)
{
	static char *env[] = {"SSH_AUTH_SOCK=/tmp/agent", "MINE=/tmp/mine", NULL};
	static const struct client_context client = {.env = env, .cwd = "/work"};
	char *argv[16] = {"ssh", "-F", "none", "-G"}, *copy = xstrdup(options), *save = NULL, *out;
	struct destination *d;
	struct cause why;
	size_t n = 4;

	for (char *o = strtok_r(copy, " ", &save); o != NULL; o = strtok_r(NULL, " ", &save))
		argv[n++] = o;
	argv[n] = "h";
	out = run_program(argv, 0);
	d = destination_parse(out, NULL, "h", &client, &why);
	if (d == NULL)
		fail_msg("%s", why.text);
	free(out);
	free(copy);
	return d;
}

/* Whose agent is lent to the server, and that it has transports of its own. */
static void test_forwarded_agent(void **state)
{
	static const struct {
		const char *options, *socket;
	} cases[] = {
		{"", NULL},
		{"-a", NULL},
		{"-A", "/tmp/agent"},
		{"-A -a", NULL},
		{"-oForwardAgent=/tmp/x", "/tmp/x"},
		{"-oForwardAgent=$MINE", "/tmp/mine"},
		{"-oForwardAgent=$SSH_AUTH_SOCK", "/tmp/agent"},
		{"-oForwardAgent=$UNSET", NULL},
		{"-A -oIdentityAgent=/tmp/y", "/tmp/y"},
		{"-A -oIdentityAgent=none", NULL},
	};
	struct destination *plain = with("");

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(cases); i++) {
		struct destination *d = with(cases[i].options);

		if (cases[i].socket == NULL)
			assert_null(d->forward_agent);
		else
			assert_string_equal(d->forward_agent, cases[i].socket);
		if (cases[i].socket != NULL)
			assert_string_not_equal(d->key, plain->key);
		destination_unref(d);
	}
	destination_unref(plain);
}

static void test_x11(void **state)
{
	struct destination *plain = with(""), *d = with("-X -oForwardX11Trusted=no");

	(void)state;
	assert_false(plain->forward_x11);
	assert_true(d->forward_x11 && !d->forward_x11_trusted);
	assert_int_equal(d->forward_x11_timeout, 1200);
	assert_string_equal(d->xauth_location, "/usr/bin/xauth");
	/* Each session's own affair: no transport of its own. */
	assert_string_equal(d->key, plain->key);
	destination_unref(d);
	d = with("-Y -oForwardX11Timeout=0 -oXAuthLocation=/x");
	assert_true(d->forward_x11 && d->forward_x11_trusted);
	assert_int_equal(d->forward_x11_timeout, 0);
	assert_string_equal(d->xauth_location, "/x");
	destination_unref(d);
	d = with("-X -oForwardX11Timeout=52w"); /* long is not the same as for ever */
	assert_int_equal(d->forward_x11_timeout, 52 * 7 * 86400);
	destination_unref(d);
	destination_unref(plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forwarded_agent),
		cmocka_unit_test(test_x11),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
