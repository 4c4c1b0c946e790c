/* The third part of a login: the user, by the methods that PreferredAuthentications and the server
 * agree on. auth.c holds the loop over methods; each method has a file. */
#ifndef HAWSER_DAEMON_AUTH_H
#define HAWSER_DAEMON_AUTH_H

#include "daemon/login_priv.h"

/* HW_OK: the session is authenticated and l->result.hint says how. Else l->result.why is set. */
int auth_run(struct login *l) HW_NODISCARD;

/* --- between auth.c and the methods --- */

enum auth_outcome {
	AUTH_DONE,
	AUTH_PARTIAL, /* accepted, and the server wants more */
	AUTH_REFUSED, /* this method has nothing more to offer */
	AUTH_ENDED,   /* the login is over: why is set */
};

struct auth_keys;

struct auth {
	struct login *l;
	unsigned methods; /* SSH_AUTH_METHOD_* that the server takes now */
	char *notes;	  /* what was tried and why it failed, "; " between; for the last word */
	size_t nnotes;
	bool ssh_might;		    /* a key was left out only because libssh cannot use it */
	bool first_try_blind;	    /* the hint's key goes first, without `none` */
	struct auth_keys *keys;	    /* auth_pubkey.c's, NULL until used */
	unsigned passwords, rounds; /* prompts made by password and keyboard-interactive */

	/* For the next step that the user is told when all fails (auth_denied.c). Paths are the
	 * destination's. */
	unsigned refused;	  /* keys and certificates that the server did not take */
	const char *last_refused; /* the last one's file; NULL: the agent's */
	const char *too_open;	  /* a key file that others can read */
	const char *unreadable;	  /* one that we cannot */
	bool no_agent, agent_empty;
	bool partial;	/* the server took a method, and wants another, too */
	bool not_asked; /* a password or passphrase, because of BatchMode */
};

/* One libssh call, repeated until it is not AGAIN. Returns SSH_AUTH_*, or AUTH_CALL_ENDED (the
 * session died, deadline, cancel: why is set). */
#define AUTH_CALL_ENDED (-1000)
typedef int (*auth_step)(struct auth *a, void *arg);
int auth_call(struct auth *a, auth_step step, void *arg);

/* Adds to what the user reads when all fails. */
void auth_note(struct auth *a, const char *fmt, ...) HW_PRINTF(2, 3);
/* May a person be asked for `what`? HW_OK; HW_EPERM: no, and the notes say why; HW_EOF: the login
 * is over, since ssh would get in without asking (why is set). */
int auth_may_ask(struct auth *a, const char *what) HW_NODISCARD;
/* What the result of a method's last request means; SSH_AUTH_ERROR is the method's own to judge
 * (taken for refused). */
enum auth_outcome auth_outcome(int rc);
/* "user@host", as ssh names it in its prompts; on the heap. */
char *auth_account(const struct auth *a);

/* "publickey,password" */
void auth_list_methods(unsigned bits, char *out, size_t size);
/* auth_denied.c: sets why when no method is left. */
void auth_set_denied(struct auth *a);
/* Is there a ticket that the real ssh could use? */
bool auth_has_ticket(const struct login *l);

enum auth_outcome auth_pubkey_run(struct auth *a);
void auth_pubkey_finish(struct auth *a);
enum auth_outcome auth_password_run(struct auth *a);
enum auth_outcome auth_kbdint_run(struct auth *a);

#endif
