/* Client connections: bytes of a socket to payloads for dispatch, frames of dispatch to bytes, with
 * a bounded queue for a client that reads slowly and deadlines for one that stalls. Descriptors
 * that clients send are closed exactly once, here or by whom they were handed to. */
#ifndef HAWSER_DAEMON_CONN_H
#define HAWSER_DAEMON_CONN_H

#include "protocol/base.h"

struct app;
struct conn_set; /* all connections of a daemon */

struct conn_limits {
	unsigned stall_ms; /* from the first byte of a message to its last; from connecting to the
			      first message's end; to take our last words */
	size_t queue_max;  /* bytes of replies that may wait for the client to read */
};
#define CONN_STALL_MS  30000u
#define CONN_QUEUE_MAX (1024u * 1024u + 4096u) /* the largest frame always fits */

/* Uses app's loop and watches. limits: NULL for the above. app_sessions(app, 0) is called whenever
 * a connection has gone. */
struct conn_set *conn_set_create(struct app *app, const struct conn_limits *limits);
/* Takes an accepted stream socket and reads from it at once: a client's first message is usually
 * there. peer_pid: for the log. */
void conn_set_add(struct conn_set *set, int fd, long peer_pid);
size_t conn_set_count(const struct conn_set *set);
/* The daemon ends: every live request is told so, and all connections are closed. What a client
 * has not read by now stays readable in its socket as far as the kernel took it. Not from within
 * an event of a connection or session. */
void conn_set_shutdown(struct conn_set *set);
/* After conn_set_shutdown(); the loop must run once more. */
void conn_set_destroy(struct conn_set *set);

#endif
