/* A request on its channel: its bytes, its end, and what a lost connection means for it. */
#include "daemon/session_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/destination_values.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

/* Refused for the session limit, or the transport lost, before it was sent: so often it moves on. A
 * server that takes logins and drops them must not be logged in to for ever. */
#define REFUSALS_MAX 64
#define LOSSES_MAX   3
/* Output thrown away after its reader has gone, before the command is ended: enough for a short
 * command to tell its exit status all the same (`... | head -1`). */
#define DROPPED_MAX (256 * 1024)

void session_started(struct session *s, bool tty)
{
	struct destination *d = s->dest;
	struct proto_started m = {
		.tty = tty,
		.reused = s->reused,
		.escape = d->escape_char,
		.background = d->fork_after_auth,
		.host = d->hostname,
		.has_level = true,
		.level = value_proto_level(d->log_level_name),
		.commandline = d->escape_commandline,
		.local_command = value_flag(destination_line(d->raw, "permitlocalcommand"))};

	if (s->step == STEP_OPENING)
		session_step(s, STEP_SENT);
	session_step(s, STEP_RUNNING);
	s->running = true;
	s->started_ms = uv_now(s->app->loop);
	if (s->tty && !tty)
		session_notice(s, 0, "PTY allocation request failed on channel 0");
	m.modes = tty && (s->stty != NULL || channel_modes_sent(s->channel));
	if (s->channel != NULL && channel_x11_refused(s->channel))
		session_notice(s, -1, "X11 forwarding request failed on channel 0");
	m.read_stdin = s->bridge.in.fd >= 0;
	if ((s->request.words.flags & PROTO_WANT_STARTED) || m.background)
		s->events->started(s->ctx, &m);
}

static void on_running(void *ctx, bool tty)
{
	if (!session_sticky_runs(ctx))
		session_started(ctx, tty);
}

static bool on_data(void *ctx, int stream, const void *data, size_t len, bool must)
{
	struct session *s = ctx;

	if (s->sticky != NULL)
		return session_sticky_data(s, stream, data, len, must);
	return bridge_data(&s->bridge, stream, data, len, must);
}

static void on_turn(void *ctx)
{
	struct session *s = ctx;

	if (s->bridge.out.broken && s->bridge.out.dropped > DROPPED_MAX) {
		/* As ssh: the remote command gets SIGPIPE when it writes on. */
		s->result.signal = xstrdup("PIPE");
		session_begin_ending(s);
		return;
	}
	session_sticky_turn(s);
	bridge_turn(&s->bridge);
}

/* The transport died, or a limit was hit, after the request was sent: it is not run again. */
static void lost(struct session *s, const struct channel_end *end)
{
	char *text;

	if (!s->running)
		session_step(s, STEP_SENT);
	session_ended_by(s, &end->why);
	text = session_how_far(s, end->why.text);
	session_fail(s, text, session_sticky_leave(s, end->why.hint), true);
	free(text);
}

static bool may_move_on(struct session *s, const struct channel_end *end)
{
	if (session_sticky_is_away(s) &&
	    (end->kind == CHANNEL_OPEN_REFUSED || session_sticky_comes_back(&end->why))) {
		session_sticky_count_loss(s);
		return true;
	}
	if (end->kind == CHANNEL_OPEN_REFUSED)
		return ++s->refusals <= REFUSALS_MAX;
	return end->why.cls != CAUSE_DAEMON_STOPPED && end->why.cls != CAUSE_LIMIT &&
	       ++s->losses <= LOSSES_MAX;
}

/* ssh's last words of a session with a terminal. A client that was told of the start says them by
 * itself, when its own terminal is as it was. */
static void say_closed(struct session *s)
{
	struct proto_notice m = {.raw = true, .banner = true};

	if (!s->tty || !s->running || s->dest->log_level < 0 ||
	    (s->request.words.flags & PROTO_WANT_STARTED))
		return;
	m.text = xasprintf("Connection to %s closed.\r\n", s->dest->hostname);
	s->events->notice(s->ctx, &m);
	free(m.text);
}

/* The login shell, or a forced command, ended before our script could say a word. */
static void not_attached(struct session *s, const struct channel_end *end)
{
	char *how = end->has_status
			    ? xasprintf("the login shell there ended with status %u", end->status)
		    : end->signal[0] != '\0'
			    ? xasprintf("the login shell there was ended by signal %s", end->signal)
			    : xstrdup(end->why.text);
	char *text = xasprintf("%s did not attach again: %s", s->dest->label, how);

	free(how);
	session_ended_by(s, &end->why);
	if (s->ended_by == CAUSE_NONE)
		s->ended_by = CAUSE_CHANNEL;
	session_fail(s, text, session_sticky_leave(s, end->why.hint), true);
	free(text);
}

static void ended(struct session *s, const struct channel_end *end)
{
	if (session_sticky_is_away(s)) {
		not_attached(s, end);
		return;
	}
	s->result.has_status = end->has_status;
	s->result.status = end->status;
	s->result.ran = true;
	if (end->has_status || end->signal[0] != '\0')
		session_step(s, STEP_DONE);
	if (end->signal[0] != '\0')
		s->result.signal = xstrdup(end->signal);
	session_ended_by(s, &end->why);
	if (!end->has_status && end->signal[0] == '\0') {
		session_fail(s, end->why.text, end->why.hint, true);
		return;
	}
	if (end->why.cls != CAUSE_NONE) {
		session_notice(s, 0, "hawser: %s", end->why.text);
		session_notice(s, 0, "hawser: %s", end->why.hint);
	}
	/* What attached the terminal was ended, not what it is attached to. */
	if (end->signal[0] != '\0' && session_sticky_stays(s) && s->running)
		session_notice(s, 0, "hawser: %s", session_sticky_leave(s, ""));
	say_closed(s);
	session_end_when_unused(s);
}

static void on_end(void *ctx, const struct channel_end *end)
{
	struct session *s = ctx;

	session_sticky_turn(s);
	session_sticky_flush(s);
	switch (end->kind) {
	case CHANNEL_ENDED:
		ended(s, end);
		return;
	case CHANNEL_REQUEST_REFUSED:
		if (!s->running)
			session_step(s, STEP_SENT);
		session_fail_by_cause(s, &end->why);
		return;
	case CHANNEL_OPEN_REFUSED:
	case CHANNEL_LOST:
		if (end->sent && !session_sticky_again(s, end)) {
			lost(s, end);
			return;
		}
		if (!end->sent && !may_move_on(s, end)) {
			session_fail_by_cause(s, &end->why);
			return;
		}
		if (s->x11 != NULL)
			x11_guest_detach(s->x11);
		channel_release(s->channel);
		s->channel = NULL;
		s->bridge.channel = NULL;
		session_come_back(s);
		return;
	}
}

static const struct channel_events channel_events = {
	.running = on_running,
	.data = on_data,
	.turn = on_turn,
	.end = on_end,
};

/* Whose client sees a wait hears when that is over, by STARTED. */
static void tell_asked(struct session *s)
{
	char *text;

	if (!(s->request.words.flags & PROTO_WANT_PROGRESS) ||
	    !(s->request.words.flags & PROTO_WANT_STARTED) || s->running)
		return;
	text = xasprintf("waiting for %s to answer the request", s->dest->label);
	session_progress(s, text, 0);
	free(text);
}

void session_on_granted(void *ctx, struct channel *c, bool reused)
{
	struct session *s = ctx;
	struct cause why;

	s->waiter = NULL;
	if (!session_sticky_may_attach(s, channel_transport(c), &why)) {
		channel_release(c);
		session_fail_by_cause(s, &why);
		return;
	}
	s->channel = s->bridge.channel = c;
	s->bridge.holding = session_sticky_is_away(s);
	session_step(s, STEP_OPENING);
	/* With a lease it was said, and is known, already. */
	if (s->lease == NULL) {
		s->reused = reused;
		session_tell_connection(s, channel_transport(c));
	}
	if (transport_untrusted(channel_transport(c)))
		session_lend_nothing(s);
	if (s->wanted.x11 != NULL)
		x11_guest_attach(s->x11, channel_transport(c));
	tell_asked(s);
	channel_claim(c, &s->wanted, &channel_events, s);
	session_journal_begin(s, channel_transport(c));
}

/* --- -W --- */

/* Both ends have said their last word. */
static void on_stdio_end(void *ctx, const struct channel_end *end)
{
	struct session *s = ctx;

	if (end->kind == CHANNEL_ENDED) {
		s->result.has_status = true;
		session_end_when_unused(s);
		return;
	}
	if (end->kind == CHANNEL_LOST) {
		session_fail_by_cause(s, &end->why);
		return;
	}
	/* ssh's words, which scripts look for. */
	session_notice(s, 0, "channel 0: open failed: %s", end->why.text);
	session_notice(s, 0, "stdio forwarding failed");
	session_end_status(s, HW_EXIT_FAILURE);
}

/* The other side writes no more: neither do we. */
static void on_stdio_eof(void *ctx)
{
	struct session *s = ctx;

	bridge_end_output(&s->bridge);
}

static const struct channel_events stdio_events = {
	.running = on_running,
	.data = on_data,
	.turn = on_turn,
	.eof = on_stdio_eof,
	.end = on_stdio_end,
};

void session_open_stdio(struct session *s)
{
	struct channel_target target = {.path = s->stdio.path,
					.host = s->stdio.host,
					.port = s->stdio.port,
					.origin = "127.0.0.1",
					.origin_port = 0};

	s->channel = s->bridge.channel =
		channel_open_direct(pool_lease_transport(s->lease), &target, &stdio_events, s);
}
