/* hawserctl log and why: what the journal knows. */
#include "daemon/control_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/app.h"
#include "daemon/diagnose.h"
#include "daemon/journal.h"

#define PAGE_ENTRIES 200	  /* entries in one reply, */
#define PAGE_BYTES   (256 * 1024) /* and bytes of their strings: far below a message's size */
#define TIMELINE_MAX 40
/* How far back the timeline goes where no connection was made. */
#define BEFORE_S 60.0

static void add_entry(struct reply *reply, const struct journal_entry *e)
{
	reply_item(reply);
	reply_uint(reply, "seq", e->seq);
	reply_double(reply, "time", e->time);
	reply_str(reply, "kind", journal_kind_name(e->kind));
	reply_str(reply, "host", e->host);
	reply_str(reply, "destination", e->typed);
	reply_uint(reply, "transport", e->transport);
	reply_uint(reply, "pid", e->pid > 0 ? (uint64_t)e->pid : 0);
	reply_str(reply, "program", e->program);
	reply_str(reply, "class", e->cls != CAUSE_NONE ? cause_name(e->cls) : NULL);
	reply_str(reply, "text", e->text);
	reply_str(reply, "hint", e->hint);
	reply_str(reply, "evidence", e->evidence);
}

static size_t length_of(const char *s)
{
	return s != NULL ? strlen(s) : 0;
}

static size_t entry_bytes(const struct journal_entry *e)
{
	return length_of(e->host) + length_of(e->typed) + length_of(e->program) +
	       length_of(e->text) + length_of(e->hint) + length_of(e->evidence);
}

/* --- log --- */

struct page {
	struct reply *reply;
	uint64_t after;		  /* only entries with a larger number */
	size_t skip, left, bytes; /* entries to pass over, then to show; bytes that are taken */
	bool full;
};

static void count_entry(void *ctx, const struct journal_entry *e)
{
	struct page *p = ctx;

	p->skip += e->seq > p->after;
}

static void page_entry(void *ctx, const struct journal_entry *e)
{
	struct page *p = ctx;

	if (e->seq <= p->after || p->left == 0 || p->full)
		return;
	if (p->skip > 0) {
		p->skip--;
		return;
	}
	/* One entry always fits: its strings were bounded when it was made. */
	p->full = p->bytes > 0 && p->bytes + entry_bytes(e) > PAGE_BYTES;
	if (p->full)
		return;
	p->bytes += entry_bytes(e);
	p->left--;
	add_entry(p->reply, e);
}

static bool number(const char *text, uint64_t *out)
{
	char *end;

	if (text == NULL)
		return true;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0';
}

static const char *name_of(const struct control_args *args)
{
	return args->first != NULL && args->first[0] != '\0' ? args->first : NULL;
}

void control_log(struct app *app, const struct control_args *args, struct reply *reply)
{
	struct page p = {.reply = reply};
	uint64_t most = PAGE_ENTRIES;

	if (!number(args->second, &most) || !number(args->third, &p.after)) {
		control_fail(reply, "log: behind the host belong two numbers: how many, after "
				    "which");
		return;
	}
	journal_each(app->journal, name_of(args), count_entry, &p);
	/* The newest that many; of those behind a number, the first. */
	p.skip = p.after == 0 && p.skip > most ? p.skip - (size_t)most : 0;
	p.left = most < PAGE_ENTRIES ? (size_t)most : PAGE_ENTRIES;
	journal_each(app->journal, name_of(args), page_entry, &p);
}

/* --- why --- */

struct why {
	struct reply *reply;
	/* The end in question; its strings are borrowed from the journal, which does not change
	 * meanwhile. */
	struct journal_entry end;
	bool found, anew; /* anew: its number is another connection's by now */
	uint64_t opened;  /* its connection's first entry; 0 none */
	uint64_t back;	  /* the first entry that says that there is a connection again; 0 none */
	uint64_t first;	  /* entry of the timeline, and the newest of them */
	uint64_t newest[TIMELINE_MAX];
	size_t count;
};

static bool is_end(const struct journal_entry *e)
{
	return e->kind == JOURNAL_ENDED || e->kind == JOURNAL_FAILED ||
	       e->kind == JOURNAL_REQUEST_END;
}

static bool same(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_transport(const struct journal_entry *a, const struct journal_entry *b)
{
	return a->transport != 0 && a->transport == b->transport && same(a->host, b->host);
}

/* What nobody would ask about hides no trouble from before. */
static int weight(const struct journal_entry *e)
{
	if (e->cls == CAUSE_NONE)
		return 0;
	return e->cls == CAUSE_IDLE ? 1 : 2;
}

/* The last end that is of interest, else the last one. A request that went with its connection is
 * told by the connection's end, which knows more. */
static void find_end(void *ctx, const struct journal_entry *e)
{
	struct why *w = ctx;

	/* Each hawserd counts from one. */
	if (e->kind == JOURNAL_OPENED && w->found && same_transport(&w->end, e))
		w->anew = true;
	if (!is_end(e))
		return;
	if (w->found && weight(&w->end) > weight(e))
		return;
	if (w->found && w->end.kind == JOURNAL_ENDED && e->kind == JOURNAL_REQUEST_END &&
	    same_transport(&w->end, e) && !w->anew)
		return;
	w->end = *e;
	w->found = true;
	w->anew = false;
}

static void find_around(void *ctx, const struct journal_entry *e)
{
	struct why *w = ctx;

	if (e->kind != JOURNAL_OPENED || !same(e->host, w->end.host))
		return;
	if (e->seq < w->end.seq && same_transport(e, &w->end))
		w->opened = e->seq;
	else if (e->seq > w->end.seq && w->back == 0)
		w->back = e->seq;
}

static bool in_timeline(const struct why *w, const struct journal_entry *e)
{
	const struct journal_entry *end = &w->end;

	if (w->opened != 0 ? e->seq < w->opened : e->time < end->time - BEFORE_S)
		return false;
	/* This machine's own. */
	if (e->host == NULL)
		return e->seq < end->seq && (e->kind == JOURNAL_NETWORK ||
					     e->kind == JOURNAL_LOCK || e->kind == JOURNAL_DAEMON);
	if (!same(e->host, end->host) || (w->back != 0 && e->seq > w->back))
		return false;
	if (e->seq == end->seq || same_transport(e, end))
		return true;
	/* What was tried before and after it; not what others did on another connection. */
	return e->kind == JOURNAL_RETRY || e->kind == JOURNAL_FAILED || e->kind == JOURNAL_LEARNT ||
	       e->seq == w->back;
}

static void mark_timeline(void *ctx, const struct journal_entry *e)
{
	struct why *w = ctx;

	if (!in_timeline(w, e))
		return;
	if (w->count == 0)
		w->first = e->seq;
	w->newest[w->count++ % TIMELINE_MAX] = e->seq;
}

/* The first that is shown without regard to what it is. */
static uint64_t shown_from(const struct why *w)
{
	return w->count > TIMELINE_MAX ? w->newest[w->count % TIMELINE_MAX] : w->first;
}

static size_t left_out(const struct why *w)
{
	uint64_t from = shown_from(w);

	if (w->count <= TIMELINE_MAX)
		return 0;
	return w->count - TIMELINE_MAX - (w->first < from) -
	       (w->end.seq < from && w->end.seq != w->first);
}

static void add_timeline(void *ctx, const struct journal_entry *e)
{
	struct why *w = ctx;

	if (!in_timeline(w, e) ||
	    (e->seq < shown_from(w) && e->seq != w->first && e->seq != w->end.seq))
		return;
	add_entry(w->reply, e);
	reply_str(w->reply, "role", "timeline");
}

void control_why(struct app *app, const struct control_args *args, struct reply *reply)
{
	struct why w = {.reply = reply};
	const char *name = name_of(args);

	journal_each(app->journal, name, find_end, &w);
	if (!w.found) {
		if (name != NULL)
			control_fail(reply, "of no end of a connection or request to %s is known",
				     name);
		else
			control_fail(reply, "of no end of a connection or request is known");
		return;
	}
	journal_each(app->journal, NULL, find_around, &w);
	add_entry(reply, &w.end);
	reply_str(reply, "role", "end");
	reply_str(reply, "setting", diagnose_setting(w.end.cls));
	journal_each(app->journal, NULL, mark_timeline, &w);
	reply_uint(reply, "left_out", left_out(&w));
	journal_each(app->journal, NULL, add_timeline, &w);
}
