#include "delayproxy_lane.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	MARKS = 1 << 16,       /* a power of two */
	READ_MAX = 256 * 1024, /* per call; and TURN_READS calls a turn, then others have theirs */
	TURN_READS = 4,
	PACKET = 1448,
	MERGE_NS = 20000, /* bytes that came this close together arrive together */
	REFILL_MAX =
		64 * 1024, /* a full queue is read for again when a quarter, or this, is free */
};

#define RING_MIN ((uint64_t)4 << 20)
#define RING_MAX ((uint64_t)256 << 20)

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

bool lane_init(struct lane *lane, int from, int to, struct link *link)
{
	/* 1 GB/s over the delay is a byte for each of its nanoseconds. */
	uint64_t need = link->queue + link->delay;

	if (link->lane_count == LINK_LANES)
		return false;
	*lane = (struct lane){.from = from, .to = to, .link = link};
	lane->cap = RING_MIN;
	while (lane->cap < need && lane->cap < RING_MAX)
		lane->cap *= 2;
	lane->ring = mmap(NULL, lane->cap, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	lane->marks = malloc(MARKS * sizeof *lane->marks);
	if (lane->ring == MAP_FAILED || lane->marks == NULL)
		return false;
	link->lanes[link->lane_count++] = lane;
	return true;
}

void lane_finish(struct lane *lane)
{
	struct link *link = lane->link;

	for (size_t i = 0; i < link->lane_count; i++) {
		if (link->lanes[i] == lane) {
			link->lanes[i] = link->lanes[--link->lane_count];
			break;
		}
	}
	for (uint64_t i = link->fifo_head; i != link->fifo_tail; i++) {
		struct ticket *ticket = &link->fifo_ring[i % LINK_FIFO];

		if (ticket->lane == lane)
			ticket->lane = NULL;
	}
	link->waiting -= lane->in - lane->served;
	munmap(lane->ring, lane->cap);
	free(lane->marks);
}

/* The part of the ring from stream position `pos` on, as at most two pieces. */
static int pieces(const struct lane *lane, uint64_t pos, uint64_t bytes, struct iovec iov[2])
{
	uint64_t at = pos % lane->cap;
	uint64_t first = lane->cap - at < bytes ? lane->cap - at : bytes;

	iov[0] = (struct iovec){.iov_base = lane->ring + at, .iov_len = first};
	iov[1] = (struct iovec){.iov_base = lane->ring, .iov_len = bytes - first};
	return bytes > first ? 2 : 1;
}

/* How much the lane may read now. */
static uint64_t room(const struct lane *lane)
{
	const struct link *link = lane->link;
	uint64_t free_ring = lane->cap - (lane->in - lane->out);
	uint64_t waiting = link->fifo ? link->waiting : lane->in - lane->served;
	uint64_t refill = min(link->queue / 4, REFILL_MAX);

	if (lane->mark_tail - lane->mark_head == MARKS)
		return 0;
	if (link->bytes_per_s <= 0)
		return free_ring;
	if (link->fifo && link->fifo_tail - link->fifo_head == LINK_FIFO)
		return 0;
	/* Not for every packet that leaves: that would be a read of its own for each. */
	return waiting + refill > link->queue ? 0 : min(free_ring, link->queue - waiting);
}

static void put_mark(struct lane *lane, uint64_t due)
{
	struct mark *last = &lane->marks[(lane->mark_tail - 1) % MARKS];

	if (lane->mark_tail != lane->mark_head && due - last->due < MERGE_NS) {
		last->end = lane->served;
		return;
	}
	lane->marks[lane->mark_tail++ % MARKS] = (struct mark){.due = due, .end = lane->served};
}

/* Bytes have come in: into flight at once, or into the link's queue. */
static void arrived(struct lane *lane, uint64_t bytes, uint64_t now)
{
	struct link *link = lane->link;

	lane->in += bytes;
	if (link->bytes_per_s <= 0) {
		lane->served = lane->in;
		put_mark(lane, now + link->delay);
		return;
	}
	if (link->waiting == 0 && link->free_at < now)
		link->free_at = now;
	link->waiting += bytes;
	if (link->fifo)
		link->fifo_ring[link->fifo_tail++ % LINK_FIFO] =
			(struct ticket){.lane = lane, .bytes = bytes};
}

void lane_fill(struct lane *lane, uint64_t now)
{
	for (int i = 0; i < TURN_READS && lane->readable && !lane->eof; i++) {
		uint64_t space = min(room(lane), READ_MAX);
		struct iovec iov[2];
		ssize_t n;

		if (space == 0)
			return;
		/* An empty lane begins its ring anew, so a short delay stays in the cache. */
		if (lane->in == lane->out && lane->mark_head == lane->mark_tail)
			lane->in = lane->served = lane->arrived = lane->out = 0;
		n = readv(lane->from, iov, pieces(lane, lane->in, space, iov));
		if (n > 0) {
			arrived(lane, (uint64_t)n, now);
		} else if (n == 0) {
			lane->eof = true;
		} else if (errno == EAGAIN) {
			lane->readable = false;
		} else if (errno != EINTR) {
			lane->broken = true;
			return;
		}
	}
}

/* Up to where the lane's bytes have arrived by now. */
static uint64_t arrived_end(struct lane *lane, uint64_t now)
{
	uint64_t end = lane->out;

	while (lane->mark_head != lane->mark_tail) {
		const struct mark *mark = &lane->marks[lane->mark_head % MARKS];

		if (mark->due > now)
			break;
		end = mark->end;
		lane->mark_head++;
	}
	return end;
}

void lane_drain(struct lane *lane, uint64_t now)
{
	uint64_t end = arrived_end(lane, now);

	if (end > lane->arrived)
		lane->arrived = end;
	while (lane->writable && lane->out < lane->arrived) {
		struct iovec iov[2];
		ssize_t n = writev(lane->to, iov,
				   pieces(lane, lane->out, lane->arrived - lane->out, iov));

		if (n >= 0) {
			lane->out += (uint64_t)n;
		} else if (errno == EAGAIN) {
			lane->writable = false;
		} else if (errno != EINTR) {
			lane->broken = true;
			return;
		}
	}
	if (!lane->eof || lane->done || lane->out != lane->in)
		return;
	if (lane->eof_due == 0)
		lane->eof_due = now + lane->link->delay;
	if (lane->eof_due <= now) {
		shutdown(lane->to, SHUT_WR);
		lane->done = true;
	}
}

uint64_t lane_next(const struct lane *lane, uint64_t next)
{
	if (lane->readable && !lane->eof && room(lane) > 0)
		return 0;
	if (lane->mark_head != lane->mark_tail)
		next = min(next, lane->marks[lane->mark_head % MARKS].due);
	if (lane->eof_due != 0 && !lane->done)
		next = min(next, lane->eof_due);
	return next;
}

/* Who sends the next packet: the oldest arrival, or the next lane in turn that has bytes.
 * Only called while something waits. */
static struct lane *next_sender(struct link *link)
{
	if (link->fifo) {
		while (link->fifo_ring[link->fifo_head % LINK_FIFO].lane == NULL)
			link->fifo_head++;
		return link->fifo_ring[link->fifo_head % LINK_FIFO].lane;
	}
	for (;;) {
		struct lane *lane = link->lanes[link->turn++ % link->lane_count];

		if (lane->served < lane->in)
			return lane;
	}
}

void link_serve(struct link *link, uint64_t now)
{
	while (link->waiting > 0 && link->free_at <= now) {
		struct lane *lane = next_sender(link);
		struct ticket *ticket = &link->fifo_ring[link->fifo_head % LINK_FIFO];
		uint64_t bytes = min(lane->in - lane->served, PACKET);

		if (lane->mark_tail - lane->mark_head == MARKS)
			return;
		if (link->fifo) {
			bytes = min(bytes, ticket->bytes);
			ticket->bytes -= bytes;
			if (ticket->bytes == 0)
				link->fifo_head++;
		}
		link->free_at += (uint64_t)((double)bytes * 1e9 / link->bytes_per_s);
		link->waiting -= bytes;
		lane->served += bytes;
		put_mark(lane, link->free_at + link->delay);
	}
}

uint64_t link_next(const struct link *link, uint64_t next)
{
	return link->waiting > 0 ? min(next, link->free_at) : next;
}
