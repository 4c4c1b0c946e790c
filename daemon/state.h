/* Files of the state directory, read and written off the loop: a file system that hangs costs one
 * worker thread, and nothing else waits. Text files, mode 0600. Loop thread only. */
#ifndef HAWSER_DAEMON_STATE_H
#define HAWSER_DAEMON_STATE_H

#include <uv.h>
#include "daemon/worker.h"

struct state;
/* Something could not be read, written or kept: a sentence. Once until it works again. */
typedef void (*state_trouble)(void *ctx, const char *text);
/* text: what the file holds, valid during the call. NULL: it is not there, or could not be read,
 * and has become NAME.bad, so that what is written next takes nothing away. */
typedef void (*state_loaded)(void *ctx, const char *text, size_t len);

/* dir: NULL or "" keeps nothing, and every call does nothing (load calls back with NULL). It is
 * made with up to two directories above it, mode 0700. */
struct state *state_create(uv_loop_t *loop, struct worker_pool *workers, const char *dir,
			   state_trouble trouble, void *ctx);
/* What waits is handed to a worker now, not a moment later. NULL ok. */
void state_hurry(struct state *s);
/* Writes out what waits: the last call before worker_pool_destroy(), which runs it. */
void state_flush(struct state *s);
/* After worker_pool_destroy(). NULL ok. */
void state_destroy(struct state *s);

/* Operations are done in their order, each whether or not those before it failed; a second's worth
 * of them together. */
void state_load(struct state *s, const char *name, state_loaded loaded, void *ctx);
/* A file that is larger than 1 MiB becomes NAME.1 first. What a disk that does not keep up leaves
 * over, beyond 512 KiB, is dropped, and told. */
void state_append(struct state *s, const char *name, const char *text);
/* Whole, by a new file and rename(2): a reader finds the old or the new. */
void state_replace(struct state *s, const char *name, const char *text);
/* A file whose lines are not all good is written anew with those that are; what it was becomes
 * NAME.bad where keep_bad. good is called on another thread; line: without its newline. */
typedef bool (*state_line_good)(const char *line, size_t len);
void state_repair(struct state *s, const char *name, state_line_good good, bool keep_bad);
/* A file that makes no sense becomes NAME.bad. */
void state_set_aside(struct state *s, const char *name);

#endif
