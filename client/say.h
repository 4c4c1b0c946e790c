/* What hawser itself says: to stderr, or to the -E file, never to stdout. One per process. */
#ifndef HAWSER_CLIENT_SAY_H
#define HAWSER_CLIENT_SAY_H

#include "protocol/base.h"

#define SAY_QUIET (-1)

/* level: SAY_QUIET (-q), 0, or the number of -v. Kept until it is set again. */
void say_set_level(int level);
int say_level(void);
/* Words go to fd from now on (borrowed; stderr at first). */
void say_set_fd(int fd);
/* Words go to the system log from now on. */
void say_set_syslog(void);
/* They go elsewhere than to stderr. */
bool say_is_elsewhere(void);
/* crlf: the terminal is raw, so lines must end with CR LF. */
void say_set_crlf(bool crlf);

/* "hawser: ...\n"; nothing when quiet. */
void say(const char *fmt, ...) HW_PRINTF(1, 2);
/* The same, but only from this many -v on. */
void say_verbose(int level, const char *fmt, ...) HW_PRINTF(2, 3);
/* A line as it is, without our name before it; nothing when quiet. A missing newline is added. */
void say_line(const char *text);
/* To stderr, wherever words go: what ssh shows there, not in its log. */
void say_stderr(const char *text, size_t len);
/* Bytes unchanged, also when quiet: the sender has judged the log level. */
void say_raw(const char *text, size_t len);

#endif
