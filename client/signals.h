/* Signals as data: blocked while a request lives and read from a signalfd(2), so nothing races. */
#ifndef HAWSER_CLIENT_SIGNALS_H
#define HAWSER_CLIENT_SIGNALS_H

#include <signal.h>
#include "protocol/base.h"

struct signals {
	int fd;	      /* poll for POLLIN; -1 when closed */
	sigset_t old; /* the mask that we were started with */
};

/* Takes SIGINT, SIGTERM, SIGHUP and SIGQUIT. HW_ESYS. */
int signals_open(struct signals *s) HW_NODISCARD;
/* Takes SIGWINCH, SIGTSTP and SIGCONT too: a terminal is in our hands. */
void signals_take_terminal(struct signals *s);
/* Back to what signals_open() took. */
void signals_leave_terminal(struct signals *s);
/* The next one, 0 when there is none. Those that our starter ignores (nohup) are left out. */
int signals_next(struct signals *s);
/* Gives them back: before another program runs in our place. Harmless twice. */
void signals_close(struct signals *s);

/* "INT" for SIGINT; NULL for a signal that has no name in RFC 4254, section 6.10. */
const char *signals_name(int signo);
/* Stops this process as ^Z does, and returns when it is continued. */
void signals_stop_self(void);
/* Ends this process by the signal, so that a waiting shell sees what happened. */
void signals_die(int signo) HW_NORETURN;

#endif
