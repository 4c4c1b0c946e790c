#include "daemon/x11.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/app.h"
#include "daemon/dial.h"
#include "daemon/dial_local.h"
#include "daemon/tunnel.h"
#include "daemon/x11_auth.h"
#include "daemon/x11_parse.h"
#include "protocol/alloc.h"
#include "protocol/bytebuf.h"
#include "protocol/log.h"

/* Connections of one transport that have not shown a cookie yet. Any user of the server's can make
 * such ones: the oldest goes for the next, so that they do not keep the others out. */
#define STRANGERS_MAX 32
/* Connections of one session at once; X servers take no more clients in all. */
#define VISITORS_MAX 256
/* What may come before a display is connected to: an X client waits for its answer. */
#define FIRST_MAX    (64 * 1024)
#define TCP_BASE     6000
#define DIAL_SECONDS 60

struct x11_guest {
	struct x11_guest *next;
	struct app *app;
	struct destination *dest;
	const struct x11_events *events;
	void *ctx;
	struct x11_auth *auth; /* while xauth runs */
	struct x11_display display;
	bool no_display; /* what DISPLAY says cannot be connected to */
	struct x11_cookie real, fake;
	char *fake_hex;
	struct channel_x11 request;
	uint64_t refuse_ms; /* loop time from which on none is let in; 0 = never */
	struct transport *transport;
	struct transport_acceptor acceptor;
	unsigned visitors;
};

/* A connection that the server has opened. */
struct x11_visitor {
	struct x11_visitor *next;
	struct app *app;
	struct transport *transport;
	struct x11_guest *guest; /* NULL: has not shown whose cookie it has */
	struct channel *channel; /* until it is joined with the display */
	struct bytebuf first;	 /* what it has said so far */
	bool flooded, eof;
	struct dial *dial;
	struct dial_local *dial_local;
	struct tunnel *tunnel;
};

/* --- visitors --- */

static void forget(struct x11_visitor *v)
{
	struct x11_visitor **link = &v->app->x11_visitors;

	while (*link != v)
		link = &(*link)->next;
	*link = v->next;
	if (v->dial != NULL)
		dial_cancel(v->dial);
	dial_local_cancel(v->dial_local);
	tunnel_destroy(v->tunnel);
	if (v->channel != NULL)
		channel_release(v->channel);
	bytebuf_finish(&v->first);
	free(v);
}

/* Also tells the guest when it was the last one. */
static void leave(struct x11_visitor *v)
{
	struct x11_guest *g = v->guest;

	forget(v);
	if (g != NULL && --g->visitors == 0)
		g->events->idle(g->ctx);
}

static void on_tunnel_ended(void *ctx, struct tunnel *t, bool refused, const struct cause *why)
{
	struct x11_visitor *v = ctx;

	(void)t;
	(void)refused;
	(void)why;
	v->tunnel = NULL;
	leave(v);
}

static const struct tunnel_events tunnel_events = {.ended = on_tunnel_ended};

/* The first packet with the display's own cookie, and what came behind it. A fresh socket's buffer
 * takes more than that. */
static bool introduce(struct x11_visitor *v, int fd)
{
	size_t len = bytebuf_len(&v->first), at;
	uint8_t *bytes = xmemdup(bytebuf_peek(&v->first), len);
	struct x11_cookie shown;
	bool good = x11_setup_parse(bytes, len, &shown, &at) == X11_SETUP_GOOD;

	if (good) {
		memcpy(bytes + at, v->guest->real.data, v->guest->real.len);
		good = send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len;
	}
	free_secret(bytes, len);
	return good;
}

/* Takes fd, the display's. */
static void join(struct x11_visitor *v, int fd)
{
	struct channel *c = v->channel;

	if (v->eof || !introduce(v, fd)) {
		close(fd);
		leave(v);
		return;
	}
	v->channel = NULL;
	v->tunnel = tunnel_join(v->app->watches, c, fd, v->guest->dest->label, &tunnel_events, v);
	if (v->tunnel == NULL)
		leave(v);
}

static void unreachable(struct x11_visitor *v, const char *what)
{
	v->guest->events->notice(v->guest->ctx, -1, what);
	leave(v);
}

static void on_local(void *ctx, int fd, int error)
{
	struct x11_visitor *v = ctx;
	char *text;

	v->dial_local = NULL;
	if (fd >= 0) {
		join(v, fd);
		return;
	}
	text = xasprintf("connect /tmp/.X11-unix/X%u: %s", v->guest->display.number,
			 strerror(error));
	unreachable(v, text);
	free(text);
}

static void on_dialled(void *ctx, int fd, const char *peer, const struct cause *why)
{
	struct x11_visitor *v = ctx;

	(void)peer;
	v->dial = NULL;
	if (fd >= 0)
		join(v, fd);
	else
		unreachable(v, why->text);
}

static void connect_display(struct x11_visitor *v)
{
	const struct x11_display *d = &v->guest->display;
	struct dial_want want = {.host = d->host,
				 .port = (uint16_t)(TCP_BASE + d->number),
				 .family = AF_UNSPEC,
				 .timeout_s = DIAL_SECONDS,
				 .attempts = 1};
	char *path;

	if (!d->local) {
		v->dial = dial_to(v->app->loop, &want, on_dialled, v);
		return;
	}
	path = xasprintf("/tmp/.X11-unix/X%u", d->number);
	v->dial_local = dial_local_start(v->app->workers, path, true, on_local, v);
	free(path);
}

/* --- who is let in --- */

static struct x11_guest *find(const struct x11_visitor *v, const struct x11_cookie *shown)
{
	struct x11_guest *found = NULL;

	for (struct x11_guest *g = v->app->x11_guests; g != NULL; g = g->next) {
		if (g->transport == v->transport && x11_cookie_equal(&g->fake, shown))
			found = g;
	}
	return found;
}

static void reject(struct x11_visitor *v)
{
	static const char text[] = "X11 connection rejected because of wrong authentication.";
	struct x11_guest *only = NULL;
	unsigned n = 0;

	for (struct x11_guest *g = v->app->x11_guests; g != NULL; g = g->next) {
		if (g->transport == v->transport) {
			only = g;
			n++;
		}
	}
	log_info("%s", text);
	/* With several on the transport nobody knows whose program it was. */
	if (n == 1)
		only->events->notice(only->ctx, 0, text);
	leave(v);
}

static void judge(struct x11_visitor *v)
{
	struct x11_cookie shown;
	size_t at;
	enum x11_setup setup =
		x11_setup_parse(bytebuf_peek(&v->first), bytebuf_len(&v->first), &shown, &at);
	struct x11_guest *g;

	if (setup == X11_SETUP_MORE && !v->eof && !v->flooded)
		return;
	g = setup == X11_SETUP_GOOD && !v->flooded ? find(v, &shown) : NULL;
	if (g == NULL) {
		reject(v);
		return;
	}
	if (g->visitors >= VISITORS_MAX ||
	    (g->refuse_ms != 0 && uv_now(g->app->loop) >= g->refuse_ms)) {
		if (g->visitors < VISITORS_MAX)
			g->events->notice(
				g->ctx, 1,
				"Rejected X11 connection after ForwardX11Timeout expired");
		leave(v);
		return;
	}
	v->guest = g;
	g->visitors++;
	if (g->no_display)
		unreachable(v, "Could not parse display number from DISPLAY");
	else
		connect_display(v);
}

static bool on_data(void *ctx, int stream, const void *data, size_t len, bool must)
{
	struct x11_visitor *v = ctx;

	if (stream == 2 || v->flooded)
		return true;
	if (v->guest != NULL && !must)
		return false; /* for the tunnel */
	if (bytebuf_append(&v->first, data, len) != HW_OK)
		v->flooded = true;
	return true;
}

static void on_eof(void *ctx)
{
	struct x11_visitor *v = ctx;

	v->eof = true;
	channel_touch(v->channel);
}

static void on_turn(void *ctx)
{
	struct x11_visitor *v = ctx;

	if (v->guest == NULL)
		judge(v);
	else if (v->flooded)
		leave(v);
}

static void on_end(void *ctx, const struct channel_end *end)
{
	(void)end;
	leave(ctx);
}

static const struct channel_events first_events = {
	.data = on_data,
	.eof = on_eof,
	.turn = on_turn,
	.end = on_end,
};

static void on_accept(void *ctx, struct channel *c, const struct incoming *in)
{
	struct x11_guest *g = ctx; /* any of the transport: whose it is will be seen */
	struct x11_visitor *v, *oldest = NULL;
	unsigned strangers = 0;

	for (v = g->app->x11_visitors; v != NULL; v = v->next) {
		if (v->transport != g->transport || v->guest != NULL)
			continue;
		oldest = v; /* the newest is the first */
		strangers++;
	}
	if (strangers >= STRANGERS_MAX) {
		log_warn("%s: %u X11 connections have shown no cookie: the oldest ends for one "
			 "from %s",
			 g->dest->label, strangers, in->originator);
		forget(oldest);
	}
	v = xcalloc(1, sizeof(*v));
	v->app = g->app;
	v->transport = g->transport;
	v->channel = c;
	bytebuf_init(&v->first, FIRST_MAX);
	v->next = v->app->x11_visitors;
	v->app->x11_visitors = v;
	channel_adopt(c, &first_events, v);
}

/* --- guests --- */

/* The cookie that the server is given: of the same kind and length, known to nobody else. */
static bool make_up(struct x11_guest *g)
{
	g->fake = g->real;
	if (!x11_auth_random(&g->fake))
		return false;
	g->fake_hex = x11_cookie_hex(&g->fake);
	g->request = (struct channel_x11){
		.proto = g->fake.proto, .cookie = g->fake_hex, .screen = g->display.screen};
	return true;
}

static void on_auth(void *ctx, const struct x11_auth_result *r)
{
	struct x11_guest *g = ctx;

	g->auth = NULL;
	if (r->say != NULL)
		g->events->notice(g->ctx, r->level, r->say);
	g->real = r->cookie;
	g->events->ready(g->ctx, r->usable && make_up(g) ? &g->request : NULL);
}

struct x11_guest *x11_guest_create(struct app *app, struct destination *dest, struct origin *origin,
				   const struct x11_events *events, void *ctx)
{
	struct x11_guest *g = xcalloc(1, sizeof(*g));
	const char *display = origin_getenv(origin, "DISPLAY");

	g->app = app;
	g->dest = destination_ref(dest);
	g->events = events;
	g->ctx = ctx;
	g->acceptor =
		(struct transport_acceptor){.kind = INCOMING_X11, .accept = on_accept, .ctx = g};
	g->next = app->x11_guests;
	app->x11_guests = g;
	g->no_display = !x11_display_parse(display, &g->display);
	/* As ssh: one second of grace; what the X server grants ends a minute later. */
	if (!dest->forward_x11_trusted && dest->forward_x11_timeout != 0)
		g->refuse_ms = uv_now(app->loop) + 1000 * (1 + (uint64_t)dest->forward_x11_timeout);
	g->auth = x11_auth_start(app->workers, dest, origin, display, on_auth, g);
	return g;
}

void x11_guest_attach(struct x11_guest *g, struct transport *t)
{
	g->transport = t;
	transport_accept(t, &g->acceptor);
}

void x11_guest_detach(struct x11_guest *g)
{
	struct transport *t = g->transport;
	struct x11_visitor *v, *next;

	if (t == NULL)
		return;
	transport_accept_end(t, &g->acceptor);
	g->transport = NULL;
	for (struct x11_guest *other = g->app->x11_guests; other != NULL; other = other->next) {
		if (other->transport == t)
			return;
	}
	/* Who has not shown a cookie by now has nobody left to be let in by. */
	for (v = g->app->x11_visitors; v != NULL; v = next) {
		next = v->next;
		if (v->transport == t && v->guest == NULL)
			forget(v);
	}
}

bool x11_guest_busy(const struct x11_guest *g)
{
	return g->visitors > 0;
}

void x11_guest_destroy(struct x11_guest *g)
{
	struct x11_visitor *v, *next;
	struct x11_guest **link;

	if (g == NULL)
		return;
	x11_guest_detach(g);
	x11_auth_cancel(g->auth);
	for (v = g->app->x11_visitors; v != NULL; v = next) {
		next = v->next;
		if (v->guest == g)
			forget(v);
	}
	link = &g->app->x11_guests;
	while (*link != g)
		link = &(*link)->next;
	*link = g->next;
	destination_unref(g->dest);
	free_secret_str(g->fake_hex);
	free_secret(g, sizeof(*g));
}
