/* Held transports by destination: who gets a channel, when a further transport is opened, when an
 * idle one goes. */
#ifndef HAWSER_DAEMON_POOL_H
#define HAWSER_DAEMON_POOL_H

#include "daemon/cause.h"
#include "daemon/destination.h"
#include "daemon/origin.h"
#include "protocol/proto.h"

struct app;
struct pools;

/* One held transport, as listings show it. Strings are borrowed during the callback. */
struct pool_info {
	unsigned id;		   /* 0: there is none, for now */
	const char *label;	   /* user@host:port */
	const char *typed;	   /* as first typed */
	const char *state;	   /* "ready", "dialling", ..., "waiting" */
	const char *waits_for;	   /* a phrase; "": for nothing */
	const char *address;	   /* numeric peer, "" while unknown */
	const char *via;	   /* "", or how it is reached in place of that */
	unsigned sessions, queued; /* channels in use; requests that wait */
	unsigned warm;
	unsigned session_limit; /* learnt, 0 = not known */
	double keepalive_s;	/* interval, 0: none are sent */
	bool keepalive_learnt; /* it is shorter than configured, for something on the way forgets */
	double age_s, idle_s;
	double heard_s; /* since something came in; < 0: not ready yet */
	uint64_t bytes_in, bytes_out;
	double rtt_ms;	    /* last measured, < 0 = not yet */
	const char *server; /* the server's banner line */
	const char *cipher, *kex;
};
typedef void (*pool_info_cb)(void *ctx, const struct pool_info *info);

struct pools *pools_create(struct app *app);
struct transport_routes;
/* How servers behind jump hosts are reached (transport.h); borrowed. ctx is for routes->open. */
void pools_set_routes(struct pools *p, const struct transport_routes *routes, void *ctx);
/* Closes all at once. */
void pools_destroy(struct pools *p);
/* All transports, and what waits for one without any that is under way. name: NULL for all, else
 * compared with typed, host name and label. Returns how many matched. */
size_t pools_list(struct pools *p, const char *name, pool_info_cb cb, void *ctx);
/* Closes the transports of that name: those in use after their sessions have ended (no new one is
 * put on them), or now when force. One that is lost and would come back does not: for what is
 * unattended, and with force for nobody. Returns how many. */
size_t pools_close(struct pools *p, const char *name, bool force);
/* The same for the transports that dest's requests use. */
size_t pools_close_destination(struct pools *p, const struct destination *dest, bool force);

/* hawserctl lock, once app.locked is set: all transports are closed now, whatever runs on them, or,
 * to drain, those in use after their sessions have ended; who waits for one fails. Returns how many
 * transports there were. */
size_t pools_lock(struct pools *p, bool drain);

/* This machine's network changed, or it slept (text: a sentence for the journal): what is held is
 * probed at once. */
void pools_network_changed(struct pools *p, const char *text);

/* hawserctl unlock: what is to be kept may come back. */
void pools_unlocked(struct pools *p);

/* Whose a socket is, by the address on its own side: of a transport of ours, and is that in use? */
enum pools_use { POOLS_FOREIGN, POOLS_IN_USE, POOLS_IDLE };
struct sockaddr_storage;
enum pools_use pools_use_of(const struct pools *p, const struct sockaddr_storage *local);
/* Hears when a transport is not in use any more; owned by the caller, in place until it is removed.
 * idle must not call back into the pools. */
struct pools_watcher {
	struct pools_watcher *next; /* private */
	void (*idle)(void *ctx);
	void *ctx;
};
void pools_watch(struct pools *p, struct pools_watcher *w);
void pools_unwatch(struct pools *p, struct pools_watcher *w);

/* Transports and waiting requests: 0 = nothing held. */
size_t pools_held(const struct pools *p);

struct defer_queue;
/* The queue of work from the top of the loop; borrowed. */
struct defer_queue *pools_defer(struct pools *p);

/* A session that waits for a channel. */
struct pool_waiter;
struct channel;

/* A transport in use without a session channel: it is not idle, and its end is told. */
struct pool_lease;
struct transport;

/* Who shares transports: requests of one destination and one group. */
#define POOL_SHARED	    0ull /* with all; held when idle */
#define POOL_HELD_BY_NOBODY 1ull /* with others of this kind; closed when idle */
#define POOL_ANY	    UINT64_MAX
#define POOL_UNSHARED	    2ull /* larger numbers: a group of one's own, closed when idle */

struct pool_want {
	struct destination *dest; /* a reference is taken */
	struct origin *origin;	  /* likewise */
	uint64_t group;
	bool lease;	  /* a transport is wanted, no channel */
	char *const *env; /* for the channel; borrowed until granted or left */
	bool terminal;
	bool can_ask;	   /* prompts may be put to this one */
	bool front;	   /* has waited before: goes ahead of the others */
	bool patient;	   /* waits for a connection that was lost as long as it takes */
	bool unattended;   /* for nobody in particular: pools_close() ends it */
	unsigned delay_ms; /* is not served before */
};

/* From the top of the loop, never from within pool_wait(). After granted or failed the waiter is
 * gone. */
struct pool_events {
	/* c is unclaimed and open or opening: claim it now. reused: its transport was there before.
	 */
	void (*granted)(void *ctx, struct channel *c, bool reused);
	/* In place of granted, for a lease; l is the callee's. */
	void (*leased)(void *ctx, struct pool_lease *l, bool reused);
	/* The leased transport has ended; the lease is gone after the call. */
	void (*lost)(void *ctx, const struct cause *why);
	/* handover: the real ssh could do what libssh cannot. */
	void (*failed)(void *ctx, const struct cause *why, bool handover);
	/* A question of the login, to be answered by pool_answer(). */
	void (*prompt)(void *ctx, const struct proto_prompt *p);
	/* A line for this client, whose login it was: raw bytes of the server's banner, or a
	 * warning. */
	void (*notice)(void *ctx, const char *text, bool raw);
	/* What is waited for, as a phrase; retry_ms: the next try comes in so long, 0: it is under
	 * way. May be NULL. */
	void (*progress)(void *ctx, const char *text, unsigned retry_ms);
};

/* An end that nobody asked for, and hawser.conf lets things come back (reconnect). */
bool pool_comes_back(const struct app *app, const struct destination *dest,
		     const struct cause *why);
struct pool_waiter *pool_wait(struct pools *p, const struct pool_want *want,
			      const struct pool_events *events, void *ctx);
/* Why w is not served at once, as a phrase for the user; NULL: a held connection has room. */
const char *pool_waiter_why(const struct pool_waiter *w);
/* Does not want a channel any more; no event comes. */
void pool_leave(struct pool_waiter *w);
/* answers as in login_answer(). Ignored when this waiter was not asked. */
void pool_answer(struct pool_waiter *w, char *const *answers, const char *reason);
/* This one has nobody who can be asked, after all: its question goes to the next. */
void pool_decline(struct pool_waiter *w);

/* A lease on a transport of dest, and of that group (POOL_ANY: of any), that is held already, at
 * once; NULL: none is. weak: it does not
 * keep the transport from being idle. Only events.lost comes. */
struct pool_lease *pool_lease_held(struct pools *p, const struct destination *dest, uint64_t group,
				   bool weak, const struct pool_events *events, void *ctx);
/* It does not keep the transport from being idle any more. */
void pool_lease_weaken(struct pool_lease *l);
struct transport *pool_lease_transport(const struct pool_lease *l); /* borrowed */
void pool_lease_release(struct pool_lease *l);

#endif
