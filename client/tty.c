#include "client/tty.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include "client/clock.h"
#include "client/say.h"

#define STOP_NOTICED_MS 1

static struct {
	struct termios before;
	int fd;
	bool raw, at_exit;
} tty;

bool tty_raw(int fd)
{
	struct termios t;

	if (tty.raw)
		return true;
	if (tcgetattr(fd, &tty.before) < 0)
		return false;
	t = tty.before;
	t.c_iflag |= IGNPAR;
	t.c_iflag &= ~(tcflag_t)(ISTRIP | INLCR | IGNCR | ICRNL | IXON | IXANY | IXOFF | IUCLC);
	t.c_lflag &= ~(tcflag_t)(ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHONL | IEXTEN);
	t.c_oflag &= ~(tcflag_t)OPOST;
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	if (!tty.at_exit) {
		tty.at_exit = true;
		atexit(tty_restore);
	}
	if (tcsetattr(fd, TCSADRAIN, &t) < 0)
		return false;
	tty.fd = fd;
	tty.raw = true;
	say_set_crlf(true);
	return true;
}

void tty_restore(void)
{
	if (!tty.raw)
		return;
	tty.raw = false;
	say_set_crlf(false);
	if (tty_in_background(tty.fd))
		return; /* whoever is in front has set it for himself, and we would be stopped */
	/* Output that is stuck behind ^S must not keep us: no draining. */
	tcsetattr(tty.fd, TCSANOW, &tty.before);
}

bool tty_is_raw(void)
{
	return tty.raw;
}

bool tty_in_background(int fd)
{
	pid_t front = tcgetpgrp(fd);

	return front > 0 && front != getpgrp();
}

bool tty_stop_job(int signo)
{
	int64_t before = clock_ms();

	kill(0, signo);
	/* A shell, let alone a person, needs longer than this to continue a job. */
	return clock_ms() - before >= STOP_NOTICED_MS;
}

bool tty_size(int fd, struct proto_winsize *out)
{
	struct winsize ws;

	if (ioctl(fd, TIOCGWINSZ, &ws) < 0)
		return false;
	*out = (struct proto_winsize){.cols = ws.ws_col,
				      .rows = ws.ws_row,
				      .xpixel = ws.ws_xpixel,
				      .ypixel = ws.ws_ypixel};
	return true;
}
