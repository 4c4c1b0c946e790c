/* What agent.c and agent_relay.c share. */
#ifndef HAWSER_DAEMON_AGENT_PRIV_H
#define HAWSER_DAEMON_AGENT_PRIV_H

#include <pthread.h>
#include "daemon/agent.h"
#include "daemon/agent_io.h"

struct agent {
	int fd, cancel_fd; /* fd -1: mute */
	struct agent_key *keys;
	size_t nkeys;
	void (*slow)(void *ctx, const struct agent_key *key);
	void *slow_ctx;
	struct agent_binding *binding; /* NULL: none wanted */
	bool bound;		       /* tried, on this connection */

	/* the relay */
	pthread_t thread;
	int theirs, ours; /* libssh's end and the relay's; -1 = not running */
	struct agent_offer *offers;
	size_t noffers;
	uint64_t deadline_ms;
	struct agent_relay_result seen; /* the thread's, until it is joined */
};

#endif
