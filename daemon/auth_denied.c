/* The last word of a login in which no method got in: what was tried, and what would help most. */
#include "daemon/auth.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Is it the name that ssh takes where none is said? */
static bool is_local_name(const char *user)
{
	char buf[1024];
	struct passwd pw, *found;

	return getpwuid_r(getuid(), &pw, buf, sizeof(buf), &found) == 0 && found != NULL &&
	       strcmp(pw.pw_name, user) == 0;
}

static void hint_refused(const struct auth *a, struct cause *why)
{
	const struct destination *d = a->l->dest;
	const char *option = a->last_refused != NULL ? "-i " : "";
	const char *file = a->last_refused != NULL ? a->last_refused : "";

	if (strcmp(a->l->hint.method, "publickey") == 0)
		cause_hint(why,
			   "a key opened this account before and is refused now: it was taken out "
			   "of authorized_keys, or sshd does not trust that file any more (owner "
			   "and modes, StrictModes)");
	else if (is_local_name(d->user))
		cause_hint(why,
			   "%s is also the user name on this machine: if the account has another, "
			   "say so (-l, User in ssh_config); else add the key to its "
			   "authorized_keys (ssh-copy-id %s%s%s%s)",
			   d->user, option, file, file[0] != '\0' ? " " : "", d->typed);
	else
		cause_hint(why,
			   "none of the keys offered is in authorized_keys of %s (ssh-copy-id "
			   "%s%s%s%s adds one), or the server does not know that user",
			   d->user, option, file, file[0] != '\0' ? " " : "", d->typed);
}

/* The one step that would have helped. */
static void set_hint(const struct auth *a, struct cause *why)
{
	const struct destination *d = a->l->dest;
	bool keys = (a->methods & SSH_AUTH_METHOD_PUBLICKEY) != 0;
	bool asks = (a->methods & (SSH_AUTH_METHOD_PASSWORD | SSH_AUTH_METHOD_INTERACTIVE)) != 0;

	if (a->partial)
		cause_hint(why, "the server took a part of the login and wants one of these, too "
				"(AuthenticationMethods in its sshd_config)");
	else if (keys && a->too_open != NULL)
		cause_hint(why, "take the key back from others: chmod 600 %s", a->too_open);
	else if (keys && a->unreadable != NULL)
		cause_hint(why,
			   "make %s readable for yourself, or name another key (-i, "
			   "IdentityFile)",
			   a->unreadable);
	else if (a->not_asked)
		cause_hint(why, "BatchMode is on: without it, from a terminal, it is asked for");
	else if (a->passwords + a->rounds > 0)
		cause_hint(why, "check the user name and password%s",
			   keys ? "; a key in the account's authorized_keys needs none" : "");
	else if (keys && !d->pubkey_auth)
		cause_hint(why, "PubkeyAuthentication is off for this host (ssh_config)");
	else if (keys && a->refused == 0)
		cause_hint(why,
			   "no key could be offered: %s, or name a key file (-i, IdentityFile)",
			   a->no_agent	    ? "start an agent and add the key (ssh-add)"
			   : a->agent_empty ? "add the key to the agent (ssh-add)"
					    : "check what the agent holds (ssh-add -l)");
	else if (keys)
		hint_refused(a, why);
	else
		cause_hint(why, asks ? "see PreferredAuthentications in ssh_config(5)"
				     : "the server takes no method that hawser or this "
				       "configuration has (PreferredAuthentications)");
}

void auth_set_denied(struct auth *a)
{
	struct login *l = a->l;
	const struct destination *d = l->dest;
	struct cause *why = &l->result.why;
	char accepts[128], more[48] = "";

	auth_list_methods(a->methods, accepts, sizeof(accepts));
	if (a->nnotes > 0)
		snprintf(more, sizeof(more), "; and %zu more", a->nnotes);
	/* "Permission denied (...)" is what scripts look for. */
	cause_set(why, CAUSE_AUTH, "%s: Permission denied (%s). User %s: %s%s", l->where, accepts,
		  d->user, a->notes != NULL ? a->notes : "no method that both sides have is left",
		  more);
	set_hint(a, why);
	/* ssh may have what we lack; after a person was asked it would only ask again. */
	if (!l->result.prompted &&
	    (a->ssh_might || (d->gssapi_auth && (a->methods & SSH_AUTH_METHOD_GSSAPI_MIC) != 0 &&
			      auth_has_ticket(l))))
		l->result.handover = true;
}
