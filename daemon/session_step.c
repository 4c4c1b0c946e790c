/* How far a request has got (design, decision 8). `sent` is the line behind which it is never run
 * again: before, a lost connection sends it back to waiting; after, it is over. */
#include "daemon/session_priv.h"

#include <stdlib.h>

#include "protocol/alloc.h"
#include "protocol/log.h"

#define TO(step) (1u << (step))

/* From where to where. Any step may be followed by done. */
static const struct {
	const char *name; /* in EXIT */
	unsigned next;
} steps[] = {
	[STEP_RESOLVING] = {"resolving", TO(STEP_WAITING)},
	/* Running: -N, on a connection without a channel. Waiting again: for the channel, once the
	 * connection and its forwards stand. */
	[STEP_WAITING] = {"waiting", TO(STEP_WAITING) | TO(STEP_OPENING) | TO(STEP_RUNNING)},
	[STEP_OPENING] = {"opening", TO(STEP_WAITING) | TO(STEP_SENT)},
	[STEP_SENT] = {"sent", TO(STEP_RUNNING)},
	/* Waiting again: -N, whose connection was lost, and which has no command that could run
	 * twice. */
	[STEP_RUNNING] = {"running", TO(STEP_WAITING)},
	[STEP_DONE] = {"done", 0},
};

void session_step(struct session *s, enum session_step to)
{
	/* What is only attached to again has run, and is not asked for another time. */
	if (session_sticky_is_away(s) && to < STEP_RUNNING)
		return;
	if (to != STEP_DONE && !(steps[s->step].next & TO(to)))
		log_error("a request goes from %s to %s, which must not be", steps[s->step].name,
			  steps[to].name);
	s->step = to;
}

/* The channel knows when the request went out; nobody is told of that moment by itself. */
static enum session_step reached(const struct session *s)
{
	return s->step == STEP_OPENING && s->channel != NULL && channel_sent(s->channel) ? STEP_SENT
											 : s->step;
}

bool session_may_have_run(const struct session *s)
{
	return reached(s) >= STEP_SENT && s->goal == GOAL_SESSION;
}

void session_account(struct session *s)
{
	struct proto_exit *r = &s->result;

	r->stage = xstrdup(steps[reached(s)].name);
	r->cause = s->ended_by != CAUSE_NONE ? xstrdup(cause_name(s->ended_by)) : NULL;
	r->evidence = s->evidence;
	s->evidence = NULL;
	r->reused = s->reused;
	r->transport = s->used_transport;
}

char *session_how_far(const struct session *s, const char *what)
{
	double ran_s = (double)(uv_now(s->app->loop) - s->started_ms) / 1e3;

	if (s->step == STEP_RUNNING && s->goal == GOAL_SESSION)
		return xasprintf("%s; the command had been running for %.1f s", what, ran_s);
	if (session_may_have_run(s))
		return xasprintf("%s; it is not known whether the command ran", what);
	return xasprintf("%s; the command was not run", what);
}
