/* ProxyJump (ssh_config(5)): the way to a server through another one, whose transport is held and
 * shared like any other: a lease on it, and a direct channel. A jump host may itself be reached
 * through another. */
#ifndef HAWSER_DAEMON_JUMP_H
#define HAWSER_DAEMON_JUMP_H

#include "daemon/transport.h"

/* routes_ctx is the app. */
extern const struct transport_routes jump_routes;

#endif
