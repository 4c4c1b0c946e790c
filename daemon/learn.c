#include "daemon/learn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/journal.h"
#include "daemon/learn_priv.h"
#include "daemon/netid.h"
#include "daemon/state.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

/* Quiet that is shorter says nothing of NATs: the shortest time-outs in use are 20 to 30 s. */
#define LIVED_MIN_S 5.0
#define DIED_MIN_S  10.0
/* A death counts if a new connection stands within so long: else the path was down. */
#define CONFIRM_S 10.0
/* So many count where something else may have been: a server that was started anew, an outage. */
#define DOUBTS_MAX 2
/* No quiet lasts longer than this part of one that died, or of one that lived. */
#define DIED_PART	 0.3
#define LIVED_PART	 0.9
#define KEEPALIVE_MOST_S 15.0
/* The time-out that was learnt is tried anew after a week without a death: it may have gone, or was
 * something else. */
#define HEALED_S (7ull * 24 * 3600)
/* Ages that are so close are one time-out. */
#define SAME_AGE_S    5.0
#define SAME_AGE_PART 0.05

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct known *find(const struct learn *l, const char *host)
{
	char network[NETID_MAX];

	netid_now(network, sizeof(network));
	for (size_t i = 0; i < l->count; i++) {
		struct known *k = &l->known[i];

		if (strcmp(k->host, host) == 0 && strcmp(k->network, network) == 0)
			return k;
	}
	return NULL;
}

static struct known *oldest(struct learn *l)
{
	struct known *k = &l->known[0];

	for (size_t i = 1; i < l->count; i++) {
		if (l->known[i].used < k->used)
			k = &l->known[i];
	}
	return k;
}

struct known *learn_entry(struct learn *l, const char *host, const char *network)
{
	struct known *k;

	for (size_t i = 0; i < l->count; i++) {
		if (strcmp(l->known[i].host, host) == 0 &&
		    strcmp(l->known[i].network, network) == 0)
			return &l->known[i];
	}
	k = l->count < LEARN_MAX ? &l->known[l->count++] : oldest(l);
	free(k->host);
	free(k->network);
	*k = (struct known){.host = xstrdup(host), .network = xstrdup(network)};
	return k;
}

static struct known *touch(struct learn *l, const char *host)
{
	char network[NETID_MAX];
	struct known *k;

	netid_now(network, sizeof(network));
	k = learn_entry(l, host, network);
	k->used = (uint64_t)time(NULL);
	return k;
}

static void note(struct learn *l, const char *host, const char *fmt, ...) HW_PRINTF(3, 4);
static void note(struct learn *l, const char *host, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_info("%s: %s", host, text);
	journal_add(l->journal,
		    &(struct journal_entry){.kind = JOURNAL_LEARNT, .host = host, .text = text});
}

/* What died had been quiet for longer than the time-out, up to twice as long: the keepalives of
 * before came at intervals. What has lived need not be gone far below. */
static double keepalive_of(const struct known *k)
{
	double s = k->gap_died_s * DIED_PART;

	if (k->gap_deaths == 0)
		return 0;
	if (s > KEEPALIVE_MOST_S)
		s = KEEPALIVE_MOST_S;
	if (k->gap_lived_s < k->gap_died_s && k->gap_lived_s * LIVED_PART > s)
		s = k->gap_lived_s * LIVED_PART;
	return s;
}

bool learn_get(const struct learn *l, const char *host, struct learnt *out)
{
	const struct known *k = l != NULL ? find(l, host) : NULL;

	*out = (struct learnt){0};
	if (k == NULL)
		return false;
	*out = (struct learnt){.gap_lived_s = k->gap_lived_s,
			       .gap_died_s = k->gap_died_s,
			       .gap_deaths = k->gap_deaths,
			       .age_died_s = k->age_died_s,
			       .age_deaths = k->age_deaths,
			       .keepalive_s = keepalive_of(k),
			       .session_limit = k->session_limit,
			       .rtt_ms = k->rtt_ms};
	return true;
}

void learn_gap_lived(struct learn *l, const char *host, double gap_s)
{
	struct known *k;

	if (l == NULL || gap_s < LIVED_MIN_S)
		return;
	k = touch(l, host);
	if (gap_s >= k->doubt_s)
		k->doubts = 0;
	if (gap_s < k->gap_lived_s * 1.05)
		return;
	k->gap_lived_s = gap_s;
	/* The time-out has grown, or it never was one. */
	if (k->gap_deaths > 0 && gap_s >= k->gap_died_s) {
		note(l, host,
		     "it was quiet for %.0f s and lived, although %.0f s had been too "
		     "long before",
		     gap_s, k->gap_died_s);
		k->gap_deaths = 0;
		k->gap_died_s = 0;
	}
	learn_save(l);
}

/* No longer than what has lived before, but for the rhythm of keepalives. */
static bool has_lived(const struct known *k, double gap_s)
{
	return k->gap_lived_s > 0 && gap_s <= k->gap_lived_s * 1.05 + 0.5;
}

void learn_gap_died(struct learn *l, const char *host, double gap_s, bool sure)
{
	struct known *k;

	if (l == NULL || gap_s < DIED_MIN_S)
		return;
	k = touch(l, host);
	k->maybe_died_s = gap_s;
	k->maybe_at_s = now_s();
	k->maybe_doubtful = !sure || has_lived(k, gap_s);
}

static void heal(struct learn *l, const char *host, struct known *k)
{
	uint64_t now = (uint64_t)time(NULL);

	if (k->gap_deaths == 0 || now < k->gap_died_at + HEALED_S)
		return;
	note(l, host,
	     "%.0f s of quiet were too long more than a week ago: that is tried again, with "
	     "keepalives as configured",
	     k->gap_died_s);
	k->gap_deaths = 0;
	k->gap_died_s = 0;
	learn_save(l);
}

/* Of a death that is confirmed. */
static bool still_doubtful(struct known *k)
{
	if (!k->maybe_doubtful)
		return false;
	if (k->doubts++ == 0 || k->maybe_died_s < k->doubt_s)
		k->doubt_s = k->maybe_died_s;
	return k->doubts < DOUBTS_MAX;
}

void learn_opened(struct learn *l, const char *host)
{
	struct known *k;

	if (l == NULL || (k = find(l, host)) == NULL)
		return;
	heal(l, host, k);
	if (k->maybe_died_s <= 0)
		return;
	if (now_s() - k->maybe_at_s <= CONFIRM_S && !still_doubtful(k)) {
		k->doubts = 0;
		k->gap_deaths++;
		if (k->gap_died_s <= 0 || k->maybe_died_s < k->gap_died_s)
			k->gap_died_s = k->maybe_died_s;
		if (k->gap_lived_s >= k->gap_died_s)
			k->gap_lived_s = 0; /* of another time: it is not so any more */
		k->used = k->gap_died_at = (uint64_t)time(NULL);
		note(l, host,
		     "%.0f s of quiet are too long for something on the way: where keepalives "
		     "are on, one every %.1f s from now on",
		     k->gap_died_s, keepalive_of(k));
		learn_save(l);
	}
	k->maybe_died_s = 0;
}

static bool same_age(double a, double b)
{
	double apart = a > b ? a - b : b - a;

	return apart <= SAME_AGE_S || apart <= b * SAME_AGE_PART;
}

void learn_age_died(struct learn *l, const char *host, double age_s)
{
	struct known *k;

	if (l == NULL || age_s < DIED_MIN_S)
		return;
	k = touch(l, host);
	if (k->age_deaths > 0 && same_age(age_s, k->age_died_s)) {
		k->age_deaths++;
	} else {
		k->age_died_s = age_s;
		k->age_deaths = 1;
	}
	learn_save(l);
}

void learn_sessions(struct learn *l, const char *host, unsigned limit)
{
	struct known *k;

	if (l == NULL)
		return;
	k = touch(l, host);
	if (k->session_limit == limit)
		return;
	k->session_limit = limit;
	note(l, host, "the server allows %u sessions on a connection", limit);
	learn_save(l);
}

void learn_no_limit(struct learn *l, const char *host)
{
	if (l == NULL)
		return;
	touch(l, host)->session_limit = 0;
	learn_save(l);
}

void learn_rtt(struct learn *l, const char *host, double ms)
{
	struct known *k;

	if (l == NULL || ms <= 0)
		return;
	k = touch(l, host);
	k->rtt_ms = k->rtt_ms <= 0 ? ms : k->rtt_ms * 0.75 + ms * 0.25;
	learn_save(l);
}

static bool is_named(const struct known *k, const char *name)
{
	const char *at = strrchr(k->host, '@');
	size_t len = strlen(name);

	if (strcmp(k->host, name) == 0)
		return true;
	at = at != NULL ? at + 1 : k->host;
	return strncmp(at, name, len) == 0 && (at[len] == ':' || at[len] == '\0');
}

size_t learn_forget(struct learn *l, const char *name)
{
	size_t kept = 0, before = l->count;

	for (size_t i = 0; i < before; i++) {
		struct known *k = &l->known[i];

		if (name == NULL || is_named(k, name)) {
			free(k->host);
			free(k->network);
		} else {
			l->known[kept++] = *k;
		}
	}
	l->count = kept;
	memset(l->known + kept, 0, (before - kept) * sizeof(*l->known));
	if (kept != before)
		learn_save(l);
	return before - kept;
}

struct learn *learn_create(struct state *state, struct journal *journal)
{
	struct learn *l = xcalloc(1, sizeof(*l));

	l->known = xcalloc(LEARN_MAX, sizeof(*l->known));
	l->state = state;
	l->journal = journal;
	if (state != NULL)
		learn_load(l);
	return l;
}

void learn_destroy(struct learn *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < l->count; i++) {
		free(l->known[i].host);
		free(l->known[i].network);
	}
	free(l->known);
	free(l);
}
