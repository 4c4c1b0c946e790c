/* The client that asked for something: its environment, directory and process, as they were when it
 * asked. What the daemon runs on its behalf (ProxyCommand, KnownHostsCommand, xauth) gets these and
 * not the daemon's own. Immutable once made, counted references; may be read from any thread. */
#ifndef HAWSER_DAEMON_ORIGIN_H
#define HAWSER_DAEMON_ORIGIN_H

#include "protocol/base.h"

struct origin {
	unsigned refs; /* private; atomic */
	char **env;    /* NAME=VALUE, NULL-terminated */
	char *cwd;
	long pid; /* for the log; 0 = none */
};

/* Takes env (a vector of strings, may be NULL: empty) and cwd (may be NULL: "/"), both on the heap.
 */
struct origin *origin_create(char **env, char *cwd, long pid);
struct origin *origin_ref(struct origin *o); /* NULL ok */
void origin_unref(struct origin *o);	     /* NULL ok; wipes, for people put secrets there */
/* The value of a variable, or NULL. Borrowed. */
const char *origin_getenv(const struct origin *o, const char *name);

#endif
