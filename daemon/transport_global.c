/* Listening at the server's side: global requests (RFC 4254 section 7.1). libssh has one place for
 * them, which keepalives use too: an answer to one may be taken for an answer to the other, so one
 * is under way at a time, and what libssh answers without having sent anything is not believed. */
#include "daemon/transport_priv.h"

#include <stdlib.h>

#include "protocol/alloc.h"
#include "protocol/log.h"

/* An answer that was another request's is met once, at most twice. */
#define STALE_ANSWERS_MAX 3

struct listen_request {
	struct listen_request *next;
	char *address;
	uint16_t port;
	bool cancel, sent;
	unsigned stale;
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
	*bound = r->port;
	if (r->cancel)
		return ssh_channel_cancel_forward(t->session, r->address, r->port);
	return ssh_channel_listen_forward(t->session, r->address, r->port, bound);
}

bool transport_global_step(struct transport *t)
{
	struct listen_request *r = t->listens;
	uint64_t before, in_before;
	int rc, bound;

	if (r == NULL || (t->keepalive_pending && !r->sent))
		return false;
	before = t->packets.out_packets;
	in_before = t->packets.in_packets;
	rc = call(t, r, &bound);
	if (t->packets.out_packets != before && !r->sent) {
		r->sent = true;
		/* Silence from now on counts as a keepalive's would. libssh may have read the
		 * answer right there: then nobody owes us anything. */
		t->keepalive_pending = rc == SSH_AGAIN;
		t->last_in_packets = in_before;
		t->keepalive_ns = uv_hrtime();
	}
	if (rc == SSH_AGAIN)
		return false;
	if (transport_session_dead(t))
		return false;
	if (!r->sent && ++r->stale <= STALE_ANSWERS_MAX)
		return true; /* a keepalive's answer: ours is still to be asked */
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
