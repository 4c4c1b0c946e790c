/* Deferred work runs from the top of the loop, once, and not at all when cancelled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "daemon/defer.h"

struct probe {
	struct defer defer;
	struct defer_queue *queue;
	struct probe *cancel, *post; /* done from within */
	unsigned calls;
};

static uv_loop_t loop;
static struct defer_queue *queue;

static int setup(void **state)
{
	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	queue = defer_queue_create(&loop);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	defer_queue_destroy(queue);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	return 0;
}

static void on_probe(void *ctx)
{
	struct probe *p = ctx;

	p->calls++;
	if (p->cancel != NULL)
		defer_cancel(&p->cancel->defer);
	if (p->post != NULL)
		defer_post(queue, &p->post->defer);
}

static void probe_init(struct probe *p)
{
	*p = (struct probe){0};
	defer_init(&p->defer, on_probe, p);
}

static void test_runs_once_and_not_within_the_post(void **state)
{
	struct probe p;

	(void)state;
	probe_init(&p);
	defer_post(queue, &p.defer);
	defer_post(queue, &p.defer);
	assert_int_equal(p.calls, 0);
	uv_run(&loop, UV_RUN_DEFAULT); /* also ends: the queue holds the loop only while filled */
	assert_int_equal(p.calls, 1);
}

static void test_cancelled_never_runs(void **state)
{
	struct probe a, b;

	(void)state;
	probe_init(&a);
	probe_init(&b);
	a.cancel = &b; /* of the same batch */
	defer_post(queue, &a.defer);
	defer_post(queue, &b.defer);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 0);
}

static void test_posting_itself_leaves_the_loop_its_turn(void **state)
{
	struct probe p;

	(void)state;
	probe_init(&p);
	p.post = &p;
	defer_post(queue, &p.defer);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(p.calls, 1);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(p.calls, 2);
	defer_cancel(&p.defer);
}

static void test_destroy_drops_what_is_queued(void **state)
{
	static struct probe p; /* teardown still has it queued */

	(void)state;
	probe_init(&p);
	defer_post(queue, &p.defer);
	/* teardown destroys the queue: the loop closes, nothing runs */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_runs_once_and_not_within_the_post, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_cancelled_never_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_posting_itself_leaves_the_loop_its_turn, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_destroy_drops_what_is_queued, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
