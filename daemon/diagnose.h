/* From what was seen to why it ended: one table with a row per class, and rules that refine the
 * class which was seen at the place. docs/causes.md is made from both. */
#ifndef HAWSER_DAEMON_DIAGNOSE_H
#define HAWSER_DAEMON_DIAGNOSE_H

#include "daemon/cause.h"
#include "daemon/evidence.h"

/* Which lines of evidence go with a class. */
enum diagnose_shows {
	SHOW_TIMES = 1,	  /* ages, quiet times, missed answers */
	SHOW_TCP = 2,	  /* TCP_INFO */
	SHOW_SAID = 4,	  /* the other side's, libssh's or the kernel's words */
	SHOW_MACHINE = 8, /* sleep, addresses and routes of this machine */
	SHOW_LEARNT = 16, /* what is known of this host */
	SHOW_ALL = 31,
};

/* Texts hold names in braces, which diagnose_expand() replaces; without line breaks. */
struct diagnose_row {
	const char *text;    /* what failed, for which host, the likely cause */
	const char *hint;    /* the next step */
	const char *setting; /* the cure, "ServerAliveInterval (ssh_config)"; "" none */
	unsigned shows;	     /* enum diagnose_shows */
	bool by_place;	     /* the place where it shows knows more, and makes the text */
};

/* The first rule whose class was seen and whose test holds decides. One whose class is the one that
 * was seen only puts it in better words, and only where the place left the text empty. */
struct diagnose_rule {
	enum cause_class cls;
	uint64_t seen; /* bit 1 << class */
	bool (*fits)(const struct evidence *e);
	const char *text, *hint; /* in the place of the row's; NULL: the row's */
	const char *when;	 /* for the document */
};

extern const struct diagnose_rule diagnose_rules[];
extern const size_t diagnose_rules_count;

/* why: as it was seen at the place where the end showed; an empty text is filled from the table.
 * Refines class, text and hint where the evidence says more, and adds the evidence to it. Once
 * only: what is diagnosed already stays as it is. */
void diagnose(struct cause *why, const struct evidence *seen);
/* The rule that decides, or NULL: it is as it was seen. */
const struct diagnose_rule *diagnose_rule(const struct cause *why, const struct evidence *e);
/* The row's text and hint, without rules and evidence: for ends that are clear where they show. */
void diagnose_say(struct cause *why, enum cause_class cls, const struct evidence *e);
const struct diagnose_row *diagnose_row(enum cause_class cls);
/* The setting that is the cure of this class, "ServerAliveInterval (ssh_config)"; "" where none is.
 */
const char *diagnose_setting(enum cause_class cls);
/* Replaces the names in a text of the table: {host}, {stage}, {said}, {age}, {quiet}, {gap},
 * {missed}, {slept}, {slept_ago}, {address_ago}, {route_ago}, {gap_died}, {gap_times},
 * {age_died}, {age_times}, {mss}. */
void diagnose_expand(char *out, size_t size, const char *text, const struct evidence *e);
/* Adds the lines of evidence to why. */
void diagnose_show(struct cause *why, unsigned shows, const struct evidence *e);

#endif
