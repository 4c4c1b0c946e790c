/* One SSH connection to a destination, from the dial to its end. Owns the socket, the libssh
 * session and the channels on it. Upward it speaks through transport_events, always from the top of
 * the loop. dialling -> login -> ready -> closed; a closed transport frees itself. */
#ifndef HAWSER_DAEMON_TRANSPORT_H
#define HAWSER_DAEMON_TRANSPORT_H

#include <uv.h>
#include "daemon/cause.h"
#include "daemon/defer.h"
#include "daemon/destination.h"
#include "daemon/journal.h"
#include "daemon/learn.h"
#include "daemon/login.h"
#include "daemon/netwatch.h"
#include "daemon/origin.h"
#include "daemon/worker.h"

enum transport_state {
	TRANSPORT_DIALLING,
	TRANSPORT_LOGIN, /* key exchange, host key, authentication: on a worker thread */
	TRANSPORT_READY,
	TRANSPORT_CLOSED,
};

struct transport;

struct transport_events {
	/* Authenticated: channels may be opened. r is valid during the call. */
	void (*ready)(void *ctx, const struct login_result *r);
	/* A question of the login, to be answered by transport_answer(). */
	void (*prompt)(void *ctx, const struct proto_prompt *p);
	/* A line for the client whose login it is: the server's banner (raw bytes) or a warning. */
	void (*notice)(void *ctx, const char *text, bool raw);
	/* What it does now, as a phrase: "connecting to web1 (10.0.0.5:22): key exchange". */
	void (*progress)(void *ctx, const char *text);
	/* A channel was opened, closed, or refused: what the transport can take has changed. */
	void (*changed)(void *ctx);
	/* It did not answer a probe, and is TRANSPORT_SILENT. Who uses it decides: give it up, or
	 * wait (`changed` comes when it answers all the same). */
	void (*silent)(void *ctx);
	/* The end; the pointer is void after the call. handover: see login.h. All channels have had
	 * their end event before. */
	void (*ended)(void *ctx, const struct cause *why, bool handover);
};

/* A way to a server through another one (destination.jump), made by a layer above this one. */
struct route;
/* From the top of the loop, never from within a call on the route. */
struct route_events {
	/* fd: a connected stream socket, non-blocking, the callee's now. */
	void (*connected)(void *ctx, int fd);
	/* Before or after that; the route is still to be closed. handover: as in login.h. */
	void (*failed)(void *ctx, const struct cause *why, bool handover);
	/* Of the logins on the way. */
	void (*prompt)(void *ctx, const struct proto_prompt *p);
	void (*notice)(void *ctx, const char *text, bool raw);
};
struct transport_routes {
	struct route *(*open)(void *routes_ctx, struct destination *dest, struct origin *origin,
			      const struct route_events *events, void *ctx);
	/* As transport_answer() and transport_nobody_answers(). */
	void (*answer)(struct route *r, char *const *answers, const char *reason);
	void (*nobody)(struct route *r);
	/* No event comes any more. */
	void (*close)(struct route *r);
};

/* What a transport needs from the daemon; borrowed for its life. */
struct transport_env {
	uv_loop_t *loop;
	struct worker_pool *workers;
	struct defer_queue *defer;
	struct journal *journal;
	struct learn *learn;
	const struct netwatch *netwatch;
	const struct transport_routes *routes; /* NULL: none can be made */
	void *routes_ctx;
};

struct transport_stats {
	const char *state, *address, *server, *cipher, *kex; /* borrowed, never NULL */
	const char *via;	  /* "" where the address is dialled, else how it is reached */
	double age_s;		  /* since it became ready */
	double rtt_ms;		  /* the smallest seen, < 0 = none measured yet */
	unsigned kex_ms, auth_ms; /* of its login */
	double heard_s;		  /* since something came in; < 0: not ready yet */
	uint64_t bytes_in, bytes_out;
};

/* origin: who asks, a reference is taken; NULL ok. */
struct transport *transport_open(const struct transport_env *env, struct destination *dest,
				 struct origin *origin, const struct login_hint *hint,
				 const struct transport_events *events, void *ctx);
/* Ends it from our side: channels get CHANNEL_LOST with why, then `ended` comes, from the top of
 * the loop. Harmless when it is ending already. */
void transport_close(struct transport *t, const struct cause *why);
void transport_answer(struct transport *t, char *const *answers, const char *reason);
/* Nobody is there who could be asked. */
void transport_nobody_answers(struct transport *t, const char *reason);

/* What the server may open on its own: connections to what it listens on for us, to the agent, to
 * an X11 display. */
enum incoming_kind { INCOMING_TCP, INCOMING_AGENT, INCOMING_X11 };
struct incoming {
	enum incoming_kind kind;
	const char *address; /* INCOMING_TCP: listened on, as asked for */
	uint16_t port;
	const char *originator; /* who connected there */
	uint16_t originator_port;
};
struct channel;
/* Who takes such channels; owned by the caller, who keeps it in place until it is removed. What
 * nobody takes is refused. */
struct transport_acceptor {
	struct transport_acceptor *next; /* private */
	enum incoming_kind kind;
	const char *address; /* INCOMING_TCP: exactly this */
	uint16_t port;	     /* 0: not known yet, the server chooses it */
	/* From the top of the loop. c is the callee's: channel_adopt() or channel_release(), now or
	 * later. in is valid during the call. */
	void (*accept)(void *ctx, struct channel *c, const struct incoming *in);
	void *ctx;
};
void transport_accept(struct transport *t, struct transport_acceptor *a);
/* Channels that have arrived and were not yet handed over are refused. Not after `ended`. */
void transport_accept_end(struct transport *t, struct transport_acceptor *a);

/* Asks the server to listen (RFC 4254 section 7.1; port 0: it chooses one), or to listen no more.
 * One such request is under way at a time, the others wait. done (NULL ok): from the top of the
 * loop; port: the one that it listens on. It does not come when the transport ends before. */
typedef void (*transport_listen_done)(void *ctx, bool ok, uint16_t port);
void transport_listen(struct transport *t, const char *address, uint16_t port,
		      transport_listen_done done, void *ctx);
void transport_unlisten(struct transport *t, const char *address, uint16_t port);
/* done of that ctx does not come any more; what the server grants all the same is taken back. */
void transport_listen_forget(struct transport *t, const void *ctx);

/* The host key was accepted against the evidence (StrictHostKeyChecking no): nothing may be
 * forwarded over it, as in ssh. */
bool transport_untrusted(const struct transport *t);
/* The address that its socket has on this side, as getsockname(2) has it. False: it has none. */
struct sockaddr_storage;
bool transport_local_address(const struct transport *t, struct sockaddr_storage *out);
/* Begins a key exchange (RFC 4253 section 9). False: the keys are less than a second old. */
bool transport_rekey(struct transport *t);

enum transport_state transport_state(const struct transport *t);
unsigned transport_id(const struct transport *t);
void transport_stats(const struct transport *t, struct transport_stats *out);

/* Channels that are no sessions: direct and incoming ones. */
unsigned transport_tunnels(const struct transport *t);
/* Channels that take a place in the server's session limit: open, opening or not yet closed. */
unsigned transport_channels(const struct transport *t);
/* The server refused a channel since the last call: true, with how many others were live then.
 * *settling: one had been closed just before, which the server may not have counted yet. */
bool transport_take_refusal(struct transport *t, unsigned *live, bool *settling);
/* Channels that the server has confirmed. */
unsigned transport_confirmed(const struct transport *t);
/* A request was sent and is not yet answered. */
bool transport_starting(const struct transport *t);
/* A channel has moved more than a little data within the last second. */
bool transport_busy_bulk(const struct transport *t);
/* Channels with a terminal. */
unsigned transport_terminals(const struct transport *t);

/* How long unacknowledged bytes may stand in the kernel before the connection ends
 * (TCP_USER_TIMEOUT, at least 30 s): as long as its keepalives would wait. 0: the kernel's own
 * limit, some 15 min. */
void transport_set_patience(struct transport *t, uint64_t ms);
/* Keepalive (ssh_config(5) ServerAliveInterval): sends one if nothing was received since the last
 * call; after max_missed calls without an answer the transport ends with CAUSE_KEEPALIVE. */
void transport_keepalive(struct transport *t, unsigned max_missed);

/* Is the other side there? SUSPECT: a probe is under way, the verdict comes within 2 s, as
 * `changed` or `silent`. SILENT: the probe was not answered. */
enum transport_doubt { TRANSPORT_SURE, TRANSPORT_SUSPECT, TRANSPORT_SILENT };
enum transport_doubt transport_doubt(const struct transport *t);
/* Nothing came in for so long that it is to be proven alive before a request is put on it. */
bool transport_quiet(const struct transport *t);
/* Probes it, if it is ready and no doubt stands. why: for the journal; NULL: it was quiet. */
void transport_suspect(struct transport *t, const char *why);
/* A channel of it belongs to somebody. */
bool transport_used(const struct transport *t);
/* Ends one that is TRANSPORT_SILENT, with CAUSE_PATH_DEAD. */
void transport_give_up(struct transport *t);

#endif
