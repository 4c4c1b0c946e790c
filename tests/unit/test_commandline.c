/* The command line of the escape ~C, as ssh reads it. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "client/commandline.h"

static void test_lines(void **state)
{
	static const struct {
		const char *line;
		enum commandline_kind kind;
		const char *option, *value; /* of what is invalid: the words */
	} lines[] = {
		{"", COMMANDLINE_NOTHING, "", NULL},
		{"  ", COMMANDLINE_NOTHING, "", NULL},
		{"-", COMMANDLINE_NOTHING, "", NULL},
		{"-h", COMMANDLINE_HELP, "", NULL},
		{"?", COMMANDLINE_HELP, "", NULL},
		{"Help", COMMANDLINE_HELP, "", NULL},
		{"-L 1:h:2", COMMANDLINE_FORWARD, "-L", "1:h:2"},
		{"  -L1:h:2", COMMANDLINE_FORWARD, "-L", "1:h:2"},
		{"R 1:h:2", COMMANDLINE_FORWARD, "-R", "1:h:2"},
		{"D1080", COMMANDLINE_FORWARD, "-D", "1080"},
		{"-KL 1", COMMANDLINE_CANCEL, "-L", "1"},
		{"KR1", COMMANDLINE_CANCEL, "-R", "1"},
		{"-KD  1", COMMANDLINE_CANCEL, "-D", "1"},
		{"-KX 1", COMMANDLINE_INVALID, "", "Invalid command."},
		{"K", COMMANDLINE_INVALID, "", "Invalid command."},
		{"-l 1:h:2", COMMANDLINE_INVALID, "", "Invalid command."},
		{"--L", COMMANDLINE_INVALID, "", "Invalid command."},
		{"- L 1", COMMANDLINE_INVALID, "", "Invalid command."},
		{"foo", COMMANDLINE_INVALID, "", "Invalid command."},
		{"-L", COMMANDLINE_INVALID, "-L", "Bad local forwarding specification."},
		{"-D ", COMMANDLINE_INVALID, "-D", "Bad local forwarding specification."},
		{"R", COMMANDLINE_INVALID, "-R", "Bad remote forwarding specification."},
		{"-KL", COMMANDLINE_INVALID, "-L", "Bad forwarding close specification."},
	};

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(lines); i++) {
		struct commandline c;

		commandline_parse(lines[i].line, false, &c);
		assert_int_equal(c.kind, lines[i].kind);
		assert_string_equal(c.option, lines[i].option);
		if (c.kind == COMMANDLINE_INVALID)
			assert_string_equal(c.trouble, lines[i].value);
		else if (lines[i].value != NULL)
			assert_string_equal(c.value, lines[i].value);
	}
}

static void test_run(void **state)
{
	struct commandline c;

	(void)state;
	commandline_parse("!echo a", true, &c);
	assert_int_equal(c.kind, COMMANDLINE_RUN);
	assert_string_equal(c.value, "echo a");
	commandline_parse("!echo a", false, &c);
	assert_int_equal(c.kind, COMMANDLINE_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines),
					   cmocka_unit_test(test_run)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
