#include "daemon/resolve_run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/spawn.h"
#include "protocol/alloc.h"
#include "protocol/bytebuf.h"

#define READ_SIZE 16384u

/* The two streams of a child: our ends, and what came. */
struct streams {
	int fd[2];
	struct bytebuf buf[2];
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* HW_OK: the streams are open and the child runs. */
static int start(const char *file, char *const *argv, char *const *env, const char *cwd,
		 struct streams *s, pid_t *pid)
{
	struct spawn_want want = {.file = file, .argv = argv, .env = env, .cwd = cwd};
	int out[2], err[2], r;

	if (pipe2(out, O_CLOEXEC) < 0)
		return HW_ESYS;
	if (pipe2(err, O_CLOEXEC) < 0) {
		r = errno;
		close(out[0]);
		close(out[1]);
		errno = r;
		return HW_ESYS;
	}
	want.fds[0] = -1;
	want.fds[1] = out[1];
	want.fds[2] = err[1];
	r = spawn_process(&want, pid);
	close(out[1]);
	close(err[1]);
	if (r != 0) {
		close(out[0]);
		close(err[0]);
		errno = r;
		return HW_ESYS;
	}
	s->fd[0] = out[0];
	s->fd[1] = err[0];
	for (int i = 0; i < 2; i++)
		fcntl(s->fd[i], F_SETFL, O_NONBLOCK);
	return HW_OK;
}

/* Takes what is there. HW_EAGAIN: all of it for now; HW_EOF; HW_ETOOBIG. */
static int take(int fd, struct bytebuf *buf)
{
	for (;;) {
		uint8_t bytes[READ_SIZE];
		ssize_t n = read(fd, bytes, sizeof(bytes));

		if (n == 0)
			return HW_EOF;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? HW_EAGAIN : HW_EOF;
		if (bytebuf_append(buf, bytes, (size_t)n) != HW_OK)
			return HW_ETOOBIG;
	}
}

/* Reads stream i, which is closed at its end. */
static int follow(struct streams *s, int i)
{
	int r = take(s->fd[i], &s->buf[i]);

	if (r != HW_EOF)
		return r == HW_ETOOBIG ? r : HW_OK;
	close(s->fd[i]);
	s->fd[i] = -1;
	return HW_OK;
}

/* Until the child's stdout has ended, and the child: a command that Match exec left in the
 * background may hold its stderr for ever, but not its stdout; one that closes its stdout may run
 * on for ever. end_fd: its pidfd, or -1. */
static int collect(struct streams *s, int end_fd, int cancel_fd, int64_t deadline)
{
	while (s->fd[0] >= 0 || end_fd >= 0) {
		struct pollfd p[4] = {
			{.fd = s->fd[0], .events = POLLIN},
			{.fd = s->fd[1], .events = POLLIN},
			{.fd = cancel_fd, .events = POLLIN},
			{.fd = end_fd, .events = POLLIN},
		};
		int64_t left = deadline - now_ms();
		int n;

		if (left <= 0)
			return HW_ETIMEOUT;
		n = poll(p, 4, (int)left);
		if (n < 0 && errno != EINTR)
			return HW_ESYS;
		if (n <= 0)
			continue;
		if (p[2].revents != 0)
			return HW_EAGAIN;
		for (int i = 1; i >= 0; i--) {
			if (p[i].revents != 0 && follow(s, i) == HW_ETOOBIG)
				return HW_ETOOBIG;
		}
		if (p[3].revents != 0)
			end_fd = -1;
	}
	return HW_OK;
}

static char *text_of(struct bytebuf *buf)
{
	char *text = xmemdup(bytebuf_len(buf) > 0 ? (const void *)bytebuf_peek(buf) : "",
			     bytebuf_len(buf));

	bytebuf_finish(buf);
	return text;
}

int resolve_run(const char *file, char *const *argv, char *const *env, const char *cwd,
		int cancel_fd, unsigned timeout_ms, struct resolve_output *o)
{
	struct streams s = {.fd = {-1, -1}};
	int64_t deadline = now_ms() + timeout_ms;
	pid_t pid = -1;
	int r, saved;

	bytebuf_init(&s.buf[0], RESOLVE_OUTPUT_MAX);
	bytebuf_init(&s.buf[1], RESOLVE_OUTPUT_MAX);
	o->status = -1;
	r = start(file, argv, env, cwd, &s, &pid);
	saved = errno;
	if (r == HW_OK) {
		int end_fd = (int)syscall(SYS_pidfd_open, pid, 0);

		r = collect(&s, end_fd, cancel_fd, deadline);
		saved = errno;
		if (end_fd >= 0)
			close(end_fd);
		if (r != HW_OK)
			kill(-pid, SIGKILL);
		while (waitpid(pid, &o->status, 0) < 0 && errno == EINTR)
			;
		if (s.fd[1] >= 0 && take(s.fd[1], &s.buf[1]) == HW_ETOOBIG && r == HW_OK)
			r = HW_ETOOBIG;
	}
	for (int i = 0; i < 2; i++) {
		if (s.fd[i] >= 0)
			close(s.fd[i]);
	}
	o->out = text_of(&s.buf[0]);
	o->err = text_of(&s.buf[1]);
	errno = saved;
	return r;
}

void resolve_output_finish(struct resolve_output *o)
{
	free(o->out);
	free(o->err);
	o->out = o->err = NULL;
}
