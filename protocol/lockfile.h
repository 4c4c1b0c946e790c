/* The lock that `hawserctl lock` sets: a file beside the daemon's socket, so that it outlives a
 * daemon and also holds while none runs. */
#ifndef HAWSER_PROTOCOL_LOCKFILE_H
#define HAWSER_PROTOCOL_LOCKFILE_H

#include "protocol/base.h"

/* Behind the socket's path. */
#define LOCKFILE_SUFFIX ".locked"

/* Is it there? *since (NULL ok): when it was set, Unix time. A look that fails for another reason
 * than that the file is not there counts as locked. */
bool lockfile_is_set(const char *socket_path, double *since);
/* Sets or removes it; its directory must be there. Harmless where it is so already. HW_ESYS: why
 * has a sentence. */
int lockfile_set(const char *socket_path, bool locked, char *why, size_t why_size) HW_NODISCARD;

#endif
