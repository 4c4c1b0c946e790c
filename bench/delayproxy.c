/* A small TCP relay that makes loopback look like a long way.
 *
 *   delayproxy [--delay MS] [--rate MBIT] [--queue KIB] [--fifo] PORT
 *
 * Listens on a free port of 127.0.0.1, prints it, and relays every connection to 127.0.0.1:PORT.
 * Every byte leaves --delay milliseconds after it came (each way; fractions are fine).
 *
 * --rate gives one link, shared by all connections together, that many megabits a second in each
 * direction (1 Mbit = 10^6 bits of payload; headers are not counted). Bytes that wait for the
 * link stand in one queue per connection, at most --queue KiB each (default 256), served in turn,
 * one packet's worth (1448 bytes) each: what fq_codel or CAKE do on today's routers and hosts.
 * With --fifo all connections share one queue of that size, served in order of arrival: an old
 * router. A full queue is not read from, so nothing is ever lost; what does not fit waits in the
 * sender's kernel, as it does behind a real congestion window.
 *
 * Not modelled: loss, and the round trip of TCP's own handshake.
 *
 * One thread, edge-triggered epoll, nanosecond timeouts. It ends with its parent. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "delayproxy_lane.h"

enum {
	CONNS_MAX = 512,
	EVENTS = 64,
	NS_PER_MS = 1000000,
	NAP_NS = 200000,
};

/* One relayed connection; its sockets are a (who connected to us) and b (the target). */
struct conn {
	struct lane there; /* a to b */
	struct lane back;  /* b to a */
	int a;
	int b;
};

struct options {
	double delay_ms;
	double rate_mbit;
	long queue_kib;
	bool fifo;
	in_port_t target;
};

struct proxy {
	struct options options;
	struct link there;
	struct link back;
	int listener;
	int epoll;
	struct conn *conns[CONNS_MAX];
	size_t count;
	size_t turns;
};

static void die(const char *what)
{
	fprintf(stderr, "delayproxy: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct sockaddr_in loopback(in_port_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

static void no_nagle(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static in_port_t listen_on_free_port(struct proxy *proxy)
{
	struct sockaddr_in address = loopback(0);
	socklen_t size = sizeof address;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	proxy->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	proxy->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (proxy->listener < 0 || proxy->epoll < 0)
		die("socket");
	if (bind(proxy->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
	    listen(proxy->listener, CONNS_MAX) != 0 ||
	    getsockname(proxy->listener, (struct sockaddr *)&address, &size) != 0 ||
	    epoll_ctl(proxy->epoll, EPOLL_CTL_ADD, proxy->listener, &event) != 0)
		die("listen");
	return ntohs(address.sin_port);
}

/* A blocking connect: the target is on loopback and answers at once or never. */
static int connect_to_target(const struct options *options)
{
	struct sockaddr_in address = loopback(options->target);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
		fprintf(stderr, "delayproxy: port %u: %s\n", options->target, strerror(errno));
		close(fd);
		return -1;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	no_nagle(fd);
	return fd;
}

static void watch(struct proxy *proxy, int fd, struct conn *conn)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};

	event.data.ptr = conn;
	if (epoll_ctl(proxy->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		die("epoll_ctl");
}

static void accept_one(struct proxy *proxy)
{
	int a = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int b;
	struct conn *conn;

	if (a < 0)
		return;
	no_nagle(a);
	b = proxy->count < CONNS_MAX ? connect_to_target(&proxy->options) : -1;
	conn = b < 0 ? NULL : calloc(1, sizeof *conn);
	if (conn == NULL) {
		close(a);
		if (b >= 0)
			close(b);
		return;
	}
	conn->a = a;
	conn->b = b;
	if (!lane_init(&conn->there, a, b, &proxy->there) ||
	    !lane_init(&conn->back, b, a, &proxy->back))
		die("memory");
	proxy->conns[proxy->count++] = conn;
	watch(proxy, a, conn);
	watch(proxy, b, conn);
}

static void drop(struct proxy *proxy, size_t i)
{
	struct conn *conn = proxy->conns[i];

	lane_finish(&conn->there);
	lane_finish(&conn->back);
	close(conn->a);
	close(conn->b);
	free(conn);
	proxy->conns[i] = proxy->conns[--proxy->count];
}

/* Moves what can be moved now, everywhere, and drops what has ended. Returns when to come again:
 * 0 at once, UINT64_MAX only when a socket says so. */
static uint64_t turn(struct proxy *proxy)
{
	uint64_t now = now_ns();
	uint64_t next = UINT64_MAX;

	/* Another begins each time, or a queue that all share would be filled by the first alone.
	 */
	proxy->turns++;
	for (size_t i = 0; i < proxy->count; i++) {
		struct conn *conn = proxy->conns[(i + proxy->turns) % proxy->count];

		lane_fill(&conn->there, now);
		lane_fill(&conn->back, now);
	}
	link_serve(&proxy->there, now);
	link_serve(&proxy->back, now);
	for (size_t i = proxy->count; i-- > 0;) {
		struct conn *conn = proxy->conns[i];

		lane_drain(&conn->there, now);
		lane_drain(&conn->back, now);
		if (conn->there.broken || conn->back.broken ||
		    (conn->there.done && conn->back.done)) {
			drop(proxy, i);
			continue;
		}
		next = lane_next(&conn->there, next);
		next = lane_next(&conn->back, next);
	}
	next = link_next(&proxy->there, next);
	return link_next(&proxy->back, next);
}

static void on_event(struct proxy *proxy, const struct epoll_event *event)
{
	struct conn *conn = event->data.ptr;

	if (conn == NULL) {
		accept_one(proxy);
		return;
	}
	/* Which of the two sockets spoke is not told: a read or write that has nothing to do
	 * answers EAGAIN and costs less than keeping book. */
	if (event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		conn->there.readable = true;
		conn->back.readable = true;
	}
	if (event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
		conn->there.writable = true;
		conn->back.writable = true;
	}
}

static void run(struct proxy *proxy)
{
	for (;;) {
		struct epoll_event events[EVENTS];
		struct timespec wait = {0};
		uint64_t next = turn(proxy);
		uint64_t now = now_ns();
		int n;

		/* A timer that comes this soon comes a little late instead, with what follows it:
		 * a link's rate is kept all the same, since it sends what it had time for. */
		if (next != 0 && next < now + NAP_NS)
			next = now + NAP_NS;
		if (next > now && next != UINT64_MAX) {
			wait.tv_sec = (time_t)((next - now) / 1000000000u);
			wait.tv_nsec = (long)((next - now) % 1000000000u);
		}
		n = epoll_pwait2(proxy->epoll, events, EVENTS, next == UINT64_MAX ? NULL : &wait,
				 NULL);
		if (n < 0 && errno != EINTR)
			die("epoll_pwait2");
		for (int i = 0; i < n; i++)
			on_event(proxy, &events[i]);
	}
}

static double number(const char *text, double max)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= 0 && value <= max)) {
		fprintf(stderr, "delayproxy: %s: not a number from 0 to %g\n", text, max);
		exit(2);
	}
	return value;
}

static void parse(struct options *options, int argc, char **argv)
{
	static const struct option known[] = {
		{"delay", required_argument, NULL, 'd'},
		{"rate", required_argument, NULL, 'r'},
		{"queue", required_argument, NULL, 'q'},
		{"fifo", no_argument, NULL, 'f'},
		{NULL, 0, NULL, 0},
	};
	int option;

	*options = (struct options){.queue_kib = 256};
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'd')
			options->delay_ms = number(optarg, 5000);
		else if (option == 'r')
			options->rate_mbit = number(optarg, 100e3);
		else if (option == 'q')
			options->queue_kib = (long)number(optarg, 64 * 1024);
		else if (option == 'f')
			options->fifo = true;
		else
			exit(2);
	}
	if (optind != argc - 1) {
		fprintf(stderr, "usage: delayproxy [--delay ms] [--rate mbit] [--queue kib] "
				"[--fifo] port\n");
		exit(2);
	}
	options->target = (in_port_t)number(argv[optind], 65535);
}

int main(int argc, char **argv)
{
	struct proxy proxy = {0};
	struct link link;

	parse(&proxy.options, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	prctl(PR_SET_TIMERSLACK, 1000UL);
	link = (struct link){
		.delay = (uint64_t)(proxy.options.delay_ms * NS_PER_MS),
		.bytes_per_s = proxy.options.rate_mbit * 1e6 / 8,
		.queue = (uint64_t)proxy.options.queue_kib * 1024,
		.fifo = proxy.options.fifo,
	};
	proxy.there = link;
	proxy.back = link;
	printf("%u\n", listen_on_free_port(&proxy));
	fflush(stdout);
	run(&proxy);
	return 0;
}
