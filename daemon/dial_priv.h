/* What dial.c and dial_cause.c share. */
#ifndef HAWSER_DAEMON_DIAL_PRIV_H
#define HAWSER_DAEMON_DIAL_PRIV_H

#include <sys/socket.h>
#include "daemon/dial.h"
#include "daemon/dial_bind.h"

#define DIAL_MAX_ADDRESSES 16

/* One socket on its way to an address. */
struct knock {
	struct attempt *attempt;
	uv_poll_t poll;
	int fd; /* -1: not running */
	bool polling;
};

/* The first knock is repeated by the kernel, at intervals that double; the others are fresh ones
 * beside it, in turn. */
#define DIAL_KNOCKS 3

struct attempt {
	struct dial *dial;
	struct knock knocks[DIAL_KNOCKS];
	unsigned next_fresh; /* 1 or 2 */
	int error;
	struct sockaddr_storage addr;
	socklen_t addr_len;
	char text[64];
};

struct dial {
	uv_loop_t *loop;
	struct dial_want want; /* strings owned */
	dial_cb cb;
	void *ctx;
	struct dial_source source; /* none: the kernel chooses */
	int bind_error;		   /* of the last bind(2) that failed */
	uv_getaddrinfo_t lookup;   /* of the source's name, then of the host's */
	bool looking_up;
	uv_timer_t stagger, deadline, fresh;
	struct attempt attempts[DIAL_MAX_ADDRESSES];
	size_t count, started, running;
	unsigned round; /* of ConnectionAttempts */
	bool finished;
	unsigned open_handles; /* uv handles whose close callback has not come */
};

/* Fill why: all attempts failed; the name could not be looked up (EAI_*); ConnectTimeout is over;
 * the source address or interface cannot be had. */
void dial_explain_failure(const struct dial *d, struct cause *why);
void dial_explain_lookup(const struct dial *d, int error, struct cause *why);
void dial_explain_deadline(const struct dial *d, struct cause *why);
void dial_explain_source(const struct dial *d, const char *said, struct cause *why);

#endif
