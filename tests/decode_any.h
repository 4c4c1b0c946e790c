/* Decodes a payload of whatever type it is of: for tests and fuzzers, which want all decoders run
 * and nothing left behind. */
#ifndef HAWSER_TESTS_DECODE_ANY_H
#define HAWSER_TESTS_DECODE_ANY_H

#include <stdlib.h>
#include "protocol/decode.h"

/* The result of decoding by type, with what came out freed. */
static int decode_any(const uint8_t *payload, size_t len)
{
	union {
		struct proto_request request;
		struct proto_signal signal;
		struct proto_winsize resize;
		struct proto_action action;
		struct proto_answer answer;
		struct proto_control control;
		struct proto_started started;
		struct proto_exit exit;
		struct proto_prompt prompt;
		struct proto_notice notice;
		struct proto_progress progress;
		struct proto_fallback fallback;
		struct proto_error error;
	} u;
	struct proto_message m;
	int r = proto_parse(payload, len, &m);
	if (r != HW_OK)
		return r;
	switch (m.type) {
#define FREED(TYPE, name)                                                                          \
	case PROTO_##TYPE:                                                                         \
		r = proto_decode_##name(&m, &u.name);                                              \
		proto_##name##_free(&u.name);                                                      \
		break
#define PLAIN(TYPE, name)                                                                          \
	case PROTO_##TYPE:                                                                         \
		r = proto_decode_##name(&m, &u.name);                                              \
		break
		FREED(REQUEST, request);
		FREED(SIGNAL, signal);
		PLAIN(RESIZE, resize);
		FREED(ACTION, action);
		FREED(ANSWER, answer);
		FREED(CONTROL, control);
		FREED(STARTED, started);
		FREED(EXIT, exit);
		FREED(PROMPT, prompt);
		FREED(NOTICE, notice);
		FREED(PROGRESS, progress);
		FREED(FALLBACK, fallback);
		FREED(ERROR, error);
	case PROTO_REPLY: {
		bool ok;
		char *error;
		size_t nitems;
		r = proto_decode_reply(&m, &ok, &error, &nitems, NULL, NULL);
		free(error);
		break;
	}
	}
	proto_message_finish(&m);
	return r;
}

#endif
