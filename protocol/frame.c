#include "protocol/frame.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	FRAME_RECV_MIN = 4096,	/* room offered to one recvmsg(2) */
	FRAME_RECV_MAX = 65536, /* also where a long frame is read on: memory grows with what came,
				   not with what was announced */
	FRAME_KEEP_MAX = 65536, /* memory of an emptied buffer above this is given back */
	FRAME_CONTROL_FDS = 4,	/* CMSG_SPACE(3 descriptors) rounds up to 4 on 64-bit machines */
};

static uint32_t frame_length(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void close_fds(struct frame_reader *r)
{
	for (size_t i = 0; i < r->nfds; i++)
		close(r->fds[i]);
	r->nfds = 0;
}

void frame_reader_init(struct frame_reader *r)
{
	*r = (struct frame_reader){0};
	/* Before each read the queue holds less than one frame. */
	bytebuf_init(&r->buf, PROTO_HEADER_SIZE + PROTO_FRAME_MAX + FRAME_RECV_MAX);
}

void frame_reader_finish(struct frame_reader *r)
{
	close_fds(r);
	bytebuf_finish(&r->buf);
	frame_reader_init(r);
}

/* Forgets the frame that was handed out last. Its bytes are wiped: it may have been an ANSWER. */
static void release_frame(struct frame_reader *r)
{
	if (r->handed == 0)
		return;
	if (r->fds_at == 0)
		close_fds(r);
	else
		r->fds_at -= r->handed;
	explicit_bzero((void *)(uintptr_t)bytebuf_peek(&r->buf), r->handed);
	bytebuf_consume(&r->buf, r->handed);
	if (r->handed > FRAME_KEEP_MAX && bytebuf_len(&r->buf) == 0)
		bytebuf_finish(&r->buf);
	r->handed = 0;
}

/* The size of the frame at p with its header; 0: not all there yet; SIZE_MAX: over the limit. */
static size_t whole_frame(const uint8_t *p, size_t len)
{
	if (len < PROTO_HEADER_SIZE)
		return 0;
	size_t payload = frame_length(p);
	if (payload > PROTO_FRAME_MAX)
		return SIZE_MAX;
	return len - PROTO_HEADER_SIZE < payload ? 0 : PROTO_HEADER_SIZE + payload;
}

/* Where the frame begins that the last byte of the queue belongs to. */
static size_t last_frame_start(const struct frame_reader *r)
{
	const uint8_t *p = bytebuf_peek(&r->buf);
	size_t len = bytebuf_len(&r->buf), at = 0;

	for (;;) {
		size_t size = whole_frame(p + at, len - at);
		if (size == 0 || size == SIZE_MAX || at + size == len)
			return at;
		at += size;
	}
}

/* Takes the descriptors out of msg. A read ends with the data that descriptors came with (unix(7):
 * they are a barrier), so they belong to the frame of its last byte. old_len: bytes that were
 * queued before the read. */
static int keep_fds(struct frame_reader *r, struct msghdr *msg, size_t old_len)
{
	int got[FRAME_CONTROL_FDS];
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (n < HW_ARRAY_LEN(got))
				got[n++] = fd;
			else
				close(fd);
		}
	}
	int error = HW_OK;
	if (n > PROTO_FDS_MAX) {
		error = HW_EPROTO;
	} else if (msg->msg_flags & MSG_CTRUNC) {
		/* There was room for all that a peer may send: it is we who ran out of descriptors.
		 */
		error = HW_ESYS;
	} else if (n > 0 && last_frame_start(r) < old_len) {
		error = HW_EPROTO;
	}
	if (n == 0 && error == HW_OK)
		return HW_OK;
	close_fds(r);
	for (size_t i = 0; i < n; i++) {
		if (error == HW_OK)
			r->fds[r->nfds++] = got[i];
		else
			close(got[i]);
	}
	r->fds_at = last_frame_start(r);
	if (error == HW_ESYS)
		errno = EMFILE;
	return error;
}

int frame_recv(struct frame_reader *r, int fd)
{
	release_frame(r);
	size_t old_len = bytebuf_len(&r->buf);
	size_t missing = PROTO_HEADER_SIZE - old_len; /* of the frame that has begun */

	if (old_len >= PROTO_HEADER_SIZE) {
		const uint8_t *p = bytebuf_peek(&r->buf);
		if (whole_frame(p, old_len) != 0)
			return HW_OK; /* frame_next() has something to say first */
		missing = PROTO_HEADER_SIZE + frame_length(p) - old_len;
	}
	size_t room = missing < FRAME_RECV_MIN	 ? FRAME_RECV_MIN
		      : missing > FRAME_RECV_MAX ? FRAME_RECV_MAX
						 : missing;
	/* A frame that holds descriptors is read to its end alone, since the next may bring more.
	 */
	if (r->nfds > 0 && missing < room)
		room = missing;
	void *at = bytebuf_reserve(&r->buf, room);
	if (!at)
		return HW_ETOOBIG;

	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FRAME_CONTROL_FDS * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = at, .iov_len = room};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;
	do {
		n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? HW_EAGAIN : HW_ESYS;
	bytebuf_commit(&r->buf, (size_t)n);
	if (msg.msg_controllen > 0 || (msg.msg_flags & MSG_CTRUNC)) {
		int error = keep_fds(r, &msg, old_len);
		if (error != HW_OK)
			return error;
	}
	return n == 0 ? HW_EOF : HW_OK;
}

int frame_next(struct frame_reader *r, const uint8_t **payload, size_t *len)
{
	release_frame(r);
	const uint8_t *p = bytebuf_peek(&r->buf);
	size_t size = whole_frame(p, bytebuf_len(&r->buf));
	if (size == SIZE_MAX)
		return HW_ETOOBIG;
	if (size == 0)
		return HW_EAGAIN;
	r->handed = size;
	*payload = p + PROTO_HEADER_SIZE;
	*len = size - PROTO_HEADER_SIZE;
	return HW_OK;
}

size_t frame_take_fds(struct frame_reader *r, int out[PROTO_FDS_MAX])
{
	if (r->handed == 0 || r->fds_at != 0)
		return 0;
	size_t n = r->nfds;
	memcpy(out, r->fds, n * sizeof(*out));
	r->nfds = 0;
	return n;
}

int frame_send(int fd, const uint8_t *frame, size_t len, const int *fds, size_t nfds, size_t *sent)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(PROTO_FDS_MAX * sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)frame, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	*sent = 0;
	if (nfds > PROTO_FDS_MAX)
		return HW_EINVAL;
	if (nfds > 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	ssize_t n;
	do {
		n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? HW_EAGAIN : HW_ESYS;
	*sent = (size_t)n;
	return HW_OK;
}
