/* Pumps: bytes in order under back-pressure, and never a flag on a description that others share.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "daemon/pump.h"

#define BIG (3u * 1024 * 1024)

static uv_loop_t loop;
static struct watch_set *set;
static unsigned changes;

static int setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	changes = 0;
	assert_int_equal(uv_loop_init(&loop), 0);
	set = watch_set_create(&loop);
	assert_non_null(set);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	watch_set_destroy(set);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	return 0;
}

static void on_changed(void *ctx)
{
	(void)ctx;
	changes++;
}

static void on_changed_pause(void *ctx)
{
	changes++;
	pump_in_pause(ctx);
}

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 31 + i / 251);
}

/* Reads all that is there; checks that it continues the pattern at *at. */
static void read_some(int fd, size_t *at)
{
	static uint8_t buf[65536];
	ssize_t n = read(fd, buf, sizeof(buf));

	assert_true(n > 0);
	for (ssize_t i = 0; i < n; i++)
		assert_int_equal(buf[i], pattern(*at + (size_t)i));
	*at += (size_t)n;
}

static void check_order(int reader, int writer)
{
	static uint8_t chunk[65536];
	struct pump_out p;
	size_t written = 0, at = 0;

	pump_out_init(&p, set, writer, on_changed, NULL);
	while (written < BIG) {
		for (size_t i = 0; i < sizeof(chunk); i++)
			chunk[i] = pattern(written + i);
		pump_out_write(&p, chunk, sizeof(chunk));
		written += sizeof(chunk);
	}
	assert_true(pump_out_full(&p));
	while (at < written) {
		read_some(reader, &at);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	assert_true(pump_out_empty(&p));
	assert_int_equal(changes, 1); /* told once, when it ran empty */
	pump_out_finish(&p);
	assert_int_equal(read(reader, chunk, 1), 0); /* and the descriptor is closed */
	close(reader);
}

static void test_out_pipe_keeps_order(void **state)
{
	int pipes[2];

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	check_order(pipes[0], pipes[1]);
}

static void test_out_socket_keeps_order_and_flags(void **state)
{
	int pair[2], shared;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	shared = dup(pair[1]);
	assert_int_equal(fcntl(shared, F_GETFL) & O_NONBLOCK, 0);
	{
		struct pump_out p;

		pump_out_init(&p, set, pair[1], on_changed, NULL);
		pump_out_write(&p, "x", 1);
		assert_int_equal(fcntl(shared, F_GETFL) & O_NONBLOCK, 0);
		pump_out_finish(&p);
	}
	assert_int_equal(fcntl(shared, F_GETFL) & O_NONBLOCK, 0);
	{
		char x;

		assert_int_equal(read(pair[0], &x, 1), 1);
	}
	check_order(pair[0], shared);
}

static void test_out_reader_gone_is_told(void **state)
{
	static uint8_t chunk[512 * 1024];
	struct pump_out p;
	int pipes[2];

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pump_out_init(&p, set, pipes[1], on_changed, NULL);
	pump_out_write(&p, chunk, sizeof(chunk)); /* more than a pipe holds */
	close(pipes[0]);
	while (changes == 0)
		uv_run(&loop, UV_RUN_ONCE);
	assert_true(p.broken);
	pump_out_write(&p, chunk, 10);
	assert_int_equal(p.dropped, 10);
	pump_out_finish(&p);
}

static void test_out_without_descriptor_drops(void **state)
{
	struct pump_out p;

	(void)state;
	pump_out_init(&p, set, -1, on_changed, NULL);
	pump_out_write(&p, "abc", 3);
	assert_false(p.broken);
	assert_true(pump_out_empty(&p));
	pump_out_finish(&p);
}

static void test_in_waits_reads_and_ends(void **state)
{
	struct pump_in p;
	int pipes[2];
	char buf[16];
	size_t len;

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pump_in_init(&p, set, pipes[0], on_changed, NULL);
	assert_int_equal(pump_in_read(&p, buf, sizeof(buf), &len), PUMP_IN_WAIT);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(changes, 0);
	assert_int_equal(write(pipes[1], "hello", 5), 5);
	while (changes == 0)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(pump_in_read(&p, buf, sizeof(buf), &len), PUMP_IN_DATA);
	assert_int_equal(len, 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(pump_in_read(&p, buf, sizeof(buf), &len), PUMP_IN_WAIT);
	close(pipes[1]);
	while (changes == 1)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(pump_in_read(&p, buf, sizeof(buf), &len), PUMP_IN_EOF);
	assert_int_equal(p.fd, -1);
	pump_in_finish(&p);
}

/* A reader that has no room asks for nothing, and a hung-up pipe must not turn the loop into a
 * spin meanwhile. */
static void test_in_hangup_while_unread_does_not_spin(void **state)
{
	struct pump_in p;
	int pipes[2];
	char buf[16];
	size_t len;

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pump_in_init(&p, set, pipes[0], on_changed_pause, &p);
	assert_int_equal(pump_in_read(&p, buf, sizeof(buf), &len), PUMP_IN_WAIT);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	close(pipes[1]);
	for (int i = 0; i < 50; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(changes, 1);
	pump_in_finish(&p);
}

static void test_in_socket_keeps_flags(void **state)
{
	struct pump_in p;
	int pair[2], shared;
	char buf[4];
	size_t len;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	shared = dup(pair[1]);
	pump_in_init(&p, set, pair[1], on_changed, NULL);
	assert_int_equal(pump_in_read(&p, buf, sizeof(buf), &len), PUMP_IN_WAIT);
	assert_int_equal(fcntl(shared, F_GETFL) & O_NONBLOCK, 0);
	pump_in_finish(&p);
	assert_int_equal(fcntl(shared, F_GETFL) & O_NONBLOCK, 0);
	close(shared);
	close(pair[0]);
}

/* A regular file can't be polled: it stays with the client by protocol, and is refused here. */
static void test_regular_file_is_refused(void **state)
{
	struct pump_in in;
	char buf[4];
	size_t len;

	(void)state;
	pump_in_init(&in, set, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), on_changed, NULL);
	assert_int_equal(in.fd, -1);
	assert_int_equal(pump_in_read(&in, buf, sizeof(buf), &len), PUMP_IN_EOF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_out_pipe_keeps_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_socket_keeps_order_and_flags, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_out_reader_gone_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_without_descriptor_drops, setup, teardown),
		cmocka_unit_test_setup_teardown(test_in_waits_reads_and_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_in_hangup_while_unread_does_not_spin, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_in_socket_keeps_flags, setup, teardown),
		cmocka_unit_test_setup_teardown(test_regular_file_is_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
