#include "tests/fakes/fakes.h"

#include <string.h>

struct fake_pool fake_pool;

struct pools {
	struct app *app;
};
static struct pools the_pools;

struct pools *pools_create(struct app *app)
{
	the_pools.app = app;
	return &the_pools;
}

void pools_set_routes(struct pools *p, const struct transport_routes *routes, void *ctx)
{
	(void)p;
	(void)routes;
	(void)ctx;
}

void pools_destroy(struct pools *p)
{
	(void)p;
}

static bool fake_matches(size_t i, const char *name)
{
	return !name || strcmp(fake_pool.infos[i].typed, name) == 0;
}

size_t pools_list(struct pools *p, const char *name, pool_info_cb cb, void *ctx)
{
	size_t matches = 0;

	(void)p;
	for (size_t i = 0; i < fake_pool.count; i++) {
		if (!fake_matches(i, name))
			continue;
		matches++;
		cb(ctx, &fake_pool.infos[i]);
	}
	return matches;
}

size_t pools_close(struct pools *p, const char *name, bool force)
{
	size_t matches = 0;

	(void)p;
	for (size_t i = 0; i < fake_pool.count; i++)
		matches += fake_matches(i, name);
	if (matches > 0) {
		fake_pool.closed++;
		fake_pool.forced += force;
	}
	return matches;
}

size_t pools_lock(struct pools *p, bool drain)
{
	(void)p;
	(void)drain;
	return fake_pool.count;
}

void pools_network_changed(struct pools *p, const char *text)
{
	(void)p;
	(void)text;
}

void pools_unlocked(struct pools *p)
{
	(void)p;
}

size_t pools_held(const struct pools *p)
{
	(void)p;
	return fake_pool.count;
}
