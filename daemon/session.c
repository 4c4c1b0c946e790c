#include "daemon/session_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/proxy_env.h"
#include "protocol/alloc.h"
#include "protocol/decode.h"
#include "protocol/log.h"

#define COMMAND_MAX ((size_t)255 * 1024) /* bytes */

static void session_free(struct session *s)
{
	defer_cancel(&s->begin);
	session_sticky_finish(s);
	if (s->resolving != NULL)
		resolve_cancel(s->resolving);
	if (s->waiter != NULL)
		pool_leave(s->waiter);
	if (s->channel != NULL)
		channel_release(s->channel);
	session_lend_finish(s);
	session_stage_finish(s);
	for (int i = 0; i < 3; i++) {
		if (s->request.fds[i] >= 0)
			close(s->request.fds[i]);
	}
	bridge_finish(&s->bridge);
	forward_end_finish(&s->stdio);
	destination_unref(s->dest);
	origin_unref(s->origin);
	proto_request_free(&s->request.words);
	proto_exit_free(&s->result);
	strv_free(s->env);
	free(s->term);
	free(s->stty);
	free(s->evidence);
	app_sessions(s->app, -1);
	free(s);
}

/* Descriptors are closed before the client hears of the end: what reads behind them sees end of
 * file no later than the exit status. */
static void finish(struct session *s)
{
	const struct session_events *events = s->events;
	void *ctx = s->ctx;
	struct proto_exit result;

	session_account(s);
	session_journal_end(s, NULL);
	result = s->result;
	s->result = (struct proto_exit){0};
	session_free(s);
	events->done(ctx, &result);
	proto_exit_free(&result);
}

void session_end_if_through(struct session *s)
{
	if (s->ending && bridge_flushed(&s->bridge))
		finish(s);
}

static void on_drained(void *ctx)
{
	session_end_if_through(ctx);
}

void session_begin_ending(struct session *s)
{
	session_sticky_finish(s);
	if (s->channel != NULL)
		channel_release(s->channel);
	s->channel = NULL;
	if (s->waiter != NULL)
		pool_leave(s->waiter);
	s->waiter = NULL;
	s->ending = true;
	s->waiting = false;
	session_lend_finish(s);
	bridge_detach(&s->bridge, NULL);
	session_stage_finish(s);
	session_end_if_through(s);
}

void session_fail(struct session *s, const char *error, const char *hint, bool ran)
{
	s->result.error = xstrdup(error);
	s->result.hint = hint != NULL && hint[0] != '\0' ? xstrdup(hint) : NULL;
	s->result.ran = ran;
	session_begin_ending(s);
}

void session_ended_by(struct session *s, const struct cause *why)
{
	s->ended_by = why->cls;
	free(s->evidence);
	s->evidence = why->evidence[0] != '\0' ? xstrdup(why->evidence) : NULL;
}

void session_fail_by_cause(struct session *s, const struct cause *why)
{
	session_ended_by(s, why);
	session_fail(s, why->text, session_sticky_leave(s, why->hint), session_sticky_is_away(s));
}

void session_end_status(struct session *s, unsigned status)
{
	free(s->result.signal);
	s->result.signal = NULL;
	s->result.has_status = true;
	s->result.status = status;
	session_begin_ending(s);
}

void session_notice(struct session *s, int level, const char *fmt, ...)
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

void session_prompt(struct session *s, const struct proto_prompt *p)
{
	struct proto_prompt m = *p;
	static uint32_t last;

	s->prompt = m.prompt = ++last;
	s->events->prompt(s->ctx, &m);
}

void session_fall_back(struct session *s, const char *why)
{
	const struct session_events *events = s->events;
	void *ctx = s->ctx;
	char *copy = xstrdup(why);

	session_free(s);
	events->fallback(ctx, copy);
	free(copy);
}

/* sshd ends a connection on which a packet of more than 256 KiB comes, and all that others run
 * there would end with it. */
static bool is_too_long(const struct session *s)
{
	return s->request.words.command_len > COMMAND_MAX ||
	       (s->dest->remote_command != NULL && strlen(s->dest->remote_command) > COMMAND_MAX);
}

/* Takes the reference to dest. */
static void proceed(struct session *s, struct destination *dest)
{
	s->dest = dest;
	if (dest->fallback != NULL) {
		session_fall_back(s, dest->fallback);
		return;
	}
	if (dest->local_command != NULL && s->request.words.operation == NULL &&
	    !(s->request.words.flags & PROTO_CAN_RUN)) {
		session_fall_back(s, "LocalCommand is set, and this client does not run it");
		return;
	}
	if (is_too_long(s)) {
		session_fall_back(s, "the command is longer than a shared connection takes");
		return;
	}
	if (proxy_env_is_loop(dest, s->origin)) {
		session_fail(s,
			     "a ProxyCommand leads to itself: it runs hawser for a host that it is "
			     "on the way to",
			     "see ProxyCommand in the configuration of that host", false);
		return;
	}
	s->bridge.label = dest->label;
	bridge_start(&s->bridge, s->app->watches, s->request.fds, on_drained, s);
	if (s->request.words.operation != NULL) {
		session_operation_start(s);
		return;
	}
	if (dest->stdin_null || dest->fork_after_auth)
		bridge_no_input(&s->bridge);
	if (session_prepare(s))
		session_stage_start(s);
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
		session_journal_refused(s, ssh_words);
		s->ended_by = CAUSE_CONFIG;
		session_end_status(s, HW_EXIT_FAILURE);
	} else {
		session_journal_refused(s, why->text);
		session_fail_by_cause(s, why);
	}
}

static void on_begin(void *ctx)
{
	struct session *s = ctx;
	struct resolve_query q = {
		.args = s->request.words.args,
		.host = s->request.words.host,
		.client = {.env = s->origin->env, .cwd = s->origin->cwd},
	};
	struct destination *d = resolver_lookup(s->app->resolver, &q);
	char *text;

	if (d != NULL) {
		proceed(s, d);
		return;
	}
	text = xasprintf("reading the configuration for %s", q.host);
	session_progress(s, text, 0);
	free(text);
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
	s->origin = origin_create(request->words.env, request->words.cwd, request->peer_pid);
	s->request.words.env = NULL;
	s->request.words.cwd = NULL;
	bridge_init(&s->bridge);
	defer_init(&s->begin, on_begin, s);
	defer_post(pools_defer(app->pools), &s->begin);
	app_sessions(app, +1);
	return s;
}

void session_signal(struct session *s, const char *name)
{
	/* Where no command runs there is nobody to hear of it: the request ends, as ssh does. */
	if (s->waiting || (s->running && !s->ending && s->goal != GOAL_SESSION))
		/* ssh -N takes a SIGTERM for the order to end that it is. */
		session_end_status(s, s->goal == GOAL_NONE && strcmp(name, "TERM") == 0
					      ? EXIT_SUCCESS
					      : HW_EXIT_FAILURE);
	else if (s->channel != NULL && s->running)
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
	if (s->prompt == 0 || answer->prompt != s->prompt)
		return;
	s->prompt = 0;
	if (s->local_command_prompt) {
		s->local_command_prompt = false;
		session_stage_command_done(s);
		return;
	}
	if (s->waiter == NULL)
		return;
	if (answer->cancelled)
		pool_answer(s->waiter, NULL,
			    answer->reason != NULL ? answer->reason : "the question was cancelled");
	else
		pool_answer(s->waiter, answer->answers, NULL);
}

/* A command without a terminal would run on for ever after its client was killed. */
static void hang_up(struct session *s)
{
	if (s->channel != NULL && s->running && !s->tty && s->goal == GOAL_SESSION)
		channel_signal(s->channel, "HUP");
}

void session_stop(struct session *s)
{
	bool over = s->ending || s->waiting, ran = session_may_have_run(s);

	hang_up(s);
	if (!over) {
		free(s->result.error);
		free(s->result.hint);
		s->ended_by = CAUSE_DAEMON_STOPPED;
		s->result.error = session_how_far(s, "hawserd was stopped");
		s->result.hint = xstrdup(session_sticky_leave(
			s, ran ? "look at the host before you run it again; that starts a new "
				 "hawserd"
			       : "run it again: that starts a new hawserd"));
		s->result.ran = ran;
	}
	finish(s);
}

void session_abort(struct session *s)
{
	hang_up(s);
	session_journal_end(s, "the client left");
	session_free(s);
}
