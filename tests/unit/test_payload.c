/* Payloads as a hostile peer sends them: cut or changed at every byte, heads that are none, counts,
 * lengths and depths that are not there. Nothing of it may allocate by the peer's word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "protocol/alloc.h"
#include "protocol/encode.h"
#include "protocol/precheck.h"
#include "tests/decode_any.h"

static int decode_frame(uint8_t *frame, size_t len)
{
	assert_non_null(frame);
	int r = decode_any(frame + PROTO_HEADER_SIZE, len - PROTO_HEADER_SIZE);
	free(frame);
	return r;
}

static uint8_t *sample_request(size_t *len)
{
	char *args[] = {"-v", NULL}, *env[] = {"A=1", "B=2", NULL};
	const struct proto_request m = {.version = "1",
					.args = args,
					.host = "h",
					.command = "true",
					.command_len = 4,
					.env = env,
					.cwd = "/",
					.has_winsize = true,
					.winsize = {80, 24, 0, 0},
					.streams = {2, 2, 2}};
	return proto_encode_request(1, &m, len);
}

static uint8_t *sample_answer(size_t *len)
{
	char *answers[] = {"secret", NULL};
	const struct proto_answer m = {.prompt = 1, .reason = "r", .answers = answers};
	return proto_encode_answer(1, &m, len);
}

static uint8_t *sample_exit(size_t *len)
{
	const struct proto_exit m = {.error = "lost", .hint = "try again", .ran = true};
	return proto_encode_exit(1, &m, len);
}

static uint8_t *sample_prompt(size_t *len)
{
	struct proto_field fields[] = {{"User: ", true}, {"Password: ", false}};
	const struct proto_prompt m = {.intro = "i", .fields = fields, .nfields = 2};
	return proto_encode_prompt(1, &m, len);
}

static uint8_t *sample_reply(size_t *len)
{
	struct reply *r = reply_create();
	reply_item(r);
	reply_str(r, "key", "value");
	reply_uint(r, "n", 1000000);
	reply_double(r, "d", 1);
	uint8_t *frame = reply_encode(r, 1, len);
	reply_destroy(r);
	return frame;
}

static uint8_t *sample_started(size_t *len)
{
	const struct proto_started m = {.escape = '~'};
	return proto_encode_started(1, &m, len);
}

static uint8_t *(*const samples[])(size_t *len) = {
	sample_request, sample_answer, sample_exit, sample_prompt, sample_reply, sample_started,
};

/* The sanitizer sees reads behind the end: each cut payload has memory of its own size. */
static void cut_at_every_byte(void **state)
{
	(void)state;
	for (size_t s = 0; s < HW_ARRAY_LEN(samples); s++) {
		size_t len;
		uint8_t *frame = samples[s](&len);
		for (size_t cut = 0; cut < len - PROTO_HEADER_SIZE; cut++) {
			uint8_t *part = xmalloc(cut);
			memcpy(part, frame + PROTO_HEADER_SIZE, cut);
			assert_int_equal(decode_any(part, cut), HW_EPROTO);
			free(part);
		}
		assert_int_equal(decode_frame(frame, len), HW_OK);
	}
}

/* Every byte changed to every value: any verdict will do, as long as it is one, nothing leaks and
 * nothing is read or written out of place. */
static void every_byte_changed(void **state)
{
	(void)state;
	size_t good = 0, bad = 0;
	for (size_t s = 0; s < HW_ARRAY_LEN(samples); s++) {
		size_t len;
		uint8_t *frame = samples[s](&len);
		for (size_t i = PROTO_HEADER_SIZE; i < len; i++) {
			uint8_t was = frame[i];
			for (unsigned v = 0; v < 256; v++) {
				frame[i] = (uint8_t)v;
				int r = decode_any(frame + PROTO_HEADER_SIZE,
						   len - PROTO_HEADER_SIZE);
				assert_true(r == HW_OK || r == HW_EPROTO);
				*(r == HW_OK ? &good : &bad) += 1;
			}
			frame[i] = was;
		}
		free(frame);
	}
	assert_true(good > 1000 && bad > 1000);
}

static void trailing_bytes(void **state)
{
	(void)state;
	size_t len;
	uint8_t *frame = sample_exit(&len);
	frame = xreallocarray(frame, len + 1, 1);
	frame[len] = 0xc0;
	assert_int_equal(decode_frame(frame, len + 1), HW_EPROTO);
}

struct bytes {
	const char *bytes;
	size_t len;
};
#define BYTES(s)                                                                                   \
	{                                                                                          \
		s, sizeof(s) - 1                                                                   \
	}

static void refuse(const struct bytes *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t *own = xmalloc(cases[i].len); /* so that the sanitizer knows its end */
		if (cases[i].len)
			memcpy(own, cases[i].bytes, cases[i].len);
		int r = decode_any(own, cases[i].len);
		free(own);
		if (r != HW_EPROTO)
			fail_msg("case %zu: %d", i, r);
	}
}

static void bad_heads(void **state)
{
	(void)state;
	static const struct bytes cases[] = {
		BYTES(""),
		BYTES("\xc0"),
		BYTES("\x80"),
		BYTES("\x90"),
		BYTES("\x91\x07"),
		BYTES("\x92\x07\x01"),
		BYTES("\x94\x07\x01\x80\xc0"), /* four elements */
		BYTES("\x93\xff\x01\x80"),     /* type -1 */
		BYTES("\x93\x07\xff\x80"),     /* request -1 */
		BYTES("\x93\xc0\x01\x80"),
		BYTES("\x93\x07\xa1x\x80"),
		BYTES("\x93\xcf\0\0\0\1\0\0\0\0\x01\x80"), /* type 2^32 */
		BYTES("\x93\x07\xcf\0\0\0\1\0\0\0\0\x80"), /* request 2^32 */
		BYTES("\x93\x07\x01\x90"),		   /* a body that is no map */
		BYTES("\x93\x07\x01\xc0"),
		BYTES("\x93\x26\x01\x81\x01\xa1x"), /* a key that is a number */
		BYTES("\x93\x26\x01\x82\xa3why\xa1x\xc0\xa1x"),
		BYTES("\xc1"),
	};
	refuse(cases, HW_ARRAY_LEN(cases));
}

/* Types that we do not know are parsed, and so answered, but decoded as nothing else. */
static void unknown_message_type(void **state)
{
	(void)state;
	static const uint8_t payload[] = "\x93\xcd\x12\x34\x05\x81\xa1k\x93\x01\xc4\x01x\xd4\1\2";
	struct proto_message m;
	struct proto_error error;

	assert_int_equal(proto_parse(payload, sizeof(payload) - 1, &m), HW_OK);
	assert_int_equal(m.type, 0x1234);
	assert_int_equal(m.request, 5);
	assert_int_equal(proto_decode_error(&m, &error), HW_EPROTO);
	proto_message_finish(&m);
	proto_message_finish(&m);
	assert_int_equal(proto_decode_error(&m, &error), HW_EPROTO);
}

/* Small payloads that announce much. */
static void announced_counts(void **state)
{
	(void)state;
	static const struct bytes cases[] = {
		BYTES("\xdd\xff\xff\xff\xff"),
		BYTES("\xdd\x00\x00\x00\x02\x01"),
		BYTES("\x92\x01"),
		BYTES("\x81\x01"),
		BYTES("\xdf\xff\xff\xff\xff"),
		BYTES("\xdf\x80\x00\x00\x00"), /* twice 2^31 */
		BYTES("\xdb\xff\xff\xff\xff"),
		BYTES("\xc6\xff\xff\xff\xff"),
		BYTES("\xc9\xff\xff\xff\xff\x01"),
		BYTES("\xdc\xff\xff\x01\x01"),
		BYTES("\xde\xff\xff\x01\x01"),
		BYTES("\x93\x01\x01\x81\xa4"
		      "args\xdd\x7f\xff\xff\xff"),
		BYTES("\x93\x01\x01\xdf\x7f\xff\xff\xff\xa1k"),
		BYTES("\xc7\xff"),
		BYTES("\xd8\x01"),
		BYTES("\xcb\0\0\0"),
	};
	for (size_t i = 0; i < HW_ARRAY_LEN(cases); i++) /* before msgpack-c has seen it */
		assert_int_equal(precheck_payload((const uint8_t *)cases[i].bytes, cases[i].len),
				 HW_EPROTO);
	refuse(cases, HW_ARRAY_LEN(cases));
}

/* A payload full of small values: the objects msgpack-c makes of them are 24 times as large. */
static void object_limit(void **state)
{
	(void)state;
	enum { HEAD = 11 };
	uint8_t *payload = xmalloc(HEAD + PROTO_OBJECTS_MAX);

	/* [PING, 0, {"k": [n x nil]}]: the values around the nils are 6. */
	for (size_t n = PROTO_OBJECTS_MAX - 8; n < PROTO_OBJECTS_MAX; n++) {
		const uint8_t head[HEAD] = {0x93,
					    PROTO_PING,
					    0,
					    0x81,
					    0xa1,
					    'k',
					    0xdd,
					    0,
					    (uint8_t)(n >> 16),
					    (uint8_t)(n >> 8),
					    (uint8_t)n};
		memcpy(payload, head, sizeof(head));
		memset(payload + sizeof(head), 0xc0, n);
		assert_int_equal(decode_any(payload, sizeof(head) + n),
				 n + 6 <= PROTO_OBJECTS_MAX ? HW_OK : HW_EPROTO);
	}
	free(payload);
}

static void nesting_limit(void **state)
{
	(void)state;
	uint8_t payload[200];

	/* The body is depth 1; each array within it one more. */
	for (size_t depth = 1; depth <= 100; depth++) {
		size_t at = 0;
		payload[at++] = 0x93;
		payload[at++] = PROTO_PING;
		payload[at++] = 0;
		payload[at++] = depth == 1 ? 0x80 : 0x81;
		if (depth > 1) {
			payload[at++] = 0xa1;
			payload[at++] = 'k';
			for (size_t i = 2; i < depth; i++)
				payload[at++] = 0x91;
			payload[at++] = 0x90;
		}
		assert_int_equal(decode_any(payload, at),
				 depth <= PROTO_NESTING_MAX ? HW_OK : HW_EPROTO);
	}
	/* A megabyte of opening brackets. */
	uint8_t *deep = xmalloc(PROTO_FRAME_MAX);
	memset(deep, 0x91, PROTO_FRAME_MAX);
	assert_int_equal(decode_any(deep, PROTO_FRAME_MAX), HW_EPROTO);
	memset(deep, 0x81, PROTO_FRAME_MAX);
	assert_int_equal(decode_any(deep, PROTO_FRAME_MAX), HW_EPROTO);
	free(deep);
}

/* The look at the bytes and msgpack-c agree on what is a value: every format by itself. */
static void every_format(void **state)
{
	(void)state;
	uint8_t payload[600];
	size_t accepted = 0;

	for (unsigned c = 0; c < 256; c++) {
		for (size_t body = 0; body < 40; body++) {
			size_t at = 0;
			const uint8_t head[] = {0x93, PROTO_PING, 0, 0x81, 0xa1, 'k'};
			memcpy(payload, head, sizeof(head));
			at += sizeof(head);
			payload[at++] = (uint8_t)c;
			memset(payload + at, 0, body); /* lengths of 0, values of 0 */
			at += body;
			int r = precheck_payload(payload, at);
			struct proto_message m;
			assert_int_equal(proto_parse(payload, at, &m), r);
			proto_message_finish(&m);
			accepted += r == HW_OK;
		}
	}
	assert_int_equal(accepted, 255); /* each format with one length of body; 0xc1 with none */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_at_every_byte),	cmocka_unit_test(every_byte_changed),
		cmocka_unit_test(trailing_bytes),	cmocka_unit_test(bad_heads),
		cmocka_unit_test(unknown_message_type), cmocka_unit_test(announced_counts),
		cmocka_unit_test(object_limit),		cmocka_unit_test(nesting_limit),
		cmocka_unit_test(every_format),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
