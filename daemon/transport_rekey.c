/* New keys on request. libssh has no call for it, but looks at its time limit before each packet
 * that it sends: for one packet that limit is a second. */
#include "daemon/transport_priv.h"

#include "protocol/log.h"

#define REKEY_AGE_S 1u
/* A packet that asks for a key exchange is larger than this, one to be ignored is smaller. */
#define KEXINIT_MIN 256

bool transport_rekey(struct transport *t)
{
	uint32_t limit = REKEY_AGE_S;
	uint64_t before = t->packets.out_bytes;
	bool begun;

	if (t->state != TRANSPORT_READY)
		return false;
	ssh_options_set(t->session, SSH_OPTIONS_REKEY_TIME, &limit);
	ssh_send_ignore(t->session, "");
	limit = t->dest->rekey_seconds;
	ssh_options_set(t->session, SSH_OPTIONS_REKEY_TIME, &limit);
	begun = t->packets.out_bytes - before >= KEXINIT_MIN;
	log_info("%s transport %u: new keys were asked for%s", t->dest->label, t->id,
		 begun ? "" : ", but those at hand are less than a second old");
	transport_touch(t);
	return begun;
}
