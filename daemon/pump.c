#include "daemon/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/log.h"

/* A whole receive window may have to be queued in one go, when libssh's backlog is drained. */
#define QUEUE_MAX (96u * 1024 * 1024)

/* The descriptor's kind; a pipe is made non-blocking (it is a description of its own: design,
 * decision 1). Anything but a pipe or a stream socket is refused: -1, and fd is closed. */
static int adopt(int fd, bool *is_socket)
{
	struct stat st;
	int flags;

	*is_socket = false;
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode)) {
		*is_socket = true;
		return fd;
	}
	flags = fcntl(fd, F_GETFL);
	if (S_ISFIFO(st.st_mode) && flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0)
		return fd;
	log_warn("a descriptor that is neither pipe nor socket was handed over: dropped");
	close(fd);
	return -1;
}

/* Called with the count before and after a move: enlarges a pipe once, as it becomes a copy's. */
static void note_moved(int fd, bool is_socket, uint64_t before, uint64_t after)
{
	/* Refused (a limit of the user's) is as good as it was. */
	if (before < PUMP_BULK && after >= PUMP_BULK && !is_socket)
		(void)fcntl(fd, F_SETPIPE_SZ, PUMP_PIPE_SIZE);
}

static ssize_t put(struct pump_out *p, const void *data, size_t len)
{
	ssize_t n;

	if (p->is_socket)
		n = send(p->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		n = write(p->fd, data, len);
	if (n > 0) {
		note_moved(p->fd, p->is_socket, p->moved, p->moved + (uint64_t)n);
		p->moved += (uint64_t)n;
	}
	return n;
}

static void close_out(struct pump_out *p)
{
	watch_remove(p->watch);
	p->watch = NULL;
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

static void break_out(struct pump_out *p)
{
	p->broken = true;
	bytebuf_finish(&p->queue);
	close_out(p);
}

static void flush(struct pump_out *p)
{
	while (bytebuf_len(&p->queue) > 0) {
		ssize_t n = put(p, bytebuf_peek(&p->queue), bytebuf_len(&p->queue));

		if (n > 0) {
			bytebuf_consume(&p->queue, (size_t)n);
		} else if (n < 0 && errno == EINTR) {
			continue;
		} else {
			if (n == 0 || errno == EAGAIN)
				return;
			break_out(p);
			return;
		}
	}
}

static void on_writable(void *ctx, unsigned events)
{
	struct pump_out *p = ctx;

	(void)events;
	flush(p);
	if (p->broken || bytebuf_len(&p->queue) == 0) {
		if (p->watch != NULL)
			watch_change(p->watch, 0);
		p->waiting = false;
		p->changed(p->ctx);
	}
}

void pump_out_init(struct pump_out *p, struct watch_set *watches, int fd,
		   void (*changed)(void *ctx), void *ctx)
{
	*p = (struct pump_out){.watches = watches, .changed = changed, .ctx = ctx};
	bytebuf_init(&p->queue, QUEUE_MAX);
	p->fd = adopt(fd, &p->is_socket);
}

static void wait_writable(struct pump_out *p)
{
	p->waiting = true;
	if (p->watch != NULL)
		watch_change(p->watch, WATCH_WRITE);
	else
		p->watch = watch_add(p->watches, p->fd, WATCH_WRITE, on_writable, p);
	if (p->watch == NULL) {
		log_warn("an output descriptor cannot be watched: dropped");
		break_out(p);
	}
}

void pump_out_write(struct pump_out *p, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	if (p->fd < 0) {
		p->dropped += len;
		return;
	}
	if (bytebuf_len(&p->queue) == 0 && p->moved < PUMP_BULK) {
		ssize_t n;

		do
			n = put(p, bytes, len);
		while (n < 0 && errno == EINTR);
		if (n < 0 && errno != EAGAIN) {
			break_out(p);
			return;
		}
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
		if (len == 0)
			return;
		/* A pipe takes what fits; more goes when the reader has read. */
	}
	if (bytebuf_append(&p->queue, bytes, len) != HW_OK) {
		log_warn("output queue over its limit: dropped");
		break_out(p);
		return;
	}
	if (p->moved < PUMP_BULK)
		wait_writable(p);
}

void pump_out_flush(struct pump_out *p)
{
	/* Who waits for the reader will be told: no attempt before that. */
	if (p->fd < 0 || p->waiting || bytebuf_len(&p->queue) == 0)
		return;
	flush(p);
	if (!p->broken && bytebuf_len(&p->queue) > 0)
		wait_writable(p);
}

bool pump_out_full(const struct pump_out *p)
{
	return bytebuf_len(&p->queue) >= PUMP_HIGH;
}

bool pump_out_empty(const struct pump_out *p)
{
	return bytebuf_len(&p->queue) == 0;
}

void pump_out_finish(struct pump_out *p)
{
	close_out(p);
	bytebuf_finish(&p->queue);
}

static void on_readable(void *ctx, unsigned events)
{
	struct pump_in *p = ctx;

	(void)events;
	p->ready = true;
	p->changed(p->ctx);
}

void pump_in_pause(struct pump_in *p)
{
	if (p->ready && p->watch != NULL)
		watch_change(p->watch, 0);
}

/* Told when there is more. False: the descriptor cannot be watched. */
static bool wait_readable(struct pump_in *p)
{
	p->ready = false;
	if (p->watch == NULL)
		p->watch = watch_add(p->watches, p->fd, WATCH_READ, on_readable, p);
	else
		watch_change(p->watch, WATCH_READ);
	return p->watch != NULL;
}

void pump_in_init(struct pump_in *p, struct watch_set *watches, int fd, void (*changed)(void *ctx),
		  void *ctx)
{
	*p = (struct pump_in){.watches = watches, .changed = changed, .ctx = ctx, .ready = true};
	p->fd = adopt(fd, &p->is_socket);
}

enum pump_in_result pump_in_read(struct pump_in *p, void *buf, size_t size, size_t *len)
{
	ssize_t n;

	*len = 0;
	if (p->fd < 0)
		return PUMP_IN_EOF;
	if (!p->ready)
		return PUMP_IN_WAIT;
	do
		n = p->is_socket ? recv(p->fd, buf, size, MSG_DONTWAIT) : read(p->fd, buf, size);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		note_moved(p->fd, p->is_socket, p->moved, p->moved + (uint64_t)n);
		p->moved += (uint64_t)n;
		*len = (size_t)n;
		/* Less than there was room for: that was all. No second call to hear it said. */
		if ((size_t)n < size && !wait_readable(p))
			pump_in_finish(p);
		return PUMP_IN_DATA;
	}
	if (n == 0 || errno != EAGAIN) {
		pump_in_finish(p);
		return PUMP_IN_EOF;
	}
	if (wait_readable(p))
		return PUMP_IN_WAIT;
	pump_in_finish(p);
	return PUMP_IN_EOF;
}

void pump_in_finish(struct pump_in *p)
{
	watch_remove(p->watch);
	p->watch = NULL;
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}
