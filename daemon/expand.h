/* What ssh_config(5) calls TOKENS and ENVIRONMENT VARIABLES, and `~`: for the values that `ssh -G`
 * prints as they were written. The home directory is the password entry's, never $HOME, as in ssh.
 * Thread-safe. */
#ifndef HAWSER_DAEMON_EXPAND_H
#define HAWSER_DAEMON_EXPAND_H

#include "protocol/base.h"

struct expand_extra {
	char letter;
	const char *value;
};

/* What the tokens stand for; all borrowed, none NULL but env (then no variable is set), jump
 * and extra. */
struct expand_context {
	const char *typed;    /* %n: the host as typed */
	const char *hostname; /* %h */
	const char *port;     /* %p */
	const char *user;     /* %r */
	const char *alias;    /* %k: HostKeyAlias, else the host as typed */
	const char *jump;     /* %j: the last host of ProxyJump; NULL: none */
	char *const *env;     /* ${NAME} */
	const char *cwd;      /* what relative paths are relative to */
	/* NULL, or tokens of one keyword only, up to a letter of '\\0' */
	const struct expand_extra *extra;
};

/* The password entry of our uid, looked up once per process (that first call may block in a name
 * service: make it off the loop). Without an entry both are "". Borrowed. */
const char *expand_home(void);
const char *expand_local_user(void);

/* `~` and `~user` at the start (getpwnam(3) for the latter: may block), then %-tokens and ${NAME}
 * in one pass. On the heap. NULL with *why (on the heap) where ssh would refuse too: unknown token,
 * unset variable, unknown user. */
char *expand_value(const char *text, const struct expand_context *ctx, char **why);
/* %-tokens and ${NAME} only, without `~`. Takes text. */
char *expand_tokens(char *text, const struct expand_context *ctx, char **why);
/* The same, made absolute by ctx->cwd. */
char *expand_path(const char *text, const struct expand_context *ctx, char **why);

/* The value of NAME in env, or NULL. Borrowed. */
const char *expand_getenv(char *const *env, const char *name, size_t name_len);

#endif
