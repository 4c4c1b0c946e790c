#include "daemon/diagnose.h"

#include <stdio.h>
#include <string.h>

/* "312 s", "20 min", "3.5 h" */
static void duration(char *out, size_t size, double s)
{
	if (s < 0)
		snprintf(out, size, "some time");
	else if (s < 10)
		snprintf(out, size, "%.1f s", s);
	else if (s < 600)
		snprintf(out, size, "%.0f s", s);
	else if (s < 7200)
		snprintf(out, size, "%.0f min", s / 60);
	else
		snprintf(out, size, "%.1f h", s / 3600);
}

static void times(char *out, size_t size, unsigned n)
{
	if (n == 1)
		snprintf(out, size, "once");
	else if (n == 2)
		snprintf(out, size, "twice");
	else
		snprintf(out, size, "%u times", n);
}

/* name: without its braces. */
static void value_of(char *out, size_t size, const char *name, size_t len, const struct evidence *e)
{
	const struct {
		const char *name;
		double s;
	} durations[] = {
		{"age", e->age_s},
		{"quiet", e->quiet_s},
		{"gap", e->gap_s},
		{"slept", e->slept_s},
		{"slept_ago", e->slept_ago_s},
		{"address_ago", e->address_ago_s},
		{"route_ago", e->route_ago_s},
		{"gap_died", e->gap_died_s},
		{"age_died", e->age_died_s},
	};
	const struct {
		const char *name, *text;
	} texts[] = {
		{"host", e->where[0] != '\0' ? e->where : "the server"},
		{"stage", strcmp(e->stage, "ready") == 0 ? "the open connection"
			  : e->stage[0] != '\0'		 ? e->stage
							 : "the login"},
		{"said", e->said[0] != '\0' ? e->said : "no reason was given"},
	};

	for (size_t i = 0; i < HW_ARRAY_LEN(durations); i++)
		if (strlen(durations[i].name) == len && memcmp(durations[i].name, name, len) == 0) {
			duration(out, size, durations[i].s);
			return;
		}
	for (size_t i = 0; i < HW_ARRAY_LEN(texts); i++)
		if (strlen(texts[i].name) == len && memcmp(texts[i].name, name, len) == 0) {
			snprintf(out, size, "%s", texts[i].text);
			return;
		}
	if (len == 9 && memcmp(name, "gap_times", len) == 0)
		times(out, size, e->gap_deaths);
	else if (len == 9 && memcmp(name, "age_times", len) == 0)
		times(out, size, e->age_deaths);
	else if (len == 6 && memcmp(name, "missed", len) == 0)
		snprintf(out, size, "%u", e->missed);
	else if (len == 3 && memcmp(name, "mss", len) == 0)
		snprintf(out, size, "%u", e->mss);
	else
		snprintf(out, size, "{%.*s}", (int)len, name);
}

void diagnose_expand(char *out, size_t size, const char *text, const struct evidence *e)
{
	size_t used = 0;

	while (*text != '\0' && used + 1 < size) {
		const char *end = *text == '{' ? strchr(text, '}') : NULL;

		if (end == NULL) {
			out[used++] = *text++;
			continue;
		}
		value_of(out + used, size - used, text + 1, (size_t)(end - text - 1), e);
		used += strlen(out + used);
		text = end + 1;
	}
	out[used] = '\0';
}

static void say(struct cause *why, enum cause_class cls, const char *text, const char *hint,
		const struct evidence *e)
{
	struct cause before = *why;
	char buf[1024];

	diagnose_expand(buf, sizeof(buf), text, e);
	cause_set(why, cls, "%s", buf);
	diagnose_expand(buf, sizeof(buf), hint, e);
	cause_hint(why, "%s", buf);
	memcpy(why->evidence, before.evidence, sizeof(why->evidence));
	memcpy(why->said, before.said, sizeof(why->said));
	why->spoken = before.spoken;
}

void diagnose_say(struct cause *why, enum cause_class cls, const struct evidence *e)
{
	const struct diagnose_row *row = diagnose_row(cls);

	cause_set(why, cls, "%s", "");
	say(why, cls, row->text, row->hint, e);
}

const struct diagnose_rule *diagnose_rule(const struct cause *why, const struct evidence *e)
{
	for (size_t i = 0; i < diagnose_rules_count; i++) {
		const struct diagnose_rule *rule = &diagnose_rules[i];

		if ((rule->seen >> why->cls & 1) == 0 ||
		    (rule->cls == why->cls && why->text[0] != '\0'))
			continue;
		if (rule->fits(e))
			return rule;
	}
	return NULL;
}

void diagnose(struct cause *why, const struct evidence *seen)
{
	const struct diagnose_rule *rule;
	struct evidence copy = *seen, *e = &copy;
	const struct diagnose_row *row;
	char buf[1024];

	if (why->cls == CAUSE_NONE || why->cls > CAUSE_INTERNAL || why->diagnosed)
		return;
	if (e->said[0] == '\0') {
		snprintf(e->said, sizeof(e->said), "%s", why->said);
		e->spoken = why->spoken;
	}
	rule = diagnose_rule(why, e);
	row = diagnose_row(rule != NULL ? rule->cls : why->cls);
	if (rule != NULL) {
		say(why, rule->cls, rule->text != NULL ? rule->text : row->text,
		    rule->hint != NULL ? rule->hint : row->hint, e);
	} else if (why->text[0] == '\0') {
		say(why, why->cls, row->text, row->hint, e);
	} else if (why->hint[0] == '\0') {
		diagnose_expand(buf, sizeof(buf), row->hint, e);
		cause_hint(why, "%s", buf);
	}
	diagnose_show(why, row->shows, e);
	why->diagnosed = true;
}

/* --- what was seen --- */

static void show_times(struct cause *why, const struct evidence *e)
{
	if (e->age_s >= 0 && strcmp(e->stage, "ready") != 0)
		cause_evidence(why, "in %s, %.1f s after the start",
			       e->stage[0] != '\0' ? e->stage : "the login", e->age_s);
	else if (e->age_s >= 0 && e->quiet_s >= 0)
		cause_evidence(why, "quiet for %.0f s, up for %.0f s", e->quiet_s, e->age_s);
	else if (e->age_s >= 0)
		cause_evidence(why, "up for %.0f s", e->age_s);
	if (e->gap_s >= 2)
		cause_evidence(why,
			       "had been quiet for %.0f s when that was sent to which no "
			       "answer came",
			       e->gap_s);
	if (e->missed > 0)
		cause_evidence(why, "%u %s%s without an answer%s", e->missed,
			       e->probe ? "probe" : "keepalive", e->missed > 1 ? "s" : "",
			       e->probe ? " (the connection was suspect)" : "");
	if (e->rtt_ms >= 0)
		cause_evidence(why, "usual round trip %.1f ms", e->rtt_ms);
	if (e->bytes_in > 0 || e->bytes_out > 0)
		cause_evidence(why, "%llu bytes came, %llu were sent, %u channels were open",
			       (unsigned long long)e->bytes_in, (unsigned long long)e->bytes_out,
			       e->sessions);
}

static void show_tcp(struct cause *why, const struct evidence *e)
{
	if (!e->has_tcp)
		return;
	cause_evidence(why, "TCP: %u retransmits, %u segments unacknowledged, path MTU %u",
		       e->retransmits, e->unacked, e->pmtu);
	if (e->sacked > 0)
		cause_evidence(why, "TCP: %u segments behind the lost one arrived", e->sacked);
	if (e->notsent > 0)
		cause_evidence(why, "TCP: %u bytes wait to be sent", e->notsent);
	if (e->out_of_order > 0)
		cause_evidence(why, "TCP: %u segments came with one before them missing",
			       e->out_of_order);
	if (e->ack_ago_s >= 0)
		cause_evidence(why,
			       "TCP: the last segment came %.1f s ago; the largest had %u "
			       "bytes",
			       e->ack_ago_s, e->largest_in);
}

static void show_machine(struct cause *why, const struct evidence *e)
{
	if (e->slept_ago_s >= 0)
		cause_evidence(why, "this machine slept for %.0f s and woke %.0f s ago", e->slept_s,
			       e->slept_ago_s);
	if (e->address_ago_s >= 0)
		cause_evidence(why, "this machine's address went away %.0f s ago",
			       e->address_ago_s);
	if (e->route_ago_s >= 0)
		cause_evidence(why, "this machine's routes changed %.0f s ago", e->route_ago_s);
}

static void show_learnt(struct cause *why, const struct evidence *e)
{
	char n[32];

	if (e->gap_lived_s >= 1)
		cause_evidence(why, "known here: %.0f s of quiet were survived", e->gap_lived_s);
	if (e->gap_died_s >= 0 && e->gap_deaths > 0) {
		times(n, sizeof(n), e->gap_deaths);
		cause_evidence(why, "known here: %.0f s of quiet were not survived, %s",
			       e->gap_died_s, n);
	}
	if (e->age_died_s >= 0 && e->age_deaths > 0) {
		times(n, sizeof(n), e->age_deaths);
		cause_evidence(why, "known here: ended by the other side at an age of %.0f s, %s",
			       e->age_died_s, n);
	}
}

void diagnose_show(struct cause *why, unsigned shows, const struct evidence *e)
{
	if ((shows & SHOW_TIMES) != 0)
		show_times(why, e);
	if ((shows & SHOW_TCP) != 0)
		show_tcp(why, e);
	if ((shows & SHOW_SAID) != 0 && e->said[0] != '\0')
		cause_evidence(why, "%s: %s", e->spoken ? "the other side said" : "seen as",
			       e->said);
	if ((shows & SHOW_MACHINE) != 0)
		show_machine(why, e);
	if ((shows & SHOW_LEARNT) != 0)
		show_learnt(why, e);
}
