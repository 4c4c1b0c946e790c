#include "tests/fakes/peer.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "protocol/encode.h"

#define PING_NUMBER 77

struct peer peers[2];
static size_t fds_before;

size_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

void peer_open(struct peer *p)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	*p = (struct peer){.fd = pair[0]};
	frame_reader_init(&p->reader);
	conn_set_add(fake_app.app.conns, pair[1], PEER_PID);
}

void peer_close(struct peer *p)
{
	if (p->has_message)
		proto_message_finish(&p->message);
	if (p->fd >= 0) {
		close(p->fd);
		frame_reader_finish(&p->reader);
	}
	*p = (struct peer){.fd = -1};
}

void peers_init(const struct conn_limits *limits)
{
	uv_loop_t first;

	/* The first loop of a process opens libuv's signal pipe, which stays. */
	assert_int_equal(uv_loop_init(&first), 0);
	assert_int_equal(uv_loop_close(&first), 0);
	fds_before = count_fds();
	fake_app_init();
	fake_app.app.conns = conn_set_create(&fake_app.app, limits);
	peer_open(&peers[0]);
	peer_open(&peers[1]);
}

void peers_finish(void)
{
	peer_close(&peers[0]);
	peer_close(&peers[1]);
	fake_app_finish();
	assert_int_equal(count_fds(), fds_before);
}

void peer_send_raw(struct peer *p, const void *bytes, size_t len, const int *fds, size_t nfds)
{
	size_t sent;

	assert_int_equal(frame_send(p->fd, bytes, len, fds, nfds, &sent), HW_OK);
	assert_int_equal(sent, len);
}

void peer_send(struct peer *p, uint8_t *frame, size_t len)
{
	assert_non_null(frame);
	peer_send_raw(p, frame, len, NULL, 0);
	free(frame);
}

uint8_t *request_frame(uint32_t number, uint32_t flags, size_t nfds, size_t *len)
{
	static char *args[] = {(char *)"-p", (char *)"2222", NULL};
	static char *env[] = {(char *)"HOME=/root", (char *)"TERM=xterm", NULL};
	struct proto_request m = {
		.version = (char *)"1",
		.args = args,
		.host = (char *)"web1",
		.command = (char *)"uptime",
		.command_len = 6,
		.env = env,
		.cwd = (char *)"/",
		.flags = flags,
		.has_winsize = true,
		.winsize = {80, 24, 0, 0},
	};

	for (size_t i = 0; i < 3; i++)
		m.streams[i] = i < nfds ? PROTO_STREAM_FD : PROTO_STREAM_NULL;
	return proto_encode_request(number, &m, len);
}

struct session *peer_request(struct peer *p, uint32_t number, uint32_t flags)
{
	size_t len;
	uint8_t *frame = request_frame(number, flags, 0, &len);

	peer_send(p, frame, len);
	wait_for_sessions(fake_sessions.live_count + 1);
	return fake_sessions.live;
}

size_t raw_message(uint8_t *out, unsigned type, uint32_t request, const void *body, size_t body_len)
{
	static const uint8_t empty_map = 0x80;
	uint8_t *at = out + PROTO_HEADER_SIZE;
	size_t len;

	if (!body) {
		body = &empty_map;
		body_len = 1;
	}
	*at++ = 0x93; /* array of 3 */
	*at++ = 0xcc; /* uint 8 */
	*at++ = (uint8_t)type;
	*at++ = 0xce; /* uint 32 */
	*at++ = (uint8_t)(request >> 24);
	*at++ = (uint8_t)(request >> 16);
	*at++ = (uint8_t)(request >> 8);
	*at++ = (uint8_t)request;
	memcpy(at, body, body_len);
	len = (size_t)(at - out) - PROTO_HEADER_SIZE + body_len;
	out[0] = (uint8_t)(len >> 24);
	out[1] = (uint8_t)(len >> 16);
	out[2] = (uint8_t)(len >> 8);
	out[3] = (uint8_t)len;
	return len + PROTO_HEADER_SIZE;
}

bool peer_ready(void *ctx)
{
	struct peer *p = ctx;
	const uint8_t *payload;
	size_t len;
	int result;

	while ((result = frame_next(&p->reader, &payload, &len)) == HW_EAGAIN) {
		result = frame_recv(&p->reader, p->fd);
		/* The daemon's end may be closed with unread bytes in it: that is a reset. */
		if (result == HW_EOF || result == HW_ESYS) {
			p->eof = true;
			return true;
		}
		if (result == HW_EAGAIN)
			return false;
		assert_int_equal(result, HW_OK);
	}
	assert_int_equal(result, HW_OK);
	if (p->has_message)
		proto_message_finish(&p->message);
	assert_int_equal(proto_parse(payload, len, &p->message), HW_OK);
	p->has_message = true;
	return true;
}

static const struct proto_message *peer_check(struct peer *p, unsigned type, uint32_t request)
{
	assert_false(p->eof);
	assert_string_equal(proto_type_name(p->message.type), proto_type_name(type));
	assert_int_equal(p->message.request, request);
	return &p->message;
}

const struct proto_message *peer_expect(struct peer *p, unsigned type, uint32_t request)
{
	fake_app_run_until(peer_ready, p);
	return peer_check(p, type, request);
}

const struct proto_message *peer_expect_now(struct peer *p, unsigned type, uint32_t request)
{
	assert_true(peer_ready(p));
	return peer_check(p, type, request);
}

static void expect_words(const char *text, const char *words)
{
	assert_non_null(text);
	if (!strstr(text, words))
		fail_msg("\"%s\" does not say \"%s\"", text, words);
}

void peer_expect_error(struct peer *p, uint32_t request, const char *words)
{
	struct proto_error m;

	assert_int_equal(proto_decode_error(peer_expect(p, PROTO_ERROR, request), &m), HW_OK);
	expect_words(m.text, words);
	proto_error_free(&m);
}

void peer_expect_status(struct peer *p, uint32_t request, uint32_t status)
{
	struct proto_exit m;

	assert_int_equal(proto_decode_exit(peer_expect(p, PROTO_EXIT, request), &m), HW_OK);
	assert_null(m.error);
	assert_true(m.has_status);
	assert_int_equal(m.status, status);
	proto_exit_free(&m);
}

void peer_expect_failure(struct peer *p, uint32_t request, const char *words, bool ran)
{
	struct proto_exit m;

	assert_int_equal(proto_decode_exit(peer_expect(p, PROTO_EXIT, request), &m), HW_OK);
	assert_false(m.has_status);
	assert_int_equal(m.ran, ran);
	expect_words(m.error, words);
	proto_exit_free(&m);
}

void peer_expect_eof(struct peer *p)
{
	fake_app_run_until(peer_ready, p);
	assert_true(p->eof);
}

void peer_expect_alive(struct peer *p)
{
	size_t len;
	uint8_t *frame = proto_encode_empty(PROTO_PING, PING_NUMBER, &len);

	peer_send(p, frame, len);
	peer_expect(p, PROTO_PONG, PING_NUMBER);
}

static bool sessions_are(void *ctx)
{
	return fake_sessions.live_count == *(size_t *)ctx;
}

void wait_for_sessions(size_t count)
{
	fake_app_run_until(sessions_are, &count);
}

static bool conns_are(void *ctx)
{
	return conn_set_count(fake_app.app.conns) == *(size_t *)ctx;
}

void wait_for_conns(size_t count)
{
	fake_app_run_until(conns_are, &count);
}
