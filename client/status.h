/* --status-fd N, HAWSER_STATUS_FD: how a call ended, as one JSON object and a newline. */
#ifndef HAWSER_CLIENT_STATUS_H
#define HAWSER_CLIENT_STATUS_H

#include "client/live.h"

/* Takes note of the descriptor that the options, else the environment, name; it is closed on exec
 * from now on. One that is not open is said, and nothing is written. */
void status_open(const struct options *o);
/* Is anything to be written? */
bool status_wanted(void);
/* Each writes the object, if none was written yet. Waits for nobody: what a pipe does not take is
 * lost. */

/* How a request ended that hawserd had. status: our exit status; signo: the signal by which we end
 * ourselves, 0: none. */
void status_write(const struct live *l, int status, int signo);
/* ssh runs in our place, and how it ends is its own to tell. why NULL: not known. */
void status_write_handed_over(const char *why);
/* No request was made: what was wrong has been said. */
void status_write_failed(int status);

#endif
