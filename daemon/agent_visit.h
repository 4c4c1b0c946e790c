/* A connection to an agent that is handed on to a server: made on a thread, and, where the server
 * is known, introduced (session-bind@openssh.com), so that the agent lends only what it may lend
 * there, as with ssh. */
#ifndef HAWSER_DAEMON_AGENT_VISIT_H
#define HAWSER_DAEMON_AGENT_VISIT_H

#include "daemon/sshwire.h"
#include "daemon/worker.h"

struct agent_visit;

/* fd: connected, non-blocking, the callee's now; -1: error is an errno. */
typedef void (*agent_visit_cb)(void *ctx, int fd, int error);

/* introduction: agent_binding_put()'s message (copied), or empty; what the agent thinks of it is
 * its own affair. cb is called once on the loop thread, never from within this call. */
struct agent_visit *agent_visit_start(struct worker_pool *workers, const char *path,
				      const struct sshwire_out *introduction, agent_visit_cb cb,
				      void *ctx);
/* cb will not be called. NULL ok. */
void agent_visit_cancel(struct agent_visit *v);

#endif
