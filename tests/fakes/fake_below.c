/* A resolver, a worker pool and routes that do nothing, so that app.c can be run by itself. */
#include "daemon/jump.h"
#include "daemon/resolve.h"
#include "daemon/worker.h"

struct resolver {
	char unused;
};
static struct resolver the_resolver;

struct resolver *resolver_create(uv_loop_t *loop, const char *ssh_path)
{
	(void)loop;
	(void)ssh_path;
	return &the_resolver;
}

void resolver_destroy(struct resolver *r)
{
	(void)r;
}

struct worker_pool {
	char unused;
};
static struct worker_pool the_workers;

struct worker_pool *worker_pool_create(uv_loop_t *loop, unsigned max_threads)
{
	(void)loop;
	(void)max_threads;
	return &the_workers;
}

void worker_submit(struct worker_pool *p, worker_run run, worker_done done, void *ctx)
{
	(void)p;
	run(ctx);
	done(ctx);
}

size_t worker_pool_destroy(struct worker_pool *p, unsigned grace_ms)
{
	(void)p;
	(void)grace_ms;
	return 0;
}

const struct transport_routes jump_routes = {.open = NULL};
