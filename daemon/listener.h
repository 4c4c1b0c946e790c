/* Accepts clients: only those of our own user, a bounded number per turn and at once, with a pause
 * when the process is out of descriptors. */
#ifndef HAWSER_DAEMON_LISTENER_H
#define HAWSER_DAEMON_LISTENER_H

#include "protocol/base.h"

struct app;
struct listener;

/* fd: a listening Unix stream socket; the listener's now, made non-blocking. Connections go to
 * app->conns. NULL with errno when it cannot be watched. */
struct listener *listener_create(struct app *app, int fd);
/* Takes no client before listener_resume(), or so many ms: they wait, connected. */
void listener_wait(struct listener *l, unsigned ms);
void listener_resume(struct listener *l);
/* Takes all clients that have connected by now, not just one turn's. Returns how many. */
size_t listener_accept_all(struct listener *l);
/* No more clients: closes the socket. Harmless when called again. */
void listener_close(struct listener *l);
/* Closes too; the loop must run once more. NULL ok. */
void listener_destroy(struct listener *l);

#endif
