#include "protocol/encode.h"

#include <stdlib.h>
#include "protocol/alloc.h"
#include "protocol/pack.h"

#define REPLY_FIRST_CAP 1024

/* Items are packed as they come; how many there are is known at the end only, so they get a pack of
 * their own, which goes into the frame whole. */
struct reply {
	struct pack items;
	size_t nitems;
	struct pack_map item; /* the open one, when nitems > 0 */
	char *error;
	bool failed;
};

struct reply *reply_create(void)
{
	struct reply *r = xcalloc(1, sizeof(*r));
	pack_init(&r->items, REPLY_FIRST_CAP);
	return r;
}

void reply_destroy(struct reply *r)
{
	if (!r)
		return;
	pack_drop(&r->items);
	free(r->error);
	free(r);
}

void reply_fail(struct reply *r, const char *text)
{
	r->failed = true;
	free(r->error);
	r->error = xstrdup(text);
	pack_drop(&r->items);
	pack_init(&r->items, REPLY_FIRST_CAP);
	r->nitems = 0;
}

static void end_item(struct reply *r)
{
	if (r->nitems > 0)
		pack_map_end(&r->item);
}

void reply_item(struct reply *r)
{
	end_item(r);
	r->item = pack_map_begin(&r->items);
	r->nitems++;
}

/* A value without an item opens the first one. */
static void put_key(struct reply *r, const char *key)
{
	if (r->nitems == 0)
		reply_item(r);
	pack_key(&r->item, key);
}

void reply_str(struct reply *r, const char *key, const char *value)
{
	put_key(r, key);
	if (value)
		pack_str(&r->items, value);
	else
		pack_nil(&r->items);
}

void reply_uint(struct reply *r, const char *key, uint64_t value)
{
	put_key(r, key);
	pack_uint(&r->items, value);
}

void reply_double(struct reply *r, const char *key, double value)
{
	put_key(r, key);
	pack_double(&r->items, value);
}

void reply_bool(struct reply *r, const char *key, bool value)
{
	put_key(r, key);
	pack_bool(&r->items, value);
}

uint8_t *reply_encode(struct reply *r, uint32_t request, size_t *len)
{
	struct pack out;

	end_item(r);
	pack_init(&out, r->items.len + REPLY_FIRST_CAP);
	pack_head(&out, PROTO_REPLY, request);
	struct pack_map body = pack_map_begin(&out);
	pack_key(&body, "ok");
	pack_bool(&out, !r->failed);
	if (r->failed) {
		pack_key(&body, "error");
		pack_str(&out, r->error);
	}
	pack_key(&body, "items");
	pack_array(&out, r->nitems);
	pack_raw(&out, &r->items, PROTO_HEADER_SIZE);
	pack_map_end(&body);
	return pack_frame(&out, len);
}
