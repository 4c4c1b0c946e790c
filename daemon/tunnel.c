#include "daemon/tunnel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/bridge.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

#define GREETING_MAX (4 * 1024 * 1024)

struct tunnel {
	const struct tunnel_events *events;
	void *ctx;
	struct channel *channel;
	struct bridge bridge;
	struct bytebuf greeting; /* goes to the socket before what the channel brings */
	bool ending;		 /* the channel is gone, its last bytes are on their way out */
};

void tunnel_destroy(struct tunnel *t)
{
	if (t == NULL)
		return;
	if (t->channel != NULL)
		channel_release(t->channel);
	bridge_finish(&t->bridge);
	bytebuf_finish(&t->greeting);
	free(t);
}

static void finish(struct tunnel *t, bool refused, const struct cause *why)
{
	t->events->ended(t->ctx, t, refused, why);
	tunnel_destroy(t);
}

/* The socket took the last bytes, or is gone. */
static void on_drained(void *ctx)
{
	struct tunnel *t = ctx;

	if (t->ending && bridge_flushed(&t->bridge))
		finish(t, false, NULL);
}

static void greet(struct tunnel *t)
{
	size_t len = bytebuf_len(&t->greeting);

	if (len == 0)
		return;
	pump_out_write(&t->bridge.out, bytebuf_peek(&t->greeting), len);
	bytebuf_consume(&t->greeting, len);
}

static void on_running(void *ctx, bool tty)
{
	struct tunnel *t = ctx;

	(void)tty;
	greet(t);
	if (t->events->opened != NULL)
		t->events->opened(t->ctx, t);
}

static bool on_data(void *ctx, int stream, const void *data, size_t len, bool must)
{
	struct tunnel *t = ctx;

	greet(t);
	/* There is no stderr of a socket (RFC 4254 section 5.2 allows it all the same). */
	return stream == 2 || bridge_data(&t->bridge, stream, data, len, must);
}

static void on_eof(void *ctx)
{
	struct tunnel *t = ctx;

	greet(t);
	bridge_end_output(&t->bridge);
}

static void on_turn(void *ctx)
{
	struct tunnel *t = ctx;

	greet(t);
	if (t->bridge.out.broken) {
		/* Who would read is gone: the other side is told so by the close. */
		finish(t, false, NULL);
		return;
	}
	bridge_turn(&t->bridge);
}

static void on_end(void *ctx, const struct channel_end *end)
{
	struct tunnel *t = ctx;

	if (end->kind != CHANNEL_ENDED) {
		finish(t, end->kind != CHANNEL_LOST, &end->why);
		return;
	}
	channel_release(t->channel);
	t->channel = NULL;
	bridge_detach(&t->bridge, NULL);
	t->ending = true;
	on_drained(t);
}

static const struct channel_events channel_events = {
	.running = on_running,
	.data = on_data,
	.turn = on_turn,
	.eof = on_eof,
	.end = on_end,
};

/* Takes fd: each direction has a descriptor of its own, for each ends by itself. */
static struct tunnel *create(struct watch_set *watches, int fd, const char *label,
			     const struct tunnel_events *events, void *ctx)
{
	int second = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	int fds[3] = {fd, second, -1};
	struct tunnel *t;

	if (second < 0) {
		log_warn("%s: no descriptor left for a tunnel: %s", label, strerror(errno));
		close(fd);
		return NULL;
	}
	t = xcalloc(1, sizeof(*t));
	t->events = events;
	t->ctx = ctx;
	bridge_init(&t->bridge);
	bytebuf_init(&t->greeting, GREETING_MAX);
	t->bridge.label = label;
	t->bridge.own_socket = true;
	bridge_start(&t->bridge, watches, fds, on_drained, t);
	return t;
}

struct tunnel *tunnel_open(struct watch_set *watches, struct transport *transport, int fd,
			   const struct channel_target *target, const char *label,
			   const struct tunnel_events *events, void *ctx)
{
	struct tunnel *t = create(watches, fd, label, events, ctx);

	if (t != NULL)
		t->channel = t->bridge.channel =
			channel_open_direct(transport, target, &channel_events, t);
	return t;
}

struct tunnel *tunnel_join(struct watch_set *watches, struct channel *c, int fd, const char *label,
			   const struct tunnel_events *events, void *ctx)
{
	struct tunnel *t = create(watches, fd, label, events, ctx);

	if (t == NULL) {
		channel_release(c);
		return NULL;
	}
	t->channel = t->bridge.channel = c;
	channel_adopt(c, &channel_events, t);
	return t;
}

void tunnel_greet_socket(struct tunnel *t, const void *data, size_t len)
{
	if (bytebuf_append(&t->greeting, data, len) != HW_OK)
		log_error("%s: a tunnel's first bytes are over their limit: lost", t->bridge.label);
}

void tunnel_greet_channel(struct tunnel *t, const void *data, size_t len)
{
	if (bytebuf_append(&t->bridge.rest, data, len) != HW_OK)
		log_error("%s: a tunnel's first bytes are over their limit: lost", t->bridge.label);
	channel_touch(t->channel);
}
