/* What a client's messages mean and what is said back: phases, routing, limits. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "protocol/encode.h"
#include "tests/fakes/peer.h"

static int setup(void **state)
{
	(void)state;
	peers_init(NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	peers_finish();
	return 0;
}

static void test_request_to_exit(void **state)
{
	const struct proto_started started = {.reused = true, .read_stdin = true, .escape = -1};
	struct proto_started got;
	struct proto_exit end;
	struct session *s;
	int in[2], out[2], fds[2];
	size_t len;
	uint8_t *frame = request_frame(5, PROTO_WANT_STARTED, 2, &len);
	char byte;

	(void)state;
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	fds[0] = in[0];
	fds[1] = out[1];
	peer_send_raw(&peers[0], frame, len, fds, 2);
	free(frame);
	close(fds[0]);
	close(fds[1]);
	wait_for_sessions(1);
	s = fake_sessions.live;
	assert_string_equal(s->request.words.host, "web1");
	assert_int_equal(s->request.peer_pid, PEER_PID);
	assert_int_equal(s->request.fds[2], -1);
	assert_true(fcntl(s->request.fds[0], F_GETFD) & FD_CLOEXEC);
	/* In the order of the streams. */
	assert_int_equal(write(in[1], "i", 1), 1);
	assert_int_equal(read(s->request.fds[0], &byte, 1), 1);
	assert_int_equal(write(s->request.fds[1], "o", 1), 1);
	assert_int_equal(read(out[0], &byte, 1), 1);
	assert_int_equal(byte, 'o');

	s->events->started(s->ctx, &started);
	assert_int_equal(proto_decode_started(peer_expect_now(&peers[0], PROTO_STARTED, 5), &got),
			 HW_OK);
	assert_true(got.reused && got.read_stdin && !got.tty);
	fake_session_exit(s, 42);
	/* It is there although the loop has not run since. */
	assert_int_equal(proto_decode_exit(peer_expect_now(&peers[0], PROTO_EXIT, 5), &end), HW_OK);
	assert_true(end.has_status && end.status == 42);
	proto_exit_free(&end);
	assert_int_equal(read(out[0], &byte, 1), 0);
	close(in[1]);
	close(out[0]);
	peer_expect_alive(&peers[0]);
}

static void test_started_only_when_wanted(void **state)
{
	const struct proto_started started = {.escape = -1};
	const struct proto_started background = {.escape = -1, .background = true};
	struct session *s = peer_request(&peers[0], 1, 0);

	(void)state;
	s->events->started(s->ctx, &started);
	fake_session_exit(s, 0);
	peer_expect_status(&peers[0], 1, 0);
	/* A client cannot know that the configuration sends it to the background. */
	s = peer_request(&peers[0], 2, 0);
	s->events->started(s->ctx, &background);
	peer_expect_now(&peers[0], PROTO_STARTED, 2);
	fake_session_exit(s, 0);
	peer_expect_status(&peers[0], 2, 0);
}

static void test_prompt_and_notice(void **state)
{
	struct proto_field field = {(char *)"Password: ", false};
	const struct proto_prompt prompt = {
		.prompt = 3, .kind = PROTO_PROMPT_SECRET, .fields = &field, .nfields = 1};
	const struct proto_notice notice = {.text = (char *)"Warning: x"};
	struct proto_answer answer = {.prompt = 3};
	char *answers[] = {(char *)"hunter2", NULL};
	struct session *s = peer_request(&peers[0], 9, PROTO_CAN_ASK);
	struct proto_prompt got;
	struct proto_notice got_notice;
	size_t len;
	uint8_t *frame;

	(void)state;
	s->events->prompt(s->ctx, &prompt);
	assert_int_equal(proto_decode_prompt(peer_expect(&peers[0], PROTO_PROMPT, 9), &got), HW_OK);
	assert_int_equal(got.prompt, 3);
	assert_string_equal(got.fields[0].text, "Password: ");
	proto_prompt_free(&got);
	s->events->notice(s->ctx, &notice);
	assert_int_equal(proto_decode_notice(peer_expect(&peers[0], PROTO_NOTICE, 9), &got_notice),
			 HW_OK);
	assert_string_equal(got_notice.text, "Warning: x");
	proto_notice_free(&got_notice);
	answer.answers = answers;
	frame = proto_encode_answer(9, &answer, &len);
	peer_send(&peers[0], frame, len);
	peer_expect_alive(&peers[0]);
	assert_int_equal(s->answers, 1);
	fake_session_fall_back(s, "PKCS11Provider");
	peer_expect(&peers[0], PROTO_FALLBACK, 9);
}

/* Each goes to the request that it names, not to its neighbours. */
static void test_routing(void **state)
{
	const struct proto_signal signal = {(char *)"INT"};
	const struct proto_winsize size = {100, 50, 1, 2};
	struct session *one = peer_request(&peers[0], 1, 0);
	struct session *two = peer_request(&peers[0], 2, 0);
	struct session *other = peer_request(&peers[1], 1, 0);
	size_t len;
	uint8_t *frame = proto_encode_signal(1, &signal, &len);

	(void)state;
	peer_send(&peers[0], frame, len);
	frame = proto_encode_resize(2, &size, &len);
	peer_send(&peers[0], frame, len);
	peer_expect_alive(&peers[0]);
	assert_string_equal(one->signal, "INT");
	assert_string_equal(two->signal, "");
	assert_string_equal(other->signal, "");
	assert_int_equal(two->size.cols, 100);
	assert_int_equal(one->size.cols, 0);
	/* CANCEL ends one and is answered. */
	frame = proto_encode_empty(PROTO_CANCEL, 1, &len);
	peer_send(&peers[0], frame, len);
	peer_expect_failure(&peers[0], 1, "cancelled", true);
	assert_int_equal(fake_sessions.aborted, 1);
	assert_int_equal(fake_sessions.live_count, 2);
}

struct row {
	unsigned type;
	bool to_daemon, live_only;
};

static const struct row rows[] = {
#define C2D				  true
#define D2C				  false
#define ANY				  false
#define LIVE				  true
#define X(name, number, direction, phase) {number, direction, phase},
#include "protocol/messages.def"
#undef X
#undef C2D
#undef D2C
#undef ANY
#undef LIVE
};

/* Every message on a request that was never made, then on one that is done; and every message that
 * only the daemon sends, on a live one. Nothing comes of it, and the connection goes on. */
static void test_every_message_out_of_phase(void **state)
{
	uint8_t bytes[64];
	struct session *s = peer_request(&peers[0], 50, 0);

	(void)state;
	fake_session_exit(s, 0);
	peer_expect_status(&peers[0], 50, 0);
	peer_request(&peers[0], 60, 0);
	for (size_t i = 0; i < HW_ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		uint32_t number = row->to_daemon ? 49 : 60;

		if (row->to_daemon && !row->live_only)
			continue;
		peer_send_raw(&peers[0], bytes, raw_message(bytes, row->type, number, NULL, 0),
			      NULL, 0);
		peer_expect_error(&peers[0], number, proto_type_name(row->type));
		if (row->to_daemon) {
			peer_send_raw(&peers[0], bytes, raw_message(bytes, row->type, 50, NULL, 0),
				      NULL, 0);
			peer_expect_error(&peers[0], 50, "not live");
		}
	}
	assert_int_equal(fake_sessions.live_count, 1);
	assert_int_equal(fake_sessions.aborted, 0);
	peer_expect_alive(&peers[0]);
}

/* Every message that a client may send has a handler: in its phase it is never "not one that this
 * hawserd takes". With an empty body most are malformed, which ends the connection. */
static void test_every_message_is_handled(void **state)
{
	uint8_t bytes[64];

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(rows); i++) {
		if (!rows[i].to_daemon)
			continue;
		if (rows[i].live_only)
			peer_request(&peers[0], 3, 0);
		peer_send_raw(&peers[0], bytes, raw_message(bytes, rows[i].type, 3, NULL, 0), NULL,
			      0);
		fake_app_run_until(peer_ready, &peers[0]);
		assert_false(peers[0].eof);
		if (peers[0].message.type == PROTO_ERROR) {
			struct proto_error m;

			assert_int_equal(proto_decode_error(&peers[0].message, &m), HW_OK);
			assert_non_null(strstr(m.text, "malformed"));
			proto_error_free(&m);
			peer_expect_eof(&peers[0]);
		} else if (rows[i].type != PROTO_PING) {
			assert_int_equal(peers[0].message.type, PROTO_EXIT);
		}
		peer_close(&peers[0]);
		wait_for_conns(1);
		assert_int_equal(fake_sessions.live_count, 0);
		peer_open(&peers[0]);
	}
	peer_expect_alive(&peers[1]);
}

static void test_unknown_type(void **state)
{
	static const unsigned types[] = {0, 9, 31, 40, 255};
	uint8_t bytes[64];

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(types); i++) {
		peer_send_raw(&peers[0], bytes, raw_message(bytes, types[i], 12, NULL, 0), NULL, 0);
		peer_expect_error(&peers[0], 12, "not one that this hawserd");
	}
	peer_expect_alive(&peers[0]);
}

static void test_number_in_use(void **state)
{
	size_t len;
	uint8_t *frame = request_frame(4, 0, 0, &len);

	(void)state;
	peer_request(&peers[0], 4, 0);
	peer_send(&peers[0], frame, len);
	peer_expect_error(&peers[0], 0, "REQUEST");
	peer_expect_eof(&peers[0]);
	wait_for_sessions(0);
	assert_int_equal(fake_sessions.started, 1);
	peer_expect_alive(&peers[1]);
}

static struct session *session_of(const char *signal)
{
	for (struct session *s = fake_sessions.live; s; s = s->next) {
		if (strcmp(s->signal, signal) == 0)
			return s;
	}
	return NULL;
}

/* As many as are allowed at once, then one more; they end in another order than they began. */
static void test_many_requests(void **state)
{
	const struct proto_signal mark = {(char *)"USR1"};
	size_t len;
	uint8_t *frame;

	(void)state;
	for (uint32_t i = 0; i < PROTO_REQUESTS_MAX; i++)
		peer_request(&peers[0], i, 0);
	frame = request_frame(5000, 0, 0, &len);
	peer_send(&peers[0], frame, len);
	peer_expect_failure(&peers[0], 5000, "too many requests", false);
	assert_int_equal(fake_sessions.live_count, PROTO_REQUESTS_MAX);
	peer_request(&peers[1], 5000, 0);
	frame = proto_encode_signal(500, &mark, &len);
	peer_send(&peers[0], frame, len);
	peer_expect_alive(&peers[0]);
	fake_session_exit(session_of("USR1"), 7);
	peer_expect_status(&peers[0], 500, 7);
	peer_request(&peers[0], 500, 0);
	peer_close(&peers[0]);
	wait_for_sessions(1);
	assert_int_equal(fake_sessions.aborted, PROTO_REQUESTS_MAX);
}

static void test_client_leaves(void **state)
{
	int fds[2], pipe_fds[2];
	size_t len;
	uint8_t *frame = request_frame(1, 0, 1, &len);
	char byte;

	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	fds[0] = pipe_fds[1];
	peer_send_raw(&peers[0], frame, len, fds, 1);
	free(frame);
	close(fds[0]);
	wait_for_sessions(1);
	peer_close(&peers[0]);
	wait_for_sessions(0);
	assert_int_equal(fake_sessions.aborted, 1);
	assert_int_equal(read(pipe_fds[0], &byte, 1), 0);
	close(pipe_fds[0]);
}

/* The client goes while a session's event is on its way: the event returns to a session that is
 * still there, and the connection ends afterwards. */
static void test_client_gone_during_event(void **state)
{
	const struct proto_notice notice = {.text = (char *)"x"};
	struct session *s = peer_request(&peers[0], 1, 0);

	(void)state;
	peer_close(&peers[0]);
	s->events->notice(s->ctx, &notice);
	assert_int_equal(fake_sessions.live_count, 1);
	s->events->notice(s->ctx, &notice);
	wait_for_sessions(0);
	wait_for_conns(1);
	peer_expect_alive(&peers[1]);
}

static void test_stopping(void **state)
{
	size_t len;
	uint8_t *frame = request_frame(2, 0, 0, &len);
	struct session *s = peer_request(&peers[0], 1, 0);

	(void)state;
	fake_app.app.stopping = true;
	peer_send(&peers[0], frame, len);
	peer_expect_failure(&peers[0], 2, "stopping", false);
	fake_session_exit(s, 0);
	peer_expect_status(&peers[0], 1, 0);
}

static void test_shutdown_tells(void **state)
{
	(void)state;
	peer_request(&peers[0], 1, 0);
	peer_request(&peers[0], 2, 0);
	conn_set_shutdown(fake_app.app.conns);
	assert_int_equal(fake_sessions.live_count, 0);
	peer_expect_failure(&peers[0], 2, "stopped", true);
	peer_expect_failure(&peers[0], 1, "stopped", true);
	peer_expect_eof(&peers[0]);
	peer_expect_eof(&peers[1]);
}

static void test_exit_too_long_to_tell(void **state)
{
	struct session *s = peer_request(&peers[0], 1, 0);
	struct proto_exit m = {0};

	(void)state;
	m.error = malloc(PROTO_FRAME_MAX + 1);
	assert_non_null(m.error);
	memset(m.error, 'x', PROTO_FRAME_MAX);
	m.error[PROTO_FRAME_MAX] = '\0';
	s->events->done(s->ctx, &m);
	peer_expect_failure(&peers[0], 1, "too long", false);
	free(m.error);
	/* done() was said; only the fake itself is left to free. */
	fake_session_forget(s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_request_to_exit),
		TEST(test_started_only_when_wanted),
		TEST(test_prompt_and_notice),
		TEST(test_routing),
		TEST(test_every_message_out_of_phase),
		TEST(test_every_message_is_handled),
		TEST(test_unknown_type),
		TEST(test_number_in_use),
		TEST(test_many_requests),
		TEST(test_client_leaves),
		TEST(test_client_gone_during_event),
		TEST(test_stopping),
		TEST(test_shutdown_tells),
		TEST(test_exit_too_long_to_tell),
	};

	return cmocka_run_group_tests_name("dispatch", tests, NULL, NULL);
}
