/* What was seen of a connection, gathered where and when it ended or became suspect: facts only,
 * the conclusion is diagnose()'s. A value, copied freely. Times are seconds; < 0: not known, or
 * never. */
#ifndef HAWSER_DAEMON_EVIDENCE_H
#define HAWSER_DAEMON_EVIDENCE_H

#include "protocol/base.h"

struct evidence {
	char where[320]; /* "user@host:22 (10.0.0.5)" */
	char stage[24];	 /* "connecting", "key exchange", "host key", "authentication", "ready" */
	char said[256];	 /* the other side's, libssh's or the kernel's words; "" none */
	bool spoken;	 /* they are the other side's */

	double age_s;	 /* since the connection was ready; in a login: since it was dialled */
	double quiet_s;	 /* since a byte came in */
	double silent_s; /* since we sent one */
	double gap_s;	 /* how quiet it had been when that was sent to which no answer came */
	double rtt_ms;	 /* the smallest that was measured */
	unsigned missed; /* keepalives or probes without an answer */
	bool probe;	 /* the last of them was a probe of a suspect connection */
	uint64_t bytes_in, bytes_out;
	unsigned sessions; /* that were on it */

	/* tcp(7), TCP_INFO; where has_tcp. */
	bool has_tcp;
	unsigned retransmits;	/* of the oldest segment, in a row */
	unsigned total_retrans; /* in the connection's life */
	unsigned unacked;	/* segments sent and not acknowledged */
	unsigned inflight;	/* bytes of these */
	unsigned notsent;	/* bytes that wait in the kernel */
	unsigned pmtu, mss;
	unsigned largest_in; /* bytes of the largest segment that came, by the kernel's estimate */
	unsigned sacked;     /* segments behind the oldest that did arrive: it alone is lost */
	unsigned out_of_order; /* packets that came with one before them missing */
	uint64_t acked;	       /* bytes of ours that arrived */
	uint64_t received;     /* bytes that came */
	double ack_ago_s;      /* since anything of the other side's TCP came */

	/* This machine, lately. */
	double slept_ago_s, slept_s; /* when it woke, how long it had slept */
	double address_ago_s;	     /* the address of our side went away */
	double route_ago_s;	     /* routes changed */

	/* Learnt of this host on this network. */
	double gap_lived_s; /* the longest quiet time that was survived */
	double gap_died_s;  /* the shortest that was not */
	unsigned gap_deaths;
	double age_died_s;   /* connections ended by the other side after this age, */
	unsigned age_deaths; /* so often, within a few seconds of each other */
	unsigned refusals;   /* logins just before this one that ended before the banner, too */
};

/* All that is not known. */
void evidence_init(struct evidence *e);
/* Reads TCP_INFO of fd; has_tcp stays false where that is no TCP socket. */
void evidence_tcp(struct evidence *e, int fd);

#endif
