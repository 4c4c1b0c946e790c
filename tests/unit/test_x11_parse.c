/* DISPLAY, xauth's line and the first packet of an X client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/x11_parse.h"

static void test_display(void **state)
{
	static const struct {
		const char *text;
		bool good, local;
		unsigned number, screen;
		const char *host;
	} cases[] = {
		{":0", true, true, 0, 0, ""},
		{":12.1", true, true, 12, 1, ""},
		{"unix:3", true, true, 3, 0, ""},
		{"::4", true, true, 4, 0, ""},
		{"localhost:10.0", true, false, 10, 0, "localhost"},
		{"far.example:2.401", true, false, 2, 0, "far.example"},
		{"far:2.x", true, false, 2, 0, "far"},
		{"far", false, false, 0, 0, ""},
		{":", false, true, 0, 0, ""},
		{":x", false, true, 0, 0, ""},
		{"far:70000", false, false, 0, 0, "far"},
		{"far:99999999999999999999", false, false, 0, 0, "far"},
	};
	char longest[512];
	struct x11_display d;

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(cases); i++) {
		assert_int_equal(x11_display_parse(cases[i].text, &d), cases[i].good);
		assert_int_equal(d.local, cases[i].local);
		if (!cases[i].good)
			continue;
		assert_int_equal(d.number, cases[i].number);
		assert_int_equal(d.screen, cases[i].screen);
		assert_string_equal(d.host, cases[i].host);
	}
	memset(longest, 'h', sizeof(longest));
	memcpy(longest + sizeof(longest) - 3, ":0", 3);
	assert_false(x11_display_parse(longest, &d));
	assert_true(x11_display_valid("unix:0.0") && x11_display_valid("a-b_c/d:1"));
	assert_false(x11_display_valid(NULL) || x11_display_valid("") ||
		     x11_display_valid(":0;true") || x11_display_valid(":0 x"));
}

static void test_cookie_line(void **state)
{
	struct x11_cookie c, same;
	char *hex;

	(void)state;
	assert_true(x11_cookie_parse("host/unix:0  MIT-MAGIC-COOKIE-1  00ff10aB\n", &c));
	assert_string_equal(c.proto, "MIT-MAGIC-COOKIE-1");
	assert_int_equal(c.len, 4);
	hex = x11_cookie_hex(&c);
	assert_string_equal(hex, "00ff10ab");
	free(hex);
	same = c;
	assert_true(x11_cookie_equal(&c, &same));
	same.data[3] ^= 1;
	assert_false(x11_cookie_equal(&c, &same));
	same = c;
	same.len = 3;
	assert_false(x11_cookie_equal(&c, &same));
	assert_false(x11_cookie_parse("", &c));
	assert_false(x11_cookie_parse("host/unix:0", &c));
	assert_false(x11_cookie_parse("host/unix:0 MIT-MAGIC-COOKIE-1", &c));
	assert_false(x11_cookie_parse("host/unix:0 MIT-MAGIC-COOKIE-1 xyz", &c));
	assert_false(x11_cookie_parse("host/unix:0 MIT-MAGIC-COOKIE-1 00f", &c));
}

/* A whole packet: order, protocol, cookie. Returns its length. */
static size_t make(uint8_t *out, char order, const char *proto, const uint8_t *data, size_t len)
{
	size_t proto_len = strlen(proto), high = order == 'B' ? 0 : 1, at;

	memset(out, 0, 1024);
	out[0] = (uint8_t)order;
	out[6 + high] = (uint8_t)(proto_len >> 8);
	out[7 - high] = (uint8_t)proto_len;
	out[8 + high] = (uint8_t)(len >> 8);
	out[9 - high] = (uint8_t)len;
	memcpy(out + 12, proto, proto_len);
	at = 12 + ((proto_len + 3) & ~(size_t)3);
	memcpy(out + at, data, len);
	return at + ((len + 3) & ~(size_t)3);
}

static void test_setup(void **state)
{
	static const uint8_t data[5] = {1, 0, 3, 255, 5};
	uint8_t packet[1024];
	struct x11_cookie c;
	size_t at, len;

	(void)state;
	for (const char *order = "Bl"; *order != '\0'; order++) {
		len = make(packet, *order, "MIT-MAGIC-COOKIE-1", data, sizeof(data));
		for (size_t n = 0; n < len; n++)
			assert_int_equal(x11_setup_parse(packet, n, &c, &at), X11_SETUP_MORE);
		/* What follows the packet is not its business. */
		for (size_t more = 0; more < 9; more++) {
			assert_int_equal(x11_setup_parse(packet, len + more, &c, &at),
					 X11_SETUP_GOOD);
			assert_int_equal(at, 12 + 20);
			assert_int_equal(c.len, 5);
			assert_memory_equal(c.data, data, 5);
			assert_string_equal(c.proto, "MIT-MAGIC-COOKIE-1");
		}
	}
	len = make(packet, 'l', "", data, 0);
	assert_int_equal(x11_setup_parse(packet, len, &c, &at), X11_SETUP_GOOD);
	assert_int_equal(c.len, 0);
}

static void test_bad_setup(void **state)
{
	static const uint8_t data[X11_COOKIE_MAX + 1];
	uint8_t packet[1024];
	char proto[X11_PROTO_MAX + 2];
	struct x11_cookie c;
	size_t at, len;

	(void)state;
	len = make(packet, 'x', "P", data, 4);
	assert_int_equal(x11_setup_parse(packet, 1, &c, &at), X11_SETUP_BAD);
	len = make(packet, 'l', "P", data, sizeof(data));
	assert_int_equal(x11_setup_parse(packet, len, &c, &at), X11_SETUP_BAD);
	len = make(packet, 'B', "P", data, X11_COOKIE_MAX);
	assert_int_equal(x11_setup_parse(packet, len, &c, &at), X11_SETUP_GOOD);
	memset(proto, 'P', sizeof(proto));
	proto[sizeof(proto) - 1] = '\0';
	len = make(packet, 'l', proto, data, 4);
	assert_int_equal(x11_setup_parse(packet, len, &c, &at), X11_SETUP_BAD);
	/* A NUL within the name. */
	len = make(packet, 'l', "PPPP", data, 4);
	packet[13] = '\0';
	assert_int_equal(x11_setup_parse(packet, len, &c, &at), X11_SETUP_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_display),
		cmocka_unit_test(test_cookie_line),
		cmocka_unit_test(test_setup),
		cmocka_unit_test(test_bad_setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
