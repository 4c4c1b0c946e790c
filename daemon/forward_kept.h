/* Forwards that stay when the client that asked for them has left (ssh -O forward): one set per
 * held transport, which ends with it and does not keep it from being idle. */
#ifndef HAWSER_DAEMON_FORWARD_KEPT_H
#define HAWSER_DAEMON_FORWARD_KEPT_H

#include "daemon/destination.h"

struct app;
struct forward_set;

/* The set on the transport that is held for dest; it is gone when that transport ends. NULL: none
 * is held, or with create false, has no such set. */
struct forward_set *forward_kept_find(struct app *app, const struct destination *dest, bool create);

#endif
