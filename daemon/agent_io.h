/* Messages to and from an ssh-agent (draft-miller-ssh-agent) over a socket, under a deadline and
 * with a cancel. Blocking: for a login's threads only. */
#ifndef HAWSER_DAEMON_AGENT_IO_H
#define HAWSER_DAEMON_AGENT_IO_H

#include "protocol/base.h"

/* To connect, to list, to add: no person is asked for these. */
#define AGENT_IO_TIMEOUT_MS 5000u

enum agent_io_type {
	AGENT_FAILURE = 5,
	AGENT_SUCCESS = 6,
	AGENT_REQUEST_IDENTITIES = 11,
	AGENT_IDENTITIES_ANSWER = 12,
	AGENT_SIGN_REQUEST = 13,
	AGENT_SIGN_RESPONSE = 14,
	AGENT_ADD_IDENTITY = 17,
	AGENT_ADD_ID_CONSTRAINED = 25,
	AGENT_EXTENSION = 27,
};

/* Where to speak, and what ends the waiting; all borrowed. */
struct agent_io {
	int fd;
	int cancel_fd;	      /* readable once the login was cancelled */
	int watch_fd;	      /* -1, or another descriptor whose hang-up ends it */
	uint64_t deadline_ms; /* CLOCK_MONOTONIC */
};

struct agent_io_message {
	uint8_t *data; /* on the heap; data[0] is the type */
	size_t len;    /* 1 or more */
};

/* A connected, non-blocking socket, or -1 with errno. Never waits. */
int agent_io_connect(const char *path);
/* HW_OK: fd is ready for events (of poll(2)). HW_ETIMEOUT, HW_EPERM (cancelled), HW_EOF (watch_fd
 * hung up), HW_ESYS. */
int agent_io_wait(const struct agent_io *io, short events) HW_NODISCARD;
/* HW_OK: free(m->data). Else as agent_io_wait(); HW_EOF also when fd hung up, HW_EPROTO for a size
 * that nothing has. */
int agent_io_read(const struct agent_io *io, struct agent_io_message *m) HW_NODISCARD;
int agent_io_write(const struct agent_io *io, const void *data, size_t len) HW_NODISCARD;
/* Writes, then reads the answer. */
int agent_io_ask(const struct agent_io *io, const void *data, size_t len,
		 struct agent_io_message *answer) HW_NODISCARD;

#endif
