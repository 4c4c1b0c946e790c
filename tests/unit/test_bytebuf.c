/* The byte queue against a plain model of it, and its maximum. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "protocol/bytebuf.h"

static void empty_queue(void **state)
{
	(void)state;
	struct bytebuf b;

	bytebuf_init(&b, 10);
	assert_int_equal(bytebuf_len(&b), 0);
	assert_int_equal(bytebuf_room(&b), 10);
	assert_non_null(bytebuf_peek(&b)); /* may be handed to memcpy with 0 bytes */
	bytebuf_consume(&b, 5);
	assert_int_equal(bytebuf_len(&b), 0);
	bytebuf_finish(&b);
	bytebuf_finish(&b);
}

static void maximum(void **state)
{
	(void)state;
	struct bytebuf b;

	bytebuf_init(&b, 10);
	assert_int_equal(bytebuf_append(&b, "0123456789x", 11), HW_ETOOBIG);
	assert_int_equal(bytebuf_len(&b), 0);
	assert_int_equal(bytebuf_append(&b, "0123456789", 10), HW_OK);
	assert_int_equal(bytebuf_append(&b, "", 0), HW_OK);
	assert_int_equal(bytebuf_append(&b, "x", 1), HW_ETOOBIG);
	assert_int_equal(bytebuf_append(&b, "x", SIZE_MAX), HW_ETOOBIG);
	assert_null(bytebuf_reserve(&b, 1));
	assert_null(bytebuf_reserve(&b, SIZE_MAX));
	assert_memory_equal(bytebuf_peek(&b), "0123456789", 10);
	bytebuf_consume(&b, 4);
	assert_int_equal(bytebuf_room(&b), 4);
	assert_int_equal(bytebuf_append(&b, "abcd", 4), HW_OK);
	assert_memory_equal(bytebuf_peek(&b), "456789abcd", 10);
	bytebuf_finish(&b);
	/* It may be used again, with the same maximum. */
	assert_int_equal(bytebuf_append(&b, "0123456789", 10), HW_OK);
	assert_int_equal(bytebuf_room(&b), 0);
	bytebuf_finish(&b);
}

static void reserve_and_commit(void **state)
{
	(void)state;
	struct bytebuf b;

	bytebuf_init(&b, 1000);
	void *at = bytebuf_reserve(&b, 1000);
	assert_non_null(at);
	memset(at, 'a', 1000); /* all of it must be ours: the sanitizer looks on */
	bytebuf_commit(&b, 3);
	assert_int_equal(bytebuf_len(&b), 3);
	at = bytebuf_reserve(&b, 997);
	assert_non_null(at);
	memset(at, 'b', 997);
	bytebuf_commit(&b, 0);
	assert_int_equal(bytebuf_len(&b), 3);
	assert_memory_equal(bytebuf_peek(&b), "aaa", 3);
	assert_null(bytebuf_reserve(&b, 998));
	bytebuf_finish(&b);
}

/* Random appends, reserves and consumes; what comes out is the sequence that went in. */
static void against_model(void **state)
{
	(void)state;
	enum { MAX = 5000, ROUNDS = 20000 };
	static const unsigned seeds[] = {1, 2, 3};
	uint8_t chunk[1500];

	for (size_t s = 0; s < HW_ARRAY_LEN(seeds); s++) {
		struct bytebuf b;
		uint64_t in = 0, out = 0; /* the n-th byte of the sequence is (uint8_t)(n * 7) */
		srandom(seeds[s]);
		bytebuf_init(&b, MAX);
		for (int i = 0; i < ROUNDS; i++) {
			size_t n = (size_t)random() % sizeof(chunk);
			bool fits = in - out + n <= MAX;
			for (size_t k = 0; k < n; k++)
				chunk[k] = (uint8_t)((in + k) * 7);
			switch (random() % 3) {
			case 0:
				assert_int_equal(bytebuf_append(&b, chunk, n),
						 fits ? HW_OK : HW_ETOOBIG);
				in += fits ? n : 0;
				break;
			case 1: {
				void *at = bytebuf_reserve(&b, n);
				assert_int_equal(at != NULL, fits);
				if (at) {
					memcpy(at, chunk, n);
					bytebuf_commit(&b, n / 2);
					in += n / 2;
				}
				break;
			}
			default:
				if (n > in - out)
					n = in - out;
				for (size_t k = 0; k < n; k++)
					assert_int_equal(bytebuf_peek(&b)[k],
							 (uint8_t)((out + k) * 7));
				bytebuf_consume(&b, n);
				out += n;
			}
			assert_int_equal(bytebuf_len(&b), in - out);
			assert_int_equal(bytebuf_room(&b), MAX - (in - out));
		}
		assert_true(out > 100 * MAX); /* it did turn over */
		bytebuf_finish(&b);
	}
}

/* A queue that never runs empty must not creep through memory. */
static void memory_stays_small(void **state)
{
	(void)state;
	struct bytebuf b;
	uint8_t chunk[100] = {0};

	bytebuf_init(&b, SIZE_MAX);
	assert_int_equal(bytebuf_append(&b, chunk, 1), HW_OK);
	for (int i = 0; i < 10000; i++) {
		assert_int_equal(bytebuf_append(&b, chunk, sizeof(chunk)), HW_OK);
		bytebuf_consume(&b, sizeof(chunk));
	}
	assert_true(b.cap <= 1024);
	bytebuf_finish(&b);
}

/* A queue that is nearly full all the time costs no more than an empty one: with the bytes moved at
 * every step this would copy 64 GB. */
static void full_queue_is_cheap(void **state)
{
	(void)state;
	enum { MAX = 1 << 16, STEPS = 1000000 };
	struct bytebuf b;
	uint8_t chunk[MAX] = {0};

	bytebuf_init(&b, MAX);
	assert_int_equal(bytebuf_append(&b, chunk, MAX), HW_OK);
	struct timespec before, after;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	for (int i = 0; i < STEPS; i++) {
		bytebuf_consume(&b, 1);
		assert_true(bytebuf_append(&b, chunk, 1) == HW_OK);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	assert_true(b.cap <= 2 * MAX);
	assert_true(after.tv_sec - before.tv_sec < 2);
	bytebuf_finish(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_queue),	      cmocka_unit_test(maximum),
		cmocka_unit_test(reserve_and_commit), cmocka_unit_test(against_model),
		cmocka_unit_test(memory_stays_small), cmocka_unit_test(full_queue_is_cheap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
