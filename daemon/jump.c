#include "daemon/jump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/app.h"
#include "daemon/pool.h"
#include "daemon/tunnel.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

/* As the kernel allows: with room for a window, neither side waits for the other's turn. */
#define SOCKET_BUFFER (2 * 1024 * 1024)

struct route {
	struct app *app;
	struct destination *dest; /* the one behind the jump host */
	const struct route_events *events;
	void *ctx;
	struct pool_waiter *waiter;
	struct pool_lease *lease;
	struct tunnel *tunnel;
	int fd; /* the transport's end of the tunnel's socket, until it has it; or -1 */
	uv_timer_t deadline;
	bool failed;
};

static void fail(struct route *r, const struct cause *why, bool handover)
{
	if (r->failed)
		return;
	r->failed = true;
	uv_timer_stop(&r->deadline);
	r->events->failed(r->ctx, why, handover);
}

/* --- the channel --- */

/* The jump host's transport is there, and it does not lead on. */
static void explain_refusal(const struct route *r, const struct cause *said, struct cause *why)
{
	const struct destination *d = r->dest;

	cause_set(why, CAUSE_JUMP, "jump host %s: it refused to forward to %s port %u: %s",
		  d->jump->label, d->hostname, d->port, said->text);
	if (strstr(said->text, "prohibited") != NULL)
		cause_hint(why,
			   "its sshd does not let this account forward there: see "
			   "AllowTcpForwarding and PermitOpen in the sshd_config of %s",
			   d->jump->hostname);
	else
		cause_hint(why,
			   "the name is looked up, and the connection made, by %s: check host and "
			   "port as seen from there",
			   d->jump->hostname);
}

static void explain_loss(const struct route *r, const struct cause *said, struct cause *why)
{
	cause_set(why, said->cls, "%s: its jump host %s was lost: %s", r->dest->label,
		  r->dest->jump->label, said->text);
	cause_take_over(why, said);
}

static void on_opened(void *ctx, struct tunnel *t)
{
	struct route *r = ctx;
	int fd = r->fd;

	(void)t;
	uv_timer_stop(&r->deadline);
	r->fd = -1;
	r->events->connected(r->ctx, fd);
}

static void on_tunnel_ended(void *ctx, struct tunnel *t, bool refused, const struct cause *why)
{
	struct route *r = ctx;
	struct cause text;

	(void)t;
	r->tunnel = NULL;
	if (why == NULL)
		return; /* the transport sees its socket end */
	if (refused)
		explain_refusal(r, why, &text);
	else
		explain_loss(r, why, &text);
	fail(r, &text, false);
}

static const struct tunnel_events tunnel_events = {
	.opened = on_opened,
	.ended = on_tunnel_ended,
};

static void on_deadline(uv_timer_t *timer)
{
	struct route *r = timer->data;
	struct cause why;

	cause_set(&why, CAUSE_CONNECT_TIMEOUT,
		  "connect to %s port %u through %s: no answer within ConnectTimeout of %u s",
		  r->dest->hostname, r->dest->port, r->dest->jump->label, r->dest->connect_timeout);
	cause_hint(&why, "the host is down, or a firewall between it and %s drops the packets",
		   r->dest->jump->hostname);
	fail(r, &why, false);
}

/* False with errno: no descriptor left. */
static bool open_tunnel(struct route *r)
{
	struct channel_target target = {
		.host = r->dest->hostname, .port = r->dest->port, .origin = "127.0.0.1"};
	int ends[2], size = SOCKET_BUFFER;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
		return false;
	for (int i = 0; i < 2; i++)
		(void)setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	r->fd = ends[0];
	r->tunnel = tunnel_open(r->app->watches, pool_lease_transport(r->lease), ends[1], &target,
				r->dest->label, &tunnel_events, r);
	return r->tunnel != NULL;
}

/* --- the jump host's transport --- */

static void on_leased(void *ctx, struct pool_lease *l, bool reused)
{
	struct route *r = ctx;
	struct cause why;

	log_debug("%s: through %s, %s", r->dest->label, r->dest->jump->label,
		  reused ? "which is held" : "which was logged in to");
	r->waiter = NULL;
	r->lease = l;
	if (!open_tunnel(r)) {
		cause_set(&why, CAUSE_LIMIT, "%s: no descriptor left for the way through %s: %s",
			  r->dest->label, r->dest->jump->label, strerror(errno));
		cause_hint(&why, "raise the limit of open files (ulimit -n)");
		fail(r, &why, false);
		return;
	}
	/* The jump host's own login has its own ConnectTimeout. */
	if (r->dest->connect_timeout > 0)
		uv_timer_start(&r->deadline, on_deadline, r->dest->connect_timeout * 1000ull, 0);
}

/* The tunnel's end was told before, with the same cause. */
static void on_lost(void *ctx, const struct cause *why)
{
	struct route *r = ctx;
	struct cause text;

	r->lease = NULL;
	explain_loss(r, why, &text);
	fail(r, &text, false);
}

static void on_failed(void *ctx, const struct cause *said, bool handover)
{
	struct route *r = ctx;
	struct cause why;

	r->waiter = NULL;
	cause_set(&why, said->cls, "%s: its jump host cannot be used: %s", r->dest->typed,
		  said->text);
	cause_take_over(&why, said);
	fail(r, &why, handover);
}

static void on_prompt(void *ctx, const struct proto_prompt *p)
{
	struct route *r = ctx;

	r->events->prompt(r->ctx, p);
}

static void on_notice(void *ctx, const char *text, bool raw)
{
	struct route *r = ctx;

	r->events->notice(r->ctx, text, raw);
}

static const struct pool_events pool_events = {
	.leased = on_leased,
	.lost = on_lost,
	.failed = on_failed,
	.prompt = on_prompt,
	.notice = on_notice,
};

/* --- the route --- */

/* Who wants nothing held afterwards wants that of the way, too. */
static uint64_t group_of(const struct destination *dest, const struct origin *origin)
{
	const char *hold = origin != NULL ? origin_getenv(origin, "HAWSER_HOLD") : NULL;

	return dest->hold_nothing || (hold != NULL && strcmp(hold, "0") == 0) ? POOL_HELD_BY_NOBODY
									      : POOL_SHARED;
}

static struct route *jump_open(void *routes_ctx, struct destination *dest, struct origin *origin,
			       const struct route_events *events, void *ctx)
{
	struct route *r = xcalloc(1, sizeof(*r));
	struct pool_want want = {.dest = dest->jump,
				 .origin = origin,
				 .group = group_of(dest, origin),
				 .lease = true,
				 .can_ask = true};

	r->app = routes_ctx;
	r->dest = destination_ref(dest);
	r->events = events;
	r->ctx = ctx;
	r->fd = -1;
	uv_timer_init(r->app->loop, &r->deadline);
	r->deadline.data = r;
	r->waiter = pool_wait(r->app->pools, &want, &pool_events, r);
	return r;
}

static void jump_answer(struct route *r, char *const *answers, const char *reason)
{
	if (r->waiter != NULL)
		pool_answer(r->waiter, answers, reason);
}

static void jump_nobody(struct route *r)
{
	if (r->waiter != NULL)
		pool_decline(r->waiter);
}

static void on_deadline_closed(uv_handle_t *handle)
{
	struct route *r = handle->data;

	destination_unref(r->dest);
	free(r);
}

static void jump_close(struct route *r)
{
	r->failed = true;
	if (r->waiter != NULL)
		pool_leave(r->waiter);
	tunnel_destroy(r->tunnel);
	if (r->fd >= 0)
		close(r->fd);
	if (r->lease != NULL)
		pool_lease_release(r->lease);
	uv_close((uv_handle_t *)&r->deadline, on_deadline_closed);
}

const struct transport_routes jump_routes = {
	.open = jump_open,
	.answer = jump_answer,
	.nobody = jump_nobody,
	.close = jump_close,
};
