/* Listening at the server's side: global requests (RFC 4254 section 7.1). libssh has one place for
 * them, which keepalives use too: an answer to one may be taken for an answer to the other, so one
 * is under way at a time, and what libssh answers without having sent anything is not believed. */
#include "daemon/transport_priv.h"

#include <stdlib.h>

#include "protocol/alloc.h"
#include "protocol/log.h"

/* An answer that was another request's is met once, at most twice. */
#define STALE_ANSWERS_MAX 3

#define PORT_UNTOLD (-1)
/* So many ports of our own choice are tried: some may be taken, or the server refuses all. */
#define PORT_TRIES_MAX 4
/* Below those that connections are given (ip_local_port_range): such a one may be in use for one
 * address family only, and the server would listen at the other. */
#define PORT_OWN_MIN   20000
#define PORT_OWN_COUNT 12768

struct listen_request {
	struct listen_request *next;
	char *address;
	uint16_t port;
	bool cancel, sent;
	unsigned stale, tries;
	enum { PROOF_ASK, PROOF_GIVE_BACK, PROOF_TAKE } proof; /* of a port that the server chose */
	int chosen;
	transport_listen_done done; /* NULL: nobody wants to know (any more) */
	void *ctx;
};

static void free_request(struct listen_request *r)
{
	free(r->address);
	free(r);
}

static void append(struct transport *t, struct listen_request *r)
{
	struct listen_request **link = &t->listens;

	if (t->state != TRANSPORT_READY) {
		free_request(r); /* it ends, and with it all that it listens on */
		return;
	}
	while (*link != NULL)
		link = &(*link)->next;
	*link = r;
	transport_touch(t);
}

void transport_listen(struct transport *t, const char *address, uint16_t port,
		      transport_listen_done done, void *ctx)
{
	struct listen_request *r = xcalloc(1, sizeof(*r));

	r->address = xstrdup(address);
	r->port = port;
	r->done = done;
	r->ctx = ctx;
	append(t, r);
}

void transport_unlisten(struct transport *t, const char *address, uint16_t port)
{
	struct listen_request *r = xcalloc(1, sizeof(*r));

	r->address = xstrdup(address);
	r->port = port;
	r->cancel = true;
	append(t, r);
}

void transport_listen_forget(struct transport *t, const void *ctx)
{
	for (struct listen_request *r = t->listens; r != NULL; r = r->next) {
		if (!r->cancel && r->ctx == ctx) {
			r->done = NULL;
			r->ctx = NULL;
		}
	}
}

bool transport_global_busy(const struct transport *t)
{
	return t->listens != NULL;
}

bool transport_global_sent(const struct transport *t)
{
	return t->listens != NULL && t->listens->sent;
}

static void finish(struct transport *t, struct listen_request *r, bool ok, uint16_t port)
{
	t->listens = r->next;
	if (r->done != NULL)
		r->done(r->ctx, ok, port);
	else if (ok && !r->cancel)
		transport_unlisten(t, r->address, port); /* its owner left meanwhile */
	free_request(r);
}

static int call(struct transport *t, const struct listen_request *r, int *bound)
{
	*bound = PORT_UNTOLD;
	if (r->proof == PROOF_GIVE_BACK)
		return ssh_channel_cancel_forward(t->session, r->address, r->chosen);
	if (r->proof == PROOF_TAKE)
		return ssh_channel_listen_forward(t->session, r->address, r->chosen, bound);
	if (r->cancel)
		return ssh_channel_cancel_forward(t->session, r->address, r->port);
	return ssh_channel_listen_forward(t->session, r->address, r->port, bound);
}

static int any_port(void)
{
	uint16_t random = 0;

	uv_random(NULL, NULL, &random, sizeof(random), 0, NULL);
	return PORT_OWN_MIN + random % PORT_OWN_COUNT;
}

/* Somebody else's forward, or one whose end is still to be asked for: nonsense must not end it, nor
 * take its port, which that end would then close. */
static bool listened_on(const struct transport *t, int port)
{
	for (const struct transport_acceptor *a = t->acceptors; a != NULL; a = a->next) {
		if (a->kind == INCOMING_TCP && a->port == port)
			return true;
	}
	for (const struct listen_request *r = t->listens; r != NULL; r = r->next) {
		if (r->cancel && r->port == port)
			return true;
	}
	return false;
}

/* The port that the server chose stands in its answer, but libssh looks for it in what it read
 * last: when more came behind the answer, that is nonsense. So what it found is put to the proof: a
 * listener there is given back, which the server grants only if it is ours, and taken again by its
 * number. If it was lost we choose a port ourselves; the listener that nobody knows stays at the
 * server until the connection ends, and what comes from it is refused. True: the request goes on.
 */
static bool prove_port(const struct transport *t, struct listen_request *r, int rc, int bound)
{
	bool refused = rc != SSH_OK;

	if (r->cancel || r->port != 0)
		return false;
	switch (r->proof) {
	case PROOF_ASK:
		if (!refused && bound > 0 && bound <= UINT16_MAX && !listened_on(t, bound)) {
			r->proof = PROOF_GIVE_BACK;
			r->chosen = bound;
			return true;
		}
		break;
	case PROOF_GIVE_BACK:
		r->proof = PROOF_TAKE;
		if (!refused)
			return true;
		break;
	case PROOF_TAKE:
		if (!refused)
			return false;
		break;
	}
	r->proof = PROOF_TAKE;
	r->chosen = any_port();
	return ++r->tries <= PORT_TRIES_MAX;
}

bool transport_global_step(struct transport *t)
{
	struct listen_request *r = t->listens;
	uint64_t before, received = t->packets.in_packets;
	int rc, bound;

	if (r == NULL || (t->keepalive_pending && !r->sent))
		return false;
	before = t->packets.out_packets;
	rc = call(t, r, &bound);
	if (t->packets.out_packets != before && !r->sent) {
		r->sent = true;
		/* Silence from now on counts as a keepalive's would. */
		t->keepalive_pending = true;
		/* Of before: the call may have read the answer already. */
		t->last_in_packets = received;
		t->keepalive_ns = uv_hrtime();
	}
	if (rc == SSH_AGAIN)
		return false;
	if (transport_session_dead(t))
		return false;
	if (r->sent)
		t->keepalive_pending = false; /* answered; else the next one would wait for ever */
	if (!r->sent && ++r->stale <= STALE_ANSWERS_MAX)
		return true; /* a keepalive's answer: ours is still to be asked */
	if (prove_port(t, r, rc, bound)) {
		r->sent = false;
		r->stale = 0;
		return true;
	}
	if (r->proof == PROOF_TAKE)
		bound = r->chosen;
	finish(t, r, rc == SSH_OK, bound > 0 && bound <= UINT16_MAX ? (uint16_t)bound : r->port);
	return true;
}

void transport_global_finish(struct transport *t)
{
	while (t->listens != NULL) {
		struct listen_request *r = t->listens;

		t->listens = r->next;
		free_request(r);
	}
}
