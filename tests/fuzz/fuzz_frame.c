/* A script of sends, with and without descriptors, and of reads, over a real socket pair. Payloads
 * must come out as they went in and in order, and no descriptor may be left behind.
 *
 * The input is a row of steps: a byte that says which, then what it needs.
 *   0..127    send the next (byte & 31) bytes of the input with (byte >> 5) descriptors
 *   128..191  send a header announcing the next two bytes times (byte & 63)
 *   192..     receive, and hand out all frames (byte & 1: take their descriptors) */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "protocol/alloc.h"
#include "protocol/frame.h"
#include "protocol/log.h"

enum { ME, PEER, STREAM_MAX = 1 << 16, FDS_MORE = 5 };

struct run {
	int pair[2];
	struct frame_reader reader;
	uint8_t *sent; /* all bytes that went in */
	size_t nsent, nread;
	bool dead; /* the reader has called the peer at fault */
};

static void check(bool good, const char *what)
{
	if (!good) {
		log_error("%s", what);
		abort();
	}
}

static void send_bytes(struct run *run, const uint8_t *bytes, size_t len, size_t nfds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_MORE * sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (len == 0 || len > STREAM_MAX - run->nsent)
		return;
	if (nfds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		for (size_t i = 0; i < nfds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &run->pair[PEER], sizeof(int));
	}
	ssize_t n = sendmsg(run->pair[PEER], &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0) {
		memcpy(run->sent + run->nsent, bytes, (size_t)n);
		run->nsent += (size_t)n;
	}
}

static void receive(struct run *run, bool take)
{
	const uint8_t *payload;
	size_t len;

	int r = frame_recv(&run->reader, run->pair[ME]);
	if (r == HW_EPROTO)
		run->dead = true;
	else
		check(r == HW_OK || r == HW_EAGAIN, "no such verdict");
	if (run->dead)
		return;
	while ((r = frame_next(&run->reader, &payload, &len)) == HW_OK) {
		const uint8_t *want = run->sent + run->nread;
		check(run->nread + PROTO_HEADER_SIZE + len <= run->nsent, "bytes out of nothing");
		check(want[2] == (uint8_t)(len >> 8) && want[3] == (uint8_t)len, "wrong length");
		check(memcmp(want + PROTO_HEADER_SIZE, payload, len) == 0, "wrong bytes");
		run->nread += PROTO_HEADER_SIZE + len;
		int fds[PROTO_FDS_MAX];
		for (size_t n = take ? frame_take_fds(&run->reader, fds) : 0; n > 0; n--)
			close(fds[n - 1]);
	}
	run->dead = r == HW_ETOOBIG;
	check(run->dead || r == HW_EAGAIN, "no such verdict");
}

static void follow(struct run *run, const uint8_t *data, size_t size)
{
	size_t at = 0;
	while (at < size && !run->dead) {
		uint8_t step = data[at++];
		if (step >= 192) {
			receive(run, step & 1);
		} else if (step >= 128 && size - at >= 2) {
			uint32_t len = (uint32_t)(data[at] << 8 | data[at + 1]) * (step & 63u);
			const uint8_t head[PROTO_HEADER_SIZE] = {(uint8_t)(len >> 24),
								 (uint8_t)(len >> 16),
								 (uint8_t)(len >> 8), (uint8_t)len};
			at += 2;
			send_bytes(run, head, sizeof(head), 0);
		} else if (step < 128) {
			size_t len = step & 31u;
			if (len > size - at)
				len = size - at;
			send_bytes(run, data + at, len, step >> 5);
			at += len;
		}
	}
}

/* The lowest free descriptor: higher than before when one leaked. */
static int lowest_free(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	check(fd >= 0, "no descriptor left");
	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run run = {.sent = xmalloc(STREAM_MAX)};
	int before = lowest_free();

	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, run.pair) == 0, "socketpair");
	frame_reader_init(&run.reader);
	follow(&run, data, size);
	for (int i = 0; i < 8 && !run.dead; i++)
		receive(&run, i & 1);
	frame_reader_finish(&run.reader);
	close(run.pair[ME]);
	close(run.pair[PEER]);
	free(run.sent);
	check(lowest_free() == before, "a descriptor was left behind");
	return 0;
}
