/* The parts of the daemon, made in order and taken down in reverse. Passed by pointer instead of
 * globals. */
#ifndef HAWSER_DAEMON_APP_H
#define HAWSER_DAEMON_APP_H

#include <uv.h>
#include "daemon/config.h"
#include "protocol/base.h"

struct watch_set;
struct worker_pool;
struct resolver;
struct pools;
struct listener;

struct app {
	uv_loop_t *loop;
	struct config config;
	struct watch_set *watches;
	struct worker_pool *workers;
	struct resolver *resolver;
	struct pools *pools;
	struct listener *listener;
	/* private to app.c */
	uv_signal_t signals[4];
	uv_timer_t stop_timer, idle_timer;
	bool stopping;
	size_t sessions; /* live ones */
};

/* Runs the daemon until it is stopped; returns the exit status. listen_fd: a listening socket (from
 * systemd), or -1 to make one. ready_fd: written "1" to and closed once clients may connect, or -1.
 */
int app_run(const struct config *config, int listen_fd, int ready_fd);

/* Orderly stop: no new clients, live sessions may end within config.drain_ms, then all is closed.
 * Asked by SIGTERM, SIGINT, or hawserctl stop. Harmless when called again. now: do not wait. */
void app_stop(struct app *app, bool now);
/* A session began (+1) or ended (-1), or what is held has changed (0): drives drain and idle exit.
 */
void app_sessions(struct app *app, int change);

#endif
