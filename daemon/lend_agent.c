#include "daemon/lend_agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/channel.h"
#include "daemon/dial_local.h"
#include "daemon/tunnel.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

/* Connections to one agent at once: each holds a descriptor or two, and an agent answers in order
 * anyway. */
#define VISITS_MAX 128
/* An agent's answer to the binding is one byte, with its length before it. */
#define ANSWER_MAX 256u

/* A connection from the server's side to the agent: connected, told whom it is lent to, joined. */
struct visit {
	struct visit *next;
	struct lend_agent *lender;
	struct channel *channel; /* until it is joined with the socket */
	struct dial_local *dial;
	int fd; /* while the agent is told; else -1 */
	struct watch *watch;
	uint8_t answer[4 + ANSWER_MAX];
	size_t answered;
	bool spilled;
	struct tunnel *tunnel;
};

struct lend_agent {
	struct worker_pool *workers;
	struct watch_set *watches;
	struct destination *dest;
	struct transport_acceptor acceptor;
	struct sshwire_out binding; /* a message with its length; empty: there is none */
	struct visit *visits;
	unsigned count;
};

static void forget(struct visit *v)
{
	struct visit **link = &v->lender->visits;

	while (*link != v)
		link = &(*link)->next;
	*link = v->next;
	v->lender->count--;
	dial_local_cancel(v->dial);
	watch_remove(v->watch);
	if (v->fd >= 0)
		close(v->fd);
	tunnel_destroy(v->tunnel);
	if (v->channel != NULL)
		channel_release(v->channel);
	free(v);
}

static void refuse(struct visit *v, const char *why)
{
	struct destination *dest = v->lender->dest;

	log_warn("%s: the server asked for the forwarded agent at %s: %s: refused", dest->label,
		 dest->forward_agent, why);
	forget(v);
}

static void on_ended(void *ctx, struct tunnel *t, bool refused, const struct cause *why)
{
	struct visit *v = ctx;

	(void)t;
	(void)refused;
	(void)why;
	v->tunnel = NULL;
	forget(v);
}

static const struct tunnel_events tunnel_events = {.ended = on_ended};

/* From now on the server and the agent speak with each other. */
static void join(struct visit *v)
{
	struct lend_agent *l = v->lender;
	struct channel *c = v->channel;
	int fd = v->fd;

	watch_remove(v->watch);
	v->watch = NULL;
	v->channel = NULL;
	v->fd = -1;
	v->tunnel = tunnel_join(l->watches, c, fd, l->dest->label, &tunnel_events, v);
	if (v->tunnel == NULL)
		forget(v);
}

/* What the agent says to the binding. As with ssh, one that does not know it, or says no, goes on
 * all the same: it then refuses what it was to be asked for. */
static void on_answer(void *ctx, unsigned events)
{
	struct visit *v = ctx;
	size_t want = 4;
	ssize_t n;

	(void)events;
	if (v->answered >= 4)
		want += (size_t)v->answer[0] << 24 | (size_t)v->answer[1] << 16 |
			(size_t)v->answer[2] << 8 | v->answer[3];
	if (want > sizeof(v->answer)) {
		refuse(v, "it does not speak as agents do");
		return;
	}
	n = recv(v->fd, v->answer + v->answered, want - v->answered, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		refuse(v, "it closed the connection");
		return;
	}
	v->answered += (size_t)n;
	if (v->answered == want && want > 4)
		join(v); /* else there is more, and the watch says so */
}

static void on_connected(void *ctx, int fd, int error)
{
	struct visit *v = ctx;
	const struct sshwire_out *binding = &v->lender->binding;

	v->dial = NULL;
	v->fd = fd;
	if (fd < 0) {
		refuse(v, strerror(error));
		return;
	}
	if (binding->len == 0) {
		join(v);
		return;
	}
	/* A fresh socket takes that much. */
	v->watch = watch_add(v->lender->watches, fd, WATCH_READ, on_answer, v);
	if (v->watch == NULL || send(fd, binding->data, binding->len,
				     MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)binding->len)
		refuse(v, strerror(errno));
}

/* --- the channel, until it is joined --- */

/* The agent is not there yet: what is said waits. */
static bool on_early_data(void *ctx, int stream, const void *data, size_t len, bool must)
{
	struct visit *v = ctx;

	(void)data;
	(void)len;
	v->spilled |= stream != 2 && must; /* a window that nothing came through does not grow */
	return stream == 2 || must;
}

static void on_early_turn(void *ctx)
{
	struct visit *v = ctx;

	if (v->spilled)
		refuse(v, "it was spoken to too early");
}

static void on_early_end(void *ctx, const struct channel_end *end)
{
	(void)end;
	forget(ctx);
}

static const struct channel_events early_events = {
	.data = on_early_data,
	.turn = on_early_turn,
	.end = on_early_end,
};

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
	v->fd = -1;
	v->channel = c;
	v->next = l->visits;
	l->visits = v;
	l->count++;
	channel_adopt(c, &early_events, v);
	v->dial = dial_local_start(l->workers, l->dest->forward_agent, false, on_connected, v);
}

struct lend_agent *lend_agent_create(struct worker_pool *workers, struct watch_set *watches,
				     struct transport *t, struct destination *dest,
				     const struct agent_binding *binding)
{
	struct sshwire_out message = {.data = NULL};
	struct lend_agent *l = xcalloc(1, sizeof(*l));

	l->workers = workers;
	l->watches = watches;
	l->dest = destination_ref(dest);
	if (binding != NULL && agent_binding_put(binding, true, &message))
		sshwire_put_string(&l->binding, message.data, message.len);
	sshwire_out_finish(&message);
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
	while (l->visits != NULL)
		forget(l->visits);
	sshwire_out_finish(&l->binding);
	destination_unref(l->dest);
	free(l);
}
