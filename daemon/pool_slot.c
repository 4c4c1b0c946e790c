/* One transport of a pool: its login and the login's questions, its warm channel, its end. */
#include "daemon/pool_priv.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/alloc.h"
#include "protocol/log.h"

/* After a further transport could not be opened, requests queue on those that are there. */
#define NO_MORE_MS 30000
/* So long no channel is opened after a refusal that a close just before may explain. */
#define PAUSE_MS 20
/* Above this round trip a warm channel is opened beside the request, not after it has started: the
 * next request would wait for it otherwise. Below, it would only take the server's time. */
#define WARM_EARLY_MS 5.0

static void free_prompt(struct slot *s)
{
	if (s->prompt == NULL)
		return;
	for (size_t i = 0; i < s->prompt->nfields; i++)
		free(s->prompt->fields[i].text);
	free(s->prompt->fields);
	free(s->prompt->intro);
	free(s->prompt);
	s->prompt = NULL;
	s->asked = NULL;
}

static struct proto_prompt *copy_prompt(const struct proto_prompt *p)
{
	struct proto_prompt *copy = xmemdup(p, sizeof(*p));

	copy->intro = p->intro != NULL ? xstrdup(p->intro) : NULL;
	copy->fields = xcalloc(p->nfields, sizeof(*p->fields));
	for (size_t i = 0; i < p->nfields; i++) {
		copy->fields[i].text = xstrdup(p->fields[i].text);
		copy->fields[i].echo = p->fields[i].echo;
	}
	return copy;
}

/* Puts the open question to the first waiter that can be asked; to none: the login is told so. */
static void ask_someone(struct slot *s)
{
	struct pool_waiter *w = s->pool->waiters;
	/* A jump host's question: BatchMode of its own configuration has been looked at. */
	bool others = transport_state(s->transport) == TRANSPORT_DIALLING;
	bool batch = w != NULL && !others;

	for (; w != NULL; w = w->next) {
		if (!w->dest->batch_mode)
			batch = false;
		if (w->can_ask && (others || !w->dest->batch_mode))
			break;
	}
	s->asked = w;
	if (w != NULL) {
		w->events->prompt(w->ctx, s->prompt);
		return;
	}
	free_prompt(s);
	transport_nobody_answers(s->transport,
				 batch ? "BatchMode is on: nobody may be asked"
				       : "no terminal and no SSH_ASKPASS: nobody could be asked");
}

static void on_prompt(void *ctx, const struct proto_prompt *p)
{
	struct slot *s = ctx;

	free_prompt(s);
	s->prompt = copy_prompt(p);
	ask_someone(s);
}

void slot_answer(struct pool_waiter *w, char *const *answers, const char *reason)
{
	for (struct slot *s = w->pool->slots; s != NULL; s = s->next) {
		if (s->prompt == NULL || s->asked != w)
			continue;
		free_prompt(s);
		transport_answer(s->transport, answers, reason);
		return;
	}
}

void slot_waiter_gone(struct pool *pool, struct pool_waiter *w)
{
	for (struct slot *s = pool->slots; s != NULL; s = s->next) {
		if (s->prompt != NULL && s->asked == w)
			ask_someone(s);
	}
}

/* The banner and the warnings belong to the client whose login it is. */
static void on_notice(void *ctx, const char *text, bool raw)
{
	struct slot *s = ctx;
	struct pool_waiter *w = s->pool->waiters;

	while (w != NULL && !w->login)
		w = w->next;
	if (w != NULL)
		w->events->notice(w->ctx, text, raw);
}

static void on_progress(void *ctx, const char *text)
{
	const struct slot *s = ctx;

	pool_progress(s->pool, text, 0);
}

static void take_learnt(struct slot *s)
{
	struct learnt known;

	if (!learn_get(s->pool->pools->env.learn, s->dest->label, &known))
		return;
	s->pool->learnt_ms = (unsigned)(known.keepalive_s * 1000);
	if (s->pool->limit == 0) {
		s->pool->limit = known.session_limit;
		s->pool->limit_since = pools_now(s->pool->pools);
	}
}

static void on_ready(void *ctx, const struct login_result *r)
{
	struct slot *s = ctx;

	s->ready = true;
	s->idle_since = pools_now(s->pool->pools);
	transport_set_patience(s->transport, pool_alive_limit_ms(s->pool));
	s->pool->hint = r->hint;
	take_learnt(s);
	pool_came_back(s->pool);
	pools_login_over(s->pool->pools);
	slot_age_start(s, r);
	if (r->prompted)
		s->pool->prompted = true;
	if (s->dest->forward_agent != NULL && !r->untrusted) {
		struct app *app = s->pool->pools->app;

		s->agent = lend_agent_create(app->workers, app->watches, s->transport, s->dest,
					     r->binding);
	}
	free_prompt(s);
	pool_touch(s->pool);
	pools_schedule(s->pool->pools);
}

static void learn(struct slot *s)
{
	struct pool *pool = s->pool;
	unsigned confirmed = transport_confirmed(s->transport), live;
	bool settling;

	if (confirmed > pool->confirmed)
		pool->confirmed = confirmed;
	if (!transport_take_refusal(s->transport, &live, &settling))
		return;
	s->warm_blocked = true;
	if (live == 0 && !settling)
		s->never_warm = true; /* not one session was let in: asking again is no use */
	if (settling) {
		s->pause_until = pools_now(pool->pools) + PAUSE_MS;
		pools_schedule(pool->pools);
	}
	/* What was open at once before can't be above the limit. */
	if (live > 0 && (live >= pool->confirmed || !settling)) {
		if (pool->limit != live)
			log_info("%s: the server allows %u sessions on a connection",
				 s->dest->label, live);
		pool->limit = live;
		pool->limit_since = pools_now(pool->pools);
		learn_sessions(pool->pools->env.learn, s->dest->label, live);
	}
}

unsigned slot_sessions(const struct slot *s)
{
	return transport_channels(s->transport) - channel_count_warm(s->transport);
}

static bool is_leased(const struct slot *s)
{
	const struct pool_lease *l = s->leases;

	while (l != NULL && l->weak)
		l = l->next;
	return l != NULL;
}

bool slot_serves(const struct slot *s)
{
	/* One that has failed is ready until its end has been told. */
	return s->ready && !s->draining && transport_state(s->transport) == TRANSPORT_READY &&
	       transport_doubt(s->transport) != TRANSPORT_SILENT;
}

bool slot_idle(const struct slot *s)
{
	return slot_sessions(s) == 0 && !is_leased(s) && transport_tunnels(s->transport) == 0;
}

/* What nobody uses is not waited for. */
static void give_up_silent(struct slot *s)
{
	if (transport_doubt(s->transport) == TRANSPORT_SILENT && !is_leased(s) &&
	    !transport_used(s->transport))
		transport_give_up(s->transport);
}

void slot_changed(struct slot *s)
{
	bool idle = slot_idle(s);

	give_up_silent(s);

	learn(s);
	if (idle)
		pools_tell_idle(s->pool->pools);
	if (s->draining && idle) {
		slot_close_drained(s);
		return;
	}
	if (idle && s->idle_since == 0) {
		s->idle_since = pools_now(s->pool->pools);
		pools_schedule(s->pool->pools);
	} else if (!idle) {
		s->idle_since = 0;
	}
	pool_touch(s->pool);
}

static void on_changed(void *ctx)
{
	slot_changed(ctx);
}

/* What runs on it may outlive a long outage, as with ssh; its end is TCP's or the keepalives' to
 * say. What is new goes elsewhere. */
static void on_silent(void *ctx)
{
	struct slot *s = ctx;

	give_up_silent(s);
	pool_touch(s->pool);
}

/* Warm channels that carry another environment than the last request's make room. */
static void drop_unfit_warm(struct slot *s)
{
	struct channel *warm;

	while ((warm = channel_any_warm(s->transport)) != NULL &&
	       !channel_fits(warm, s->pool->warm_env))
		channel_release(warm);
}

void slot_keep_warm(struct slot *s)
{
	struct pool *pool = s->pool;
	const struct config *config = &pool->pools->app->config;
	struct transport_stats stats;

	/* A connection for forwards only never sees a session, as with ssh -N. */
	if (!slot_serves(s) || config->warm == 0 || !pool->had_session || s->pause_until != 0)
		return;
	drop_unfit_warm(s);
	if (s->warm_blocked && slot_sessions(s) == 0)
		s->warm_blocked = false;
	transport_stats(s->transport, &stats);
	if (s->warm_blocked || s->never_warm ||
	    (stats.rtt_ms < WARM_EARLY_MS && transport_starting(s->transport)))
		return;
	while (channel_count_warm(s->transport) < config->warm) {
		/* A place stays free near the limit: a warm channel must not stand in anyone's way.
		 */
		if (pool->limit > 0 && transport_channels(s->transport) + 1 >= pool->limit)
			return;
		channel_open(s->transport, pool->warm_env);
	}
}

static bool same_batch(const struct pool_waiter *w, const void *arg)
{
	const struct destination *dest = arg;

	return w->dest->batch_mode == dest->batch_mode;
}

/* Is there, or comes, a transport that new sessions may be put on? */
static bool any_serves(const struct pool *pool)
{
	for (const struct slot *s = pool->slots; s != NULL; s = s->next) {
		if (!s->draining && transport_doubt(s->transport) != TRANSPORT_SILENT)
			return true;
	}
	return false;
}

/* A login failed. Those who asked for the same fail with it, unless other transports serve them; a
 * waiter that may be asked where this login might not ask gets a login of its own. */
static void login_failed(struct slot *s, const struct cause *why, bool handover)
{
	struct pool *pool = s->pool;
	bool asked_nobody =
		s->dest->batch_mode && (why->cls == CAUSE_AUTH || why->cls == CAUSE_PROMPT ||
					why->cls == CAUSE_HOSTKEY_UNKNOWN);

	if (any_serves(pool)) {
		pool->no_more_until = pools_now(pool->pools) + NO_MORE_MS;
		return;
	}
	if (pool_try_again(pool, s, why))
		return;
	pool_fail_waiters(pool, asked_nobody ? same_batch : NULL, s->dest, why, handover);
}

/* A transport whose end was asked for, or due, takes with it what only stood on it, however it
 * ended; who uses it hears what happened. */
static void end_leases(struct slot *s, const struct cause *why)
{
	struct cause due = *why;

	if (s->draining)
		slot_drain_cause(s, &due);
	while (s->leases != NULL) {
		struct pool_lease *l = s->leases;

		s->leases = l->next;
		l->events->lost(l->ctx, l->weak ? &due : why);
		free(l);
	}
}

struct transport *pool_lease_transport(const struct pool_lease *l)
{
	return l->slot->transport;
}

void pool_lease_release(struct pool_lease *l)
{
	struct slot *s = l->slot;
	struct pool_lease **link = &s->leases;

	while (*link != l)
		link = &(*link)->next;
	*link = l->next;
	free(l);
	slot_changed(s);
}

void pool_lease_weaken(struct pool_lease *l)
{
	l->weak = true;
	slot_changed(l->slot);
}

static void on_ended(void *ctx, const struct cause *why, bool handover)
{
	struct slot *s = ctx;
	struct pool *pool = s->pool;
	struct slot **link = &pool->slots;

	while (*link != s)
		link = &(*link)->next;
	*link = s->next;
	free_prompt(s);
	end_leases(s, why);
	lend_agent_destroy(s->agent);
	if (s->ready && !s->draining && !pool_any_ready(pool))
		pool_lost(pool, s, why);
	if (!s->ready)
		pools_login_over(pool->pools);
	if (!s->ready && !s->unwanted)
		login_failed(s, why, handover);
	destination_unref(s->dest);
	free(s->drain_why);
	free(s);
	pool_touch(pool); /* also frees the pool when nothing is left */
	pools_schedule(pool->pools);
}

static const struct transport_events slot_events = {
	.ready = on_ready,
	.prompt = on_prompt,
	.notice = on_notice,
	.progress = on_progress,
	.changed = on_changed,
	.silent = on_silent,
	.ended = on_ended,
};

struct slot *slot_open(struct pool *pool, const struct pool_waiter *w)
{
	struct slot *s = xcalloc(1, sizeof(*s));
	struct slot **link = &pool->slots;

	s->pool = pool;
	s->dest = destination_ref(w->dest);
	s->transport =
		transport_open(&pool->pools->env, w->dest, w->origin, &pool->hint, &slot_events, s);
	while (*link != NULL)
		link = &(*link)->next;
	*link = s;
	return s;
}

void slot_close(struct slot *s, const struct cause *why)
{
	s->draining = true;
	transport_close(s->transport, why);
}
