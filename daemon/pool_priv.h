/* What pools.c (registry, listing, time), pool.c (who waits, who is served) and pool_slot.c (one
 * transport of a pool and its login) share. Nobody else includes this. */
#ifndef HAWSER_DAEMON_POOL_PRIV_H
#define HAWSER_DAEMON_POOL_PRIV_H

#include "daemon/app.h"
#include "daemon/channel.h"
#include "daemon/lend_agent.h"
#include "daemon/pool.h"
#include "daemon/transport.h"

/* Names of one server that the user may call a transport by. */
#define POOL_NAMES 8

struct pool_lease {
	struct pool_lease *next;
	struct slot *slot;
	const struct pool_events *events;
	void *ctx;
	bool weak; /* does not keep the transport from being idle */
};

/* One transport's place in a pool. */
struct slot {
	struct slot *next;
	struct pool *pool;
	struct transport *transport;
	struct pool_lease *leases;
	struct lend_agent *agent; /* NULL: none is forwarded */
	struct destination *dest; /* of the waiter that it was opened for: BatchMode and the like */
	bool ready;
	bool unwanted;		 /* nobody waits for its login any more */
	bool draining;		 /* gets no new session; closed when the last has ended */
	struct cause *drain_why; /* NULL: somebody asked for it */
	uint64_t ready_since;	 /* loop ms */
	double ready_boot_s;	 /* the same by the clock that goes on while the machine sleeps */
	uint64_t cert_end;	 /* Unix time; 0: trusted without an end */
	char cert_id[128];
	bool warm_blocked;    /* no warm channel until something changes */
	bool never_warm;      /* the server takes no session at all, or only one */
	uint64_t pause_until; /* loop ms: no open before; the server is still counting a close */
	uint64_t idle_since;  /* loop ms; 0 = in use */
	struct proto_prompt *prompt; /* open question, a copy */
	struct pool_waiter *asked;   /* who was asked, NULL = nobody could be yet */
};

struct pool_waiter {
	struct pool_waiter *next;
	struct pool *pool;
	struct destination *dest;
	struct origin *origin;
	const struct pool_events *events;
	void *ctx;
	char *const *env;
	bool terminal, can_ask, patient, unattended;
	bool lease;		 /* wants no channel */
	uint64_t patience_until; /* loop ms: a login that fails is tried again until then */
	uint64_t not_before;	 /* loop ms: is not served before; 0: at once */
	uint64_t lane_until;	 /* loop ms: waits so long for a lane of its own; 0: it does not */
	bool lane_late;		 /* it has waited long enough */
	unsigned drops;		 /* connections that it waited for, and that did not stay */
	bool over;		 /* one more than may wait */
	bool told;		 /* that it waits for a session's end */
	bool told_probe;	 /* that what is held is asked for a sign of life */
	bool told_pace;		 /* that it waits until other logins are through */
	bool login; /* its arrival opened a transport, or it waited for one to become ready */
};

struct pool {
	struct pool *next;
	struct pools *pools;
	char key[65];
	uint64_t group; /* as pool_want.group */
	struct slot *slots;
	struct pool_waiter *waiters; /* in order of service */
	struct defer serve;
	struct login_hint hint;
	unsigned limit;		/* sessions per transport, learnt; 0 = unknown */
	uint64_t limit_since;	/* loop ms: when it was last heard of */
	unsigned confirmed;	/* most that were open at once on one transport */
	bool had_session;	/* a session was asked for: warm channels may be of use */
	bool prompted;		/* a login needed a person: no further transport by ourselves */
	uint64_t no_more_until; /* loop ms: a further transport failed to open; 0 = none */
	unsigned learnt_ms; /* something on the way forgets what is quiet for longer; 0: unknown */
	unsigned alive_interval, alive_count; /* seconds, keepalives; the shortest asked for */

	/* pool_retry.c; loop ms */
	uint64_t retry_at;	  /* nothing is opened before; 0: may be */
	uint64_t tried_at;	  /* when the last try failed */
	unsigned failures;	  /* tries in a row */
	unsigned drops;		  /* connections in a row that were lost soon */
	bool turned_away;	  /* the last try was, by the server */
	char *failed_why;	  /* the last try; NULL: none has failed since one stood */
	struct destination *kept; /* is opened again although nobody waits; NULL: none */

	char *names[POOL_NAMES]; /* that it was asked for by; the newest first */
	long persist;		 /* as destination.persist; of the last request that said */
	char **warm_env;	 /* of the last request: what a warm channel carries */
};

struct pools {
	struct app *app;
	struct transport_env env;
	struct pool *list;
	uv_timer_t tick;
	struct pools_watcher *watchers;
	bool paced;	    /* somebody waits until a login is through */
	bool destroyed;	    /* goes when the last slot has */
	uint64_t last_tick; /* loop ms */
};

/* pools.c */
/* Recomputes when time has something to do: keepalives, idle transports. */
void pools_schedule(struct pools *p);
/* Frees a pool without slots and waiters. */
void pools_drop_if_empty(struct pool *pool);
uint64_t pools_now(const struct pools *p); /* loop ms */
/* After how long its transports' keepalives give up; 0: never, there are none. */
uint64_t pool_alive_limit_ms(const struct pool *pool);

/* pool.c */
unsigned pool_count_waiters(const struct pool *pool);

/* pool_retry.c */
/* The end of a ready transport that nobody asked for: who waits may wait on. */
void pool_lost(struct pool *pool, const struct slot *s, const struct cause *why);
/* A login failed. true: it is tried again, and those whose patience is at its end were failed. */
bool pool_try_again(struct pool *pool, const struct slot *s, const struct cause *why);
void pool_came_back(struct pool *pool);
/* A new request, not one that comes back: it need not wait for the next try. */
void pool_asked_again(struct pool *pool);
/* A transport is to be opened for nobody: hawser.conf says keep. */
bool pool_keeps(const struct pool *pool);
/* For pool_waiter.patience_until. */
uint64_t pool_patience(const struct pool *pool, const struct pool_want *want);
/* Nothing is under way: what it waits for, as a phrase. */
void pool_waits_for(const struct pool *pool, char *out, size_t size);
/* When it has something to do (loop ms); UINT64_MAX: nothing. */
uint64_t pool_retry_next(const struct pool *pool);
void pool_retry_tick(struct pool *pool, uint64_t now);
/* Not too many logins at dest's server, or through its jump host, are under way. */
bool pools_may_log_in(const struct pools *p, const struct destination *dest);
/* One is through: those that had to wait may. */
void pools_login_over(struct pools *p);

/* pool_age.c */
/* No new sessions: closed when the last has ended, or now where none runs. why is copied. */
void slot_drain(struct slot *s, const struct cause *why);
/* Why a draining one drains. */
void slot_drain_cause(const struct slot *s, struct cause *why);
/* A draining one is not in use any more. */
void slot_close_drained(struct slot *s);
/* It is ready: its age begins. */
void slot_age_start(struct slot *s, const struct login_result *r);
/* When it is to be looked at again (loop ms); UINT64_MAX: it has no end. */
uint64_t slot_age_next(const struct slot *s);
/* true: its time is over, and it drains or is closed. */
bool slot_age_tick(struct slot *s);
/* Where hawser is locked, nobody waits. */
void pools_fail_locked(struct pool *pool);

/* pools_use.c */
/* A transport is not in use any more. */
void pools_tell_idle(struct pools *p);

/* pool.c */
/* There is a transport that new sessions may be put on. */
bool pool_any_ready(const struct pool *pool);
/* Serves waiters from the top of the loop, soon. */
void pool_touch(struct pool *pool);
/* Ends the waiters for which test() holds (all when NULL). */
void pool_fail_waiters(struct pool *pool, bool (*test)(const struct pool_waiter *, const void *),
		       const void *arg, const struct cause *why, bool handover);

/* Tells those who wait: see pool_events.progress. */
void pool_progress(struct pool *pool, const char *text, unsigned retry_ms);

/* pool_slot.c */
/* Opens a transport on behalf of w. */
struct slot *slot_open(struct pool *pool, const struct pool_waiter *w);
void slot_close(struct slot *s, const struct cause *why);
/* New sessions may be put on it, now or once a doubt is over. */
bool slot_serves(const struct slot *s);
/* Nothing uses it: no session, no lease, no tunnel. */
bool slot_idle(const struct slot *s);
/* What uses it has changed. */
void slot_changed(struct slot *s);
/* Channels in use by sessions. */
unsigned slot_sessions(const struct slot *s);
/* Opens or gives up warm channels, as the session limit and the configuration allow. */
void slot_keep_warm(struct slot *s);
/* w leaves or is served: a question it was asked goes to the next who can be. */
void slot_waiter_gone(struct pool *pool, struct pool_waiter *w);
void slot_answer(struct pool_waiter *w, char *const *answers, const char *reason);

#endif
