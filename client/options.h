/* ssh's command line, scanned as ssh scans it: which words are options, which is the host, which
 * the command. What the options mean is asked of `ssh -G` by the daemon; only what the client
 * itself must do is understood here. */
#ifndef HAWSER_CLIENT_OPTIONS_H
#define HAWSER_CLIENT_OPTIONS_H

#include "protocol/base.h"

struct options {
	char **args; /* options in order, as typed, but without -E, -O and -y, with the host's user
			name where options follow it, and with "no session" for -O;
			NULL-terminated; strings borrowed from argv (or in owned) */
	size_t nargs;
	char *host;    /* as typed, borrowed from argv */
	char *command; /* joined with single spaces; NULL = none (an empty one is none, as in ssh)
			*/
	size_t command_len;
	char *stdio;	   /* -W, borrowed from argv; NULL = none */
	char *log_file;	   /* -E, borrowed from argv; NULL = stderr */
	char *operation;   /* -O, borrowed from argv; NULL = none */
	char *control;	   /* ControlPath as typed (-S, -o), never "none"; NULL = none */
	bool syslog;	   /* -y */
	bool stdin_null;   /* -n, or -f which implies it */
	bool background;   /* -f */
	bool control_own;  /* -S was used: no other master, and no held transport, is meant */
	bool master;	   /* -M */
	bool sticky;	   /* --sticky */
	int status_fd;	   /* --status-fd: where the JSON object goes at the end; -1 = nowhere */
	bool no_session;   /* -N, or SessionType none */
	int level;	   /* -1 with -q or LogLevel QUIET, else the number of -v */
	bool usage;	   /* makes no sense: ssh shall say so in its own words */
	bool loglevel_set; /* private: -q, -v or -o LogLevel was seen */
	bool control_set;  /* private: likewise for ControlPath */
	char handover[40]; /* what hawser cannot do, as a phrase ("option -L"); empty = nothing */
	char *owned[8];	   /* private: words without what is ours, a user name */
	size_t nowned;
};

/* Scans argv (borrowed until options_free()). Never fails: see usage and handover. Words that ssh
 * has not (--sticky, --status-fd) are taken out of argv: it may become ssh's. */
void options_scan(struct options *o, int argc, char **argv);
void options_free(struct options *o);

/* A path of the command line can be used as it is: no tokens, variables or tilde in it, which ssh
 * would expand. */
bool options_path_is_plain(const char *path);
/* The name to tell the user: host as typed without user, scheme and port of a URI. out is cut. */
void options_host_name(const struct options *o, char *out, size_t size);

#endif
