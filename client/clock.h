/* Time for deadlines. */
#ifndef HAWSER_CLIENT_CLOCK_H
#define HAWSER_CLIENT_CLOCK_H

#include "protocol/base.h"

/* Milliseconds of CLOCK_MONOTONIC: no system call where the vdso has it. */
int64_t clock_ms(void);
/* What is left of a deadline for poll(2): 0 when it is over. */
int clock_left(int64_t deadline_ms);
/* Sleeps: only between attempts that nothing announces (a lock, a full backlog). */
void clock_pause(int ms);

#endif
