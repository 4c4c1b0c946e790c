/* Every message: a struct goes through encode, frame header, parse and decode, and comes out the
 * same; frames over a limit are refused when they are made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "protocol/alloc.h"
#include "protocol/decode.h"
#include "protocol/encode.h"

/* The request number that all messages here carry: needs all four bytes. */
#define NUMBER 0xfedcba98u

/* Checks the frame's header, parses the payload and frees the frame: nothing may point into it. */
static struct proto_message open_frame(uint8_t *frame, size_t len, unsigned type, uint8_t **keep)
{
	struct proto_message m;

	assert_non_null(frame);
	assert_true(len > PROTO_HEADER_SIZE);
	uint32_t payload = (uint32_t)frame[0] << 24 | (uint32_t)frame[1] << 16 |
			   (uint32_t)frame[2] << 8 | frame[3];
	assert_int_equal(payload, len - PROTO_HEADER_SIZE);
	assert_int_equal(proto_parse(frame + PROTO_HEADER_SIZE, payload, &m), HW_OK);
	assert_int_equal(m.type, type);
	assert_int_equal(m.request, NUMBER);
	*keep = frame;
	return m;
}

static void close_frame(struct proto_message *m, uint8_t *frame, size_t len)
{
	proto_message_finish(m);
	memset(frame, 0xee, len); /* what was decoded must not notice */
	free(frame);
}

/* name_t in, name_t out, through proto_encode_name and proto_decode_name. */
#define ROUNDTRIP(name, type, in, out)                                                             \
	do {                                                                                       \
		size_t rt_len;                                                                     \
		uint8_t *rt_frame = proto_encode_##name(NUMBER, (in), &rt_len), *rt_keep;          \
		struct proto_message rt_m = open_frame(rt_frame, rt_len, (type), &rt_keep);        \
		assert_int_equal(proto_decode_##name(&rt_m, (out)), HW_OK);                        \
		close_frame(&rt_m, rt_keep, rt_len);                                               \
	} while (0)

static void assert_strv_equal(char **a, char **b)
{
	assert_int_equal(strv_len(a), strv_len(b));
	for (size_t i = 0; a && a[i]; i++)
		assert_string_equal(a[i], b[i]);
}

static void request_full(void **state)
{
	(void)state;
	char *args[] = {"-p", "2222", "-o", "User=x y", "", NULL};
	char *env[] = {"HOME=/root", "BYTES=\xff\xfe\x80", "EMPTY=", "NL=a\nb", NULL};
	char command[] = "a\0b 'c'", modes[] = {0x03, 0, 0, 0, 0x7f, 0};
	struct proto_request in = {
		.minor = 7,
		.version = "0.1.0",
		.args = args,
		.host = "user@web1",
		.command = command,
		.command_len = sizeof(command) - 1,
		.env = env,
		.cwd = "/tmp/\xc3\xa4",
		.flags = PROTO_STDIN_TTY | PROTO_CAN_ASK,
		.has_winsize = true,
		.winsize = {80, 24, UINT32_MAX, 0},
		.operation = "forward",
		.stdio = "[::1]:22",
		.modes = modes,
		.modes_len = sizeof(modes),
		.streams = {PROTO_STREAM_NULL, PROTO_STREAM_CLOSED, PROTO_STREAM_FD},
	};
	struct proto_request out;

	ROUNDTRIP(request, PROTO_REQUEST, &in, &out);
	assert_int_equal(out.minor, 7);
	assert_string_equal(out.version, in.version);
	assert_strv_equal(out.args, in.args);
	assert_string_equal(out.host, in.host);
	assert_int_equal(out.command_len, in.command_len);
	assert_memory_equal(out.command, in.command, in.command_len + 1);
	assert_strv_equal(out.env, in.env);
	assert_string_equal(out.cwd, in.cwd);
	assert_int_equal(out.flags, in.flags);
	assert_true(out.has_winsize);
	assert_memory_equal(&out.winsize, &in.winsize, sizeof(in.winsize));
	assert_memory_equal(out.streams, in.streams, sizeof(in.streams));
	assert_string_equal(out.operation, in.operation);
	assert_string_equal(out.stdio, in.stdio);
	assert_int_equal(out.modes_len, in.modes_len);
	assert_memory_equal(out.modes, in.modes, in.modes_len);
	proto_request_free(&out);
	assert_null(out.env);
}

static void request_least(void **state)
{
	(void)state;
	struct proto_request in = {.host = "h", .cwd = "/"}, out;

	ROUNDTRIP(request, PROTO_REQUEST, &in, &out);
	assert_null(out.command);
	assert_null(out.operation);
	assert_null(out.stdio);
	assert_null(out.modes);
	assert_false(out.has_winsize);
	assert_string_equal(out.version, "");
	assert_non_null(out.args);
	assert_int_equal(strv_len(out.args), 0);
	assert_int_equal(out.flags, 0);
	proto_request_free(&out);
}

/* An empty command is not the same as none: ssh runs a shell for both, but that is not ours to
 * decide here. */
static void request_empty_command(void **state)
{
	(void)state;
	struct proto_request in = {.host = "h", .cwd = "/", .command = ""}, out;

	ROUNDTRIP(request, PROTO_REQUEST, &in, &out);
	assert_non_null(out.command);
	assert_int_equal(out.command_len, 0);
	proto_request_free(&out);
}

static void small_client_messages(void **state)
{
	(void)state;
	struct proto_signal sig = {.name = "INT"}, sig_out;
	ROUNDTRIP(signal, PROTO_SIGNAL, &sig, &sig_out);
	assert_string_equal(sig_out.name, "INT");
	proto_signal_free(&sig_out);

	struct proto_winsize size = {132, 43, 1056, 688}, size_out;
	ROUNDTRIP(resize, PROTO_RESIZE, &size, &size_out);
	assert_memory_equal(&size_out, &size, sizeof(size));

	char *args[] = {"web1", "--force", NULL};
	struct proto_control control = {.minor = 3, .verb = "close", .args = args}, control_out;
	ROUNDTRIP(control, PROTO_CONTROL, &control, &control_out);
	assert_int_equal(control_out.minor, 3);
	assert_string_equal(control_out.verb, "close");
	assert_strv_equal(control_out.args, args);
	proto_control_free(&control_out);

	char *spec[] = {"-L", "8080:web1:80", NULL};
	struct proto_action action = {.verb = "forward", .args = spec}, action_out;
	ROUNDTRIP(action, PROTO_ACTION, &action, &action_out);
	assert_string_equal(action_out.verb, "forward");
	assert_strv_equal(action_out.args, spec);
	proto_action_free(&action_out);
}

static void answers(void **state)
{
	(void)state;
	char *secrets[] = {"hunter2", "", "\xc3\xa9", NULL};
	struct proto_answer in = {.prompt = 9, .answers = secrets}, out;
	ROUNDTRIP(answer, PROTO_ANSWER, &in, &out);
	assert_int_equal(out.prompt, 9);
	assert_false(out.cancelled);
	assert_null(out.reason);
	assert_strv_equal(out.answers, secrets);
	proto_answer_free(&out);

	struct proto_answer no = {.prompt = 10, .cancelled = true, .reason = "no terminal"};
	ROUNDTRIP(answer, PROTO_ANSWER, &no, &out);
	assert_true(out.cancelled);
	assert_string_equal(out.reason, "no terminal");
	assert_int_equal(strv_len(out.answers), 0);
	proto_answer_free(&out);
}

static void started(void **state)
{
	(void)state;
	const struct proto_started cases[] = {
		{.tty = true, .reused = true, .read_stdin = true, .escape = '~'},
		{.tty = false, .reused = false, .read_stdin = false, .escape = -1},
		{.tty = true, .escape = 0},
		{.reused = true, .escape = 255},
		{.escape = -1, .background = true},
		{.host = "web1.example.org", .has_level = true, .level = PROTO_LEVEL_DEBUG3},
		{.has_level = true, .commandline = true, .local_command = true},
		{.tty = true, .escape = -1, .modes = true},
	};
	for (size_t i = 0; i < HW_ARRAY_LEN(cases); i++) {
		struct proto_started out;
		ROUNDTRIP(started, PROTO_STARTED, &cases[i], &out);
		assert_int_equal(out.tty, cases[i].tty);
		assert_int_equal(out.reused, cases[i].reused);
		assert_int_equal(out.modes, cases[i].modes);
		assert_int_equal(out.read_stdin, cases[i].read_stdin);
		assert_int_equal(out.escape, cases[i].escape);
		assert_int_equal(out.background, cases[i].background);
		assert_int_equal(out.has_level, cases[i].has_level);
		assert_int_equal(out.level, cases[i].level);
		assert_int_equal(out.commandline, cases[i].commandline);
		assert_int_equal(out.local_command, cases[i].local_command);
		if (cases[i].host != NULL)
			assert_string_equal(out.host, cases[i].host);
		else
			assert_null(out.host);
		proto_started_free(&out);
	}
}

static void exits(void **state)
{
	(void)state;
	struct proto_exit out;
	struct proto_exit status = {.has_status = true, .status = 0, .ran = true};
	ROUNDTRIP(exit, PROTO_EXIT, &status, &out);
	assert_true(out.has_status && out.ran && !out.signal && !out.error && !out.hint);
	assert_int_equal(out.status, 0);
	proto_exit_free(&out);

	struct proto_exit sig = {.signal = "SEGV", .ran = true};
	ROUNDTRIP(exit, PROTO_EXIT, &sig, &out);
	assert_false(out.has_status);
	assert_string_equal(out.signal, "SEGV");
	proto_exit_free(&out);

	struct proto_exit error = {.error = "web1: refused",
				   .hint = "is sshd up?",
				   .stage = "waiting",
				   .cause = "refused",
				   .evidence = "one\ntwo",
				   .reused = true,
				   .transport = 7};
	ROUNDTRIP(exit, PROTO_EXIT, &error, &out);
	assert_string_equal(out.stage, "waiting");
	assert_string_equal(out.cause, "refused");
	assert_string_equal(out.evidence, "one\ntwo");
	assert_true(out.reused);
	assert_int_equal(out.transport, 7);
	assert_string_equal(out.error, "web1: refused");
	assert_string_equal(out.hint, "is sshd up?");
	assert_false(out.ran || out.has_status);
	proto_exit_free(&out);

	/* A careless caller still makes a message that readers take. */
	struct proto_exit both = {.has_status = true, .status = 1, .error = "lost"}, none = {0};
	ROUNDTRIP(exit, PROTO_EXIT, &both, &out);
	assert_string_equal(out.error, "lost");
	assert_false(out.has_status);
	proto_exit_free(&out);
	ROUNDTRIP(exit, PROTO_EXIT, &none, &out);
	assert_non_null(out.error);
	proto_exit_free(&out);
}

static void prompts(void **state)
{
	(void)state;
	struct proto_field fields[PROTO_FIELDS_MAX];
	for (size_t i = 0; i < HW_ARRAY_LEN(fields); i++)
		fields[i] = (struct proto_field){.text = i % 2 ? "Password: " : "Code: ",
						 .echo = i % 3 == 0};
	struct proto_prompt in = {
		.prompt = 1,
		.kind = PROTO_PROMPT_TEXT,
		.intro = "two\nlines",
		.fields = fields,
		.nfields = HW_ARRAY_LEN(fields),
	};
	struct proto_prompt out;
	ROUNDTRIP(prompt, PROTO_PROMPT, &in, &out);
	assert_int_equal(out.prompt, 1);
	assert_int_equal(out.kind, PROTO_PROMPT_TEXT);
	assert_string_equal(out.intro, in.intro);
	assert_int_equal(out.nfields, in.nfields);
	for (size_t i = 0; i < out.nfields; i++) {
		assert_string_equal(out.fields[i].text, fields[i].text);
		assert_int_equal(out.fields[i].echo, fields[i].echo);
	}
	proto_prompt_free(&out);

	struct proto_prompt bare = {.kind = PROTO_PROMPT_CONFIRM};
	ROUNDTRIP(prompt, PROTO_PROMPT, &bare, &out);
	assert_int_equal(out.nfields, 0);
	assert_null(out.intro);
	proto_prompt_free(&out);

	size_t len = 1;
	in.nfields = PROTO_FIELDS_MAX + 1; /* looked at only after the count is known to be wrong */
	assert_null(proto_encode_prompt(1, &in, &len));
	assert_int_equal(len, 0);
}

static void texts(void **state)
{
	(void)state;
	struct proto_notice notice = {.raw = true, .banner = true, .text = "\x1b[1mbanner\r\n\xff"},
			    notice_out;
	ROUNDTRIP(notice, PROTO_NOTICE, &notice, &notice_out);
	assert_true(notice_out.raw && notice_out.banner);
	assert_string_equal(notice_out.text, notice.text);
	proto_notice_free(&notice_out);

	struct proto_progress progress = {.text = "reconnecting", .retry_ms = 4000}, progress_out;
	ROUNDTRIP(progress, PROTO_PROGRESS, &progress, &progress_out);
	assert_string_equal(progress_out.text, "reconnecting");
	assert_int_equal(progress_out.retry_ms, 4000);
	proto_progress_free(&progress_out);

	struct proto_fallback fallback = {.why = "Tunnel"}, fallback_out;
	ROUNDTRIP(fallback, PROTO_FALLBACK, &fallback, &fallback_out);
	assert_string_equal(fallback_out.why, "Tunnel");
	proto_fallback_free(&fallback_out);

	struct proto_error error = {.text = "message 99 is not known here"}, error_out;
	ROUNDTRIP(error, PROTO_ERROR, &error, &error_out);
	assert_string_equal(error_out.text, error.text);
	proto_error_free(&error_out);
}

static void empty_messages(void **state)
{
	(void)state;
	const enum proto_type types[] = {PROTO_CANCEL, PROTO_PING, PROTO_PONG};
	for (size_t i = 0; i < HW_ARRAY_LEN(types); i++) {
		size_t len;
		uint8_t *frame = proto_encode_empty(types[i], NUMBER, &len), *keep;
		struct proto_message m = open_frame(frame, len, types[i], &keep);
		close_frame(&m, keep, len);
	}
}

/* One line per value: "item key kind value". */
static void note_value(void *ctx, size_t item, const struct reply_value *v)
{
	char *text = ctx;
	size_t at = strlen(text);
	int n = snprintf(text + at, 512 - at, "%zu %s %c", item, v->key, v->kind);
	at += (size_t)n;
	switch (v->kind) {
	case 's':
		snprintf(text + at, 512 - at, " %s\n", v->str);
		break;
	case 'u':
		snprintf(text + at, 512 - at, " %llu\n", (unsigned long long)v->uint);
		break;
	case 'd':
		snprintf(text + at, 512 - at, " %.2f\n", v->dbl);
		break;
	case 'b':
		snprintf(text + at, 512 - at, " %s\n", v->boolean ? "yes" : "no");
		break;
	default:
		snprintf(text + at, 512 - at, "\n");
	}
}

static void replies(void **state)
{
	(void)state;
	char text[512] = "";
	bool ok;
	char *error;
	size_t len, nitems;
	uint8_t *keep;

	struct reply *r = reply_create();
	reply_item(r);
	reply_str(r, "state", "ready");
	reply_uint(r, "bytes", UINT64_MAX);
	reply_item(r);
	reply_double(r, "rtt", -1.25);
	reply_bool(r, "warm", true);
	reply_str(r, "why", NULL);
	reply_item(r);
	uint8_t *frame = reply_encode(r, NUMBER, &len);
	struct proto_message m = open_frame(frame, len, PROTO_REPLY, &keep);
	assert_int_equal(proto_decode_reply(&m, &ok, &error, &nitems, note_value, text), HW_OK);
	close_frame(&m, keep, len);
	reply_destroy(r);
	assert_true(ok);
	assert_null(error);
	assert_int_equal(nitems, 3);
	assert_string_equal(text, "0 state s ready\n0 bytes u 18446744073709551615\n"
				  "1 rtt d -1.25\n1 warm b yes\n1 why n\n");

	r = reply_create();
	reply_str(r, "gone", "when it fails");
	reply_fail(r, "first");
	reply_fail(r, "no such host");
	frame = reply_encode(r, NUMBER, &len);
	m = open_frame(frame, len, PROTO_REPLY, &keep);
	assert_int_equal(proto_decode_reply(&m, &ok, &error, &nitems, note_value, text), HW_OK);
	close_frame(&m, keep, len);
	reply_destroy(r);
	assert_false(ok);
	assert_string_equal(error, "no such host");
	assert_int_equal(nitems, 0);
	free(error);
	reply_destroy(NULL);
}

static void reply_over_limit(void **state)
{
	(void)state;
	size_t len;
	struct reply *r = reply_create();
	reply_item(r);
	for (size_t i = 0; i < PROTO_OBJECTS_MAX / 2; i++)
		reply_bool(r, "k", true);
	assert_null(reply_encode(r, 1, &len));
	reply_fail(r, "too much to tell");
	uint8_t *frame = reply_encode(r, 1, &len);
	assert_non_null(frame);
	free(frame);
	reply_destroy(r);
}

/* A request of exactly the largest payload goes through, one byte more is refused. */
static void request_size_limit(void **state)
{
	(void)state;
	struct proto_request in = {.host = "h", .cwd = "/"}, out;
	size_t len;
	char *command = xmalloc(PROTO_FRAME_MAX + 1);
	memset(command, 'x', PROTO_FRAME_MAX + 1);
	in.command = command;
	in.command_len = PROTO_FRAME_MAX / 2;
	uint8_t *frame = proto_encode_request(NUMBER, &in, &len);
	assert_non_null(frame);
	free(frame);

	in.command_len += PROTO_HEADER_SIZE + PROTO_FRAME_MAX - len;
	ROUNDTRIP(request, PROTO_REQUEST, &in, &out);
	assert_int_equal(out.command_len, in.command_len);
	proto_request_free(&out);

	in.command_len++;
	assert_null(proto_encode_request(NUMBER, &in, &len));
	assert_int_equal(len, 0);
	in.command_len = (size_t)1 << 32 | 5; /* must not wrap to 5 */
	assert_null(proto_encode_request(NUMBER, &in, &len));
	free(command);
}

static void request_count_limits(void **state)
{
	(void)state;
	struct proto_request in = {.host = "h", .cwd = "/"}, out;
	size_t len;
	char **v = xcalloc(PROTO_ENV_MAX + 2, sizeof(*v));
	for (size_t i = 0; i < PROTO_ENV_MAX; i++)
		v[i] = "A=1";
	in.env = v;
	ROUNDTRIP(request, PROTO_REQUEST, &in, &out);
	assert_int_equal(strv_len(out.env), PROTO_ENV_MAX);
	proto_request_free(&out);
	v[PROTO_ENV_MAX] = "A=1";
	assert_null(proto_encode_request(NUMBER, &in, &len));
	in.env = NULL;

	v[PROTO_ARGS_MAX] = NULL;
	in.args = v;
	ROUNDTRIP(request, PROTO_REQUEST, &in, &out);
	assert_int_equal(strv_len(out.args), PROTO_ARGS_MAX);
	proto_request_free(&out);
	v[PROTO_ARGS_MAX] = "one too many";
	assert_null(proto_encode_request(NUMBER, &in, &len));
	free(v);
}

static void type_names(void **state)
{
	(void)state;
#define X(name, number, direction, phase) assert_string_equal(proto_type_name(number), #name);
#include "protocol/messages.def"
#undef X
	assert_string_equal(proto_type_name(0), "unknown");
	assert_string_equal(proto_type_name(UINT32_MAX), "unknown");
	assert_string_equal(hw_strerror(HW_EPROTO), "malformed message");
	assert_string_equal(hw_strerror(HW_OK), "success");
	assert_string_equal(hw_strerror(-1000), "unknown error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_full),
		cmocka_unit_test(request_least),
		cmocka_unit_test(request_empty_command),
		cmocka_unit_test(small_client_messages),
		cmocka_unit_test(answers),
		cmocka_unit_test(started),
		cmocka_unit_test(exits),
		cmocka_unit_test(prompts),
		cmocka_unit_test(texts),
		cmocka_unit_test(empty_messages),
		cmocka_unit_test(replies),
		cmocka_unit_test(reply_over_limit),
		cmocka_unit_test(request_size_limit),
		cmocka_unit_test(request_count_limits),
		cmocka_unit_test(type_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
