/* Messages of OpenSSH's multiplexing protocol, version 4, as far as we speak it: what stands at the
 * ControlPath of a `hawser -M`. Pure; numbers are big-endian, a message is length, type, body. */
#ifndef HAWSER_CLIENT_MUX_H
#define HAWSER_CLIENT_MUX_H

#include "protocol/base.h"

#define MUX_VERSION	4
#define MUX_MESSAGE_MAX (256u * 1024u) /* as OpenSSH has it; more is a fault */
#define MUX_KEPT_MAX	256	       /* of a message's payload no more is kept */
#define MUX_REPLY_MAX	256	       /* bytes of any message that we make */

enum mux_type {
	MUX_HELLO = 0x00000001,
	MUX_NEW_SESSION = 0x10000002,
	MUX_ALIVE_CHECK = 0x10000004,
	MUX_TERMINATE = 0x10000005,
	MUX_OPEN_FORWARD = 0x10000006,
	MUX_CLOSE_FORWARD = 0x10000007,
	MUX_NEW_STDIO = 0x10000008,
	MUX_STOP_LISTENING = 0x10000009,
	MUX_PROXY = 0x1000000f,
	MUX_OK = 0x80000001,
	MUX_PERMISSION_DENIED = 0x80000002,
	MUX_FAILURE = 0x80000003,
	MUX_ALIVE = 0x80000005,
};

/* The extension in the HELLO of both sides by which hawsers know each other; others skip it. */
#define MUX_EXTENSION "session@hawser"

struct mux_message {
	uint32_t type, number; /* the version of a HELLO, else the request's id; 0 = too short */
	const uint8_t *rest;   /* behind them, as far as it was kept */
	size_t rest_len;
};

/* Collects messages out of bytes as they come. Zero it to begin. */
struct mux_reader {
	uint8_t kept[4 + MUX_KEPT_MAX];
	size_t have;   /* bytes in kept */
	uint32_t left; /* bytes of the payload still to come, once its length is known */
};

/* Takes bytes up to a message's end; *used says how many. True: *m is a message (valid until the
 * next call). *broken: what came is none, read no more. */
bool mux_read(struct mux_reader *r, const uint8_t *in, size_t len, size_t *used,
	      struct mux_message *m, bool *broken);
/* The HELLO of a hawser: has it our extension? */
bool mux_is_ours(const struct mux_message *hello);

/* Each writes a message to out (room for MUX_REPLY_MAX) and returns its length. */
size_t mux_put_hello(uint8_t *out, bool extension);
/* Of any type with a request's id only. */
size_t mux_put(uint8_t *out, enum mux_type type, uint32_t id);
size_t mux_put_number(uint8_t *out, enum mux_type type, uint32_t id, uint32_t number);
/* text is cut. */
size_t mux_put_text(uint8_t *out, enum mux_type type, uint32_t id, const char *text);

#endif
