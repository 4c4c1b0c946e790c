/* One line of a known_hosts file against one name (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"). Pure.
 */
#ifndef HAWSER_DAEMON_KNOWNHOSTS_MATCH_H
#define HAWSER_DAEMON_KNOWNHOSTS_MATCH_H

#include "daemon/knownhosts.h"

/* What a line says; the pointers lead into the line. */
struct knownhosts_line {
	int marker; /* KNOWNHOSTS_PLAIN, ... */
	const char *names;
	size_t names_len;
	const char *key_type;
	size_t key_type_len;
	const char *key; /* base64 */
	size_t key_len;
};

/* Takes a line (no newline, NUL-terminated) apart. false: empty, a comment, or no sense in it. */
bool knownhosts_line_parse(const char *text, struct knownhosts_line *line);

/* Does the list of patterns, or the one hashed name, stand for `name` (lower case)? */
bool knownhosts_names_match(const struct knownhosts_line *line, const char *name);

/* The key, decoded and checked to name its own type; NULL: not a key. On the heap. */
uint8_t *knownhosts_line_key(const struct knownhosts_line *line, size_t *len);

/* "|1|salt|hash" of name with a new salt; NULL when there is no randomness to be had. */
char *knownhosts_hash_name(const char *name);

/* name, or [name]:port where port is neither 0 nor 22. On the heap. */
char *knownhosts_host_port(const char *name, uint16_t port);

#endif
