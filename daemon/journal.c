#include "daemon/journal_disk.h"
#include "daemon/journal_priv.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/alloc.h"

#define JOURNAL_MAX 4096 /* entries in memory */
/* So many of them outlive the uses that were well, of which a loop in a script makes thousands. */
#define JOURNAL_KEPT 256
/* Entries of before this daemon have smaller numbers. */
#define JOURNAL_FIRST_SEQ 1000000u

struct journal {
	struct journal_entry *ring; /* strings owned */
	size_t first, count;
	uint64_t last_seq;
	journal_sink sink;
	void *sink_ctx;
};

static const char *const names[] = {
#define X(name, text) [name] = text,
	JOURNAL_KINDS(X)
#undef X
};

const char *journal_kind_name(enum journal_kind kind)
{
	return (size_t)kind < HW_ARRAY_LEN(names) ? names[kind] : "?";
}

struct journal *journal_create(void)
{
	struct journal *j = xcalloc(1, sizeof(*j));

	j->ring = xcalloc(JOURNAL_MAX, sizeof(*j->ring));
	return j;
}

static void free_entry(struct journal_entry *e)
{
	const char *all[] = {e->host, e->typed, e->program, e->text, e->hint, e->evidence};

	for (size_t i = 0; i < HW_ARRAY_LEN(all); i++)
		free((char *)(uintptr_t)all[i]);
	*e = (struct journal_entry){0};
}

void journal_destroy(struct journal *j)
{
	if (j == NULL)
		return;
	for (size_t i = 0; i < JOURNAL_MAX; i++)
		free_entry(&j->ring[i]);
	free(j->ring);
	free(j);
}

static const char *copy(const char *s)
{
	return s != NULL && s[0] != '\0' ? xstrdup(s) : NULL;
}

/* Takes the place of what is in *to; strings are copied. */
static void fill(struct journal_entry *to, const struct journal_entry *e)
{
	free_entry(to);
	*to = *e;
	to->host = copy(e->host);
	to->typed = copy(e->typed);
	to->program = copy(e->program);
	to->text = copy(e->text);
	to->hint = copy(e->hint);
	to->evidence = copy(e->evidence);
}

static struct journal_entry *at(const struct journal *j, size_t i)
{
	return &j->ring[(j->first + i) % JOURNAL_MAX];
}

static bool is_mere_use(const struct journal_entry *e)
{
	return e->kind == JOURNAL_REQUEST ||
	       (e->kind == JOURNAL_REQUEST_END && e->cls == CAUSE_NONE);
}

/* The oldest goes; where that is of interest, the first mere use behind it. */
static void make_room(struct journal *j)
{
	size_t goes = 0;

	while (goes < JOURNAL_KEPT && !is_mere_use(at(j, goes)))
		goes++;
	if (goes == JOURNAL_KEPT)
		goes = 0;
	free_entry(at(j, goes));
	for (size_t i = goes; i > 0; i--)
		*at(j, i) = *at(j, i - 1);
	*at(j, 0) = (struct journal_entry){0};
	j->first = (j->first + 1) % JOURNAL_MAX;
	j->count--;
}

void journal_add(struct journal *j, const struct journal_entry *e)
{
	struct journal_entry *to;
	struct timespec now;

	if (j == NULL)
		return;
	if (j->count == JOURNAL_MAX)
		make_room(j);
	to = at(j, j->count++);
	fill(to, e);
	to->seq = ++j->last_seq;
	if (to->time <= 0) {
		clock_gettime(CLOCK_REALTIME, &now);
		to->time = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
	}
	if (j->sink != NULL) {
		char *line = journal_line(to);

		j->sink(j->sink_ctx, line);
		free(line);
	}
}

void journal_set_sink(struct journal *j, journal_sink sink, void *ctx)
{
	if (j->count == 0)
		j->last_seq = JOURNAL_FIRST_SEQ;
	j->sink = sink;
	j->sink_ctx = ctx;
}

bool journal_put_before(struct journal *j, const struct journal_entry *e)
{
	struct journal_entry *to;
	uint64_t seq = j->count > 0 ? j->ring[j->first].seq : j->last_seq + 1;

	if (j->count == JOURNAL_MAX || seq <= 1)
		return false;
	/* What is left is for what is of interest. */
	if (j->count >= JOURNAL_MAX - JOURNAL_KEPT && is_mere_use(e))
		return true;
	j->first = (j->first + JOURNAL_MAX - 1) % JOURNAL_MAX;
	j->count++;
	to = &j->ring[j->first];
	fill(to, e);
	to->seq = seq - 1;
	return true;
}

void journal_add_cause(struct journal *j, enum journal_kind kind, const char *host,
		       const char *typed, unsigned transport, const struct cause *why)
{
	struct journal_entry e = {.kind = kind,
				  .host = host,
				  .typed = typed,
				  .transport = transport,
				  .cls = why->cls,
				  .text = why->text,
				  .hint = why->hint,
				  .evidence = why->evidence};

	journal_add(j, &e);
}

/* What the user calls so, the last time he did. */
static const char *host_of(const struct journal *j, const char *name)
{
	for (size_t i = j->count; name != NULL && i-- > 0;) {
		const struct journal_entry *e = at(j, i);

		if (e->typed != NULL && e->host != NULL && strcmp(e->typed, name) == 0)
			return e->host;
	}
	return NULL;
}

/* host: as host_of() has it. What is learnt of a host stands under that alone; a connection has the
 * name that it was first asked for by, which may be another of the user's names for it. */
static bool matches(const struct journal_entry *e, const char *name, const char *host)
{
	const char *at;
	size_t len = strlen(name);

	if (e->typed != NULL && strcmp(e->typed, name) == 0)
		return true;
	if (e->host == NULL)
		return false;
	if (host != NULL && strcmp(e->host, host) == 0)
		return true;
	at = strrchr(e->host, '@');
	at = at != NULL ? at + 1 : e->host;
	return strcmp(e->host, name) == 0 ||
	       (strncmp(at, name, len) == 0 && (at[len] == ':' || at[len] == '\0'));
}

size_t journal_each(const struct journal *j, const char *name, journal_visit visit, void *ctx)
{
	const char *host = j != NULL ? host_of(j, name) : NULL;
	size_t n = 0;

	for (size_t i = 0; j != NULL && i < j->count; i++) {
		const struct journal_entry *e = at(j, i);

		if (name != NULL && !matches(e, name, host))
			continue;
		visit(ctx, e);
		n++;
	}
	return n;
}
