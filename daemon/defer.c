#include "daemon/defer.h"

#include <stdlib.h>

#include "protocol/alloc.h"

/* An idle handle makes the loop not wait; it is started only while something is queued. */
struct defer_queue {
	uv_idle_t idle;
	struct defer head; /* ring */
};

static void ring_init(struct defer *head)
{
	head->next = head->prev = head;
}

static void ring_remove(struct defer *d)
{
	d->prev->next = d->next;
	d->next->prev = d->prev;
	d->next = d->prev = NULL;
}

static void ring_append(struct defer *head, struct defer *d)
{
	d->prev = head->prev;
	d->next = head;
	head->prev->next = d;
	head->prev = d;
}

/* Only what was queued when the turn began runs in it: work that queues itself again must not keep
 * the loop from its descriptors. */
static void on_idle(uv_idle_t *handle)
{
	struct defer_queue *q = handle->data;
	struct defer batch;

	ring_init(&batch);
	while (q->head.next != &q->head) {
		struct defer *d = q->head.next;

		ring_remove(d);
		ring_append(&batch, d);
	}
	while (batch.next != &batch) {
		struct defer *d = batch.next;

		ring_remove(d);
		d->fn(d->ctx);
	}
	if (q->head.next == &q->head)
		uv_idle_stop(&q->idle);
}

struct defer_queue *defer_queue_create(uv_loop_t *loop)
{
	struct defer_queue *q = xcalloc(1, sizeof(*q));

	ring_init(&q->head);
	uv_idle_init(loop, &q->idle);
	q->idle.data = q;
	return q;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void defer_queue_destroy(struct defer_queue *q)
{
	if (q == NULL)
		return;
	while (q->head.next != &q->head)
		ring_remove(q->head.next);
	uv_close((uv_handle_t *)&q->idle, on_closed);
}

void defer_init(struct defer *d, void (*fn)(void *ctx), void *ctx)
{
	*d = (struct defer){.fn = fn, .ctx = ctx};
}

void defer_post(struct defer_queue *q, struct defer *d)
{
	if (d->next != NULL)
		return;
	ring_append(&q->head, d);
	uv_idle_start(&q->idle, on_idle);
}

void defer_cancel(struct defer *d)
{
	if (d->next != NULL)
		ring_remove(d);
}
