/* Questions to the person: on /dev/tty, else through SSH_ASKPASS, by ssh(1)'s rules. */
#ifndef HAWSER_CLIENT_PROMPT_H
#define HAWSER_CLIENT_PROMPT_H

#include "client/signals.h"
#include "protocol/proto.h"

/* What goes on while a person thinks. */
struct prompt_watch {
	int fd; /* the daemon's socket */
	/* It is readable: false ends the question (the daemon wants no answer any more). */
	bool (*readable)(void *ctx);
	void *ctx;
	struct signals *signals;
};

/* Could a question be put to anybody? have_tty: one of our streams is a terminal. */
bool prompt_can_ask(bool have_tty);

/* Asks m's questions and fills in out (released by proto_answer_free(), which wipes it): the
 * answers, or cancelled with a reason. Returns the signal that ended it, else 0. */
int prompt_ask(const struct proto_prompt *m, const struct prompt_watch *watch,
	       struct proto_answer *out);

/* A line typed at the terminal, for the escape ~C: true, and answer has it. *signo: what ended it
 * instead, or 0. */
bool prompt_line(const char *text, const struct prompt_watch *watch, char *answer, size_t size,
		 int *signo);

#endif
