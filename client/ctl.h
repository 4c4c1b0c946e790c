/* hawserctl: asks the running daemon one thing and prints the answer. Never starts a daemon. */
#ifndef HAWSER_CLIENT_CTL_H
#define HAWSER_CLIENT_CTL_H

#include "protocol/base.h"

#define CTL_EXIT_FAILED 1
#define CTL_EXIT_USAGE	2

struct ctl {
	const char *verb;    /* borrowed from argv */
	const char *args[3]; /* as CONTROL carries them */
	size_t nargs;
	bool json, help, version;
};

/* Reads the command line. false: wrong usage, said on stderr. */
bool ctl_parse(struct ctl *c, int argc, char **argv);
void ctl_usage(int fd);
/* Asks and prints; returns the exit status. */
int ctl_run(const struct ctl *c);

#endif
