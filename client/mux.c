#include "client/mux.h"

#include <string.h>

#define LENGTH_SIZE 4u
#define TEXT_MAX    200u

static uint32_t get(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint8_t *put(uint8_t *p, uint32_t n)
{
	p[0] = (uint8_t)(n >> 24);
	p[1] = (uint8_t)(n >> 16);
	p[2] = (uint8_t)(n >> 8);
	p[3] = (uint8_t)n;
	return p + 4;
}

static uint8_t *put_string(uint8_t *p, const char *text, size_t len)
{
	return (uint8_t *)mempcpy(put(p, (uint32_t)len), text, len);
}

/* Takes what is missing of a head's `want` bytes. */
static size_t keep(struct mux_reader *r, const uint8_t *in, size_t len, size_t want)
{
	size_t n = want - r->have < len ? want - r->have : len;

	memcpy(r->kept + r->have, in, n);
	r->have += n;
	return n;
}

static void finish(struct mux_reader *r, struct mux_message *m)
{
	const uint8_t *p = r->kept + LENGTH_SIZE;
	size_t len = r->have - LENGTH_SIZE;

	*m = (struct mux_message){.type = get(p)};
	if (len >= 8) {
		m->number = get(p + 4);
		m->rest = p + 8;
		m->rest_len = len - 8;
	}
	r->have = 0;
}

bool mux_read(struct mux_reader *r, const uint8_t *in, size_t len, size_t *used,
	      struct mux_message *m, bool *broken)
{
	size_t n = 0;

	*used = 0;
	*broken = false;
	if (r->have < LENGTH_SIZE) {
		n = keep(r, in, len, LENGTH_SIZE);
		*used = n;
		if (r->have < LENGTH_SIZE)
			return false;
		r->left = get(r->kept);
		if (r->left < 4 || r->left > MUX_MESSAGE_MAX) {
			*broken = true;
			return false;
		}
	}
	size_t take = len - n < r->left ? len - n : r->left;
	if (take > 0 && r->have < sizeof(r->kept))
		keep(r, in + n, take, sizeof(r->kept));
	r->left -= (uint32_t)take;
	*used = n + take;
	if (r->left > 0)
		return false;
	finish(r, m);
	return true;
}

bool mux_is_ours(const struct mux_message *hello)
{
	const uint8_t *p = hello->rest;
	size_t left = hello->rest_len;

	/* Pairs of strings: name and value. */
	for (bool name = true; left >= 4; name = !name) {
		uint32_t len = get(p);
		if (len > left - 4)
			return false;
		if (name && len == strlen(MUX_EXTENSION) && memcmp(p + 4, MUX_EXTENSION, len) == 0)
			return true;
		p += 4 + len;
		left -= 4 + len;
	}
	return false;
}

/* Puts the length before what was written behind its place. */
static size_t end(uint8_t *out, const uint8_t *p)
{
	put(out, (uint32_t)(p - out) - LENGTH_SIZE);
	return (size_t)(p - out);
}

size_t mux_put_hello(uint8_t *out, bool extension)
{
	uint8_t *p = put(put(out + LENGTH_SIZE, MUX_HELLO), MUX_VERSION);

	if (extension)
		p = put_string(put_string(p, MUX_EXTENSION, strlen(MUX_EXTENSION)), "", 0);
	return end(out, p);
}

size_t mux_put(uint8_t *out, enum mux_type type, uint32_t id)
{
	return end(out, put(put(out + LENGTH_SIZE, type), id));
}

size_t mux_put_number(uint8_t *out, enum mux_type type, uint32_t id, uint32_t number)
{
	return end(out, put(put(put(out + LENGTH_SIZE, type), id), number));
}

size_t mux_put_text(uint8_t *out, enum mux_type type, uint32_t id, const char *text)
{
	uint8_t *p = put(put(out + LENGTH_SIZE, type), id);

	return end(out, put_string(p, text, strnlen(text, TEXT_MAX)));
}
