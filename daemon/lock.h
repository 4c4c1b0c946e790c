/* What `hawserctl lock` means to who asks for a connection. */
#ifndef HAWSER_DAEMON_LOCK_H
#define HAWSER_DAEMON_LOCK_H

#include "daemon/cause.h"

/* CAUSE_LOCKED, with the words for it. */
void lock_cause(struct cause *why);

#endif
