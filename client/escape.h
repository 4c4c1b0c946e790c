/* What a person types to the client itself: "~." and the like at the beginning of a line. A pure
 * state machine. */
#ifndef HAWSER_CLIENT_ESCAPE_H
#define HAWSER_CLIENT_ESCAPE_H

#include "protocol/base.h"

enum escape_action {
	ESCAPE_NONE,
	ESCAPE_DISCONNECT,  /* ~.  */
	ESCAPE_SUSPEND,	    /* ~^Z */
	ESCAPE_HELP,	    /* ~?  */
	ESCAPE_LIST,	    /* ~#  */
	ESCAPE_BACKGROUND,  /* ~&  */
	ESCAPE_BREAK,	    /* ~B  */
	ESCAPE_COMMANDLINE, /* ~C  */
	ESCAPE_REKEY,	    /* ~R  */
	ESCAPE_QUIETER,	    /* ~V  */
	ESCAPE_LOUDER,	    /* ~v  */
};

struct escape {
	int ch;		 /* the escape character, -1 none */
	bool line_start; /* the last byte ended a line */
	bool seen;	 /* the escape character was held back */
};

void escape_init(struct escape *e, int ch);

/* Copies typed bytes to out (room for len + 1) as far as the first action: *used says how many were
 * read, *outlen how many written. Call again for the rest. */
enum escape_action escape_filter(struct escape *e, const uint8_t *in, size_t len, size_t *used,
				 uint8_t *out, size_t *outlen);

/* The text for ESCAPE_HELP, ssh's own, lines ended by CR LF. commandline: ~C is allowed. */
void escape_help(const struct escape *e, bool commandline, char *out, size_t size);

#endif
