/* The one decision whether hawser can serve a destination (design, decision 4). Pure. */
#ifndef HAWSER_DAEMON_DESTINATION_FALLBACK_H
#define HAWSER_DAEMON_DESTINATION_FALLBACK_H

#include "daemon/destination.h"

/* NULL, or the phrase (on the heap) that names what hawser cannot do here. d: all but key and
 * fallback filled in. defaults: lines of `ssh -F none -G` as in d->raw; may be NULL. */
char *destination_fallback(const struct destination *d, char *const *defaults);

#endif
