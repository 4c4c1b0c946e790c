/* The way to hawserd: its socket, and its start when nobody is there (design, decision 14). */
#ifndef HAWSER_CLIENT_CONNECT_H
#define HAWSER_CLIENT_CONNECT_H

#include "protocol/base.h"

/* How long a daemon may take to accept us, and how long a start may take in all. */
#define CONNECT_ACCEPT_MS 5000
#define CONNECT_START_MS  20000

/* A connected, non-blocking, CLOEXEC socket into *fd, checked to be of a daemon of our own user (or
 * root). start: start the daemon if it is not there. Errors with a sentence in why (at least 256
 * bytes): HW_ENOENT no daemon (and start is false), HW_ETIMEOUT it does not accept us, HW_EPERM
 * somebody else's, HW_ESYS, HW_ETOOBIG, HW_EINVAL. */
int connect_daemon(bool start, int *fd, char *why, size_t why_size) HW_NODISCARD;

/* The daemon's process at the other end, for messages; 0 when unknown. */
long connect_peer_pid(int fd);

#endif
