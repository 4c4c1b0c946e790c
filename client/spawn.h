/* Starting hawserd: fully detached, holding nothing of ours. */
#ifndef HAWSER_CLIENT_SPAWN_H
#define HAWSER_CLIENT_SPAWN_H

#include "protocol/base.h"

/* Which hawserd: $HAWSER_DAEMON, else the one beside our own program, else one on PATH. false: the
 * path does not fit. */
bool spawn_daemon_path(char *out, size_t size);

/* Starts it and waits until it says that it is ready (10 s, and not beyond the deadline). On
 * failure why tells what it said. HW_ETIMEOUT, HW_ESYS, HW_EOF (it ended). */
int spawn_daemon(int64_t deadline_ms, char *why, size_t why_size) HW_NODISCARD;

#endif
