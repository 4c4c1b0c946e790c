/* What forward*.c share: forward.c (the set), forward_batch.c (setting up, in order),
 * forward_listen.c (local listeners), forward_remote.c (the server's), forward_link.c (a connection
 * through either). Nobody else includes this. */
#ifndef HAWSER_DAEMON_FORWARD_PRIV_H
#define HAWSER_DAEMON_FORWARD_PRIV_H

#include <sys/socket.h>
#include <uv.h>

#include "daemon/app.h"
#include "daemon/channel.h"
#include "daemon/defer.h"
#include "daemon/dial.h"
#include "daemon/forward.h"
#include "daemon/forward_path.h"
#include "daemon/forward_socks.h"
#include "daemon/pool.h"
#include "daemon/tunnel.h"
#include "daemon/watch.h"
#include "protocol/bytebuf.h"

#define FORWARDS_MAX	    1000
#define FORWARD_SOCKETS_MAX 16 /* addresses of one name */
/* Connections of one set; more wait in the listeners' queues, or are refused to the server. */
#define FORWARD_LINKS_MAX 1024

struct forward_socket {
	struct forward *forward;
	int fd;
	struct watch *watch;
	int number; /* as ssh numbers channels */
};

struct forward_lookup;

struct forward {
	struct forward *next;
	struct forward_set *set;
	struct forward_spec spec; /* paths are absolute */
	struct destination *dest;
	struct forward_batch *batch; /* NULL: settled */
	bool quiet, again;	     /* as in forward_want */

	/* local */
	struct forward_lookup *lookup;
	struct path_job *binding;
	struct forward_socket sockets[FORWARD_SOCKETS_MAX];
	size_t nsockets;

	/* remote */
	char *address; /* as it is sent to the server; NULL: local */
	struct transport_acceptor acceptor;
	bool asking, accepting;
};

/* A connection through a forward, which may be cancelled while its connections live. */
struct forward_link {
	struct forward_link *next;
	struct forward_set *set;
	struct destination *dest;
	struct forward_end target;
	int number;
	char *text; /* as ssh calls such a channel */
	struct tunnel *tunnel;

	/* A SOCKS client has not said where to: on a socket of ours, or on a channel. */
	bool negotiating, refused;
	struct socks socks;
	uint64_t deadline; /* loop ms */
	int fd;
	struct watch *watch;
	uint8_t answer[16]; /* to be sent on the channel */
	size_t answer_len;
	struct bytebuf early; /* came on the channel behind the request */

	/* A channel of the server's that is on its way to a socket. */
	struct channel *channel;
	struct dial *dial;
	struct path_job *connecting;

	struct sockaddr_storage peer; /* who connected; ss_family 0: not known here */
};

struct forward_set {
	struct app *app;
	struct transport *transport;
	char *label;
	const struct forward_events *events;
	void *ctx;
	struct forward *forwards;
	size_t nforwards;
	struct forward_batch *batches;
	struct forward_link *links;
	size_t nlinks;
	int session_number;   /* -1: none */
	bool full, exhausted; /* no accepting: FORWARD_LINKS_MAX, or out of descriptors */
	struct defer changed;
	struct forward_timer *timer;
	struct pools_watcher idle; /* a connection of ours through a tunnel is used no more */
};

/* forward.c */
void HW_PRINTF(3, 4) forward_notice(struct forward_set *set, int level, const char *fmt, ...);
/* The lowest number that no listener, connection or session of the set has. */
int forward_number(const struct forward_set *set);
/* Something of time (a deadline, a pause) is at most so many milliseconds away. */
void forward_timer_arm(struct forward_set *set, uint64_t ms);
/* Connections came or went: tells the owner, and lets the listeners accept or wait. */
void forward_changed(struct forward_set *set);
/* Unlinks, stops and frees it. */
void forward_free(struct forward *f);
/* Of the set, one that has the same listener and, with whole, the same target; NULL: none. cwd as
 * in forward_want. */
struct forward *forward_find(const struct forward_set *set, const struct forward_spec *spec,
			     const char *cwd, bool whole);

/* As ssh writes them: "socks" where the peer names the target, port -2 with a path. */
const char *forward_target(const struct forward_spec *s);
int forward_port(const struct forward_end *e);

/* forward_batch.c */
/* f stands, or failed and is gone after the call. */
void forward_settle(struct forward *f, bool ok);
void forward_batches_free(struct forward_set *set);

/* forward_listen.c, forward_remote.c */
void forward_listen_start(struct forward *f);
void forward_listen_stop(struct forward *f);
/* Watches the listening sockets, or not: as set->full and ->exhausted have it. */
void forward_listen_watch(struct forward *f);
void forward_remote_start(struct forward *f);
void forward_remote_stop(struct forward *f);

/* forward_link.c */
/* Takes fd, which was accepted by f. */
void forward_link_local(struct forward *f, int fd, const struct sockaddr_storage *peer);
/* Takes c, which the server opened for f. */
void forward_link_remote(struct forward *f, struct channel *c, const struct incoming *in);
/* Ends it at once. */
void forward_link_end(struct forward_link *l);
/* Ends those whose deadline has come; the next deadline in ms, 0: none. */
uint64_t forward_links_expire(struct forward_set *set);
/* ssh would wait for its end. */
bool forward_link_waits(const struct forward_link *l);

#endif
