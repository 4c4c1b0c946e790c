#include "client/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "client/tty.h"
#include "protocol/alloc.h"

/* One splice(2): as much as the largest pipe that we ask for. */
#define SPLICE_MAX (1024 * 1024)
/* What a descriptor that we could not make our own takes without blocking once it is writable. */
#define SHARED_WRITE_MAX 4096

void relay_init(struct relay *r, struct streams *st)
{
	memset(r, 0, sizeof(*r));
	r->st = st;
	for (int i = 0; i < 3; i++) {
		struct pump *p = &r->pumps[i];
		struct stream *s = &st->s[i];

		p->src = p->dst = p->src_poll = p->dst_poll = -1;
		if (s->pump_remote < 0)
			continue;
		p->src = i == STDIN_FILENO ? s->pump_local : s->pump_remote;
		p->dst = i == STDIN_FILENO ? s->pump_remote : s->pump_local;
		p->regular = s->regular;
		/* Not for output: splice(2) moves a file's offset without the lock that write(2)
		 * takes, and what clients of one shell write to one file would be lost. */
		p->splice = s->regular && i == STDIN_FILENO;
	}
	escape_init(&r->escape, -1);
}

static void pump_close(struct relay *r, int i)
{
	struct pump *p = &r->pumps[i];
	struct stream *s = &r->st->s[i];

	if (s->pump_remote >= 0)
		close(s->pump_remote);
	/* A terminal that we have opened again is let go too: in the background we would hold it.
	 */
	if (s->pump_local > STDERR_FILENO)
		close(s->pump_local);
	s->pump_local = s->pump_remote = -1;
	p->src = p->dst = -1;
	if (p->buf != NULL)
		free_secret(p->buf, RELAY_BUFFER + 1); /* passwords are typed into it */
	p->buf = NULL;
	p->start = p->end = 0;
}

void relay_finish(struct relay *r)
{
	if (r->st == NULL)
		return;
	for (int i = 0; i < 3; i++)
		pump_close(r, i);
	r->st = NULL;
}

void relay_start(struct relay *r, int escape)
{
	r->reading = true;
	escape_init(&r->escape, escape);
}

void relay_renumber(struct relay *r)
{
	for (int i = 0; i < 3; i++) {
		struct pump *p = &r->pumps[i];

		if (p->src < 0)
			continue;
		if (i == STDIN_FILENO)
			p->src = r->st->s[i].pump_local;
		else
			p->dst = r->st->s[i].pump_local;
	}
}

void relay_stop_input(struct relay *r)
{
	pump_close(r, STDIN_FILENO);
}

void relay_end_input(struct relay *r)
{
	static const char ctrl_d = 4;
	struct pump *p = &r->pumps[STDIN_FILENO];

	/* The remote terminal makes an end of file of it. Our pipe has room, or somebody who does
	 * not read would not read this either. */
	if (p->src >= 0 && p->start == p->end)
		(void)!write(p->dst, &ctrl_d, 1);
	pump_close(r, STDIN_FILENO);
}

bool relay_draining(const struct relay *r)
{
	return r->pumps[STDOUT_FILENO].src >= 0 || r->pumps[STDERR_FILENO].src >= 0;
}

bool relay_waiting(const struct relay *r)
{
	for (int i = STDOUT_FILENO; i <= STDERR_FILENO; i++)
		if (r->pumps[i].src >= 0 && r->pumps[i].start < r->pumps[i].end)
			return true;
	return false;
}

static int add(struct pollfd *p, size_t *n, int fd, short events)
{
	p[*n] = (struct pollfd){.fd = fd, .events = events};
	return (int)(*n)++;
}

size_t relay_poll(struct relay *r, struct pollfd *p)
{
	size_t n = 0;

	for (int i = 0; i < 3; i++) {
		struct pump *pump = &r->pumps[i];

		pump->src_poll = pump->dst_poll = -1;
		if (pump->src < 0)
			continue;
		bool input = i == STDIN_FILENO;
		/* One poll may see output, written after STARTED, and not yet the STARTED. */
		if (!input && !r->flowing)
			continue;
		bool full = pump->start < pump->end;
		/* A file is always readable; our pipe decides. */
		bool to_write = full || (input && pump->regular && r->reading);
		/* Without events the poll still tells when the reader is gone. */
		if (to_write || input)
			pump->dst_poll = add(p, &n, pump->dst, to_write ? POLLOUT : 0);
		if (!to_write && (!input || r->reading))
			pump->src_poll = add(p, &n, pump->src, POLLIN);
	}
	return n;
}

/* Output that could not be written is lost, and a status of 0 would be a lie. A reader that went
 * away is no error (`... | head`), and a terminal that did takes us along. */
static void note_write_error(struct relay *r, int i, int error)
{
	if (i != STDIN_FILENO && error != EPIPE && !r->st->s[i].tty && r->write_error == 0)
		r->write_error = error;
}

/* Regular files, without a copy. Returns false when read and write must do it. */
static bool pump_splice(struct relay *r, int i)
{
	struct pump *p = &r->pumps[i];
	ssize_t n =
		splice(p->src, NULL, p->dst, NULL, SPLICE_MAX, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n < 0 && (errno == EINVAL || errno == ENOSYS)) {
		p->splice = false; /* a strange file system */
		return false;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		pump_close(r, i);
	return true;
}

static void pump_flush(struct relay *r, int i)
{
	struct pump *p = &r->pumps[i];
	size_t len = p->end - p->start;

	/* Descriptors 0..2 are as we got them, perhaps blocking: not more than surely fits. */
	if (p->dst <= STDERR_FILENO && !p->regular && len > SHARED_WRITE_MAX)
		len = SHARED_WRITE_MAX;
	if (len > 0) {
		ssize_t n = write(p->dst, p->buf + p->start, len);
		if (n < 0) {
			if (errno == EAGAIN || errno == EINTR)
				return;
			note_write_error(r, i, errno);
			pump_close(r, i);
			return;
		}
		p->start += (size_t)n;
	}
	if (p->start == p->end && p->eof)
		pump_close(r, i);
}

/* Typed bytes through the escape machine, from text[0..len) into the (empty) buffer. */
static void pump_typed(struct relay *r, struct pump *p, size_t len)
{
	uint8_t text[RELAY_BUFFER];
	size_t used = 0, out = 0;

	memcpy(text, p->buf, len);
	p->end = 0;
	while (used < len) {
		size_t took;
		enum escape_action action = escape_filter(&r->escape, text + used, len - used,
							  &took, p->buf + p->end, &out);
		used += took;
		p->end += out;
		if (action == ESCAPE_NONE)
			continue;
		if (r->nactions < RELAY_ACTIONS_MAX)
			r->actions[r->nactions++] = action;
		if (action == ESCAPE_DISCONNECT || action == ESCAPE_BACKGROUND)
			break;
	}
	explicit_bzero(text, len);
}

static void pump_fill(struct relay *r, int i)
{
	struct pump *p = &r->pumps[i];

	if (p->buf == NULL)
		p->buf = xmalloc(RELAY_BUFFER + 1); /* a held-back escape may come before */
	p->start = p->end = 0;
	if (i == STDIN_FILENO && r->st->s[i].tty && tty_in_background(p->src)) {
		r->background = true;
		return;
	}
	ssize_t n = read(p->src, p->buf, RELAY_BUFFER);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		/* EIO: the other side of a terminal is gone, or we are in an orphaned group. */
		pump_close(r, i);
		return;
	}
	p->end = (size_t)n;
	if (i == STDIN_FILENO && r->escape.ch >= 0)
		pump_typed(r, p, (size_t)n);
	for (size_t b = 0; i == STDIN_FILENO && r->translate && b < p->end; b++)
		p->buf[b] = r->keys[p->buf[b]];
	pump_flush(r, i);
}

static void pump_move(struct relay *r, int i, short src, short dst)
{
	struct pump *p = &r->pumps[i];

	if (dst & (POLLERR | POLLNVAL)) {
		pump_close(r, i); /* nobody reads what we would write */
		return;
	}
	if (p->splice && p->start == p->end && (src | dst) != 0) {
		if (pump_splice(r, i))
			return;
		src = POLLIN;
	}
	if (p->start < p->end && (dst & POLLOUT))
		pump_flush(r, i);
	else if (p->start == p->end && (src != 0 || (p->regular && (dst & POLLOUT))))
		pump_fill(r, i);
}

void relay_move(struct relay *r, const struct pollfd *p)
{
	for (int i = 0; i < 3; i++) {
		struct pump *pump = &r->pumps[i];

		if (pump->src < 0)
			continue;
		short src = pump->src_poll >= 0 ? p[pump->src_poll].revents : 0;
		short dst = pump->dst_poll >= 0 ? p[pump->dst_poll].revents : 0;
		if ((src | dst) != 0)
			pump_move(r, i, src, dst);
	}
}
