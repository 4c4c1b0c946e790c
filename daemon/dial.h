/* From a host name to a connected TCP socket: look-up on libuv's threads, addresses raced as in
 * RFC 8305 (families alternate, a further attempt every 250 ms, the first to connect wins). */
#ifndef HAWSER_DAEMON_DIAL_H
#define HAWSER_DAEMON_DIAL_H

#include <uv.h>
#include "daemon/cause.h"
#include "daemon/destination.h"

struct dial;

/* fd: connected, non-blocking, CLOEXEC, TCP_NODELAY, the callee's now; -1: see why.
 * peer: numeric address. */
typedef void (*dial_cb)(void *ctx, int fd, const char *peer, const struct cause *why);

/* cb is called once, never from within this call. ConnectTimeout and ConnectionAttempts of d are
 * kept; without a ConnectTimeout the kernel decides. */
struct dial *dial_start(uv_loop_t *loop, struct destination *d, dial_cb cb, void *ctx);
/* cb will not be called. */
void dial_cancel(struct dial *dial);

#endif
