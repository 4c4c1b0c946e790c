#include "client/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "client/mux.h"
#include "client/peer.h"
#include "protocol/alloc.h"

#define BACKLOG	   128
#define SUFFIX_LEN 16
/* Read at once from one peer; the rest waits for the next turn. */
#define READ_MAX 4096
#define EVENTS	 16

struct control_conn {
	int fd;
	struct mux_reader reader;
	bool hello;   /* its HELLO has come */
	bool session; /* a hawser that has joined */
	bool deaf;    /* was refused, and may still send descriptors and the like */
	struct control_conn *next;
};

static void random_suffix(char out[SUFFIX_LEN + 1])
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	unsigned char bytes[SUFFIX_LEN] = {0};

	/* A name that is taken makes bind(2) fail, no more. */
	(void)!getrandom(bytes, sizeof(bytes), 0);
	for (size_t i = 0; i < SUFFIX_LEN; i++)
		out[i] = letters[bytes[i] % (sizeof(letters) - 1)];
	out[SUFFIX_LEN] = '\0';
}

static bool watch(struct control *c, int fd, void *who)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = who};

	return epoll_ctl(c->fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool listen_at(struct control *c, const struct sockaddr_un *sun, struct stat *sb)
{
	mode_t before = umask(0177);
	bool bound = bind(c->listener, (const struct sockaddr *)sun, sizeof(*sun)) == 0;
	int error = errno;

	umask(before);
	errno = error;
	if (!bound)
		return false;
	c->temporary = xstrdup(sun->sun_path);
	return listen(c->listener, BACKLOG) == 0 && lstat(sun->sun_path, sb) == 0 &&
	       watch(c, c->listener, NULL);
}

bool control_open(struct control *c, const char *path, char *why, size_t why_size)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char suffix[SUFFIX_LEN + 1];
	struct stat sb;

	*c = (struct control){.fd = -1, .listener = -1, .spare = -1, .path = xstrdup(path)};
	random_suffix(suffix);
	if ((size_t)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s.%s", path, suffix) >=
	    sizeof(sun.sun_path)) {
		snprintf(why, why_size,
			 "unix_listener: path \"%s.%s\" too long for Unix domain socket", path,
			 suffix);
		control_close(c);
		return false;
	}
	c->fd = epoll_create1(EPOLL_CLOEXEC);
	c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	c->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (c->fd < 0 || c->listener < 0 || !listen_at(c, &sun, &sb)) {
		snprintf(why, why_size, "unix_listener: cannot bind to path %s: %s", sun.sun_path,
			 strerror(errno));
		control_close(c);
		return false;
	}
	c->device = sb.st_dev;
	c->inode = sb.st_ino;
	return true;
}

static void remove_temporary(struct control *c)
{
	if (c->temporary != NULL)
		unlink(c->temporary);
	free(c->temporary);
	c->temporary = NULL;
}

bool control_publish(struct control *c)
{
	/* A link never takes the place of what is there. */
	c->published = link(c->temporary, c->path) == 0;
	remove_temporary(c);
	if (!c->published)
		control_close(c);
	return c->published;
}

static void unpublish(struct control *c)
{
	struct stat sb;

	if (c->published && lstat(c->path, &sb) == 0 && sb.st_dev == c->device &&
	    sb.st_ino == c->inode)
		unlink(c->path);
	c->published = false;
}

void control_stop(struct control *c)
{
	c->stopped = true;
	unpublish(c);
	remove_temporary(c);
	if (c->listener >= 0)
		close(c->listener);
	c->listener = -1;
	if (c->spare >= 0)
		close(c->spare);
	c->spare = -1;
}

static void drop(struct control *c, struct control_conn *k)
{
	struct control_conn **link = &c->connections;

	while (*link != k)
		link = &(*link)->next;
	*link = k->next;
	if (c->count-- == CONTROL_CONNECTIONS_MAX && c->listener >= 0)
		(void)watch(c, c->listener, NULL); /* there is room again */
	c->sessions -= k->session;
	close(k->fd);
	free(k);
}

void control_close(struct control *c)
{
	if (c->path == NULL)
		return;
	control_stop(c);
	while (c->connections != NULL)
		drop(c, c->connections);
	if (c->fd >= 0)
		close(c->fd);
	free(c->path);
	c->fd = -1;
	c->path = NULL;
}

/* What does not fit into an empty socket's buffer is for a peer that does not read. */
static bool reply(const struct control_conn *k, const uint8_t *out, size_t len)
{
	return send(k->fd, out, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

static bool refuse(struct control_conn *k, enum mux_type type, uint32_t id, const char *why)
{
	uint8_t out[MUX_REPLY_MAX];

	k->deaf = true;
	return reply(k, out, mux_put_text(out, type, id, why));
}

static bool on_hello(struct control *c, struct control_conn *k, const struct mux_message *m)
{
	if (k->hello || m->number != MUX_VERSION)
		return false;
	k->hello = true;
	k->session = mux_is_ours(m);
	c->sessions += k->session;
	return true;
}

/* False: the peer makes no sense, or does not listen. */
static bool on_message(struct control *c, struct control_conn *k, const struct mux_message *m)
{
	uint8_t out[MUX_REPLY_MAX];

	if (!k->hello)
		return m->type == MUX_HELLO && on_hello(c, k, m);
	switch (m->type) {
	case MUX_HELLO:
		return false; /* a second one */
	case MUX_ALIVE_CHECK:
		return reply(k, out, mux_put_number(out, MUX_ALIVE, m->number, (uint32_t)getpid()));
	case MUX_TERMINATE:
		c->terminate = true;
		return reply(k, out, mux_put(out, MUX_OK, m->number));
	case MUX_STOP_LISTENING:
		control_stop(c);
		return reply(k, out, mux_put(out, MUX_OK, m->number));
	case MUX_NEW_SESSION:
	case MUX_NEW_STDIO:
		return refuse(k, MUX_PERMISSION_DENIED, m->number,
			      "it is hawser's, whose connection only hawser can share");
	case MUX_OPEN_FORWARD:
	case MUX_CLOSE_FORWARD:
		return refuse(k, MUX_FAILURE, m->number,
			      "the master is hawser's: use hawser -O forward, cancel");
	default:
		return refuse(k, MUX_FAILURE, m->number, "unsupported request");
	}
}

/* False: the connection is over. Descriptors that come along are dropped by the kernel. */
static bool take(struct control *c, struct control_conn *k)
{
	uint8_t in[READ_MAX];
	struct mux_message m;
	size_t at = 0, used;
	bool broken;

	ssize_t n = recv(k->fd, in, sizeof(in), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	while (at < (size_t)n && !k->deaf) {
		bool whole = mux_read(&k->reader, in + at, (size_t)n - at, &used, &m, &broken);
		at += used;
		if (broken || (whole && !on_message(c, k, &m)))
			return false;
	}
	return true;
}

/* No descriptor is left for who knocks. Left standing, he would keep us awake for nothing. */
static void turn_away(struct control *c)
{
	if (c->spare >= 0)
		close(c->spare);
	int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	c->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void let_in(struct control *c)
{
	uint8_t out[MUX_REPLY_MAX];
	int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE))
		turn_away(c);
	if (fd < 0)
		return;
	struct control_conn *k = xcalloc(1, sizeof(*k));
	k->fd = fd;
	if (!peer_is_ours(fd) || !reply(k, out, mux_put_hello(out, true)) || !watch(c, fd, k)) {
		close(fd);
		free(k);
		return;
	}
	k->next = c->connections;
	c->connections = k;
	if (++c->count == CONTROL_CONNECTIONS_MAX)
		(void)epoll_ctl(c->fd, EPOLL_CTL_DEL, c->listener, NULL);
}

void control_step(struct control *c)
{
	struct epoll_event events[EVENTS];

	if (c->fd < 0)
		return;
	int n = epoll_wait(c->fd, events, EVENTS, 0);
	for (int i = 0; i < n; i++) {
		struct control_conn *k = events[i].data.ptr;
		if (k != NULL) {
			if (!take(c, k))
				drop(c, k);
		} else if (c->listener >= 0) {
			let_in(c);
		}
	}
}
