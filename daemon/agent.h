/* The user's ssh-agent (draft-miller-ssh-agent), spoken by ourselves: libssh would wait for it
 * without end, offers all of its keys in its own order, and may not be cancelled. So a login lists
 * the keys here, and libssh is given one end of a socketpair behind which a relay thread answers:
 * with the keys that we chose, in our order, and with signatures that the real agent makes, under
 * a deadline. Worker thread only. */
#ifndef HAWSER_DAEMON_AGENT_H
#define HAWSER_DAEMON_AGENT_H

#include "daemon/keyblob.h"
#include "daemon/sshwire.h"

struct agent_key {
	struct keyblob blob;
	char *comment;
};

/* What proves to an agent which server this connection is to (session-bind@openssh.com): the host
 * key, and the signature that the server made with it over the session's identifier. */
struct agent_binding {
	struct keyblob host_key, signature, session;
};

/* The message that says so, without its length, added to out. false: not all of it is known.
 * forwarding: the agent's connection is handed on to that server. */
bool agent_binding_put(const struct agent_binding *b, bool forwarding, struct sshwire_out *out);
void agent_binding_finish(struct agent_binding *b);

struct agent; /* a connection to an agent, and the keys it listed */

/* Connects to the socket at path and lists its keys. cancel_fd: readable once the login was
 * cancelled; borrowed for the agent's life. NULL with a phrase in why ("does not answer ..."). */
struct agent *agent_open(const char *path, int cancel_fd, char *why, size_t why_size);
void agent_close(struct agent *a); /* NULL ok */
size_t agent_key_count(const struct agent *a);
const struct agent_key *agent_key_at(const struct agent *a, size_t i); /* borrowed */

/* slow is called once per signature that takes longer than half a second: somebody is waited for.
 * On the relay's thread, while the caller's waits in libssh. */
void agent_on_slow(struct agent *a, void (*slow)(void *ctx, const struct agent_key *key),
		   void *ctx);
/* Before it signs first, the agent is told by b (borrowed) which server it signs for. The session's
 * identifier is learnt from what there is to sign, and left in b. An agent that does not understand
 * it just goes on. */
void agent_bind(struct agent *a, struct agent_binding *b);
/* No agent at all: it has the one key (copied) and refuses to sign. To learn what there would be to
 * sign. */
struct agent *agent_create_mute(const struct keyblob *key, int cancel_fd);

/* A key to show to the server: of the agent, or a certificate for it from a file. */
struct agent_offer {
	size_t key;		    /* the index (as in agent_key_at) of the key that signs */
	const struct keyblob *cert; /* NULL: the agent's own blob; borrowed until the stop */
};

/* Starts the relay: it shows the n offers. Until deadline_ms (CLOCK_MONOTONIC) it signs. Returns
 * the descriptor to give to libssh, which agent_relay_stop() closes (take it back from libssh
 * first); -1 with errno. */
int agent_relay_start(struct agent *a, const struct agent_offer *offers, size_t n,
		      uint64_t deadline_ms);
/* What the relay saw. */
struct agent_relay_result {
	bool asked_to_sign;
	size_t offer; /* the index of the offer last asked to sign with */
	bool refused; /* ... and the agent did not */
};
struct agent_relay_result agent_relay_stop(struct agent *a);

/* What an agent shall keep in mind with a key (ssh-add -t, -c). */
struct agent_constraints {
	unsigned lifetime; /* seconds; 0 = for ever */
	bool confirm;
};

/* Gives a key to the agent at path, on a connection of its own. private_key: the key's type and
 * numbers as the agent's protocol has them; borrowed. HW_OK; HW_EPERM: the agent would not;
 * else as agent_io_read(). */
int agent_add(const char *path, int cancel_fd, const struct keyblob *private_key,
	      const char *comment, const struct agent_constraints *constraints) HW_NODISCARD;

#endif
