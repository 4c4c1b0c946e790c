#include "daemon/forward_kept.h"

#include <stdlib.h>

#include "daemon/app.h"
#include "daemon/forward.h"
#include "daemon/pool.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

/* The server may hold a port until it has seen that the old connection is dead. */
#define PORT_RETRY_MS 2000

/* On a transport: lease and set. Between two of them: waiter and specs. */
struct forward_kept {
	struct forward_kept *next; /* in app->kept, while it has a set */
	struct app *app;
	struct destination *dest;
	struct pool_lease *lease; /* weak */
	struct forward_set *set;
	struct pool_waiter *waiter;
	struct forward_spec *specs;
	size_t nspecs;
	bool port_told;
};

static void unlink_kept(struct forward_kept *k)
{
	struct forward_kept **link = &k->app->kept;

	while (*link != NULL && *link != k)
		link = &(*link)->next;
	if (*link == k)
		*link = k->next;
}

static void free_kept(struct forward_kept *k)
{
	unlink_kept(k);
	forward_set_destroy(k->set);
	if (k->lease != NULL)
		pool_lease_release(k->lease);
	forward_specs_free(k->specs, k->nspecs);
	destination_unref(k->dest);
	free(k);
}

static struct forward_kept *other_on(const struct forward_kept *k)
{
	struct forward_kept *other = k->app->kept;

	while (other != NULL &&
	       (other == k || pool_lease_transport(other->lease) != pool_lease_transport(k->lease)))
		other = other->next;
	return other;
}

static void wait_for_connection(struct forward_kept *k, unsigned delay_ms);

/* --- coming back --- */

static void on_back(void *ctx, size_t failed)
{
	struct forward_kept *k = ctx;

	if (failed == 0) {
		log_info("%s: its kept forwards stand again", k->dest->label);
		forward_specs_free(k->specs, k->nspecs);
		k->specs = NULL;
		k->nspecs = 0;
		k->port_told = false;
		return;
	}
	if (!k->port_told)
		log_info("%s: waiting for the server, or this machine, to free a port",
			 k->dest->label);
	k->port_told = true;
	unlink_kept(k);
	forward_set_destroy(k->set);
	k->set = NULL;
	pool_lease_release(k->lease);
	k->lease = NULL;
	wait_for_connection(k, PORT_RETRY_MS);
}

static const struct pool_events lease_events;

static void on_leased(void *ctx, struct pool_lease *l, bool reused)
{
	struct forward_kept *k = ctx, *other;
	struct forward_want want = {.specs = k->specs,
				    .count = k->nspecs,
				    .words = FORWARD_SILENT,
				    .dest = k->dest,
				    .cwd = "/"};

	(void)reused;
	k->waiter = NULL;
	/* A weak one in its place: kept forwards do not hold a connection. */
	k->lease = pool_lease_held(k->app->pools, k->dest, POOL_SHARED, true, &lease_events, k);
	pool_lease_release(l);
	if (k->lease == NULL) {
		free_kept(k);
		return;
	}
	other = other_on(k);
	if (other != NULL) {
		/* Somebody has asked for others meanwhile: they become one set. */
		forward_set_add(other->set, &want, NULL, NULL);
		free_kept(k);
		return;
	}
	k->set = forward_set_create(k->app, pool_lease_transport(k->lease), k->dest->label, NULL,
				    NULL);
	k->next = k->app->kept;
	k->app->kept = k;
	forward_set_add(k->set, &want, on_back, k);
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

/* The transport has ended. */
static void on_lost(void *ctx, const struct cause *why)
{
	struct forward_kept *k = ctx;

	k->lease = NULL; /* gone with the call */
	if (!pool_comes_back(k->app, k->dest, why)) {
		free_kept(k);
		return;
	}
	if (k->specs == NULL && k->set != NULL)
		k->specs = forward_set_specs(k->set, &k->nspecs);
	unlink_kept(k);
	forward_set_destroy(k->set);
	k->set = NULL;
	if (k->nspecs == 0)
		free_kept(k);
	else
		wait_for_connection(k, 0);
}

static const struct pool_events lease_events = {
	.leased = on_leased,
	.lost = on_lost,
	.failed = on_failed,
	.prompt = on_prompt,
	.notice = on_notice,
};

static void wait_for_connection(struct forward_kept *k, unsigned delay_ms)
{
	struct pool_want want = {.dest = k->dest,
				 .group = POOL_SHARED,
				 .lease = true,
				 .front = true,
				 .patient = true,
				 .delay_ms = delay_ms};

	k->waiter = pool_wait(k->app->pools, &want, &lease_events, k);
}

/* --- for who asks --- */

struct forward_set *forward_kept_find(struct app *app, struct destination *dest, bool create)
{
	struct forward_kept *k = xcalloc(1, sizeof(*k)), *other;

	k->app = app;
	k->dest = destination_ref(dest);
	k->lease = pool_lease_held(app->pools, dest, POOL_ANY, true, &lease_events, k);
	if (k->lease == NULL) {
		free_kept(k);
		return NULL;
	}
	other = other_on(k);
	if (other != NULL || !create) {
		free_kept(k);
		return other != NULL ? other->set : NULL;
	}
	k->set = forward_set_create(app, pool_lease_transport(k->lease), dest->label, NULL, NULL);
	k->next = app->kept;
	app->kept = k;
	return k->set;
}
