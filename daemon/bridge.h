/* A channel joined with descriptors, under flow control: input that finds no room stays in its
 * descriptor, output that its reader does not take stops the channel's window. Used by sessions
 * (stdin, stdout, stderr of a client) and tunnels (a socket's two directions). Knows no libssh. */
#ifndef HAWSER_DAEMON_BRIDGE_H
#define HAWSER_DAEMON_BRIDGE_H

#include "daemon/channel.h"
#include "daemon/pump.h"
#include "protocol/bytebuf.h"

/* False: the bridge is detached anew, or gone. */
typedef bool (*bridge_typed)(void *ctx, const uint8_t *bytes, size_t len);

struct bridge {
	struct channel *channel; /* borrowed; NULL: none yet, or none any more */
	const char *label;	 /* borrowed, for the log */
	struct pump_in in;
	struct bytebuf rest; /* read from in, not yet taken by the channel */
	struct pump_out out, err;
	bool holding;	    /* input stays where it is until bridge_let_go() */
	bool own_socket;    /* out is a socket of ours: its end is told by shutdown(2) */
	bool ending_output; /* out ends when its queue is written */
	void (*drained)(void *ctx);
	bridge_typed typed; /* reads input when there is no channel */
	void *ctx;
};

/* A bridge without descriptors, so that bridge_finish() is right at any time. */
void bridge_init(struct bridge *b);
/* Takes the three descriptors (stdin, stdout, stderr; -1: none). drained: without a channel, output
 * was written out, or its reader went away; from a watch. */
void bridge_start(struct bridge *b, struct watch_set *watches, int fds[3],
		  void (*drained)(void *ctx), void *ctx);
/* Nothing will come or go: all is closed. */
void bridge_unused(struct bridge *b);
/* No input is wanted (any more). */
void bridge_no_input(struct bridge *b);
/* No more from the channel, which is the caller's to release; what is queued still goes out. typed:
 * hears what comes on the input from now on, also within this call; NULL: the input is closed. */
void bridge_detach(struct bridge *b, bridge_typed typed);
/* For channel_events.data and .turn. */
bool bridge_data(struct bridge *b, int stream, const void *data, size_t len, bool must);
void bridge_turn(struct bridge *b);
/* Input that was held flows from now on; b has a channel. */
void bridge_let_go(struct bridge *b);
/* No more output comes: ends stdout once all is written. */
void bridge_end_output(struct bridge *b);
/* All output is written, or has nobody to take it. */
bool bridge_flushed(const struct bridge *b);
/* Closes all descriptors at once. */
void bridge_finish(struct bridge *b);

#endif
