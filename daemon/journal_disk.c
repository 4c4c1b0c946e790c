#include "daemon/journal_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/journal_priv.h"
#include "daemon/state_line.h"
#include "protocol/alloc.h"

enum {
	F_TIME,
	F_KIND,
	F_HOST,
	F_TYPED,
	F_TRANSPORT,
	F_PID,
	F_PROGRAM,
	F_CLASS,
	F_TEXT,
	F_HINT,
	F_EVIDENCE,
	F_COUNT,
};

char *journal_line(const struct journal_entry *e)
{
	char time[32], transport[16], pid[24];
	const char *fields[F_COUNT];

	snprintf(time, sizeof(time), "%.3f", e->time);
	snprintf(transport, sizeof(transport), "%u", e->transport);
	snprintf(pid, sizeof(pid), "%ld", e->pid);
	fields[F_TIME] = time;
	fields[F_KIND] = journal_kind_name(e->kind);
	fields[F_HOST] = e->host;
	fields[F_TYPED] = e->typed;
	fields[F_TRANSPORT] = transport;
	fields[F_PID] = pid;
	fields[F_PROGRAM] = e->program;
	fields[F_CLASS] = cause_name(e->cls);
	fields[F_TEXT] = e->text;
	fields[F_HINT] = e->hint;
	fields[F_EVIDENCE] = e->evidence;
	return state_line_make(fields, F_COUNT);
}

/* A newer hawserd's kinds and classes are not known here: such a line is left out. */
static bool find_kind(const char *name, enum journal_kind *out)
{
	for (unsigned k = 0; k <= JOURNAL_STATE; k++) {
		if (strcmp(journal_kind_name((enum journal_kind)k), name) == 0) {
			*out = (enum journal_kind)k;
			return true;
		}
	}
	return false;
}

static enum cause_class find_class(const char *name)
{
	for (unsigned c = CAUSE_NONE; c <= CAUSE_INTERNAL; c++) {
		if (strcmp(cause_name((enum cause_class)c), name) == 0)
			return (enum cause_class)c;
	}
	return CAUSE_NONE;
}

/* false: damaged. *known: it says something to us. e points into the line. */
static bool parse(char *line, size_t len, struct journal_entry *e, bool *known)
{
	char *f[F_COUNT];

	if (!state_line_parse(line, len, f, F_COUNT))
		return false;
	*e = (struct journal_entry){
		.time = strtod(f[F_TIME], NULL),
		.host = f[F_HOST],
		.typed = f[F_TYPED],
		.transport = (unsigned)strtoul(f[F_TRANSPORT], NULL, 10),
		.pid = strtol(f[F_PID], NULL, 10),
		.program = f[F_PROGRAM],
		.cls = find_class(f[F_CLASS]),
		.text = f[F_TEXT],
		.hint = f[F_HINT],
		.evidence = f[F_EVIDENCE],
	};
	*known = find_kind(f[F_KIND], &e->kind) && e->time > 0;
	return true;
}

bool journal_line_good(const char *line, size_t len)
{
	char *copy = xmemdup(line, len + 1);
	struct journal_entry e;
	bool known, good = parse(copy, len, &e, &known);

	free(copy);
	return good;
}

size_t journal_take_lines(struct journal *j, const char *text, size_t len)
{
	size_t end = len, bad = 0;

	/* From the last on, each before those that are there. */
	while (end > 0 && text[end - 1] != '\n')
		end--;
	while (end > 0) {
		size_t from = end - 1;
		struct journal_entry e;
		bool known = false;
		char *line;

		while (from > 0 && text[from - 1] != '\n')
			from--;
		line = xmemdup(text + from, end - from);
		if (!parse(line, end - from - 1, &e, &known))
			bad++;
		else if (known && !journal_put_before(j, &e))
			from = 0;
		free(line);
		end = from;
	}
	return bad;
}
