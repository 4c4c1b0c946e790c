/* What happened to connections and requests, and when: bounded in memory, kept over restarts in the
 * state directory. For `hawserctl why` and `hawserctl log`. Loop thread only. */
#ifndef HAWSER_DAEMON_JOURNAL_H
#define HAWSER_DAEMON_JOURNAL_H

#include "daemon/cause.h"

#define JOURNAL_KINDS(X)                                                                           \
	X(JOURNAL_DAEMON, "daemon")	/* started, stopped */                                     \
	X(JOURNAL_OPENED, "opened")	/* a transport is ready */                                 \
	X(JOURNAL_FAILED, "failed")	/* one could not be opened: cls and so on */               \
	X(JOURNAL_SUSPECT, "suspect")	/* it is being probed; text: why */                        \
	X(JOURNAL_ALIVE, "alive")	/* the probe was answered */                               \
	X(JOURNAL_ENDED, "ended")	/* a transport's end: cls and so on */                     \
	X(JOURNAL_DRAINING, "draining") /* it takes no new sessions: cls and so on */              \
	X(JOURNAL_RETRY, "retry")	/* it will be opened again; text: when and why */          \
	X(JOURNAL_REQUEST, "request")	/* a use of a transport: pid and program of the client */  \
	X(JOURNAL_REQUEST_END, "request-end") /* text: how; cls where a cause ended it */          \
	X(JOURNAL_LEARNT, "learnt")	      /* an interval or a limit was learnt */              \
	X(JOURNAL_NETWORK, "network")	      /* addresses, routes or sleep */                     \
	X(JOURNAL_LOCK, "lock")		      /* locked, unlocked */                               \
	X(JOURNAL_STATE, "state")	      /* trouble with a state file */

enum journal_kind {
#define X(name, text) name,
	JOURNAL_KINDS(X)
#undef X
};
const char *journal_kind_name(enum journal_kind kind);

/* Strings may be NULL for none; copied by journal_add(), borrowed during a visit. */
struct journal_entry {
	uint64_t seq; /* set by journal_add(): one more than that of the entry before */
	enum journal_kind kind;
	double time;	     /* Unix time, seconds; journal_add() sets it where it is 0 */
	const char *host;    /* user@host:port; NULL: of no host */
	const char *typed;   /* as the user calls it */
	unsigned transport;  /* 0: none */
	long pid;	     /* of the client; 0: none */
	const char *program; /* the client's parent's, "bash" */
	enum cause_class cls;
	const char *text, *hint, *evidence;
};

struct journal;

struct journal *journal_create(void);
void journal_destroy(struct journal *j); /* NULL ok */
/* j NULL: nothing happens. What peers chose is escaped. */
void journal_add(struct journal *j, const struct journal_entry *e);
/* As kind, of dest's names, with all of why. */
void journal_add_cause(struct journal *j, enum journal_kind kind, const char *host,
		       const char *typed, unsigned transport, const struct cause *why);
typedef void (*journal_visit)(void *ctx, const struct journal_entry *e);
/* Oldest first. name: NULL for all, else compared with typed, host, and host's middle; that of a
 * host which was typed so last is as good. Returns how many there were. visit must not call back
 * into the journal. */
size_t journal_each(const struct journal *j, const char *name, journal_visit visit, void *ctx);

#endif
