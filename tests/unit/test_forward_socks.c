/* The SOCKS parser: every version, in one piece and byte by byte; what is not SOCKS; that no byte
 * behind the request is wanted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/forward_socks.h"
#include "protocol/base.h"

struct fed {
	enum socks_result result;
	size_t used;
	uint8_t replies[64];
	size_t replies_len;
};

static void take_reply(struct socks *s, struct fed *f)
{
	assert_true(f->replies_len + s->reply_len <= sizeof(f->replies));
	memcpy(f->replies + f->replies_len, s->reply, s->reply_len);
	f->replies_len += s->reply_len;
	s->reply_len = 0;
}

/* As a caller does it: never more than is wanted, and at most step bytes. */
static struct fed feed(struct socks *s, const void *bytes, size_t len, size_t step)
{
	struct fed f = {.result = SOCKS_MORE};

	socks_init(s);
	while (f.result == SOCKS_MORE && f.used < len) {
		size_t n = socks_want(s);

		assert_true(n > 0);
		if (n > step)
			n = step;
		if (n > len - f.used)
			n = len - f.used;
		f.result = socks_feed(s, (const uint8_t *)bytes + f.used, n);
		f.used += n;
		take_reply(s, &f);
	}
	return f;
}

#define GRANTED_4 "\0\x5a\0\0\0\0\0\0"
#define CHOSEN_5  "\5\0"
#define GRANTED_5 "\5\0\0\1\0\0\0\0\0\0"

/* bytes, with "behind" after it, leads to host and port, and the answer is as told. */
static void check(const void *bytes, size_t len, const char *host, unsigned port,
		  const void *answer, size_t answer_len)
{
	static const size_t steps[] = {1, 2, 3, 7, 1000};
	uint8_t input[600];

	memcpy(input, bytes, len);
	memcpy(input + len, "behind", 6);
	for (size_t i = 0; i < HW_ARRAY_LEN(steps); i++) {
		struct socks s;
		struct fed f = feed(&s, input, len + 6, steps[i]);

		assert_int_equal(f.result, SOCKS_DONE);
		assert_int_equal(f.used, len);
		assert_string_equal(s.host, host);
		assert_int_equal(s.port, port);
		assert_int_equal(f.replies_len, answer_len);
		assert_memory_equal(f.replies, answer, answer_len);
	}
	/* Cut short anywhere it waits for more. */
	for (size_t cut = 0; cut < len; cut++) {
		struct socks s;

		assert_int_equal(feed(&s, input, cut, 1000).result, SOCKS_MORE);
	}
}

#define CHECK(text, host, port, answer)                                                            \
	check(text, sizeof(text) - 1, host, port, answer, sizeof(answer) - 1)

static void test_version_4(void **state)
{
	(void)state;
	CHECK("\4\1\0\x50\x7f\0\0\1\0", "127.0.0.1", 80, GRANTED_4);
	CHECK("\4\1\x1f\x90\x0a\1\2\3someone\0", "10.1.2.3", 8080, GRANTED_4);
	CHECK("\4\1\0\x16\0\0\0\0me\0", "0.0.0.0", 22, GRANTED_4);
}

static void test_version_4a(void **state)
{
	(void)state;
	CHECK("\4\1\0\x50\0\0\0\1me\0www.example\0", "www.example", 80, GRANTED_4);
	CHECK("\4\1\xff\xff\0\0\0\xff\0x\0", "x", 65535, GRANTED_4);
}

static void test_version_5(void **state)
{
	(void)state;
	CHECK("\5\1\0\5\1\0\1\x7f\0\0\1\0\x50", "127.0.0.1", 80, CHOSEN_5 GRANTED_5);
	CHECK("\5\3\1\2\0\5\1\0\3\7a.b.c.d\x20\x01", "a.b.c.d", 0x2001, CHOSEN_5 GRANTED_5);
	CHECK("\5\1\0\5\1\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\x16", "::1", 22,
	      CHOSEN_5 GRANTED_5);
}

static void test_longest_names(void **state)
{
	uint8_t five[3 + 5 + 255 + 2] = "\5\1\0\5\1\0\3\xff",
				   four[9 + 255 + 1] = "\4\1\0\1\0\0\0\1";
	char name[256];
	struct socks s;

	(void)state;
	memset(name, 'n', 255);
	name[255] = '\0';
	memcpy(five + 8, name, 255);
	five[8 + 255 + 1] = 9;
	check(five, sizeof(five), name, 9, CHOSEN_5 GRANTED_5, 12);
	/* A byte shorter: the NUL must fit too. */
	memcpy(four + 9, name, 254);
	name[254] = '\0';
	check(four, sizeof(four) - 1, name, 1, GRANTED_4, 8);
	memset(four + 9, 'n', 256);
	assert_int_equal(feed(&s, four, sizeof(four), 1).result, SOCKS_BAD);
}

static void refuse(const void *bytes, size_t len, const void *answer, size_t answer_len)
{
	struct socks s;
	struct fed f = feed(&s, bytes, len, 1000);

	assert_int_equal(f.result, SOCKS_BAD);
	assert_int_equal(f.replies_len, answer_len);
	assert_memory_equal(f.replies, answer, answer_len);
	/* And stays so. */
	assert_int_equal(socks_feed(&s, (const uint8_t *)"\0", 1), SOCKS_BAD);
}

#define REFUSE(text, answer) refuse(text, sizeof(text) - 1, answer, sizeof(answer) - 1)

static void test_refused(void **state)
{
	uint8_t user[8 + 300] = "\4\1\0\1\1\1\1\1";

	(void)state;
	REFUSE("GET / HTTP/1.0\r\n", "");
	REFUSE("\0", "");
	REFUSE("\4\2\0\x50\x7f\0\0\1", "");			  /* BIND */
	REFUSE("\4\1\0\1\0\0\0\1\0\0", "");			  /* no name */
	REFUSE("\5\0", "");					  /* no methods */
	REFUSE("\5\2\1\2", "\5\xff");				  /* none of ours */
	REFUSE("\5\1\0\4\1\0\1\1", "\5\0");			  /* another version inside */
	REFUSE("\5\1\0\5\1\1\1\1", "\5\0");			  /* reserved */
	REFUSE("\5\1\0\5\2\0\1\1", "\5\0\5\7\0\1\0\0\0\0\0\0");	  /* BIND */
	REFUSE("\5\1\0\5\1\0\2\1", "\5\0\5\x08\0\1\0\0\0\0\0\0"); /* kind of address */
	REFUSE("\5\1\0\5\1\0\3\0\0\x50", "\5\0");		  /* no name */
	REFUSE("\5\1\0\5\1\0\3\3a\0b\0\x50", "\5\0");		  /* NUL within */
	memset(user + 8, 'u', 300);
	refuse(user, sizeof(user), "", 0);
}

/* Any bytes at all end in a verdict or a wish for more, within bounds (the sanitizers look on). */
static void test_any_bytes(void **state)
{
	uint32_t random = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		uint8_t bytes[400];
		struct socks s;

		for (size_t i = 0; i < sizeof(bytes); i++) {
			random = random * 1664525u + 1013904223u;
			bytes[i] = (uint8_t)(random >> 24);
		}
		bytes[0] = round % 2 ? 4 : 5;
		bytes[1] = 1;
		if (round % 2 == 0) {
			memcpy(bytes + 2, "\0\5\1\0", 4);
			bytes[6] = (uint8_t)(1 + round % 4);
		}
		feed(&s, bytes, sizeof(bytes), 1 + (size_t)round % 50);
		assert_non_null(memchr(s.host, '\0', sizeof(s.host)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version_4), cmocka_unit_test(test_version_4a),
		cmocka_unit_test(test_version_5), cmocka_unit_test(test_longest_names),
		cmocka_unit_test(test_refused),	  cmocka_unit_test(test_any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
