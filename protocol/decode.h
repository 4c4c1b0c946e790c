/* Bytes to messages. Every getter is typed and capped; unknown keys are skipped, missing ones that
 * have no default are an error. Nothing in the result points into the payload: each struct is
 * released by its _free call (which wipes secrets). Strings hold no NUL but where a length stands
 * beside them; one that does is HW_EPROTO. */
#ifndef HAWSER_PROTOCOL_DECODE_H
#define HAWSER_PROTOCOL_DECODE_H

#include "protocol/proto.h"

/* A payload taken apart; body is an opaque msgpack object that the calls below read. */
struct proto_message {
	unsigned type; /* may be one we do not know */
	uint32_t request;
	const void *body;
	void *zone; /* private */
};
int proto_parse(const uint8_t *payload, size_t len, struct proto_message *m) HW_NODISCARD;
void proto_message_finish(struct proto_message *m);

int proto_decode_request(const struct proto_message *m, struct proto_request *out) HW_NODISCARD;
int proto_decode_signal(const struct proto_message *m, struct proto_signal *out) HW_NODISCARD;
int proto_decode_resize(const struct proto_message *m, struct proto_winsize *out) HW_NODISCARD;
int proto_decode_action(const struct proto_message *m, struct proto_action *out) HW_NODISCARD;
int proto_decode_answer(const struct proto_message *m, struct proto_answer *out) HW_NODISCARD;
int proto_decode_control(const struct proto_message *m, struct proto_control *out) HW_NODISCARD;
int proto_decode_started(const struct proto_message *m, struct proto_started *out) HW_NODISCARD;
int proto_decode_exit(const struct proto_message *m, struct proto_exit *out) HW_NODISCARD;
int proto_decode_prompt(const struct proto_message *m, struct proto_prompt *out) HW_NODISCARD;
int proto_decode_progress(const struct proto_message *m, struct proto_progress *out) HW_NODISCARD;
int proto_decode_notice(const struct proto_message *m, struct proto_notice *out) HW_NODISCARD;
int proto_decode_fallback(const struct proto_message *m, struct proto_fallback *out) HW_NODISCARD;
int proto_decode_error(const struct proto_message *m, struct proto_error *out) HW_NODISCARD;

/* Release what a decode call filled in; a zeroed struct is fine. */
void proto_request_free(struct proto_request *m);
void proto_signal_free(struct proto_signal *m);
void proto_action_free(struct proto_action *m);
void proto_answer_free(struct proto_answer *m);
void proto_control_free(struct proto_control *m);
void proto_exit_free(struct proto_exit *m);
void proto_prompt_free(struct proto_prompt *m);
void proto_started_free(struct proto_started *m);
void proto_progress_free(struct proto_progress *m);
void proto_notice_free(struct proto_notice *m);
void proto_fallback_free(struct proto_fallback *m);
void proto_error_free(struct proto_error *m);

/* REPLY, read by walking (see reply_* in encode.h for its shape): cb gets every key and value of
 * every item, in order. kind: 's' str, 'u' uint, 'd' double, 'b' bool, 'n' nil. */
struct reply_value {
	const char *key; /* borrowed, NUL-terminated */
	char kind;
	const char *str;
	uint64_t uint;
	double dbl;
	bool boolean;
};
typedef void (*reply_value_cb)(void *ctx, size_t item, const struct reply_value *v);
/* *error (on the heap, the caller's to free) is NULL when *ok. */
int proto_decode_reply(const struct proto_message *m, bool *ok, char **error, size_t *nitems,
		       reply_value_cb cb, void *ctx) HW_NODISCARD;

#endif
