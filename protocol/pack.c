#include "protocol/pack.h"

#include <limits.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>
#include "protocol/alloc.h"
#include "protocol/proto.h"

#define PACK_MAX ((size_t)PROTO_HEADER_SIZE + PROTO_FRAME_MAX)
/* A map's header in its 16-bit form has one size, whatever the count: it is filled in later. */
#define MAP16	   0xdeu
#define MAP16_SIZE 3

static int append(struct pack *p, const void *bytes, size_t len)
{
	if (p->over || len > PACK_MAX - p->len) {
		p->over = true;
		return -1;
	}
	if (p->cap - p->len < len) {
		size_t cap = p->cap;
		while (cap - p->len < len)
			cap = cap < PACK_MAX / 2 ? cap * 2 : PACK_MAX;
		/* Not realloc(): it would leave a copy behind, and some of them are secret. */
		uint8_t *data = xmalloc(cap);
		memcpy(data, p->data, p->len);
		free_secret(p->data, p->len);
		p->data = data;
		p->cap = cap;
	}
	memcpy(p->data + p->len, bytes, len);
	p->len += len;
	return 0;
}

/* msgpack-c's way out: called once or twice per value. */
static int on_packed(void *ctx, const char *bytes, size_t len)
{
	return append(ctx, bytes, len);
}

static msgpack_packer packer(struct pack *p)
{
	if (++p->objects > PROTO_OBJECTS_MAX)
		p->over = true;
	return (msgpack_packer){.data = p, .callback = on_packed};
}

void pack_init(struct pack *p, size_t cap)
{
	static const uint8_t no_length_yet[PROTO_HEADER_SIZE];
	if (cap < PROTO_HEADER_SIZE)
		cap = PROTO_HEADER_SIZE;
	*p = (struct pack){.data = xmalloc(cap), .cap = cap};
	append(p, no_length_yet, sizeof(no_length_yet));
}

void pack_drop(struct pack *p)
{
	free_secret(p->data, p->len);
	*p = (struct pack){0};
}

uint8_t *pack_frame(struct pack *p, size_t *len)
{
	if (p->over) {
		pack_drop(p);
		*len = 0;
		return NULL;
	}
	uint32_t payload = (uint32_t)(p->len - PROTO_HEADER_SIZE);
	for (unsigned i = 0; i < PROTO_HEADER_SIZE; i++)
		p->data[i] = (uint8_t)(payload >> (24 - 8 * i));
	uint8_t *frame = p->data;
	*len = p->len;
	*p = (struct pack){0};
	return frame;
}

void pack_nil(struct pack *p)
{
	msgpack_packer pk = packer(p);
	msgpack_pack_nil(&pk);
}

void pack_bool(struct pack *p, bool value)
{
	msgpack_packer pk = packer(p);
	if (value)
		msgpack_pack_true(&pk);
	else
		msgpack_pack_false(&pk);
}

void pack_uint(struct pack *p, uint64_t value)
{
	msgpack_packer pk = packer(p);
	msgpack_pack_uint64(&pk, value);
}

void pack_int(struct pack *p, int64_t value)
{
	msgpack_packer pk = packer(p);
	msgpack_pack_int64(&pk, value);
}

void pack_double(struct pack *p, double value)
{
	msgpack_packer pk = packer(p);
	msgpack_pack_double(&pk, value);
}

void pack_strn(struct pack *p, const char *s, size_t len)
{
	msgpack_packer pk = packer(p);
	if (len > PROTO_FRAME_MAX) { /* also keeps the 32-bit length below from wrapping */
		p->over = true;
		return;
	}
	msgpack_pack_str(&pk, len);
	append(p, s, len);
}

void pack_str(struct pack *p, const char *s)
{
	pack_strn(p, s ? s : "", s ? strlen(s) : 0);
}

void pack_array(struct pack *p, size_t count)
{
	msgpack_packer pk = packer(p);
	msgpack_pack_array(&pk, count);
}

void pack_strv(struct pack *p, char *const *v, size_t max)
{
	size_t n = strv_len(v);
	if (n > max)
		p->over = true;
	pack_array(p, n);
	for (size_t i = 0; i < n && !p->over; i++)
		pack_str(p, v[i]);
}

void pack_raw(struct pack *p, const struct pack *from, size_t skip)
{
	p->objects += from->objects;
	if (from->over || p->objects > PROTO_OBJECTS_MAX)
		p->over = true;
	append(p, from->data + skip, from->len - skip);
}

struct pack_map pack_map_begin(struct pack *p)
{
	static const uint8_t header[MAP16_SIZE] = {MAP16};
	struct pack_map m = {.to = p, .at = p->len};
	p->objects++;
	append(p, header, sizeof(header));
	return m;
}

void pack_key(struct pack_map *m, const char *key)
{
	m->count++;
	pack_str(m->to, key);
}

void pack_map_end(struct pack_map *m)
{
	if (m->to->over || m->count > UINT16_MAX) {
		m->to->over = true;
		return;
	}
	m->to->data[m->at + 1] = (uint8_t)(m->count >> 8);
	m->to->data[m->at + 2] = (uint8_t)m->count;
}

void pack_head(struct pack *p, unsigned type, uint32_t request)
{
	pack_array(p, 3);
	pack_uint(p, type);
	pack_uint(p, request);
}
