/* hawserctl: asks the running daemon one thing and prints the answer. Never starts a daemon. */
#ifndef HAWSER_CLIENT_CTL_H
#define HAWSER_CLIENT_CTL_H

#include "client/ctl_reply.h"
#include "protocol/frame.h"

#define CTL_EXIT_FAILED 1
#define CTL_EXIT_USAGE	2
#define CTL_LOG_LINES	50

struct ctl {
	const char *verb;    /* borrowed from argv */
	const char *args[4]; /* as CONTROL carries them, NULL behind the last */
	size_t nargs;
	size_t lines; /* of log */
	bool json, help, version;
};

/* Reads the command line. false: wrong usage, said on stderr. */
bool ctl_parse(struct ctl *c, int argc, char **argv);
void ctl_usage(int fd);
/* Asks and prints; returns the exit status. */
int ctl_run(const struct ctl *c);

/* For ctl_journal.c. Sends c's verb with these arguments (NULL behind the last) and waits for the
 * reply, which is to be freed also after an error. */
int ctl_ask(int sock, struct frame_reader *in, const char *verb, const char *const *args,
	    struct ctl_reply *out) HW_NODISCARD;
/* The reply is a refusal: says so. */
void ctl_print_failure(const struct ctl *c, const struct ctl_reply *r);

#endif
