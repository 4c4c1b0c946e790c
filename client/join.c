#include "client/join.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "client/clock.h"
#include "client/mux.h"
#include "client/peer.h"
#include "client/say.h"

#define ANSWER_MS 2000
#define RETRY_MS  5

static bool tell(int fd, const uint8_t *out, size_t len)
{
	return send(fd, out, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

/* The next message. Byte by byte: what comes behind it is not ours to take. */
static bool hear(int fd, struct mux_reader *r, struct mux_message *m)
{
	int64_t deadline = clock_ms() + ANSWER_MS;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	bool broken = false;
	size_t used;
	uint8_t byte;

	while (!broken) {
		ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return false;
		if (n == 1 && mux_read(r, &byte, 1, &used, m, &broken))
			return true;
		if (n < 0 && poll(&p, 1, clock_left(deadline)) == 0)
			return false;
	}
	return false;
}

/* errno. A full backlog is tried again, for a while. */
static int connect_to(int fd, const struct sockaddr_un *sun)
{
	int64_t deadline = clock_ms() + ANSWER_MS;

	while (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) < 0) {
		if (errno != EAGAIN || clock_left(deadline) == 0)
			return errno;
		clock_pause(RETRY_MS);
	}
	return 0;
}

enum join_result join_master(const char *path, bool session, int *fd)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct mux_reader reader = {0};
	struct mux_message hello;
	uint8_t out[MUX_REPLY_MAX];

	if ((size_t)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path) >=
	    sizeof(sun.sun_path))
		return JOIN_NOBODY;
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s < 0)
		return JOIN_NOBODY;
	int error = connect_to(s, &sun);
	if (error != 0) {
		close(s);
		return error == EAGAIN ? JOIN_FOREIGN : JOIN_NOBODY;
	}
	if (peer_is_ours(s) && tell(s, out, mux_put_hello(out, session)) &&
	    hear(s, &reader, &hello) && hello.type == MUX_HELLO && mux_is_ours(&hello)) {
		*fd = s;
		return JOIN_OURS;
	}
	close(s);
	return JOIN_FOREIGN;
}

int join_operate(int fd, const char *operation)
{
	static const struct {
		const char *name;
		enum mux_type ask, answer;
		const char *words;
	} known[] = {
		{"check", MUX_ALIVE_CHECK, MUX_ALIVE, NULL},
		{"exit", MUX_TERMINATE, MUX_OK, "Exit request sent.\r\n"},
		{"stop", MUX_STOP_LISTENING, MUX_OK, "Stop listening request sent.\r\n"},
	};
	struct mux_reader reader = {0};
	struct mux_message m = {0};
	uint8_t out[MUX_REPLY_MAX];
	int status = HW_EXIT_FAILURE;

	for (size_t i = 0; i < HW_ARRAY_LEN(known); i++) {
		if (strcmp(operation, known[i].name) != 0)
			continue;
		if (!tell(fd, out, mux_put(out, known[i].ask, 0)) || !hear(fd, &reader, &m) ||
		    m.type != known[i].answer) {
			say("the master does not answer");
			break;
		}
		uint32_t pid = 0;
		for (size_t k = 0; k < 4 && k < m.rest_len; k++)
			pid = pid << 8 | m.rest[k];
		char text[64];
		if (known[i].words == NULL)
			snprintf(text, sizeof(text), "Master running (pid=%u)\r\n", pid);
		else
			snprintf(text, sizeof(text), "%s", known[i].words);
		if (say_level() > SAY_QUIET)
			(void)!write(STDERR_FILENO, text, strlen(text));
		status = 0;
	}
	close(fd);
	return status;
}
