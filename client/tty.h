/* The user's terminal: raw while a remote terminal is shown on it, itself again on every way out.
 */
#ifndef HAWSER_CLIENT_TTY_H
#define HAWSER_CLIENT_TTY_H

#include "protocol/proto.h"

/* Raw as ssh has it: no echo, no signals from keys, no translation. Remembers what was before;
 * exit(3) brings it back too. false: not a terminal (errno). */
bool tty_raw(int fd);
/* Back to what it was; harmless when it is not raw. */
void tty_restore(void);
bool tty_is_raw(void);
/* false: fd has no size. */
bool tty_size(int fd, struct proto_winsize *out);

#endif
