#include "daemon/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/app.h"
#include "daemon/channel.h"
#include "daemon/defer.h"
#include "daemon/destination.h"
#include "daemon/pool.h"
#include "daemon/pump.h"
#include "daemon/resolve.h"
#include "protocol/alloc.h"
#include "protocol/decode.h"
#include "protocol/log.h"

/* Refused for the session limit, or the transport lost, before it was sent: so often it moves on. A
 * server that takes logins and drops them must not be logged in to for ever. */
#define REFUSALS_MAX 64
#define LOSSES_MAX   3
/* Output thrown away after its reader has gone, before the command is ended: enough for a short
 * command to tell its exit status all the same (`... | head -1`). */
#define DROPPED_MAX (256 * 1024)
#define INPUT_CHUNK (64 * 1024)

struct session {
	struct app *app;
	const struct session_events *events;
	void *ctx;
	struct session_request request;
	struct destination *dest;
	struct resolve_job *resolving;
	struct pool_waiter *waiter;
	uint32_t prompt; /* number of the open prompt; 0 = none */
	struct channel *channel;
	struct channel_request wanted;
	char **env; /* for the channel */
	char *term;
	bool tty, reused, running, ending;
	unsigned refusals, losses;
	uint64_t started_ms;
	struct pump_in in;
	struct bytebuf rest; /* read from in, not yet taken by the channel */
	struct pump_out out, err;
	struct proto_exit result; /* of an ending session; strings owned */
	struct defer begin;
};

static void session_free(struct session *s)
{
	defer_cancel(&s->begin);
	if (s->resolving != NULL)
		resolve_cancel(s->resolving);
	if (s->waiter != NULL)
		pool_leave(s->waiter);
	if (s->channel != NULL)
		channel_release(s->channel);
	for (int i = 0; i < 3; i++) {
		if (s->request.fds[i] >= 0)
			close(s->request.fds[i]);
	}
	pump_in_finish(&s->in);
	bytebuf_finish(&s->rest);
	pump_out_finish(&s->out);
	pump_out_finish(&s->err);
	destination_unref(s->dest);
	proto_request_free(&s->request.words);
	proto_exit_free(&s->result);
	strv_free(s->env);
	free(s->term);
	app_sessions(s->app, -1);
	free(s);
}

/* Descriptors are closed before the client hears of the end: what reads behind it sees end of file
 * no later than the exit status. */
static void finish(struct session *s)
{
	const struct session_events *events = s->events;
	void *ctx = s->ctx;
	struct proto_exit result = s->result;

	s->result = (struct proto_exit){0};
	session_free(s);
	events->done(ctx, &result);
	proto_exit_free(&result);
}

static void finish_if_flushed(struct session *s)
{
	if (pump_out_empty(&s->out) && pump_out_empty(&s->err))
		finish(s);
}

/* No more from the channel; what is queued for the client still goes out. */
static void begin_ending(struct session *s)
{
	if (s->channel != NULL)
		channel_release(s->channel);
	s->channel = NULL;
	s->ending = true;
	pump_in_finish(&s->in);
	finish_if_flushed(s);
}

static void fail(struct session *s, const char *error, const char *hint, bool ran)
{
	s->result.error = xstrdup(error);
	s->result.hint = hint != NULL && hint[0] != '\0' ? xstrdup(hint) : NULL;
	s->result.ran = ran;
	begin_ending(s);
}

static void fail_by_cause(struct session *s, const struct cause *why)
{
	fail(s, why->text, why->hint, false);
}

/* A line for the client when its LogLevel asks for it: level as in destination.log_level. */
static void notice(struct session *s, int level, const char *fmt, ...) HW_PRINTF(3, 4);
static void notice(struct session *s, int level, const char *fmt, ...)
{
	struct proto_notice m = {0};
	va_list ap;

	if (s->dest != NULL && s->dest->log_level < level)
		return;
	va_start(ap, fmt);
	m.text = xvasprintf(fmt, ap);
	va_end(ap);
	s->events->notice(s->ctx, &m);
	free(m.text);
}

static void fall_back(struct session *s, const char *why)
{
	const struct session_events *events = s->events;
	void *ctx = s->ctx;
	char *copy = xstrdup(why);

	session_free(s);
	events->fallback(ctx, copy);
	free(copy);
}

/* pumps */

static void on_input(void *ctx);

static void on_output_changed(void *ctx)
{
	struct session *s = ctx;

	if (s->ending) {
		finish_if_flushed(s);
		return;
	}
	if (s->channel == NULL)
		return;
	if (!pump_out_full(&s->out) && !pump_out_full(&s->err))
		channel_resume(s->channel);
	channel_touch(s->channel);
}

static void start_pumps(struct session *s)
{
	struct watch_set *watches = s->app->watches;

	pump_out_init(&s->out, watches, s->request.fds[1], on_output_changed, s);
	pump_out_init(&s->err, watches, s->request.fds[2], on_output_changed, s);
	pump_in_init(&s->in, watches, s->request.fds[0], on_input, s);
	for (int i = 0; i < 3; i++)
		s->request.fds[i] = -1;
	if (s->dest->stdin_null)
		pump_in_finish(&s->in);
}

/* Sends input; what the channel did not take (it changes keys) waits in s->rest. */
static void send_input(struct session *s, const uint8_t *data, size_t len)
{
	size_t taken = channel_send(s->channel, data, len);

	if (taken < len && bytebuf_append(&s->rest, data + taken, len - taken) != HW_OK)
		log_error("%s: input over its limit: lost", s->dest->label);
}

/* The rest first. True: none is left. */
static bool send_rest(struct session *s, size_t room)
{
	size_t len = bytebuf_len(&s->rest);

	if (len == 0)
		return true;
	bytebuf_consume(&s->rest,
			channel_send(s->channel, bytebuf_peek(&s->rest), len < room ? len : room));
	return bytebuf_len(&s->rest) == 0;
}

/* Input as far as the channel has room for it. */
static void feed(struct session *s)
{
	static uint8_t chunk[INPUT_CHUNK]; /* of the loop's one thread */
	size_t room;

	while ((room = channel_room(s->channel)) > 0 && send_rest(s, room)) {
		size_t len;
		enum pump_in_result r;

		if (room > sizeof(chunk))
			room = sizeof(chunk);
		r = pump_in_read(&s->in, chunk, room, &len);
		if (r == PUMP_IN_EOF)
			channel_eof(s->channel);
		if (r != PUMP_IN_DATA)
			return;
		send_input(s, chunk, len);
		if (bytebuf_len(&s->rest) > 0)
			break;
	}
	pump_in_pause(&s->in);
}

/* At once, not in the transport's next turn: a keystroke is on its way before anything else. */
static void on_input(void *ctx)
{
	struct session *s = ctx;

	if (s->channel != NULL)
		feed(s);
}

/* channel events */

static void on_running(void *ctx, bool tty)
{
	struct session *s = ctx;
	struct proto_started m = {.tty = tty, .reused = s->reused, .escape = s->dest->escape_char};

	s->running = true;
	s->started_ms = uv_now(s->app->loop);
	if (s->tty && !tty)
		notice(s, 0, "PTY allocation request failed on channel 0");
	m.read_stdin = s->in.fd >= 0;
	if (s->request.words.flags & PROTO_WANT_STARTED)
		s->events->started(s->ctx, &m);
}

static bool on_data(void *ctx, int stream, const void *data, size_t len, bool must)
{
	struct session *s = ctx;

	if (!must && (pump_out_full(&s->out) || pump_out_full(&s->err)))
		return false;
	pump_out_write(stream == 2 ? &s->err : &s->out, data, len);
	return true;
}

static void on_turn(void *ctx)
{
	struct session *s = ctx;

	if (s->out.broken && s->out.dropped > DROPPED_MAX) {
		/* As ssh: the remote command gets SIGPIPE when it writes on. */
		s->result.signal = xstrdup("PIPE");
		begin_ending(s);
		return;
	}
	pump_out_flush(&s->out);
	pump_out_flush(&s->err);
	/* A flush that took all leaves nobody to wait for: what was refused is asked for here. */
	if (!pump_out_full(&s->out) && !pump_out_full(&s->err))
		channel_resume(s->channel);
	feed(s);
}

static void wait_for_channel(struct session *s, bool front);

/* The transport died, or a limit was hit, after the request was sent: it is not run again. */
static void lost(struct session *s, const struct channel_end *end)
{
	char text[1024];
	double ran_s = (double)(uv_now(s->app->loop) - s->started_ms) / 1e3;

	if (s->running)
		snprintf(text, sizeof(text), "%s; the command had been running for %.1f s",
			 end->why.text, ran_s);
	else
		snprintf(text, sizeof(text), "%s; it is not known whether the command ran",
			 end->why.text);
	fail(s, text, end->why.hint, true);
}

static bool may_move_on(struct session *s, const struct channel_end *end)
{
	if (end->kind == CHANNEL_OPEN_REFUSED)
		return ++s->refusals <= REFUSALS_MAX;
	return end->why.cls != CAUSE_DAEMON_STOPPED && end->why.cls != CAUSE_LIMIT &&
	       ++s->losses <= LOSSES_MAX;
}

static void on_end(void *ctx, const struct channel_end *end)
{
	struct session *s = ctx;

	switch (end->kind) {
	case CHANNEL_ENDED:
		s->result.has_status = end->has_status;
		s->result.status = end->status;
		s->result.ran = true;
		if (end->signal[0] != '\0')
			s->result.signal = xstrdup(end->signal);
		if (!end->has_status && end->signal[0] == '\0') {
			fail(s, "the server closed the session without an exit status",
			     "its shell was killed, or sshd's ChannelTimeout ended it", true);
			return;
		}
		begin_ending(s);
		return;
	case CHANNEL_REQUEST_REFUSED:
		fail_by_cause(s, &end->why);
		return;
	case CHANNEL_OPEN_REFUSED:
	case CHANNEL_LOST:
		if (end->sent) {
			lost(s, end);
			return;
		}
		if (!may_move_on(s, end)) {
			fail_by_cause(s, &end->why);
			return;
		}
		channel_release(s->channel);
		s->channel = NULL;
		wait_for_channel(s, true);
		return;
	}
}

static const struct channel_events channel_events = {
	.running = on_running,
	.data = on_data,
	.turn = on_turn,
	.end = on_end,
};

/* pool events */

static void on_granted(void *ctx, struct channel *c, bool reused)
{
	struct session *s = ctx;

	s->waiter = NULL;
	s->channel = c;
	s->reused = reused;
	notice(s, 1, "hawser: %s the held connection to %s", reused ? "using" : "opened",
	       s->dest->label);
	channel_claim(c, &s->wanted, &channel_events, s);
}

static void on_failed(void *ctx, const struct cause *why, bool handover)
{
	struct session *s = ctx;

	s->waiter = NULL;
	if (handover)
		fall_back(s, why->text);
	else
		fail_by_cause(s, why);
}

static void on_prompt(void *ctx, const struct proto_prompt *p)
{
	struct session *s = ctx;
	struct proto_prompt m = *p;
	static uint32_t last;

	s->prompt = m.prompt = ++last;
	s->events->prompt(s->ctx, &m);
}

static void on_pool_notice(void *ctx, const char *text, bool raw)
{
	struct session *s = ctx;
	struct proto_notice m = {.raw = raw, .text = (char *)text};

	/* QUIET hides warnings and banner, as in ssh. */
	if (s->dest->log_level >= (raw ? 0 : -1))
		s->events->notice(s->ctx, &m);
}

static const struct pool_events pool_events = {
	.granted = on_granted,
	.failed = on_failed,
	.prompt = on_prompt,
	.notice = on_pool_notice,
};

static void wait_for_channel(struct session *s, bool front)
{
	struct pool_want want = {
		.dest = s->dest,
		.env = s->env,
		.terminal = s->tty,
		.can_ask = (s->request.words.flags & PROTO_CAN_ASK) != 0,
		.front = front,
	};

	s->waiter = pool_wait(s->app->pools, &want, &pool_events, s);
}

/* what was asked */

static const char *client_variable(const struct session *s, const char *name)
{
	size_t len = strlen(name);

	for (char **e = s->request.words.env; e != NULL && *e != NULL; e++) {
		if (strncmp(*e, name, len) == 0 && (*e)[len] == '=')
			return *e + len + 1;
	}
	return "";
}

/* ssh(1)'s rules for -t, -T and RequestTTY. */
static bool wants_tty(struct session *s, bool has_command)
{
	bool stdin_tty = (s->request.words.flags & PROTO_STDIN_TTY) && !s->dest->stdin_null;
	bool tty = false;

	switch (s->dest->request_tty) {
	case TTY_NO:
		return false;
	case TTY_FORCE:
		return true;
	case TTY_YES:
		tty = true;
		break;
	case TTY_AUTO:
		tty = !has_command;
		break;
	}
	if (tty && !stdin_tty) {
		notice(s, 0,
		       "Pseudo-terminal will not be allocated because stdin is not a terminal.");
		return false;
	}
	return tty;
}

/* Fills in what the channel is to be asked. False: the words contradict each other; failed. */
static bool prepare(struct session *s)
{
	const struct destination *d = s->dest;
	struct channel_request *w = &s->wanted;
	const char *command = s->request.words.command;

	if (command != NULL && d->remote_command != NULL) {
		fail(s, "Cannot execute command-line and remote command.", NULL, false);
		return false;
	}
	if (command == NULL)
		command = d->remote_command;
	w->kind = command == NULL ? CHANNEL_SHELL : CHANNEL_EXEC;
	if (d->session_type == SESSION_SUBSYSTEM) {
		if (command == NULL) {
			fail(s, "You must specify a subsystem to invoke.", NULL, false);
			return false;
		}
		w->kind = CHANNEL_SUBSYSTEM;
	}
	w->command = command;
	s->tty = wants_tty(s, command != NULL);
	if (s->tty) {
		s->term = xstrdup(client_variable(s, "TERM"));
		w->term = s->term;
		w->size = s->request.words.winsize;
	}
	s->env = destination_session_env(d, s->request.words.env);
	w->env = s->env;
	return true;
}

/* Takes the reference to dest. */
static void proceed(struct session *s, struct destination *dest)
{
	s->dest = dest;
	if (dest->fallback != NULL) {
		fall_back(s, dest->fallback);
		return;
	}
	start_pumps(s);
	if (prepare(s))
		wait_for_channel(s, false);
}

static void on_resolved(void *ctx, struct destination *d, const struct cause *why,
			const char *ssh_words)
{
	struct session *s = ctx;
	struct proto_notice m = {.raw = true, .text = (char *)ssh_words};

	s->resolving = NULL;
	if (d != NULL) {
		/* Match exec's stderr, a warning about an identity file: ssh shows them too. */
		if (ssh_words != NULL && ssh_words[0] != '\0' && d->log_level >= 0)
			s->events->notice(s->ctx, &m);
		proceed(s, d);
		return;
	}
	if (ssh_words != NULL && ssh_words[0] != '\0') {
		/* ssh has said it itself; a second sentence would say it worse. */
		s->events->notice(s->ctx, &m);
		s->result.has_status = true;
		s->result.status = HW_EXIT_FAILURE;
		begin_ending(s);
	} else {
		fail_by_cause(s, why);
	}
}

static void on_begin(void *ctx)
{
	struct session *s = ctx;
	struct resolve_query q = {
		.args = s->request.words.args,
		.host = s->request.words.host,
		.client = {.env = s->request.words.env, .cwd = s->request.words.cwd},
	};
	struct destination *d = resolver_lookup(s->app->resolver, &q);

	if (d != NULL)
		proceed(s, d);
	else
		s->resolving = resolver_start(s->app->resolver, &q, on_resolved, s);
}

struct session *session_start(struct app *app, struct session_request *request,
			      const struct session_events *events, void *ctx)
{
	struct session *s = xcalloc(1, sizeof(*s));

	s->app = app;
	s->events = events;
	s->ctx = ctx;
	s->request = *request;
	s->in.fd = s->out.fd = s->err.fd = -1;
	bytebuf_init(&s->rest, INPUT_CHUNK);
	defer_init(&s->begin, on_begin, s);
	defer_post(pools_defer(app->pools), &s->begin);
	app_sessions(app, +1);
	return s;
}

void session_signal(struct session *s, const char *name)
{
	if (s->channel != NULL && s->running)
		channel_signal(s->channel, name);
}

void session_resize(struct session *s, const struct proto_winsize *size)
{
	s->wanted.size = *size;
	if (s->channel != NULL && s->tty)
		channel_resize(s->channel, size);
}

void session_answer(struct session *s, const struct proto_answer *answer)
{
	if (s->waiter == NULL || s->prompt == 0 || answer->prompt != s->prompt)
		return;
	s->prompt = 0;
	if (answer->cancelled)
		pool_answer(s->waiter, NULL,
			    answer->reason != NULL ? answer->reason : "the question was cancelled");
	else
		pool_answer(s->waiter, answer->answers, NULL);
}

void session_abort(struct session *s)
{
	/* A command without a terminal would run on for ever after its client was killed. */
	if (s->channel != NULL && s->running && !s->tty)
		channel_signal(s->channel, "HUP");
	session_free(s);
}
