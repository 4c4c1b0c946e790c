/* Runs one child process to its end and keeps what it printed. Blocking: for threads that may wait.
 * Thread-safe. */
#ifndef HAWSER_DAEMON_RESOLVE_RUN_H
#define HAWSER_DAEMON_RESOLVE_RUN_H

#include "protocol/base.h"

#define RESOLVE_OUTPUT_MAX (256u * 1024u) /* bytes of each stream; more ends the child */

struct resolve_output {
	char *out, *err; /* on the heap, NUL-terminated, never NULL after resolve_run() */
	int status;	 /* as waitpid(2) gives it */
};

/* Runs file (a path) with argv and env in cwd (in / when that cannot be entered), stdin from
 * /dev/null, no descriptor of ours, a session and process group of its own. cancel_fd (-1: none)
 * becoming readable, timeout_ms passing, or too much output kill the whole group.
 * HW_OK: it has ended, see status. HW_ESYS (errno): could not be started. HW_ETIMEOUT, HW_ETOOBIG,
 * HW_EAGAIN (cancelled). resolve_output_finish() is due in every case. */
int resolve_run(const char *file, char *const *argv, char *const *env, const char *cwd,
		int cancel_fd, unsigned timeout_ms, struct resolve_output *o) HW_NODISCARD;
void resolve_output_finish(struct resolve_output *o);

#endif
