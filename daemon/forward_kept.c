#include "daemon/forward_kept.h"

#include <stdlib.h>

#include "daemon/app.h"
#include "daemon/forward.h"
#include "daemon/pool.h"
#include "protocol/alloc.h"

struct forward_kept {
	struct forward_kept *next;
	struct app *app;
	struct pool_lease *lease;
	struct forward_set *set;
};

/* The transport has ended. */
static void on_lost(void *ctx, const struct cause *why)
{
	struct forward_kept *k = ctx;
	struct forward_kept **link = &k->app->kept;

	(void)why;
	while (*link != k)
		link = &(*link)->next;
	*link = k->next;
	forward_set_destroy(k->set);
	free(k);
}

static const struct pool_events lease_events = {.lost = on_lost};

struct forward_set *forward_kept_find(struct app *app, const struct destination *dest, bool create)
{
	struct forward_kept *k = xcalloc(1, sizeof(*k)), *other;

	k->app = app;
	k->lease = pool_lease_held(app->pools, dest, POOL_ANY, true, &lease_events, k);
	if (k->lease == NULL) {
		free(k);
		return NULL;
	}
	for (other = app->kept; other != NULL; other = other->next) {
		if (pool_lease_transport(other->lease) == pool_lease_transport(k->lease))
			break;
	}
	if (other != NULL || !create) {
		pool_lease_release(k->lease);
		free(k);
		return other != NULL ? other->set : NULL;
	}
	k->set = forward_set_create(app, pool_lease_transport(k->lease), dest->label, NULL, NULL);
	k->next = app->kept;
	app->kept = k;
	return k->set;
}
