/* The user's terminal as the server is told of it, and as a shell command that says the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "client/modes.h"
#include "daemon/terminal_modes.h"
#include "protocol/proto.h"

/* What a fresh Linux terminal is, as far as it matters here. */
static struct termios fresh(void)
{
	struct termios t = {.c_iflag = ICRNL | IXON | IUTF8,
			    .c_oflag = OPOST | ONLCR,
			    .c_cflag = CS8 | CREAD,
			    .c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | IEXTEN};

	t.c_cc[VINTR] = 3;
	t.c_cc[VQUIT] = 28;
	t.c_cc[VERASE] = 127;
	t.c_cc[VKILL] = 21;
	t.c_cc[VEOF] = 4;
	t.c_cc[VSUSP] = 26;
	t.c_cc[VWERASE] = 23;
	t.c_cc[VSTART] = 17;
	t.c_cc[VSTOP] = 19;
	cfsetspeed(&t, B115200);
	return t;
}

/* The value of an opcode, -1: it is not there. */
static int64_t value_of(const uint8_t *modes, size_t len, uint8_t op)
{
	for (size_t i = 0; i + 5 <= len && modes[i] != 0; i += 5) {
		if (modes[i] == op)
			return (int64_t)modes[i + 1] << 24 | modes[i + 2] << 16 |
			       modes[i + 3] << 8 | modes[i + 4];
	}
	return -1;
}

static void test_encode(void **state)
{
	uint8_t modes[PROTO_MODES_MAX];
	struct termios t = fresh();
	size_t len = modes_encode(&t, modes);

	(void)state;
	assert_int_equal(len % 5, 1);
	assert_int_equal(modes[len - 1], 0);
	assert_int_equal(value_of(modes, len, 1), 3);
	assert_int_equal(value_of(modes, len, 3), 127);
	assert_int_equal(value_of(modes, len, 6), 255); /* no VEOL */
	assert_int_equal(value_of(modes, len, 42), 1);
	assert_int_equal(value_of(modes, len, 33), 0);
	assert_int_equal(value_of(modes, len, 53), 1);
	assert_int_equal(value_of(modes, len, 72), 1);
	assert_int_equal(value_of(modes, len, 90), 0);
	assert_int_equal(value_of(modes, len, 91), 1);
	assert_int_equal(value_of(modes, len, 128), 115200);
	assert_int_equal(value_of(modes, len, 129), 115200);
	t.c_lflag &= ~(tcflag_t)ECHO;
	t.c_iflag &= ~(tcflag_t)IUTF8;
	len = modes_encode(&t, modes);
	assert_int_equal(value_of(modes, len, 53), 0);
	assert_int_equal(value_of(modes, len, 42), 0);
}

static void test_keys(void **state)
{
	uint8_t keys[256];
	struct termios t = fresh();

	(void)state;
	assert_false(modes_keys(&t, keys));
	t.c_cc[VERASE] = 8;
	t.c_cc[VINTR] = 127;
	assert_true(modes_keys(&t, keys));
	assert_int_equal(keys[8], 127);
	assert_int_equal(keys[127], 3);
	assert_int_equal(keys[3], 3);
	assert_int_equal(keys['a'], 'a');
	/* Switched off, or a letter: nothing to translate. */
	t = fresh();
	t.c_cc[VKILL] = 0;
	t.c_cc[VERASE] = '#';
	assert_false(modes_keys(&t, keys));
}

static void test_stty(void **state)
{
	char modes[PROTO_MODES_MAX];
	struct termios t = fresh();
	size_t len = modes_encode(&t, (uint8_t *)modes);
	char *text = terminal_modes_shell(modes, len);

	(void)state;
	assert_string_equal(text, "exec sh -c 'stty iutf8 2>/dev/null; exec \"${SHELL:-sh}\" -l'");
	free(text);
	t.c_cc[VERASE] = 8;
	t.c_cc[VINTR] = 127;
	t.c_cc[VKILL] = 0;
	t.c_cc[VSUSP] = '\'';
	t.c_iflag &= ~(tcflag_t)IUTF8;
	len = modes_encode(&t, (uint8_t *)modes);
	text = terminal_modes_shell(modes, len);
	assert_string_equal(text, "exec sh -c 'stty -iutf8 2>/dev/null; stty intr \"^?\" erase "
				  "\"^H\" kill undef 2>/dev/null; exec \"${SHELL:-sh}\" -l'");
	free(text);
}

static void test_bad_modes(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
		{"", 0},
		{"\0", 1},
		{"\3\0\0\0", 4},
		{"\3\0\0\0\10", 5},
		{"\3\1\0\0\10\0", 6},
		{"\310\0\0\0\0\3\0\0\0\10", 10},
	};

	(void)state;
	/* Nothing in them that stty could be told, or cut off: whatever it is, it is no overrun. */
	for (size_t i = 0; i < HW_ARRAY_LEN(cases); i++) {
		char *exact = malloc(cases[i].len + 1), *text;

		memcpy(exact, cases[i].bytes, cases[i].len);
		text = terminal_modes_shell(exact, cases[i].len);
		assert_true(text == NULL || strstr(text, "exec \"${SHELL:-sh}\" -l'") != NULL);
		free(text);
		free(exact);
	}
	assert_null(terminal_modes_shell("", 0));
	assert_null(terminal_modes_shell("\0", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_stty),
		cmocka_unit_test(test_bad_modes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
