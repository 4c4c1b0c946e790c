/* The user's ssh-agent (draft-miller-ssh-agent), spoken by ourselves: libssh would wait for it
 * without end, offers all of its keys in its own order, and may not be cancelled. So a login lists
 * the keys here, and libssh is given one end of a socketpair behind which a relay thread answers:
 * with the keys that we chose, in our order, and with signatures that the real agent makes, under
 * a deadline. Worker thread only. */
#ifndef HAWSER_DAEMON_AGENT_H
#define HAWSER_DAEMON_AGENT_H

#include "daemon/keyblob.h"

struct agent_key {
	struct keyblob blob;
	char *comment;
};

struct agent; /* a connection to an agent, and the keys it listed */

/* Connects to the socket at path and lists its keys. cancel_fd: readable once the login was
 * cancelled; borrowed for the agent's life. NULL with a phrase in why ("does not answer ..."). */
struct agent *agent_open(const char *path, int cancel_fd, char *why, size_t why_size);
void agent_close(struct agent *a); /* NULL ok */
size_t agent_key_count(const struct agent *a);
const struct agent_key *agent_key_at(const struct agent *a, size_t i); /* borrowed */

/* Starts the relay: it shows the n keys whose indices stand in order. Until deadline_ms
 * (CLOCK_MONOTONIC) it signs. Returns the descriptor to give to libssh, which agent_relay_stop()
 * closes (take it back from libssh first); -1 with errno. */
int agent_relay_start(struct agent *a, const size_t *order, size_t n, uint64_t deadline_ms);
/* What the relay saw. */
struct agent_relay_result {
	bool asked_to_sign;
	size_t key;   /* the index (as in agent_key_at) of the key last asked to sign */
	bool refused; /* ... and the agent did not */
};
struct agent_relay_result agent_relay_stop(struct agent *a);

#endif
