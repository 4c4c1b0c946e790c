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
/* fd is our controlling terminal, and another job is in front of it: who touches it is stopped. */
bool tty_in_background(int fd);
/* Stops our job as the kernel would for touching the terminal, but with our signals still heard
 * afterwards (they are blocked, and a stop within read(2) would begin again for ever). Returns once
 * continued; false: nobody can continue us (an orphaned job), so it was not stopped. */
bool tty_stop_job(int signo);
/* false: fd has no size. */
bool tty_size(int fd, struct proto_winsize *out);

#endif
