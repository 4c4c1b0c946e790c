/* Settings of the daemon: defaults, then hawser.conf (INI; what ssh_config cannot say), then
 * command-line flags. Every number is range-checked; a bad line is named with file and line. The
 * struct owns no memory: it is copied by value. */
#ifndef HAWSER_DAEMON_CONFIG_H
#define HAWSER_DAEMON_CONFIG_H

#include "protocol/base.h"
#include "protocol/log.h"

/* [host PATTERN ...] sections of hawser.conf, and bytes of their patterns in all. */
#define CONFIG_SECTIONS_MAX 64
#define CONFIG_PATTERNS_MAX 4096
#define CONFIG_UNSET	    UINT32_MAX

/* One of them; config_host.h says what counts for a host. */
struct config_section {
	uint32_t patterns_at, patterns_len; /* in config.patterns, with commas in between */
	unsigned sticky, keep, reconnect_s, max_age_s; /* CONFIG_UNSET: not said here */
};

struct config {
	char socket_path[108];
	char file[4096];	  /* hawser.conf: read at the start and at SIGHUP */
	bool log_forced;	  /* --log-level was given: the file's "log" does not count */
	char ssh_path[256];	  /* ssh = PATH: the OpenSSH client to ask with -G */
	enum log_level log_level; /* log = info */
	unsigned hold_s;   /* hold = 600: idle transports are held this long; 0 = not at all */
	unsigned linger_s; /* linger = 60: the daemon leaves after holding nothing so long */
	unsigned drain_ms; /* drain = 5: seconds that a stop waits for live sessions */
	unsigned max_transports; /* transports = 4: per destination */
	unsigned max_clients;	 /* clients = 512: connections at once */
	unsigned max_queue;	 /* queue = 1024: requests that wait, per destination */
	unsigned warm; /* warm = 1: session channels kept open ahead of need, per transport */
	unsigned keepalive_s;	  /* keepalive = 15: where ServerAliveInterval is not set */
	unsigned keepalive_count; /* keepalive-count = 3 */
	unsigned login_threads;	  /* logins = 32: at once */
	unsigned reconnect_s;	  /* reconnect = 30: so long requests wait for a lost connection */
	unsigned max_age_s;	  /* max-age = 0: connections are replaced after it; 0 = never */
	bool modes_by_stty;	  /* terminal-modes = off | stty */
	unsigned sticky;	  /* sticky = no: 1: shells survive their connection */
	unsigned keep; /* keep = no: 1: lost connections are opened again by themselves */
	unsigned nsections;
	struct config_section sections[CONFIG_SECTIONS_MAX]; /* in the file's order */
	char patterns[CONFIG_PATTERNS_MAX];
};

/* socket_path and file stay empty. */
void config_defaults(struct config *c);
/* Applies the file's lines over what c holds (its sections in the place of c's); c is unchanged
 * unless HW_OK, and c->file not at all. Reads a regular file of this user's or root's that nobody
 * else may write, since it names a program to run. HW_ENOENT: no such file (not an error of the
 * user's). HW_EINVAL: why says file, line and what. HW_EPERM, HW_ESYS: the file may not be used or
 * not be read; why says it. */
int config_load(struct config *c, const char *path, char *why, size_t why_size) HW_NODISCARD;

#endif
