#include "protocol/bytebuf.h"

#include <stdlib.h>
#include <string.h>
#include "protocol/alloc.h"

#define BYTEBUF_FIRST_CAP 256

void bytebuf_init(struct bytebuf *b, size_t max)
{
	*b = (struct bytebuf){.max = max};
}

void bytebuf_finish(struct bytebuf *b)
{
	/* Answers to prompts pass through these queues. */
	free_secret(b->data, b->cap);
	bytebuf_init(b, b->max);
}

size_t bytebuf_len(const struct bytebuf *b)
{
	return b->end - b->start;
}

size_t bytebuf_room(const struct bytebuf *b)
{
	return b->max - bytebuf_len(b);
}

/* The next larger size. Up to twice the maximum is allocated: then a queue at its maximum whose
 * bytes have reached the end of the memory always leaves half of it free in front. */
static size_t grow(size_t cap, size_t max)
{
	size_t limit = max < SIZE_MAX / 2 ? max * 2 : SIZE_MAX;
	return cap < limit / 2 ? cap * 2 : limit;
}

/* Makes cap - end >= len, by moving the bytes to the front where that frees at least half of the
 * memory, else by growing: so each byte is copied a few times at most, however the queue is used.
 */
static void make_room(struct bytebuf *b, size_t len)
{
	size_t used = bytebuf_len(b);
	if (b->cap - b->end >= len)
		return;
	if (b->cap - used >= len && b->start >= b->cap / 2) {
		memmove(b->data, b->data + b->start, used);
		explicit_bzero(b->data + used, b->end - used);
	} else {
		size_t cap = b->cap ? grow(b->cap, b->max) : BYTEBUF_FIRST_CAP;
		while (cap - used < len)
			cap = grow(cap, b->max);
		/* Not realloc(): it would leave a copy behind. */
		uint8_t *data = xmalloc(cap);
		if (used)
			memcpy(data, b->data + b->start, used);
		free_secret(b->data, b->cap);
		b->data = data;
		b->cap = cap;
	}
	b->start = 0;
	b->end = used;
}

void *bytebuf_reserve(struct bytebuf *b, size_t len)
{
	if (len > bytebuf_room(b))
		return NULL;
	make_room(b, len ? len : 1);
	return b->data + b->end;
}

void bytebuf_commit(struct bytebuf *b, size_t len)
{
	b->end += len;
}

int bytebuf_append(struct bytebuf *b, const void *data, size_t len)
{
	if (len > bytebuf_room(b))
		return HW_ETOOBIG;
	if (len == 0)
		return HW_OK;
	make_room(b, len);
	memcpy(b->data + b->end, data, len);
	b->end += len;
	return HW_OK;
}

const uint8_t *bytebuf_peek(const struct bytebuf *b)
{
	static const uint8_t nothing[1];
	return b->data ? b->data + b->start : nothing;
}

void bytebuf_consume(struct bytebuf *b, size_t len)
{
	size_t used = bytebuf_len(b);
	b->start += len < used ? len : used;
	if (b->start == b->end)
		b->start = b->end = 0;
}
