#include "daemon/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>
#include "daemon/app.h"
#include "daemon/dispatch.h"
#include "daemon/watch.h"
#include "protocol/alloc.h"
#include "protocol/frame.h"
#include "protocol/log.h"

/* Deadlines are looked at this many times per stall_ms: that exact, and no timer per connection. */
#define CONN_SWEEPS_PER_STALL 4

struct conn {
	struct conn_set *set;
	int fd;
	long peer_pid;
	struct watch *watch; /* NULL once dead */
	struct frame_reader reader;
	struct bytebuf out;
	struct dispatch *dispatch; /* NULL once closing */
	uint64_t deadline;	   /* loop time in ms; 0 = none */
	bool closing;		   /* our last words are on their way; nothing is read any more */
	bool dead;		   /* to be destroyed as soon as nobody is inside */
	bool busy; /* in conn_ready() or conn_set_add(), which looks at dead itself */
	struct conn *prev, *next;
};

struct conn_set {
	struct app *app;
	struct conn_limits limits;
	struct conn *first;
	size_t count;
	uv_timer_t sweep; /* runs while a connection has a deadline */
	uv_timer_t reap;  /* destroys what died within somebody's callback */
	unsigned open_handles;
};

static void conn_destroy(struct conn *c)
{
	struct conn_set *set = c->set;

	dispatch_destroy(c->dispatch);
	watch_remove(c->watch);
	close(c->fd);
	frame_reader_finish(&c->reader);
	bytebuf_finish(&c->out);
	if (c->prev)
		c->prev->next = c->next;
	else
		set->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	set->count--;
	free(c);
	app_sessions(set->app, 0);
}

static void on_reap(uv_timer_t *timer)
{
	struct conn_set *set = timer->data;
	struct conn *next;

	for (struct conn *c = set->first; c; c = next) {
		next = c->next;
		if (c->dead)
			conn_destroy(c);
	}
}

/* The connection is of no more use. May be called from within a session's event, so sessions are
 * not aborted here. */
static void conn_die(struct conn *c)
{
	if (c->dead)
		return;
	c->dead = true;
	watch_remove(c->watch);
	c->watch = NULL;
	if (!c->busy)
		uv_timer_start(&c->set->reap, on_reap, 0, 0);
}

static void conn_update_watch(struct conn *c)
{
	unsigned events = c->closing ? 0 : WATCH_READ;

	if (bytebuf_len(&c->out) > 0)
		events |= WATCH_WRITE;
	if (c->watch)
		watch_change(c->watch, events);
}

static void on_sweep(uv_timer_t *timer);

static void conn_set_deadline(struct conn *c)
{
	struct conn_set *set = c->set;
	uint64_t period = set->limits.stall_ms / CONN_SWEEPS_PER_STALL;

	c->deadline = uv_now(set->app->loop) + set->limits.stall_ms;
	if (!uv_is_active((uv_handle_t *)&set->sweep))
		uv_timer_start(&set->sweep, on_sweep, period, period);
}

/* ---- to the client ---- */

/* Sends from the queue what the socket takes. */
static void conn_flush(struct conn *c)
{
	while (bytebuf_len(&c->out) > 0) {
		size_t sent;
		int result = frame_send(c->fd, bytebuf_peek(&c->out), bytebuf_len(&c->out), NULL, 0,
					&sent);

		if (result == HW_EAGAIN)
			break;
		if (result != HW_OK) {
			log_debug("client %ld: gone with replies unread: %m", c->peer_pid);
			conn_die(c);
			return;
		}
		bytebuf_consume(&c->out, sent);
	}
	if (c->closing && bytebuf_len(&c->out) == 0)
		conn_die(c);
	else
		conn_update_watch(c);
}

/* dispatch_send. At once if nothing waits before it: an EXIT is on its way before the daemon does
 * anything else. */
static void conn_send(void *ctx, uint8_t *frame, size_t len)
{
	struct conn *c = ctx;
	size_t sent = 0;
	int result = HW_OK;

	if (c->dead) {
		free(frame);
		return;
	}
	if (bytebuf_len(&c->out) == 0)
		result = frame_send(c->fd, frame, len, NULL, 0, &sent);
	if (result != HW_OK && result != HW_EAGAIN) {
		log_debug("client %ld: gone before its reply: %m", c->peer_pid);
		conn_die(c);
	} else if (sent < len) {
		if (bytebuf_append(&c->out, frame + sent, len - sent) == HW_OK) {
			conn_update_watch(c);
		} else {
			log_warn("client %ld: dropped, since it does not read its replies (%zu "
				 "bytes wait)",
				 c->peer_pid, bytebuf_len(&c->out));
			conn_die(c);
		}
	}
	free(frame);
}

/* Our last words are in the queue: nothing is read any more, and when they are sent it ends. */
static void conn_close_after_flush(struct conn *c)
{
	if (c->dead || c->closing)
		return;
	c->closing = true;
	dispatch_destroy(c->dispatch);
	c->dispatch = NULL;
	conn_set_deadline(c);
	conn_flush(c);
}

static void HW_PRINTF(2, 3) conn_refuse(struct conn *c, const char *fmt, ...)
{
	va_list ap;
	char *text;

	if (c->dead || c->closing)
		return;
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	dispatch_refuse(c->dispatch, text);
	free(text);
	conn_close_after_flush(c);
}

/* ---- from the client ---- */

/* Hands out the whole messages that are there. */
static void conn_take_frames(struct conn *c)
{
	bool any = false;

	while (!c->dead && !c->closing) {
		int fds[PROTO_FDS_MAX];
		const uint8_t *payload;
		size_t len, nfds;
		int result = frame_next(&c->reader, &payload, &len);

		if (result == HW_EAGAIN)
			break;
		if (result != HW_OK) {
			conn_refuse(c, "a message is longer than %u bytes", PROTO_FRAME_MAX);
			return;
		}
		any = true;
		nfds = frame_take_fds(&c->reader, fds);
		if (dispatch_message(c->dispatch, payload, len, fds, nfds) != HW_OK)
			conn_close_after_flush(c);
	}
	if (c->dead || c->closing)
		return;
	if (any)
		c->deadline = 0;
	if (c->deadline == 0 && bytebuf_len(&c->reader.buf) > 0)
		conn_set_deadline(c);
}

/* One read per turn: what is left is ready again in the next one, after everybody else. */
static void conn_read(struct conn *c)
{
	int result = frame_recv(&c->reader, c->fd);
	int saved = errno;

	switch (result) {
	case HW_OK:
		conn_take_frames(c);
		return;
	case HW_EAGAIN:
		return;
	case HW_EOF:
		log_trace("client %ld: closed its connection", c->peer_pid);
		conn_die(c);
		return;
	case HW_ESYS:
		log_info("client %ld: reading failed: %s", c->peer_pid, strerror(saved));
		if (saved == EMFILE || saved == ENFILE)
			conn_refuse(c, "hawserd has no descriptors left (ulimit -n)");
		else
			conn_die(c);
		return;
	default:
		conn_refuse(c, "descriptors came where they may not, or more than %d of them",
			    PROTO_FDS_MAX);
	}
}

static void conn_ready(void *ctx, unsigned events)
{
	struct conn *c = ctx;

	c->busy = true;
	if ((events & WATCH_WRITE) && bytebuf_len(&c->out) > 0)
		conn_flush(c);
	if ((events & WATCH_READ) && !c->dead && !c->closing)
		conn_read(c);
	c->busy = false;
	if (c->dead)
		conn_destroy(c);
}

/* ---- all of them ---- */

static void on_sweep(uv_timer_t *timer)
{
	struct conn_set *set = timer->data;
	uint64_t now = uv_now(set->app->loop);
	bool waiting = false;

	/* Nothing is destroyed in here: conn_die() leaves that to the reaper. */
	for (struct conn *c = set->first; c; c = c->next) {
		if (c->dead || c->deadline == 0)
			continue;
		if (now < c->deadline) {
			waiting = true;
			continue;
		}
		if (c->closing) {
			conn_die(c);
		} else {
			conn_refuse(c, "no whole message came within %u ms", set->limits.stall_ms);
			waiting = true;
		}
	}
	if (!waiting)
		uv_timer_stop(timer);
}

struct conn_set *conn_set_create(struct app *app, const struct conn_limits *limits)
{
	static const struct conn_limits defaults = {CONN_STALL_MS, CONN_QUEUE_MAX};
	struct conn_set *set = xcalloc(1, sizeof(*set));

	set->app = app;
	set->limits = limits ? *limits : defaults;
	uv_timer_init(app->loop, &set->sweep);
	uv_timer_init(app->loop, &set->reap);
	set->sweep.data = set;
	set->reap.data = set;
	set->open_handles = 2;
	return set;
}

void conn_set_add(struct conn_set *set, int fd, long peer_pid)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->set = set;
	c->fd = fd;
	c->peer_pid = peer_pid;
	c->watch = watch_add(set->app->watches, fd, WATCH_READ, conn_ready, c);
	if (!c->watch) {
		log_error("client %ld: turned away: %m", peer_pid);
		close(fd);
		free(c);
		return;
	}
	frame_reader_init(&c->reader);
	bytebuf_init(&c->out, set->limits.queue_max);
	c->dispatch = dispatch_create(set->app, peer_pid, conn_send, c);
	c->next = set->first;
	if (c->next)
		c->next->prev = c;
	set->first = c;
	set->count++;
	app_sessions(set->app, 0);
	conn_set_deadline(c); /* for the first message */
	conn_ready(c, WATCH_READ);
}

size_t conn_set_count(const struct conn_set *set)
{
	return set->count;
}

void conn_set_shutdown(struct conn_set *set)
{
	while (set->first) {
		struct conn *c = set->first;

		c->busy = true; /* it is destroyed right here */
		if (c->dispatch)
			dispatch_shutdown(c->dispatch);
		if (!c->dead)
			conn_flush(c);
		conn_destroy(c);
	}
}

static void on_conn_set_closed(uv_handle_t *handle)
{
	struct conn_set *set = handle->data;

	if (--set->open_handles == 0)
		free(set);
}

void conn_set_destroy(struct conn_set *set)
{
	assert(!set->first);
	uv_close((uv_handle_t *)&set->sweep, on_conn_set_closed);
	uv_close((uv_handle_t *)&set->reap, on_conn_set_closed);
}
