/* The worker pool: every job runs once, its end comes on the loop thread, posts keep their order,
 * and nothing is left of it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/worker.h"
#include "protocol/alloc.h"

#define MANY 200

struct fixture {
	uv_loop_t loop;
	struct worker_pool *pool;
	pthread_t loop_thread;
};

static size_t count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static int set_up(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	uv_loop_init(&f->loop);
	f->pool = worker_pool_create(&f->loop, 4);
	f->loop_thread = pthread_self();
	*state = f;
	return f->pool == NULL;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	if (f->pool != NULL)
		assert_int_equal(worker_pool_destroy(f->pool, 5000), 0);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0); /* nothing is left on it */
	free(f);
	return 0;
}

struct count {
	struct fixture *f;
	atomic_int runs;
	int dones;
	atomic_int now, most; /* running at once */
	bool wrong_thread;
};

static void count_run(void *ctx)
{
	struct count *c = ctx;
	int now = atomic_fetch_add(&c->now, 1) + 1, most = atomic_load(&c->most);

	while (now > most && !atomic_compare_exchange_weak(&c->most, &most, now))
		;
	if (pthread_equal(pthread_self(), c->f->loop_thread))
		c->wrong_thread = true;
	atomic_fetch_add(&c->runs, 1);
	atomic_fetch_sub(&c->now, 1);
}

static void count_done(void *ctx)
{
	struct count *c = ctx;

	if (!pthread_equal(pthread_self(), c->f->loop_thread))
		c->wrong_thread = true;
	c->dones++;
}

static void every_job_runs_once(void **state)
{
	struct fixture *f = *state;
	struct count c = {.f = f};

	for (int i = 0; i < MANY; i++)
		worker_submit(f->pool, count_run, count_done, &c);
	assert_int_equal(worker_pool_busy(f->pool), MANY);
	uv_run(&f->loop, UV_RUN_DEFAULT); /* ends by itself: only jobs keep the loop alive */
	assert_int_equal(atomic_load(&c.runs), MANY);
	assert_int_equal(c.dones, MANY);
	assert_int_equal(worker_pool_busy(f->pool), 0);
	assert_in_range(atomic_load(&c.most), 1, 4);
	assert_false(c.wrong_thread);
}

/* Four jobs that each wait for the others can end only if four threads run them. */
struct meeting {
	pthread_barrier_t barrier;
	int dones;
};

static void meet_run(void *ctx)
{
	struct meeting *m = ctx;

	pthread_barrier_wait(&m->barrier);
}

static void meet_done(void *ctx)
{
	struct meeting *m = ctx;

	m->dones++;
}

static void jobs_run_side_by_side(void **state)
{
	struct fixture *f = *state;
	struct meeting m = {.dones = 0};

	pthread_barrier_init(&m.barrier, NULL, 4);
	for (int i = 0; i < 8; i++)
		worker_submit(f->pool, meet_run, meet_done, &m);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(m.dones, 8);
	pthread_barrier_destroy(&m.barrier);
}

struct talk {
	struct fixture *f;
	int next;
	bool ordered, ended;
};

struct word {
	struct talk *talk;
	int number;
};

static void on_word(void *ctx)
{
	struct word *w = ctx;

	if (w->number != w->talk->next++ || w->talk->ended)
		w->talk->ordered = false;
	free(w);
}

static void talk_run(void *ctx)
{
	struct talk *t = ctx;

	for (int i = 0; i < MANY; i++) {
		struct word *w = xcalloc(1, sizeof(*w));

		w->talk = t;
		w->number = i;
		worker_post(t->f->pool, on_word, w);
	}
}

static void talk_done(void *ctx)
{
	struct talk *t = ctx;

	t->ended = true;
}

static void posts_come_in_order_and_before_the_end(void **state)
{
	struct fixture *f = *state;
	struct talk t = {.f = f, .ordered = true};

	worker_submit(f->pool, talk_run, talk_done, &t);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(t.next, MANY);
	assert_true(t.ordered);
	assert_true(t.ended);
}

static void wait_for_byte(void *ctx)
{
	char c;

	assert_int_equal(read(*(int *)ctx, &c, 1), 1);
}

static void nothing_done(void *ctx)
{
	(void)ctx;
}

/* A thread that hangs is counted and left; the caller is held for the grace time only. */
static void a_hanging_job_is_left_behind(void **state)
{
	struct fixture *f = *state;
	static struct worker_pool *hanging; /* static: what stays behind stays reachable */
	static uv_loop_t loop;
	uint64_t begin;
	int pipe_fds[2];

	(void)f;
	assert_int_equal(pipe(pipe_fds), 0);
	uv_loop_init(&loop);
	hanging = worker_pool_create(&loop, 2);
	worker_submit(hanging, wait_for_byte, nothing_done, &pipe_fds[0]);
	begin = uv_hrtime();
	assert_int_equal(worker_pool_destroy(hanging, 100), 1);
	assert_in_range((uv_hrtime() - begin) / 1000000u, 90, 3000);
	/* Let it end, so that the counts of the next test are its own. */
	assert_int_equal(write(pipe_fds[1], "x", 1), 1);
	uv_run(&loop, UV_RUN_DEFAULT);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void no_thread_or_descriptor_stays(void **state)
{
	struct fixture *f = *state;
	size_t fds, threads;

	assert_int_equal(worker_pool_destroy(f->pool, 5000), 0);
	f->pool = NULL;
	uv_run(&f->loop, UV_RUN_DEFAULT);
	fds = count_entries("/proc/self/fd");
	threads = count_entries("/proc/self/task");
	for (int round = 0; round < 3; round++) {
		struct count c = {.f = f};
		struct worker_pool *p = worker_pool_create(&f->loop, 8);

		f->pool = p;
		for (int i = 0; i < MANY; i++)
			worker_submit(p, count_run, count_done, &c);
		/* Not run by the loop: destroying runs out what is queued, ends included. */
		assert_int_equal(worker_pool_destroy(p, 5000), 0);
		f->pool = NULL;
		uv_run(&f->loop, UV_RUN_DEFAULT);
		assert_int_equal(c.dones, MANY);
	}
	assert_int_equal(count_entries("/proc/self/fd"), fds);
	/* A joined thread may stand in /proc for a moment longer. */
	for (uint64_t begin = uv_hrtime(); count_entries("/proc/self/task") > threads;)
		assert_in_range(uv_hrtime() - begin, 0, 5000000000u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_job_runs_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(jobs_run_side_by_side, set_up, tear_down),
		cmocka_unit_test_setup_teardown(posts_come_in_order_and_before_the_end, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(no_thread_or_descriptor_stays, set_up, tear_down),
		/* Last: what it leaves behind is left for the process's end. */
		cmocka_unit_test_setup_teardown(a_hanging_job_is_left_behind, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
