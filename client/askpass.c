#include "client/askpass.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

static const char default_program[] = "/usr/bin/ssh-askpass";

static bool is_set(const char *name)
{
	const char *v = getenv(name);

	return v != NULL && v[0] != '\0';
}

enum askpass_use askpass_use(void)
{
	const char *require = getenv("SSH_ASKPASS_REQUIRE");
	bool display = is_set("DISPLAY") || is_set("WAYLAND_DISPLAY");

	if (require != NULL && strcasecmp(require, "force") == 0)
		return ASKPASS_FIRST;
	if (require != NULL && strcasecmp(require, "never") == 0)
		return ASKPASS_NEVER;
	if (!display)
		return ASKPASS_NEVER;
	if (require != NULL && strcasecmp(require, "prefer") == 0)
		return ASKPASS_FIRST;
	return ASKPASS_FALLBACK;
}

static void HW_NORETURN run(const char *program, const char *text, bool confirm, int out,
			    const sigset_t *mask)
{
	dup2(out, STDOUT_FILENO);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (confirm)
		setenv("SSH_ASKPASS_PROMPT", "confirm", 1);
	else
		unsetenv("SSH_ASKPASS_PROMPT");
	execlp(program, program, text, (char *)NULL);
	_exit(127);
}

/* Reads to the end of what the program prints. false: it shall be stopped. */
static bool collect(int fd, const struct prompt_watch *watch, char *answer, size_t size, int *signo)
{
	struct pollfd p[3] = {{.fd = fd, .events = POLLIN},
			      {.fd = watch->fd, .events = POLLIN},
			      {.fd = watch->signals->fd, .events = POLLIN}};
	size_t len = 0;
	char rest[256];

	for (;;) {
		if (poll(p, 3, -1) < 0) {
			if (errno == EINTR)
				continue;
			return false;
		}
		if (p[2].revents != 0 && (*signo = signals_next(watch->signals)) != 0)
			return false;
		if (p[1].revents != 0 && !watch->readable(watch->ctx))
			return false;
		if (p[0].revents == 0)
			continue;
		bool fits = len + 1 < size;
		ssize_t n = fits ? read(fd, answer + len, size - 1 - len)
				 : read(fd, rest, sizeof(rest));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if (fits)
			len += (size_t)n;
	}
	explicit_bzero(rest, sizeof(rest));
	answer[len] = '\0';
	answer[strcspn(answer, "\r\n")] = '\0';
	return true;
}

bool askpass_ask(const char *text, bool confirm, const struct prompt_watch *watch, char *answer,
		 size_t size, const char **reason, int *signo)
{
	const char *program = is_set("SSH_ASKPASS") ? getenv("SSH_ASKPASS") : default_program;
	int out[2], status = 0;

	*reason = "SSH_ASKPASS could not be started";
	if (pipe2(out, O_CLOEXEC) < 0)
		return false;
	/* Ignored by our starter, it would take the status from us. */
	signal(SIGCHLD, SIG_DFL);
	pid_t pid = fork();
	if (pid == 0)
		run(program, text, confirm, out[1], &watch->signals->old);
	close(out[1]);
	if (pid < 0) {
		close(out[0]);
		return false;
	}
	bool whole = collect(out[0], watch, answer, size, signo);
	close(out[0]);
	if (!whole)
		kill(pid, SIGTERM);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	if (!whole)
		*reason = "the question was interrupted";
	else if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		*reason = "SSH_ASKPASS could not be run";
	else
		*reason = "SSH_ASKPASS gave no answer";
	return whole && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
