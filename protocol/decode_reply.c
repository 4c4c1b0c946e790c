#include "protocol/decode.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>
#include "protocol/alloc.h"

#define REPLY_KEY_MAX 64 /* bytes of a key with its NUL */

/* The parts of a reply's body, found but not yet walked. */
struct reply_parts {
	const msgpack_object *ok, *error, *items;
};

static bool is_text(const msgpack_object *o)
{
	return o->type == MSGPACK_OBJECT_STR &&
	       !(o->via.str.size && memchr(o->via.str.ptr, '\0', o->via.str.size));
}

static int find_parts(const msgpack_object *body, struct reply_parts *parts)
{
	const struct {
		const char *name;
		const msgpack_object **at;
	} wanted[] = {{"ok", &parts->ok}, {"error", &parts->error}, {"items", &parts->items}};

	*parts = (struct reply_parts){0};
	for (uint32_t i = 0; i < body->via.map.size; i++) {
		const msgpack_object_kv *kv = &body->via.map.ptr[i];
		if (kv->key.type != MSGPACK_OBJECT_STR)
			return HW_EPROTO;
		for (size_t w = 0; w < HW_ARRAY_LEN(wanted); w++) {
			const char *name = wanted[w].name;
			if (kv->key.via.str.size != strlen(name) ||
			    memcmp(kv->key.via.str.ptr, name, strlen(name)) != 0)
				continue;
			if (*wanted[w].at)
				return HW_EPROTO;
			*wanted[w].at = &kv->val;
		}
	}
	if (parts->error && parts->error->type == MSGPACK_OBJECT_NIL)
		parts->error = NULL;
	if (!parts->ok || parts->ok->type != MSGPACK_OBJECT_BOOLEAN)
		return HW_EPROTO;
	if (parts->error && !is_text(parts->error))
		return HW_EPROTO;
	if (!parts->ok->via.boolean && !parts->error)
		return HW_EPROTO;
	return parts->items && parts->items->type == MSGPACK_OBJECT_ARRAY ? HW_OK : HW_EPROTO;
}

/* All that is told later is checked first, so that nothing is told of a reply that is at fault. */
static int check_items(const msgpack_object *items)
{
	for (uint32_t i = 0; i < items->via.array.size; i++) {
		const msgpack_object *item = &items->via.array.ptr[i];
		if (item->type != MSGPACK_OBJECT_MAP)
			return HW_EPROTO;
		for (uint32_t k = 0; k < item->via.map.size; k++) {
			const msgpack_object_kv *kv = &item->via.map.ptr[k];
			if (!is_text(&kv->key) || kv->key.via.str.size >= REPLY_KEY_MAX)
				return HW_EPROTO;
			if (kv->val.type == MSGPACK_OBJECT_STR && !is_text(&kv->val))
				return HW_EPROTO;
		}
	}
	return HW_OK;
}

/* *text: the copy that v->str points to, the caller's to free. false: a type that a reader of this
 * version does not know (a list, a map): skipped. */
static bool read_value(const msgpack_object *o, struct reply_value *v, char **text)
{
	switch (o->type) {
	case MSGPACK_OBJECT_STR:
		v->kind = 's';
		v->str = *text = xmemdup(o->via.str.ptr, o->via.str.size);
		return true;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		v->kind = 'u';
		v->uint = o->via.u64;
		return true;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		v->kind = 'd';
		v->dbl = o->via.f64;
		return true;
	case MSGPACK_OBJECT_BOOLEAN:
		v->kind = 'b';
		v->boolean = o->via.boolean;
		return true;
	case MSGPACK_OBJECT_NIL:
		v->kind = 'n';
		return true;
	default:
		return false;
	}
}

static void tell_item(const msgpack_object *item, size_t index, reply_value_cb cb, void *ctx)
{
	for (uint32_t k = 0; k < item->via.map.size; k++) {
		const msgpack_object_kv *kv = &item->via.map.ptr[k];
		char key[REPLY_KEY_MAX];
		char *text = NULL;
		struct reply_value v = {.key = key};

		memcpy(key, kv->key.via.str.ptr, kv->key.via.str.size);
		key[kv->key.via.str.size] = '\0';
		if (read_value(&kv->val, &v, &text))
			cb(ctx, index, &v);
		free(text);
	}
}

int proto_decode_reply(const struct proto_message *m, bool *ok, char **error, size_t *nitems,
		       reply_value_cb cb, void *ctx)
{
	struct reply_parts parts;

	*ok = false;
	*error = NULL;
	*nitems = 0;
	if (m->type != PROTO_REPLY || !m->body || find_parts(m->body, &parts) != HW_OK ||
	    check_items(parts.items) != HW_OK)
		return HW_EPROTO;
	*ok = parts.ok->via.boolean;
	if (!*ok)
		*error = xmemdup(parts.error->via.str.ptr, parts.error->via.str.size);
	*nitems = parts.items->via.array.size;
	for (uint32_t i = 0; cb && i < parts.items->via.array.size; i++)
		tell_item(&parts.items->via.array.ptr[i], i, cb, ctx);
	return HW_OK;
}
