#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/journal.h"
#include "daemon/learn_priv.h"
#include "daemon/state.h"
#include "daemon/state_line.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

#define FILE_NAME "learnt"
/* The first line; a file of another version is set aside. */
#define VERSION_LINE "hawser learnt 1\n"

enum {
	F_HOST,
	F_NETWORK,
	F_GAP_LIVED,
	F_GAP_DIED,
	F_GAP_DEATHS,
	F_GAP_DIED_AT,
	F_AGE_DIED,
	F_AGE_DEATHS,
	F_SESSIONS,
	F_RTT,
	F_USED,
	F_COUNT,
};

static char *known_line(const struct known *k)
{
	char numbers[F_COUNT][32];
	const char *fields[F_COUNT];

	snprintf(numbers[F_GAP_LIVED], 32, "%.1f", k->gap_lived_s);
	snprintf(numbers[F_GAP_DIED], 32, "%.1f", k->gap_died_s);
	snprintf(numbers[F_GAP_DEATHS], 32, "%u", k->gap_deaths);
	snprintf(numbers[F_GAP_DIED_AT], 32, "%llu", (unsigned long long)k->gap_died_at);
	snprintf(numbers[F_AGE_DIED], 32, "%.1f", k->age_died_s);
	snprintf(numbers[F_AGE_DEATHS], 32, "%u", k->age_deaths);
	snprintf(numbers[F_SESSIONS], 32, "%u", k->session_limit);
	snprintf(numbers[F_RTT], 32, "%.2f", k->rtt_ms);
	snprintf(numbers[F_USED], 32, "%llu", (unsigned long long)k->used);
	for (size_t i = F_GAP_LIVED; i < F_COUNT; i++)
		fields[i] = numbers[i];
	fields[F_HOST] = k->host;
	fields[F_NETWORK] = k->network;
	return state_line_make(fields, F_COUNT);
}

char *learn_make_text(const struct learn *l)
{
	size_t len = strlen(VERSION_LINE);
	char *text = xstrdup(VERSION_LINE);

	for (size_t i = 0; i < l->count; i++) {
		char *line = known_line(&l->known[i]);
		size_t more = strlen(line);

		text = xreallocarray(text, len + more + 1, 1);
		memcpy(text + len, line, more + 1);
		len += more;
		free(line);
	}
	return text;
}

void learn_save(struct learn *l)
{
	char *text;

	if (l->state == NULL || !l->loaded)
		return;
	text = learn_make_text(l);
	state_replace(l->state, FILE_NAME, text);
	free(text);
}

/* A number of a file: at most a sensible one, whatever stands there. */
static double number(const char *text, double most)
{
	double value = strtod(text, NULL);

	return value >= 0 && value <= most ? value : 0;
}

static bool take_line(struct learn *l, char *line, size_t len)
{
	char *f[F_COUNT];
	struct known *k;

	if (!state_line_parse(line, len, f, F_COUNT) || f[F_HOST][0] == '\0')
		return false;
	if (l->count == LEARN_MAX)
		return true;
	for (size_t i = 0; i < l->count; i++) {
		if (strcmp(l->known[i].host, f[F_HOST]) == 0 &&
		    strcmp(l->known[i].network, f[F_NETWORK]) == 0)
			return true; /* this daemon has learnt better since it began */
	}
	k = learn_entry(l, f[F_HOST], f[F_NETWORK]);
	k->gap_lived_s = number(f[F_GAP_LIVED], 1e7);
	k->gap_died_s = number(f[F_GAP_DIED], 1e7);
	k->gap_deaths = (unsigned)number(f[F_GAP_DEATHS], 1e6);
	k->gap_died_at = (uint64_t)number(f[F_GAP_DIED_AT], 1e12);
	k->age_died_s = number(f[F_AGE_DIED], 1e9);
	k->age_deaths = (unsigned)number(f[F_AGE_DEATHS], 1e6);
	k->session_limit = (unsigned)number(f[F_SESSIONS], 1e6);
	k->rtt_ms = number(f[F_RTT], 1e6);
	k->used = (uint64_t)number(f[F_USED], 1e12);
	return true;
}

bool learn_take_text(struct learn *l, const char *text, size_t len)
{
	size_t at = strlen(VERSION_LINE);
	bool fine = true;

	if (len < at || memcmp(text, VERSION_LINE, at) != 0)
		return false;
	while (at < len) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t line_len = end != NULL ? (size_t)(end - text) - at : len - at;
		char *line = xmalloc(line_len + 1);

		memcpy(line, text + at, line_len);
		line[line_len] = '\0';
		if (end == NULL || !take_line(l, line, line_len))
			fine = false;
		free(line);
		at += line_len + 1;
	}
	return fine;
}

static void on_loaded(void *ctx, const char *text, size_t len)
{
	struct learn *l = ctx;

	l->loaded = true;
	if (text == NULL || learn_take_text(l, text, len))
		return;
	log_warn("what was learnt of hosts is damaged on the disk: it is set aside as " FILE_NAME
		 ".bad, %zu hosts could be read",
		 l->count);
	journal_add(l->journal, &(struct journal_entry){
					.kind = JOURNAL_STATE,
					.text = "what was learnt of hosts is damaged on the disk: "
						"set aside as " FILE_NAME ".bad"});
	state_set_aside(l->state, FILE_NAME);
	learn_save(l);
}

void learn_load(struct learn *l)
{
	state_load(l->state, FILE_NAME, on_loaded, l);
}
