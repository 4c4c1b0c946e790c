#include "daemon/lend_agent.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/agent.h"
#include "daemon/agent_visit.h"
#include "daemon/channel.h"
#include "daemon/tunnel.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

/* Connections to one agent at once: each holds a descriptor or two, and an agent answers in order
 * anyway. */
#define VISITS_MAX 128
/* Of these, on their way to the agent at once: each takes a thread that logins want, too, and an
 * agent that hangs keeps it for seconds. The others wait. */
#define DIALS_MAX 2

/* A connection from the server's side to the agent. */
struct visit {
	struct visit *next;
	struct lend_agent *lender;
	struct channel *channel;  /* until it is joined with the socket */
	struct agent_visit *dial; /* meanwhile */
	struct tunnel *tunnel;
};

struct lend_agent {
	struct worker_pool *workers;
	struct watch_set *watches;
	struct destination *dest;
	struct sshwire_out introduction; /* who the server is, for the agent; may be empty */
	struct transport_acceptor acceptor;
	struct visit *visits;
	unsigned count, dialling;
};

static void dial_next(struct lend_agent *l);

static void forget(struct visit *v)
{
	struct visit **link = &v->lender->visits;

	while (*link != v)
		link = &(*link)->next;
	*link = v->next;
	v->lender->count--;
	free(v);
}

static void on_ended(void *ctx, struct tunnel *t, bool refused, const struct cause *why)
{
	(void)t;
	(void)refused;
	(void)why;
	forget(ctx);
}

static const struct tunnel_events tunnel_events = {.ended = on_ended};

static void on_connected(void *ctx, int fd, int error)
{
	struct visit *v = ctx;
	struct lend_agent *l = v->lender;
	struct channel *c = v->channel;

	v->dial = NULL;
	v->channel = NULL;
	l->dialling--;
	dial_next(l);
	if (fd < 0) {
		log_warn("%s: the server asked for the forwarded agent at %s: %s: refused",
			 l->dest->label, l->dest->forward_agent, strerror(error));
		channel_release(c);
		forget(v);
		return;
	}
	v->tunnel = tunnel_join(l->watches, c, fd, l->dest->label, &tunnel_events, v);
	if (v->tunnel == NULL)
		forget(v);
}

/* The one that has waited longest stands last in the list. */
static void dial_next(struct lend_agent *l)
{
	struct visit *next = NULL;

	for (struct visit *v = l->visits; v != NULL; v = v->next) {
		if (v->channel != NULL && v->dial == NULL)
			next = v;
	}
	if (next == NULL || l->dialling >= DIALS_MAX)
		return;
	l->dialling++;
	next->dial = agent_visit_start(l->workers, l->dest->forward_agent, &l->introduction,
				       on_connected, next);
}

static void on_accept(void *ctx, struct channel *c, const struct incoming *in)
{
	struct lend_agent *l = ctx;
	struct visit *v;

	(void)in;
	if (l->count >= VISITS_MAX) {
		log_warn("%s: the server uses the forwarded agent %u times at once: no more",
			 l->dest->label, l->count);
		channel_release(c);
		return;
	}
	log_debug("%s: the server asks for the forwarded agent at %s", l->dest->label,
		  l->dest->forward_agent);
	v = xcalloc(1, sizeof(*v));
	v->lender = l;
	v->channel = c;
	v->next = l->visits;
	l->visits = v;
	l->count++;
	dial_next(l);
}

struct lend_agent *lend_agent_create(struct worker_pool *workers, struct watch_set *watches,
				     struct transport *t, struct destination *dest,
				     const struct agent_binding *binding)
{
	struct lend_agent *l = xcalloc(1, sizeof(*l));

	l->workers = workers;
	l->watches = watches;
	l->dest = destination_ref(dest);
	if (binding != NULL)
		(void)agent_binding_put(binding, true, &l->introduction);
	l->acceptor.kind = INCOMING_AGENT;
	l->acceptor.accept = on_accept;
	l->acceptor.ctx = l;
	transport_accept(t, &l->acceptor);
	return l;
}

void lend_agent_destroy(struct lend_agent *l)
{
	if (l == NULL)
		return;
	while (l->visits != NULL) {
		struct visit *v = l->visits;

		agent_visit_cancel(v->dial);
		tunnel_destroy(v->tunnel);
		if (v->channel != NULL)
			channel_release(v->channel);
		forget(v);
	}
	destination_unref(l->dest);
	sshwire_out_finish(&l->introduction);
	free(l);
}
