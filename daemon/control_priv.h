/* What control*.c share. Nobody else includes this. */
#ifndef HAWSER_DAEMON_CONTROL_PRIV_H
#define HAWSER_DAEMON_CONTROL_PRIV_H

#include "daemon/control.h"
#include "protocol/encode.h"

/* Arguments after the verb; those not given are NULL. */
struct control_args {
	const char *first, *second, *third;
};

void control_fail(struct reply *reply, const char *fmt, ...) HW_PRINTF(2, 3);

/* control_lock.c */
void control_lock(struct app *app, const struct control_args *args, struct reply *reply);
void control_unlock(struct app *app, const struct control_args *args, struct reply *reply);

/* control_journal.c */
void control_log(struct app *app, const struct control_args *args, struct reply *reply);
void control_why(struct app *app, const struct control_args *args, struct reply *reply);

#endif
