#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/doctor_priv.h"
#include "protocol/alloc.h"

/* Nobody needs more of what a child says. */
#define OUTPUT_MAX ((size_t)256 * 1024)
#define GRACE_MS   2000

struct stream {
	int fd; /* -1: at its end */
	char *text;
	size_t len;
};

double doctor_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* In the child. A group of its own, so that all that it starts can be ended with it; ^C on the
 * terminal does not reach that, so it ends when doctor does. */
static _Noreturn void become(char *const *words, pid_t parent, int in, int out, int err)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(127); /* it had ended before that was set */
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	execvp(words[0], words);
	_exit(127);
}

static pid_t start(char *const *words, int in, struct stream *out, struct stream *err)
{
	pid_t pid, parent = getpid();
	int a[2], b[2];

	*out = (struct stream){.fd = -1, .text = xstrdup("")};
	*err = (struct stream){.fd = -1, .text = xstrdup("")};
	if (pipe2(a, O_CLOEXEC) != 0)
		return -1;
	if (pipe2(b, O_CLOEXEC) != 0) {
		close(a[0]);
		close(a[1]);
		return -1;
	}
	pid = fork();
	if (pid == 0)
		become(words, parent, in, a[1], b[1]);
	close(a[1]);
	close(b[1]);
	out->fd = a[0];
	err->fd = b[0];
	if (pid < 0) {
		close(a[0]);
		close(b[0]);
	}
	return pid;
}

static void take(struct stream *s)
{
	char data[4096];
	ssize_t n = read(s->fd, data, sizeof(data));

	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0) {
		close(s->fd);
		s->fd = -1;
		return;
	}
	if (s->len + (size_t)n > OUTPUT_MAX)
		return;
	s->text = xreallocarray(s->text, s->len + (size_t)n + 1, 1);
	memcpy(s->text + s->len, data, (size_t)n);
	s->len += (size_t)n;
	s->text[s->len] = '\0';
}

/* Reads until both streams end, time is over (false), or until was seen (false too). */
static bool gather(struct stream *out, struct stream *err, const char *until, double deadline,
		   bool *seen)
{
	while (out->fd >= 0 || err->fd >= 0) {
		struct pollfd p[2] = {{.fd = out->fd, .events = POLLIN},
				      {.fd = err->fd, .events = POLLIN}};
		double left = deadline - doctor_now_ms();

		if (left <= 0)
			return false;
		if (poll(p, 2, (int)left + 1) < 0 && errno != EINTR)
			return false;
		if (p[0].revents != 0)
			take(out);
		if (p[1].revents != 0)
			take(err);
		if (until != NULL && strstr(err->text, until) != NULL) {
			*seen = true;
			return false;
		}
	}
	return true;
}

/* Its streams may have ended before it does. */
static bool ends_until(pid_t pid, double deadline)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	double left;
	int n = 0;

	if (fd < 0)
		return true; /* an old kernel: waitpid() will tell */
	while ((left = deadline - doctor_now_ms()) > 0 && (n = poll(&p, 1, (int)left + 1)) < 0 &&
	       errno == EINTR)
		;
	close(fd);
	return n > 0;
}

static int run(char *const *words, int in, const char *until, int ms, struct doctor_child *result)
{
	double begun = doctor_now_ms();
	struct stream out, err;
	bool done;
	int status = -1;
	pid_t pid = start(words, in, &out, &err);

	*result = (struct doctor_child){.out = out.text, .err = err.text};
	if (pid < 0)
		return -1; /* no descriptors left, say */
	done = gather(&out, &err, until, begun + ms, &result->seen) && ends_until(pid, begun + ms);
	result->took_ms = doctor_now_ms() - begun;
	if (!done) {
		double grace = doctor_now_ms() + GRACE_MS;
		bool unused;

		kill(-pid, SIGTERM);
		if (!gather(&out, &err, NULL, grace, &unused) || !ends_until(pid, grace))
			kill(-pid, SIGKILL);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (out.fd >= 0)
		close(out.fd);
	if (err.fd >= 0)
		close(err.fd);
	result->out = out.text;
	result->out_len = out.len;
	result->err = err.text;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int doctor_child(char *const *words, const char *until, int ms, struct doctor_child *result)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int status = run(words, null, until, ms, result);

	close(null);
	return status;
}

int doctor_child_fed(char *const *words, const char *in, int ms, struct doctor_child *result)
{
	int fd = memfd_create("doctor", MFD_CLOEXEC), status;
	size_t len = strlen(in);

	if (fd < 0 || write(fd, in, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) != 0) {
		if (fd >= 0)
			close(fd);
		return doctor_child(words, NULL, ms, result);
	}
	status = run(words, fd, NULL, ms, result);
	close(fd);
	return status;
}

void doctor_child_free(struct doctor_child *c)
{
	free(c->out);
	free(c->err);
	*c = (struct doctor_child){0};
}

char **doctor_words(const struct doctor *d, const char *const *first, const char *const *more)
{
	char **words = xcalloc((size_t)d->noptions + 32, sizeof(*words));
	size_t n = 0;

	while (*first != NULL)
		words[n++] = (char *)(uintptr_t)*first++;
	for (int i = 0; i < d->noptions; i++)
		words[n++] = d->options[i];
	while (*more != NULL)
		words[n++] = (char *)(uintptr_t)*more++;
	words[n] = (char *)(uintptr_t)d->host;
	return words;
}
