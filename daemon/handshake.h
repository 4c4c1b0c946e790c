/* The first part of a login: a libssh session over the connected socket, its options, and the key
 * exchange. */
#ifndef HAWSER_DAEMON_HANDSHAKE_H
#define HAWSER_DAEMON_HANDSHAKE_H

#include "daemon/login_priv.h"

/* HW_OK: l->session has exchanged keys with the server (which is not trusted yet). Anything else:
 * l->result.why says what happened; l->session may be set and is closed by the caller. */
int handshake_run(struct login *l) HW_NODISCARD;

#endif
