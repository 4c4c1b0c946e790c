/* Who waits for a channel, and who gets one on which transport. */
#include "daemon/pool_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/alloc.h"
#include "protocol/log.h"

/* Sessions that are tried on one connection before the server's limit is known: sshd's default
 * MaxSessions. Beyond it, half as many again as were confirmed are tried at a time. */
#define LIMIT_GUESS 10
/* A login takes less, as a rule; and one beside a copy is better than none. */
#define LANE_MS 1000

/* How many sessions a transport of this pool may have now. */
static unsigned allowance(const struct pool *pool)
{
	unsigned more = pool->confirmed + pool->confirmed / 2;

	if (pool->limit > 0)
		return pool->limit;
	return more > LIMIT_GUESS ? more : LIMIT_GUESS;
}

static bool has_room(const struct slot *s, const struct pool_waiter *w)
{
	if (!slot_serves(s) || transport_doubt(s->transport) != TRANSPORT_SURE)
		return false;
	if (w->lease)
		return true;
	return channel_find_warm(s->transport, w->env) != NULL ||
	       (slot_sessions(s) < allowance(s->pool) && s->pause_until == 0);
}

/* Its other side is silent, and something runs on it that may yet be answered: what is new goes to
 * another. */
static bool slot_given_up(const struct slot *s)
{
	return s->draining || transport_doubt(s->transport) == TRANSPORT_SILENT;
}

static unsigned count_slots(const struct pool *pool, bool connecting_only)
{
	unsigned n = 0;

	for (const struct slot *s = pool->slots; s != NULL; s = s->next)
		n += !slot_given_up(s) && !(connecting_only && s->ready);
	return n;
}

/* May a further transport be opened without asking anybody? */
static bool may_add(const struct pool *pool)
{
	const struct config *config = &pool->pools->app->config;

	return !pool->prompted && count_slots(pool, false) < config->max_transports &&
	       pools_now(pool->pools) >= pool->no_more_until;
}

/* A terminal goes where no copy runs, and other work where no terminal is; then least loaded. */
static int preference(const struct slot *s, const struct pool_waiter *w)
{
	int score = -(int)slot_sessions(s);

	if (w->terminal ? transport_busy_bulk(s->transport) : transport_terminals(s->transport) > 0)
		score -= 10000;
	if (channel_find_warm(s->transport, w->env) != NULL)
		score += 5;
	return score;
}

static struct slot *choose(const struct pool *pool, const struct pool_waiter *w)
{
	struct slot *best = NULL;

	for (struct slot *s = pool->slots; s != NULL; s = s->next) {
		if (!has_room(s, w))
			continue;
		if (best == NULL || preference(s, w) > preference(best, w))
			best = s;
	}
	return best;
}

/* As choose(), but what was quiet for long is probed first. Where a channel is to be opened, that
 * is the proof: nothing is lost if it is not confirmed, so it need not wait for the probe's. */
static struct slot *choose_alive(const struct pool *pool, const struct pool_waiter *w)
{
	struct slot *s;

	while ((s = choose(pool, w)) != NULL && transport_quiet(s->transport)) {
		transport_suspect(s->transport, NULL);
		if (!w->lease && channel_find_warm(s->transport, w->env) == NULL)
			return s;
	}
	return s;
}

static void unlink_waiter(struct pool_waiter *w)
{
	struct pool_waiter **link = &w->pool->waiters;

	while (*link != w)
		link = &(*link)->next;
	*link = w->next;
}

static void free_waiter(struct pool_waiter *w)
{
	destination_unref(w->dest);
	origin_unref(w->origin);
	free(w);
}

static void grant_lease(struct slot *s, struct pool_waiter *w)
{
	struct pool_lease *l = xcalloc(1, sizeof(*l));
	bool reused = !w->login;

	l->slot = s;
	l->events = w->events;
	l->ctx = w->ctx;
	l->next = s->leases;
	s->leases = l;
	unlink_waiter(w);
	slot_waiter_gone(s->pool, w);
	s->idle_since = 0;
	w->events->leased(w->ctx, l, reused);
	free_waiter(w);
}

static void grant(struct slot *s, struct pool_waiter *w)
{
	struct pool *pool = s->pool;
	struct channel *c = channel_find_warm(s->transport, w->env);
	struct channel *other;
	bool reused = !w->login;

	if (c == NULL) {
		other = channel_any_warm(s->transport);
		/* The warm one carries another environment: its place may be the last. */
		if (other != NULL && transport_channels(s->transport) >= allowance(pool))
			channel_release(other);
		c = channel_open(s->transport, w->env);
	}
	pool->had_session = true;
	strv_free(pool->warm_env);
	pool->warm_env = strv_dup(w->env);
	unlink_waiter(w);
	slot_waiter_gone(pool, w);
	s->idle_since = 0;
	w->events->granted(w->ctx, c, reused);
	free_waiter(w);
	slot_keep_warm(s);
}

unsigned pool_count_waiters(const struct pool *pool)
{
	unsigned n = 0;

	for (const struct pool_waiter *w = pool->waiters; w != NULL; w = w->next)
		n++;
	return n;
}

/* How many want a transport now; *first is set to the first of them. */
static unsigned count_due(struct pool *pool, struct pool_waiter **first)
{
	unsigned n = 0;

	*first = NULL;
	for (struct pool_waiter *w = pool->waiters; w != NULL; w = w->next) {
		if (w->not_before != 0)
			continue;
		if (n++ == 0)
			*first = w;
	}
	return n;
}

/* Not while a server that is away, or busy with logins of ours, is given time. */
static bool may_open(struct pool *pool, const struct destination *dest)
{
	if (pool->retry_at != 0 || pool->pools->destroyed || pool->pools->app->locked)
		return false;
	if (pools_may_log_in(pool->pools, dest))
		return true;
	pool->pools->paced = true;
	return false;
}

/* It is to be held although nobody asks: nobody is asked either. */
static void open_kept(struct pool *pool)
{
	struct pool_waiter nobody = {.pool = pool, .dest = pool->kept};

	if (pool_keeps(pool) && count_slots(pool, false) == 0 && may_open(pool, pool->kept))
		slot_open(pool, &nobody);
}

/* Enough transports for those who wait, each with its share of sessions. */
static void open_more(struct pool *pool)
{
	struct pool_waiter *first;
	unsigned waiting = count_due(pool, &first);
	unsigned coming = count_slots(pool, true) * allowance(pool);

	if (waiting == 0) {
		open_kept(pool);
		return;
	}
	if (count_slots(pool, false) == 0) {
		if (may_open(pool, first->dest)) {
			first->login = true;
			slot_open(pool, first);
		}
		return;
	}
	/* Without a known limit the transports that are there may take more yet. */
	if (pool->limit == 0)
		return;
	while (coming < waiting && may_add(pool) && may_open(pool, first->dest)) {
		slot_open(pool, first);
		coming += allowance(pool);
	}
}

/* A terminal beside a copy: worth a connection of its own, when that asks nobody. */
static bool wants_lane(const struct pool *pool, const struct pool_waiter *w, const struct slot *s)
{
	return w->terminal && !w->lane_late && transport_busy_bulk(s->transport) &&
	       (may_add(pool) || count_slots(pool, true) > 0);
}

static bool is_over(const struct pool_waiter *w, const void *arg)
{
	(void)arg;
	return w->over;
}

static void fail_those_over(struct pool *pool)
{
	unsigned max = pool->pools->app->config.max_queue;
	struct cause why;

	if (pool->waiters == NULL)
		return;
	cause_set(&why, CAUSE_LIMIT,
		  max == 1 ? "%s: %u request waits for it already"
			   : "%s: %u requests wait for it already",
		  pool->waiters->dest->label, max);
	cause_hint(&why, "run fewer at a time, or raise queue in hawser.conf");
	pool_fail_waiters(pool, is_over, NULL, &why, false);
}

bool pool_any_ready(const struct pool *pool)
{
	for (const struct slot *s = pool->slots; s != NULL; s = s->next) {
		if (slot_serves(s))
			return true;
	}
	return false;
}

/* Who would have used the first transport has left: as with ssh, its login ends with them. */
static void end_unwanted(struct pool *pool)
{
	struct transport_stats stats;
	struct cause why;

	if (pool->waiters != NULL || pool_any_ready(pool) || pool_keeps(pool))
		return;
	for (struct slot *s = pool->slots; s != NULL; s = s->next) {
		if (s->ready || s->draining)
			continue;
		transport_stats(s->transport, &stats);
		cause_set(&why, CAUSE_CLIENT_GONE,
			  "the login to %s was given up by who asked for it after %.1f s (%s)",
			  s->dest->label, stats.age_s, stats.state);
		cause_hint(&why, "if it hung: hawserctl doctor %s", s->dest->typed);
		s->unwanted = true;
		slot_close(s, &why);
	}
}

/* All that may be open is, and in use. */
static void tell_waiting(struct pool *pool)
{
	char text[64];

	if (pool->waiters == NULL || pool->limit == 0 || !pool_any_ready(pool) ||
	    count_slots(pool, true) > 0)
		return;
	snprintf(text, sizeof(text), "waiting for one of %u session%s", pool->limit,
		 pool->limit > 1 ? "s" : "");
	for (struct pool_waiter *w = pool->waiters; w != NULL; w = w->next) {
		if (!w->told && w->not_before == 0 && w->events->progress != NULL)
			w->events->progress(w->ctx, text, 0);
		w->told = true;
	}
}

static bool any_suspect(const struct pool *pool)
{
	for (const struct slot *s = pool->slots; s != NULL; s = s->next) {
		if (s->ready && transport_doubt(s->transport) == TRANSPORT_SUSPECT)
			return true;
	}
	return false;
}

/* What is held was quiet for long, or is suspect: the verdict takes 2 s at most. */
static void tell_probe(struct pool *pool)
{
	char text[300];

	for (struct pool_waiter *w = pool->waiters; w != NULL; w = w->next) {
		if (w->told_probe || w->events->progress == NULL || !any_suspect(pool))
			continue;
		snprintf(text, sizeof(text), "asking %s whether the connection still works",
			 w->dest->label);
		w->events->progress(w->ctx, text, 0);
		w->told_probe = true;
	}
}

/* Others' logins at the server come first. */
static void tell_pace(struct pool *pool)
{
	char text[300];

	for (struct pool_waiter *w = pool->waiters; w != NULL; w = w->next) {
		if (w->told_pace || w->events->progress == NULL || pool->slots != NULL ||
		    pool->retry_at != 0 || pools_may_log_in(pool->pools, w->dest))
			continue;
		snprintf(text, sizeof(text), "waiting for other logins at %s", w->dest->hostname);
		w->events->progress(w->ctx, text, 0);
		w->told_pace = true;
	}
}

static void on_serve(void *ctx)
{
	struct pool *pool = ctx;
	struct pool_waiter *w, *next;

	fail_those_over(pool);
	pools_fail_locked(pool);
	for (w = pool->waiters; w != NULL; w = next) {
		struct slot *s;

		next = w->next;
		if (w->not_before != 0)
			continue;
		s = choose_alive(pool, w);
		if (s == NULL)
			break; /* those behind wait their turn */
		if (wants_lane(pool, w, s)) {
			if (w->lane_until == 0)
				w->lane_until = pools_now(pool->pools) + LANE_MS;
			if (count_slots(pool, true) == 0)
				slot_open(pool, w);
			continue;
		}
		if (w->lease)
			grant_lease(s, w);
		else
			grant(s, w);
	}
	for (struct slot *s = pool->slots; s != NULL; s = s->next)
		slot_keep_warm(s);
	open_more(pool);
	tell_waiting(pool);
	tell_probe(pool);
	tell_pace(pool);
	end_unwanted(pool);
	pools_schedule(pool->pools);
	pools_drop_if_empty(pool);
}

void pool_progress(struct pool *pool, const char *text, unsigned retry_ms)
{
	for (struct pool_waiter *w = pool->waiters; w != NULL; w = w->next) {
		if (w->events->progress != NULL)
			w->events->progress(w->ctx, text, retry_ms);
	}
}

void pool_touch(struct pool *pool)
{
	defer_post(pool->pools->env.defer, &pool->serve);
}

void pool_fail_waiters(struct pool *pool, bool (*test)(const struct pool_waiter *, const void *),
		       const void *arg, const struct cause *why, bool handover)
{
	struct pool_waiter **link = &pool->waiters;
	struct pool_waiter *failed = NULL;

	/* Apart first: a failing session may come back as a new waiter. */
	while (*link != NULL) {
		struct pool_waiter *w = *link;

		if (test != NULL && !test(w, arg)) {
			link = &w->next;
			continue;
		}
		*link = w->next;
		w->next = failed;
		failed = w;
	}
	while (failed != NULL) {
		struct pool_waiter *w = failed;

		failed = w->next;
		slot_waiter_gone(pool, w);
		w->events->failed(w->ctx, why, handover);
		free_waiter(w);
	}
}

static struct pool *find_or_create(struct pools *p, const struct pool_want *want)
{
	struct pool *pool;

	for (pool = p->list; pool != NULL; pool = pool->next) {
		if (pool->group == want->group && strcmp(pool->key, want->dest->key) == 0)
			return pool;
	}
	pool = xcalloc(1, sizeof(*pool));
	pool->pools = p;
	pool->persist = -1;
	pool->group = want->group;
	memcpy(pool->key, want->dest->key, sizeof(pool->key));
	defer_init(&pool->serve, on_serve, pool);
	pool->next = p->list;
	p->list = pool;
	return pool;
}

static void take_name(struct pool *pool, const char *name)
{
	char *mine = NULL;
	size_t i = 0;

	while (i < POOL_NAMES - 1 && pool->names[i] != NULL && strcmp(pool->names[i], name) != 0)
		i++;
	if (pool->names[i] != NULL && strcmp(pool->names[i], name) == 0)
		mine = pool->names[i];
	else
		free(pool->names[i]);
	for (; i > 0; i--)
		pool->names[i] = pool->names[i - 1];
	pool->names[0] = mine != NULL ? mine : xstrdup(name);
}

/* Keepalive and hold are not part of the key: the most careful of all requests decides. */
static void take_settings(struct pool *pool, const struct destination *dest)
{
	if (dest->alive_interval > 0 &&
	    (pool->alive_interval == 0 || dest->alive_interval < pool->alive_interval)) {
		pool->alive_interval = dest->alive_interval;
		pool->alive_count = dest->alive_count;
	}
	if (dest->persist >= 0)
		pool->persist = dest->persist;
}

struct pool_waiter *pool_wait(struct pools *p, const struct pool_want *want,
			      const struct pool_events *events, void *ctx)
{
	struct pool *pool = find_or_create(p, want);
	struct pool_waiter *w = xcalloc(1, sizeof(*w));
	struct pool_waiter **link = &pool->waiters;

	w->pool = pool;
	w->dest = destination_ref(want->dest);
	w->origin = origin_ref(want->origin);
	w->lease = want->lease;
	w->events = events;
	w->ctx = ctx;
	w->env = want->env;
	w->terminal = want->terminal;
	w->can_ask = want->can_ask;
	w->patient = want->patient;
	w->unattended = want->unattended;
	w->patience_until = pool_patience(pool, want);
	if (want->delay_ms > 0)
		w->not_before = pools_now(p) + want->delay_ms;
	w->login = !pool_any_ready(pool);
	/* Who comes back was let in before. */
	w->over = !want->front && pool_count_waiters(pool) >= p->app->config.max_queue;
	while (!want->front && *link != NULL)
		link = &(*link)->next;
	w->next = *link;
	*link = w;
	take_settings(pool, want->dest);
	take_name(pool, want->dest->typed);
	if (!want->front)
		pool_asked_again(pool);
	pool_touch(pool);
	return w;
}

const char *pool_waiter_why(const struct pool_waiter *w)
{
	const struct pool *pool = w->pool;

	if (choose(pool, w) != NULL)
		return NULL;
	if (any_suspect(pool))
		return "the held connection is being tested";
	if (pool_any_ready(pool))
		return "the held connections are full";
	if (count_slots(pool, true) > 0)
		return "a connection is being opened already";
	if (pool->group == POOL_HELD_BY_NOBODY)
		return "no connection is in use, and none is held (ControlPersist=no or "
		       "HAWSER_HOLD=0)";
	if (pool->group != POOL_SHARED)
		return "ControlPath=none asks for a connection of its own";
	return "no connection is held yet";
}

void pool_leave(struct pool_waiter *w)
{
	struct pool *pool = w->pool;

	unlink_waiter(w);
	slot_waiter_gone(pool, w);
	free_waiter(w);
	pool_touch(pool);
}

void pool_answer(struct pool_waiter *w, char *const *answers, const char *reason)
{
	slot_answer(w, answers, reason);
}

void pool_decline(struct pool_waiter *w)
{
	w->can_ask = false;
	slot_waiter_gone(w->pool, w);
}
