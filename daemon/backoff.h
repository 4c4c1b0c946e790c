/* How long to wait before the next try: exponential, with jitter, so that many clients of one
 * server that went away do not come back in step. */
#ifndef HAWSER_DAEMON_BACKOFF_H
#define HAWSER_DAEMON_BACKOFF_H

/* After `failures` tries in a row have failed (1 or more): 250 ms doubled each time, 15 s at most,
 * of which the second half is chosen by random (any number). Milliseconds. */
unsigned backoff_ms(unsigned failures, unsigned random);
/* The same where the server turned us away: the first wait is 4 s, the longest 60 s. */
unsigned backoff_refused_ms(unsigned failures, unsigned random);

#endif
