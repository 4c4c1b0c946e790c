/* Frames over a real socket pair: every split of the bytes, descriptors with the right frame, none
 * leaked, and the ways in which a peer can be at fault. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "protocol/alloc.h"
#include "protocol/frame.h"

enum { ME, PEER };

struct fixture {
	int pair[2];
	struct frame_reader reader;
	size_t fds_before;
};

static size_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	f->fds_before = count_fds();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f->pair) < 0)
		return -1;
	frame_reader_init(&f->reader);
	*state = f;
	return 0;
}

/* After every test: all descriptors that came are closed. */
static int teardown(void **state)
{
	struct fixture *f = *state;
	frame_reader_finish(&f->reader);
	close(f->pair[ME]);
	if (f->pair[PEER] >= 0)
		close(f->pair[PEER]);
	size_t after = count_fds();
	size_t before = f->fds_before;
	free(f);
	if (after != before)
		print_error("%zu descriptors before, %zu after\n", before, after);
	return after == before ? 0 : -1;
}

/* A frame with payload bytes all of one value, on the heap. */
static uint8_t *make_frame(size_t payload, uint8_t value, size_t *len)
{
	*len = PROTO_HEADER_SIZE + payload;
	uint8_t *p = xmalloc(*len);
	for (unsigned i = 0; i < PROTO_HEADER_SIZE; i++)
		p[i] = (uint8_t)(payload >> (24 - 8 * i));
	memset(p + PROTO_HEADER_SIZE, value, payload);
	return p;
}

static void send_all(struct fixture *f, const void *bytes, size_t len)
{
	assert_int_equal(send(f->pair[PEER], bytes, len, MSG_NOSIGNAL), len);
}

/* Sends with any number of descriptors (copies of /dev/null), beyond what frame_send() allows. */
static void send_with_fds(struct fixture *f, const void *bytes, size_t len, size_t nfds)
{
	enum { MANY = 64 };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MANY * sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes};
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0 && nfds <= MANY);
	msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
	for (size_t i = 0; i < nfds; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(fd));
	assert_int_equal(sendmsg(f->pair[PEER], &msg, MSG_NOSIGNAL), len);
	close(fd);
}

static void assert_payload(struct fixture *f, size_t want_len, uint8_t value)
{
	const uint8_t *payload;
	size_t len;
	assert_int_equal(frame_next(&f->reader, &payload, &len), HW_OK);
	assert_int_equal(len, want_len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(payload[i], value);
}

static void assert_none_yet(struct fixture *f)
{
	const uint8_t *payload;
	size_t len;
	assert_int_equal(frame_next(&f->reader, &payload, &len), HW_EAGAIN);
}

/* Three frames, one of them empty, in two pieces cut at every offset, then byte by byte. */
static void every_split(void **state)
{
	struct fixture *f = *state;
	static const uint8_t stream[] = "\0\0\0\3aaa\0\0\0\0\0\0\0\5bbbbb";
	const size_t total = sizeof(stream) - 1;

	for (size_t cut = 0; cut <= total; cut++) {
		size_t got = 0, pos = 0;
		const size_t pieces[] = {cut, total - cut};
		for (size_t i = 0; i < HW_ARRAY_LEN(pieces); i++) {
			const uint8_t *payload;
			size_t len;
			if (pieces[i] == 0)
				continue;
			send_all(f, stream + pos, pieces[i]);
			pos += pieces[i];
			assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_OK);
			while (frame_next(&f->reader, &payload, &len) == HW_OK) {
				static const char *const want[] = {"aaa", "", "bbbbb"};
				assert_true(got < HW_ARRAY_LEN(want));
				assert_int_equal(len, strlen(want[got]));
				assert_memory_equal(payload, want[got], len);
				got++;
			}
		}
		assert_int_equal(got, 3);
		assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_EAGAIN);
	}
	size_t got = 0;
	for (size_t i = 0; i < total; i++) {
		const uint8_t *payload;
		size_t len;
		send_all(f, stream + i, 1);
		assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_OK);
		while (frame_next(&f->reader, &payload, &len) == HW_OK)
			got++;
		assert_int_equal(got, i < 6 ? 0 : i < 10 ? 1 : i < total - 1 ? 2 : 3);
	}
}

/* Sends what the socket takes, receives, and so on to the end. */
static void largest_frame(void **state)
{
	struct fixture *f = *state;
	size_t len, at = 0;
	uint8_t *frame = make_frame(PROTO_FRAME_MAX, 'm', &len);

	while (at < len) {
		size_t sent;
		int r = frame_send(f->pair[PEER], frame + at, len - at, NULL, 0, &sent);
		assert_true(r == HW_OK || (r == HW_EAGAIN && sent == 0));
		at += sent;
		assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_OK);
		/* Memory follows what came, not what was announced. */
		assert_true(f->reader.buf.cap <= 2 * (at + (128 << 10)));
	}
	int r;
	while ((r = frame_recv(&f->reader, f->pair[ME])) == HW_OK &&
	       bytebuf_len(&f->reader.buf) < len)
		;
	assert_int_equal(r, HW_OK);
	assert_payload(f, PROTO_FRAME_MAX, 'm');
	assert_none_yet(f);
	assert_true(f->reader.buf.cap <= 65536); /* given back */
	free(frame);
}

static void over_limit(void **state)
{
	struct fixture *f = *state;
	const uint8_t *payload;
	size_t len;
	static const uint8_t lengths[][PROTO_HEADER_SIZE] = {
		{0, 0x10, 0, 1}, {0xff, 0xff, 0xff, 0xff}, {0x80, 0, 0, 0}};

	for (size_t i = 0; i < HW_ARRAY_LEN(lengths); i++) {
		send_all(f, lengths[i], PROTO_HEADER_SIZE);
		assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_OK);
		assert_int_equal(frame_next(&f->reader, &payload, &len), HW_ETOOBIG);
		assert_int_equal(frame_next(&f->reader, &payload, &len), HW_ETOOBIG); /* stays so */
		assert_true(f->reader.buf.cap <= 8192);
		/* It reads no more of it. */
		send_all(f, "more", 4);
		assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_OK);
		assert_int_equal(bytebuf_len(&f->reader.buf), PROTO_HEADER_SIZE);
		frame_reader_finish(&f->reader);
		char rest[4];
		assert_int_equal(read(f->pair[ME], rest, sizeof(rest)), 4);
	}
}

static void end_of_file(void **state)
{
	struct fixture *f = *state;
	send_all(f, "\0\0\0\4ab", 6);
	close(f->pair[PEER]);
	f->pair[PEER] = -1;
	assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_OK);
	assert_none_yet(f);
	assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_EOF);
	assert_none_yet(f);
	assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_EOF);
}

static void system_errors(void **state)
{
	struct fixture *f = *state;
	size_t sent;

	assert_int_equal(frame_recv(&f->reader, -1), HW_ESYS);
	assert_int_equal(errno, EBADF);
	close(f->pair[ME]);
	f->pair[ME] = -1;
	assert_int_equal(frame_send(f->pair[PEER], (const uint8_t *)"x", 1, NULL, 0, &sent),
			 HW_ESYS); /* and no SIGPIPE */
	assert_int_equal(errno, EPIPE);
	assert_int_equal(sent, 0);
}

/* What frame_send() attaches, frame_take_fds() gives: the same files in order, close-on-exec. */
static void descriptors(void **state)
{
	struct fixture *f = *state;
	int out[PROTO_FDS_MAX], pipes[2];
	size_t len, sent;
	struct stat want, got;
	uint8_t *frame = make_frame(10, 'd', &len);

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	const int fds[] = {pipes[1], pipes[0], f->pair[PEER]};
	for (size_t n = 0; n <= PROTO_FDS_MAX; n++) {
		assert_int_equal(frame_send(f->pair[PEER], frame, len, fds, n, &sent), HW_OK);
		assert_int_equal(sent, len);
		assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_OK);
		assert_int_equal(frame_take_fds(&f->reader, out), 0); /* no frame handed out yet */
		assert_payload(f, 10, 'd');
		assert_int_equal(frame_take_fds(&f->reader, out), n);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(fcntl(out[i], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
			assert_int_equal(fstat(fds[i], &want), 0);
			assert_int_equal(fstat(out[i], &got), 0);
			assert_int_equal(want.st_ino, got.st_ino);
			close(out[i]);
		}
		assert_int_equal(frame_take_fds(&f->reader, out), 0);
	}
	assert_int_equal(frame_send(f->pair[PEER], frame, len, fds, PROTO_FDS_MAX + 1, &sent),
			 HW_EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	free(frame);
}

/* Frames with and without descriptors that arrive glued together. */
static void descriptors_follow_their_frame(void **state)
{
	struct fixture *f = *state;
	int out[PROTO_FDS_MAX];
	static const size_t with[] = {0, 0, 2, 0, 3, 1};

	for (size_t i = 0; i < HW_ARRAY_LEN(with); i++) {
		size_t len;
		uint8_t *frame = make_frame(i + 1, (uint8_t)i, &len);
		if (with[i])
			send_with_fds(f, frame, len, with[i]);
		else
			send_all(f, frame, len);
		free(frame);
	}
	size_t seen = 0;
	while (frame_recv(&f->reader, f->pair[ME]) == HW_OK) {
		const uint8_t *payload;
		size_t len;
		/* A second read before the frames were taken must read nothing over them. */
		assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_OK);
		while (frame_next(&f->reader, &payload, &len) == HW_OK) {
			assert_int_equal(len, seen + 1);
			size_t n = frame_take_fds(&f->reader, out);
			assert_int_equal(n, with[seen]);
			for (size_t i = 0; i < n; i++)
				close(out[i]);
			seen++;
		}
	}
	assert_int_equal(seen, HW_ARRAY_LEN(with));
}

/* A frame with descriptors arrives in parts, and the next one, with some of its own, right behind
 * it. */
static void descriptors_of_split_frames(void **state)
{
	struct fixture *f = *state;
	/* Shorter and longer than what one read takes. */
	static const size_t sizes[] = {1, 100, 4096, 20000, 150000};
	int out[PROTO_FDS_MAX];
	size_t len, next_len;
	uint8_t *next = make_frame(4, 'n', &next_len);

	for (size_t i = 0; i < HW_ARRAY_LEN(sizes); i++) {
		uint8_t *frame = make_frame(sizes[i], 'l', &len);
		for (size_t cut = 3; cut <= 5 && cut < len; cut++) { /* around the header's end */
			const uint8_t *payload;
			size_t got;
			send_with_fds(f, frame, cut, 2);
			assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_OK);
			assert_none_yet(f);
			send_all(f, frame + cut, len - cut);
			send_with_fds(f, next, next_len, 3);
			while (frame_next(&f->reader, &payload, &got) == HW_EAGAIN)
				assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_OK);
			assert_int_equal(got, sizes[i]);
			size_t n = frame_take_fds(&f->reader, out);
			assert_int_equal(n, 2);
			while (n > 0)
				close(out[--n]);
			assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_OK);
			assert_payload(f, 4, 'n');
			assert_int_equal(f->reader.nfds, 3); /* left untaken */
		}
		free(frame);
	}
	free(next);
}

static void untaken_are_closed(void **state)
{
	struct fixture *f = *state;
	size_t len;
	uint8_t *frame = make_frame(1, 'u', &len);

	for (int i = 0; i < 2; i++) {
		size_t before = count_fds();
		send_with_fds(f, frame, len, 3);
		assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_OK);
		assert_int_equal(count_fds(), before + 3);
		assert_payload(f, 1, 'u');
		if (i == 0)
			assert_none_yet(f);
		else
			assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_EAGAIN);
		assert_int_equal(count_fds(), before);
	}
	free(frame);
}

static void too_many_descriptors(void **state)
{
	static const size_t counts[] = {4, 5, 64};
	struct fixture *f = *state;
	size_t len;
	uint8_t *frame = make_frame(1, 't', &len);

	for (size_t i = 0; i < HW_ARRAY_LEN(counts); i++) {
		size_t before = count_fds();
		send_with_fds(f, frame, len, counts[i]);
		assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_EPROTO);
		assert_int_equal(count_fds(), before);
		frame_reader_finish(&f->reader);
	}
	free(frame);
}

static void descriptors_in_mid_frame(void **state)
{
	struct fixture *f = *state;
	size_t before = count_fds();
	static const uint8_t frame[] = {0, 0, 0, 4, 'a', 'b', 'c', 'd'};

	for (size_t cut = 1; cut < sizeof(frame); cut++) {
		for (size_t first = 0; first <= 3; first += 3) {
			if (first)
				send_with_fds(f, frame, cut, first);
			else
				send_all(f, frame, cut);
			assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_OK);
			send_with_fds(f, frame + cut, sizeof(frame) - cut, 1);
			assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_EPROTO);
			assert_int_equal(count_fds(), before);
			frame_reader_finish(&f->reader);
			/* The read of a frame with descriptors may end before what is left. */
			char rest[sizeof(frame)];
			while (recv(f->pair[ME], rest, sizeof(rest), MSG_DONTWAIT) > 0)
				;
		}
	}
}

/* No room left in this process is not the peer's fault, and is told apart. */
static void out_of_descriptors(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, tight;
	size_t len;
	uint8_t *frame = make_frame(1, 'o', &len);

	send_with_fds(f, frame, len, 3);
	size_t before = count_fds();
	int probe = dup(f->pair[ME]); /* the lowest free number */
	assert_true(probe >= 0);
	close(probe);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	tight = (struct rlimit){.rlim_cur = (rlim_t)probe + 1, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	int r = frame_recv(&f->reader, f->pair[ME]);
	int error = errno;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, HW_ESYS);
	assert_int_equal(error, EMFILE);
	assert_int_equal(count_fds(), before);
	free(frame);
}

/* A full socket: what was not sent is told, and nothing blocks. */
static void send_to_full_socket(void **state)
{
	struct fixture *f = *state;
	size_t len, sent, total = 0;
	uint8_t *frame = make_frame(100000, 'f', &len);
	int r;

	while ((r = frame_send(f->pair[PEER], frame, len, NULL, 0, &sent)) == HW_OK) {
		assert_true(sent > 0 && sent <= len);
		total += sent;
	}
	assert_int_equal(r, HW_EAGAIN);
	assert_int_equal(sent, 0);
	assert_true(total > 0);
	free(frame);
}

/* An answer's bytes do not stay in the reader's memory. */
static void handed_out_bytes_are_wiped(void **state)
{
	struct fixture *f = *state;
	size_t len;
	uint8_t *frame = make_frame(64, 's', &len);

	send_all(f, frame, len);
	send_all(f, "\0\0", 2); /* keeps the buffer in use */
	assert_int_equal(frame_recv(&f->reader, f->pair[ME]), HW_OK);
	assert_payload(f, 64, 's');
	assert_none_yet(f);
	assert_null(memchr(f->reader.buf.data, 's', f->reader.buf.end));
	free(frame);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(every_split),
		T(largest_frame),
		T(over_limit),
		T(end_of_file),
		T(system_errors),
		T(descriptors),
		T(descriptors_follow_their_frame),
		T(descriptors_of_split_frames),
		T(untaken_are_closed),
		T(too_many_descriptors),
		T(descriptors_in_mid_frame),
		T(out_of_descriptors),
		T(send_to_full_socket),
		T(handed_out_bytes_are_wiped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
