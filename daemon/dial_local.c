#include "daemon/dial_local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/alloc.h"

/* Whoever has not accepted for so long is stuck. */
#define CONNECT_SECONDS 10

/* The thread has it until on_done(). */
struct dial_local {
	char *path;
	bool abstract_too;
	dial_local_cb cb; /* loop thread only; NULL: nobody wants it any more */
	void *ctx;
	int fd, error;
};

static int connect_to(const char *path, bool abstract, int *error)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = CONNECT_SECONDS};
	size_t len = strlen(path);
	socklen_t size;
	int fd;

	if (len == 0 || len >= sizeof(addr.sun_path) - 1) {
		*error = ENAMETOOLONG;
		return -1;
	}
	memcpy(addr.sun_path + abstract, path, len);
	/* An abstract name is all of the bytes, without a NUL behind them. */
	size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
	    connect(fd, (struct sockaddr *)&addr, size) == 0 &&
	    fcntl(fd, F_SETFL, O_NONBLOCK) == 0) /* a description of our own */
		return fd;
	*error = errno;
	if (fd >= 0)
		close(fd);
	return -1;
}

static void run(void *ctx)
{
	struct dial_local *d = ctx;
	int other;

	d->fd = connect_to(d->path, false, &d->error);
	if (d->fd < 0 && d->abstract_too)
		d->fd = connect_to(d->path, true, &other);
}

static void on_done(void *ctx)
{
	struct dial_local *d = ctx;

	if (d->cb != NULL)
		d->cb(d->ctx, d->fd, d->error);
	else if (d->fd >= 0)
		close(d->fd);
	free(d->path);
	free(d);
}

struct dial_local *dial_local_start(struct worker_pool *workers, const char *path,
				    bool abstract_too, dial_local_cb cb, void *ctx)
{
	struct dial_local *d = xcalloc(1, sizeof(*d));

	d->path = xstrdup(path);
	d->abstract_too = abstract_too;
	d->cb = cb;
	d->ctx = ctx;
	d->fd = -1;
	worker_submit(workers, run, on_done, d);
	return d;
}

void dial_local_cancel(struct dial_local *dial)
{
	if (dial != NULL)
		dial->cb = NULL;
}
