/* The first message: everything that the daemon needs to know, and the descriptors. */
#ifndef HAWSER_CLIENT_REQUEST_H
#define HAWSER_CLIENT_REQUEST_H

#include "client/options.h"
#include "client/streams.h"
#include "protocol/bytebuf.h"

/* Our one request's number on its connection. */
#define REQUEST_NUMBER 1u

/* The frame on the heap (free()), or NULL when command and environment pass the protocol's limits:
 * why says which, as a phrase. want_started: ask for STARTED. */
uint8_t *request_encode(const struct options *o, const struct streams *st, bool want_started,
			size_t *len, const char **why);

/* Sends as much of it as the socket takes, with the descriptors; what is left goes to rest. HW_ESYS
 * with errno: nothing was sent. */
int request_send(int sock, const uint8_t *frame, size_t len, const struct streams *st,
		 struct bytebuf *rest) HW_NODISCARD;

#endif
