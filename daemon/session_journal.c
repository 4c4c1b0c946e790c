/* Who used which connection, when, and how it ended: a line of the journal for each. */
#include "daemon/session_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/journal.h"
#include "protocol/alloc.h"

#define COMM_MAX 16 /* TASK_COMM_LEN */

/* At most size - 1 bytes of a file of /proc, which does not block. */
static bool read_proc(long pid, const char *name, char *out, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, out, size - 1);
	close(fd);
	out[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* The name of the process that has started pid, "" where it cannot be known: the client itself is
 * always hawser. */
static void parents_name(long pid, char *out, size_t size)
{
	char stat[256], *after;
	long parent;

	out[0] = '\0';
	if (pid <= 0 || !read_proc(pid, "stat", stat, sizeof(stat)))
		return;
	/* The name in it may hold anything, also ") R 1". */
	after = strrchr(stat, ')');
	if (after == NULL || sscanf(after, ") %*c %ld", &parent) != 1 || parent <= 0)
		return;
	if (read_proc(parent, "comm", out, size))
		out[strcspn(out, "\n")] = '\0';
}

void session_journal_begin(struct session *s, const struct transport *t)
{
	char program[COMM_MAX + 1];
	const char *what = s->request.words.operation != NULL || s->goal != GOAL_SESSION
				   ? "forwards"
			   : s->wanted.kind == CHANNEL_SHELL ? "a shell"
			   : s->wanted.kind == CHANNEL_EXEC  ? "a command"
							     : "a subsystem";

	if (t == NULL || s->used_transport == transport_id(t))
		return;
	s->used_transport = transport_id(t);
	s->used_since = uv_hrtime();
	parents_name(s->request.peer_pid, program, sizeof(program));
	journal_add(s->app->journal, &(struct journal_entry){.kind = JOURNAL_REQUEST,
							     .host = s->dest->label,
							     .typed = s->dest->typed,
							     .transport = s->used_transport,
							     .pid = s->request.peer_pid,
							     .program = program,
							     .text = what});
}

void session_journal_end(struct session *s, const char *how)
{
	const struct proto_exit *r = &s->result;
	char text[512];
	double ran_s;

	if (s->used_transport == 0)
		return;
	ran_s = (double)(uv_hrtime() - s->used_since) / 1e9;
	if (how == NULL && r->error != NULL)
		snprintf(text, sizeof(text), "after %.1f s: %.400s", ran_s, r->error);
	else if (how == NULL && r->signal != NULL)
		snprintf(text, sizeof(text), "after %.1f s: killed by %.40s", ran_s, r->signal);
	else if (how == NULL)
		snprintf(text, sizeof(text), "after %.1f s: status %u", ran_s, r->status);
	else
		snprintf(text, sizeof(text), "after %.1f s: %s", ran_s, how);
	journal_add(s->app->journal,
		    &(struct journal_entry){.kind = JOURNAL_REQUEST_END,
					    .host = s->dest->label,
					    .typed = s->dest->typed,
					    .transport = s->used_transport,
					    .pid = s->request.peer_pid,
					    .cls = how == NULL ? s->ended_by : CAUSE_NONE,
					    .text = text,
					    .hint = how == NULL ? r->hint : NULL,
					    .evidence = how == NULL ? r->evidence : NULL});
	s->used_transport = 0;
}

void session_journal_refused(struct session *s, const char *text)
{
	char program[COMM_MAX + 1];
	size_t line = strcspn(text, "\r\n");
	char *words = xasprintf("not begun: %.*s", (int)(line < 400 ? line : 400), text);

	parents_name(s->request.peer_pid, program, sizeof(program));
	journal_add(s->app->journal,
		    &(struct journal_entry){.kind = JOURNAL_REQUEST_END,
					    .host = s->dest != NULL ? s->dest->label : NULL,
					    .typed = s->request.words.host,
					    .pid = s->request.peer_pid,
					    .program = program,
					    .text = words});
	free(words);
}
