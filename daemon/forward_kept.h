/* Forwards that stay when the client that asked for them has left (ssh -O forward): one set per
 * held transport, which does not keep it from being idle. When the transport is lost they wait for
 * another, and are set up again; when it was closed on request they end. */
#ifndef HAWSER_DAEMON_FORWARD_KEPT_H
#define HAWSER_DAEMON_FORWARD_KEPT_H

#include "daemon/destination.h"
#include "daemon/forward_spec.h"

struct app;
struct forward_set;

/* The set on the transport that is held for dest, made where there is none; it is gone when that
 * transport ends, not before. NULL: none is held. */
struct forward_set *forward_kept_find(struct app *app, struct destination *dest);
/* Ends one, be it set up, to be tried again, or without a transport for now; cwd as in
 * forward_want. False: there is none. */
bool forward_kept_cancel(struct app *app, const struct destination *dest,
			 const struct forward_spec *spec, const char *cwd);
/* One of the set is asked for: a cancel of it that waits for the end of a try is void. */
void forward_kept_wanted(struct app *app, const struct forward_set *set,
			 const struct forward_spec *spec, const char *cwd);
/* dest may have some, on a transport (be it one that takes no new sessions) or waiting for one. */
bool forward_kept_any(const struct app *app, const struct destination *dest);

#endif
