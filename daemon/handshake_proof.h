/* The server's proof of its host key, looked at on its way to libssh, which does not tell it: the
 * signature over the first key exchange, which agents ask for before they sign with keys that are
 * kept for certain destinations. What is missed is missing: nothing else depends on it. */
#ifndef HAWSER_DAEMON_HANDSHAKE_PROOF_H
#define HAWSER_DAEMON_HANDSHAKE_PROOF_H

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include "daemon/agent.h"
#include "daemon/sshwire.h"

struct handshake_proof {
	struct ssh_counter_struct counter; /* bytes that libssh has read */
	struct sshwire_out seen;	   /* all that came, from the first byte on */
	bool lost;			   /* libssh read something that was not seen */
};

/* Before the first byte. p stays where it is until handshake_proof_finish(). */
void handshake_proof_init(struct handshake_proof *p, ssh_session session);
/* Before each call that lets libssh read from fd. */
void handshake_proof_peek(struct handshake_proof *p, int fd);
/* After the key exchange. Fills b where all was seen. */
void handshake_proof_finish(struct handshake_proof *p, ssh_session session,
			    struct agent_binding *b);
/* The stream's text (borrowed) taken apart; false: no proof in it. For the former, and tests. */
bool handshake_proof_parse(const uint8_t *data, size_t len, struct agent_binding *b);

#endif
