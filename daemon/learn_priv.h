/* What learn.c (what follows from what) and learn_file.c (on the disk) share. Nobody else includes
 * this. */
#ifndef HAWSER_DAEMON_LEARN_PRIV_H
#define HAWSER_DAEMON_LEARN_PRIV_H

#include "daemon/learn.h"

/* Hosts; the one that was not used for longest gives way. */
#define LEARN_MAX 512

struct known {
	char *host, *network;
	double gap_lived_s, gap_died_s;
	unsigned gap_deaths;
	uint64_t gap_died_at; /* the last time; Unix time */
	double age_died_s;
	unsigned age_deaths;
	unsigned session_limit;
	double rtt_ms;
	uint64_t used; /* Unix time */

	double maybe_died_s, maybe_at_s; /* not yet confirmed; 0: none */
	bool maybe_doubtful;
	unsigned doubts; /* doubtful deaths that were confirmed, none of which was lived through */
	double doubt_s;	 /* the shortest of them */
};

struct learn {
	struct state *state;
	struct journal *journal;
	struct known *known; /* room for LEARN_MAX */
	size_t count;
	bool loaded; /* before, the disk knows more than we: nothing is written */
};

/* The entry of host and network, made if it is not there. */
struct known *learn_entry(struct learn *l, const char *host, const char *network);
/* learn_file.c */
void learn_save(struct learn *l);
void learn_load(struct learn *l);
/* What a file says into l, for entries that are not there yet. false: it is damaged, and what could
 * be read of it was taken. */
bool learn_take_text(struct learn *l, const char *text, size_t len);
/* On the heap. */
char *learn_make_text(const struct learn *l);

#endif
