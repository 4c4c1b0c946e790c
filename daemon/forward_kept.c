#include "daemon/forward_kept.h"

#include <stdlib.h>

#include "daemon/app.h"
#include "daemon/forward_priv.h"
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

/* On a transport: lease and set, in app->kept. Between two of them: waiter. */
struct forward_kept {
	struct forward_kept *next;
	struct app *app;
	struct destination *dest;
	struct pool_lease *lease; /* weak */
	struct forward_set *set;  /* as long as the transport: others may have it, too */
	struct pool_waiter *waiter;
	struct forward_spec *missing; /* what stood on another transport, and does not yet here */
	size_t nmissing;
	bool trying; /* the set is about it */
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
	if (k->lease != NULL)
		pool_lease_release(k->lease);
	if (k->retry != NULL) {
		k->retry->of = NULL;
		uv_close((uv_handle_t *)&k->retry->timer, on_timer_closed);
	}
	forward_specs_free(k->missing, k->nmissing);
	destination_unref(k->dest);
	free(k);
}

static struct forward_kept *create(struct app *app, struct destination *dest)
{
	struct forward_kept *k = xcalloc(1, sizeof(*k));

	k->app = app;
	k->dest = destination_ref(dest);
	return k;
}

static void begin_set(struct forward_kept *k)
{
	k->set = forward_set_create(k->app, pool_lease_transport(k->lease), k->dest->label, NULL,
				    NULL);
	k->next = k->app->kept;
	k->app->kept = k;
}

static struct forward_kept *other_on(const struct forward_kept *k)
{
	struct forward_kept *other = k->app->kept;

	while (other != NULL &&
	       (other == k || pool_lease_transport(other->lease) != pool_lease_transport(k->lease)))
		other = other->next;
	return other;
}

/* --- what is missing --- */

static bool is_among(const struct forward_spec *specs, size_t count,
		     const struct forward_spec *spec)
{
	size_t i = 0;

	while (i < count && !forward_spec_same(&specs[i], spec))
		i++;
	return i < count;
}

/* Takes the array over. */
static void add_missing(struct forward_kept *k, struct forward_spec *specs, size_t count)
{
	if (count > 0)
		k->missing = xreallocarray(k->missing, k->nmissing + count, sizeof(*k->missing));
	for (size_t i = 0; i < count; i++) {
		if (is_among(k->missing, k->nmissing, &specs[i]))
			forward_spec_finish(&specs[i]);
		else
			k->missing[k->nmissing++] = specs[i];
	}
	free(specs);
}

/* Forgets what stands by now: somebody else may have asked for it, too. */
static void drop_standing(struct forward_kept *k)
{
	size_t count, left = 0;
	struct forward_spec *standing = forward_set_specs(k->set, &count);

	for (size_t i = 0; i < k->nmissing; i++) {
		if (is_among(standing, count, &k->missing[i]))
			forward_spec_finish(&k->missing[i]);
		else
			k->missing[left++] = k->missing[i];
	}
	k->nmissing = left;
	forward_specs_free(standing, count);
}

static void try_missing(struct forward_kept *k);

static void on_retry(uv_timer_t *timer)
{
	struct forward_kept *k = hw_container_of(timer, struct kept_timer, timer)->of;

	if (k != NULL && k->set != NULL && !k->trying)
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

static void on_tried(void *ctx, size_t failed)
{
	struct forward_kept *k = ctx;

	(void)failed;
	k->trying = false;
	drop_standing(k);
	if (k->nmissing == 0) {
		log_info("%s: its kept forwards stand again", k->dest->label);
		k->tries = 0;
		return;
	}
	if (k->tries == 0)
		log_info("%s: waiting for the server, or this machine, to free a port",
			 k->dest->label);
	try_later(k);
}

static void try_missing(struct forward_kept *k)
{
	struct forward_want want = {.words = FORWARD_SILENT, .dest = k->dest, .cwd = "/"};

	drop_standing(k);
	want.specs = k->missing;
	want.count = k->nmissing;
	k->trying = true;
	forward_set_add(k->set, &want, on_tried, k);
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
	/* A weak one in its place: kept forwards do not hold a connection. */
	k->lease = pool_lease_held(k->app->pools, k->dest, POOL_SHARED, true, &lease_events, k);
	pool_lease_release(l);
	if (k->lease == NULL) {
		free_kept(k);
		return;
	}
	other = other_on(k);
	if (other == NULL) {
		begin_set(k);
		other = k;
	} else {
		/* Somebody has asked for others meanwhile: they become one set. */
		add_missing(other, k->missing, k->nmissing);
		k->missing = NULL;
		k->nmissing = 0;
		free_kept(k);
	}
	other->tries = 0;
	if (!other->trying)
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
	struct forward_spec *standing;
	size_t count;

	k->lease = NULL; /* gone with the call */
	if (!pool_comes_back(k->app, k->dest, why)) {
		free_kept(k);
		return;
	}
	standing = forward_set_specs(k->set, &count);
	add_missing(k, standing, count);
	unlink_kept(k);
	forward_set_destroy(k->set);
	k->set = NULL;
	k->trying = false;
	if (k->nmissing == 0)
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

/* Those of the transport that is held for dest. NULL: none is held; or it has none, and these were
 * not to be created. */
static struct forward_kept *find(struct app *app, struct destination *dest, bool creating)
{
	struct forward_kept *k = create(app, dest), *other;

	k->lease = pool_lease_held(app->pools, dest, POOL_ANY, true, &lease_events, k);
	other = k->lease != NULL ? other_on(k) : NULL;
	if (k->lease == NULL || other != NULL || !creating) {
		free_kept(k);
		return other;
	}
	begin_set(k);
	return k;
}

struct forward_set *forward_kept_find(struct app *app, struct destination *dest)
{
	struct forward_kept *k = find(app, dest, true);

	return k != NULL ? k->set : NULL;
}

/* One that is to be tried again. False: there is none. */
static bool cancel_missing(struct forward_kept *k, const struct forward_spec *spec, const char *cwd)
{
	struct forward_spec wanted;
	size_t i = 0;

	forward_spec_copy(&wanted, spec);
	forward_make_absolute(&wanted, cwd);
	while (i < k->nmissing && !forward_spec_same(&k->missing[i], &wanted))
		i++;
	forward_spec_finish(&wanted);
	if (i == k->nmissing || k->trying)
		return false;
	forward_spec_finish(&k->missing[i]);
	k->missing[i] = k->missing[--k->nmissing];
	return true;
}

bool forward_kept_cancel(struct app *app, struct destination *dest, const struct forward_spec *spec,
			 const char *cwd)
{
	struct forward_kept *k = find(app, dest, false);

	return k != NULL &&
	       (forward_set_cancel(k->set, spec, cwd, true) || cancel_missing(k, spec, cwd));
}
