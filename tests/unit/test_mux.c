/* OpenSSH's multiplexing messages, in whatever pieces they come. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "client/mux.h"

/* Reads all of in, step bytes at a time; returns how many messages there were, the last in *m,
 * which is good until the next call. */
static int read_all(const uint8_t *in, size_t len, size_t step, struct mux_message *m, bool *broken)
{
	static struct mux_reader r; /* m->rest lies in it */
	int count = 0;

	r = (struct mux_reader){0};
	*broken = false;
	for (size_t at = 0; at < len && !*broken;) {
		size_t piece = len - at < step ? len - at : step, used;
		count += mux_read(&r, in + at, piece, &used, m, broken);
		assert_true(used <= piece && (used > 0 || *broken));
		at += used;
	}
	return count;
}

static void test_own_messages(void **state)
{
	uint8_t out[4 * MUX_REPLY_MAX];
	struct mux_message m;
	bool broken;

	(void)state;
	for (size_t step = 1; step < 40; step++) {
		size_t len = mux_put_hello(out, true);
		assert_int_equal(read_all(out, len, step, &m, &broken), 1);
		assert_int_equal(m.type, MUX_HELLO);
		assert_int_equal(m.number, MUX_VERSION);
		assert_true(mux_is_ours(&m));
		len += mux_put_number(out + len, MUX_ALIVE, 7, 4711);
		len += mux_put_text(out + len, MUX_FAILURE, 8, "why");
		assert_int_equal(read_all(out, len, step, &m, &broken), 3);
		assert_int_equal(m.type, MUX_FAILURE);
		assert_int_equal(m.number, 8);
		assert_int_equal(m.rest_len, 7);
		assert_memory_equal(m.rest, "\0\0\0\3why", 7);
	}
	read_all(out, mux_put_hello(out, false), 5, &m, &broken);
	assert_false(mux_is_ours(&m));
}

/* A message longer than what is kept is skipped to its end; what follows is understood. */
static void test_long_message(void **state)
{
	static uint8_t in[4 + 5000 + 100] = {0, 0, 5000 >> 8, 5000 & 0xff, 0x10, 0,
					     0, 2, 0,	      0,	   0,	 9};
	struct mux_message m;
	bool broken;

	(void)state;
	for (size_t step = 1; step < 6000; step = step * 3 + 1) {
		assert_int_equal(read_all(in, 5004, step, &m, &broken), 1);
		assert_int_equal(m.type, MUX_NEW_SESSION);
		assert_int_equal(m.number, 9);
		assert_int_equal(m.rest_len, MUX_KEPT_MAX - 8);
		size_t more = mux_put(in + 5004, MUX_TERMINATE, 3);
		assert_int_equal(read_all(in, 5004 + more, step, &m, &broken), 2);
		assert_int_equal(m.type, MUX_TERMINATE);
	}
}

static void test_broken(void **state)
{
	static const uint8_t small[] = {0, 0, 0, 3, 1, 2, 3}, large[] = {0, 4, 0, 1};
	static const uint8_t no_id[] = {0, 0, 0, 4, 0x10, 0, 0, 4};
	struct mux_message m;
	bool broken;

	(void)state;
	assert_int_equal(read_all(small, sizeof(small), 7, &m, &broken), 0);
	assert_true(broken);
	assert_int_equal(read_all(large, sizeof(large), 1, &m, &broken), 0);
	assert_true(broken);
	assert_int_equal(read_all(no_id, sizeof(no_id), 8, &m, &broken), 1);
	assert_int_equal(m.type, MUX_ALIVE_CHECK);
	assert_int_equal(m.number, 0);
	assert_false(broken);
}

/* Extensions: ours behind another, a length beyond the end, a value that looks like our name. */
static void test_extensions(void **state)
{
	static const uint8_t behind[] = "\0\0\0\1x\0\0\0\2yz\0\0\0\16session@hawser\0\0\0\0";
	static const uint8_t beyond[] = "\0\0\0\1x\0\0\1\0y\0\0\0\16session@hawser\0\0\0\0";
	static const uint8_t value[] = "\0\0\0\1x\0\0\0\16session@hawser";

	(void)state;
	assert_true(mux_is_ours(&(struct mux_message){.rest = behind, .rest_len = 29}));
	for (size_t cut = 0; cut < 29; cut++)
		assert_false(mux_is_ours(&(struct mux_message){.rest = behind, .rest_len = cut}));
	assert_false(
		mux_is_ours(&(struct mux_message){.rest = beyond, .rest_len = sizeof(beyond) - 1}));
	assert_false(
		mux_is_ours(&(struct mux_message){.rest = value, .rest_len = sizeof(value) - 1}));
}

static void test_text_is_cut(void **state)
{
	char text[1000];
	uint8_t out[MUX_REPLY_MAX];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_true(mux_put_text(out, MUX_FAILURE, 1, text) <= sizeof(out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_messages), cmocka_unit_test(test_long_message),
		cmocka_unit_test(test_broken),	     cmocka_unit_test(test_extensions),
		cmocka_unit_test(test_text_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
