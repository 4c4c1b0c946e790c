/* Writes one frame (encode.c and reply.c): values one after the other into a growing buffer with
 * room for the length in front. The first failure sticks, so callers look once, at the end.
 * The only door to msgpack-c's packer. */
#ifndef HAWSER_PROTOCOL_PACK_H
#define HAWSER_PROTOCOL_PACK_H

#include "protocol/base.h"

struct pack {
	uint8_t *data;
	size_t len, cap;
	size_t objects; /* values written, containers included: PROTO_OBJECTS_MAX */
	bool over;	/* a limit was passed; nothing more is written */
};

/* A map that grows key by key; its count is filled in by pack_map_end(). */
struct pack_map {
	struct pack *to;
	size_t at;
	unsigned count;
};

/* cap: bytes to begin with. */
void pack_init(struct pack *p, size_t cap);
/* Wipes and frees what was written. */
void pack_drop(struct pack *p);
/* Puts the length in front and gives the frame to the caller (free()), or NULL, with all wiped and
 * freed, when a limit of proto.h was passed. The pack is empty afterwards. */
uint8_t *pack_frame(struct pack *p, size_t *len);

void pack_nil(struct pack *p);
void pack_bool(struct pack *p, bool value);
void pack_uint(struct pack *p, uint64_t value);
void pack_int(struct pack *p, int64_t value);
void pack_double(struct pack *p, double value);
void pack_str(struct pack *p, const char *s); /* NULL: "" */
void pack_strn(struct pack *p, const char *s, size_t len);
void pack_array(struct pack *p, size_t count); /* count values follow */
/* A vector of strings; more than max: a limit was passed. NULL: none. */
void pack_strv(struct pack *p, char *const *v, size_t max);
/* Values packed elsewhere, as they are. */
void pack_raw(struct pack *p, const struct pack *from, size_t skip);

struct pack_map pack_map_begin(struct pack *p);
/* One value must follow. */
void pack_key(struct pack_map *m, const char *key);
void pack_map_end(struct pack_map *m);

/* [type, request, -- the body must follow. */
void pack_head(struct pack *p, unsigned type, uint32_t request);

#endif
