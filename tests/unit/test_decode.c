/* Payloads as a hostile or a newer peer sends them: cut at every byte, wrong types, unknown and
 * doubled keys, counts and depths over the limits. Nothing of it may allocate by the peer's word.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "protocol/alloc.h"
#include "protocol/encode.h"
#include "protocol/pack.h"
#include "tests/decode_any.h"

static int decode_frame(uint8_t *frame, size_t len)
{
	assert_non_null(frame);
	int r = decode_any(frame + PROTO_HEADER_SIZE, len - PROTO_HEADER_SIZE);
	free(frame);
	return r;
}

/* --- Bodies put together by hand: a table of keys, of which one is replaced. --- */

static void put_value(struct pack *p, char kind);

/* The kinds that hold others. */
static void put_list(struct pack *p, char kind)
{
	switch (kind) {
	case 'v': /* vector of strings */
		pack_array(p, 2);
		pack_str(p, "one");
		pack_str(p, "two");
		break;
	case 'V': /* one of them not a string */
		pack_array(p, 2);
		pack_str(p, "one");
		pack_uint(p, 2);
		break;
	case 'Z': /* one of them with a NUL */
		pack_array(p, 2);
		pack_str(p, "one");
		pack_strn(p, "\0", 1);
		break;
	case '3':
	case '4':
	case '5': /* numbers */
		pack_array(p, (size_t)(kind - '0'));
		for (int i = 0; i < kind - '0'; i++)
			pack_uint(p, 1);
		break;
	case 't': /* three, one of them too high for a stream */
		pack_array(p, 3);
		pack_uint(p, 0);
		pack_uint(p, 3);
		pack_uint(p, 0);
		break;
	case 'f':
	case 'g':
	case 'h': { /* fields: good, without text, with a number as text */
		pack_array(p, 1);
		struct pack_map m = pack_map_begin(p);
		if (kind != 'g') {
			pack_key(&m, "text");
			put_value(p, kind == 'f' ? 's' : 'u');
		}
		pack_key(&m, "echo");
		pack_bool(p, true);
		pack_map_end(&m);
		break;
	}
	case 'e':
		pack_array(p, 0);
		break;
	case 'o': { /* a map */
		struct pack_map m = pack_map_begin(p);
		pack_key(&m, "x");
		pack_nil(p);
		pack_map_end(&m);
		break;
	}
	default:
		fail_msg("no such kind: %c", kind);
	}
}

/* Writes one value of the kind that the letter names. */
static void put_value(struct pack *p, char kind)
{
	switch (kind) {
	case 'u':
		pack_uint(p, 1);
		break;
	case 'B': /* over 32 bits */
		pack_uint(p, (uint64_t)1 << 32);
		break;
	case 'i':
		pack_int(p, -2);
		break;
	case 'm': /* minus one */
		pack_int(p, -1);
		break;
	case 'b':
		pack_bool(p, true);
		break;
	case 's':
		pack_str(p, "text");
		break;
	case 'z': /* a NUL within */
		pack_strn(p, "a\0b", 3);
		break;
	case 'd':
		pack_double(p, 1.0);
		break;
	case 'n':
		pack_nil(p);
		break;
	default:
		put_list(p, kind);
	}
}

/* All kinds, and those that a key of each nature takes. */
static const char all_kinds[] = "uBimbszdnvVZ345tfgheo";
#define OPTIONAL "?" /* in front: may be absent or nil */

struct row {
	unsigned type;
	const char *key;
	const char *takes; /* the first kind is used where another key is tried */
};
static const struct row rows[] = {
	{PROTO_REQUEST, "proto", "u"},
	{PROTO_REQUEST, "version", "s"},
	{PROTO_REQUEST, "args", "ve"},
	{PROTO_REQUEST, "host", "s"},
	{PROTO_REQUEST, "command", OPTIONAL "sz"},
	{PROTO_REQUEST, "env", "ve"},
	{PROTO_REQUEST, "cwd", "s"},
	{PROTO_REQUEST, "flags", OPTIONAL "u"},
	{PROTO_REQUEST, "winsize", OPTIONAL "4"},
	{PROTO_REQUEST, "operation", OPTIONAL "s"},
	{PROTO_REQUEST, "stdio", OPTIONAL "s"},
	{PROTO_REQUEST, "modes", OPTIONAL "sz"},
	{PROTO_REQUEST, "streams", "3"},
	{PROTO_SIGNAL, "name", "s"},
	{PROTO_RESIZE, "winsize", "4"},
	{PROTO_ANSWER, "prompt", "u"},
	{PROTO_ANSWER, "cancelled", OPTIONAL "b"},
	{PROTO_ANSWER, "reason", OPTIONAL "s"},
	{PROTO_ANSWER, "answers", OPTIONAL "ve"},
	{PROTO_ACTION, "verb", "s"},
	{PROTO_ACTION, "args", "ve"},
	{PROTO_CONTROL, "proto", "u"},
	{PROTO_CONTROL, "verb", "s"},
	{PROTO_CONTROL, "args", "ve"},
	{PROTO_STARTED, "tty", OPTIONAL "b"},
	{PROTO_STARTED, "reused", OPTIONAL "b"},
	{PROTO_STARTED, "stdin", OPTIONAL "b"},
	{PROTO_STARTED, "escape", OPTIONAL "um"},
	{PROTO_STARTED, "background", OPTIONAL "b"},
	{PROTO_STARTED, "host", OPTIONAL "s"},
	{PROTO_STARTED, "level", OPTIONAL "u"},
	{PROTO_STARTED, "commandline", OPTIONAL "b"},
	{PROTO_STARTED, "local_command", OPTIONAL "b"},
	{PROTO_EXIT, "error", "s"},
	{PROTO_EXIT, "hint", OPTIONAL "s"},
	{PROTO_EXIT, "ran", OPTIONAL "b"},
	{PROTO_EXIT, "stage", OPTIONAL "s"},
	{PROTO_EXIT, "cause", OPTIONAL "s"},
	{PROTO_EXIT, "evidence", OPTIONAL "s"},
	{PROTO_EXIT, "reused", OPTIONAL "b"},
	{PROTO_EXIT, "transport", OPTIONAL "u"},
	{PROTO_PROGRESS, "text", "s"},
	{PROTO_PROGRESS, "retry_ms", OPTIONAL "u"},
	{PROTO_PROMPT, "prompt", "u"},
	{PROTO_PROMPT, "kind", "u"},
	{PROTO_PROMPT, "intro", OPTIONAL "s"},
	{PROTO_PROMPT, "fields", "fe"},
	{PROTO_NOTICE, "raw", OPTIONAL "b"},
	{PROTO_NOTICE, "banner", OPTIONAL "b"},
	{PROTO_NOTICE, "text", "s"},
	{PROTO_FALLBACK, "why", "s"},
	{PROTO_ERROR, "text", "s"},
	{PROTO_REPLY, "ok", "b"},
	{PROTO_REPLY, "error", OPTIONAL "s"},
	{PROTO_REPLY, "items", "efgh"},
};

static bool optional(const struct row *row)
{
	return row->takes[0] == OPTIONAL[0];
}

/* The body of row's message, all keys right but row's own: kind 0 leaves it out. twice: again at
 * the end. */
static int decode_with(const struct row *row, char kind, bool twice, const char *unknown)
{
	struct pack p;
	size_t len;

	pack_init(&p, 256);
	pack_head(&p, row->type, 1);
	struct pack_map m = pack_map_begin(&p);
	if (unknown) {
		pack_key(&m, unknown);
		put_value(&p, 'o');
	}
	for (size_t i = 0; i < HW_ARRAY_LEN(rows); i++) {
		char k = rows[i].takes[optional(&rows[i])];
		if (rows[i].type != row->type)
			continue;
		if (&rows[i] == row)
			k = kind;
		if (k == 0)
			continue;
		pack_key(&m, rows[i].key);
		put_value(&p, k);
	}
	if (twice) {
		pack_key(&m, row->key);
		put_value(&p, kind);
	}
	pack_map_end(&m);
	uint8_t *frame = pack_frame(&p, &len);
	return decode_frame(frame, len);
}

static void each_key_each_type(void **state)
{
	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		for (const char *kind = all_kinds; *kind; kind++) {
			bool fits = strchr(row->takes, *kind) || (*kind == 'n' && optional(row));
			int want = fits ? HW_OK : HW_EPROTO;
			int got = decode_with(row, *kind, false, NULL);
			if (got != want)
				fail_msg("%s %s as %c: %d", proto_type_name(row->type), row->key,
					 *kind, got);
		}
	}
}

static void absent_and_doubled_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		char kind = row->takes[optional(row)];
		int want = optional(row) ? HW_OK : HW_EPROTO;
		int got = decode_with(row, 0, false, NULL);
		if (got != want)
			fail_msg("%s without %s: %d", proto_type_name(row->type), row->key, got);
		assert_int_equal(decode_with(row, kind, true, NULL), HW_EPROTO);
	}
}

static void unknown_keys_are_skipped(void **state)
{
	(void)state;
	/* Such as are near a known one, too. */
	static const char *const names[] = {"later", "", "hos", "hostt", "items2"};
	for (size_t i = 0; i < HW_ARRAY_LEN(rows); i++) {
		char kind = rows[i].takes[optional(&rows[i])];
		for (size_t n = 0; n < HW_ARRAY_LEN(names); n++)
			assert_int_equal(decode_with(&rows[i], kind, false, names[n]), HW_OK);
	}
}

/* Strings sent as bin, as libraries do that keep text and bytes apart. */
static void bin_is_text_too(void **state)
{
	(void)state;
	static const uint8_t payload[] = "\x93\x26\x01\x81\xa3why\xc4\x03Tun";
	struct proto_message m;
	struct proto_fallback out;

	assert_int_equal(proto_parse(payload, sizeof(payload) - 1, &m), HW_OK);
	assert_int_equal(proto_decode_fallback(&m, &out), HW_OK);
	assert_string_equal(out.why, "Tun");
	proto_fallback_free(&out);
	proto_message_finish(&m);
}

static const struct row *row_of(unsigned type, const char *key)
{
	for (size_t i = 0; i < HW_ARRAY_LEN(rows); i++)
		if (rows[i].type == type && strcmp(rows[i].key, key) == 0)
			return &rows[i];
	fail_msg("no row for %s", key);
	return NULL;
}

/* Lists one longer than their limit (encoders refuse to make them). */
static void list_limits(void **state)
{
	(void)state;
	const struct {
		const struct row *row;
		size_t max;
		char kind;
	} cases[] = {
		{row_of(PROTO_REQUEST, "args"), PROTO_ARGS_MAX, 's'},
		{row_of(PROTO_REQUEST, "env"), PROTO_ENV_MAX, 's'},
		{row_of(PROTO_ANSWER, "answers"), PROTO_FIELDS_MAX, 's'},
		{row_of(PROTO_CONTROL, "args"), PROTO_ARGS_MAX, 's'},
		{row_of(PROTO_ACTION, "args"), PROTO_ARGS_MAX, 's'},
		{row_of(PROTO_PROMPT, "fields"), PROTO_FIELDS_MAX, 'f'},
	};
	for (size_t c = 0; c < HW_ARRAY_LEN(cases); c++) {
		for (size_t extra = 0; extra <= 1; extra++) {
			struct pack p;
			size_t len, n = cases[c].max + extra;
			pack_init(&p, 256);
			pack_head(&p, cases[c].row->type, 1);
			struct pack_map m = pack_map_begin(&p);
			for (size_t i = 0; i < HW_ARRAY_LEN(rows); i++) {
				if (rows[i].type != cases[c].row->type || optional(&rows[i]))
					continue;
				if (&rows[i] == cases[c].row)
					continue;
				pack_key(&m, rows[i].key);
				put_value(&p, rows[i].takes[0]);
			}
			pack_key(&m, cases[c].row->key);
			pack_array(&p, n);
			for (size_t i = 0; i < n; i++) {
				if (cases[c].kind == 's') {
					pack_str(&p, "x");
					continue;
				}
				struct pack_map field = pack_map_begin(&p);
				pack_key(&field, "text");
				pack_str(&p, "x");
				pack_map_end(&field);
			}
			pack_map_end(&m);
			uint8_t *frame = pack_frame(&p, &len);
			assert_int_equal(decode_frame(frame, len), extra ? HW_EPROTO : HW_OK);
		}
	}
}

static void word_limits(void **state)
{
	(void)state;
	char *word = xmalloc(PROTO_WORD_MAX + 2);
	for (size_t extra = 0; extra <= 1; extra++) {
		size_t len;
		memset(word, 'W', PROTO_WORD_MAX + 1);
		word[PROTO_WORD_MAX + extra] = '\0';
		const struct proto_signal sig = {.name = word};
		uint8_t *frame = proto_encode_signal(1, &sig, &len);
		assert_int_equal(decode_frame(frame, len), extra ? HW_EPROTO : HW_OK);
	}
	free(word);
}

/* An EXIT says one thing. */
static void exit_says_one_thing(void **state)
{
	(void)state;
	static const char *const keys[] = {"status", "signal", "error"};
	for (unsigned set = 0; set < 8; set++) {
		struct pack p;
		size_t len;
		pack_init(&p, 64);
		pack_head(&p, PROTO_EXIT, 1);
		struct pack_map m = pack_map_begin(&p);
		for (unsigned i = 0; i < 3; i++) {
			if (!(set & 1u << i))
				continue;
			pack_key(&m, keys[i]);
			put_value(&p, i ? 's' : 'u');
		}
		pack_map_end(&m);
		uint8_t *frame = pack_frame(&p, &len);
		assert_int_equal(decode_frame(frame, len),
				 set == 1 || set == 2 || set == 4 ? HW_OK : HW_EPROTO);
	}
}

static void count_values(void *ctx, size_t item, const struct reply_value *v)
{
	(void)item;
	(void)v;
	++*(size_t *)ctx;
}

struct bytes {
	const char *bytes;
	size_t len;
};
#define BYTES(s)                                                                                   \
	{                                                                                          \
		s, sizeof(s) - 1                                                                   \
	}

/* Faults in a reply's last item are seen before anything is told; values of later types are left
 * out. */
static void replies_with_faults(void **state)
{
	(void)state;
	static const struct bytes bad[] = {
		BYTES("\x93\x24\x01\x82\xa2ok\xc3\xa5items\x92\x81\xa1k\x01\x07"),
		BYTES("\x93\x24\x01\x82\xa2ok\xc3\xa5items\x92\x81\xa1k\x01\x81\x01\x01"),
		BYTES("\x93\x24\x01\x82\xa2ok\xc3\xa5items\x92\x81\xa1k\x01\x81\xa2k\0\x01"),
		BYTES("\x93\x24\x01\x82\xa2ok\xc3\xa5items\x92\x81\xa1k\x01\x81\xa1k\xa2v\0"),
		BYTES("\x93\x24\x01\x82\xa2ok\xc2\xa5items\x90"), /* a failure without a sentence */
	};
	static const char later[] = "\x93\x24\x01\x82\xa2ok\xc3\xa5items\x91\x83"
				    "\xa1"
				    "a\xff\xa1"
				    "b\x91\x01\xa1"
				    "c\x01";
	struct proto_message m;
	size_t told = 0, nitems;
	char *error;
	bool ok;

	for (size_t i = 0; i < HW_ARRAY_LEN(bad); i++) {
		assert_int_equal(proto_parse((const uint8_t *)bad[i].bytes, bad[i].len, &m), HW_OK);
		assert_int_equal(proto_decode_reply(&m, &ok, &error, &nitems, count_values, &told),
				 HW_EPROTO);
		assert_null(error);
		proto_message_finish(&m);
	}
	assert_int_equal(told, 0);
	assert_int_equal(proto_parse((const uint8_t *)later, sizeof(later) - 1, &m), HW_OK);
	assert_int_equal(proto_decode_reply(&m, &ok, &error, &nitems, count_values, &told), HW_OK);
	proto_message_finish(&m);
	assert_int_equal(told, 1);
	assert_int_equal(nitems, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_key_each_type),
		cmocka_unit_test(absent_and_doubled_keys),
		cmocka_unit_test(unknown_keys_are_skipped),
		cmocka_unit_test(bin_is_text_too),
		cmocka_unit_test(list_limits),
		cmocka_unit_test(word_limits),
		cmocka_unit_test(exit_says_one_thing),
		cmocka_unit_test(replies_with_faults),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
