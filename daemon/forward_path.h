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

/* Listens at path with that mask on its mode; unlink_first: takes the place of what is there. */
struct path_job *forward_path_listen(struct app *app, const char *path, unsigned mask,
				     bool unlink_first, path_done done, void *ctx);
struct path_job *forward_path_connect(struct app *app, const char *path, path_done done, void *ctx);
/* done will not be called. NULL ok. */
void forward_path_cancel(struct path_job *job);

#endif
