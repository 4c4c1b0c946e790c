#include "daemon/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/app.h"
#include "daemon/defer.h"
#include "daemon/pool.h"
#include "daemon/tunnel.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

#define LISTEN_BACKLOG 128

/* A connection through a forward. */
struct connection {
	struct connection *next;
	struct forward *forward;
	struct tunnel *tunnel;
};

struct forward {
	struct forward_set *set;
	struct forward_spec spec;
	int fd;
	struct watch *watch;
};

struct forward_set {
	struct app *app;
	struct transport *transport;
	struct destination *dest;
	const struct forward_events *events;
	void *ctx;
	struct forward *forwards;
	size_t count, failed;
	struct connection *connections;
	struct defer ready;
};

static void on_ready(void *ctx)
{
	struct forward_set *set = ctx;

	set->events->ready(set->ctx, set->failed);
}

struct forward_set *forward_set_create(struct app *app, struct transport *transport,
				       struct destination *dest,
				       const struct forward_events *events, void *ctx)
{
	struct forward_set *set = xcalloc(1, sizeof(*set));

	set->app = app;
	set->transport = transport;
	set->dest = destination_ref(dest);
	set->events = events;
	set->ctx = ctx;
	set->count = dest->nforwards;
	set->forwards = xcalloc(set->count > 0 ? set->count : 1, sizeof(*set->forwards));
	for (size_t i = 0; i < set->count; i++) {
		set->forwards[i].set = set;
		set->forwards[i].fd = -1;
		forward_spec_copy(&set->forwards[i].spec, &dest->forwards[i]);
	}
	defer_init(&set->ready, on_ready, set);
	return set;
}

static void on_tunnel_ended(void *ctx, struct tunnel *t, const struct cause *why)
{
	struct connection *c = ctx;
	struct forward_set *set = c->forward->set;
	struct connection **link = &set->connections;

	(void)t;
	if (why != NULL)
		log_info("%s: forward: %s", set->dest->label, why->text);
	while (*link != c)
		link = &(*link)->next;
	*link = c->next;
	free(c);
}

static const struct tunnel_events tunnel_events = {.ended = on_tunnel_ended};

static void on_connection(void *ctx, unsigned events)
{
	struct forward *f = ctx;
	struct forward_set *set = f->set;
	struct channel_target target = {.path = f->spec.connect.path,
					.host = f->spec.connect.host,
					.port = f->spec.connect.port,
					.origin = "127.0.0.1"};
	struct connection *c;
	int fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	c = xcalloc(1, sizeof(*c));
	c->forward = f;
	c->tunnel = tunnel_open(set->app->watches, set->transport, fd, &target, set->dest->label,
				&tunnel_events, c);
	if (c->tunnel == NULL) {
		free(c);
		return;
	}
	c->next = set->connections;
	set->connections = c;
}

static int listen_tcp(const struct forward *f)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons(f->spec.listen.port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
	    listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
	close(fd);
	return -1;
}

void forward_set_start(struct forward_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		struct forward *f = &set->forwards[i];

		f->fd = listen_tcp(f);
		if (f->fd >= 0)
			f->watch =
				watch_add(set->app->watches, f->fd, WATCH_READ, on_connection, f);
		if (f->watch == NULL)
			set->failed++;
	}
	defer_post(pools_defer(set->app->pools), &set->ready);
}

void forward_set_destroy(struct forward_set *set)
{
	if (set == NULL)
		return;
	defer_cancel(&set->ready);
	while (set->connections != NULL) {
		struct connection *c = set->connections;

		set->connections = c->next;
		tunnel_destroy(c->tunnel);
		free(c);
	}
	for (size_t i = 0; i < set->count; i++) {
		watch_remove(set->forwards[i].watch);
		if (set->forwards[i].fd >= 0)
			close(set->forwards[i].fd);
		forward_spec_finish(&set->forwards[i].spec);
	}
	free(set->forwards);
	destination_unref(set->dest);
	free(set);
}
