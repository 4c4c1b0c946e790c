/* Bytes between the user's descriptors and our pipes, for streams that the daemon cannot be given:
 * terminals, regular files, pipes that can't be reopened. The live loop polls, the relay moves. */
#ifndef HAWSER_CLIENT_RELAY_H
#define HAWSER_CLIENT_RELAY_H

#include <poll.h>
#include "client/escape.h"
#include "client/streams.h"

#define RELAY_BUFFER	(64 * 1024)
#define RELAY_POLLS_MAX 6
/* More in one read are typed by a machine, and forgotten. */
#define RELAY_ACTIONS_MAX 16

struct pump {
	int src, dst; /* -1: nothing (more) to move; borrowed from struct streams, but our pipe's
			 end is closed here, which is how the daemon hears of the end */
	uint8_t *buf; /* RELAY_BUFFER + 1 bytes, made when first needed */
	size_t start, end;
	bool regular, splice, eof;
	int src_poll, dst_poll; /* places in the poll set, -1 none */
};

struct relay {
	struct pump pumps[3]; /* stdin, stdout, stderr */
	struct streams *st;
	bool reading; /* stdin may be read */
	bool flowing; /* output may be written: the terminal is as the request wants it */
	struct escape escape;
	bool translate; /* typed bytes become those of `keys` */
	uint8_t keys[256];
	bool background; /* stdin is a terminal that is not ours to read now; the live loop clears
			    it */
	/* What a person asked for by escapes, in order; the live loop clears it. */
	enum escape_action actions[RELAY_ACTIONS_MAX];
	size_t nactions;
	int write_error; /* errno of output that was lost for want of space and the like; 0 = none
			  */
};

/* Takes the pumped streams of st (borrowed, but for the ends of our pipes). */
void relay_init(struct relay *r, struct streams *st);
void relay_finish(struct relay *r);
/* The request runs: stdin may be read. escape: the escape character on a remote terminal, -1. */
void relay_start(struct relay *r, int escape);
/* The user's ends of the streams have other numbers now. */
void relay_renumber(struct relay *r);
/* Stops stdin for good: the remote command has ended, or does not want it. */
void relay_stop_input(struct relay *r);
/* Adds what to wait for to p (room for RELAY_POLLS_MAX); returns how many. */
size_t relay_poll(struct relay *r, struct pollfd *p);
/* Moves what poll(2) found; never waits for the remote. */
void relay_move(struct relay *r, const struct pollfd *p);
/* As if the person had typed ^D, and no more. */
void relay_end_input(struct relay *r);
/* Output is still to come through our pipes. */
bool relay_draining(const struct relay *r);
/* Output is here, and the user's side does not take it. */
bool relay_waiting(const struct relay *r);

#endif
