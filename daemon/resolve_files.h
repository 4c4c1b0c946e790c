/* The files that an answer of `ssh -G` depends on, and what in them makes an answer depend on more
 * than files. All but resolve_files_unchanged() may block: for threads that may wait. */
#ifndef HAWSER_DAEMON_RESOLVE_FILES_H
#define HAWSER_DAEMON_RESOLVE_FILES_H

#include <sys/stat.h>
#include <time.h>
#include "protocol/base.h"

#define RESOLVE_FILES_MAX 256u /* more: the answer is short-lived instead */

/* A file or directory as it was; `exists` false: its absence is what is watched. */
struct resolve_file {
	char *path;
	bool exists;
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

struct resolve_files {
	struct resolve_file *files;
	size_t count;
	bool overflow;	    /* there are more than could be kept */
	bool remote;	    /* one is on a file system where a look may hang */
	bool unsettled;	    /* one changed so lately that a further change might not show */
	bool executed;	    /* ssh ran a command (Match exec) to find the answer */
	bool relative;	    /* a path was relative to the working directory */
	bool variables;	    /* the environment may matter */
	bool log_level;	    /* LogLevel is mentioned */
	bool changing;	    /* Match localnetwork, -i of a file not there yet, or an Include that
			       cannot be followed here */
	bool match_command; /* Match command: what it says cannot be known without the command */
};

/* Finds the files in what `ssh -vvv -G` logged (relative to cwd), looks into them for Include and
 * the rest, and notes their state. since: when ssh was started (CLOCK_REALTIME). ssh_file: the
 * program asked, watched too. */
void resolve_files_collect(struct resolve_files *f, const char *log, const char *cwd,
			   const char *ssh_file, const struct timespec *since);
void resolve_files_finish(struct resolve_files *f);
/* Adds what another answer depends on, which is left empty. */
void resolve_files_merge(struct resolve_files *f, struct resolve_files *other);

/* A stat(2) per file. Never call for files that are `remote`. */
bool resolve_files_unchanged(const struct resolve_files *f);

#endif
