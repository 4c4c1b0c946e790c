/* The values of ssh_config's keywords on trust and agents that need more than a look. Pure. */
#ifndef HAWSER_DAEMON_DESTINATION_TRUST_H
#define HAWSER_DAEMON_DESTINATION_TRUST_H

#include "daemon/destination.h"

/* AddKeysToAgent as `ssh -G` prints it: true, ask, confirm, a lifetime in seconds, both. */
void destination_trust_add_keys(struct destination *d, const char *value);
/* KnownHostsCommand as written, on the heap, or NULL. */
char *destination_trust_command(const char *value);
/* The file that RevokedHostKeys names, made absolute by cwd (NULL: left as it is), on the heap;
 * NULL where there is none. *trouble is set (where it is NULL) to a phrase, on the heap, for values
 * that versions of ssh read differently: those are for ssh to read. */
char *destination_trust_revoked(const char *value, const char *cwd, char **trouble);

#endif
