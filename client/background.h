/* Going on without the caller: -f, and the escape ~&. */
#ifndef HAWSER_CLIENT_BACKGROUND_H
#define HAWSER_CLIENT_BACKGROUND_H

#include "client/streams.h"

/* -f: the caller's process ends with status 0, and we return in a child in a session of its own
 * whose descriptors 0, 1 and 2 are /dev/null; 2 stays when keep_stderr. Streams of st that are
 * pumped are moved away first, and go on. HW_ESYS (errno): nothing has changed. */
int background_detach(struct streams *st, bool keep_stderr) HW_NODISCARD;
/* ~&: the same, but the child stays in the caller's session, with his descriptors. */
int background_leave(void) HW_NODISCARD;

#endif
