#include "client/local_command.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "client/say.h"

static void HW_NORETURN run(const char *command, const sigset_t *mask)
{
	const char *shell = getenv("SHELL");

	if (shell == NULL || shell[0] == '\0')
		shell = "/bin/sh";
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execl(shell, shell, "-c", command, (char *)NULL);
	say("cannot run %s for LocalCommand: %s", shell, strerror(errno));
	_exit(127);
}

/* Waits until the child has ended or we are told to. Returns the signal, 0. */
static int wait_end(int child, const struct prompt_watch *watch)
{
	struct pollfd p[3] = {{.fd = child, .events = POLLIN},
			      {.fd = watch->fd, .events = POLLIN},
			      {.fd = watch->signals->fd, .events = POLLIN}};

	for (;;) {
		if (poll(p, 3, -1) < 0) {
			if (errno == EINTR)
				continue;
			return 0;
		}
		if (p[2].revents != 0) {
			int signo = signals_next(watch->signals);
			if (signals_name(signo) != NULL)
				return signo;
		}
		if (p[1].revents != 0 && !watch->readable(watch->ctx))
			return 0;
		if (p[0].revents != 0)
			return 0;
	}
}

int local_command_run(const char *command, const struct prompt_watch *watch)
{
	int signo = 0;
	pid_t pid = fork();

	if (pid == 0)
		run(command, &watch->signals->old);
	if (pid < 0) {
		say("cannot run the local command: %s", strerror(errno));
		return 0;
	}
	int fd = pidfd_open(pid, 0);
	if (fd >= 0) {
		signo = wait_end(fd, watch);
		close(fd);
	}
	/* Without a pidfd (an old kernel) it is simply waited for. One that is left behind is
	 * nobody's business any more, as with ssh. */
	int options = fd >= 0 ? WNOHANG : 0;
	while (waitpid(pid, NULL, options) < 0 && errno == EINTR)
		;
	return signo;
}
