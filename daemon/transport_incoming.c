/* Channels that the server opens. libssh asks from within its own reading whether to take one; who
 * is to have it hears of it afterwards, from the top of the loop. */
#include "daemon/transport_priv.h"

#include <string.h>

#include "protocol/alloc.h"
#include "protocol/log.h"

/* So many channels that the server has opened, and that nobody has looked at yet, may wait. */
#define ARRIVED_MAX 256
/* So many that we have closed may wait for the server's own CLOSE; their records stay until then.
 */
#define UNANSWERED_MAX 1024

static struct transport_acceptor *find(const struct transport *t, enum incoming_kind kind,
				       const char *address, uint16_t port)
{
	struct transport_acceptor *a = t->acceptors, *any_port = NULL;

	for (; a != NULL; a = a->next) {
		if (a->kind != kind)
			continue;
		if (kind != INCOMING_TCP)
			return a;
		if (address == NULL || strcmp(a->address, address) != 0)
			continue;
		if (a->port == port)
			return a;
		if (a->port == 0 && any_port == NULL)
			any_port = a;
	}
	return any_port;
}

static bool too_many(const struct transport *t)
{
	unsigned arrived = 0, unanswered = 0;

	for (const struct channel *c = t->channels; c != NULL; c = c->next) {
		arrived += c->acceptor != NULL;
		unanswered += c->role == ROLE_INCOMING && c->released;
	}
	return arrived >= ARRIVED_MAX || unanswered >= UNANSWERED_MAX;
}

static void note_originator(struct channel *c, const char *host, int port)
{
	c->origin_host = host != NULL ? xstrdup(host) : NULL;
	c->origin_port = port > 0 && port <= UINT16_MAX ? (uint16_t)port : 0;
}

/* forwarded-tcpip comes as a message. Returns 0: taken, 1: libssh refuses it. */
static int on_message(ssh_session session, ssh_message msg, void *userdata)
{
	struct transport *t = userdata;
	struct transport_acceptor *a;
	struct channel *c;
	ssh_channel ssh;
	const char *address;
	int port;

	(void)session;
	if (ssh_message_type(msg) != SSH_REQUEST_CHANNEL_OPEN ||
	    ssh_message_subtype(msg) != SSH_CHANNEL_FORWARDED_TCPIP)
		return 1;
	address = ssh_message_channel_request_open_destination(msg);
	port = ssh_message_channel_request_open_destination_port(msg);
	if (port < 0 || port > UINT16_MAX)
		return 1;
	a = find(t, INCOMING_TCP, address, (uint16_t)port);
	if (a != NULL && too_many(t)) {
		log_info("%s transport %u: the server opens connections to %s:%d faster than they "
			 "can be taken or closed: refused",
			 t->dest->label, t->id, address, port);
		return 1;
	}
	if (a == NULL) {
		log_info("%s transport %u: the server opened a connection to %s:%d, which nobody "
			 "asked for: refused",
			 t->dest->label, t->id, address != NULL ? address : "", port);
		return 1;
	}
	ssh = ssh_message_channel_request_open_reply_accept(msg);
	if (ssh == NULL)
		return 1;
	c = channel_incoming(t, ssh, a);
	c->target_host = xstrdup(address);
	c->target_port = (uint16_t)port;
	note_originator(c, ssh_message_channel_request_open_originator(msg),
			ssh_message_channel_request_open_originator_port(msg));
	return 0;
}

static ssh_channel take(struct transport *t, enum incoming_kind kind, const char *originator,
			int port)
{
	struct transport_acceptor *a = find(t, kind, NULL, 0);
	ssh_channel ssh = a != NULL && !too_many(t) ? ssh_channel_new(t->session) : NULL;

	if (ssh != NULL)
		note_originator(channel_incoming(t, ssh, a), originator, port);
	return ssh;
}

static ssh_channel on_x11(ssh_session session, const char *originator, int port, void *userdata)
{
	(void)session;
	return take(userdata, INCOMING_X11, originator, port);
}

static ssh_channel on_agent(ssh_session session, void *userdata)
{
	(void)session;
	return take(userdata, INCOMING_AGENT, NULL, 0);
}

void transport_incoming_start(struct transport *t)
{
	t->callbacks.userdata = t;
	t->callbacks.channel_open_request_x11_function = on_x11;
	t->callbacks.channel_open_request_auth_agent_function = on_agent;
	ssh_callbacks_init(&t->callbacks);
	ssh_set_callbacks(t->session, &t->callbacks);
	ssh_set_message_callback(t->session, on_message, t);
}

void transport_incoming_hand_over(struct transport *t)
{
	struct channel *c = t->channels;

	while (c != NULL) {
		struct transport_acceptor *a = c->acceptor;
		struct incoming in;

		if (a == NULL) {
			c = c->next;
			continue;
		}
		in = (struct incoming){.kind = a->kind,
				       .address = c->target_host,
				       .port = c->target_port,
				       .originator = c->origin_host != NULL ? c->origin_host : "",
				       .originator_port = c->origin_port};
		c->acceptor = NULL;
		a->accept(a->ctx, c, &in);
		t->events->changed(t->ctx);
		c = t->channels; /* whatever the callee did to the list */
	}
}

void transport_accept(struct transport *t, struct transport_acceptor *a)
{
	struct transport_acceptor **link = &t->acceptors;

	/* The first of two that ask for the same has it. */
	while (*link != NULL)
		link = &(*link)->next;
	a->next = NULL;
	*link = a;
}

void transport_accept_end(struct transport *t, struct transport_acceptor *a)
{
	struct transport_acceptor **link = &t->acceptors;

	while (*link != NULL && *link != a)
		link = &(*link)->next;
	if (*link == NULL)
		return;
	*link = a->next;
	for (struct channel *c = t->channels; c != NULL; c = c->next) {
		if (c->acceptor != a)
			continue;
		c->acceptor = NULL;
		channel_release(c);
	}
}
