/* What must stand before a request's goal: the connection itself where no session channel stands
 * for it (forwards, -N, -W), the forwards, and LocalCommand. */
#include "daemon/session_priv.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/alloc.h"
#include "protocol/log.h"

#define CONTROL_C '\3'

static void on_failed(void *ctx, const struct cause *why, bool handover)
{
	struct session *s = ctx;

	s->waiter = NULL;
	if (!s->running && (why->cls == CAUSE_LIMIT || why->cls == CAUSE_LOCKED))
		session_journal_refused(s, why->text);
	if (handover && !session_sticky_is_away(s))
		session_fall_back(s, why->text);
	else
		session_fail_by_cause(s, why);
}

static void on_prompt(void *ctx, const struct proto_prompt *p)
{
	session_prompt(ctx, p);
}

static void on_pool_notice(void *ctx, const char *text, bool raw)
{
	struct session *s = ctx;
	struct proto_notice m = {.raw = raw, .banner = raw, .text = (char *)text};

	/* QUIET hides warnings and banner, as in ssh. */
	if (s->dest->log_level >= (raw ? 0 : -1))
		s->events->notice(s->ctx, &m);
}

void session_progress(struct session *s, const char *text, unsigned retry_ms)
{
	struct proto_progress m = {.text = (char *)(uintptr_t)text, .retry_ms = retry_ms};

	if ((s->request.words.flags & PROTO_WANT_PROGRESS) &&
	    (s->dest == NULL || s->dest->log_level >= 0))
		s->events->progress(s->ctx, &m);
}

static void on_progress(void *ctx, const char *text, unsigned retry_ms)
{
	session_progress(ctx, text, retry_ms);
}

static const struct pool_events pool_events = {
	.granted = session_on_granted,
	.leased = session_on_leased,
	.lost = session_on_lost,
	.failed = on_failed,
	.prompt = on_prompt,
	.notice = on_pool_notice,
	.progress = on_progress,
};

void session_wait(struct session *s, bool lease, bool front)
{
	struct pool_want want = {
		.dest = s->dest,
		.origin = s->origin,
		.group = s->group,
		.lease = lease,
		.env = s->env,
		.terminal = s->tty,
		.can_ask = (s->request.words.flags & PROTO_CAN_ASK) != 0,
		.front = front,
		.patient = s->returning || session_sticky_is_away(s),
		.delay_ms = s->delay_ms,
	};

	session_step(s, STEP_WAITING);
	s->waiter = pool_wait(s->app->pools, &want, &pool_events, s);
	s->delay_ms = 0;
	if (s->dest->log_level > 0) {
		const char *why = pool_waiter_why(s->waiter);
		if (why != NULL)
			session_notice(s, 1, "hawser: %s: %s", s->dest->label, why);
	}
}

/* In the words that people search for. */
void session_tell_connection(struct session *s, const struct transport *t)
{
	struct transport_stats stats;

	session_notice(s, 1, "hawser: %s to %s",
		       s->reused ? "using the held connection" : "opened a connection",
		       s->dest->label);
	if (s->dest->log_level < 2 || t == NULL)
		return;
	transport_stats(t, &stats);
	session_notice(s, 2, "hawser: connected to %s [%s] port %u, remote software version %s",
		       s->dest->hostname, stats.address, s->dest->port, stats.server);
	session_notice(s, 2, "hawser: kex: algorithm: %s, cipher: %s", stats.kex, stats.cipher);
	session_notice(s, 2, "hawser: stages: key exchange %u ms, authentication %u ms",
		       stats.kex_ms, stats.auth_ms);
	session_notice(s, 2, "hawser: authenticated as %s %.0f s ago; %u sessions on it",
		       s->dest->user, stats.age_s, transport_channels(t));
}

/* --- the stages, in order --- */

static void reach_goal(struct session *s)
{
	switch (s->goal) {
	case GOAL_SESSION:
		session_lend(s);
		return;
	case GOAL_STDIO:
		session_open_stdio(s);
		return;
	case GOAL_NONE:
		/* Who reads behind the descriptors of `ssh -f -N` sees their end at once. */
		bridge_unused(&s->bridge);
		session_started(s, false);
		return;
	}
}

void session_stage_command_done(struct session *s)
{
	s->local_command_done = true;
	if (s->lease == NULL)
		session_stage_start(s); /* lost meanwhile, and the forwards with it */
	else
		reach_goal(s);
}

/* LocalCommand runs in the client, whose terminal and job it is, before the session begins. */
static void run_local_command(struct session *s)
{
	struct proto_prompt p = {.kind = PROTO_PROMPT_COMMAND, .intro = s->dest->local_command};

	if (s->dest->local_command == NULL || s->local_command_done) {
		reach_goal(s);
		return;
	}
	s->local_command_prompt = true;
	session_prompt(s, &p);
}

static void on_forward_notice(void *ctx, int level, const char *text)
{
	session_notice(ctx, level, "%s", text);
}

/* --- -N comes back with its connection --- */

static bool comes_back(const struct session *s, const struct cause *why)
{
	return s->running && s->goal == GOAL_NONE && pool_comes_back(s->app, s->dest, why);
}

static void go_back(struct session *s)
{
	s->returning = true;
	session_wait(s, true, true);
}

static void is_back(struct session *s)
{
	s->returning = false;
	session_step(s, STEP_RUNNING);
	session_notice(s, 0, "hawser: connected to %s again%s", s->dest->label,
		       s->forwards != NULL && !session_missing_any(s) ? "; the forwards stand"
								      : "");
}

static bool forwards_come_back(const struct session *s)
{
	return (s->running && s->goal == GOAL_NONE) ||
	       (session_may_have_run(s) && session_sticky_stays(s));
}

/* The connection is lost, or left. */
static void drop_forwards(struct session *s)
{
	session_actions_lost(s);
	if (forwards_come_back(s))
		session_missing_keep(s);
	else
		session_missing_finish(s);
	forward_set_destroy(s->forwards);
	s->forwards = NULL;
}

void session_forwards_back(struct session *s)
{
	if (s->returning) {
		is_back(s);
		return;
	}
	forward_set_reserve(s->forwards);
	run_local_command(s);
}

static void on_forwards_ready(void *ctx, size_t failed)
{
	struct session *s = ctx;

	if (failed > 0 && s->dest->exit_on_forward_failure) {
		/* What failed was said. */
		session_end_status(s, HW_EXIT_FAILURE);
		return;
	}
	if (s->goal != GOAL_NONE)
		forward_set_reserve(s->forwards);
	run_local_command(s);
}

/* What ssh stays for when the command has ended: connections through its forwards, X11 programs. */
static bool still_used(const struct session *s)
{
	return (s->forwards != NULL && forward_set_waits(s->forwards)) ||
	       (s->x11 != NULL && x11_guest_busy(s->x11));
}

void session_use_changed(struct session *s)
{
	if (s->waiting && !still_used(s))
		session_begin_ending(s);
}

/* Connections through the forwards came or went. */
static void on_forwards_changed(void *ctx)
{
	session_use_changed(ctx);
}

const struct forward_events session_forward_events = {
	.notice = on_forward_notice,
	.changed = on_forwards_changed,
};

/* ^C: ssh has left the raw mode by now. */
static bool on_typed(void *ctx, const uint8_t *bytes, size_t len)
{
	struct session *s = ctx;

	if (memchr(bytes, CONTROL_C, len) == NULL)
		return true;
	session_end_status(s, HW_EXIT_FAILURE);
	return false;
}

void session_end_when_unused(struct session *s)
{
	if (!still_used(s)) {
		session_begin_ending(s);
		return;
	}
	s->waiting = true;
	session_missing_finish(s);
	if (s->channel != NULL)
		channel_release(s->channel);
	s->channel = NULL;
	if (s->x11 != NULL && x11_guest_busy(s->x11))
		session_notice(s, s->tty ? 0 : 1,
			       "hawser: waiting for X11 programs that still run");
	else
		session_notice(s, 1, "hawser: waiting for forwarded connections to end");
	bridge_detach(&s->bridge, s->tty ? on_typed : NULL); /* may end it all: ^C was typed */
}

/* Who knows whom the bytes would reach: as ssh has it. */
static void forward_nothing(struct session *s)
{
	session_notice(s, -1, "Port forwarding is disabled to avoid man-in-the-middle attacks.");
	if (s->dest->exit_on_forward_failure)
		session_fail(s, "Error: forwarding disabled due to host key check failure",
			     "see the warning about the host key", false);
	else if (s->returning)
		is_back(s);
	else
		run_local_command(s);
}

void session_on_leased(void *ctx, struct pool_lease *l, bool reused)
{
	struct session *s = ctx;
	struct forward_want want = {
		.specs = s->dest->forwards,
		.count = s->dest->nforwards,
		.dest = s->dest,
		.cwd = s->origin->cwd,
		.words = s->dest->exit_on_forward_failure ? FORWARD_FATAL : FORWARD_WARN,
	};
	bool again = s->returning || session_sticky_is_away(s);
	bool any = again ? session_missing_any(s) : s->dest->nforwards > 0;
	struct cause why;

	s->waiter = NULL;
	s->lease = l;
	if (session_sticky_is_away(s) &&
	    !session_sticky_may_attach(s, pool_lease_transport(l), &why)) {
		session_fail_by_cause(s, &why);
		return;
	}
	s->reused = reused;
	session_tell_connection(s, pool_lease_transport(l));
	session_journal_begin(s, pool_lease_transport(l));
	if (!any && s->returning) {
		is_back(s);
		return;
	}
	if (!any) {
		run_local_command(s);
		return;
	}
	if (transport_untrusted(pool_lease_transport(l))) {
		forward_nothing(s);
		return;
	}
	s->forwards = forward_set_create(s->app, pool_lease_transport(l), s->dest->label,
					 &session_forward_events, s);
	if (again)
		session_missing_try(s);
	else
		forward_set_add(s->forwards, &want, on_forwards_ready, s);
}

/* A connection that is lost before anything was asked of it is looked for anew so often. */
#define LOSSES_MAX 3

/* On another connection than the lost one: the server allows so many sessions on one. */
static bool channel_stands(const struct session *s)
{
	const struct transport *t = s->channel != NULL ? channel_transport(s->channel) : NULL;

	return t != NULL && transport_state(t) == TRANSPORT_READY;
}

/* The connection under the lease has ended. A session channel on it hears of its own end. */
void session_on_lost(void *ctx, const struct cause *why)
{
	struct session *s = ctx;
	bool had_forwards = s->forwards != NULL;

	s->lease = NULL;
	drop_forwards(s);
	if (s->waiting) {
		session_begin_ending(s); /* how the command ended is known */
		return;
	}
	if (s->channel != NULL) {
		if (had_forwards && (!session_sticky_stays(s) || channel_stands(s)))
			session_notice(s, 0, "hawser: %s; the forwards ended with it", why->text);
		return;
	}
	if (comes_back(s, why)) {
		if (!s->returning)
			session_notice(s, 0, "hawser: %s; reconnecting", why->text);
		go_back(s);
		return;
	}
	if (session_sticky_is_away(s) && session_sticky_comes_back(why)) {
		session_sticky_count_loss(s);
		session_come_back(s);
		return;
	}
	if (s->running || ++s->losses > LOSSES_MAX || why->cls == CAUSE_DAEMON_STOPPED) {
		session_ended_by(s, why);
		session_fail(s, why->text, session_sticky_leave(s, why->hint),
			     s->running && s->goal != GOAL_NONE);
		return;
	}
	if (s->local_command_prompt || s->lending)
		return; /* its end finds no lease, and begins anew */
	if (s->waiter != NULL)
		pool_leave(s->waiter);
	s->waiter = NULL;
	session_stage_start(s);
}

/* With X11, so that xauth is asked when the connection stands, as ssh has it. */
static bool needs_lease(const struct session *s)
{
	return s->goal != GOAL_SESSION || s->dest->nforwards > 0 || session_missing_any(s) ||
	       s->dest->local_command != NULL ||
	       (s->dest->forward_x11 && origin_getenv(s->origin, "DISPLAY") != NULL);
}

void session_lent(struct session *s)
{
	if (s->lease == NULL && needs_lease(s))
		session_stage_start(s); /* the connection was lost meanwhile */
	else
		session_wait(s, false, session_sticky_is_away(s));
}

void session_stage_start(struct session *s)
{
	if (needs_lease(s))
		session_wait(s, true, session_sticky_is_away(s));
	else
		session_lend(s);
}

void session_come_back(struct session *s)
{
	if (!session_sticky_is_away(s)) {
		session_wait(s, false, true);
		return;
	}
	/* Its forwards come back with it. */
	if (s->waiter != NULL)
		pool_leave(s->waiter);
	s->waiter = NULL;
	drop_forwards(s);
	if (s->lease != NULL)
		pool_lease_release(s->lease);
	s->lease = NULL;
	session_stage_start(s);
}

void session_stage_finish(struct session *s)
{
	session_actions_free(s);
	session_operation_finish(s);
	session_missing_finish(s);
	forward_set_destroy(s->forwards);
	s->forwards = NULL;
	if (s->lease != NULL)
		pool_lease_release(s->lease);
	s->lease = NULL;
}
