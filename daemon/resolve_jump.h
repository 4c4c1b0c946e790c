/* How the next question to ssh -G is asked for a jump host: as ssh(1) would call itself for it.
 * Pure. */
#ifndef HAWSER_DAEMON_RESOLVE_JUMP_H
#define HAWSER_DAEMON_RESOLVE_JUMP_H

#include "daemon/destination.h"
#include "daemon/destination_proxy.h"

/* The arguments for hop, the last of d's jump_spec. args: those that d was asked with. A new
 * vector. */
char **resolve_jump_args(const struct destination *d, const struct destination_hop *hop,
			 char *const *args);

#endif
