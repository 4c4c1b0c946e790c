#include "daemon/forward_kept.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/app.h"
#include "daemon/forward.h"
#include "daemon/forward_missing.h"
#include "daemon/pool.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

/* A port is tried again after this time, and ever more seldom: the server may hold it until it has
 * seen that the old connection is dead; here, another program may have it. */
#define PORT_RETRY_MS	   2000u
#define PORT_RETRY_MOST_MS 60000u
#define PORT_RETRY_SAME	   8 /* tries before the time doubles */

/* Lives until libuv has closed it, what it is for does not. */
struct kept_timer {
	uv_timer_t timer;
	struct forward_kept *of;
};

/* All are in app->kept. On a transport: lease and set. Between two of them: waiter. */
struct forward_kept {
	struct forward_kept *next;
	struct app *app;
	struct destination *dest; /* of the one who asked first: who is logged in as */
	struct pool_lease *lease; /* weak */
	struct forward_set *set;  /* as long as the transport: others may have it, too */
	struct pool_waiter *waiter;
	struct missing *missing; /* what stood on another transport, and does not yet here */
	size_t trying;		 /* batches of the set that are about it */
	struct kept_timer *retry;
	unsigned tries;
};

static void unlink_kept(struct forward_kept *k)
{
	struct forward_kept **link = &k->app->kept;

	while (*link != NULL && *link != k)
		link = &(*link)->next;
	if (*link == k)
		*link = k->next;
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(hw_container_of(handle, struct kept_timer, timer));
}

static void free_kept(struct forward_kept *k)
{
	unlink_kept(k);
	forward_set_destroy(k->set);
	if (k->waiter != NULL)
		pool_leave(k->waiter);
	if (k->lease != NULL)
		pool_lease_release(k->lease);
	if (k->retry != NULL) {
		k->retry->of = NULL;
		uv_close((uv_handle_t *)&k->retry->timer, on_timer_closed);
	}
	missing_clear(&k->missing);
	destination_unref(k->dest);
	free(k);
}

static struct forward_kept *create(struct app *app, struct destination *dest)
{
	struct forward_kept *k = xcalloc(1, sizeof(*k));

	k->app = app;
	k->dest = destination_ref(dest);
	k->next = app->kept;
	app->kept = k;
	return k;
}

static void begin_set(struct forward_kept *k)
{
	k->set = forward_set_create(k->app, pool_lease_transport(k->lease), k->dest->label, NULL,
				    NULL);
}

/* Who has the set of k's transport. */
static struct forward_kept *other_on(const struct forward_kept *k)
{
	struct forward_kept *other = k->app->kept;

	while (other != NULL &&
	       (other == k || other->lease == NULL ||
		pool_lease_transport(other->lease) != pool_lease_transport(k->lease)))
		other = other->next;
	return other;
}

/* --- what is missing --- */

static void try_missing(struct forward_kept *k);

static void on_retry(uv_timer_t *timer)
{
	struct forward_kept *k = hw_container_of(timer, struct kept_timer, timer)->of;

	if (k != NULL && k->set != NULL && k->trying == 0)
		try_missing(k);
}

static void try_later(struct forward_kept *k)
{
	unsigned ms = PORT_RETRY_MS;

	for (unsigned n = k->tries / PORT_RETRY_SAME; n > 0 && ms < PORT_RETRY_MOST_MS; n--)
		ms *= 2;
	k->tries++;
	if (k->retry == NULL) {
		k->retry = xcalloc(1, sizeof(*k->retry));
		k->retry->of = k;
		uv_timer_init(k->app->loop, &k->retry->timer);
		uv_unref((uv_handle_t *)&k->retry->timer);
	}
	uv_timer_start(&k->retry->timer, on_retry,
		       ms < PORT_RETRY_MOST_MS ? ms : PORT_RETRY_MOST_MS, 0);
}

static void they_stand(struct forward_kept *k)
{
	log_info("%s: its kept forwards stand again", k->dest->label);
	k->tries = 0;
}

static void on_tried(void *ctx, size_t failed)
{
	struct forward_kept *k = ctx;

	(void)failed;
	if (--k->trying > 0)
		return;
	missing_tried(&k->missing, k->set);
	if (k->missing == NULL) {
		they_stand(k);
		return;
	}
	if (k->tries == 0)
		log_info("%s: waiting for the server, or this machine, to free a port",
			 k->dest->label);
	try_later(k);
}

static void try_missing(struct forward_kept *k)
{
	/* Somebody else may have asked for some, too. */
	missing_drop_standing(&k->missing, k->set);
	k->trying = missing_try(k->missing, k->set, FORWARD_QUIET, on_tried, k);
	if (k->trying == 0)
		they_stand(k);
}

/* --- coming back --- */

static const struct pool_events lease_events;

static void on_leased(void *ctx, struct pool_lease *l, bool reused)
{
	struct forward_kept *k = ctx, *other;

	(void)reused;
	k->waiter = NULL;
	if (transport_untrusted(pool_lease_transport(l))) {
		/* Who knows whom the bytes would reach. */
		log_warn("%s: its kept forwards end: the host key is not the one that was known",
			 k->dest->label);
		pool_lease_release(l);
		free_kept(k);
		return;
	}
	/* Kept forwards do not hold a connection. */
	pool_lease_weaken(l);
	k->lease = l;
	other = other_on(k);
	if (other == NULL) {
		begin_set(k);
		other = k;
	} else {
		/* Somebody has asked for others meanwhile: they become one set. */
		for (const struct missing *m = k->missing; m != NULL; m = m->next)
			missing_add(&other->missing, &m->spec, m->dest);
		free_kept(k);
	}
	other->tries = 0;
	if (other->trying == 0)
		try_missing(other);
}

static void on_failed(void *ctx, const struct cause *why, bool handover)
{
	struct forward_kept *k = ctx;

	(void)handover;
	log_warn("%s: its kept forwards end: %s", k->dest->label, why->text);
	k->waiter = NULL;
	free_kept(k);
}

/* Nobody is there who could be asked. */
static void on_prompt(void *ctx, const struct proto_prompt *p)
{
	(void)ctx;
	(void)p;
}

static void on_notice(void *ctx, const char *text, bool raw)
{
	struct forward_kept *k = ctx;

	(void)raw;
	log_info("%s: %s", k->dest->label, text);
}

static void wait_for_connection(struct forward_kept *k);

/* The transport has ended. */
static void on_lost(void *ctx, const struct cause *why)
{
	struct forward_kept *k = ctx;

	k->lease = NULL; /* gone with the call */
	if (!pool_comes_back(k->app, k->dest, why)) {
		free_kept(k);
		return;
	}
	if (k->trying > 0)
		missing_tried(&k->missing, k->set);
	k->trying = 0;
	missing_add_standing(&k->missing, k->set);
	forward_set_destroy(k->set);
	k->set = NULL;
	if (k->missing == NULL)
		free_kept(k);
	else
		wait_for_connection(k);
}

static const struct pool_events lease_events = {
	.leased = on_leased,
	.lost = on_lost,
	.failed = on_failed,
	.prompt = on_prompt,
	.notice = on_notice,
};

static void wait_for_connection(struct forward_kept *k)
{
	struct pool_want want = {.dest = k->dest,
				 .group = POOL_SHARED,
				 .lease = true,
				 .front = true,
				 .patient = true,
				 .unattended = true};

	k->waiter = pool_wait(k->app->pools, &want, &lease_events, k);
}

/* --- for who asks --- */

struct forward_set *forward_kept_find(struct app *app, struct destination *dest)
{
	struct forward_kept *k = create(app, dest), *other;

	k->lease = pool_lease_held(app->pools, dest, POOL_ANY, true, &lease_events, k);
	other = k->lease != NULL ? other_on(k) : NULL;
	if (k->lease == NULL || other != NULL) {
		free_kept(k);
		return other != NULL ? other->set : NULL;
	}
	begin_set(k);
	return k->set;
}

/* One that is to be tried again, or just is. False: there is none. */
static bool cancel_missing(struct forward_kept *k, const struct forward_spec *spec, const char *cwd)
{
	struct missing *m = missing_find(k->missing, spec, cwd);

	if (m == NULL || m->cancelled)
		return false;
	if (m->trying) {
		m->cancelled = true;
		return true;
	}
	missing_drop(&k->missing, m);
	if (k->missing == NULL && k->set == NULL)
		free_kept(k); /* nothing is waited for any more */
	return true;
}

bool forward_kept_cancel(struct app *app, const struct destination *dest,
			 const struct forward_spec *spec, const char *cwd)
{
	struct forward_kept *k, *next;
	bool stood, missed;

	for (k = app->kept; k != NULL; k = next) {
		next = k->next;
		if (strcmp(k->dest->key, dest->key) != 0)
			continue;
		/* It may be both, for a moment: asked for anew while it was to be tried again. */
		stood = k->set != NULL && forward_set_cancel(k->set, spec, cwd, true);
		missed = cancel_missing(k, spec, cwd);
		if (stood || missed)
			return true;
	}
	return false;
}

void forward_kept_wanted(struct app *app, const struct forward_set *set,
			 const struct forward_spec *spec, const char *cwd)
{
	struct forward_kept *k = app->kept;
	struct missing *m;

	while (k != NULL && k->set != set)
		k = k->next;
	m = k != NULL ? missing_find(k->missing, spec, cwd) : NULL;
	if (m != NULL)
		m->cancelled = false;
}

bool forward_kept_any(const struct app *app, const struct destination *dest)
{
	const struct forward_kept *k = app->kept;

	while (k != NULL && strcmp(k->dest->key, dest->key) != 0)
		k = k->next;
	return k != NULL;
}
