/* What stands behind the client's stdin, stdout and stderr, and what of it the daemon is given
 * (design, decision 1). No flag of an inherited descriptor or of its description is ever changed:
 * others share it. */
#ifndef HAWSER_CLIENT_STREAMS_H
#define HAWSER_CLIENT_STREAMS_H

#include "protocol/base.h"

struct stream {
	uint8_t proto; /* enum proto_stream */
	bool tty;
	bool regular;	 /* a regular file: large pieces, splice(2) */
	int given;	 /* for the daemon when proto says FD, else -1; may be the same descriptor
			    as another stream's, or 0..2 itself (a socket) */
	int pump_local;	 /* pumped: the user's side (0..2, or a reopened terminal), else -1 */
	int pump_remote; /* pumped: our non-blocking end of the pipe whose other end is given */
};

struct streams {
	struct stream s[3];
	bool pumped; /* at least one is */
	bool tty;    /* at least one is a terminal */
};

/* Looks at descriptors 0, 1 and 2. stdin_null: stdin is said to be /dev/null (-n). A closed one is
 * filled with /dev/null, so that no descriptor of ours takes its place. HW_ESYS: no pipe could be
 * made (errno). */
int streams_open(struct streams *st, bool stdin_null) HW_NODISCARD;
/* Puts /dev/null where 0, 1 or 2 are closed. */
void streams_fill_closed(void);
/* Closes what is for the daemon: after it was sent, so that an end of file can be seen. */
void streams_close_given(struct streams *st);
/* Closes all that streams_open() made; descriptors 0..2 stay. */
void streams_close(struct streams *st);
/* The flags of a request that tell which streams are terminals. */
uint32_t streams_flags(const struct streams *st);

#endif
