/* The registry of pools: listing, closing, and the one timer for keepalives and idle transports. */
#include "daemon/pool_priv.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/alloc.h"
#include "protocol/log.h"

/* A further transport of a pool, opened for a rush, is held no longer than this. */
#define EXTRA_HOLD_MS 30000
/* No matter what was learnt (or stands in its file), keepalives are not a flood. */
#define KEEPALIVE_LEAST_MS 100
/* A session limit that makes somebody wait is tried anew after that time: it may have been raised.
 * A refusal costs a round trip. */
#define LIMIT_TRUST_MS (10 * 60 * 1000)

uint64_t pools_now(const struct pools *p)
{
	return uv_now(p->app->loop);
}

struct pools *pools_create(struct app *app)
{
	struct pools *p = xcalloc(1, sizeof(*p));

	p->app = app;
	p->env.loop = app->loop;
	p->env.workers = app->workers;
	p->env.journal = app->journal;
	p->env.learn = app->learn;
	p->env.netwatch = app->netwatch;
	p->env.defer = defer_queue_create(app->loop);
	uv_timer_init(app->loop, &p->tick);
	p->tick.data = p;
	return p;
}

void pools_set_routes(struct pools *p, const struct transport_routes *routes, void *ctx)
{
	p->env.routes = routes;
	p->env.routes_ctx = ctx;
}

struct defer_queue *pools_defer(struct pools *p)
{
	return p->env.defer;
}

static void on_tick_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void finish_destroy(struct pools *p)
{
	if (!p->destroyed || p->list != NULL)
		return;
	defer_queue_destroy(p->env.defer);
	uv_close((uv_handle_t *)&p->tick, on_tick_closed);
}

void pools_destroy(struct pools *p)
{
	struct cause why;

	if (p == NULL)
		return;
	p->destroyed = true;
	cause_set(&why, CAUSE_DAEMON_STOPPED, "hawserd was stopped");
	cause_hint(&why, "run the command again: it starts a new daemon");
	for (struct pool *pool = p->list; pool != NULL; pool = pool->next) {
		pool_fail_waiters(pool, NULL, NULL, &why, false);
		pool_came_back(pool); /* nothing is waited for any more */
		for (struct slot *s = pool->slots; s != NULL; s = s->next)
			slot_close(s, &why);
		pool_touch(pool);
	}
	finish_destroy(p);
}

void pools_drop_if_empty(struct pool *pool)
{
	struct pools *p = pool->pools;
	struct pool **link = &p->list;

	if (pool->slots != NULL || pool->waiters != NULL || pool_keeps(pool))
		return;
	while (*link != pool)
		link = &(*link)->next;
	*link = pool->next;
	defer_cancel(&pool->serve);
	strv_free(pool->warm_env);
	free(pool->failed_why);
	for (size_t i = 0; i < POOL_NAMES; i++)
		free(pool->names[i]);
	destination_unref(pool->kept);
	free(pool);
	app_sessions(p->app, 0);
	finish_destroy(p);
}

/* As configured; 0: none are wanted. */
static unsigned configured_s(const struct pool *pool)
{
	return pool->alive_interval > 0 ? pool->alive_interval
					: pool->pools->app->config.keepalive_s;
}

/* A longer quiet than what is configured allows would be the death of connections. */
static bool keepalive_learnt(const struct pool *pool)
{
	return pool->learnt_ms > 0 && pool->learnt_ms < (uint64_t)configured_s(pool) * 1000;
}

/* A keepalive is sent if nothing came for a whole interval, so what was quiet from just after its
 * start on is so for almost two: that must not be longer than what is known to live. */
static uint64_t keepalive_ms(const struct pool *pool)
{
	uint64_t learnt = pool->learnt_ms / 2;

	if (!keepalive_learnt(pool))
		return (uint64_t)configured_s(pool) * 1000;
	return learnt > KEEPALIVE_LEAST_MS ? learnt : KEEPALIVE_LEAST_MS;
}

static unsigned keepalive_count(const struct pool *pool)
{
	uint64_t count = pool->alive_interval > 0 ? pool->alive_count
						  : pool->pools->app->config.keepalive_count;

	/* As much time for an answer as at the configured interval. */
	if (keepalive_learnt(pool))
		count = count * configured_s(pool) * 1000 / keepalive_ms(pool);
	return count < UINT_MAX ? (unsigned)count : UINT_MAX;
}

uint64_t pool_alive_limit_ms(const struct pool *pool)
{
	return keepalive_ms(pool) * ((uint64_t)keepalive_count(pool) + 1);
}

/* Not one that drains: what replaces it is held as it was. */
static const struct slot *first_held(const struct pool *pool)
{
	const struct slot *s = pool->slots;

	while (s != NULL && s->draining)
		s = s->next;
	return s;
}

/* How long the slot may stay idle; UINT64_MAX = for ever. */
static uint64_t hold_ms(const struct slot *s)
{
	const struct pool *pool = s->pool;
	uint64_t hold = (uint64_t)pool->pools->app->config.hold_s * 1000;

	if (pool->group != POOL_SHARED)
		return 0;
	if (pool->persist == 0)
		hold = UINT64_MAX;
	else if (pool->persist > 0)
		hold = (uint64_t)pool->persist * 1000;
	/* What is leased weakly, for kept forwards, is more than an extra. */
	if (s != first_held(pool) && s->leases == NULL && hold > EXTRA_HOLD_MS)
		hold = EXTRA_HOLD_MS;
	return hold;
}

/* The times of all keepalives of one interval fall together, so that a hundred held transports wake
 * the daemon once. */
static uint64_t next_keepalive(uint64_t now, uint64_t interval)
{
	return (now / interval + 1) * interval;
}

static void on_tick(uv_timer_t *timer);

static bool wants_session(const struct pool *pool)
{
	const struct pool_waiter *w = pool->waiters;

	while (w != NULL && (w->lease || w->not_before != 0 || w->lane_until != 0))
		w = w->next;
	return w != NULL;
}

/* All that serve are full, and none is merely in doubt. */
static bool limit_makes_wait(const struct pool *pool)
{
	bool full = false;

	for (const struct slot *s = pool->slots; s != NULL; s = s->next) {
		if (!slot_serves(s))
			continue;
		if (transport_doubt(s->transport) != TRANSPORT_SURE ||
		    slot_sessions(s) < pool->limit)
			return false;
		full = true;
	}
	return full && wants_session(pool);
}

/* How long it is taken for granted; UINT64_MAX: it makes nobody wait. */
static uint64_t limit_until(const struct pool *pool)
{
	return pool->limit > 0 && limit_makes_wait(pool) ? pool->limit_since + LIMIT_TRUST_MS
							 : UINT64_MAX;
}

static void forget_limit(struct pool *pool)
{
	log_info("%s: the limit of %u sessions on a connection is tried anew",
		 pool->waiters->dest->label, pool->limit);
	pool->limit = 0;
	pool->confirmed = 0;
	learn_no_limit(pool->pools->env.learn, pool->waiters->dest->label);
	for (struct slot *s = pool->slots; s != NULL; s = s->next)
		s->never_warm = false;
	pool_touch(pool);
}

void pools_schedule(struct pools *p)
{
	uint64_t now = pools_now(p), next = UINT64_MAX;

	for (struct pool *pool = p->list; pool != NULL; pool = pool->next) {
		uint64_t interval = keepalive_ms(pool);

		if (pool_retry_next(pool) < next)
			next = pool_retry_next(pool);
		if (pool->no_more_until != 0 && pool->no_more_until < next)
			next = pool->no_more_until;
		if (limit_until(pool) < next)
			next = limit_until(pool);
		for (struct slot *s = pool->slots; s != NULL; s = s->next) {
			uint64_t hold = hold_ms(s);

			if (!s->ready)
				continue;
			if (interval > 0 && next_keepalive(now, interval) < next)
				next = next_keepalive(now, interval);
			if (s->draining)
				continue;
			if (s->pause_until != 0 && s->pause_until < next)
				next = s->pause_until;
			if (slot_age_next(s) < next)
				next = slot_age_next(s);
			if (s->idle_since != 0 && pool->waiters == NULL && hold != UINT64_MAX &&
			    s->idle_since + hold < next)
				next = s->idle_since + hold;
		}
	}
	if (next == UINT64_MAX) {
		uv_timer_stop(&p->tick);
		return;
	}
	uv_timer_start(&p->tick, on_tick, next > now ? next - now : 0, 0);
}

/* What ends by itself: a pause, its time, its being held although nobody uses it. */
static void tick_time(struct slot *s, uint64_t now)
{
	struct pool *pool = s->pool;
	uint64_t hold = hold_ms(s);
	struct cause why;

	if (s->draining || slot_age_tick(s))
		return;
	if (s->pause_until != 0 && now >= s->pause_until) {
		s->pause_until = 0;
		pool_touch(pool);
	}
	if (s->idle_since != 0 && !slot_idle(s))
		s->idle_since = 0; /* a tunnel was opened on it */
	/* Not while somebody waits: with `hold = 0` it would be closed before it is granted. */
	if (s->idle_since != 0 && pool->waiters == NULL && hold != UINT64_MAX &&
	    now >= s->idle_since + hold) {
		cause_set(&why, CAUSE_IDLE, "the connection to %s was idle for %u s",
			  s->dest->label, (unsigned)((now - s->idle_since) / 1000));
		slot_close(s, &why);
	}
}

static void tick_slot(struct slot *s, uint64_t now, uint64_t last)
{
	uint64_t interval = keepalive_ms(s->pool);

	if (!s->ready)
		return;
	tick_time(s, now);
	if (interval > 0 && next_keepalive(last, interval) <= now)
		transport_keepalive(s->transport, keepalive_count(s->pool));
}

static void on_tick(uv_timer_t *timer)
{
	struct pools *p = timer->data;
	uint64_t now = pools_now(p), last = p->last_tick;

	p->last_tick = now;
	for (struct pool *pool = p->list; pool != NULL; pool = pool->next) {
		if (pool_retry_next(pool) <= now)
			pool_retry_tick(pool, now);
		/* Those who wait may try for a further transport again. */
		if (pool->no_more_until != 0 && now >= pool->no_more_until) {
			pool->no_more_until = 0;
			pool_touch(pool);
		}
		if (limit_until(pool) <= now)
			forget_limit(pool);
		for (struct slot *s = pool->slots; s != NULL; s = s->next)
			tick_slot(s, now, last);
	}
	pools_schedule(p);
}

static bool is_named(const struct destination *d, const char *name)
{
	return name == NULL || strcmp(name, d->typed) == 0 || strcmp(name, d->hostname) == 0 ||
	       strcmp(name, d->label) == 0;
}

static bool is_called(const struct pool *pool, const char *name)
{
	size_t i = 0;

	while (i < POOL_NAMES && pool->names[i] != NULL && name != NULL &&
	       strcmp(pool->names[i], name) != 0)
		i++;
	return name != NULL && i < POOL_NAMES && pool->names[i] != NULL;
}

/* d is of the pool. */
static bool goes_by(const struct pool *pool, const struct destination *d, const char *name)
{
	return is_named(d, name) || is_called(pool, name);
}

static bool matches(const struct slot *s, const char *name)
{
	return goes_by(s->pool, s->dest, name);
}

static void describe(struct slot *s, struct pool_info *info)
{
	struct transport_stats stats;
	uint64_t now = pools_now(s->pool->pools);

	transport_stats(s->transport, &stats);
	*info = (struct pool_info){
		.id = transport_id(s->transport),
		.label = s->dest->label,
		.typed = s->dest->typed,
		.state = s->draining && s->ready ? "draining" : stats.state,
		.waits_for = "",
		.address = stats.address,
		.via = stats.via,
		.sessions = slot_sessions(s),
		.warm = channel_count_warm(s->transport),
		.session_limit = s->pool->limit,
		.keepalive_s = (double)keepalive_ms(s->pool) / 1e3,
		.keepalive_learnt = keepalive_learnt(s->pool),
		.heard_s = stats.heard_s,
		.age_s = stats.age_s,
		.idle_s = s->idle_since != 0 ? (double)(now - s->idle_since) / 1e3 : 0,
		.bytes_in = stats.bytes_in,
		.bytes_out = stats.bytes_out,
		.rtt_ms = stats.rtt_ms,
		.server = stats.server,
		.cipher = stats.cipher,
		.kex = stats.kex,
	};
	info->queued = pool_count_waiters(s->pool);
}

/* Between two tries. */
static bool list_waiting(const struct pool *pool, const char *name, pool_info_cb cb, void *ctx)
{
	const struct destination *dest = pool->waiters != NULL ? pool->waiters->dest : pool->kept;
	char waits_for[1200];

	if (pool->slots != NULL || dest == NULL || !goes_by(pool, dest, name))
		return false;
	pool_waits_for(pool, waits_for, sizeof(waits_for));
	cb(ctx, &(struct pool_info){.label = dest->label,
				    .typed = dest->typed,
				    .state = "waiting",
				    .waits_for = waits_for,
				    .address = "",
				    .via = "",
				    .queued = pool_count_waiters(pool),
				    .heard_s = -1,
				    .rtt_ms = -1,
				    .server = "",
				    .cipher = "",
				    .kex = ""});
	return true;
}

size_t pools_list(struct pools *p, const char *name, pool_info_cb cb, void *ctx)
{
	size_t n = 0;

	for (struct pool *pool = p->list; pool != NULL; pool = pool->next) {
		n += list_waiting(pool, name, cb, ctx);
		for (struct slot *s = pool->slots; s != NULL; s = s->next) {
			struct pool_info info;

			if (!matches(s, name))
				continue;
			describe(s, &info);
			cb(ctx, &info);
			n++;
		}
	}
	return n;
}

static void close_or_drain(struct slot *s, bool force, const char *asked_by)
{
	struct cause why;

	s->draining = true;
	if (!force && !slot_idle(s))
		return;
	cause_set(&why, CAUSE_CLOSED_BY_USER, "the connection to %s was closed on request",
		  s->dest->label);
	cause_hint(&why, "%s asked for it", asked_by);
	slot_close(s, &why);
}

struct closing {
	const struct pool *pool;
	const char *name; /* NULL: all */
	bool force;
};

/* For nobody in particular; or, with force, for a connection that was lost, or one that does not
 * stand yet. What waits for room on one that does goes on to the next. */
static bool is_not_to_wait(const struct pool_waiter *w, const void *arg)
{
	const struct closing *c = arg;
	bool queued = !w->patient && pool_any_ready(c->pool);

	return goes_by(c->pool, w->dest, c->name) && (w->unattended || (c->force && !queued));
}

/* Who waits for a connection to come back waits in vain from now on. Returns how many. */
static size_t close_waiting(struct pool *pool, const char *name, bool force, const char *asked_by)
{
	struct closing closing = {.pool = pool, .name = name, .force = force};
	size_t n = 0;
	struct cause why;

	for (const struct pool_waiter *w = pool->waiters; w != NULL; w = w->next)
		n += is_not_to_wait(w, &closing);
	if (n > 0) {
		cause_set(&why, CAUSE_CLOSED_BY_USER, "%s: connecting was ended on request",
			  pool->waiters->dest->label);
		cause_hint(&why, "%s asked for it", asked_by);
		pool_fail_waiters(pool, is_not_to_wait, &closing, &why, false);
	}
	/* To be opened again for nobody: that is over. */
	if (pool_keeps(pool) && goes_by(pool, pool->kept, name)) {
		n += pool->slots == NULL;
		pool_came_back(pool);
	}
	pool_touch(pool);
	return n;
}

size_t pools_close_destination(struct pools *p, const struct destination *dest, bool force)
{
	const char *asked_by = force ? "-O exit" : "-O stop";
	size_t n = 0;

	for (struct pool *pool = p->list; pool != NULL; pool = pool->next) {
		if (strcmp(pool->key, dest->key) != 0)
			continue;
		n += close_waiting(pool, NULL, force, asked_by);
		for (struct slot *s = pool->slots; s != NULL; s = s->next) {
			if (!s->ready || s->draining)
				continue;
			n++;
			close_or_drain(s, force, asked_by);
		}
	}
	return n;
}

/* A login that somebody still waits for is not cut without force. */
static bool is_to_close(const struct slot *s, const char *name, bool force)
{
	return matches(s, name) && (force || s->ready || s->pool->waiters == NULL);
}

size_t pools_close(struct pools *p, const char *name, bool force)
{
	size_t n = 0;

	for (struct pool *pool = p->list; pool != NULL; pool = pool->next) {
		n += close_waiting(pool, name, force, "hawserctl close");
		for (struct slot *s = pool->slots; s != NULL; s = s->next) {
			if (!is_to_close(s, name, force))
				continue;
			n++;
			close_or_drain(s, force, "hawserctl close");
		}
	}
	return n;
}

size_t pools_held(const struct pools *p)
{
	size_t n = 0;

	for (const struct pool *pool = p->list; pool != NULL; pool = pool->next) {
		n += pool_keeps(pool);
		for (const struct slot *s = pool->slots; s != NULL; s = s->next)
			n++;
		for (const struct pool_waiter *w = pool->waiters; w != NULL; w = w->next)
			n++;
	}
	return n;
}
