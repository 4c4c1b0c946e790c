#include "tests/unit/trust_helpers.h"

#include "daemon/cause.h"

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(cause_name(CAUSE_NONE), "none");
	assert_string_equal(cause_name(CAUSE_HOSTKEY_CHANGED), "host-key-changed");
	assert_string_equal(cause_name(CAUSE_INTERNAL), "internal");
	assert_string_equal(cause_name((enum cause_class)9999), "internal");
	for (int i = 0; i <= CAUSE_INTERNAL; i++)
		assert_non_null(cause_name((enum cause_class)i));
}

static void test_set_and_hint(void **state)
{
	struct cause c;

	(void)state;
	memset(&c, 'x', sizeof(c));
	cause_set(&c, CAUSE_REFUSED, "%s refused port %d", "web1", 22);
	assert_int_equal(c.cls, CAUSE_REFUSED);
	assert_string_equal(c.text, "web1 refused port 22");
	assert_string_equal(c.hint, "");
	cause_hint(&c, "Try %s", "again");
	assert_string_equal(c.hint, "Try again");
	assert_string_equal(c.text, "web1 refused port 22");
	cause_set(&c, CAUSE_RESET, "gone");
	assert_string_equal(c.hint, "");
}

static void test_peer_bytes_are_escaped(void **state)
{
	struct cause c;

	(void)state;
	cause_set(&c, CAUSE_PROTOCOL, "server said %s", "\x1b[2Jhi\r\n\ttab\x7f");
	assert_string_equal(c.text, "server said \\033[2Jhi\\015\\012\\011tab\\177");
	cause_set(&c, CAUSE_PROTOCOL, "%s", "gr\xc3\xbc\xc3\x9f");
	assert_string_equal(c.text, "gr\xc3\xbc\xc3\x9f");
	/* C1 controls steer terminals too; what is no UTF-8 may be one of them to some. */
	cause_set(&c, CAUSE_PROTOCOL, "%s",
		  "\xc2\x9b"
		  "31m\xc2\xa0\x9b\xff");
	assert_string_equal(c.text, "\\302\\233"
				    "31m\xc2\xa0\\233\\377");
	cause_set(&c, CAUSE_PROTOCOL, "%s", "\xe2\x82\xac\xf0\x9f\x98\x80\xed\xa0\x80\xc0\x9b\xe2");
	assert_string_equal(c.text, "\xe2\x82\xac\xf0\x9f\x98\x80\\355\\240\\200\\300\\233\\342");
}

static void test_long_text_is_cut(void **state)
{
	struct cause c;
	char text[4096];

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	cause_set(&c, CAUSE_PROTOCOL, "%s", text);
	assert_int_equal(strlen(c.text), sizeof(c.text) - 1);
	cause_hint(&c, "%s", text);
	assert_int_equal(strlen(c.hint), sizeof(c.hint) - 1);
	/* neither an escape nor a character of two bytes is cut in half */
	memset(text, '\n', sizeof(text) - 1);
	cause_set(&c, CAUSE_PROTOCOL, "xy%s", text);
	assert_int_equal((strlen(c.text) - 2) % 4, 0);
	for (size_t i = 0; i + 1 < sizeof(text); i++)
		text[i] = i % 2 == 0 ? '\xc3' : '\xbc';
	cause_set(&c, CAUSE_PROTOCOL, "%s", text);
	assert_int_equal(strlen(c.text) % 2, 0);
	cause_set(&c, CAUSE_PROTOCOL, "x%s", text);
	assert_int_equal(strlen(c.text) % 2, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_set_and_hint),
		cmocka_unit_test(test_peer_bytes_are_escaped),
		cmocka_unit_test(test_long_text_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
