/* Escapes typed at the beginning of a line, whatever way the bytes are split. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "client/escape.h"

struct typed {
	const char *in, *out;
	const char *actions; /* what was typed behind the escape, in order; z for ^Z */
};

static const struct typed cases[] = {
	{"", "", ""},
	{"plain", "plain", ""},
	{"~.", "", "."},
	{"a~.", "a~.", ""},
	{"a\r~.", "a\r", "."},
	{"a\n~.b", "a\nb", "."},
	{"~~.", "~.", ""},
	{"~~~.", "~~.", ""},
	{"\r~x", "\r~x", ""},
	{"\r~x\r~.", "\r~x\r", "."},
	{"~?~?", "", "??"},
	{"~\x1a~.", "", "z."},
	{"~?x~.", "x~.", "?"},
	{"~\r~.", "~\r", "."},
	{"~", "", ""},
	{"~#~&~B~C~R~V~v", "", "#&BCRVv"},
	{"a~#\r~b", "a~#\r~b", ""},
	{"\r~#x~#", "\rx~#", "#"},
};

static const char letters[] = {
	[ESCAPE_DISCONNECT] = '.',  [ESCAPE_SUSPEND] = 'z',    [ESCAPE_HELP] = '?',
	[ESCAPE_LIST] = '#',	    [ESCAPE_BACKGROUND] = '&', [ESCAPE_BREAK] = 'B',
	[ESCAPE_COMMANDLINE] = 'C', [ESCAPE_REKEY] = 'R',      [ESCAPE_QUIETER] = 'V',
	[ESCAPE_LOUDER] = 'v',
};

/* Feeds in pieces of `step` bytes and collects what comes out. */
static void feed(struct escape *e, const char *in, size_t step, char *out, char *actions)
{
	size_t len = strlen(in), at = 0, n = 0, a = 0;

	while (at < len) {
		size_t piece = len - at < step ? len - at : step, done = 0;
		while (done < piece) {
			uint8_t buf[64];
			size_t used, got;
			enum escape_action action = escape_filter(
				e, (const uint8_t *)in + at + done, piece - done, &used, buf, &got);
			assert_true(used > 0);
			assert_true(got <= piece - done + 1);
			memcpy(out + n, buf, got);
			n += got;
			done += used;
			if (action != ESCAPE_NONE)
				actions[a++] = letters[action];
		}
		at += piece;
	}
	out[n] = actions[a] = '\0';
}

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(cases); i++) {
		for (size_t step = 1; step <= 5; step++) {
			struct escape e;
			char out[64], actions[64];

			escape_init(&e, '~');
			feed(&e, cases[i].in, step, out, actions);
			assert_string_equal(out, cases[i].out);
			assert_string_equal(actions, cases[i].actions);
		}
	}
}

static void test_other_and_none(void **state)
{
	struct escape e;
	char out[64], actions[64];

	(void)state;
	escape_init(&e, -1);
	feed(&e, "~.\r~.", 3, out, actions);
	assert_string_equal(out, "~.\r~.");
	assert_string_equal(actions, "");
	escape_init(&e, '%');
	feed(&e, "~.\r%.", 3, out, actions);
	assert_string_equal(out, "~.\r");
	assert_string_equal(actions, ".");
}

static void test_help(void **state)
{
	struct escape e;
	char text[1024], small[8];

	(void)state;
	escape_init(&e, 0x1d);
	escape_help(&e, true, text, sizeof(text));
	assert_non_null(strstr(text, " \x1d.   - terminate"));
	assert_non_null(strstr(text, " \x1d"
				     "C   - open a command line\r\n"));
	escape_help(&e, false, text, sizeof(text));
	assert_null(strstr(text, "command line"));
	escape_help(&e, true, small, sizeof(small));
	assert_int_equal(strlen(small), sizeof(small) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_other_and_none),
		cmocka_unit_test(test_help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
