/* This machine's own changes that may have broken connections: addresses and default routes
 * (rtnetlink(7)), sleep, clocks that were set, the daemon having been stopped. Loop thread only. */
#ifndef HAWSER_DAEMON_NETWATCH_H
#define HAWSER_DAEMON_NETWATCH_H

#include <sys/socket.h>
#include <uv.h>
#include "daemon/evidence.h"

enum netwatch_kind {
	NETWATCH_NONE,
	NETWATCH_ADDRESS_GONE,
	NETWATCH_ADDRESS_NEW,
	NETWATCH_ROUTE,
	NETWATCH_SLEPT,
	NETWATCH_LINK,	  /* for netwatch.c only: an interface's state was told */
	NETWATCH_STOPPED, /* the process, or the whole machine, without a clock that says so */
};

struct netwatch;
/* From the top of the loop; changes that come together are told once, by the gravest. text: for the
 * journal and the user, "the default route changed". */
typedef void (*netwatch_changed)(void *ctx, enum netwatch_kind kind, const char *text);

/* Never NULL: what the kernel does not let us see (a sandbox) is logged and goes unseen. */
struct netwatch *netwatch_create(uv_loop_t *loop, netwatch_changed changed, void *ctx);
/* NULL ok. Its handles close with the loop's next turns. */
void netwatch_destroy(struct netwatch *n);
/* Fills in what happened of late: slept_*, route_ago_s, and address_ago_s where local's address (a
 * connection's own side) has gone away. n NULL: nothing. */
void netwatch_evidence(const struct netwatch *n, const struct sockaddr_storage *local,
		       struct evidence *e);

/* For netwatch.c and its test. */
struct nlmsghdr;
/* Something that stands until it is taken away: an address of ours, or a default route. */
struct netwatch_fact {
	struct sockaddr_storage address; /* ours; or the route's gateway. AF_UNSPEC: not said */
	bool route;
	bool nearby; /* an address of the link or the host only */
	int family;
	uint32_t interface, metric; /* of a route; interface also of a link */
	bool up, running;	    /* of a link: switched on; has a carrier */
};
/* What one rtnetlink message (at most len bytes, header included) says of an address or a default
 * route; out is filled as far as it goes. NONE: neither, or an address that leads nowhere (of the
 * link or the host only, or tentative yet). */
enum netwatch_kind netwatch_parse(const struct nlmsghdr *h, size_t len, struct netwatch_fact *out);

#endif
