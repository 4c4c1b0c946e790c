#include "client/signals.h"

#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const int terminal_signals[] = {SIGWINCH, SIGTSTP, SIGCONT};

static void basic_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGQUIT);
}

int signals_open(struct signals *s)
{
	sigset_t set;

	basic_set(&set);
	s->fd = -1;
	if (sigprocmask(SIG_BLOCK, &set, &s->old) < 0)
		return HW_ESYS;
	s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->fd < 0) {
		sigprocmask(SIG_SETMASK, &s->old, NULL);
		return HW_ESYS;
	}
	return HW_OK;
}

void signals_take_terminal(struct signals *s)
{
	sigset_t set;

	basic_set(&set);
	for (size_t i = 0; i < HW_ARRAY_LEN(terminal_signals); i++)
		sigaddset(&set, terminal_signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* Changing the set of an open signalfd cannot fail for want of memory. */
	(void)signalfd(s->fd, &set, 0);
}

void signals_leave_terminal(struct signals *s)
{
	sigset_t set;

	basic_set(&set);
	(void)signalfd(s->fd, &set, 0);
	sigemptyset(&set);
	for (size_t i = 0; i < HW_ARRAY_LEN(terminal_signals); i++)
		if (!sigismember(&s->old, terminal_signals[i]))
			sigaddset(&set, terminal_signals[i]);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int signals_next(struct signals *s)
{
	struct signalfd_siginfo info;
	struct sigaction action;

	while (read(s->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		int signo = (int)info.ssi_signo;
		/* A blocked signal is queued even when it is to be ignored. */
		if (sigaction(signo, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
			continue;
		return signo;
	}
	return 0;
}

void signals_close(struct signals *s)
{
	if (s->fd < 0)
		return;
	close(s->fd);
	s->fd = -1;
	sigprocmask(SIG_SETMASK, &s->old, NULL);
}

const char *signals_name(int signo)
{
	switch (signo) {
	case SIGINT:
		return "INT";
	case SIGTERM:
		return "TERM";
	case SIGHUP:
		return "HUP";
	case SIGQUIT:
		return "QUIT";
	default:
		return NULL;
	}
}

void signals_stop_self(void)
{
	sigset_t stop, before;

	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	kill(getpid(), SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &stop, &before); /* stops here */
	sigprocmask(SIG_SETMASK, &before, NULL);
}

void signals_die(int signo)
{
	sigset_t set;

	signal(signo, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, signo);
	kill(getpid(), signo);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	_exit(HW_EXIT_FAILURE); /* it was one that does not kill */
}
