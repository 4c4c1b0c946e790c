/* Work that runs from the top of the loop, soon: how layers call upwards without re-entering the
 * code below them. A node is embedded in the object that owns it and is queued at most once; the
 * owner cancels it before it dies. */
#ifndef HAWSER_DAEMON_DEFER_H
#define HAWSER_DAEMON_DEFER_H

#include <uv.h>
#include "protocol/base.h"

struct defer_queue;

struct defer {
	void (*fn)(void *ctx);
	void *ctx;
	struct defer *next, *prev; /* private; next == NULL: not queued */
};

struct defer_queue *defer_queue_create(uv_loop_t *loop);
/* Drops what is still queued. The loop must run once more. */
void defer_queue_destroy(struct defer_queue *q);

void defer_init(struct defer *d, void (*fn)(void *ctx), void *ctx);
/* Runs d before the loop waits again; nothing when it is queued already. */
void defer_post(struct defer_queue *q, struct defer *d);
void defer_cancel(struct defer *d); /* nothing when not queued */

#endif
