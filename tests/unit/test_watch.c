/* Watches of descriptors that other processes share. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "daemon/watch.h"

struct probe {
	struct watch *watch;
	struct watch *remove_too; /* removed from within the callback */
	int fd;
	unsigned calls, events;
	bool remove_self, drain;
};

static uv_loop_t loop;
static struct watch_set *set;

static int setup(void **state)
{
	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	set = watch_set_create(&loop);
	assert_non_null(set);
	return 0;
}

/* Every test ends with nothing left in the loop. */
static int teardown(void **state)
{
	(void)state;
	watch_set_destroy(set);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	return 0;
}

static void on_ready(void *ctx, unsigned events)
{
	struct probe *p = ctx;
	char byte;

	p->calls++;
	p->events |= events;
	if (p->drain)
		assert_int_equal(read(p->fd, &byte, 1), 1);
	watch_remove(p->remove_too);
	p->remove_too = NULL;
	if (p->remove_self) {
		watch_remove(p->watch);
		p->watch = NULL;
	}
}

static void make_pair(int pair[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
}

static void watch_probe(struct probe *p, int fd, unsigned events)
{
	p->fd = fd;
	p->watch = watch_add(set, fd, events, on_ready, p);
	assert_non_null(p->watch);
}

static void close_pair(int pair[2])
{
	close(pair[0]);
	close(pair[1]);
}

static void test_reads_and_writes(void **state)
{
	struct probe p = {.drain = true};
	int pair[2];

	(void)state;
	make_pair(pair);
	watch_probe(&p, pair[0], WATCH_READ);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(p.calls, 0);
	assert_int_equal(write(pair[1], "ab", 2), 2);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(p.calls, 1);
	assert_int_equal(p.events, WATCH_READ);
	/* Level-triggered: one byte is left. */
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(p.calls, 2);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(p.calls, 2);
	p = (struct probe){.watch = p.watch, .fd = p.fd};
	watch_change(p.watch, WATCH_WRITE);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(p.calls, 1);
	assert_int_equal(p.events, WATCH_WRITE);
	watch_remove(p.watch);
	close_pair(pair);
}

static void test_removed_in_its_own_callback(void **state)
{
	struct probe p = {.remove_self = true};
	int pair[2];

	(void)state;
	make_pair(pair);
	watch_probe(&p, pair[0], WATCH_READ);
	assert_int_equal(write(pair[1], "a", 1), 1);
	uv_run(&loop, UV_RUN_NOWAIT);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(p.calls, 1);
	close_pair(pair);
}

/* Both are reported in the same turn; whichever comes first removes the other. */
static void test_removed_in_the_same_turn(void **state)
{
	struct probe a = {0}, b = {0};
	int one[2], two[2];

	(void)state;
	make_pair(one);
	make_pair(two);
	watch_probe(&a, one[0], WATCH_READ);
	watch_probe(&b, two[0], WATCH_READ);
	a.remove_too = b.watch;
	b.remove_too = a.watch;
	assert_int_equal(write(one[1], "a", 1), 1);
	assert_int_equal(write(two[1], "a", 1), 1);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(a.calls + b.calls, 1);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(a.calls + b.calls, 2);
	watch_remove(a.remove_too ? b.watch : a.watch);
	close_pair(one);
	close_pair(two);
}

static struct probe fresh;
static int fresh_pair[2];

/* Removes the other watch, closes its descriptor, and watches a new one that gets its number. */
static void on_ready_replace(void *ctx, unsigned events)
{
	struct probe *other = ctx;
	int old = other->fd;

	(void)events;
	if (!other->watch)
		return;
	watch_remove(other->watch);
	other->watch = NULL;
	close(old);
	make_pair(fresh_pair);
	assert_true(fresh_pair[0] == old || fresh_pair[1] == old);
	watch_probe(&fresh, old, WATCH_READ);
}

static void test_number_reused_in_the_same_turn(void **state)
{
	struct probe a = {0}, b = {0};
	struct watch *wa, *wb;
	int one[2], two[2];

	(void)state;
	fresh = (struct probe){0};
	make_pair(one);
	make_pair(two);
	/* Each callback replaces the other's descriptor; only the first gets to do so. */
	wa = watch_add(set, one[0], WATCH_READ, on_ready_replace, &b);
	wb = watch_add(set, two[0], WATCH_READ, on_ready_replace, &a);
	a = (struct probe){.watch = wa, .fd = one[0]};
	b = (struct probe){.watch = wb, .fd = two[0]};
	assert_int_equal(write(one[1], "a", 1), 1);
	assert_int_equal(write(two[1], "a", 1), 1);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_true((a.watch == NULL) != (b.watch == NULL));
	assert_int_equal(fresh.calls, 0);
	watch_remove(fresh.watch);
	watch_remove(a.watch ? a.watch : b.watch);
	close_pair(fresh_pair);
	close(one[1]);
	close(two[1]);
	close(a.watch ? one[0] : two[0]);
}

/* A hang-up is reported by the kernel to every mask; to one that asks for nothing it must neither
 * be reported nor keep the loop awake, and it must come when the mask asks again. */
static void test_hangup_waits_for_a_mask(void **state)
{
	struct probe p = {0};
	int pair[2];

	(void)state;
	make_pair(pair);
	watch_probe(&p, pair[0], 0);
	close(pair[1]);
	uv_run(&loop, UV_RUN_NOWAIT);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(p.calls, 0);
	assert_int_equal(uv_backend_timeout(&loop), -1);
	watch_change(p.watch, WATCH_READ | WATCH_WRITE);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(p.calls, 1);
	assert_int_equal(p.events, WATCH_READ | WATCH_WRITE);
	watch_change(p.watch, 0);
	uv_run(&loop, UV_RUN_NOWAIT);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(p.calls, 1);
	watch_remove(p.watch);
	close(pair[0]);
}

static void on_tick(uv_timer_t *timer)
{
	uv_stop(timer->loop);
}

static void count_turn(uv_prepare_t *prepare)
{
	++*(unsigned *)prepare->data;
}

/* The same by the number of turns that the loop takes within 50 ms. */
static void test_hangup_does_not_spin(void **state)
{
	struct probe p = {0};
	unsigned turns = 0;
	uv_prepare_t prepare;
	uv_timer_t timer;
	int pair[2];

	(void)state;
	make_pair(pair);
	watch_probe(&p, pair[0], WATCH_READ);
	watch_change(p.watch, 0);
	close(pair[1]);
	uv_prepare_init(&loop, &prepare);
	prepare.data = &turns;
	uv_prepare_start(&prepare, count_turn);
	uv_timer_init(&loop, &timer);
	uv_timer_start(&timer, on_tick, 50, 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_in_range(turns, 1, 10);
	assert_int_equal(p.calls, 0);
	watch_remove(p.watch);
	close(pair[0]);
	uv_close((uv_handle_t *)&prepare, NULL);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&loop, UV_RUN_NOWAIT); /* they live on this stack */
}

static void test_flags_of_others_stay(void **state)
{
	struct probe p = {0};
	int pair[2], flags;

	(void)state;
	make_pair(pair);
	flags = fcntl(pair[0], F_GETFL);
	assert_int_equal(flags & O_NONBLOCK, 0);
	watch_probe(&p, pair[0], WATCH_READ | WATCH_WRITE);
	uv_run(&loop, UV_RUN_NOWAIT);
	watch_change(p.watch, WATCH_READ);
	assert_int_equal(fcntl(pair[0], F_GETFL), flags);
	watch_remove(p.watch);
	assert_int_equal(fcntl(pair[0], F_GETFL), flags);
	close_pair(pair);
}

static void test_regular_file_is_refused(void **state)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_null(watch_add(set, fd, WATCH_READ, on_ready, NULL));
	assert_int_equal(errno, EPERM);
	close(fd);
}

/* More than are taken in one turn: all are served. */
static void test_many(void **state)
{
	struct probe probes[200] = {{0}};
	int pair[2], fds[200];

	(void)state;
	make_pair(pair);
	assert_int_equal(write(pair[1], "a", 1), 1);
	for (size_t i = 0; i < 200; i++) {
		probes[i].remove_self = true;
		fds[i] = dup(pair[0]);
		assert_true(fds[i] >= 0);
		watch_probe(&probes[i], fds[i], WATCH_READ);
	}
	for (int turn = 0; turn < 10; turn++)
		uv_run(&loop, UV_RUN_NOWAIT);
	for (size_t i = 0; i < 200; i++) {
		assert_int_equal(probes[i].calls, 1);
		close(fds[i]);
	}
	close_pair(pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_reads_and_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed_in_its_own_callback, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed_in_the_same_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_number_reused_in_the_same_turn, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_hangup_waits_for_a_mask, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hangup_does_not_spin, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flags_of_others_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_regular_file_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
