/* How a channel ends, told to its owner once. A session that the server closed has a cause only
 * where something is odd about it. */
#include "daemon/transport_priv.h"

#include <stdio.h>
#include <string.h>

#include "daemon/diagnose.h"

/* Nobody types, and few programs fail, so soon. */
#define AT_ONCE_S 2.0
/* ChannelTimeout counts whole seconds. */
#define TIMEOUT_MIN_S 0.9

/* A shell that was asked for and could not stay. One that was told to end did as it was told. */
static bool exits_at_once(const struct channel *c, double ran_s)
{
	return c->request->kind == CHANNEL_SHELL && c->has_status && c->status != 0 &&
	       ran_s < AT_ONCE_S && c->sent_bytes == 0 && !c->eof_sent;
}

static void explain_closed(const struct channel *c, struct cause *why)
{
	struct evidence seen;

	if (c->role != ROLE_SESSION || c->request == NULL || c->t == NULL || !c->sent)
		return;
	evidence_init(&seen);
	snprintf(seen.where, sizeof(seen.where), "%s", c->t->dest->label);
	snprintf(seen.stage, sizeof(seen.stage), "ready");
	seen.age_s = (double)(uv_hrtime() - c->started_ns) / 1e9;
	seen.quiet_s = (double)(uv_now(c->t->env->loop) - c->last_ms) / 1e3;
	if (exits_at_once(c, seen.age_s))
		diagnose_say(why, CAUSE_EXITS_AT_ONCE, &seen);
	if (c->has_status || c->signal[0] != '\0')
		return;
	/* Whatever a process does, sshd tells its status or signal. */
	if (seen.quiet_s >= TIMEOUT_MIN_S) {
		diagnose_say(why, CAUSE_CHANNEL_TIMEOUT, &seen);
	} else {
		cause_set(why, CAUSE_CHANNEL, "%s closed the session without an exit status",
			  c->t->dest->label);
		cause_hint(why, "not every server tells one (network devices do not); else its log "
				"has the reason");
	}
	cause_evidence(why, "the session had run for %.1f s and was quiet for %.1f s", seen.age_s,
		       seen.quiet_s);
}

void channel_end(struct channel *c, enum channel_end_kind kind, const struct cause *why)
{
	struct channel_end e = {.kind = kind, .sent = c->sent};

	if (c->ended || c->released || !c->claimed)
		return;
	c->ended = true;
	e.has_status = c->has_status;
	e.status = c->status;
	memcpy(e.signal, c->signal, sizeof(e.signal));
	if (kind != CHANNEL_ENDED)
		e.why = *why;
	else if (why != NULL && !c->has_status && c->signal[0] == '\0')
		e.why = *why;
	else
		explain_closed(c, &e.why);
	c->events->end(c->ctx, &e);
}
