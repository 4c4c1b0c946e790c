/* Listeners of the server's (RFC 4254 section 7.1). */
#include "daemon/forward_priv.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/alloc.h"

/* The address as it is said to the server: no address is its loopback, which its own GatewayPorts
 * may widen; "" are all. */
static const char *address_of(const struct forward_end *listen)
{
	if (listen->host == NULL)
		return "localhost";
	return strcmp(listen->host, "*") == 0 ? "" : listen->host;
}

/* 0: the server is to choose. */
static uint16_t wanted_port(const struct forward_spec *s)
{
	return s->listen.port != 0 ? s->listen.port : s->chosen;
}

static void on_accept(void *ctx, struct channel *c, const struct incoming *in)
{
	forward_link_remote(ctx, c, in);
}

/* In ssh's words. */
static void say_listening(struct forward *f, uint16_t port)
{
	const struct forward_spec *s = &f->spec;

	forward_notice(f->set, 1, "debug1: remote forward success for: listen %u, connect %s:%d",
		       s->listen.port, forward_target(s), forward_port(&s->connect));
	if (s->listen.port == 0)
		forward_notice(f->set, 0, "Allocated port %u for remote forward to %s:%d", port,
			       forward_target(s), forward_port(&s->connect));
}

static void on_listening(void *ctx, bool ok, uint16_t port)
{
	struct forward *f = ctx;

	f->asking = false;
	if (ok && wanted_port(&f->spec) == 0)
		f->acceptor.port = port;
	ok = ok && f->acceptor.port != 0;
	if (ok) {
		say_listening(f, f->acceptor.port);
	} else {
		f->accepting = false;
		transport_accept_end(f->set->transport, &f->acceptor);
	}
	forward_settle(f, ok);
}

void forward_remote_start(struct forward *f)
{
	f->address = xstrdup(address_of(&f->spec.listen));
	/* Before it is asked for: the first connection may come together with the answer. */
	f->acceptor = (struct transport_acceptor){.kind = INCOMING_TCP,
						  .address = f->address,
						  .port = wanted_port(&f->spec),
						  .accept = on_accept,
						  .ctx = f};
	f->asking = f->accepting = true;
	transport_accept(f->set->transport, &f->acceptor);
	transport_listen(f->set->transport, f->address, f->acceptor.port, on_listening, f);
}

void forward_remote_stop(struct forward *f)
{
	if (f->asking)
		transport_listen_forget(f->set->transport, f);
	if (f->accepting) {
		transport_accept_end(f->set->transport, &f->acceptor);
		if (!f->asking)
			transport_unlisten(f->set->transport, f->address, f->acceptor.port);
	}
	f->asking = f->accepting = false;
	free(f->address);
	f->address = NULL;
}
