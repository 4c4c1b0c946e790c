/* How a transport ends: what was seen, and the cause that follows from it. */
#include "daemon/transport_priv.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "daemon/diagnose.h"
#include "protocol/log.h"

static void fill_learnt(const struct transport *t, struct evidence *e)
{
	struct learnt known;

	if (!learn_get(t->env->learn, t->dest->label, &known))
		return;
	if (known.gap_lived_s > 0)
		e->gap_lived_s = known.gap_lived_s;
	if (known.gap_deaths > 0)
		e->gap_died_s = known.gap_died_s;
	if (known.age_deaths > 0)
		e->age_died_s = known.age_died_s;
	e->gap_deaths = known.gap_deaths;
	e->age_deaths = known.age_deaths;
}

void transport_evidence(const struct transport *t, struct evidence *e)
{
	struct sockaddr_storage local;

	evidence_init(e);
	snprintf(e->where, sizeof(e->where), "%s", t->where);
	snprintf(e->stage, sizeof(e->stage), "%s",
		 t->state == TRANSPORT_READY ? "ready" : t->phase);
	if (t->ready_ms > 0) {
		uint64_t now = uv_now(t->env->loop);

		e->quiet_s = transport_quiet_s(t, &e->missed);
		e->silent_s = (double)(now - t->last_out_ms) / 1e3;
		if (t->owed)
			e->gap_s = (double)t->gap_ms / 1e3;
		e->probe = t->probed;
	}
	if (t->ready_ms > 0)
		e->age_s = (double)(uv_now(t->env->loop) - t->ready_ms) / 1e3;
	else if (t->begun_ms > 0)
		e->age_s = (double)(uv_now(t->env->loop) - t->begun_ms) / 1e3;
	e->rtt_ms = t->rtt_ms;
	e->bytes_in = t->socket.in_bytes;
	e->bytes_out = t->socket.out_bytes;
	e->sessions = transport_channels(t);
	fill_learnt(t, e);
	if (t->tcp)
		evidence_tcp(e, t->fd);
	if (t->gap_lived_ms > 0 && (double)t->gap_lived_ms / 1e3 > e->gap_lived_s)
		e->gap_lived_s = (double)t->gap_lived_ms / 1e3;
	if (transport_local_address(t, &local))
		netwatch_evidence(t->env->netwatch, &local, e);
}

/* What is read of the kernel's error: libssh says "Socket error: " and strerror(). */
static enum cause_class socket_class(const char *said)
{
	if (strstr(said, "reset by peer") != NULL || strstr(said, "Broken pipe") != NULL)
		return CAUSE_RESET;
	if (strstr(said, "timed out") != NULL || strstr(said, "No route to host") != NULL ||
	    strstr(said, "unreachable") != NULL)
		return CAUSE_PATH_DEAD;
	return strstr(said, "disconnected") != NULL ? CAUSE_SERVER_CLOSED : CAUSE_PROTOCOL;
}

void transport_fail_by_session(struct transport *t)
{
	static const char disconnect[] = "SSH_MSG_DISCONNECT: ";
	const char *said = ssh_get_error(t->session), *words = strstr(said, disconnect);
	struct cause why;

	/* The text is diagnose()'s. */
	if (words != NULL) {
		words += strlen(disconnect);
		said = strchr(words, ':') != NULL ? strchr(words, ':') + 1 : words;
		cause_set(&why, CAUSE_PROTOCOL, "%s", "");
	} else {
		cause_set(&why, said[0] != '\0' ? socket_class(said) : CAUSE_SERVER_CLOSED, "%s",
			  "");
	}
	cause_said(&why, words != NULL, said);
	transport_fail_on_way(t, &why);
}

/* --- turned away --- */

/* Older ones are another matter. */
#define REFUSALS_S 600

struct refusals {
	double since;
	unsigned count;
};

static void count_refusal(void *ctx, const struct journal_entry *e)
{
	struct refusals *r = ctx;

	if (e->time < r->since || (e->kind != JOURNAL_FAILED && e->kind != JOURNAL_OPENED))
		return;
	if (e->cls == CAUSE_CLOSED_BEFORE_BANNER || e->cls == CAUSE_REFUSES_SOURCE)
		r->count++;
	else
		r->count = 0;
}

/* How many logins in a row, up to now, ended before the server's banner. */
static unsigned refusals(const struct transport *t)
{
	struct refusals r = {.since = (double)time(NULL) - REFUSALS_S};

	journal_each(t->env->journal, t->dest->label, count_refusal, &r);
	return r.count;
}

/* What the end of a ready connection teaches. */
static void learn_from(const struct transport *t, const struct evidence *e)
{
	struct learn *l = t->env->learn;
	const char *host = t->dest->label;

	if (t->state != TRANSPORT_READY)
		return;
	learn_rtt(l, host, e->rtt_ms);
	switch (t->why.cls) {
	case CAUSE_KEEPALIVE:
	case CAUSE_PATH_DEAD:
	case CAUSE_IDLE_DROP:
		/* Not where the other side's TCP is there, and only its sshd hangs. */
		if (e->has_tcp && e->unacked > 0)
			learn_gap_died(l, host, e->gap_s, true);
		break;
	case CAUSE_RESET:
		/* Or its machine was started anew, and nobody could tell us. */
		learn_gap_died(l, host, e->gap_s, false);
		break;
	case CAUSE_SERVER_CLOSED:
	case CAUSE_TIMED_CLOSE:
		learn_age_died(l, host, e->age_s);
		break;
	default:
		break;
	}
}

void transport_fail(struct transport *t, const struct cause *why)
{
	struct evidence seen;

	if (t->why.cls != CAUSE_NONE)
		return;
	t->why = *why;
	transport_evidence(t, &seen);
	if (why->cls == CAUSE_CLOSED_BEFORE_BANNER)
		seen.refusals = refusals(t);
	diagnose(&t->why, &seen);
	learn_from(t, &seen);
	why = &t->why;
	journal_add_cause(t->env->journal,
			  t->state == TRANSPORT_READY ? JOURNAL_ENDED : JOURNAL_FAILED,
			  t->dest->label, t->dest->typed, t->id, why);
	log_info("%s transport %u: ended (%s): %s", t->dest->label, t->id, cause_name(why->cls),
		 why->text);
	if (why->evidence[0] != '\0')
		log_debug("%s transport %u: evidence: %s", t->dest->label, t->id, why->evidence);
	transport_set_state(t, TRANSPORT_CLOSED);
	defer_post(t->env->defer, &t->ending);
}
