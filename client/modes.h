/* The modes of the user's terminal for the remote one: encoded for the server, and, where they do
 * not get there (libssh before 0.11), the user's own keys turned into those that a fresh terminal
 * knows. */
#ifndef HAWSER_CLIENT_MODES_H
#define HAWSER_CLIENT_MODES_H

#include <termios.h>
#include "protocol/base.h"

/* As RFC 4254 section 8 has it, as ssh encodes them; returns the length. out: PROTO_MODES_MAX bytes
 * are enough. */
size_t modes_encode(const struct termios *t, uint8_t *out);

/* What each typed byte is to become. False: all stay as they are. Erase, interrupt and the like are
 * translated where the user has other control characters for them than a fresh Linux terminal. */
bool modes_keys(const struct termios *t, uint8_t keys[256]);

#endif
