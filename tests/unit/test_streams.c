/* What the daemon is given of stdin, stdout and stderr, and that no flag of a description that
 * others share is ever touched. Each test replaces 0..2 and puts them back. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "client/relay.h"
#include "client/streams.h"
#include "protocol/proto.h"

/* The user's side of each kind of stream. */
struct setup {
	int saved[3];
	int made[3]; /* a second descriptor of the same description, as a shell would hold */
	int flags[3];
};

static void take(struct setup *s, int in, int out, int err)
{
	int fds[3] = {in, out, err};

	for (int i = 0; i < 3; i++) {
		s->saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 50);
		s->made[i] = fds[i];
	}
	for (int i = 0; i < 3; i++) {
		if (fds[i] >= 0) {
			dup2(fds[i], i);
			s->flags[i] = fcntl(fds[i], F_GETFL);
		} else {
			close(i);
		}
	}
}

/* Puts 0..2 back; fails when a shared description has other flags than before. */
static void give_back(struct setup *s)
{
	int now[3];

	for (int i = 0; i < 3; i++) {
		now[i] = s->made[i] >= 0 ? fcntl(s->made[i], F_GETFL) : 0;
		dup2(s->saved[i], i);
		close(s->saved[i]);
	}
	for (int i = 0; i < 3; i++)
		if (s->made[i] >= 0)
			assert_int_equal(now[i], s->flags[i]);
}

static void test_null_and_closed(void **state)
{
	struct setup s;
	struct streams st;
	int null = open("/dev/null", O_RDWR);

	(void)state;
	take(&s, null, -1, null);
	int r = streams_open(&st, false);
	bool filled = fcntl(STDOUT_FILENO, F_GETFD) >= 0;
	streams_close(&st);
	give_back(&s);
	assert_int_equal(r, HW_OK);
	assert_true(filled);
	assert_int_equal(st.s[0].proto, PROTO_STREAM_NULL);
	assert_int_equal(st.s[1].proto, PROTO_STREAM_CLOSED);
	assert_int_equal(st.s[2].proto, PROTO_STREAM_NULL);
	assert_false(st.pumped);
	close(null);
}

static void test_pipes_are_reopened(void **state)
{
	struct setup s;
	struct streams st;
	int in[2], out[2];
	char byte = 0;

	(void)state;
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	take(&s, in[0], out[1], out[1]);
	int r = streams_open(&st, false);
	int flags = fcntl(st.s[0].given, F_GETFL), out_flags = fcntl(st.s[1].given, F_GETFL);
	bool same_err = st.s[2].given == st.s[1].given;
	ssize_t wrote = write(st.s[1].given, "x", 1), got = read(out[0], &byte, 1);
	bool own = st.s[0].given > 2 && st.s[1].given > 2;
	bool pumped = st.pumped;
	streams_close(&st);
	give_back(&s);
	assert_int_equal(r, HW_OK);
	assert_true(own);
	assert_true(flags & O_NONBLOCK);
	assert_int_equal(flags & O_ACCMODE, O_RDONLY);
	assert_true(out_flags & O_NONBLOCK);
	assert_int_equal(out_flags & O_ACCMODE, O_WRONLY);
	assert_true(same_err);
	assert_false(pumped);
	assert_int_equal(wrote, 1);
	assert_int_equal(got, 1);
	assert_int_equal(byte, 'x');
	for (int i = 0; i < 2; i++) {
		close(in[i]);
		close(out[i]);
	}
}

static void test_sockets(void **state)
{
	struct setup s;
	struct streams st;
	int pair[2], packets[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets), 0);
	take(&s, pair[0], pair[0], packets[0]);
	int r = streams_open(&st, false);
	struct stream in = st.s[0], out = st.s[1], err = st.s[2];
	streams_close(&st);
	bool still = fcntl(STDIN_FILENO, F_GETFD) >= 0 && fcntl(STDOUT_FILENO, F_GETFD) >= 0;
	give_back(&s);
	assert_int_equal(r, HW_OK);
	assert_int_equal(in.given, 0);
	assert_int_equal(out.given, 1);
	assert_true(err.given > 2); /* packets: pumped */
	assert_int_equal(err.pump_local, 2);
	assert_true(still);
	for (int i = 0; i < 2; i++) {
		close(pair[i]);
		close(packets[i]);
	}
}

static void test_terminal_is_pumped(void **state)
{
	struct setup s;
	struct streams st;
	int master, slave;

	(void)state;
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	take(&s, slave, slave, slave);
	int r = streams_open(&st, false);
	uint32_t flags = streams_flags(&st);
	struct stream in = st.s[0], out = st.s[1];
	int given = fcntl(out.given, F_GETFL), err = st.s[2].given;
	streams_close(&st);
	struct streams null_in;
	int r2 = streams_open(&null_in, true);
	uint32_t null_flags = streams_flags(&null_in);
	uint8_t null_proto = null_in.s[0].proto;
	streams_close(&null_in);
	give_back(&s);
	assert_int_equal(r, HW_OK);
	assert_int_equal(flags, PROTO_STDIN_TTY | PROTO_STDOUT_TTY | PROTO_STDERR_TTY);
	assert_true(st.pumped && st.tty);
	assert_true(in.pump_remote > 2 && out.pump_remote > 2);
	assert_true(in.pump_local > 2); /* a description of its own, which may be non-blocking */
	assert_int_equal(given & O_ACCMODE, O_WRONLY);
	assert_int_equal(err, out.given);
	/* -n on a terminal: stdin is said to be null, but it is still a terminal. */
	assert_int_equal(r2, HW_OK);
	assert_int_equal(null_proto, PROTO_STREAM_NULL);
	assert_true(null_flags & PROTO_STDIN_TTY);
	close(master);
	close(slave);
}

/* Drives the relay until it has nothing left, with the other ends played here. */
static void test_files_are_pumped(void **state)
{
	enum { SIZE = 300 * 1000 };
	char in_name[] = "/tmp/hawser-test-in-XXXXXX", out_name[] = "/tmp/hawser-test-out-XXXXXX";
	int in = mkstemp(in_name), out = mkstemp(out_name);
	char *data = malloc(SIZE), *back = malloc(SIZE + 1);
	struct setup s;
	struct streams st;
	struct relay relay;
	size_t got = 0, echoed = 0;

	(void)state;
	unlink(in_name);
	unlink(out_name);
	for (int i = 0; i < SIZE; i++)
		data[i] = (char)(i * 7 + i / 251);
	assert_int_equal(write(in, data, SIZE), SIZE);
	lseek(in, 0, SEEK_SET);
	/* Append-only, so that splice(2) is refused and the plain way is taken too. */
	fcntl(out, F_SETFL, O_APPEND);
	take(&s, in, out, -1);
	int r = streams_open(&st, false);
	relay_init(&relay, &st);
	relay.flowing = true;
	relay_start(&relay, -1);
	int from = st.s[0].given, to = st.s[1].given;
	int sizes = fcntl(from, F_GETPIPE_SZ);
	for (int turns = 0; turns < 10000 && relay_draining(&relay); turns++) {
		struct pollfd p[RELAY_POLLS_MAX];
		size_t n = relay_poll(&relay, p);
		poll(p, (nfds_t)n, 0);
		relay_move(&relay, p);
		if (echoed == got && from >= 0) {
			ssize_t k = read(from, back + got, SIZE + 1 - got);
			if (k > 0)
				got += (size_t)k;
			if (k == 0) {
				close(from); /* the end of the file came through */
				close(to);
				from = -1;
			}
		}
		if (echoed < got) {
			ssize_t k = write(to, back + echoed, got - echoed);
			if (k > 0)
				echoed += (size_t)k;
		}
	}
	bool drained = !relay_draining(&relay);
	relay_finish(&relay);
	if (from < 0)
		st.s[0].given = st.s[1].given = -1;
	streams_close(&st);
	give_back(&s);
	assert_int_equal(r, HW_OK);
	assert_true(drained);
	assert_true(sizes >= 65536);
	assert_int_equal(got, SIZE);
	assert_memory_equal(back, data, SIZE);
	assert_int_equal(lseek(out, 0, SEEK_END), SIZE);
	memset(back, 0, SIZE);
	assert_int_equal(pread(out, back, SIZE, 0), SIZE);
	assert_memory_equal(back, data, SIZE);
	free(data);
	free(back);
	close(in);
	close(out);
}

/* Nobody reads what we would write: the user's stdin is left alone from then on. */
static void test_reader_gone(void **state)
{
	struct setup s;
	struct streams st;
	struct relay relay;
	struct pollfd p[RELAY_POLLS_MAX];
	int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);

	(void)state;
	take(&s, zero, null, null);
	int r = streams_open(&st, false);
	relay_init(&relay, &st);
	relay.flowing = true;
	bool quiet = true;
	size_t n = relay_poll(&relay, p);
	for (size_t i = 0; i < n; i++) /* before STARTED not a byte may be read */
		quiet &= p[i].events == 0;
	streams_close_given(&st);
	n = relay_poll(&relay, p);
	poll(p, (nfds_t)n, 0);
	relay_move(&relay, p);
	bool stopped = relay.pumps[0].src < 0;
	relay_finish(&relay);
	streams_close(&st);
	give_back(&s);
	assert_int_equal(r, HW_OK);
	assert_true(quiet);
	assert_true(stopped);
	close(zero);
	close(null);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_null_and_closed),	 cmocka_unit_test(test_pipes_are_reopened),
		cmocka_unit_test(test_sockets),		 cmocka_unit_test(test_terminal_is_pumped),
		cmocka_unit_test(test_files_are_pumped), cmocka_unit_test(test_reader_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
