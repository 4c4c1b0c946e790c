/* The parts of the daemon, made in order and taken down in reverse. Passed by pointer instead of
 * globals. */
#ifndef HAWSER_DAEMON_APP_H
#define HAWSER_DAEMON_APP_H

#include <uv.h>
#include "daemon/claim.h"
#include "daemon/config.h"
#include "protocol/base.h"

struct activation;
struct conn_set;
struct forward_kept;
struct journal;
struct learn;
struct listener;
struct netwatch;
struct pools;
struct resolver;
struct state;
struct watch_set;
struct worker_pool;
struct x11_guest;
struct x11_visitor;

#define APP_SIGNALS 5

struct app {
	uv_loop_t *loop;
	struct config config; /* read it when needed: SIGHUP changes it */
	struct journal *journal;
	struct state *state;
	struct learn *learn;
	struct netwatch *netwatch;
	struct watch_set *watches;
	struct worker_pool *workers;
	struct resolver *resolver;
	struct pools *pools;
	struct x11_guest *x11_guests; /* lists of x11.c */
	struct x11_visitor *x11_visitors;
	struct conn_set *conns;
	struct listener *listener;
	uint64_t started_ms;	   /* loop time */
	bool stopping;		   /* no new requests */
	bool locked;		   /* likewise: hawserctl lock */
	bool lock_unsaved;	   /* of which no file tells the next daemon */
	size_t sessions;	   /* live ones */
	struct forward_kept *kept; /* forwards that outlive their clients: forward_kept.c's list */
	/* private to app.c */
	const struct activation *activation;
	struct claim claim;
	uv_signal_t signals[APP_SIGNALS];
	uv_timer_t stop_timer, idle_timer;
	bool running;	/* all parts are there */
	bool remembers; /* what the state directory holds was read */
};

/* Runs the daemon until it is stopped; returns the exit status (0 also when another daemon serves
 * the socket already). activation: what systemd passed; without a socket in it one is made.
 * ready_fd: written "1" to and closed once clients may connect, or -1. */
int app_run(const struct config *config, const struct activation *activation, int ready_fd);

/* Orderly stop: no new clients, live sessions may end within config.drain_ms, then all is closed.
 * Asked by SIGTERM, SIGINT, or hawserctl stop. Nothing is taken down within this call. Harmless
 * when called again. now: do not wait. */
void app_stop(struct app *app, bool now);
/* A session began (+1) or ended (-1), or what is held has changed (0): drives drain and idle exit.
 * Nothing is taken down within this call. */
void app_sessions(struct app *app, int change);

#endif
