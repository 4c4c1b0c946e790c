/* What delayproxy relays with. A lane is one direction of one connection: a ring of bytes with
 * two stations, the queue for the link and the flight over it. A link is what all lanes of one
 * direction share: a delay and, if it has a rate, the time until which it is taken. */
#ifndef HAWSER_BENCH_DELAYPROXY_LANE_H
#define HAWSER_BENCH_DELAYPROXY_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINK_LANES = 512, LINK_FIFO = 4096 };

struct lane;

/* Bytes of one lane that stand in a shared queue, in order of arrival. */
struct ticket {
	struct lane *lane; /* NULL: the lane has ended */
	uint64_t bytes;
};

struct link {
	uint64_t delay;	    /* ns */
	double bytes_per_s; /* 0: no limit */
	uint64_t queue;	    /* bytes that may wait for the link: of each lane, or of all (fifo) */
	bool fifo;
	uint64_t waiting; /* bytes that wait, of all lanes */
	uint64_t free_at; /* ns; when the last packet has left */
	size_t turn;	  /* whose turn it is among lanes */
	struct lane *lanes[LINK_LANES];
	size_t lane_count;
	struct ticket fifo_ring[LINK_FIFO];
	uint64_t fifo_head;
	uint64_t fifo_tail;
};

/* Up to byte `end` of the lane, bytes arrive at time `due`. */
struct mark {
	uint64_t due;
	uint64_t end;
};

struct lane {
	struct link *link;
	int from;
	int to;
	bool readable;
	bool writable;
	bool eof;    /* `from` has ended; what is in the ring still goes out */
	bool done;   /* the end has been passed on too */
	bool broken; /* a socket failed: the connection is of no use */
	uint64_t eof_due;
	/* Positions in the stream; out <= arrived <= served <= in, and
	 * in - out <= cap. */
	uint64_t in;
	uint64_t served;  /* has left the link's queue and is in flight */
	uint64_t arrived; /* its delay is over */
	uint64_t out;
	uint8_t *ring;
	uint64_t cap;
	struct mark *marks;
	uint64_t mark_head;
	uint64_t mark_tail;
};

/* The ring is mapped, and touched only as far as it is used. false: no memory. */
bool lane_init(struct lane *lane, int from, int to, struct link *link);
void lane_finish(struct lane *lane);

/* Reads what the lane may take, within a budget per turn. */
void lane_fill(struct lane *lane, uint64_t now);

/* Writes what has arrived by now, then passes on the end. */
void lane_drain(struct lane *lane, uint64_t now);

/* The earlier of next and the time when this lane has something to do by itself. */
uint64_t lane_next(const struct lane *lane, uint64_t next);

/* Sends waiting bytes over the link, as far as its rate allows by now. */
void link_serve(struct link *link, uint64_t now);
uint64_t link_next(const struct link *link, uint64_t next);

#endif
