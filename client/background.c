#include "client/background.h"

#include <fcntl.h>
#include <unistd.h>

/* Our end of a pumped stream may be descriptor 0, 1 or 2 itself. HW_ESYS. */
static int move_away(struct streams *st)
{
	for (int fd = 0; fd < 3; fd++) {
		struct stream *s = &st->s[fd];
		if (s->pump_remote < 0 || s->pump_local > STDERR_FILENO || s->pump_local < 0)
			continue;
		int other = fcntl(s->pump_local, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		if (other < 0)
			return HW_ESYS;
		s->pump_local = other;
	}
	return HW_OK;
}

int background_leave(void)
{
	pid_t pid = fork();

	if (pid < 0)
		return HW_ESYS;
	if (pid > 0)
		_exit(0); /* nothing that is to be done at exit is ours any more */
	return HW_OK;
}

/* A child in a session of its own. The parent waits for that: if it leads the terminal's session,
 * its end hangs up whoever is still in there. */
static int leave_session(void)
{
	int told[2];
	char byte;

	if (pipe2(told, O_CLOEXEC) < 0)
		return HW_ESYS;
	pid_t pid = fork();
	if (pid > 0) {
		close(told[1]);
		(void)!read(told[0], &byte, 1);
		_exit(0);
	}
	close(told[0]);
	if (pid == 0)
		setsid();
	close(told[1]);
	return pid < 0 ? HW_ESYS : HW_OK;
}

int background_detach(struct streams *st, bool keep_stderr)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return HW_ESYS;
	if (move_away(st) < 0 || leave_session() < 0) {
		close(null);
		return HW_ESYS;
	}
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (!keep_stderr)
		dup2(null, STDERR_FILENO);
	close(null);
	return HW_OK;
}
