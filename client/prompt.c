#include "client/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include "client/askpass.h"
#include "client/tty.h"
#include "protocol/alloc.h"

/* As long as a line of a terminal in canonical mode can be used well; ssh takes 1 KiB. */
#define ANSWER_MAX 1024

enum outcome { ASKED, INTERRUPTED, UNWANTED, FAILED };

struct terminal {
	int fd;
	const struct prompt_watch *watch;
	int signo;
};

static int open_tty(void)
{
	return open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
}

bool prompt_can_ask(bool have_tty)
{
	if (have_tty || askpass_use() != ASKPASS_NEVER)
		return true;
	int fd = open_tty();
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void put(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

/* Takes out of a server's text what could steer the terminal. */
static void defuse(char *text)
{
	for (char *p = text; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;
		if ((c < ' ' && c != '\n' && c != '\t') || c == 0x7f)
			*p = '?';
	}
}

static void show(int fd, const char *text)
{
	char *safe = xstrdup(text);

	defuse(safe);
	put(fd, safe, strlen(safe));
	free(safe);
}

static void set_echo(int fd, const struct termios *before, bool echo)
{
	struct termios t = *before;

	if (!echo)
		t.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
	t.c_lflag |= ICANON | ISIG;
	tcsetattr(fd, TCSAFLUSH, &t);
}

/* Waits for a line. *again: we were stopped and continued, so the question is put once more. */
static enum outcome wait_line(struct terminal *t, bool *again)
{
	struct pollfd p[3] = {{.fd = t->fd, .events = POLLIN},
			      {.fd = t->watch->fd, .events = POLLIN},
			      {.fd = t->watch->signals->fd, .events = POLLIN}};

	for (;;) {
		if (poll(p, 3, -1) < 0) {
			if (errno == EINTR)
				continue;
			return FAILED;
		}
		if (p[2].revents != 0) {
			int signo = signals_next(t->watch->signals);
			if (signo == SIGTSTP) {
				*again = true;
				return ASKED;
			}
			if (signo != 0 && signo != SIGWINCH && signo != SIGCONT) {
				t->signo = signo;
				return INTERRUPTED;
			}
		}
		if (p[1].revents != 0 && !t->watch->readable(t->watch->ctx))
			return UNWANTED;
		if (p[0].revents != 0)
			return ASKED;
	}
}

static bool hung_up(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) != 0 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

/* The line that is there, without its end; what is too long is dropped. */
static enum outcome read_line(int fd, char *answer)
{
	size_t len = 0;

	for (;;) {
		char c;
		ssize_t n = read(fd, &c, 1);
		if (n < 0 && errno == EINTR)
			continue;
		/* ^D is an empty answer, as for ssh; a terminal that is gone is none. */
		if (n < 0 || (n == 0 && len == 0 && hung_up(fd)))
			return FAILED;
		if (n == 0 || c == '\n' || c == '\r')
			break;
		if (len + 1 < ANSWER_MAX)
			answer[len++] = c;
	}
	answer[len] = '\0';
	return ASKED;
}

/* As ssh in the background is: stopped, until somebody brings it to the front or ends it. */
static enum outcome wait_front(struct terminal *t)
{
	while (tty_in_background(t->fd)) {
		int signo = signals_next(t->watch->signals);
		if (signals_name(signo) != NULL) {
			t->signo = signo;
			return INTERRUPTED;
		}
		if (!tty_stop_job(SIGTTOU) && tty_in_background(t->fd))
			return FAILED;
	}
	return ASKED;
}

static enum outcome ask_field(struct terminal *t, const char *text, bool echo, char *answer)
{
	struct termios before;
	enum outcome r;
	bool again;

	if (tcgetattr(t->fd, &before) < 0)
		return FAILED;
	do {
		again = false;
		r = wait_front(t);
		if (r != ASKED)
			return r;
		set_echo(t->fd, &before, echo);
		show(t->fd, text);
		r = wait_line(t, &again);
		if (r == ASKED && !again)
			r = read_line(t->fd, answer);
		tcsetattr(t->fd, TCSAFLUSH, &before);
		if (!echo || r != ASKED || again)
			put(t->fd, "\n", 1);
		if (again)
			signals_stop_self();
	} while (again);
	return r;
}

static const char *reason_of(enum outcome r)
{
	switch (r) {
	case INTERRUPTED:
		return "the question was interrupted";
	case UNWANTED:
		return "the question was withdrawn";
	default:
		return "the terminal could not be read";
	}
}

static void cancel(struct proto_answer *out, const char *reason)
{
	out->cancelled = true;
	free(out->reason);
	out->reason = xstrdup(reason);
}

static int ask_terminal(const struct proto_prompt *m, const struct prompt_watch *watch, int fd,
			struct proto_answer *out)
{
	struct terminal t = {.fd = fd, .watch = watch};
	char answer[ANSWER_MAX];

	if (m->intro != NULL && m->intro[0] != '\0') {
		show(fd, m->intro);
		if (m->intro[strlen(m->intro) - 1] != '\n')
			put(fd, "\n", 1);
	}
	for (size_t i = 0; i < m->nfields && !out->cancelled; i++) {
		enum outcome r = ask_field(&t, m->fields[i].text, m->fields[i].echo, answer);
		if (r == ASKED)
			out->answers[i] = xstrdup(answer);
		else
			cancel(out, reason_of(r));
	}
	explicit_bzero(answer, sizeof(answer));
	return t.signo;
}

static int ask_program(const struct proto_prompt *m, const struct prompt_watch *watch,
		       struct proto_answer *out)
{
	char answer[ANSWER_MAX] = "";
	bool confirm = m->kind == PROTO_PROMPT_CONFIRM;
	const char *reason = NULL, *intro = m->intro != NULL ? m->intro : "";
	int signo = 0;

	for (size_t i = 0; i < m->nfields && !out->cancelled; i++) {
		char *text =
			xasprintf("%s%s%s", intro, intro[0] != '\0' ? "\n" : "", m->fields[i].text);
		bool yes =
			askpass_ask(text, confirm, watch, answer, sizeof(answer), &reason, &signo);
		free(text);
		if (!yes && !(confirm && signo == 0))
			cancel(out, reason);
		else if (confirm) /* the button counts, unless the program lets people type */
			out->answers[i] = xstrdup(!yes ? "no" : answer[0] ? answer : "yes");
		else
			out->answers[i] = xstrdup(answer);
	}
	explicit_bzero(answer, sizeof(answer));
	return signo;
}

int prompt_ask(const struct proto_prompt *m, const struct prompt_watch *watch,
	       struct proto_answer *out)
{
	enum askpass_use use = askpass_use();
	int signo = 0;

	memset(out, 0, sizeof(*out));
	out->prompt = m->prompt;
	out->answers = xcalloc(m->nfields + 1, sizeof(*out->answers));
	int fd = use == ASKPASS_FIRST ? -1 : open_tty();
	if (fd < 0 && use != ASKPASS_NEVER) {
		signo = ask_program(m, watch, out);
	} else if (fd >= 0) {
		/* ^Z at a question must give the terminal its echo back first. */
		signals_take_terminal(watch->signals);
		signo = ask_terminal(m, watch, fd, out);
		signals_leave_terminal(watch->signals);
		close(fd);
	} else {
		cancel(out, "there is no terminal to ask on, and no SSH_ASKPASS with a display");
	}
	for (size_t i = 0; out->cancelled && i < m->nfields; i++) {
		free_secret_str(out->answers[i]);
		out->answers[i] = NULL;
	}
	return signo;
}

bool prompt_line(const char *text, const struct prompt_watch *watch, char *answer, size_t size,
		 int *signo)
{
	char line[ANSWER_MAX] = "";
	int fd = open_tty();

	*signo = 0;
	if (fd < 0)
		return false;
	struct terminal t = {.fd = fd, .watch = watch};
	bool asked = ask_field(&t, text, true, line) == ASKED;
	close(fd);
	*signo = t.signo;
	return asked && (size_t)snprintf(answer, size, "%s", line) < size;
}
