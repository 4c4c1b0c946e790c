#include "daemon/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/alloc.h"
#include "protocol/log.h"

/* Partial successes: no server asks for more methods than there are, some of them twice. */
#define MAX_ROUNDS 16
/* Notes beyond these bytes are counted only: the whole must fit a cause. */
#define NOTES_MAX 420

static const struct method {
	const char *name;
	unsigned bit;
	enum auth_outcome (*run)(struct auth *a); /* NULL: libssh is not asked to do it */
} methods[] = {
	{"publickey", SSH_AUTH_METHOD_PUBLICKEY, auth_pubkey_run},
	{"keyboard-interactive", SSH_AUTH_METHOD_INTERACTIVE, auth_kbdint_run},
	{"password", SSH_AUTH_METHOD_PASSWORD, auth_password_run},
	/* Named for the texts only. */
	{"gssapi-with-mic", SSH_AUTH_METHOD_GSSAPI_MIC, NULL},
	{"hostbased", SSH_AUTH_METHOD_HOSTBASED, NULL},
};

int auth_call(struct auth *a, auth_step step, void *arg)
{
	for (;;) {
		int rc = step(a, arg);

		if (login_dead(a->l)) {
			/* A cancel or deadline explains a connection that we broke ourselves. */
			if (login_check(a->l) == HW_OK)
				login_session_died(a->l);
			return AUTH_CALL_ENDED;
		}
		if (rc == SSH_AUTH_ERROR && login_check(a->l) != HW_OK)
			return AUTH_CALL_ENDED;
		if (rc != SSH_AUTH_AGAIN) {
			a->methods = (unsigned)ssh_userauth_list(a->l->session, NULL);
			return rc;
		}
		if (login_wait(a->l) != HW_OK)
			return AUTH_CALL_ENDED;
	}
}

enum auth_outcome auth_outcome(int rc)
{
	switch (rc) {
	case SSH_AUTH_SUCCESS:
		return AUTH_DONE;
	case SSH_AUTH_PARTIAL:
		return AUTH_PARTIAL;
	case AUTH_CALL_ENDED:
		return AUTH_ENDED;
	default:
		return AUTH_REFUSED;
	}
}

void auth_note(struct auth *a, const char *fmt, ...)
{
	char *note, *all;
	va_list ap;

	va_start(ap, fmt);
	note = xvasprintf(fmt, ap);
	va_end(ap);
	log_debug("login %s: %s", a->l->where, note);
	a->nnotes++;
	if (a->notes == NULL || strlen(a->notes) + strlen(note) < NOTES_MAX) {
		all = xasprintf("%s%s%s", a->notes != NULL ? a->notes : "",
				a->notes != NULL ? "; " : "", note);
		free(a->notes);
		a->notes = all;
		a->nnotes--;
	}
	free(note);
}

char *auth_account(const struct auth *a)
{
	const struct destination *d = a->l->dest;

	return xasprintf("%s@%s", d->user,
			 d->hostkey_alias != NULL ? d->hostkey_alias : d->hostname);
}

/* Is there a ticket that the real ssh could use? Here it cannot be: a GSSAPI library takes the
 * process's KRB5CCNAME, and the daemon's is nobody's. */
bool auth_has_ticket(const struct login *l)
{
	const char *name = l->origin != NULL ? origin_getenv(l->origin, "KRB5CCNAME") : NULL;
	char usual[64];

	snprintf(usual, sizeof(usual), "/tmp/krb5cc_%u", (unsigned)getuid());
	if (name == NULL || name[0] == '\0')
		name = usual;
	if (strncmp(name, "FILE:", 5) == 0)
		name += 5;
	else if (strncmp(name, "DIR:", 4) == 0)
		name += 4 + (name[4] == ':');
	else if (name[0] != '/' && strchr(name, ':') != NULL)
		return true; /* KCM:, KEYRING: and the like: not ours to look into */
	return access(name, R_OK) == 0;
}

int auth_may_ask(struct auth *a, const char *what)
{
	struct login *l = a->l;

	if (l->dest->batch_mode) {
		a->not_asked = true;
		auth_note(a, "%s was not asked for: batch mode", what);
		return HW_EPERM;
	}
	if (l->dest->gssapi_auth && (a->methods & SSH_AUTH_METHOD_GSSAPI_MIC) != 0 &&
	    !l->result.prompted && auth_has_ticket(l)) {
		cause_set(&l->result.why, CAUSE_AUTH,
			  "%s: the server takes Kerberos tickets (GSSAPI), which hawser does not "
			  "speak",
			  l->where);
		cause_hint(&l->result.why, "use the real ssh for this host, or a key; "
					   "GSSAPIAuthentication no leaves tickets out");
		l->result.handover = true;
		return HW_EOF;
	}
	return HW_OK;
}

static bool enabled(const struct auth *a, const struct method *m)
{
	const struct destination *d = a->l->dest;
	bool trusted = a->l->trust == LOGIN_TRUSTED;

	switch (m->bit) {
	case SSH_AUTH_METHOD_PUBLICKEY:
		return d->pubkey_auth;
	case SSH_AUTH_METHOD_PASSWORD:
		return d->password_auth && trusted;
	case SSH_AUTH_METHOD_INTERACTIVE:
		return d->kbdint_auth && trusted;
	default:
		return false;
	}
}

/* The first method in the user's order that is offered, enabled, and not yet at its end. */
static const struct method *next_method(const struct auth *a, unsigned exhausted)
{
	for (char **name = a->l->dest->preferred_auths; name != NULL && *name != NULL; name++) {
		for (size_t i = 0; i < HW_ARRAY_LEN(methods); i++) {
			const struct method *m = &methods[i];

			if (strcmp(m->name, *name) == 0 && m->run != NULL &&
			    (a->methods & m->bit) != 0 && (exhausted & m->bit) == 0 &&
			    enabled(a, m))
				return m;
		}
	}
	return NULL;
}

void auth_list_methods(unsigned bits, char *out, size_t size)
{
	out[0] = '\0';
	for (size_t i = 0; i < HW_ARRAY_LEN(methods); i++) {
		size_t len = strlen(out);

		if ((bits & methods[i].bit) != 0)
			snprintf(out + len, size - len, "%s%s", len > 0 ? "," : "",
				 methods[i].name);
	}
	if (out[0] == '\0')
		snprintf(out, size, "nothing that is known here");
}

static int step_none(struct auth *a, void *arg)
{
	(void)arg;
	return ssh_userauth_none(a->l->session, NULL);
}

/* Asks by `none` what the server takes, unless the hint lets us guess. */
static enum auth_outcome begin(struct auth *a)
{
	enum auth_outcome out;

	if (a->l->dest->pubkey_auth && strcmp(a->l->hint.method, "publickey") == 0) {
		a->methods = SSH_AUTH_METHOD_PUBLICKEY;
		a->first_try_blind = true;
		out = auth_pubkey_run(a);
		a->first_try_blind = false;
		if (out != AUTH_REFUSED)
			return out;
		if (a->methods != 0)
			return AUTH_PARTIAL; /* the refusal told the list */
	}
	out = auth_outcome(auth_call(a, step_none, NULL));
	return out == AUTH_REFUSED ? AUTH_PARTIAL : out;
}

static enum auth_outcome run_methods(struct auth *a)
{
	enum auth_outcome out = begin(a);
	unsigned exhausted = 0;

	for (unsigned round = 0; out == AUTH_PARTIAL && round < MAX_ROUNDS;) {
		const struct method *m = next_method(a, exhausted);

		if (m == NULL)
			break;
		log_debug("login %s: trying %s", a->l->where, m->name);
		out = m->run(a);
		if (out == AUTH_REFUSED) {
			exhausted |= m->bit;
			out = AUTH_PARTIAL;
		} else if (out == AUTH_PARTIAL) {
			exhausted = 0;
			a->partial = true;
			round++;
		}
	}
	return out;
}

int auth_run(struct login *l)
{
	struct auth a = {.l = l};
	enum auth_outcome out;

	login_phase(l, "authentication");
	out = run_methods(&a);
	if (out != AUTH_DONE && out != AUTH_ENDED)
		auth_set_denied(&a);
	auth_pubkey_finish(&a);
	free(a.notes);
	return out == AUTH_DONE ? HW_OK : HW_EPERM;
}
