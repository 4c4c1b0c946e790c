/* Bytes between one descriptor of a client and its channel. A pump owns its descriptor. Pipes
 * (their own open file description) are made non-blocking; sockets, whose description others share,
 * are used with MSG_DONTWAIT and their flags are never touched. Knows no libssh. */
#ifndef HAWSER_DAEMON_PUMP_H
#define HAWSER_DAEMON_PUMP_H

#include "daemon/watch.h"
#include "protocol/bytebuf.h"

/* A pipe that has carried so much is a copy's: it is made as large as the system allows, so that
 * the two ends wake each other less often (fcntl(2), F_SETPIPE_SZ; no other flag of it is touched).
 */
#define PUMP_BULK      (1024u * 1024)
#define PUMP_PIPE_SIZE (1024 * 1024)

/* Above this much queued output, no more is taken from the channel (until pump_out_low()). */
#define PUMP_HIGH (256u * 1024)

/* Toward the client: stdout or stderr. */
struct pump_out {
	struct watch_set *watches;
	struct watch *watch;
	int fd; /* -1: output is dropped (/dev/null, closed, or broken) */
	bool is_socket, broken;
	bool waiting; /* for the reader: the watch will tell */
	struct bytebuf queue;
	uint64_t moved;	  /* bytes in all */
	uint64_t dropped; /* bytes thrown away since it broke */
	void (*changed)(void *ctx);
	void *ctx;
};

/* Takes fd (-1: drop all). changed: called when the queue ran empty or the reader went away, from a
 * watch, never from within a call on the pump. */
void pump_out_init(struct pump_out *p, struct watch_set *watches, int fd,
		   void (*changed)(void *ctx), void *ctx);
/* Writes what the descriptor takes, queues the rest. Never refuses: ask pump_out_full() before. A
 * copy's bytes are only queued, for pump_out_flush(): fewer and larger writes wake the reader less
 * often. */
void pump_out_write(struct pump_out *p, const void *data, size_t len);
/* Writes what is queued, as far as the descriptor takes it. */
void pump_out_flush(struct pump_out *p);
bool pump_out_full(const struct pump_out *p);
bool pump_out_empty(const struct pump_out *p);
/* Closes the descriptor at once; what is queued is lost. */
void pump_out_finish(struct pump_out *p);

/* From the client: stdin. */
struct pump_in {
	struct watch_set *watches;
	struct watch *watch;
	int fd; /* -1: at end, or none */
	bool is_socket;
	bool ready;	/* there may be something to read: the watch need not say so */
	uint64_t moved; /* bytes in all */
	void (*changed)(void *ctx);
	void *ctx;
};

enum pump_in_result { PUMP_IN_WAIT, PUMP_IN_DATA, PUMP_IN_EOF };

/* Takes fd (-1: end of file at once). Nothing is read before pump_in_read(). changed: the
 * descriptor became readable; it comes again and again until that was read, or paused. */
void pump_in_init(struct pump_in *p, struct watch_set *watches, int fd, void (*changed)(void *ctx),
		  void *ctx);
/* Reads at most size bytes. WAIT: nothing there; changed() will come. EOF: also on errors. */
/* What the descriptor has cannot be taken now: its watch is silent until the next read. */
void pump_in_pause(struct pump_in *p);

enum pump_in_result pump_in_read(struct pump_in *p, void *buf, size_t size, size_t *len);
/* What the descriptor has cannot be taken now: its watch is silent until the next read. */
void pump_in_pause(struct pump_in *p);
void pump_in_finish(struct pump_in *p);

#endif
