#include "daemon/netwatch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "protocol/alloc.h"
#include "protocol/log.h"

/* Addresses and routes change in volleys: they are told together. */
#define SETTLE_MS 250
/* Addresses that went away are remembered, the newest of so many. */
#define GONE_MAX 8
/* What stands is remembered, the newest of so many: routers and DHCP clients announce the same
 * address and route again and again. */
#define KNOWN_MAX 64
/* Less is no sleep, but two clocks read one after the other. */
#define SLEEP_MIN_S 1.0
/* A clock that jumps ahead so far without a sleep: a virtual machine that stood still, maybe. */
#define JUMP_MIN_S 5.0

struct gone {
	struct sockaddr_storage address;
	uint64_t ms; /* loop time; 0: none */
};

struct netwatch {
	uv_loop_t *loop;
	netwatch_changed changed;
	void *ctx;
	int netlink, clock; /* -1: not there */
	uv_poll_t netlink_poll, clock_poll;
	uv_timer_t settle;
	uv_signal_t cont;
	unsigned handles;

	double asleep_s; /* CLOCK_BOOTTIME - CLOCK_MONOTONIC */
	double wall_s;	 /* CLOCK_REALTIME - CLOCK_BOOTTIME */
	struct gone gone[GONE_MAX];
	size_t next_gone;
	struct netwatch_fact known[KNOWN_MAX]; /* family 0: none */
	size_t next_known;
	unsigned asked;		     /* of the lists that are asked for at the start: so many */
	uint64_t route_ms, slept_ms; /* loop time of the last; 0: never */
	double slept_s;

	enum netwatch_kind kind; /* to be told */
	char text[160];
};

static double clock_s(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* A loop time of 0 stands for never. */
static uint64_t now_ms(const struct netwatch *n)
{
	uint64_t now = uv_now(n->loop);

	return now > 0 ? now : 1;
}

static void on_settled(uv_timer_t *timer)
{
	struct netwatch *n = timer->data;
	enum netwatch_kind kind = n->kind;

	n->kind = NETWATCH_NONE;
	n->changed(n->ctx, kind, n->text);
}

/* What says most about a broken connection wins. */
static int weight(enum netwatch_kind kind)
{
	static const int weights[] = {
		[NETWATCH_NONE] = 0,  [NETWATCH_ADDRESS_NEW] = 1, [NETWATCH_ROUTE] = 2,
		[NETWATCH_LINK] = 0,  [NETWATCH_STOPPED] = 3,	  [NETWATCH_ADDRESS_GONE] = 4,
		[NETWATCH_SLEPT] = 5,
	};

	return weights[kind];
}

static void note(struct netwatch *n, enum netwatch_kind kind, const char *text)
{
	if (weight(kind) > weight(n->kind)) {
		n->kind = kind;
		snprintf(n->text, sizeof(n->text), "%s", text);
	}
	/* The first of a volley sets the time: a network that never rests is told of too. */
	if (!uv_is_active((uv_handle_t *)&n->settle))
		uv_timer_start(&n->settle, on_settled,
			       kind == NETWATCH_SLEPT || kind == NETWATCH_STOPPED ? 0 : SETTLE_MS,
			       0);
}

static void note_address(struct netwatch *n, enum netwatch_kind kind, const struct netwatch_fact *f)
{
	const struct sockaddr_storage *address = &f->address;
	char name[INET6_ADDRSTRLEN] = "", text[160];
	const void *bytes = address->ss_family == AF_INET
				    ? (const void *)&((const struct sockaddr_in *)address)->sin_addr
				    : &((const struct sockaddr_in6 *)address)->sin6_addr;

	if (address->ss_family == AF_UNSPEC)
		return;
	inet_ntop(address->ss_family, bytes, name, sizeof(name));
	if (kind == NETWATCH_ADDRESS_GONE) {
		n->gone[n->next_gone] = (struct gone){.address = *address, .ms = now_ms(n)};
		n->next_gone = (n->next_gone + 1) % GONE_MAX;
		snprintf(text, sizeof(text), "this machine's address %s went away", name);
	} else {
		snprintf(text, sizeof(text), "this machine got the address %s", name);
	}
	if (!f->nearby)
		note(n, kind, text);
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
	return a->ss_family == AF_INET6 &&
	       memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
		      &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

static bool same_way(const struct netwatch_fact *a, const struct netwatch_fact *b)
{
	return a->interface == b->interface &&
	       (a->address.ss_family == AF_UNSPEC ? b->address.ss_family == AF_UNSPEC
						  : same_address(&a->address, &b->address));
}

/* Of IPv4's default routes with one metric, a new one takes the place of the old, which is not
 * said to have gone; IPv6 has several beside each other. */
static struct netwatch_fact *find_known(struct netwatch *n, const struct netwatch_fact *f)
{
	for (size_t i = 0; i < KNOWN_MAX; i++) {
		struct netwatch_fact *k = &n->known[i];

		if (k->family != f->family || k->route != f->route || k->metric != f->metric)
			continue;
		if (f->route && f->family == AF_INET)
			return k;
		if (f->route ? same_way(k, f) : same_address(&k->address, &f->address))
			return k;
	}
	return NULL;
}

/* True: it is news. */
static bool learn(struct netwatch *n, const struct netwatch_fact *f)
{
	struct netwatch_fact *k = find_known(n, f);
	bool news = k == NULL || (f->route && !same_way(k, f));

	if (k == NULL) {
		k = &n->known[n->next_known];
		n->next_known = (n->next_known + 1) % KNOWN_MAX;
	}
	*k = *f;
	return news;
}

static void forget(struct netwatch *n, const struct netwatch_fact *f)
{
	struct netwatch_fact *k = find_known(n, f);

	if (k != NULL)
		memset(k, 0, sizeof(*k));
}

/* A default route is not said to have gone with its link, and one whose cable is pulled stays. */
static void take_link(struct netwatch *n, const struct netwatch_fact *link)
{
	bool back = false;

	for (size_t i = 0; i < KNOWN_MAX; i++) {
		struct netwatch_fact *k = &n->known[i];

		if (!k->route || k->interface != link->interface)
			continue;
		back = back || (link->running && !k->running);
		k->running = link->running;
		if (!link->up)
			memset(k, 0, sizeof(*k));
	}
	if (!back)
		return;
	n->route_ms = now_ms(n);
	note(n, NETWATCH_ROUTE, "the link of this machine's default route is back");
}

static void take_message(struct netwatch *n, const struct nlmsghdr *h)
{
	struct netwatch_fact f;
	enum netwatch_kind kind = netwatch_parse(h, h->nlmsg_len, &f);

	if (kind == NETWATCH_NONE)
		return;
	if (kind == NETWATCH_LINK) {
		take_link(n, &f);
		return;
	}
	f.running = true;
	if (h->nlmsg_type == RTM_DELADDR || h->nlmsg_type == RTM_DELROUTE)
		forget(n, &f);
	else if (!learn(n, &f) || (h->nlmsg_flags & NLM_F_MULTI) != 0)
		return; /* nothing new, or what stood when we began */
	if (kind == NETWATCH_ROUTE) {
		n->route_ms = now_ms(n);
		note(n, kind, "the default route of this machine changed");
	} else {
		note_address(n, kind, &f);
	}
}

/* Asks for all addresses, then for all routes: one list at a time. */
static void ask_for_list(struct netwatch *n)
{
	struct {
		struct nlmsghdr h;
		struct rtgenmsg g;
	} ask = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof(ask.g)),
		       .nlmsg_type = n->asked == 0 ? RTM_GETADDR : RTM_GETROUTE,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};

	if (n->netlink < 0 || n->asked >= 2)
		return;
	n->asked++;
	if (send(n->netlink, &ask, ask.h.nlmsg_len, MSG_DONTWAIT) < 0)
		log_debug("rtnetlink: %m");
}

static void take_messages(struct netwatch *n, const char *data, size_t len)
{
	while (len >= sizeof(struct nlmsghdr)) {
		const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)data;

		if (h->nlmsg_len < sizeof(*h) || h->nlmsg_len > len)
			return;
		if (h->nlmsg_type == NLMSG_DONE)
			ask_for_list(n);
		else
			take_message(n, h);
		if (NLMSG_ALIGN(h->nlmsg_len) >= len)
			return;
		data += NLMSG_ALIGN(h->nlmsg_len);
		len -= NLMSG_ALIGN(h->nlmsg_len);
	}
}

/* More came than the socket holds: what it was is not known, nor what stands now. */
static void start_over(struct netwatch *n)
{
	memset(n->known, 0, sizeof(n->known));
	n->next_known = 0;
	n->asked = 0;
	ask_for_list(n);
	note(n, NETWATCH_ROUTE, "the network of this machine changed");
}

static void on_netlink(uv_poll_t *handle, int status, int events)
{
	struct netwatch *n = handle->data;
	_Alignas(struct nlmsghdr) char data[16384];
	struct sockaddr_nl from;
	ssize_t got;

	(void)events;
	/* libuv stops the handle when a socket has an error to tell, which recvfrom() will. */
	if (status < 0)
		uv_poll_start(handle, UV_READABLE, on_netlink);
	for (int i = 0; i < 16; i++) {
		socklen_t size = sizeof(from);

		got = recvfrom(n->netlink, data, sizeof(data), MSG_DONTWAIT,
			       (struct sockaddr *)&from, &size);
		if (got < 0) {
			if (errno != ENOBUFS)
				return;
			start_over(n);
			continue;
		}
		if (from.nl_pid == 0) /* the kernel's own, nobody else's */
			take_messages(n, data, (size_t)got);
	}
}

/* Armed for a time that never comes: it ends when somebody sets the clock, which the kernel also
 * does when it wakes up. */
static void arm_clock(struct netwatch *n)
{
	struct itimerspec when = {.it_value.tv_sec = (time_t)4102444800}; /* the year 2100 */

	timerfd_settime(n->clock, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, NULL);
}

static void look_at_clocks(struct netwatch *n)
{
	double boot = clock_s(CLOCK_BOOTTIME);
	double asleep = boot - clock_s(CLOCK_MONOTONIC), wall = clock_s(CLOCK_REALTIME) - boot;
	char text[160];

	if (asleep - n->asleep_s >= SLEEP_MIN_S) {
		n->slept_s = asleep - n->asleep_s;
		n->slept_ms = now_ms(n);
		snprintf(text, sizeof(text), "this machine slept for %.0f s", n->slept_s);
		note(n, NETWATCH_SLEPT, text);
	} else if (wall - n->wall_s >= JUMP_MIN_S) {
		note(n, NETWATCH_STOPPED,
		     "the clock of this machine jumped ahead: it may have stood still");
	}
	n->asleep_s = asleep;
	n->wall_s = wall;
}

static void on_clock(uv_poll_t *handle, int status, int events)
{
	struct netwatch *n = handle->data;
	uint64_t ticks;

	(void)status;
	(void)events;
	if (read(n->clock, &ticks, sizeof(ticks)) < 0 && errno == EAGAIN)
		return;
	arm_clock(n);
	look_at_clocks(n);
}

static void on_continued(uv_signal_t *handle, int signum)
{
	struct netwatch *n = handle->data;

	(void)signum;
	look_at_clocks(n);
	note(n, NETWATCH_STOPPED, "hawserd had been stopped, and goes on");
}

static int open_netlink(void)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK,
				      .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR |
						   RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
						   RTMGRP_IPV6_ROUTE};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	log_warn("changes of the network will go unseen: rtnetlink: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static void watch_fd(struct netwatch *n, uv_poll_t *poll, int fd, uv_poll_cb cb)
{
	if (fd < 0)
		return;
	uv_poll_init(n->loop, poll, fd);
	poll->data = n;
	uv_poll_start(poll, UV_READABLE, cb);
	uv_unref((uv_handle_t *)poll);
	n->handles++;
}

struct netwatch *netwatch_create(uv_loop_t *loop, netwatch_changed changed, void *ctx)
{
	struct netwatch *n = xcalloc(1, sizeof(*n));

	n->loop = loop;
	n->changed = changed;
	n->ctx = ctx;
	n->netlink = open_netlink();
	n->clock = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (n->clock >= 0)
		arm_clock(n);
	n->asleep_s = clock_s(CLOCK_BOOTTIME) - clock_s(CLOCK_MONOTONIC);
	n->wall_s = clock_s(CLOCK_REALTIME) - clock_s(CLOCK_BOOTTIME);
	watch_fd(n, &n->netlink_poll, n->netlink, on_netlink);
	watch_fd(n, &n->clock_poll, n->clock, on_clock);
	ask_for_list(n);
	uv_timer_init(loop, &n->settle);
	uv_signal_init(loop, &n->cont);
	n->settle.data = n->cont.data = n;
	n->handles += 2;
	uv_signal_start(&n->cont, on_continued, SIGCONT);
	uv_unref((uv_handle_t *)&n->cont);
	return n;
}

static void on_closed(uv_handle_t *handle)
{
	struct netwatch *n = handle->data;

	if (--n->handles > 0)
		return;
	if (n->netlink >= 0)
		close(n->netlink);
	if (n->clock >= 0)
		close(n->clock);
	free(n);
}

void netwatch_destroy(struct netwatch *n)
{
	if (n == NULL)
		return;
	if (n->netlink >= 0)
		uv_close((uv_handle_t *)&n->netlink_poll, on_closed);
	if (n->clock >= 0)
		uv_close((uv_handle_t *)&n->clock_poll, on_closed);
	uv_close((uv_handle_t *)&n->settle, on_closed);
	uv_close((uv_handle_t *)&n->cont, on_closed);
}

static double ago(const struct netwatch *n, uint64_t ms)
{
	return ms == 0 ? -1 : (double)(now_ms(n) - ms) / 1e3;
}

void netwatch_evidence(const struct netwatch *n, const struct sockaddr_storage *local,
		       struct evidence *e)
{
	if (n == NULL)
		return;
	e->route_ago_s = ago(n, n->route_ms);
	e->slept_ago_s = ago(n, n->slept_ms);
	if (n->slept_ms != 0)
		e->slept_s = n->slept_s;
	for (size_t i = 0; i < GONE_MAX; i++) {
		const struct gone *g = &n->gone[i];
		double s = ago(n, g->ms);

		if (g->ms != 0 && same_address(&g->address, local) &&
		    (e->address_ago_s < 0 || s < e->address_ago_s))
			e->address_ago_s = s;
	}
}
