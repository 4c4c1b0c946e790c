#include "protocol/decode.h"

#include <limits.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>
#include "protocol/alloc.h"
#include "protocol/precheck.h"

/* What a key's value must be, and where it goes. */
enum kind {
	KIND_U32,   /* uint32_t, at most max (0: any); has, where given, is set */
	KIND_I32,   /* int32_t, from -1 to max */
	KIND_BOOL,  /* bool */
	KIND_STR,   /* char *, no NUL, at most max bytes (0: any) */
	KIND_BYTES, /* char * (at most max bytes, 0: any), its size_t length at `has`; may hold NULs
		     */
	KIND_STRV,  /* char **, at most max strings */
	KIND_WINSIZE, /* struct proto_winsize; has, where given, is set */
	KIND_STREAMS, /* uint8_t[3] */
	KIND_FIELDS,  /* struct proto_field *, at most max; their size_t count at `has` */
};

#define NO_HAS SIZE_MAX

struct key {
	const char *name;
	enum kind kind;
	bool required;
	size_t at;  /* offset in the message's struct */
	size_t has; /* offset of the companion, or NO_HAS */
	uint32_t max;
};

static bool name_is(const msgpack_object *o, const char *name)
{
	size_t len = strlen(name);
	return o->via.str.size == len && memcmp(o->via.str.ptr, name, len) == 0;
}

/* Text comes as str; bin is taken too, since some libraries send bytes that are not UTF-8 so. */
static bool text_of(const msgpack_object *o, const char **bytes, size_t *len)
{
	if (o->type == MSGPACK_OBJECT_STR) {
		*bytes = o->via.str.ptr;
		*len = o->via.str.size;
		return true;
	}
	if (o->type == MSGPACK_OBJECT_BIN) {
		*bytes = o->via.bin.ptr;
		*len = o->via.bin.size;
		return true;
	}
	return false;
}

static int read_u32(const msgpack_object *o, uint32_t max, uint32_t *out)
{
	if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER || o->via.u64 > (max ? max : UINT32_MAX))
		return HW_EPROTO;
	*out = (uint32_t)o->via.u64;
	return HW_OK;
}

static int read_i32(const msgpack_object *o, uint32_t max, int32_t *out)
{
	if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER && o->via.i64 == -1) {
		*out = -1;
		return HW_OK;
	}
	uint32_t value;
	int error = read_u32(o, max, &value);
	if (error == HW_OK)
		*out = (int32_t)value;
	return error;
}

static int read_str(const msgpack_object *o, uint32_t max, char **out)
{
	const char *bytes;
	size_t len;
	if (!text_of(o, &bytes, &len) || (max && len > max) || (len && memchr(bytes, '\0', len)))
		return HW_EPROTO;
	*out = xmemdup(bytes, len);
	return HW_OK;
}

static int read_bytes(const msgpack_object *o, uint32_t max, char **out, size_t *out_len)
{
	const char *bytes;
	size_t len;
	if (!text_of(o, &bytes, &len) || (max && len > max))
		return HW_EPROTO;
	*out = xmemdup(bytes, len);
	*out_len = len;
	return HW_OK;
}

/* What was read before a fault stays in *out, for the message's _free call. */
static int read_strv(const msgpack_object *o, uint32_t max, char ***out)
{
	if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size > max)
		return HW_EPROTO;
	uint32_t n = o->via.array.size;
	*out = xcalloc((size_t)n + 1, sizeof(**out));
	for (uint32_t i = 0; i < n; i++) {
		int error = read_str(&o->via.array.ptr[i], 0, &(*out)[i]);
		if (error != HW_OK)
			return error;
	}
	return HW_OK;
}

static int read_winsize(const msgpack_object *o, struct proto_winsize *out)
{
	uint32_t *const values[] = {&out->cols, &out->rows, &out->xpixel, &out->ypixel};
	if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size != HW_ARRAY_LEN(values))
		return HW_EPROTO;
	for (size_t i = 0; i < HW_ARRAY_LEN(values); i++) {
		if (read_u32(&o->via.array.ptr[i], 0, values[i]) != HW_OK)
			return HW_EPROTO;
	}
	return HW_OK;
}

static int read_streams(const msgpack_object *o, uint8_t out[3])
{
	if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size != 3)
		return HW_EPROTO;
	for (size_t i = 0; i < 3; i++) {
		uint32_t value;
		if (read_u32(&o->via.array.ptr[i], PROTO_STREAM_FD, &value) != HW_OK)
			return HW_EPROTO;
		out[i] = (uint8_t)value;
	}
	return HW_OK;
}

static int read_map(const msgpack_object *map, const struct key *keys, size_t nkeys, void *out);

static int read_fields(const msgpack_object *o, uint32_t max, struct proto_field **out,
		       size_t *count)
{
	static const struct key keys[] = {
		{"text", KIND_STR, true, offsetof(struct proto_field, text), NO_HAS, 0},
		{"echo", KIND_BOOL, false, offsetof(struct proto_field, echo), NO_HAS, 0},
	};
	if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size > max)
		return HW_EPROTO;
	*out = xcalloc(o->via.array.size, sizeof(**out));
	*count = o->via.array.size;
	for (size_t i = 0; i < *count; i++) {
		int error = read_map(&o->via.array.ptr[i], keys, HW_ARRAY_LEN(keys), &(*out)[i]);
		if (error != HW_OK)
			return error;
	}
	return HW_OK;
}

static int read_value(const msgpack_object *o, const struct key *key, char *out)
{
	/* out is the message's struct, and the offsets are those of members of that type. */
	void *at = out + key->at;
	void *has = key->has == NO_HAS ? NULL : out + key->has;
	int error;

	switch (key->kind) {
	case KIND_U32:
		error = read_u32(o, key->max, at);
		break;
	case KIND_I32:
		return read_i32(o, key->max, at);
	case KIND_BOOL:
		if (o->type != MSGPACK_OBJECT_BOOLEAN)
			return HW_EPROTO;
		*(bool *)at = o->via.boolean;
		return HW_OK;
	case KIND_STR:
		return read_str(o, key->max, at);
	case KIND_BYTES:
		return read_bytes(o, key->max, at, has);
	case KIND_STRV:
		return read_strv(o, key->max, at);
	case KIND_WINSIZE:
		error = read_winsize(o, at);
		break;
	case KIND_STREAMS:
		return read_streams(o, at);
	case KIND_FIELDS:
		return read_fields(o, key->max, at, has);
	default:
		return HW_EPROTO;
	}
	if (has)
		*(bool *)has = error == HW_OK;
	return error;
}

/* Fills out, which is zeroed or holds defaults. Keys that are not in the table are skipped, those
 * that come twice are a fault, nil stands for an absent key that need not be there. */
static int read_map(const msgpack_object *map, const struct key *keys, size_t nkeys, void *out)
{
	uint32_t seen = 0;

	if (map->type != MSGPACK_OBJECT_MAP)
		return HW_EPROTO;
	for (uint32_t i = 0; i < map->via.map.size; i++) {
		const msgpack_object_kv *kv = &map->via.map.ptr[i];
		if (kv->key.type != MSGPACK_OBJECT_STR)
			return HW_EPROTO;
		size_t k = 0;
		while (k < nkeys && !name_is(&kv->key, keys[k].name))
			k++;
		if (k == nkeys)
			continue;
		if (seen & 1u << k)
			return HW_EPROTO;
		seen |= 1u << k;
		if (kv->val.type == MSGPACK_OBJECT_NIL && !keys[k].required)
			continue;
		int error = read_value(&kv->val, &keys[k], out);
		if (error != HW_OK)
			return error;
	}
	for (size_t k = 0; k < nkeys; k++) {
		if (keys[k].required && !(seen & 1u << k))
			return HW_EPROTO;
	}
	return HW_OK;
}

int proto_parse(const uint8_t *payload, size_t len, struct proto_message *m)
{
	*m = (struct proto_message){0};
	int error = precheck_payload(payload, len);
	if (error != HW_OK)
		return error;

	msgpack_unpacked result;
	msgpack_unpacked_init(&result);
	size_t used = 0;
	msgpack_unpack_return r = msgpack_unpack_next(&result, (const char *)payload, len, &used);
	const msgpack_object *top = &result.data;
	uint32_t type;
	if (r != MSGPACK_UNPACK_SUCCESS || used != len || top->type != MSGPACK_OBJECT_ARRAY ||
	    top->via.array.size != 3 || read_u32(&top->via.array.ptr[0], 0, &type) != HW_OK ||
	    read_u32(&top->via.array.ptr[1], 0, &m->request) != HW_OK ||
	    top->via.array.ptr[2].type != MSGPACK_OBJECT_MAP) {
		msgpack_unpacked_destroy(&result);
		*m = (struct proto_message){0};
		return HW_EPROTO;
	}
	m->type = type;
	m->body = &top->via.array.ptr[2]; /* lives in the zone; its text in the payload */
	m->zone = msgpack_unpacked_release_zone(&result);
	return HW_OK;
}

void proto_message_finish(struct proto_message *m)
{
	if (m->zone)
		msgpack_zone_free(m->zone);
	*m = (struct proto_message){0};
}

/* One key of a table. */
#define KEY(type, name, kind, required, member, max)                                               \
	{                                                                                          \
		name, kind, required, offsetof(struct type, member), NO_HAS, max                   \
	}
#define KEY_HAS(type, name, kind, required, member, has, max)                                      \
	{                                                                                          \
		name, kind, required, offsetof(struct type, member), offsetof(struct type, has),   \
			max                                                                        \
	}

/* The body of a message of this type by its table. */
#define READ(m, number, keys, out)                                                                 \
	((m)->type == (number) && (m)->body                                                        \
		 ? read_map((m)->body, (keys), HW_ARRAY_LEN(keys), (out))                          \
		 : HW_EPROTO)

int proto_decode_request(const struct proto_message *m, struct proto_request *out)
{
	static const struct key keys[] = {
		KEY(proto_request, "proto", KIND_U32, true, minor, 0),
		KEY(proto_request, "version", KIND_STR, true, version, PROTO_WORD_MAX),
		KEY(proto_request, "args", KIND_STRV, true, args, PROTO_ARGS_MAX),
		KEY(proto_request, "host", KIND_STR, true, host, 0),
		KEY_HAS(proto_request, "command", KIND_BYTES, false, command, command_len, 0),
		KEY(proto_request, "env", KIND_STRV, true, env, PROTO_ENV_MAX),
		KEY(proto_request, "cwd", KIND_STR, true, cwd, 0),
		KEY(proto_request, "flags", KIND_U32, false, flags, 0),
		KEY_HAS(proto_request, "winsize", KIND_WINSIZE, false, winsize, has_winsize, 0),
		KEY(proto_request, "operation", KIND_STR, false, operation, PROTO_WORD_MAX),
		KEY(proto_request, "stdio", KIND_STR, false, stdio, 0),
		KEY_HAS(proto_request, "modes", KIND_BYTES, false, modes, modes_len,
			PROTO_MODES_MAX),
		KEY(proto_request, "streams", KIND_STREAMS, true, streams, 0),
	};
	*out = (struct proto_request){0};
	int error = READ(m, PROTO_REQUEST, keys, out);
	if (error != HW_OK)
		proto_request_free(out);
	return error;
}

int proto_decode_signal(const struct proto_message *m, struct proto_signal *out)
{
	static const struct key keys[] = {
		KEY(proto_signal, "name", KIND_STR, true, name, PROTO_WORD_MAX),
	};
	*out = (struct proto_signal){0};
	int error = READ(m, PROTO_SIGNAL, keys, out);
	if (error != HW_OK)
		proto_signal_free(out);
	return error;
}

int proto_decode_resize(const struct proto_message *m, struct proto_winsize *out)
{
	static const struct key keys[] = {{"winsize", KIND_WINSIZE, true, 0, NO_HAS, 0}};
	*out = (struct proto_winsize){0};
	return READ(m, PROTO_RESIZE, keys, out);
}

int proto_decode_action(const struct proto_message *m, struct proto_action *out)
{
	static const struct key keys[] = {
		KEY(proto_action, "verb", KIND_STR, true, verb, PROTO_WORD_MAX),
		KEY(proto_action, "args", KIND_STRV, true, args, PROTO_ARGS_MAX),
	};
	*out = (struct proto_action){0};
	int error = READ(m, PROTO_ACTION, keys, out);
	if (error != HW_OK)
		proto_action_free(out);
	return error;
}

int proto_decode_answer(const struct proto_message *m, struct proto_answer *out)
{
	static const struct key keys[] = {
		KEY(proto_answer, "prompt", KIND_U32, true, prompt, 0),
		KEY(proto_answer, "cancelled", KIND_BOOL, false, cancelled, 0),
		KEY(proto_answer, "reason", KIND_STR, false, reason, 0),
		KEY(proto_answer, "answers", KIND_STRV, false, answers, PROTO_FIELDS_MAX),
	};
	*out = (struct proto_answer){0};
	int error = READ(m, PROTO_ANSWER, keys, out);
	if (error == HW_OK && !out->answers)
		out->answers = xcalloc(1, sizeof(*out->answers));
	if (error != HW_OK)
		proto_answer_free(out);
	return error;
}

int proto_decode_control(const struct proto_message *m, struct proto_control *out)
{
	static const struct key keys[] = {
		KEY(proto_control, "proto", KIND_U32, true, minor, 0),
		KEY(proto_control, "verb", KIND_STR, true, verb, PROTO_WORD_MAX),
		KEY(proto_control, "args", KIND_STRV, true, args, PROTO_ARGS_MAX),
	};
	*out = (struct proto_control){0};
	int error = READ(m, PROTO_CONTROL, keys, out);
	if (error != HW_OK)
		proto_control_free(out);
	return error;
}

int proto_decode_started(const struct proto_message *m, struct proto_started *out)
{
	static const struct key keys[] = {
		KEY(proto_started, "tty", KIND_BOOL, false, tty, 0),
		KEY(proto_started, "reused", KIND_BOOL, false, reused, 0),
		KEY(proto_started, "stdin", KIND_BOOL, false, read_stdin, 0),
		KEY(proto_started, "escape", KIND_I32, false, escape, UCHAR_MAX),
		KEY(proto_started, "background", KIND_BOOL, false, background, 0),
		KEY(proto_started, "host", KIND_STR, false, host, 0),
		KEY_HAS(proto_started, "level", KIND_U32, false, level, has_level, 0),
		KEY(proto_started, "commandline", KIND_BOOL, false, commandline, 0),
		KEY(proto_started, "local_command", KIND_BOOL, false, local_command, 0),
		KEY(proto_started, "modes", KIND_BOOL, false, modes, 0),
	};
	*out = (struct proto_started){.read_stdin = true, .escape = -1};
	int error = READ(m, PROTO_STARTED, keys, out);
	if (error != HW_OK)
		proto_started_free(out);
	return error;
}

int proto_decode_exit(const struct proto_message *m, struct proto_exit *out)
{
	static const struct key keys[] = {
		KEY_HAS(proto_exit, "status", KIND_U32, false, status, has_status, 0),
		KEY(proto_exit, "signal", KIND_STR, false, signal, PROTO_WORD_MAX),
		KEY(proto_exit, "error", KIND_STR, false, error, 0),
		KEY(proto_exit, "hint", KIND_STR, false, hint, 0),
		KEY(proto_exit, "ran", KIND_BOOL, false, ran, 0),
		KEY(proto_exit, "stage", KIND_STR, false, stage, PROTO_WORD_MAX),
		KEY(proto_exit, "cause", KIND_STR, false, cause, PROTO_WORD_MAX),
		KEY(proto_exit, "evidence", KIND_STR, false, evidence, 0),
		KEY(proto_exit, "reused", KIND_BOOL, false, reused, 0),
		KEY(proto_exit, "transport", KIND_U32, false, transport, 0),
	};
	*out = (struct proto_exit){0};
	int error = READ(m, PROTO_EXIT, keys, out);
	if (error == HW_OK && out->has_status + !!out->signal + !!out->error != 1)
		error = HW_EPROTO;
	if (error != HW_OK)
		proto_exit_free(out);
	return error;
}

int proto_decode_prompt(const struct proto_message *m, struct proto_prompt *out)
{
	_Static_assert(sizeof(enum proto_prompt_kind) == sizeof(uint32_t), "read as a KIND_U32");
	static const struct key keys[] = {
		KEY(proto_prompt, "prompt", KIND_U32, true, prompt, 0),
		KEY(proto_prompt, "kind", KIND_U32, true, kind, PROTO_PROMPT_COMMAND),
		KEY(proto_prompt, "intro", KIND_STR, false, intro, 0),
		KEY_HAS(proto_prompt, "fields", KIND_FIELDS, true, fields, nfields,
			PROTO_FIELDS_MAX),
	};
	*out = (struct proto_prompt){0};
	int error = READ(m, PROTO_PROMPT, keys, out);
	if (error != HW_OK)
		proto_prompt_free(out);
	return error;
}

int proto_decode_notice(const struct proto_message *m, struct proto_notice *out)
{
	static const struct key keys[] = {
		KEY(proto_notice, "raw", KIND_BOOL, false, raw, 0),
		KEY(proto_notice, "banner", KIND_BOOL, false, banner, 0),
		KEY(proto_notice, "text", KIND_STR, true, text, 0),
	};
	*out = (struct proto_notice){0};
	int error = READ(m, PROTO_NOTICE, keys, out);
	if (error != HW_OK)
		proto_notice_free(out);
	return error;
}

int proto_decode_fallback(const struct proto_message *m, struct proto_fallback *out)
{
	static const struct key keys[] = {KEY(proto_fallback, "why", KIND_STR, true, why, 0)};
	*out = (struct proto_fallback){0};
	return READ(m, PROTO_FALLBACK, keys, out);
}

int proto_decode_error(const struct proto_message *m, struct proto_error *out)
{
	static const struct key keys[] = {KEY(proto_error, "text", KIND_STR, true, text, 0)};
	*out = (struct proto_error){0};
	return READ(m, PROTO_ERROR, keys, out);
}

int proto_decode_progress(const struct proto_message *m, struct proto_progress *out)
{
	static const struct key keys[] = {
		KEY(proto_progress, "text", KIND_STR, true, text, 0),
		KEY(proto_progress, "retry_ms", KIND_U32, false, retry_ms, 0),
	};
	*out = (struct proto_progress){0};
	int error = READ(m, PROTO_PROGRESS, keys, out);
	if (error != HW_OK)
		proto_progress_free(out);
	return error;
}
