/* Terminal modes (RFC 4254 section 8) as a command, for servers that cannot be told of them because
 * libssh before 0.11 has no call for it (hawser.conf: terminal-modes = stty). Pure. */
#ifndef HAWSER_DAEMON_TERMINAL_MODES_H
#define HAWSER_DAEMON_TERMINAL_MODES_H

#include "protocol/base.h"

/* A command that sets what of the modes is not a fresh terminal's anyway (UTF-8 erase, and keys
 * that were changed), then becomes the login shell; on the heap. NULL: there is nothing to set. */
char *terminal_modes_shell(const char *modes, size_t len);

#endif
