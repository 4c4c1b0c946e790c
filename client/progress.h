/* What a request waits for, in one line of the terminal that disappears. One per process; where
 * nothing shall be shown every call is harmless. */
#ifndef HAWSER_CLIENT_PROGRESS_H
#define HAWSER_CLIENT_PROGRESS_H

#include "protocol/base.h"

/* A wait is shown once it has lasted so long. */
#define PROGRESS_AFTER_MS 500

/* Shall waits be shown? Stderr is a terminal that can erase a line, nobody wants quiet
 * (say_level()), and HAWSER_PROGRESS is not "no". To be asked before the request is made. */
bool progress_begin(void);
/* The daemon's words (copied); "" = nothing is waited for. retry_ms: the next try comes in so long;
 * 0 = it is under way. */
void progress_set(const char *text, uint32_t retry_ms);
/* When there is something to draw (clock_ms()); INT64_MAX = never. */
int64_t progress_due(void);
/* Draws what is due. */
void progress_step(void);
/* The terminal is somebody else's now: the line goes, and comes back when it is due again. */
void progress_clear(void);
/* The command has begun, or it is over: no line any more. */
void progress_end(void);

#endif
