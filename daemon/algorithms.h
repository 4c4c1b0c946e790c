/* The algorithms that libssh has, to cut a user's choice to what can be negotiated. Names are those
 * of libssh 0.10 (libssh-facts, section 12); a newer libssh has them all. Pure. */
#ifndef HAWSER_DAEMON_ALGORITHMS_H
#define HAWSER_DAEMON_ALGORITHMS_H

#include "protocol/base.h"

enum algorithm_kind {
	ALGORITHM_KEX,
	ALGORITHM_CIPHER,
	ALGORITHM_MAC,
	ALGORITHM_HOSTKEY,
	ALGORITHM_PUBKEY,
};

/* Those of the comma-separated list that libssh has, in the list's order, on the heap; NULL when
 * there are none. */
char *algorithms_cut(enum algorithm_kind kind, const char *list);

/* The kind that a keyword of ssh_config(5) (lower case) chooses; -1: none. */
int algorithms_kind(const char *keyword);

#endif
