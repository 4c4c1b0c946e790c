/* From a host name to a connected TCP socket: look-up on libuv's threads, addresses raced as in
 * RFC 8305 (families alternate, a further attempt every 250 ms, the first to connect wins). */
#ifndef HAWSER_DAEMON_DIAL_H
#define HAWSER_DAEMON_DIAL_H

#include <uv.h>
#include "daemon/cause.h"
#include "daemon/destination.h"

struct dial;

/* Strings are borrowed during the call. */
struct dial_want {
	const char *host;
	uint16_t port;
	int family;				   /* AF_UNSPEC, AF_INET, AF_INET6 */
	const char *bind_address, *bind_interface; /* NULL, or where to connect from */
	unsigned timeout_s;			   /* 0: the kernel decides */
	unsigned attempts;			   /* at least 1 */
	bool keepalive;				   /* SO_KEEPALIVE */
	/* A path that comes back is to be found within 2 s: while dialling, and when connected. */
	bool eager;
};

/* fd: connected, non-blocking, CLOEXEC, TCP_NODELAY, the callee's now; -1: see why.
 * peer: numeric address. */
typedef void (*dial_cb)(void *ctx, int fd, const char *peer, const struct cause *why);

/* cb is called once, never from within this call. */
struct dial *dial_to(uv_loop_t *loop, const struct dial_want *want, dial_cb cb, void *ctx);
/* To a destination's server, as its ConnectTimeout, ConnectionAttempts and the like have it. */
struct dial *dial_start(uv_loop_t *loop, const struct destination *d, dial_cb cb, void *ctx);
/* A failed look-up's status, as libuv has it, in getaddrinfo(3)'s numbers (for gai_strerror(3)). */
int dial_eai(int status);
/* cb will not be called. */
void dial_cancel(struct dial *dial);

#endif
