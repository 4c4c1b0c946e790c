/* Connects to a Unix socket of this machine: an agent's, an X server's. On a worker thread, since
 * the path may lie on a file system that hangs, and a full backlog makes connect(2) wait. */
#ifndef HAWSER_DAEMON_DIAL_LOCAL_H
#define HAWSER_DAEMON_DIAL_LOCAL_H

#include "daemon/worker.h"

struct dial_local;

/* fd: connected, non-blocking, CLOEXEC, the callee's now; -1: error is an errno. */
typedef void (*dial_local_cb)(void *ctx, int fd, int error);

/* path is copied. abstract_too: where nothing listens at the path, the abstract socket of the same
 * name is tried (unix(7)). cb is called once, on the loop thread, never from within this call. */
struct dial_local *dial_local_start(struct worker_pool *workers, const char *path,
				    bool abstract_too, dial_local_cb cb, void *ctx);
/* cb will not be called. NULL ok. */
void dial_local_cancel(struct dial_local *dial);

#endif
