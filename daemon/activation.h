/* Being started by systemd, without libsystemd: the listening socket that it passes
 * (sd_listen_fds(3)) and the words it wants to hear (sd_notify(3)). */
#ifndef HAWSER_DAEMON_ACTIVATION_H
#define HAWSER_DAEMON_ACTIVATION_H

#include "protocol/base.h"

struct activation {
	int listen_fd;	  /* a listening Unix stream socket, close-on-exec; -1 = none passed */
	char notify[108]; /* where sd_notify words go, as $NOTIFY_SOCKET has it; may be empty */
};

/* Takes what the environment holds and removes LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES and
 * NOTIFY_SOCKET from it, so that no child believes they are its own. Not having been started by
 * systemd is HW_OK. HW_EINVAL with a sentence in why: what was passed is not what we can serve. */
int activation_take(struct activation *a, char *why, size_t why_size) HW_NODISCARD;
/* Sends a line such as "READY=1" or "STOPPING=1"; does nothing without $NOTIFY_SOCKET. Never
 * blocks; failure is logged. */
void activation_notify(const struct activation *a, const char *state);

#endif
