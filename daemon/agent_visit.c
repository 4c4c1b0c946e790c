#include "daemon/agent_visit.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/agent_io.h"
#include "daemon/login_priv.h"
#include "protocol/alloc.h"

/* The thread has it until on_done(). */
struct agent_visit {
	char *path;
	struct sshwire_out introduction;
	agent_visit_cb cb; /* loop thread only; NULL: nobody wants it any more */
	void *ctx;
	int fd, error;
};

static void run(void *ctx)
{
	struct agent_visit *v = ctx;
	struct agent_io_message answer = {.data = NULL};
	struct agent_io io = {.fd = agent_io_connect(v->path),
			      .cancel_fd = -1,
			      .watch_fd = -1,
			      .deadline_ms = login_now_ms() + AGENT_IO_TIMEOUT_MS};

	v->fd = io.fd;
	v->error = errno;
	if (v->fd == -1 || v->introduction.len == 0)
		return;
	/* Without an answer to it the next one would be taken for the server's. */
	if (agent_io_ask(&io, v->introduction.data, v->introduction.len, &answer) != HW_OK) {
		close(v->fd);
		v->fd = -1;
		v->error = ETIMEDOUT;
	}
	free(answer.data);
}

static void on_done(void *ctx)
{
	struct agent_visit *v = ctx;

	if (v->cb != NULL)
		v->cb(v->ctx, v->fd, v->error);
	else if (v->fd != -1)
		close(v->fd);
	sshwire_out_finish(&v->introduction);
	free(v->path);
	free(v);
}

struct agent_visit *agent_visit_start(struct worker_pool *workers, const char *path,
				      const struct sshwire_out *introduction, agent_visit_cb cb,
				      void *ctx)
{
	struct agent_visit *v = xcalloc(1, sizeof(*v));

	v->path = xstrdup(path);
	sshwire_put_bytes(&v->introduction, introduction->data, introduction->len);
	v->cb = cb;
	v->ctx = ctx;
	v->fd = -1;
	worker_submit(workers, run, on_done, v);
	return v;
}

void agent_visit_cancel(struct agent_visit *v)
{
	if (v != NULL)
		v->cb = NULL;
}
