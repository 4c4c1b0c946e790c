/* The second part of a login: is this the server that the user means? Judged by known_hosts with
 * OpenSSH's rules and StrictHostKeyChecking; never accepted silently. */
#ifndef HAWSER_DAEMON_TRUST_H
#define HAWSER_DAEMON_TRUST_H

#include "daemon/login_priv.h"

/* The host key algorithms for the key exchange, those first whose keys are known. On the heap;
 * NULL: the login is over, and l->result.why says why. */
char *trust_order_algorithms(struct login *l, const char *offered);
/* HW_OK: the host key is accepted, l->trust says how far. Else l->result.why says why not. */
int trust_run(struct login *l) HW_NODISCARD;

#endif
