/* Coming back: a lost connection is opened again while somebody waits for it, or it is to be kept;
 * tries are spaced, and logins at one server are paced. */
#include "daemon/pool_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/backoff.h"
#include "daemon/config_host.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

/* So many logins at one server that are not through yet: below sshd's MaxStartups, 10, beyond which
 * it turns some away. The same for those through one jump host. */
#define LOGINS_AT_ONCE 8
/* Who asks while the next try is far off has one at once, if the last is so old. */
#define ASK_AGAIN_MS 1000
/* A connection that was lost sooner did not come to stay: the next login waits as after a failed
 * one. */
#define STAYED_MS (10 * 1000)
/* After so many such connections, some seconds, a request that somebody waits for is told. */
#define DROPS_MAX 8

static struct config_host settings(const struct pool *pool, const struct destination *dest)
{
	struct config_host host;

	config_for_host(&pool->pools->app->config, dest->typed, dest->hostname, &host);
	return host;
}

/* What time may heal. A wrong key, a changed host key or a wrong name does not. */
static bool passes(enum cause_class cls)
{
	switch (cls) {
	case CAUSE_REFUSED:
	case CAUSE_UNREACHABLE:
	case CAUSE_CONNECT_TIMEOUT:
	case CAUSE_RESOLVE: /* a resolver that is out of reach too */
	case CAUSE_PROXY:
	case CAUSE_JUMP:
	case CAUSE_CLOSED_BEFORE_BANNER:
	case CAUSE_REFUSES_SOURCE:
	case CAUSE_KEX:
	case CAUSE_LOGIN_TIMEOUT:
	case CAUSE_LOGIN_GRACE:
	case CAUSE_SERVER_CLOSED:
	case CAUSE_SERVER_SHUTDOWN:
	case CAUSE_SERVER_GAVE_UP:
	case CAUSE_RESET:
	case CAUSE_KEEPALIVE:
	case CAUSE_PATH_DEAD:
	case CAUSE_IDLE_DROP:
	case CAUSE_TIMED_CLOSE:
	case CAUSE_MTU:
	case CAUSE_CORRUPT:
	case CAUSE_PROTOCOL:
	case CAUSE_SLEEP:
	case CAUSE_ADDRESS_CHANGED:
	case CAUSE_ROUTE_CHANGED:
		return true;
	default:
		return false;
	}
}

bool pool_comes_back(const struct app *app, const struct destination *dest, const struct cause *why)
{
	struct config_host host;

	config_for_host(&app->config, dest->typed, dest->hostname, &host);
	return host.reconnect_s > 0 && why->cls != CAUSE_DAEMON_STOPPED &&
	       why->cls != CAUSE_CLOSED_BY_USER && why->cls != CAUSE_LOCKED &&
	       why->cls != CAUSE_EXPIRED && why->cls != CAUSE_IDLE;
}

static bool turned_away(enum cause_class cls)
{
	return cls == CAUSE_CLOSED_BEFORE_BANNER || cls == CAUSE_REFUSES_SOURCE;
}

static unsigned any_number(void)
{
	unsigned random = 0;

	uv_random(NULL, NULL, &random, sizeof(random), 0, NULL);
	return random;
}

static bool is_logging_in(const struct pool *pool)
{
	const struct slot *s = pool->slots;

	while (s != NULL && (s->ready || s->draining))
		s = s->next;
	return s != NULL;
}

/* At once after the first loss. A server that takes logins and drops them is not logged in to as
 * fast as that goes. */
static void wait_after_loss(struct pool *pool, uint64_t now, uint64_t lived_ms)
{
	pool->failures = 0;
	pool->retry_at = 0;
	pool->drops = lived_ms < STAYED_MS ? pool->drops + 1 : 0;
	if (pool->drops < 2 || is_logging_in(pool))
		return; /* the end of that login says how it goes on */
	pool->tried_at = now;
	/* It did take the logins: the time grows three times slower than where it does not. */
	pool->retry_at = now + backoff_ms((pool->drops + 2) / 3, any_number());
}

static bool has_seen_enough(const struct pool_waiter *w, const void *arg)
{
	(void)arg;
	return w->drops > DROPS_MAX && w->patience_until != UINT64_MAX;
}

void pool_lost(struct pool *pool, const struct slot *s, const struct cause *why)
{
	uint64_t now = pools_now(pool->pools);
	uint64_t until = now + (uint64_t)settings(pool, s->dest).reconnect_s * 1000;

	wait_after_loss(pool, now, now - s->ready_since);
	/* Who waited for its verdict, or was on it and moves, had a connection. */
	for (struct pool_waiter *w = pool->waiters; w != NULL; w = w->next) {
		w->drops += pool->drops > 0;
		if (w->patience_until < until)
			w->patience_until = until;
	}
	pool_fail_waiters(pool, has_seen_enough, NULL, why, false);
	if (!passes(why->cls) || pool->group != POOL_SHARED || !settings(pool, s->dest).keep)
		return;
	destination_unref(pool->kept);
	pool->kept = destination_ref(s->dest);
}

uint64_t pool_patience(const struct pool *pool, const struct pool_want *want)
{
	if (want->patient)
		return UINT64_MAX;
	if (!want->front)
		return 0; /* a first try that fails is told at once, as ssh does */
	return pools_now(pool->pools) + (uint64_t)settings(pool, want->dest).reconnect_s * 1000;
}

static bool is_through(const struct pool_waiter *w, const void *arg)
{
	const uint64_t *now = arg;

	return w->patience_until <= *now;
}

/* The last try before the first of them gives up is made in time. */
static uint64_t within_patience(const struct pool *pool, uint64_t at)
{
	for (const struct pool_waiter *w = pool->waiters; w != NULL; w = w->next) {
		if (w->patience_until < at)
			at = w->patience_until;
	}
	return at;
}

static void tell_retry(struct pool *pool, const struct slot *s, const struct cause *why)
{
	unsigned ms = (unsigned)(pool->retry_at - pools_now(pool->pools));
	char text[1024];

	snprintf(text, sizeof(text), "next try in %.1f s: %s", ms / 1e3, why->text);
	log_info("%s: %s", s->dest->label, text);
	journal_add(pool->pools->env.journal, &(struct journal_entry){.kind = JOURNAL_RETRY,
								      .host = s->dest->label,
								      .typed = s->dest->typed,
								      .cls = why->cls,
								      .text = text});
	pool_progress(pool, "reconnecting", ms);
}

static bool any_waits_on(const struct pool *pool, uint64_t now)
{
	const struct pool_waiter *w = pool->waiters;

	while (w != NULL && is_through(w, &now))
		w = w->next;
	return w != NULL;
}

bool pool_try_again(struct pool *pool, const struct slot *s, const struct cause *why)
{
	uint64_t now = pools_now(pool->pools);

	if (!passes(why->cls) || (!any_waits_on(pool, now) && pool->kept == NULL)) {
		destination_unref(pool->kept);
		pool->kept = NULL;
		return false;
	}
	pool_fail_waiters(pool, is_through, &now, why, false);
	pool->failures++;
	pool->turned_away = turned_away(why->cls);
	pool->retry_at = within_patience(
		pool, now + (pool->turned_away ? backoff_refused_ms(pool->failures, any_number())
					       : backoff_ms(pool->failures, any_number())));
	pool->tried_at = now;
	free(pool->failed_why);
	pool->failed_why = xstrdup(why->text);
	tell_retry(pool, s, why);
	return true;
}

void pool_came_back(struct pool *pool)
{
	pool->failures = 0;
	pool->retry_at = 0;
	pool->turned_away = false;
	free(pool->failed_why);
	pool->failed_why = NULL;
	destination_unref(pool->kept);
	pool->kept = NULL;
}

void pool_waits_for(const struct pool *pool, char *out, size_t size)
{
	uint64_t next = pool_retry_next(pool), now = pools_now(pool->pools);

	if (pool->pools->app->locked)
		snprintf(out, size, "hawserctl unlock");
	else if (next == UINT64_MAX)
		snprintf(out, size, "its turn to log in");
	else
		snprintf(out, size, "the next try, in %.1f s%s%s",
			 next > now ? (double)(next - now) / 1e3 : 0,
			 pool->failed_why != NULL ? ": " : "",
			 pool->failed_why != NULL ? pool->failed_why : "");
}

void pool_asked_again(struct pool *pool)
{
	uint64_t soon = pool->tried_at + ASK_AGAIN_MS;

	if (pool->retry_at == 0 || pool->retry_at <= soon)
		return;
	pool->retry_at = pools_now(pool->pools) >= soon ? 0 : soon;
}

bool pool_keeps(const struct pool *pool)
{
	return pool->kept != NULL;
}

uint64_t pool_retry_next(const struct pool *pool)
{
	uint64_t next = UINT64_MAX;

	if (pool->retry_at != 0)
		next = pool->retry_at;
	for (const struct pool_waiter *w = pool->waiters; w != NULL; w = w->next) {
		if (w->not_before != 0 && w->not_before < next)
			next = w->not_before;
		if (w->lane_until != 0 && w->lane_until < next)
			next = w->lane_until;
	}
	return next;
}

void pool_retry_tick(struct pool *pool, uint64_t now)
{
	if (pool->retry_at != 0 && now >= pool->retry_at)
		pool->retry_at = 0;
	for (struct pool_waiter *w = pool->waiters; w != NULL; w = w->next) {
		if (w->not_before <= now)
			w->not_before = 0;
		if (w->lane_until != 0 && w->lane_until <= now) {
			w->lane_until = 0;
			w->lane_late = true;
		}
	}
	pool_touch(pool);
}

/* Not where a server turned us away, which a network of ours is no reason to ask again, nor without
 * end where addresses come and go all the time. */
static void network_changed(struct pool *pool)
{
	if (pool->retry_at == 0 || pool->turned_away ||
	    pools_now(pool->pools) < pool->tried_at + ASK_AGAIN_MS)
		return;
	pool->retry_at = 0;
	pool->failures = 0;
	pool_touch(pool);
}

void pools_network_changed(struct pools *p, const char *text)
{
	for (struct pool *pool = p->list; pool != NULL; pool = pool->next) {
		for (struct slot *s = pool->slots; s != NULL; s = s->next)
			transport_suspect(s->transport, text);
		network_changed(pool);
	}
}

void pools_unlocked(struct pools *p)
{
	for (struct pool *pool = p->list; pool != NULL; pool = pool->next)
		pool_touch(pool);
}

/* --- pacing --- */

static bool same_server(const struct destination *a, const struct destination *b)
{
	return strcmp(a->hostname, b->hostname) == 0 && a->port == b->port &&
	       (a->jump == NULL) == (b->jump == NULL);
}

static bool same_jump(const struct destination *a, const struct destination *b)
{
	return a->jump != NULL && b->jump != NULL && strcmp(a->jump->key, b->jump->key) == 0;
}

bool pools_may_log_in(const struct pools *p, const struct destination *dest)
{
	unsigned server = 0, jump = 0;

	for (const struct pool *pool = p->list; pool != NULL; pool = pool->next) {
		for (const struct slot *s = pool->slots; s != NULL; s = s->next) {
			if (s->ready)
				continue;
			server += same_server(s->dest, dest);
			jump += same_jump(s->dest, dest);
		}
	}
	return server < LOGINS_AT_ONCE && jump < LOGINS_AT_ONCE;
}

void pools_login_over(struct pools *p)
{
	if (!p->paced)
		return;
	p->paced = false;
	for (struct pool *pool = p->list; pool != NULL; pool = pool->next) {
		if (pool->waiters != NULL || pool_keeps(pool))
			pool_touch(pool);
	}
}
