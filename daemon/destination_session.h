/* The part of a destination that concerns one request, not the connection: terminal, environment,
 * forwards, commands. */
#ifndef HAWSER_DAEMON_DESTINATION_SESSION_H
#define HAWSER_DAEMON_DESTINATION_SESSION_H

#include "daemon/destination.h"
#include "daemon/expand.h"

/* Fills those fields of d from d->raw. args: ssh options as typed, NULL ok. NULL, or a phrase (on
 * the heap) that names a value which cannot be used: ssh shall say so itself. */
char *destination_fill_session(struct destination *d, const struct expand_context *ctx,
			       char *const *args);
void destination_finish_session(struct destination *d);

#endif
