/* The forwards of one request (ssh(1) -L, -R, -D): listeners of ours whose connections become
 * channels, and listeners of the server's whose channels become connections. They end with their
 * set. */
#ifndef HAWSER_DAEMON_FORWARD_H
#define HAWSER_DAEMON_FORWARD_H

#include "daemon/destination.h"
#include "daemon/transport.h"

struct app;
struct forward_set;

/* Never from within a call on the set. */
struct forward_events {
	/* All forwards stand, but for so many that failed, which notices have said. */
	void (*ready)(void *ctx, size_t failed);
	/* A line for the user, when his LogLevel asks for it: level as in destination.log_level. */
	void (*notice)(void *ctx, int level, const char *text);
};

/* The forwards that dest names, on a transport that is leased until the set is destroyed (or the
 * lease was lost: then destroy the set within that event). */
struct forward_set *forward_set_create(struct app *app, struct transport *transport,
				       struct destination *dest,
				       const struct forward_events *events, void *ctx);
/* Once. */
void forward_set_start(struct forward_set *set);
/* Listens no more and closes all connections. NULL ok. */
void forward_set_destroy(struct forward_set *set);

#endif
