/* Messages to bytes. Each call gives one whole frame (length header included) on the heap, which
 * the caller frees with free() (free_secret() for an answer), and its size in *len. NULL (and *len
 * 0): it would pass a limit of proto.h (bytes of the frame, strings in args or env, values in a
 * reply). `request` is the request number that all messages carry. A NULL string is sent as ""
 * where proto.h does not say that it may be NULL. */
#ifndef HAWSER_PROTOCOL_ENCODE_H
#define HAWSER_PROTOCOL_ENCODE_H

#include "protocol/proto.h"

uint8_t *proto_encode_request(uint32_t request, const struct proto_request *m, size_t *len);
uint8_t *proto_encode_signal(uint32_t request, const struct proto_signal *m, size_t *len);
uint8_t *proto_encode_resize(uint32_t request, const struct proto_winsize *m, size_t *len);
uint8_t *proto_encode_action(uint32_t request, const struct proto_action *m, size_t *len);
uint8_t *proto_encode_answer(uint32_t request, const struct proto_answer *m, size_t *len);
uint8_t *proto_encode_control(uint32_t request, const struct proto_control *m, size_t *len);
uint8_t *proto_encode_started(uint32_t request, const struct proto_started *m, size_t *len);
uint8_t *proto_encode_exit(uint32_t request, const struct proto_exit *m, size_t *len);
uint8_t *proto_encode_prompt(uint32_t request, const struct proto_prompt *m, size_t *len);
uint8_t *proto_encode_progress(uint32_t request, const struct proto_progress *m, size_t *len);
uint8_t *proto_encode_notice(uint32_t request, const struct proto_notice *m, size_t *len);
uint8_t *proto_encode_fallback(uint32_t request, const struct proto_fallback *m, size_t *len);
uint8_t *proto_encode_error(uint32_t request, const struct proto_error *m, size_t *len);
/* CANCEL, PING, PONG: messages with an empty body. */
uint8_t *proto_encode_empty(enum proto_type type, uint32_t request, size_t *len);

/* REPLY is built value by value, since each verb has its own shape:
 * {"ok": bool, "error": text?, "items": [ {key: value, ...}, ... ]}. */
struct reply;
struct reply *reply_create(void);
void reply_destroy(struct reply *r);		    /* NULL ok */
void reply_fail(struct reply *r, const char *text); /* ok = false, with a sentence; drops items */
void reply_item(struct reply *r);		    /* a new item; the calls below add to it */
void reply_str(struct reply *r, const char *key, const char *value); /* NULL value: nil */
void reply_uint(struct reply *r, const char *key, uint64_t value);
void reply_double(struct reply *r, const char *key, double value);
void reply_bool(struct reply *r, const char *key, bool value);
/* Once, after the last value; r is still to be destroyed. NULL as above: fail it with a sentence.
 */
uint8_t *reply_encode(struct reply *r, uint32_t request, size_t *len);

#endif
