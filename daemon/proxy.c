#include "daemon/proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <paths.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/proxy_env.h"
#include "daemon/spawn.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

/* A server that says nothing before the client does is logged in to all the same, after this. */
#define SILENT_MS 10000
/* Between a socket's end and the end of the process that had the other one. */
#define ENDING_MS 250
/* Without ConnectTimeout, for a descriptor that is to be passed. */
#define PASS_TIMEOUT_S 120u
/* From SIGHUP to SIGKILL. */
#define KILL_MS 1000
/* Of stderr, what is told; then what is logged; the rest is read and dropped. */
#define TOLD_MAX   (64u * 1024)
#define LOGGED_MAX (1024u * 1024)
#define LINE_LEN   256

enum proxy_timer { TIMER_NONE, TIMER_SILENT, TIMER_TIMEOUT, TIMER_ENDING, TIMER_TELL, TIMER_KILL };

struct proxy {
	uv_loop_t *loop;
	struct destination *dest;
	struct origin *origin;
	const struct proxy_events *events;
	void *ctx;

	int child_fd, child_err; /* its ends, until it has them */
	bool starting;		 /* a worker is at it */
	int error;		 /* why it could not be started */
	pid_t pid;		 /* 0: none */
	bool exited;
	int status; /* as waitpid(2) gives it */

	int fd, err_fd, pid_fd; /* fd: until it is handed on */
	uv_poll_t poll, err_poll, pid_poll;
	bool polling, err_polling, pid_polling;
	uv_timer_t timer;
	enum proxy_timer waits_for;
	unsigned open_handles;

	bool connected, done, closed; /* done: failed or ended was told */
	bool awaiting;
	struct cause blame; /* while awaiting */
	size_t heard;	    /* bytes of stderr */
	char line[LINE_LEN], last[LINE_LEN];
	size_t line_len;
};

static void release(struct proxy *p)
{
	if (!p->closed || p->starting || p->open_handles > 0)
		return;
	destination_unref(p->dest);
	origin_unref(p->origin);
	free(p);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct proxy *p = handle->data;

	p->open_handles--;
	release(p);
}

static void open_poll(struct proxy *p, uv_poll_t *poll, int fd, bool *open, uv_poll_cb cb)
{
	if (uv_poll_init(p->loop, poll, fd) != 0)
		return;
	poll->data = p;
	p->open_handles++;
	*open = true;
	uv_poll_start(poll, UV_READABLE, cb);
}

static void close_poll(uv_poll_t *poll, bool *open)
{
	if (*open)
		uv_close((uv_handle_t *)poll, on_handle_closed);
	*open = false;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* --- what it says --- */

static void note_byte(struct proxy *p, char byte)
{
	if (byte == '\n' || byte == '\r') {
		p->line[p->line_len] = '\0';
		if (p->line_len == 0)
			return;
		memcpy(p->last, p->line, p->line_len + 1);
		if (p->connected && p->heard < LOGGED_MAX)
			log_info("%s: ProxyCommand: %s", p->dest->label, p->last);
		p->line_len = 0;
	} else if (p->line_len + 1 < sizeof(p->line)) {
		p->line[p->line_len++] = byte;
	}
}

static const char *last_words(struct proxy *p)
{
	p->line[p->line_len] = '\0';
	return p->line_len > 0 ? p->line : p->last;
}

/* False: nothing is there for now, or ever. */
static bool hear(struct proxy *p)
{
	char bytes[4096 + 1];
	size_t used = 0;
	ssize_t n = p->err_fd >= 0 ? read(p->err_fd, bytes, sizeof(bytes) - 1) : 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		close_poll(&p->err_poll, &p->err_polling);
		close_fd(&p->err_fd);
		return false;
	}
	p->heard += (size_t)n;
	for (ssize_t i = 0; i < n; i++) {
		if (bytes[i] != '\0')
			bytes[used++] = bytes[i];
	}
	bytes[used] = '\0';
	for (size_t i = 0; i < used; i++)
		note_byte(p, bytes[i]);
	if (p->heard <= TOLD_MAX)
		p->events->said(p->ctx, bytes);
	return true;
}

static void on_err(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	hear(poll->data);
}

/* --- how it ends --- */

static void on_timer(uv_timer_t *timer);

static void wait_for(struct proxy *p, enum proxy_timer what, uint64_t ms)
{
	p->waits_for = what;
	if (what == TIMER_NONE)
		uv_timer_stop(&p->timer);
	else
		uv_timer_start(&p->timer, on_timer, ms, 0);
}

static void explain_end(struct proxy *p, struct cause *why)
{
	const char *said = last_words(p), *label = p->dest->typed;
	char how[64];

	if (!p->exited)
		snprintf(how, sizeof(how), "closed its output");
	else if (WIFSIGNALED(p->status))
		snprintf(how, sizeof(how), "was killed by signal %d", WTERMSIG(p->status));
	else
		snprintf(how, sizeof(how), "ended with exit status %d", WEXITSTATUS(p->status));
	cause_set(why, CAUSE_PROXY, "%s: its ProxyCommand %s%s%s%s%s", label, how,
		  p->connected ? "" : " before a server had answered",
		  said[0] != '\0' ? "; it said last: \"" : "", said, said[0] != '\0' ? "\"" : "");
	cause_hint(why,
		   "try it by hand: %s -- it has no terminal here, so what has to ask needs "
		   "SSH_ASKPASS, or the real ssh",
		   p->dest->proxy_command);
}

static void fail(struct proxy *p, const struct cause *why)
{
	if (p->done)
		return;
	p->done = true;
	wait_for(p, TIMER_NONE, 0);
	p->events->failed(p->ctx, why);
}

static void fail_by_end(struct proxy *p)
{
	struct cause why;

	explain_end(p, &why);
	fail(p, &why);
}

/* Tells what came of proxy_await_end(). A command that ends well has only followed the server. */
static void tell_end(struct proxy *p)
{
	if (p->done)
		return;
	p->done = true;
	if (p->exited && !(WIFEXITED(p->status) && WEXITSTATUS(p->status) == 0))
		explain_end(p, &p->blame);
	p->events->ended(p->ctx, &p->blame);
}

static void hand_on(struct proxy *p, int fd)
{
	wait_for(p, TIMER_NONE, 0);
	close_poll(&p->poll, &p->polling);
	p->connected = true;
	p->events->connected(p->ctx, fd);
}

static void hand_on_own(struct proxy *p)
{
	int fd = p->fd;

	p->fd = -1;
	hand_on(p, fd);
}

/* The first of the descriptors that came, or -1; no other one is kept. */
static int passed_fd(struct msghdr *msg)
{
	int kept = -1, fd;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; CMSG_LEN(at + sizeof(fd)) <= c->cmsg_len; at += sizeof(fd)) {
			memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
			if (kept >= 0)
				close(fd);
			else
				kept = fd;
		}
	}
	return kept;
}

static void take_passed(struct proxy *p)
{
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(p->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	int fd = n > 0 ? passed_fd(&msg) : -1, one = 1, flags;
	struct cause why;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (fd < 0) {
		if (n > 0) {
			cause_set(&why, CAUSE_PROXY, "%s: its ProxyCommand passed no descriptor",
				  p->dest->typed);
			cause_hint(&why, "ProxyUseFdpass is for commands that pass a connected "
					 "socket on (nc -F); leave it out for others");
			fail(p, &why);
			return;
		}
		close_poll(&p->poll, &p->polling);
		if (p->exited)
			fail_by_end(p);
		else
			wait_for(p, TIMER_ENDING, ENDING_MS);
		return;
	}
	/* Given away for good: who passed it has no further use for it, and ssh does the same. */
	flags = fcntl(fd, F_GETFL);
	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (p->dest->tcp_keepalive)
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	hand_on(p, fd);
}

/* Looks at the socket while nobody else has it. */
static void look(struct proxy *p)
{
	char byte;
	ssize_t n;

	if (p->dest->proxy_fdpass) {
		take_passed(p);
		return;
	}
	n = recv(p->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n > 0) {
		hand_on_own(p);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		close_poll(&p->poll, &p->polling);
		if (p->exited)
			fail_by_end(p);
		else
			wait_for(p, TIMER_ENDING, ENDING_MS);
	}
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
	struct proxy *p = poll->data;

	(void)status;
	(void)events;
	if (!p->connected && !p->done)
		look(p);
}

static void on_exit_seen(uv_poll_t *poll, int status, int events)
{
	struct proxy *p = poll->data;

	(void)status;
	(void)events;
	if (waitpid(p->pid, &p->status, WNOHANG) == 0)
		return;
	p->exited = true;
	close_poll(&p->pid_poll, &p->pid_polling);
	close_fd(&p->pid_fd);
	if (p->closed) {
		if (p->waits_for == TIMER_KILL) {
			wait_for(p, TIMER_NONE, 0);
			uv_close((uv_handle_t *)&p->timer, on_handle_closed);
		}
		return;
	}
	log_debug("%s: ProxyCommand %d: ended, wait status 0x%x", p->dest->label, (int)p->pid,
		  (unsigned)p->status);
	for (int i = 0; i < 64 && hear(p); i++)
		;
	if (p->awaiting)
		wait_for(p, TIMER_TELL, 0);
	else if (p->waits_for == TIMER_ENDING)
		fail_by_end(p);
	else if (p->polling && !p->done)
		look(p); /* something that it has left in the background may go on */
}

static unsigned timeout_s(const struct proxy *p)
{
	return p->dest->connect_timeout > 0 ? p->dest->connect_timeout : PASS_TIMEOUT_S;
}

static void fail_by_timeout(struct proxy *p)
{
	struct cause why;

	cause_set(&why, CAUSE_CONNECT_TIMEOUT,
		  "%s: no answer through its ProxyCommand within %u s (ConnectTimeout)",
		  p->dest->typed, timeout_s(p));
	cause_hint(&why, "try it by hand: %s", p->dest->proxy_command);
	fail(p, &why);
}

static void on_timer(uv_timer_t *timer)
{
	struct proxy *p = timer->data;
	enum proxy_timer what = p->waits_for;

	p->waits_for = TIMER_NONE;
	switch (what) {
	case TIMER_NONE:
		break;
	case TIMER_SILENT:
		hand_on_own(p);
		break;
	case TIMER_TIMEOUT:
		fail_by_timeout(p);
		break;
	case TIMER_ENDING:
		fail_by_end(p);
		break;
	case TIMER_TELL:
		tell_end(p);
		break;
	case TIMER_KILL:
		kill(-p->pid, SIGKILL);
		uv_close((uv_handle_t *)&p->timer, on_handle_closed);
		break;
	}
}

/* --- how it begins --- */

/* On a worker. */
static void run_spawn(void *ctx)
{
	struct proxy *p = ctx;
	const char *shell = p->origin != NULL ? origin_getenv(p->origin, "SHELL") : NULL;
	char *command = xasprintf("exec %s", p->dest->proxy_command);
	char *way, **env = proxy_env_make(p->dest, p->origin, &way);
	char *argv[] = {(char *)(uintptr_t)shell, "-c", command, NULL};
	struct spawn_want want = {.argv = argv,
				  .env = env,
				  .cwd = p->origin != NULL ? p->origin->cwd : "/",
				  .fds = {p->child_fd, p->child_fd, p->child_err}};

	if (shell == NULL || shell[0] == '\0')
		argv[0] = _PATH_BSHELL;
	want.file = argv[0];
	p->error = spawn_process(&want, &p->pid);
	free(env);
	free(way);
	free(command);
	if (p->error != 0) {
		p->pid = 0;
		return;
	}
	p->pid_fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (p->pid_fd >= 0)
		return;
	p->error = errno;
	kill(-p->pid, SIGKILL);
	(void)waitpid(p->pid, NULL, 0);
	p->pid = 0;
}

static void start_failed(struct proxy *p)
{
	const char *shell = p->origin != NULL ? origin_getenv(p->origin, "SHELL") : NULL;
	struct cause why;

	cause_set(&why, CAUSE_PROXY, "%s: its ProxyCommand could not be started by %s: %s",
		  p->dest->typed, shell != NULL && shell[0] != '\0' ? shell : _PATH_BSHELL,
		  strerror(p->error));
	cause_hint(&why, "see SHELL in the environment, and the limits of processes and open files "
			 "(ulimit -u, ulimit -n)");
	fail(p, &why);
}

/* From SIGHUP on; the timer is open. */
static void begin_kill(struct proxy *p)
{
	if (p->pid > 0 && !p->exited && p->pid_polling) {
		kill(-p->pid, SIGHUP);
		wait_for(p, TIMER_KILL, KILL_MS);
		return;
	}
	uv_close((uv_handle_t *)&p->timer, on_handle_closed);
}

static void on_spawned(void *ctx)
{
	struct proxy *p = ctx;

	p->starting = false;
	close_fd(&p->child_fd);
	close_fd(&p->child_err);
	if (p->error == 0)
		open_poll(p, &p->pid_poll, p->pid_fd, &p->pid_polling, on_exit_seen);
	if (p->closed) {
		begin_kill(p);
		return;
	}
	if (p->error != 0) {
		start_failed(p);
		return;
	}
	log_debug("%s: ProxyCommand %d: %s", p->dest->label, (int)p->pid, p->dest->proxy_command);
	open_poll(p, &p->err_poll, p->err_fd, &p->err_polling, on_err);
	open_poll(p, &p->poll, p->fd, &p->polling, on_socket);
	if (p->dest->proxy_fdpass || timeout_s(p) * 1000ull < SILENT_MS)
		wait_for(p, TIMER_TIMEOUT, timeout_s(p) * 1000ull);
	else
		wait_for(p, TIMER_SILENT, SILENT_MS);
}

static void run_nothing(void *ctx)
{
	(void)ctx;
}

/* False: no descriptors left. */
static bool open_ends(struct proxy *p)
{
	int sockets[2], pipes[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
		return false;
	p->fd = sockets[0];
	p->child_fd = sockets[1];
	if (pipe2(pipes, O_CLOEXEC) != 0)
		return false;
	p->err_fd = pipes[0];
	p->child_err = pipes[1];
	/* Each side of a socketpair, and of a pipe, has an open file description of its own. */
	return fcntl(p->fd, F_SETFL, O_NONBLOCK) == 0 && fcntl(p->err_fd, F_SETFL, O_NONBLOCK) == 0;
}

struct proxy *proxy_start(uv_loop_t *loop, struct worker_pool *workers, struct destination *dest,
			  struct origin *origin, const struct proxy_events *events, void *ctx)
{
	struct proxy *p = xcalloc(1, sizeof(*p));

	p->loop = loop;
	p->dest = destination_ref(dest);
	p->origin = origin_ref(origin);
	p->events = events;
	p->ctx = ctx;
	p->fd = p->err_fd = p->pid_fd = p->child_fd = p->child_err = -1;
	uv_timer_init(loop, &p->timer);
	p->timer.data = p;
	p->open_handles = 1;
	p->starting = true;
	if (open_ends(p)) {
		worker_submit(workers, run_spawn, on_spawned, p);
	} else {
		p->error = errno;
		worker_submit(workers, run_nothing, on_spawned, p);
	}
	return p;
}

void proxy_await_end(struct proxy *p, const struct cause *why)
{
	if (p->awaiting || p->done)
		return;
	p->blame = *why;
	p->awaiting = true;
	wait_for(p, TIMER_TELL, p->exited ? 0 : ENDING_MS);
}

void proxy_close(struct proxy *p)
{
	if (p == NULL)
		return;
	p->closed = p->done = true;
	close_poll(&p->poll, &p->polling);
	close_poll(&p->err_poll, &p->err_polling);
	close_fd(&p->fd);
	close_fd(&p->err_fd);
	wait_for(p, TIMER_NONE, 0);
	if (!p->starting)
		begin_kill(p);
}
