/* Client connections as sockets: what is cut, too long, too much, too slow. A bystander goes on. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "protocol/encode.h"
#include "tests/fakes/peer.h"

#define SHORT_STALL_MS 250
#define SMALL_QUEUE    (64u * 1024u)

static int setup(void **state)
{
	(void)state;
	peers_init(NULL);
	return 0;
}

static int setup_short(void **state)
{
	static const struct conn_limits limits = {SHORT_STALL_MS, CONN_QUEUE_MAX};

	(void)state;
	peers_init(&limits);
	return 0;
}

static int setup_small(void **state)
{
	static const struct conn_limits limits = {CONN_STALL_MS, SMALL_QUEUE};

	(void)state;
	peers_init(&limits);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	peers_finish();
	return 0;
}

/* A REQUEST with descriptors whose client dies after n bytes of it, for every n. */
static void test_cut_at_every_byte(void **state)
{
	size_t len;
	uint8_t *frame = request_frame(1, 0, 3, &len);
	int pipe_fds[2], fds[3];

	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	fds[0] = pipe_fds[0];
	fds[1] = fds[2] = pipe_fds[1];
	peer_request(&peers[1], 1, 0);
	for (size_t n = 1; n < len; n++) {
		peer_send_raw(&peers[0], frame, n, fds, 3);
		peer_close(&peers[0]);
		wait_for_conns(1);
		peer_open(&peers[0]);
	}
	assert_int_equal(fake_sessions.started, 1);
	assert_int_equal(fake_sessions.live_count, 1);
	peer_expect_alive(&peers[1]);
	free(frame);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* The same message as a whole frame whose payload ends after n bytes. */
static void test_payload_cut_at_every_byte(void **state)
{
	size_t len;
	uint8_t *frame = request_frame(1, 0, 1, &len);
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	peer_request(&peers[1], 1, 0);
	for (size_t n = 0; n < len - PROTO_HEADER_SIZE; n++) {
		frame[0] = 0;
		frame[1] = (uint8_t)(n >> 16);
		frame[2] = (uint8_t)(n >> 8);
		frame[3] = (uint8_t)n;
		peer_send_raw(&peers[0], frame, PROTO_HEADER_SIZE + n, &fd, 1);
		peer_expect_error(&peers[0], 0, "malformed");
		peer_expect_eof(&peers[0]);
		peer_close(&peers[0]);
		peer_open(&peers[0]);
	}
	assert_int_equal(fake_sessions.started, 1);
	peer_expect_alive(&peers[1]);
	free(frame);
	close(fd);
}

/* The same message byte by byte, with turns of the loop between: it is understood. */
static void test_byte_by_byte(void **state)
{
	size_t len;
	uint8_t *frame = request_frame(1, 0, 1, &len);
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	for (size_t n = 0; n < len; n++) {
		peer_send_raw(&peers[0], frame + n, 1, &fd, n == 0);
		uv_run(&fake_app.loop, UV_RUN_NOWAIT);
	}
	wait_for_sessions(1);
	assert_true(fake_sessions.live->request.fds[0] >= 0);
	free(frame);
	close(fd);
}

static void test_oversize(void **state)
{
	static const uint8_t lengths[][4] = {{0xff, 0xff, 0xff, 0xff}, {0x00, 0x10, 0x00, 0x01}};

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(lengths); i++) {
		peer_send_raw(&peers[0], lengths[i], 4, NULL, 0);
		peer_expect_error(&peers[0], 0, "longer than");
		peer_expect_eof(&peers[0]);
		peer_close(&peers[0]);
		peer_open(&peers[0]);
	}
	peer_expect_alive(&peers[1]);
}

/* Sends bytes with count copies of a descriptor. */
static void send_flood(int socket, const void *bytes, size_t len, size_t count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(253 * sizeof(int))]; /* SCM_MAX_FD */
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = CMSG_SPACE(count * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof(int));
	for (size_t i = 0; i < count; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &socket, sizeof(int));
	assert_int_equal(sendmsg(socket, &msg, MSG_NOSIGNAL), len);
}

static void expect_refused(const char *words)
{
	peer_expect_error(&peers[0], 0, words);
	peer_expect_eof(&peers[0]);
	peer_close(&peers[0]);
	wait_for_conns(1);
	peer_open(&peers[0]);
}

/* Too many, on the wrong message, other than the streams say, in the middle of a message. That
 * none stays open is seen by teardown. */
static void test_descriptor_floods(void **state)
{
	size_t len, ping_len;
	uint8_t *frame = request_frame(1, 0, 1, &len);
	uint8_t *ping = proto_encode_empty(PROTO_PING, 1, &ping_len);

	(void)state;
	send_flood(peers[0].fd, frame, len, 253);
	expect_refused("descriptors");
	send_flood(peers[0].fd, frame, len, 4);
	expect_refused("descriptors");
	send_flood(peers[0].fd, frame, len, 2);
	expect_refused("REQUEST");
	send_flood(peers[0].fd, ping, ping_len, 1);
	expect_refused("PING");
	peer_send_raw(&peers[0], frame, len, NULL, 0);
	expect_refused("REQUEST");
	peer_send_raw(&peers[0], frame, 10, NULL, 0);
	uv_run(&fake_app.loop, UV_RUN_NOWAIT);
	send_flood(peers[0].fd, frame + 10, len - 10, 1);
	expect_refused("descriptors");
	assert_int_equal(fake_sessions.started, 0);
	peer_expect_alive(&peers[1]);
	free(frame);
	free(ping);
}

/* In the middle of a message, and before the first: told, and gone. One that has nothing to say
 * after a whole message stays. */
static void test_stall(void **state)
{
	size_t len;
	uint8_t *frame = request_frame(1, 0, 0, &len);

	(void)state;
	peer_expect_alive(&peers[1]);
	peer_send_raw(&peers[0], frame, 10, NULL, 0);
	peer_expect_error(&peers[0], 0, "no whole message");
	peer_expect_eof(&peers[0]);
	peer_close(&peers[0]);
	peer_open(&peers[0]);
	peer_expect_error(&peers[0], 0, "no whole message");
	peer_expect_eof(&peers[0]);
	peer_expect_alive(&peers[1]);
	free(frame);
}

struct trickle {
	uint8_t *frame;
	size_t sent;
	uv_timer_t timer;
};

static void on_trickle(uv_timer_t *timer)
{
	struct trickle *t = timer->data;
	size_t sent;

	if (frame_send(peers[0].fd, t->frame + t->sent, 1, NULL, 0, &sent) == HW_OK)
		t->sent++;
}

/* A byte now and then does not buy time; messages that are whole do. */
static void test_trickle(void **state)
{
	size_t len;
	struct trickle t = {.frame = request_frame(1, 0, 0, &len)};

	(void)state;
	peer_expect_alive(&peers[0]);
	uv_timer_init(&fake_app.loop, &t.timer);
	t.timer.data = &t;
	uv_timer_start(&t.timer, on_trickle, 1, SHORT_STALL_MS / 4);
	peer_expect_error(&peers[0], 0, "no whole message");
	peer_expect_eof(&peers[0]);
	assert_in_range(t.sent, 2, 20);
	uv_close((uv_handle_t *)&t.timer, NULL);
	uv_run(&fake_app.loop, UV_RUN_NOWAIT);
	free(t.frame);
}

/* A client that does not read what it is sent is dropped when its queue is full, not before. */
static void test_slow_reader(void **state)
{
	struct session *s = peer_request(&peers[0], 1, 0);
	char text[1001];
	const struct proto_notice notice = {.text = text};
	size_t notices = 0;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	peer_expect_alive(&peers[1]);
	while (fake_sessions.live_count == 1) {
		s->events->notice(s->ctx, &notice);
		notices++;
		uv_run(&fake_app.loop, UV_RUN_NOWAIT);
		assert_true(notices < 10000);
	}
	assert_in_range(notices, SMALL_QUEUE / 1100, 10000);
	assert_int_equal(fake_sessions.aborted, 1);
	wait_for_conns(1);
	peer_expect_alive(&peers[1]);
}

/* One that reads late gets all of it, in order. */
static void test_late_reader(void **state)
{
	enum { COUNT = 1500 };
	struct session *s = peer_request(&peers[0], 1, 0);
	char text[600];
	const struct proto_notice notice = {.text = text};

	(void)state;
	memset(text, 'y', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < COUNT; i++) {
		text[0] = (char)('0' + i % 10);
		s->events->notice(s->ctx, &notice);
	}
	fake_session_exit(s, 3);
	for (int i = 0; i < COUNT; i++) {
		struct proto_notice got;

		assert_int_equal(proto_decode_notice(peer_expect(&peers[0], PROTO_NOTICE, 1), &got),
				 HW_OK);
		assert_int_equal(got.text[0], '0' + i % 10);
		proto_notice_free(&got);
	}
	peer_expect_status(&peers[0], 1, 3);
}

/* Its last words wait for a client that does not read them, but not for ever. */
static void test_last_words_not_read(void **state)
{
	struct session *s = peer_request(&peers[0], 1, 0);
	char text[60000];
	const struct proto_notice notice = {.text = text};
	uint8_t bytes[64];

	(void)state;
	memset(text, 'z', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 10; i++)
		s->events->notice(s->ctx, &notice);
	peer_send_raw(&peers[0], bytes, raw_message(bytes, PROTO_REQUEST, 2, NULL, 0), NULL, 0);
	wait_for_sessions(0);
	peer_expect_alive(&peers[1]);
	assert_int_equal(conn_set_count(fake_app.app.conns), 2);
	wait_for_conns(1);
}

/* Several messages in one write are all answered. */
static void test_messages_in_one_write(void **state)
{
	uint8_t bytes[10 * 64];
	size_t len = 0;

	(void)state;
	for (uint32_t i = 0; i < 10; i++)
		len += raw_message(bytes + len, PROTO_PING, i, NULL, 0);
	peer_send_raw(&peers[0], bytes, len, NULL, 0);
	for (uint32_t i = 0; i < 10; i++)
		peer_expect(&peers[0], PROTO_PONG, i);
}

/* What was sent before the connection was accepted is answered at once: no turn of the loop. */
static void test_reads_at_once(void **state)
{
	struct peer p;
	int pair[2];
	uint8_t bytes[64];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	p = (struct peer){.fd = pair[0]};
	frame_reader_init(&p.reader);
	peer_send_raw(&p, bytes, raw_message(bytes, PROTO_PING, 8, NULL, 0), NULL, 0);
	conn_set_add(fake_app.app.conns, pair[1], 1);
	peer_expect_now(&p, PROTO_PONG, 8);
	peer_close(&p);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_cut_at_every_byte),
		TEST(test_payload_cut_at_every_byte),
		TEST(test_byte_by_byte),
		TEST(test_oversize),
		TEST(test_descriptor_floods),
		cmocka_unit_test_setup_teardown(test_stall, setup_short, teardown),
		cmocka_unit_test_setup_teardown(test_trickle, setup_short, teardown),
		cmocka_unit_test_setup_teardown(test_slow_reader, setup_small, teardown),
		TEST(test_late_reader),
		cmocka_unit_test_setup_teardown(test_last_words_not_read, setup_short, teardown),
		TEST(test_messages_in_one_write),
		TEST(test_reads_at_once),
	};

	return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
