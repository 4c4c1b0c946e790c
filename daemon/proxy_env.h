/* The environment of a proxy command: its client's, and what hawser itself needs to find in it when
 * the command is hawser. Pure. */
#ifndef HAWSER_DAEMON_PROXY_ENV_H
#define HAWSER_DAEMON_PROXY_ENV_H

#include "daemon/destination.h"
#include "daemon/origin.h"

/* A new vector; its strings are borrowed from origin (NULL: none), but for *way. Free both. */
char **proxy_env_make(const struct destination *dest, const struct origin *origin, char **way);
/* Is a server on the way to dest behind a command that the asking client itself runs in? It would
 * wait for itself. */
bool proxy_env_is_loop(const struct destination *dest, const struct origin *origin);

#endif
