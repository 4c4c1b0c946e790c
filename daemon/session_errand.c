/* A short command of our own at the server of a request, on a channel of its own: nobody waits for
 * it, and it outlives the request. */
#include "daemon/session_priv.h"

#include <stdlib.h>

#include "protocol/alloc.h"
#include "protocol/log.h"

/* It can be repeated without harm: what it ends or takes away is gone then. */
#define TRIES_MAX    8
#define TRY_AGAIN_MS 1000u

struct errand {
	struct app *app;
	uint64_t group;
	unsigned tries;
	struct destination *dest;
	struct origin *origin;
	struct channel *channel;
	struct channel_request wanted;
	char *command;
	char **env; /* the request's, so that a channel kept warm for it fits */
};

static void errand_free(struct errand *e)
{
	if (e->channel != NULL)
		channel_release(e->channel);
	destination_unref(e->dest);
	origin_unref(e->origin);
	free(e->command);
	strv_free(e->env);
	free(e);
}

static void on_running(void *ctx, bool tty)
{
	struct errand *e = ctx;

	(void)tty;
	channel_eof(e->channel);
}

/* What it says is of no use to anybody. */
static bool on_data(void *ctx, int stream, const void *data, size_t len, bool must)
{
	(void)ctx;
	(void)stream;
	(void)data;
	(void)len;
	(void)must;
	return true;
}

static void on_turn(void *ctx)
{
	(void)ctx;
}

static void wait_for_channel(struct errand *e);

/* Lost on the way, or one session too many for its connection. */
static bool again(struct errand *e, const struct channel_end *end)
{
	if (e->app->stopping || e->app->locked || ++e->tries >= TRIES_MAX ||
	    (end->kind != CHANNEL_OPEN_REFUSED &&
	     (end->kind != CHANNEL_LOST || !session_sticky_comes_back(&end->why))))
		return false;
	channel_release(e->channel);
	e->channel = NULL;
	wait_for_channel(e);
	return true;
}

static void on_end(void *ctx, const struct channel_end *end)
{
	struct errand *e = ctx;

	if (end->kind != CHANNEL_ENDED && again(e, end))
		return;
	if (end->kind != CHANNEL_ENDED)
		log_warn("%s: a sticky shell could not be ended: %s", e->dest->label,
			 end->why.text);
	errand_free(e);
}

static const struct channel_events channel_events = {
	.running = on_running,
	.data = on_data,
	.turn = on_turn,
	.end = on_end,
};

static void run_on(struct errand *e, struct channel *c)
{
	e->channel = c;
	e->wanted = (struct channel_request){
		.kind = CHANNEL_EXEC, .command = e->command, .env = e->env};
	channel_claim(c, &e->wanted, &channel_events, e);
}

static void on_granted(void *ctx, struct channel *c, bool reused)
{
	(void)reused;
	run_on(ctx, c);
}

static void on_failed(void *ctx, const struct cause *why, bool handover)
{
	struct errand *e = ctx;

	(void)handover;
	log_warn("%s: a sticky shell could not be ended: %s", e->dest->label, why->text);
	errand_free(e);
}

static void on_prompt(void *ctx, const struct proto_prompt *p)
{
	(void)ctx;
	(void)p; /* can_ask is not set */
}

static void on_notice(void *ctx, const char *text, bool raw)
{
	(void)ctx;
	(void)text;
	(void)raw;
}

static const struct pool_events pool_events = {
	.granted = on_granted,
	.failed = on_failed,
	.prompt = on_prompt,
	.notice = on_notice,
};

static void wait_for_channel(struct errand *e)
{
	struct pool_want want = {.dest = e->dest,
				 .origin = e->origin,
				 .group = e->group,
				 .env = e->env,
				 .front = true,
				 .delay_ms = e->tries > 1 ? TRY_AGAIN_MS : 0};

	(void)pool_wait(e->app->pools, &want, &pool_events, e);
}

/* Its own connection, where that takes no new sessions: it was closed, and no other is opened for a
 * mere errand. */
static struct transport *draining(const struct session *s)
{
	struct transport *t = s->channel != NULL ? channel_transport(s->channel) : NULL;
	struct pool_lease *held;

	if (t == NULL || transport_state(t) != TRANSPORT_READY)
		return NULL;
	held = pool_lease_held(s->app->pools, s->dest, s->group, true, &pool_events, NULL);
	if (held == NULL)
		return t;
	pool_lease_release(held);
	return NULL;
}

void session_errand(struct session *s, char *command)
{
	struct transport *own = draining(s);
	struct errand *e;

	/* Who stops, or is locked, makes no connection; that of the request drains meanwhile. */
	if (s->app->stopping || (s->app->locked && own == NULL)) {
		free(command);
		return;
	}
	e = xcalloc(1, sizeof(*e));
	e->dest = destination_ref(s->dest);
	e->origin = origin_ref(s->origin);
	e->app = s->app;
	e->group = s->group;
	e->command = command;
	e->env = strv_dup(s->env);
	if (own != NULL)
		run_on(e, channel_open(own, e->env));
	else
		wait_for_channel(e);
}
