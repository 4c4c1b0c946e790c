/* The blocking half of resolving: asks ssh, looks at the files it read, makes the destination. Runs
 * on threads of resolve.c; knows no loop. */
#ifndef HAWSER_DAEMON_RESOLVE_ASK_H
#define HAWSER_DAEMON_RESOLVE_ASK_H

#include "daemon/resolve.h"
#include "daemon/resolve_files.h"

/* The OpenSSH client to ask, and what it answers without any configuration. Shared by threads. */
struct resolve_ssh;

/* name: a path, or a program looked for in this process's PATH (hawser under the name of ssh is
 * passed over) at first need. Counted references: create gives one. */
struct resolve_ssh *resolve_ssh_create(const char *name);
struct resolve_ssh *resolve_ssh_ref(struct resolve_ssh *s);
void resolve_ssh_unref(struct resolve_ssh *s);
/* Finds the program and asks for the defaults ahead of need. May block. */
void resolve_ssh_prepare(struct resolve_ssh *s);

struct resolve_answer {
	struct destination *d; /* NULL: see why */
	struct cause why;
	char *words;		    /* what ssh said, or NULL */
	struct resolve_files files; /* what d depends on */
};

/* So many runs of ssh -G may be below each other: a command of Match exec may be hawser, which asks
 * for another host. Told by a variable in their environment. */
#define RESOLVE_DEPTH_MAX 4u
/* 0: no such run is above; at most RESOLVE_DEPTH_MAX + 1, which is refused. */
unsigned resolve_depth(char *const *env);

/* Blocks until ssh has answered, 30 s have passed, or cancel_fd is readable.
 * resolve_answer_finish() frees what is left in a. */
void resolve_ask(struct resolve_ssh *s, const struct resolve_query *q, int cancel_fd,
		 struct resolve_answer *a);
void resolve_answer_finish(struct resolve_answer *a);

#endif
