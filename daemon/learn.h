/* What was learnt of servers, by host and network: quiet times that lived and died, the session
 * limit, the usual round trip. Kept in the state directory. Loop thread only. */
#ifndef HAWSER_DAEMON_LEARN_H
#define HAWSER_DAEMON_LEARN_H

#include "protocol/base.h"

/* 0: not known. */
struct learnt {
	double gap_lived_s, gap_died_s;
	unsigned gap_deaths;
	double age_died_s;   /* ended by the other side at this age, */
	unsigned age_deaths; /* so often, within a few seconds of each other */
	double keepalive_s;  /* no quiet may be longer, as follows from the gaps; 0: no need */
	unsigned session_limit;
	double rtt_ms;
};

struct learn;
struct state;
struct journal;

/* state: where it is kept; journal: hears what was learnt; both borrowed, NULL ok. What is on the
 * disk is read soon. */
struct learn *learn_create(struct state *state, struct journal *journal);
void learn_destroy(struct learn *l); /* NULL ok */

/* host: user@host:port, on the network of this moment. l NULL: nothing. */

/* False: nothing is known; *out is zeroed. */
bool learn_get(const struct learn *l, const char *host, struct learnt *out);
/* A transport is ready. A death that was noted within the last minute counts now: the path itself
 * was fine. */
void learn_opened(struct learn *l, const char *host);
/* An answer came to what was sent after so many seconds of quiet. */
void learn_gap_lived(struct learn *l, const char *host, double gap_s);
/* None came, and the transport has ended. It counts once a new one is there; where it is not sure
 * that the quiet was to blame (or has lived before), the second time. */
void learn_gap_died(struct learn *l, const char *host, double gap_s, bool sure);
/* The other side ended a transport of that age without a word. */
void learn_age_died(struct learn *l, const char *host, double age_s);
void learn_sessions(struct learn *l, const char *host, unsigned limit);
/* What is known of that may hold no more. */
void learn_no_limit(struct learn *l, const char *host);
void learn_rtt(struct learn *l, const char *host, double ms);
/* Forgets a host (any user's, any port's, where name has none; on all networks), or all (NULL).
 * Returns how many were known. */
size_t learn_forget(struct learn *l, const char *name);

#endif
