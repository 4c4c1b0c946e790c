#include "client/request.h"

#include <limits.h>
#include <unistd.h>
#include "client/clock.h"
#include "client/modes.h"
#include "client/progress.h"
#include "client/prompt.h"
#include "client/tty.h"
#include "protocol/alloc.h"
#include "protocol/encode.h"
#include "protocol/frame.h"
#include "protocol/proto.h"

#include <errno.h>
#include <poll.h>

extern char **environ;

/* A daemon that takes nothing of the first message for so long is stuck. */
#define SEND_MS 5000

uint8_t *request_encode(const struct options *o, const struct streams *st, bool want_started,
			size_t *len, const char **why)
{
	static char *no_env[] = {NULL};
	uint8_t modes[PROTO_MODES_MAX];
	struct termios terminal;
	char cwd[PATH_MAX], version[] = HAWSER_VERSION, root[] = "/";
	struct proto_request m = {
		.minor = PROTO_MINOR,
		.version = version,
		.args = o->args,
		.host = o->host,
		.command = o->command,
		.command_len = o->command_len,
		.env = environ != NULL ? environ : no_env,
		.operation = o->operation,
		.stdio = o->stdio,
		.cwd = getcwd(cwd, sizeof(cwd)) != NULL ? cwd : root,
		.flags =
			PROTO_CAN_RUN | streams_flags(st) | (want_started ? PROTO_WANT_STARTED : 0),
	};

	if (progress_begin())
		m.flags |= PROTO_WANT_PROGRESS;
	if (o->sticky)
		m.flags |= PROTO_STICKY;
	if (prompt_can_ask(st->tty))
		m.flags |= PROTO_CAN_ASK;
	for (int fd = 0; fd < 3 && st->tty && !m.has_winsize; fd++)
		m.has_winsize = st->s[fd].tty && tty_size(fd, &m.winsize);
	if (st->s[STDIN_FILENO].tty && tcgetattr(STDIN_FILENO, &terminal) == 0) {
		m.modes = (char *)modes;
		m.modes_len = modes_encode(&terminal, modes);
	}
	for (int fd = 0; fd < 3; fd++)
		m.streams[fd] = st->s[fd].proto;
	if (o->nargs > PROTO_ARGS_MAX) {
		*why = "the number of options";
		return NULL;
	}
	if (strv_len(m.env) > PROTO_ENV_MAX) {
		*why = "the number of environment variables";
		return NULL;
	}
	uint8_t *frame = proto_encode_request(REQUEST_NUMBER, &m, len);
	if (frame == NULL)
		*why = "the size of command and environment";
	return frame;
}

int request_send(int sock, const uint8_t *frame, size_t len, const struct streams *st,
		 struct bytebuf *rest)
{
	int fds[3];
	size_t nfds = 0, sent = 0;
	int64_t deadline = 0;

	for (int fd = 0; fd < 3; fd++)
		if (st->s[fd].given >= 0)
			fds[nfds++] = st->s[fd].given;
	for (;;) {
		int r = frame_send(sock, frame, len, fds, nfds, &sent);
		if (r == HW_OK)
			break;
		if (r != HW_EAGAIN)
			return r;
		if (deadline == 0)
			deadline = clock_ms() + SEND_MS;
		struct pollfd p = {.fd = sock, .events = POLLOUT};
		if (poll(&p, 1, clock_left(deadline)) == 0)
			return HW_ETIMEOUT;
	}
	return sent < len ? bytebuf_append(rest, frame + sent, len - sent) : HW_OK;
}
