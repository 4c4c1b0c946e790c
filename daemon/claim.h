/* The right to serve a socket path: one daemon per path, held by a lock on PATH.lockd for the
 * daemon's life. A socket is replaced only under that lock and only when nobody answers on it. */
#ifndef HAWSER_DAEMON_CLAIM_H
#define HAWSER_DAEMON_CLAIM_H

#include <sys/types.h>
#include "protocol/base.h"

/* Behind the socket's path; clients use PATH.start among themselves. The file stays for ever. */
#define CLAIM_LOCK_SUFFIX ".lockd"

struct claim {
	int fd;	     /* listening, close-on-exec, non-blocking; the taker's */
	int lock_fd; /* -1: nothing is held */
	char path[108];
	dev_t dev; /* of the socket's file: only our own is ever unlinked */
	ino_t ino;
	bool parked;
};

enum claim_result {
	CLAIM_OK,
	CLAIM_SERVED, /* another daemon serves this path: nothing to do */
	CLAIM_FAILED, /* see why */
};

/* Prepares the directory (paths_prepare_dir), takes the lock, replaces a stale socket, binds (mode
 * 0600) and listens. Blocks up to wait_ms while another daemon holds the lock but does not answer
 * yet or any more (it is starting or leaving). Changes the umask for a moment: call before there
 * are threads. why gets a sentence unless CLAIM_OK. */
enum claim_result claim_take(const char *path, unsigned wait_ms, struct claim *out, char *why,
			     size_t why_size) HW_NODISCARD;

/* Moves the socket aside: no new client finds it, and those that came before are all in the accept
 * queue. Then look there: claim_unpark() puts it back, claim_release() ends it. */
void claim_park(struct claim *c);
void claim_unpark(struct claim *c);

/* Removes our socket and gives the lock back, so that another daemon may serve the path. c->fd is
 * not closed. Harmless when called again. */
void claim_release(struct claim *c);

#endif
