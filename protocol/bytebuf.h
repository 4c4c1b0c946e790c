/* A byte queue with a maximum: append at the end, consume from the front. */
#ifndef HAWSER_PROTOCOL_BYTEBUF_H
#define HAWSER_PROTOCOL_BYTEBUF_H

#include "protocol/base.h"

struct bytebuf {
	uint8_t *data; /* private: use the calls */
	size_t start, end, cap, max;
};

/* max: the most bytes that may be queued at once. Allocates nothing yet. */
void bytebuf_init(struct bytebuf *b, size_t max);
/* Frees the memory; the queue may be used again. */
void bytebuf_finish(struct bytebuf *b);
size_t bytebuf_len(const struct bytebuf *b);
size_t bytebuf_room(const struct bytebuf *b); /* max - len */
/* HW_ETOOBIG (and nothing appended) when it would pass max. */
int bytebuf_append(struct bytebuf *b, const void *data, size_t len) HW_NODISCARD;
/* Room for at least len contiguous bytes at the end, to read into; NULL when that would pass max.
 * Valid until the next call; follow with bytebuf_commit(). */
void *bytebuf_reserve(struct bytebuf *b, size_t len);
void bytebuf_commit(struct bytebuf *b, size_t len);
/* The queued bytes, contiguous; valid until the next append, reserve or consume. */
const uint8_t *bytebuf_peek(const struct bytebuf *b);
void bytebuf_consume(struct bytebuf *b, size_t len);

#endif
