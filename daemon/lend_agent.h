/* The user's agent, lent to a server (ssh(1) -A): connections that sshd opens on a transport go to
 * one socket here. sshd keeps one agent socket per connection for all of its sessions, so a
 * transport belongs to one agent (destination.forward_agent is part of the key), and what lends it
 * lives as long as the transport. */
#ifndef HAWSER_DAEMON_LEND_AGENT_H
#define HAWSER_DAEMON_LEND_AGENT_H

#include "daemon/destination.h"
#include "daemon/transport.h"
#include "daemon/watch.h"

struct lend_agent;
struct agent_binding;

/* t: ready, with no other that lends an agent on it. Each connection finds its way to
 * dest->forward_agent when it comes, so an agent that was started anew at that path is found; one
 * that is gone means that the connection is closed again, with a line in the log. */
/* binding: what the login knows to tell the agent about the server (copied); NULL or incomplete:
 * the agent is told nothing. */
struct lend_agent *lend_agent_create(struct worker_pool *workers, struct watch_set *watches,
				     struct transport *t, struct destination *dest,
				     const struct agent_binding *binding);
/* With the transport's end, not before. NULL ok. */
void lend_agent_destroy(struct lend_agent *l);

#endif
