/* Starts a child process. Blocking (it waits for the exec): for threads that may wait, never for
 * the loop. Thread-safe. Whoever starts a child reaps it by its pid; there is no handler for
 * SIGCHLD. */
#ifndef HAWSER_DAEMON_SPAWN_H
#define HAWSER_DAEMON_SPAWN_H

#include <sys/types.h>
#include "protocol/base.h"

struct spawn_want {
	const char *file; /* a path: PATH is not searched */
	char *const *argv, *const *env;
	const char *cwd; /* `/` is taken when it cannot be entered */
	int fds[3];	 /* the child's 0, 1, 2; -1: /dev/null. Borrowed */
};

/* The child gets no descriptor but those three, a session and process group of its own, no signal
 * blocked, all with their defaults. 0 with *pid, or an error number. */
int spawn_process(const struct spawn_want *want, pid_t *pid) HW_NODISCARD;

#endif
