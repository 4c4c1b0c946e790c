/* The way to the server: a TCP connection, the client's ProxyCommand, or a route through a jump
 * host. */
#include "daemon/transport_priv.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/log.h"

static bool is_tcp(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       (domain == AF_INET || domain == AF_INET6);
}

static void reached(struct transport *t, int fd)
{
	if (t->state != TRANSPORT_DIALLING) {
		close(fd); /* it is ending */
		return;
	}
	t->tcp = is_tcp(fd);
	transport_connected(t, fd);
}

static void on_dialled(void *ctx, int fd, const char *peer, const struct cause *why)
{
	struct transport *t = ctx;

	t->dial = NULL;
	if (fd < 0) {
		transport_fail(t, why);
		return;
	}
	snprintf(t->peer, sizeof(t->peer), "%s", peer);
	snprintf(t->where, sizeof(t->where), "%s (%s)", t->dest->label, peer);
	reached(t, fd);
}

/* --- ProxyCommand --- */

static void on_proxied(void *ctx, int fd)
{
	reached(ctx, fd);
}

static void on_proxy_said(void *ctx, const char *text)
{
	struct transport *t = ctx;

	t->events->notice(t->ctx, text, true);
}

static void on_proxy_failed(void *ctx, const struct cause *why)
{
	transport_fail(ctx, why);
}

static const struct proxy_events proxy_events = {
	.connected = on_proxied,
	.said = on_proxy_said,
	.failed = on_proxy_failed,
	.ended = on_proxy_failed,
};

/* --- ProxyJump --- */

static void on_route_failed(void *ctx, const struct cause *why, bool handover)
{
	struct transport *t = ctx;

	t->handover = handover && t->state == TRANSPORT_DIALLING;
	transport_fail(t, why);
}

static void on_route_prompt(void *ctx, const struct proto_prompt *p)
{
	struct transport *t = ctx;

	t->events->prompt(t->ctx, p);
}

static void on_route_notice(void *ctx, const char *text, bool raw)
{
	struct transport *t = ctx;

	t->events->notice(t->ctx, text, raw);
}

static const struct route_events route_events = {
	.connected = on_proxied,
	.failed = on_route_failed,
	.prompt = on_route_prompt,
	.notice = on_route_notice,
};

static void name_way(struct transport *t)
{
	const struct destination *d = t->dest;

	if (d->jump != NULL)
		snprintf(t->via, sizeof(t->via), "%s", d->jump->label);
	else if (d->proxy_command != NULL)
		snprintf(t->via, sizeof(t->via), "ProxyCommand");
	snprintf(t->where, sizeof(t->where), t->via[0] != '\0' ? "%s (through %s)" : "%s%s",
		 d->label, t->via);
}

void transport_reach(struct transport *t)
{
	const struct transport_env *env = t->env;
	struct destination *d = t->dest;
	struct cause why;

	name_way(t);
	t->begun_ms = uv_now(env->loop);
	if (d->proxy_command != NULL) {
		t->proxy = proxy_start(env->loop, env->workers, d, t->origin, &proxy_events, t);
	} else if (d->jump_spec == NULL) {
		t->dial = dial_start(env->loop, d, on_dialled, t);
	} else if (d->jump != NULL && env->routes != NULL) {
		t->route = env->routes->open(env->routes_ctx, d, t->origin, &route_events, t);
	} else {
		/* Never directly. */
		cause_set(&why, CAUSE_INTERNAL, "%s: there is no way through %s", d->label,
			  d->jump_spec);
		transport_fail(t, &why);
	}
}

void transport_reach_end(struct transport *t)
{
	dial_cancel(t->dial);
	t->dial = NULL;
	proxy_close(t->proxy);
	t->proxy = NULL;
	if (t->route != NULL)
		t->env->routes->close(t->route);
	t->route = NULL;
}

/* The socket's end is seen before the end of the process behind it. */
static bool is_end_of_socket(const struct cause *why)
{
	return why->cls == CAUSE_CLOSED_BEFORE_BANNER || why->cls == CAUSE_SERVER_CLOSED ||
	       why->cls == CAUSE_RESET || why->cls == CAUSE_KEX;
}

void transport_fail_on_way(struct transport *t, const struct cause *why)
{
	if (t->proxy == NULL || t->state == TRANSPORT_CLOSED || !is_end_of_socket(why)) {
		transport_fail(t, why);
		return;
	}
	if (t->polling)
		uv_poll_stop(&t->poll); /* it would say so again and again */
	proxy_await_end(t->proxy, why);
}

void transport_answer(struct transport *t, char *const *answers, const char *reason)
{
	if (t->login != NULL)
		login_answer(t->login, answers, reason);
	else if (t->route != NULL)
		t->env->routes->answer(t->route, answers, reason);
}

void transport_nobody_answers(struct transport *t, const char *reason)
{
	if (t->login == NULL && t->route != NULL)
		t->env->routes->nobody(t->route);
	else
		transport_answer(t, NULL, reason);
}
