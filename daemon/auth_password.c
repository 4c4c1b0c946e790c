#include "daemon/auth.h"

#include <stdlib.h>

#include "protocol/alloc.h"

static int step_password(struct auth *a, void *arg)
{
	return ssh_userauth_password(a->l->session, NULL, arg);
}

/* libssh takes SSH_MSG_USERAUTH_PASSWD_CHANGEREQ for an error, with the session still alive. */
static enum auth_outcome password_expired(struct auth *a)
{
	struct cause *why = &a->l->result.why;

	cause_set(why, CAUSE_AUTH,
		  "%s: the server wants a new password for %s, which libssh cannot set",
		  a->l->where, a->l->dest->user);
	cause_hint(why, "log in once with the real ssh to set it");
	a->l->result.handover = true;
	return AUTH_ENDED;
}

enum auth_outcome auth_password_run(struct auth *a)
{
	while (a->passwords < a->l->dest->password_prompts) {
		char *account, *question, *password;
		int rc = auth_may_ask(a, "the password");

		if (rc != HW_OK)
			return rc == HW_EOF ? AUTH_ENDED : AUTH_REFUSED;
		account = auth_account(a);
		question = xasprintf("%s's password: ", account);
		free(account);
		rc = login_ask_one(a->l, PROTO_PROMPT_SECRET,
				   a->passwords > 0 ? "Permission denied, please try again." : NULL,
				   question, false, &password);
		free(question);
		if (rc != HW_OK)
			return AUTH_ENDED;
		a->passwords++;
		rc = auth_call(a, step_password, password);
		free_secret_str(password);
		if (rc == SSH_AUTH_ERROR)
			return password_expired(a);
		if (rc != SSH_AUTH_DENIED)
			return auth_outcome(rc);
		if ((a->methods & SSH_AUTH_METHOD_PASSWORD) == 0)
			break; /* the server has had enough of it */
	}
	auth_note(a, "password refused %u times", a->passwords);
	return AUTH_REFUSED;
}
