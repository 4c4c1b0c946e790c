#include "daemon/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>
#include "daemon/app.h"
#include "daemon/conn.h"
#include "daemon/watch.h"
#include "protocol/alloc.h"
#include "protocol/encode.h"
#include "protocol/frame.h"
#include "protocol/log.h"

#define ACCEPT_PER_TURN	   32u
#define ACCEPT_PAUSE_MS	   100u /* out of descriptors: until somebody has closed one */
#define ACCEPT_ALL_AT_ONCE 4096u

struct listener {
	struct app *app;
	int fd; /* -1 once closed */
	struct watch *watch;
	uv_timer_t pause;
	bool complained; /* about descriptors; forgotten when a client could be accepted */
};

/* Says no in the client's language. Nothing is read; what the socket does not take is lost. */
static void listener_turn_away(struct listener *l, int fd, long pid)
{
	struct proto_error m;
	size_t len, sent;
	uint8_t *frame;

	m.text = xasprintf("hawserd serves %u clients already (\"clients\" in hawser.conf)",
			   l->app->config.max_clients);
	log_warn("client %ld: turned away: %s", pid, m.text);
	frame = proto_encode_error(0, &m, &len);
	if (frame && frame_send(fd, frame, len, NULL, 0, &sent) != HW_OK)
		log_debug("client %ld: did not hear of it: %m", pid);
	free(frame);
	free(m.text);
	close(fd);
}

static void listener_greet(struct listener *l, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) {
		log_error("a client without credentials was turned away: %m");
		close(fd);
	} else if (peer.uid != geteuid()) {
		log_warn("a client of user %u (process %ld) was turned away: this hawserd serves "
			 "user %u only",
			 (unsigned)peer.uid, (long)peer.pid, (unsigned)geteuid());
		close(fd);
	} else if (conn_set_count(l->app->conns) >= l->app->config.max_clients) {
		listener_turn_away(l, fd, (long)peer.pid);
	} else {
		conn_set_add(l->app->conns, fd, (long)peer.pid);
	}
}

static void on_pause_over(uv_timer_t *timer)
{
	struct listener *l = timer->data;

	if (l->watch)
		watch_change(l->watch, WATCH_READ);
}

void listener_wait(struct listener *l, unsigned ms)
{
	watch_change(l->watch, 0);
	uv_timer_start(&l->pause, on_pause_over, ms, 0);
}

void listener_resume(struct listener *l)
{
	uv_timer_stop(&l->pause);
	on_pause_over(&l->pause);
}

/* accept(2) failed for want of something that comes back: try again a little later, since the
 * socket stays readable and would spin the loop. */
static void listener_pause(struct listener *l)
{
	if (!l->complained)
		log_error("accepting clients failed: %m; trying again every %u ms",
			  ACCEPT_PAUSE_MS);
	l->complained = true;
	listener_wait(l, ACCEPT_PAUSE_MS);
}

static size_t listener_accept(struct listener *l, size_t max)
{
	size_t count = 0;

	while (count < max && l->fd >= 0) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			l->complained = false;
			count++;
			listener_greet(l, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN)
			listener_pause(l);
		break;
	}
	return count;
}

static void on_listener_ready(void *ctx, unsigned events)
{
	(void)events;
	listener_accept(ctx, ACCEPT_PER_TURN);
}

struct listener *listener_create(struct app *app, int fd)
{
	struct listener *l = xcalloc(1, sizeof(*l));
	int flags = fcntl(fd, F_GETFL);

	l->app = app;
	/* One from systemd is shared with it, and non-blocking already. */
	if (flags >= 0 && !(flags & O_NONBLOCK))
		flags = fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	if (flags >= 0)
		l->watch = watch_add(app->watches, fd, WATCH_READ, on_listener_ready, l);
	if (!l->watch) {
		free(l);
		return NULL;
	}
	l->fd = fd;
	uv_timer_init(app->loop, &l->pause);
	l->pause.data = l;
	return l;
}

size_t listener_accept_all(struct listener *l)
{
	return listener_accept(l, ACCEPT_ALL_AT_ONCE);
}

void listener_close(struct listener *l)
{
	if (l->fd < 0)
		return;
	uv_timer_stop(&l->pause);
	watch_remove(l->watch);
	l->watch = NULL;
	close(l->fd);
	l->fd = -1;
}

static void on_listener_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void listener_destroy(struct listener *l)
{
	if (!l)
		return;
	listener_close(l);
	uv_close((uv_handle_t *)&l->pause, on_listener_closed);
}
