/* A short command of our own at the server of a request, on a channel of its own: nobody waits for
 * it, and it outlives the request. */
#include "daemon/session_priv.h"

#include <stdlib.h>

#include "protocol/alloc.h"
#include "protocol/log.h"

struct errand {
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

static void on_end(void *ctx, const struct channel_end *end)
{
	struct errand *e = ctx;

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

static void on_granted(void *ctx, struct channel *c, bool reused)
{
	struct errand *e = ctx;

	(void)reused;
	e->channel = c;
	e->wanted = (struct channel_request){
		.kind = CHANNEL_EXEC, .command = e->command, .env = e->env};
	channel_claim(c, &e->wanted, &channel_events, e);
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

void session_errand(struct session *s, char *command)
{
	struct errand *e;
	struct pool_want want = {
		.dest = s->dest, .origin = s->origin, .group = s->group, .front = true};

	/* Who stops, or is locked, makes no connection. */
	if (s->app->stopping || s->app->locked) {
		free(command);
		return;
	}
	e = xcalloc(1, sizeof(*e));
	e->dest = destination_ref(s->dest);
	e->origin = origin_ref(s->origin);
	e->command = command;
	want.env = e->env = strv_dup(s->env);
	(void)pool_wait(s->app->pools, &want, &pool_events, e);
}
