/* Unix sockets of forwards, made and connected to on a worker: their paths may lie on a file system
 * that hangs. */
#ifndef HAWSER_DAEMON_FORWARD_PATH_H
#define HAWSER_DAEMON_FORWARD_PATH_H

#include "protocol/base.h"

struct app;
struct path_job;

/* fd: the callee's now, non-blocking; -1: words says why, as ssh would (borrowed). Not from within
 * the call that began it. */
typedef void (*path_done)(void *ctx, int fd, const char *words);

/* What a listener takes the place of. */
enum path_over {
	PATH_OVER_NOTHING,
	PATH_OVER_DEAD, /* a socket of this user's that nobody listens at */
	PATH_OVER_ALL,
};

/* Listens at path with that mask on its mode. */
struct path_job *forward_path_listen(struct app *app, const char *path, unsigned mask,
				     enum path_over over, path_done done, void *ctx);
struct path_job *forward_path_connect(struct app *app, const char *path, path_done done, void *ctx);
/* done will not be called. NULL ok. */
void forward_path_cancel(struct path_job *job);

#endif
