/* The client's side of a connection to the front end, in the same process: what is sent, and what
 * must come back. Every call fails the test when it does not go as it says. */
#ifndef HAWSER_TESTS_PEER_H
#define HAWSER_TESTS_PEER_H

#include "daemon/conn.h"
#include "protocol/frame.h"
#include "protocol/decode.h"
#include "tests/fakes/fakes.h"

#define PEER_PID 4711

struct peer {
	int fd; /* -1: closed */
	struct frame_reader reader;
	bool eof;
	struct proto_message message; /* the last one; its text lives until the next */
	bool has_message;
};

/* [0] is the one under test, [1] a bystander. */
extern struct peer peers[2];

/* A fake app with connections, two of them open; undone with nothing left: no session, no handle
 * in the loop, no descriptor. limits: see conn_set_create(). */
void peers_init(const struct conn_limits *limits);
void peers_finish(void);
void peer_open(struct peer *p);
void peer_close(struct peer *p);
size_t count_fds(void);

void peer_send_raw(struct peer *p, const void *bytes, size_t len, const int *fds, size_t nfds);
void peer_send(struct peer *p, uint8_t *frame, size_t len); /* takes the frame */
/* REQUEST to web1; the first nfds streams are descriptors. */
uint8_t *request_frame(uint32_t number, uint32_t flags, size_t nfds, size_t *len);
/* Sends one without descriptors; the session that it became. */
struct session *peer_request(struct peer *p, uint32_t number, uint32_t flags);
/* A frame [type, request, body]; body: msgpack bytes, NULL for {}. Returns its size. */
size_t raw_message(uint8_t *out, unsigned type, uint32_t request, const void *body,
		   size_t body_len);

/* Whether a message, or the end, is there without the loop running on. ctx: struct peer. */
bool peer_ready(void *ctx);
/* The next message, of this type and request; run the loop for it. */
const struct proto_message *peer_expect(struct peer *p, unsigned type, uint32_t request);
/* The same, but it must be there already. */
const struct proto_message *peer_expect_now(struct peer *p, unsigned type, uint32_t request);
void peer_expect_error(struct peer *p, uint32_t request, const char *words);
/* EXIT with status; or with error words and ran. */
void peer_expect_status(struct peer *p, uint32_t request, uint32_t status);
void peer_expect_failure(struct peer *p, uint32_t request, const char *words, bool ran);
void peer_expect_eof(struct peer *p);
/* PING and PONG. */
void peer_expect_alive(struct peer *p);

void wait_for_sessions(size_t count);
void wait_for_conns(size_t count);

#endif
