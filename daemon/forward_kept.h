/* Forwards that stay when the client that asked for them has left (ssh -O forward): one set per
 * held transport, which does not keep it from being idle. When the transport is lost they wait for
 * another, and are set up again; when it was closed on request they end. */
#ifndef HAWSER_DAEMON_FORWARD_KEPT_H
#define HAWSER_DAEMON_FORWARD_KEPT_H

#include "daemon/destination.h"

struct app;
struct forward_set;

/* The set on the transport that is held for dest; it is gone when that transport ends. NULL: none
 * is held, or with create false, has no such set. */
struct forward_set *forward_kept_find(struct app *app, struct destination *dest, bool create);

#endif
