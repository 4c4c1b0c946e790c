#include "protocol/encode.h"

#include <string.h>
#include "protocol/alloc.h"
#include "protocol/pack.h"

enum {
	SMALL_FRAME = 256,    /* bytes to begin with for most messages */
	REQUEST_FRAME = 8192, /* an environment mostly fits */
	STRING_OVERHEAD = 8,  /* more than msgpack's header of a string */
};

/* A message under construction: frame and body. */
struct message {
	struct pack pack;
	struct pack_map body;
};

static void begin(struct message *out, enum proto_type type, uint32_t request, size_t cap)
{
	pack_init(&out->pack, cap);
	pack_head(&out->pack, type, request);
	out->body = pack_map_begin(&out->pack);
}

static uint8_t *finish(struct message *out, size_t *len)
{
	pack_map_end(&out->body);
	return pack_frame(&out->pack, len);
}

static void put_uint(struct message *out, const char *key, uint64_t value)
{
	pack_key(&out->body, key);
	pack_uint(&out->pack, value);
}

static void put_bool(struct message *out, const char *key, bool value)
{
	pack_key(&out->body, key);
	pack_bool(&out->pack, value);
}

static void put_str(struct message *out, const char *key, const char *value)
{
	pack_key(&out->body, key);
	pack_str(&out->pack, value);
}

/* A key that is left out when there is nothing to say. */
static void put_optional(struct message *out, const char *key, const char *value)
{
	if (value)
		put_str(out, key, value);
}

static void put_strv(struct message *out, const char *key, char *const *v, size_t max)
{
	pack_key(&out->body, key);
	pack_strv(&out->pack, v, max);
}

static void put_winsize(struct message *out, const struct proto_winsize *w)
{
	pack_key(&out->body, "winsize");
	pack_array(&out->pack, 4);
	pack_uint(&out->pack, w->cols);
	pack_uint(&out->pack, w->rows);
	pack_uint(&out->pack, w->xpixel);
	pack_uint(&out->pack, w->ypixel);
}

uint8_t *proto_encode_request(uint32_t request, const struct proto_request *m, size_t *len)
{
	struct message out;
	begin(&out, PROTO_REQUEST, request, REQUEST_FRAME);
	put_uint(&out, "proto", m->minor);
	put_str(&out, "version", m->version);
	put_strv(&out, "args", m->args, PROTO_ARGS_MAX);
	put_str(&out, "host", m->host);
	if (m->command) {
		pack_key(&out.body, "command");
		pack_strn(&out.pack, m->command, m->command_len);
	}
	put_strv(&out, "env", m->env, PROTO_ENV_MAX);
	put_str(&out, "cwd", m->cwd);
	put_uint(&out, "flags", m->flags);
	if (m->has_winsize)
		put_winsize(&out, &m->winsize);
	put_optional(&out, "operation", m->operation);
	put_optional(&out, "stdio", m->stdio);
	if (m->modes) {
		pack_key(&out.body, "modes");
		pack_strn(&out.pack, m->modes, m->modes_len);
	}
	pack_key(&out.body, "streams");
	pack_array(&out.pack, HW_ARRAY_LEN(m->streams));
	for (size_t i = 0; i < HW_ARRAY_LEN(m->streams); i++)
		pack_uint(&out.pack, m->streams[i]);
	return finish(&out, len);
}

uint8_t *proto_encode_signal(uint32_t request, const struct proto_signal *m, size_t *len)
{
	struct message out;
	begin(&out, PROTO_SIGNAL, request, SMALL_FRAME);
	put_str(&out, "name", m->name);
	return finish(&out, len);
}

uint8_t *proto_encode_resize(uint32_t request, const struct proto_winsize *m, size_t *len)
{
	struct message out;
	begin(&out, PROTO_RESIZE, request, SMALL_FRAME);
	put_winsize(&out, m);
	return finish(&out, len);
}

uint8_t *proto_encode_action(uint32_t request, const struct proto_action *m, size_t *len)
{
	struct message out;
	begin(&out, PROTO_ACTION, request, SMALL_FRAME);
	put_str(&out, "verb", m->verb);
	put_strv(&out, "args", m->args, PROTO_ARGS_MAX);
	return finish(&out, len);
}

uint8_t *proto_encode_answer(uint32_t request, const struct proto_answer *m, size_t *len)
{
	struct message out;
	size_t cap = SMALL_FRAME;
	/* All fits from the start, so that the secrets are written to one place only. */
	for (size_t i = 0; m->answers && m->answers[i]; i++)
		cap += strlen(m->answers[i]) + STRING_OVERHEAD;
	begin(&out, PROTO_ANSWER, request, cap);
	put_uint(&out, "prompt", m->prompt);
	put_bool(&out, "cancelled", m->cancelled);
	put_optional(&out, "reason", m->reason);
	put_strv(&out, "answers", m->answers, PROTO_FIELDS_MAX);
	return finish(&out, len);
}

uint8_t *proto_encode_control(uint32_t request, const struct proto_control *m, size_t *len)
{
	struct message out;
	begin(&out, PROTO_CONTROL, request, SMALL_FRAME);
	put_uint(&out, "proto", m->minor);
	put_str(&out, "verb", m->verb);
	put_strv(&out, "args", m->args, PROTO_ARGS_MAX);
	return finish(&out, len);
}

uint8_t *proto_encode_started(uint32_t request, const struct proto_started *m, size_t *len)
{
	struct message out;
	begin(&out, PROTO_STARTED, request, SMALL_FRAME);
	put_bool(&out, "tty", m->tty);
	put_bool(&out, "reused", m->reused);
	put_bool(&out, "stdin", m->read_stdin);
	pack_key(&out.body, "escape");
	pack_int(&out.pack, m->escape);
	if (m->background)
		put_bool(&out, "background", true);
	put_optional(&out, "host", m->host);
	if (m->has_level)
		put_uint(&out, "level", m->level);
	if (m->commandline)
		put_bool(&out, "commandline", true);
	if (m->local_command)
		put_bool(&out, "local_command", true);
	if (m->modes)
		put_bool(&out, "modes", true);
	return finish(&out, len);
}

uint8_t *proto_encode_exit(uint32_t request, const struct proto_exit *m, size_t *len)
{
	struct message out;
	begin(&out, PROTO_EXIT, request, SMALL_FRAME);
	/* Readers refuse an EXIT that says two things, so the gravest is said. */
	if (m->error)
		put_str(&out, "error", m->error);
	else if (m->signal)
		put_str(&out, "signal", m->signal);
	else if (m->has_status)
		put_uint(&out, "status", m->status);
	else
		put_str(&out, "error", "the request ended without a cause: a fault in hawserd");
	put_optional(&out, "hint", m->hint);
	put_bool(&out, "ran", m->ran);
	put_optional(&out, "stage", m->stage);
	put_optional(&out, "cause", m->cause);
	put_optional(&out, "evidence", m->evidence);
	if (m->reused)
		put_bool(&out, "reused", true);
	if (m->transport != 0)
		put_uint(&out, "transport", m->transport);
	return finish(&out, len);
}

uint8_t *proto_encode_progress(uint32_t request, const struct proto_progress *m, size_t *len)
{
	struct message out;
	begin(&out, PROTO_PROGRESS, request, SMALL_FRAME);
	put_str(&out, "text", m->text);
	if (m->retry_ms != 0)
		put_uint(&out, "retry_ms", m->retry_ms);
	return finish(&out, len);
}

uint8_t *proto_encode_prompt(uint32_t request, const struct proto_prompt *m, size_t *len)
{
	struct message out;
	begin(&out, PROTO_PROMPT, request, SMALL_FRAME);
	put_uint(&out, "prompt", m->prompt);
	put_uint(&out, "kind", m->kind);
	put_optional(&out, "intro", m->intro);
	if (m->nfields > PROTO_FIELDS_MAX)
		out.pack.over = true;
	pack_key(&out.body, "fields");
	pack_array(&out.pack, m->nfields);
	for (size_t i = 0; i < m->nfields && !out.pack.over; i++) {
		struct pack_map field = pack_map_begin(&out.pack);
		pack_key(&field, "text");
		pack_str(&out.pack, m->fields[i].text);
		pack_key(&field, "echo");
		pack_bool(&out.pack, m->fields[i].echo);
		pack_map_end(&field);
	}
	return finish(&out, len);
}

uint8_t *proto_encode_notice(uint32_t request, const struct proto_notice *m, size_t *len)
{
	struct message out;
	begin(&out, PROTO_NOTICE, request, SMALL_FRAME);
	put_bool(&out, "raw", m->raw);
	if (m->banner)
		put_bool(&out, "banner", true);
	put_str(&out, "text", m->text);
	return finish(&out, len);
}

uint8_t *proto_encode_fallback(uint32_t request, const struct proto_fallback *m, size_t *len)
{
	struct message out;
	begin(&out, PROTO_FALLBACK, request, SMALL_FRAME);
	put_str(&out, "why", m->why);
	return finish(&out, len);
}

uint8_t *proto_encode_error(uint32_t request, const struct proto_error *m, size_t *len)
{
	struct message out;
	begin(&out, PROTO_ERROR, request, SMALL_FRAME);
	put_str(&out, "text", m->text);
	return finish(&out, len);
}

uint8_t *proto_encode_empty(enum proto_type type, uint32_t request, size_t *len)
{
	struct message out;
	begin(&out, type, request, SMALL_FRAME);
	return finish(&out, len);
}
