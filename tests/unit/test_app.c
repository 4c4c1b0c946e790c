/* The daemon as a process: started, told, stopped, left alone. What lies below the front end is
 * fake: sessions last until they are aborted. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "daemon/activation.h"
#include "daemon/app.h"
#include "protocol/alloc.h"
#include "protocol/decode.h"
#include "protocol/encode.h"
#include "protocol/frame.h"
#include "protocol/log.h"

#define DEADLINE_S 10

static char dir[64];
static struct config config;
static struct activation activation;

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/hawser-app-XXXXXX");
	assert_non_null(mkdtemp(dir));
	setenv("XDG_STATE_HOME", dir, 1);
	config_defaults(&config);
	snprintf(config.socket_path, sizeof(config.socket_path), "%s/v1.sock", dir);
	snprintf(config.file, sizeof(config.file), "%s/hawser.conf", dir);
	activation = (struct activation){.listen_fd = -1};
	log_set_level(LOG_LVL_ERROR);
	alarm(3 * DEADLINE_S); /* a daemon that never ends must not hang the suite */
	return 0;
}

static int teardown(void **state)
{
	char name[160];

	(void)state;
	unlink(config.file);
	snprintf(name, sizeof(name), "%s" CLAIM_LOCK_SUFFIX, config.socket_path);
	unlink(name);
	snprintf(name, sizeof(name), "%s/hawser/journal", dir);
	unlink(name);
	snprintf(name, sizeof(name), "%s/hawser", dir);
	rmdir(name);
	assert_int_equal(rmdir(dir), 0); /* the socket is gone */
	return 0;
}

/* Returns when clients may connect. */
static pid_t start_daemon(void)
{
	int ready[2];
	char byte = 0;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		_exit(app_run(&config, &activation, ready[1]));
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(byte, '1');
	assert_int_equal(read(ready[0], &byte, 1), 0);
	close(ready[0]);
	return pid;
}

static void expect_exit(pid_t pid, int status)
{
	int got;

	assert_int_equal(waitpid(pid, &got, 0), pid);
	assert_true(WIFEXITED(got));
	assert_int_equal(WEXITSTATUS(got), status);
}

static int connect_daemon(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", config.socket_path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void send_frame(int fd, uint8_t *frame, size_t len)
{
	size_t sent;

	assert_non_null(frame);
	assert_int_equal(frame_send(fd, frame, len, NULL, 0, &sent), HW_OK);
	assert_int_equal(sent, len);
	free(frame);
}

static void send_request(int fd)
{
	static char *none[] = {NULL};
	const struct proto_request m = {.version = (char *)"1",
					.args = none,
					.host = (char *)"web1",
					.env = none,
					.cwd = (char *)"/"};
	size_t len;
	uint8_t *frame = proto_encode_request(1, &m, &len);

	send_frame(fd, frame, len);
	/* Once PONG is there, the request was taken. */
	frame = proto_encode_empty(PROTO_PING, 2, &len);
	send_frame(fd, frame, len);
}

/* The type of the next message; 0 at the end. *error: the words of an EXIT, to be freed. */
static unsigned next_message(int fd, struct frame_reader *reader, char **error)
{
	const uint8_t *payload;
	struct proto_message m;
	struct proto_exit end;
	size_t len;
	unsigned type;
	int result;

	while ((result = frame_next(reader, &payload, &len)) == HW_EAGAIN) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		assert_int_equal(poll(&p, 1, DEADLINE_S * 1000), 1);
		result = frame_recv(reader, fd);
		if (result == HW_EOF)
			return 0;
		assert_int_equal(result, HW_OK);
	}
	assert_int_equal(result, HW_OK);
	assert_int_equal(proto_parse(payload, len, &m), HW_OK);
	type = m.type;
	if (type == PROTO_EXIT && error) {
		assert_int_equal(proto_decode_exit(&m, &end), HW_OK);
		*error = xstrdup(end.error ? end.error : "");
		proto_exit_free(&end);
	}
	proto_message_finish(&m);
	return type;
}

/* The stop has begun. */
static void wait_for_no_socket(void)
{
	while (access(config.socket_path, F_OK) == 0)
		assert_int_equal(poll(NULL, 0, 1), 0);
}

/* Bounds leave 10 ms: the loop counts in whole milliseconds. */
static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void test_stops_when_idle(void **state)
{
	pid_t pid = start_daemon();

	(void)state;
	kill(pid, SIGTERM);
	expect_exit(pid, 0);
}

static void test_leaves_after_linger(void **state)
{
	double start = now_s();
	pid_t pid;
	int fd;

	(void)state;
	config.linger_s = 1;
	pid = start_daemon();
	fd = connect_daemon();
	send_request(fd);
	close(fd);
	expect_exit(pid, 0);
	assert_true(now_s() - start >= 0.99);
}

/* A client that is connected keeps it, whatever it does. */
static void test_client_keeps_it(void **state)
{
	struct frame_reader reader;
	double start = now_s();
	size_t len;
	uint8_t *frame;
	pid_t pid;
	int fd;

	(void)state;
	frame_reader_init(&reader);
	config.linger_s = 1;
	pid = start_daemon();
	fd = connect_daemon();
	send_request(fd);
	assert_int_equal(next_message(fd, &reader, NULL), PROTO_PONG);
	/* Nothing comes for longer than it would linger. */
	assert_int_equal(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 1300), 0);
	frame = proto_encode_empty(PROTO_PING, 3, &len);
	send_frame(fd, frame, len);
	assert_int_equal(next_message(fd, &reader, NULL), PROTO_PONG);
	close(fd);
	frame_reader_finish(&reader);
	expect_exit(pid, 0);
	assert_true(now_s() - start >= 2.29);
}

/* A session that does not end is waited for until the deadline, then told. Meanwhile the path is
 * another daemon's. */
static void test_drain(void **state)
{
	struct frame_reader reader;
	char *error = NULL;
	double start;
	pid_t pid, next;
	int fd;

	(void)state;
	frame_reader_init(&reader);
	config.drain_ms = 700;
	pid = start_daemon();
	fd = connect_daemon();
	send_request(fd);
	assert_int_equal(next_message(fd, &reader, NULL), PROTO_PONG);
	start = now_s();
	kill(pid, SIGTERM);
	wait_for_no_socket();
	next = start_daemon();
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	assert_int_equal(next_message(fd, &reader, &error), PROTO_EXIT);
	assert_non_null(strstr(error, "stopped"));
	assert_int_equal(next_message(fd, &reader, NULL), 0);
	expect_exit(pid, 0);
	assert_true(now_s() - start >= 0.69);
	close(fd);
	fd = connect_daemon();
	close(fd);
	kill(next, SIGINT);
	expect_exit(next, 0);
	free(error);
	frame_reader_finish(&reader);
}

/* The second signal does not wait for the sessions. */
static void test_second_signal(void **state)
{
	struct frame_reader reader;
	double start;
	pid_t pid;
	int fd;

	(void)state;
	frame_reader_init(&reader);
	config.drain_ms = 60000;
	pid = start_daemon();
	fd = connect_daemon();
	send_request(fd);
	assert_int_equal(next_message(fd, &reader, NULL), PROTO_PONG);
	start = now_s();
	kill(pid, SIGTERM);
	wait_for_no_socket(); /* two signals at once may be one */
	kill(pid, SIGINT);
	assert_int_equal(next_message(fd, &reader, NULL), PROTO_EXIT);
	expect_exit(pid, 0);
	assert_true(now_s() - start < DEADLINE_S);
	close(fd);
	frame_reader_finish(&reader);
}

static void test_second_daemon(void **state)
{
	pid_t pid = start_daemon();
	pid_t second = start_daemon(); /* says ready, since clients may connect */

	(void)state;
	expect_exit(second, 0);
	close(connect_daemon());
	kill(pid, SIGTERM);
	expect_exit(pid, 0);
}

static void write_settings(const char *text)
{
	int fd = open(config.file, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* SIGHUP shortens the time that it lingers; a bad file changes nothing. */
static void test_reread(void **state)
{
	pid_t pid;

	(void)state;
	config.linger_s = 3600;
	write_settings("linger = 1\nlinger = now\n");
	pid = start_daemon();
	kill(pid, SIGHUP);
	assert_int_equal(poll(NULL, 0, 1500), 0);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	write_settings("linger = 1\n");
	kill(pid, SIGHUP);
	kill(pid, SIGUSR1);
	kill(pid, SIGUSR2);
	expect_exit(pid, 0);
}

/* A socket that was passed is served, and neither locked nor removed. */
static void test_activated(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char lock[160];
	pid_t pid;

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", config.socket_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 5), 0);
	activation.listen_fd = fd;
	config.linger_s = 1;
	pid = start_daemon();
	close(connect_daemon());
	snprintf(lock, sizeof(lock), "%s" CLAIM_LOCK_SUFFIX, config.socket_path);
	assert_int_equal(access(lock, F_OK), -1);
	expect_exit(pid, 0);
	close(connect_daemon()); /* for the next one that is started */
	pid = start_daemon();
	kill(pid, SIGTERM);
	expect_exit(pid, 0);
	close(fd);
	assert_int_equal(unlink(config.socket_path), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_stops_when_idle), TEST(test_leaves_after_linger),
		TEST(test_client_keeps_it), TEST(test_drain),
		TEST(test_second_signal),   TEST(test_second_daemon),
		TEST(test_reread),	    TEST(test_activated),
	};

	return cmocka_run_group_tests_name("app", tests, NULL, NULL);
}
