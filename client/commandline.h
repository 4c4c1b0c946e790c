/* The command line of the escape ~C: ssh's own words for a few things to do while a session runs.
 * Parsing is pure. */
#ifndef HAWSER_CLIENT_COMMANDLINE_H
#define HAWSER_CLIENT_COMMANDLINE_H

#include "protocol/base.h"

enum commandline_kind {
	COMMANDLINE_NOTHING, /* an empty line */
	COMMANDLINE_HELP,
	COMMANDLINE_INVALID,
	COMMANDLINE_RUN,     /* value: for the user's shell */
	COMMANDLINE_FORWARD, /* value: the specification */
	COMMANDLINE_CANCEL,  /* likewise */
};

struct commandline {
	enum commandline_kind kind;
	char option[3];	     /* "-L", "-R" or "-D" */
	const char *value;   /* borrowed from the line */
	const char *trouble; /* for COMMANDLINE_INVALID: ssh's words */
};

/* may_run: PermitLocalCommand. */
void commandline_parse(const char *line, bool may_run, struct commandline *out);
/* The text for COMMANDLINE_HELP, lines ended by \n. */
const char *commandline_help(void);
/* One more line of it when may_run. */
const char *commandline_help_run(void);

#endif
