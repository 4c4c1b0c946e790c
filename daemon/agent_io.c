#include "daemon/agent_io.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/login_priv.h"
#include "protocol/alloc.h"

/* As OpenSSH and libssh limit a reply. */
#define MESSAGE_MAX (256u * 1024u)

int agent_io_connect(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int fd, saved;

	if (len >= sizeof(addr.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(addr.sun_path, path, len);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	/* unix(7): a full backlog is EAGAIN at once, so this never blocks. */
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

int agent_io_wait(const struct agent_io *io, short events)
{
	struct pollfd p[3] = {{.fd = io->fd, .events = events},
			      {.fd = io->cancel_fd, .events = POLLIN},
			      {.fd = io->watch_fd, .events = 0}};

	for (;;) {
		uint64_t now = login_now_ms();
		int n, left = 60000;

		if (io->deadline_ms <= now)
			return HW_ETIMEOUT;
		if (io->deadline_ms - now < (uint64_t)left)
			left = (int)(io->deadline_ms - now);
		n = poll(p, 3, left);
		if (n < 0 && errno != EINTR)
			return HW_ESYS;
		if (n <= 0)
			continue;
		if (p[1].revents != 0)
			return HW_EPERM;
		if (p[0].revents != 0)
			return HW_OK;
		if (p[2].revents != 0)
			return HW_EOF;
	}
}

static int read_all(const struct agent_io *io, void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len > 0) {
		ssize_t n;
		int rc = agent_io_wait(io, POLLIN);

		if (rc != HW_OK)
			return rc;
		n = recv(io->fd, p, len, MSG_DONTWAIT);
		if (n == 0)
			return HW_EOF;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return HW_ESYS;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return HW_OK;
}

static int write_all(const struct agent_io *io, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len > 0) {
		ssize_t n = send(io->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return HW_ESYS;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else {
			int rc = agent_io_wait(io, POLLOUT);

			if (rc != HW_OK)
				return rc;
		}
	}
	return HW_OK;
}

int agent_io_read(const struct agent_io *io, struct agent_io_message *m)
{
	uint8_t head[4];
	int rc = read_all(io, head, sizeof(head));

	if (rc != HW_OK)
		return rc;
	m->len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	if (m->len == 0 || m->len > MESSAGE_MAX)
		return HW_EPROTO;
	m->data = xmalloc(m->len);
	rc = read_all(io, m->data, m->len);
	if (rc != HW_OK) {
		free(m->data);
		m->data = NULL;
	}
	return rc;
}

int agent_io_write(const struct agent_io *io, const void *data, size_t len)
{
	uint8_t head[4] = {(uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
			   (uint8_t)len};
	int rc = write_all(io, head, sizeof(head));

	return rc == HW_OK ? write_all(io, data, len) : rc;
}

int agent_io_ask(const struct agent_io *io, const void *data, size_t len,
		 struct agent_io_message *answer)
{
	int rc = agent_io_write(io, data, len);

	return rc == HW_OK ? agent_io_read(io, answer) : rc;
}
