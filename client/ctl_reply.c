#include "client/ctl_reply.h"

#include <stdlib.h>
#include <string.h>
#include "protocol/alloc.h"

static void keep(void *ctx, size_t item, const struct reply_value *v)
{
	struct ctl_reply *r = ctx;

	if (r->nvalues == r->cap) {
		r->cap = r->cap == 0 ? 64 : r->cap * 2;
		r->values = xreallocarray(r->values, r->cap, sizeof(*r->values));
	}
	struct ctl_value *value = &r->values[r->nvalues++];
	value->item = item;
	value->v = *v;
	value->v.key = xstrdup(v->key);
	value->v.str = v->kind == 's' ? xstrdup(v->str) : NULL;
}

int ctl_reply_decode(struct ctl_reply *r, const struct proto_message *m)
{
	memset(r, 0, sizeof(*r));
	return proto_decode_reply(m, &r->ok, &r->error, &r->nitems, keep, r);
}

void ctl_reply_free(struct ctl_reply *r)
{
	for (size_t i = 0; i < r->nvalues; i++) {
		free((char *)(uintptr_t)r->values[i].v.key);
		free((char *)(uintptr_t)r->values[i].v.str);
	}
	free(r->values);
	free(r->error);
	memset(r, 0, sizeof(*r));
}

const struct reply_value *ctl_reply_get(const struct ctl_reply *r, size_t item, const char *key)
{
	for (size_t i = 0; i < r->nvalues; i++)
		if (r->values[i].item == item && strcmp(r->values[i].v.key, key) == 0)
			return &r->values[i].v;
	return NULL;
}
