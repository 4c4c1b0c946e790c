#include "client/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "client/clock.h"

#define READY_MS 10000
/* Where the daemon finds the end of the pipe that it writes its byte to. */
#define READY_FD 3

bool spawn_daemon_path(char *out, size_t size)
{
	static const char name[] = "hawserd";
	const char *chosen = getenv("HAWSER_DAEMON");

	if (chosen != NULL && chosen[0] != '\0')
		return (size_t)snprintf(out, size, "%s", chosen) < size;
	ssize_t n = readlink("/proc/self/exe", out, size);
	if (n > 0 && (size_t)n < size) {
		out[n] = '\0';
		char *slash = strrchr(out, '/');
		if (slash != NULL && (size_t)(slash + 1 - out) + sizeof(name) <= size) {
			memcpy(slash + 1, name, sizeof(name));
			if (access(out, X_OK) == 0)
				return true;
		}
	}
	return (size_t)snprintf(out, size, "%s", name) < size; /* execvp looks on PATH */
}

static void fresh_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	/* Its stderr has nobody at the other end once we are gone. */
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The grandchild: becomes hawserd. words and ready are the write ends of pipes. */
static void HW_NORETURN run_daemon(const char *path, int words, int ready)
{
	char number[12];
	int null = open("/dev/null", O_RDWR);

	/* Out of the way of 0..3 first: dup2 to a place must not destroy what is needed next. */
	words = fcntl(words, F_DUPFD_CLOEXEC, READY_FD + 1);
	ready = fcntl(ready, F_DUPFD_CLOEXEC, READY_FD + 1);
	if (null < 0 || words < 0 || ready < 0)
		_exit(127);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(words, STDERR_FILENO);
	dup2(ready, READY_FD);
	close_range(READY_FD + 1, ~0U, 0);
	if (chdir("/") < 0)
		_exit(127);
	fresh_signals();
	snprintf(number, sizeof(number), "%d", READY_FD);
	execlp(path, path, "--ready-fd", number, (char *)NULL);
	dprintf(STDERR_FILENO, "%s: %s", path, strerror(errno));
	_exit(127);
}

/* Two forks and a session of its own: no terminal, no parent that waits for it. */
static int detach(const char *path, int words, int ready)
{
	pid_t pid = fork();

	if (pid < 0)
		return HW_ESYS;
	if (pid == 0) {
		setsid();
		pid = fork();
		if (pid == 0)
			run_daemon(path, words, ready);
		_exit(pid < 0 ? 1 : 0);
	}
	int status = 0;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno == ECHILD)
			return HW_OK; /* our caller ignores SIGCHLD; the pipes tell all the same */
		if (errno != EINTR)
			return HW_ESYS;
	}
	return status == 0 ? HW_OK : HW_ESYS;
}

/* The end of what the daemon said, in one line. */
static void quote(char *text, size_t len)
{
	static const char name[] = "hawserd: ";

	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
		len--;
	text[len] = '\0';
	if (strncmp(text, name, sizeof(name) - 1) == 0) { /* we say that ourselves */
		const char *rest = text + sizeof(name) - 1;
		memmove(text, rest, strlen(rest) + 1);
		len = strlen(text);
	}
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = text[i] == '\n' ? ';' : ' ';
}

/* Reads both pipes until the byte comes, the daemon is gone, or time is up. */
static int wait_ready(int words, int ready, int64_t deadline, char *said, size_t size)
{
	struct pollfd p[2] = {{.fd = ready, .events = POLLIN}, {.fd = words, .events = POLLIN}};
	size_t len = 0;
	int result = HW_ETIMEOUT;

	for (;;) {
		int n = poll(p, 2, clock_left(deadline));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if (p[1].revents != 0) {
			char rest[256];
			bool fits = len + 1 < size;
			ssize_t got = fits ? read(words, said + len, size - 1 - len)
					   : read(words, rest, sizeof(rest));
			if (got <= 0)
				p[1].fd = -1;
			else if (fits)
				len += (size_t)got;
		}
		if (p[0].revents != 0) {
			char byte;
			if (read(ready, &byte, 1) == 1) {
				result = HW_OK;
				break;
			}
			p[0].fd = -1;
			result = HW_EOF;
		}
		if (p[0].fd < 0 && p[1].fd < 0)
			break;
		if (p[0].fd < 0 && deadline > clock_ms() + 500)
			deadline = clock_ms() + 500; /* it has given up: its last words */
	}
	quote(said, len);
	return result;
}

int spawn_daemon(int64_t deadline_ms, char *why, size_t why_size)
{
	char path[PATH_MAX], said[384];
	int words[2], ready[2];

	if (!spawn_daemon_path(path, sizeof(path))) {
		snprintf(why, why_size, "HAWSER_DAEMON is too long");
		return HW_ETOOBIG;
	}
	if (pipe2(words, O_CLOEXEC) < 0) {
		snprintf(why, why_size, "pipe: %s", strerror(errno));
		return HW_ESYS;
	}
	if (pipe2(ready, O_CLOEXEC) < 0) {
		snprintf(why, why_size, "pipe: %s", strerror(errno));
		close(words[0]);
		close(words[1]);
		return HW_ESYS;
	}
	int r = detach(path, words[1], ready[1]);
	int error = errno;
	close(words[1]);
	close(ready[1]);
	if (r < 0) {
		snprintf(why, why_size, "cannot start %s: %s", path, strerror(error));
	} else {
		int64_t mine = clock_ms() + READY_MS;
		r = wait_ready(words[0], ready[0], mine < deadline_ms ? mine : deadline_ms, said,
			       sizeof(said));
		if (r == HW_ETIMEOUT)
			snprintf(why, why_size, "%s was not ready after %d s%s%s", path,
				 READY_MS / 1000, said[0] ? ": " : "", said);
		else if (r < 0)
			snprintf(why, why_size, "cannot start hawserd: %s",
				 said[0] ? said : "it ended without a word");
	}
	close(words[0]);
	close(ready[0]);
	return r;
}
