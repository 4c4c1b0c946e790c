/* Who is let in: our user only, so many at once, and a pause when descriptors run out. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "daemon/listener.h"
#include "tests/fakes/peer.h"

#define OTHER_UID   65534
#define OTHER_ERROR 77

static struct sockaddr_un address;
static socklen_t address_len;
static struct listener *listener;

/* An abstract name: reachable for every user, so that it is hawserd's own check that counts. */
static int setup(void **state)
{
	int fd, len;

	(void)state;
	peers_init(NULL);
	address = (struct sockaddr_un){.sun_family = AF_UNIX};
	len = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "hawser-test-%ld",
		       (long)getpid());
	address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, address_len), 0);
	assert_int_equal(listen(fd, 200), 0);
	listener = listener_create(&fake_app.app, fd);
	assert_non_null(listener);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	listener_destroy(listener);
	peers_finish();
	return 0;
}

static void connect_peer(struct peer *p)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, address_len), 0);
	*p = (struct peer){.fd = fd};
	frame_reader_init(&p->reader);
}

static void test_serves(void **state)
{
	struct peer p;

	(void)state;
	connect_peer(&p);
	peer_expect_alive(&p);
	peer_request(&p, 1, 0);
	assert_int_equal(fake_sessions.live->request.peer_pid, getpid());
	peer_close(&p);
	wait_for_conns(2);
}

/* More than one turn takes: all are served. */
static void test_crowd(void **state)
{
	struct peer crowd[150];

	(void)state;
	for (size_t i = 0; i < 150; i++)
		connect_peer(&crowd[i]);
	for (size_t i = 0; i < 150; i++) {
		peer_expect_alive(&crowd[i]);
		peer_close(&crowd[i]);
	}
	wait_for_conns(2);
}

static void test_accept_all(void **state)
{
	struct peer crowd[100];

	(void)state;
	for (size_t i = 0; i < 100; i++)
		connect_peer(&crowd[i]);
	assert_int_equal(listener_accept_all(listener), 100);
	assert_int_equal(listener_accept_all(listener), 0);
	listener_close(listener);
	listener_close(listener);
	for (size_t i = 0; i < 100; i++) {
		peer_expect_alive(&crowd[i]);
		peer_close(&crowd[i]);
	}
	wait_for_conns(2);
}

static void test_too_many_clients(void **state)
{
	struct peer in, out;

	(void)state;
	fake_app.app.config.max_clients = 3;
	connect_peer(&in);
	peer_expect_alive(&in);
	connect_peer(&out);
	peer_expect_error(&out, 0, "serves 3 clients already");
	peer_expect_eof(&out);
	peer_close(&out);
	peer_close(&in);
	wait_for_conns(2);
	connect_peer(&in);
	peer_expect_alive(&in);
	peer_close(&in);
	wait_for_conns(2);
}

struct child {
	pid_t pid;
	int status;
};

static bool child_has_ended(void *ctx)
{
	struct child *c = ctx;

	return waitpid(c->pid, &c->status, WNOHANG) == c->pid;
}

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
}

/* Needs root, to become somebody else. */
static void test_other_user(void **state)
{
	struct child c;
	uv_timer_t tick;

	(void)state;
	if (geteuid() != 0) {
		print_message("not root: another user cannot be played\n");
		skip();
	}
	c.pid = fork();
	assert_true(c.pid >= 0);
	if (c.pid == 0) {
		char byte;
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 ||
		    connect(fd, (struct sockaddr *)&address, address_len) < 0)
			_exit(OTHER_ERROR);
		_exit(read(fd, &byte, 1) == 0 ? 0 : 1);
	}
	/* Only so that the loop looks at the child now and then. */
	uv_timer_init(&fake_app.loop, &tick);
	uv_timer_start(&tick, on_tick, 5, 5);
	fake_app_run_until(child_has_ended, &c);
	uv_close((uv_handle_t *)&tick, NULL);
	uv_run(&fake_app.loop, UV_RUN_NOWAIT);
	assert_true(WIFEXITED(c.status));
	assert_int_equal(WEXITSTATUS(c.status), 0);
	assert_int_equal(conn_set_count(fake_app.app.conns), 2);
}

static void on_time_over(uv_timer_t *timer)
{
	uv_stop(timer->loop);
}

static unsigned turns;

static void on_turn(uv_prepare_t *prepare)
{
	(void)prepare;
	turns++;
}

/* No descriptor left: the loop rests instead of spinning, and goes on when there are some. */
static void test_out_of_descriptors(void **state)
{
	struct rlimit before, low;
	struct peer p;
	uv_prepare_t prepare;
	uv_timer_t tick;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	connect_peer(&p);
	low = before;
	low.rlim_cur = (rlim_t)p.fd + 1; /* the highest there is */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	turns = 0;
	uv_prepare_init(&fake_app.loop, &prepare);
	uv_prepare_start(&prepare, on_turn);
	uv_timer_init(&fake_app.loop, &tick);
	uv_timer_start(&tick, on_time_over, 250, 0);
	uv_run(&fake_app.loop, UV_RUN_DEFAULT);
	assert_in_range(turns, 2, 30);
	assert_int_equal(conn_set_count(fake_app.app.conns), 2);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	peer_expect_alive(&p);
	peer_close(&p);
	wait_for_conns(2);
	uv_close((uv_handle_t *)&prepare, NULL);
	uv_close((uv_handle_t *)&tick, NULL);
	uv_run(&fake_app.loop, UV_RUN_NOWAIT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_serves),	     TEST(test_crowd),	    TEST(test_accept_all),
		TEST(test_too_many_clients), TEST(test_other_user), TEST(test_out_of_descriptors),
	};

	return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
