/* The waits between tries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>

#include "daemon/backoff.h"

static void test_grows(void **state)
{
	(void)state;
	for (unsigned random = 0; random < 5000; random += 7) {
		for (unsigned n = 1; n < 7; n++) {
			unsigned ms = backoff_ms(n, random), full = 250u << (n - 1);

			assert_in_range(ms, full / 2, full);
		}
	}
}

static void test_ends_growing(void **state)
{
	(void)state;
	assert_in_range(backoff_ms(50, 12345), 7500, 15000);
	assert_in_range(backoff_ms(UINT_MAX, UINT_MAX), 7500, 15000);
	assert_in_range(backoff_refused_ms(1, 99), 2000, 4000);
	assert_in_range(backoff_refused_ms(1000, 99), 30000, 60000);
}

static void test_jitter(void **state)
{
	(void)state;
	assert_int_equal(backoff_ms(1, 0), 125);
	assert_int_equal(backoff_ms(1, 125), 250);
	assert_int_equal(backoff_ms(1, 126), 125);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grows),
		cmocka_unit_test(test_ends_growing),
		cmocka_unit_test(test_jitter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
