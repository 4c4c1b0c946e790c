/* Doubt: is the other side still there? A transport that was quiet for long, or whose network has
 * changed under it, is probed before anything new is put on it. The probe is a keepalive with a
 * deadline of a few round trips; whatever comes in is an answer. */
#include "daemon/transport_priv.h"

#include <sys/ioctl.h>

#include "protocol/log.h"

/* So long nothing came in: it is proven alive before the next request. Shorter than a keepalive's
 * interval, so a connection that somebody uses all the time never pays for it; where it does, it is
 * a round trip that ssh pays for every command. */
#define QUIET_MS 3000
/* The verdict comes after so many round trips, but a loaded server or a radio link that wakes up
 * has its time, and no request waits longer than the most. */
#define PROBE_TRIPS    8
#define PROBE_LEAST_MS 1000
#define PROBE_MOST_MS  2000
/* What came in the last moment before an end had been on its way: with it, a path that is back
 * brings the news of an end that was long ago. */
#define BURST_MS 200
/* What has arrived while the daemon itself was held up is read first. */
#define PROBE_AGAIN_MS 20

static uint64_t now_ms(const struct transport *t)
{
	return uv_now(t->env->loop);
}

bool transport_quiet(const struct transport *t)
{
	return now_ms(t) - t->last_in_ms >= QUIET_MS;
}

enum transport_doubt transport_doubt(const struct transport *t)
{
	return t->doubt;
}

static uint64_t deadline_ms(const struct transport *t)
{
	double ms = t->rtt_ms < 0 ? PROBE_MOST_MS : t->rtt_ms * PROBE_TRIPS;

	if (ms < PROBE_LEAST_MS)
		ms = PROBE_LEAST_MS;
	return ms > PROBE_MOST_MS ? PROBE_MOST_MS : (uint64_t)ms;
}

static void tell(const struct transport *t, enum journal_kind kind, const char *text)
{
	journal_add(t->env->journal, &(struct journal_entry){.kind = kind,
							     .host = t->dest->label,
							     .typed = t->dest->typed,
							     .transport = t->id,
							     .text = text});
}

static void dead_cause(const struct transport *t, struct cause *why)
{
	cause_set(why, CAUSE_PATH_DEAD, "%s did not answer within %.1f s: the connection is dead",
		  t->where, (double)(now_ms(t) - t->suspect_ms) / 1e3);
	cause_hint(why, "the network changed, or a NAT or firewall on the way forgot the "
			"connection; the next command opens a new one");
}

/* Requests that were not sent need not share the connection's fate. */
static void let_unsent_go(struct transport *t)
{
	struct cause why;

	dead_cause(t, &why);
	for (struct channel *c = t->channels; c != NULL; c = c->next) {
		if (c->role == ROLE_SESSION && c->state < CHANNEL_STARTING)
			channel_end(c, CHANNEL_LOST, &why);
	}
}

bool transport_used(const struct transport *t)
{
	for (const struct channel *c = t->channels; c != NULL; c = c->next) {
		if (c->claimed && !c->released && c->state != CHANNEL_DEAD)
			return true;
	}
	return false;
}

static void on_deadline(uv_timer_t *timer)
{
	struct transport *t = timer->data;
	int waiting = 0;

	if (t->state != TRANSPORT_READY || t->doubt != TRANSPORT_SUSPECT)
		return;
	if (ioctl(t->fd, FIONREAD, &waiting) == 0 && waiting > 0) {
		transport_touch(t);
		uv_timer_start(&t->probe, on_deadline, PROBE_AGAIN_MS, 0);
		return;
	}
	t->doubt = TRANSPORT_SILENT;
	t->missed++;
	t->probed = true;
	log_info("%s transport %u: no answer within %u ms", t->dest->label, t->id,
		 (unsigned)(now_ms(t) - t->suspect_ms));
	let_unsent_go(t);
	t->events->silent(t->ctx);
}

/* Much that is sent needs no answer. These do, and soon. */
static bool awaits_answer(const struct transport *t)
{
	for (const struct channel *c = t->channels; c != NULL; c = c->next) {
		if (c->state != CHANNEL_IDLE && c->state < CHANNEL_RUNNING)
			return true;
	}
	return false;
}

void transport_suspect(struct transport *t, const char *why)
{
	const char *quiet = NULL;

	if (t->state != TRANSPORT_READY || t->doubt != TRANSPORT_SURE)
		return;
	if (why == NULL)
		quiet = awaits_answer(t) ? "a request is not answered" : "it was quiet";
	log_debug("%s transport %u: suspect: %s", t->dest->label, t->id, why != NULL ? why : quiet);
	t->doubt = TRANSPORT_SUSPECT;
	t->suspect_ms = now_ms(t);
	t->suspect_told = why != NULL;
	if (why != NULL)
		tell(t, JOURNAL_SUSPECT, why);
	transport_probe(t);
	uv_timer_start(&t->probe, on_deadline, deadline_ms(t), 0);
}

static void on_unanswered(uv_timer_t *timer)
{
	transport_suspect(timer->data, NULL);
}

void transport_expect(struct transport *t)
{
	if (t->doubt == TRANSPORT_SURE && !uv_is_active((uv_handle_t *)&t->probe) &&
	    awaits_answer(t))
		uv_timer_start(&t->probe, on_unanswered, PROBE_MOST_MS, 0);
}

void transport_note_life(struct transport *t)
{
	if (t->packets.out_packets != t->seen_out) {
		uint64_t last = t->last_out_ms > t->last_in_ms ? t->last_out_ms : t->last_in_ms,
			 quiet = now_ms(t) - last;

		t->seen_out = t->packets.out_packets;
		t->last_out_ms = now_ms(t);
		/* What went before may have been nothing that is answered, a channel's close. */
		if (!t->owed || quiet > t->gap_ms)
			t->gap_ms = quiet;
		t->owed = true;
	}
	/* Bytes, not packets: a large one may take long on a slow path. */
	if (t->socket.in_bytes == t->seen_in)
		return;
	if (t->owed && t->gap_ms > t->gap_lived_ms)
		t->gap_lived_ms = t->gap_ms;
	t->seen_in = t->socket.in_bytes;
	if (now_ms(t) - t->last_in_ms >= BURST_MS) {
		t->before_burst_ms = t->last_in_ms;
		t->before_burst_missed = t->missed;
		t->burst_ms = now_ms(t);
	}
	t->last_in_ms = now_ms(t);
	if (t->owed)
		learn_gap_lived(t->env->learn, t->dest->label, (double)t->gap_ms / 1e3);
	t->owed = false;
	t->missed = 0;
	t->probed = false;
	uv_timer_stop(&t->probe);
	if (t->doubt == TRANSPORT_SURE)
		return;
	if (t->suspect_told || t->doubt == TRANSPORT_SILENT)
		tell(t, JOURNAL_ALIVE, "the other side answered");
	t->doubt = TRANSPORT_SURE;
	t->events->changed(t->ctx);
}

double transport_quiet_s(const struct transport *t, unsigned *missed)
{
	uint64_t now = now_ms(t);
	bool last_words = t->burst_ms > 0 && now - t->burst_ms < BURST_MS;

	*missed = last_words ? t->before_burst_missed : t->missed;
	return (double)(now - (last_words ? t->before_burst_ms : t->last_in_ms)) / 1e3;
}

void transport_give_up(struct transport *t)
{
	struct cause why;

	cause_set(&why, CAUSE_PATH_DEAD, "%s", ""); /* the text is diagnose()'s */
	transport_fail(t, &why);
}
