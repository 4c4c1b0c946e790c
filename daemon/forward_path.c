#include "daemon/forward_path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/app.h"
#include "daemon/worker.h"
#include "protocol/alloc.h"

#define LISTEN_BACKLOG 128
#define MODE_ALL       0777u

struct path_job {
	path_done done; /* NULL: nobody waits for it any more */
	void *ctx;
	char *path;
	unsigned mode;
	bool listen;
	enum path_over over;
	int fd;
	char *words;
};

/* Keeps the first reason. */
static void fail(struct path_job *job, const char *what)
{
	if (job->words == NULL)
		job->words = xasprintf("%s %s%s: %s", what, job->path,
				       job->listen ? "" : " port -2 failed", strerror(errno));
	if (job->fd >= 0)
		close(job->fd);
	job->fd = -1;
}

static bool make_address(struct path_job *job, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(job->path) >= sizeof(addr->sun_path)) {
		job->words = xasprintf("unix_listener: path \"%s\" too long for Unix domain socket",
				       job->path);
		return false;
	}
	snprintf(addr->sun_path, sizeof(addr->sun_path), "%s", job->path);
	return true;
}

/* Of this user's, and whoever listened there is gone. */
static bool is_dead(const struct path_job *job, const struct sockaddr_un *addr)
{
	struct stat st;
	bool dead;
	int fd;

	if (lstat(job->path, &st) != 0 || !S_ISSOCK(st.st_mode) || st.st_uid != geteuid())
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	dead = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) != 0 &&
	       errno == ECONNREFUSED;
	close(fd);
	return dead;
}

static bool bind_path(const struct path_job *job, const struct sockaddr_un *addr)
{
	if (bind(job->fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
		return true;
	if (errno != EADDRINUSE || job->over != PATH_OVER_DEAD)
		return false;
	if (is_dead(job, addr))
		unlink(job->path);
	return bind(job->fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0;
}

static void run_listen(struct path_job *job, const struct sockaddr_un *addr)
{
	struct stat st;

	if (job->over == PATH_OVER_ALL)
		unlink(job->path); /* what is in the way shows at bind */
	/* The mode that the file gets at birth, cut by our umask; what that took is given back. */
	if (fchmod(job->fd, job->mode) != 0)
		return fail(job, "unix_listener: cannot bind to path");
	if (!bind_path(job, addr))
		return fail(job, "unix_listener: cannot bind to path");
	if (listen(job->fd, LISTEN_BACKLOG) != 0) {
		fail(job, "unix_listener: cannot listen on path");
		unlink(job->path);
		return;
	}
	if (lstat(job->path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    (st.st_mode & MODE_ALL) != job->mode)
		(void)chmod(job->path, job->mode);
}

/* On a worker. */
static void run(void *ctx)
{
	struct path_job *job = ctx;
	struct sockaddr_un addr;

	if (!make_address(job, &addr))
		return;
	job->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (job->fd < 0)
		fail(job, job->listen ? "unix_listener: socket for" : "connect to");
	else if (job->listen)
		run_listen(job, &addr);
	else if (connect(job->fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0)
		fail(job, "connect to");
}

static void done(void *ctx)
{
	struct path_job *job = ctx;

	if (job->done != NULL)
		job->done(job->ctx, job->fd, job->words);
	else if (job->fd >= 0)
		close(job->fd);
	free(job->words);
	free(job->path);
	free(job);
}

static struct path_job *submit(struct app *app, const char *path, const struct path_job *what)
{
	struct path_job *job = xmemdup(what, sizeof(*what));

	job->path = xstrdup(path);
	job->fd = -1;
	worker_submit(app->workers, run, done, job);
	return job;
}

struct path_job *forward_path_listen(struct app *app, const char *path, unsigned mask,
				     enum path_over over, path_done cb, void *ctx)
{
	struct path_job what = {
		.done = cb, .ctx = ctx, .mode = MODE_ALL & ~mask, .listen = true, .over = over};

	return submit(app, path, &what);
}

struct path_job *forward_path_connect(struct app *app, const char *path, path_done cb, void *ctx)
{
	struct path_job what = {.done = cb, .ctx = ctx};

	return submit(app, path, &what);
}

void forward_path_cancel(struct path_job *job)
{
	if (job != NULL)
		job->done = NULL;
}
