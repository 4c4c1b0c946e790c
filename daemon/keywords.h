/* Every keyword that `ssh -G` prints and what hawser makes of it: the one table.
 * docs/compatibility.md is made from it (tests/docs/compatibility.c), and a test compares it with
 * the installed ssh. */
#ifndef HAWSER_DAEMON_KEYWORDS_H
#define HAWSER_DAEMON_KEYWORDS_H

#include "protocol/base.h"

enum keyword_class {
	KEYWORD_KEY,	 /* part of the transport's key: makes a connection what it is */
	KEYWORD_SESSION, /* one request's own affair, or how long and how patiently */
	KEYWORD_NONE,	 /* no influence on a held transport or a request */
};

/* When a destination is handed to ssh because of this keyword. */
enum keyword_rule {
	RULE_DONE,	 /* never: hawser does what it says */
	RULE_HARMLESS,	 /* never: nothing is lost or weakened by not looking at it */
	RULE_IF_SET,	 /* when there is a value other than "none" */
	RULE_IF_ON,	 /* when the value is not no, false or none */
	RULE_IF_VALUE,	 /* when the value is the one in `value` */
	RULE_IF_PATH,	 /* when the value begins with a path: a Unix socket */
	RULE_ALGORITHMS, /* when the user chose a list of which libssh has nothing */
	RULE_METHODS,	 /* when no authentication method of ours is left */
};

struct keyword {
	const char *name; /* lower case */
	enum keyword_class cls;
	enum keyword_rule rule;
	const char *value; /* for RULE_IF_VALUE */
	const char *title; /* as ssh_config(5) spells it */
};

extern const struct keyword keywords_table[];
extern const size_t keywords_count;

/* The row of a keyword in any case, or NULL: one that is new to us. It then counts as part of the
 * key, and the destination is handed to ssh. */
const struct keyword *keywords_find(const char *name, size_t len);

#endif
