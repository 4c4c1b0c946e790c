#include "daemon/trust.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/knownhosts_art.h"
#include "daemon/knownhosts_match.h"
#include "daemon/trust_priv.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

#define SSH_DEFAULT_PORT 22
/* A person who types neither yes nor no this often means no. */
#define MAX_ASKS 20
char *trust_known_name(const struct destination *d, uint16_t *port)
{
	char *name = xstrdup(d->hostkey_alias != NULL ? d->hostkey_alias : d->hostname);

	for (char *c = name; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	*port = d->hostkey_alias != NULL ? SSH_DEFAULT_PORT : d->port;
	return name;
}

/* KnownHostsCommand has a say in the order, but what it says then is not what is judged by. */
static int run_order_command(struct login *l, const char *name, uint16_t port, char **ordered,
			     const char *offered)
{
	struct knownhosts known;
	char *with_port;
	int rc;

	knownhosts_load(&known, l->dest->user_known_hosts, l->dest->global_known_hosts, name, port);
	with_port = knownhosts_host_port(name, port);
	rc = trust_command_run(l, "ORDER", with_port, NULL, &known);
	if (rc == HW_OK)
		*ordered = knownhosts_order_algorithms(&known, offered);
	free(with_port);
	knownhosts_finish(&known);
	return rc;
}

char *trust_order_algorithms(struct login *l, const char *offered)
{
	uint16_t port;
	char *name = trust_known_name(l->dest, &port), *ordered = NULL;

	knownhosts_load(&l->known, l->dest->user_known_hosts, l->dest->global_known_hosts, name,
			port);
	if (l->known.unreadable != NULL)
		login_warn(l, "%s", l->known.unreadable);
	if (l->dest->known_hosts_command == NULL)
		ordered = knownhosts_order_algorithms(&l->known, offered);
	else if (run_order_command(l, name, port, &ordered, offered) != HW_OK)
		ordered = NULL;
	free(name);
	return ordered;
}

static bool get_shown_key(struct login *l, struct shown_key *k)
{
	ssh_key key = NULL;
	uint16_t port;
	char *name;
	bool ok;

	if (ssh_get_server_publickey(l->session, &key) != SSH_OK) {
		cause_set(&l->result.why, CAUSE_KEX, "%s: the server's host key cannot be read: %s",
			  l->where, ssh_get_error(l->session));
		return false;
	}
	ok = keyblob_from_key(key, &k->blob);
	ssh_key_free(key);
	if (!ok) {
		cause_set(&l->result.why, CAUSE_KEX, "%s: the server's host key makes no sense",
			  l->where);
		return false;
	}
	keyblob_type(&k->blob, k->type, sizeof(k->type));
	k->short_type = keyblob_short_type(&k->blob);
	k->fingerprint =
		knownhosts_fingerprint(l->dest->fingerprint_hash, k->blob.data, k->blob.len);
	name = trust_known_name(l->dest, &port);
	k->name = knownhosts_host_port(name, port);
	free(name);
	return true;
}

static void finish_shown_key(struct shown_key *k)
{
	keyblob_finish(&k->blob);
	free(k->fingerprint);
	free(k->name);
}

/* --- an unknown key --- */

static bool other_types_known(const struct login *l)
{
	for (size_t i = 0; i < l->known.count; i++)
		if (l->known.entries[i].marker == KNOWNHOSTS_PLAIN)
			return true;
	return false;
}

/* false: the key could not be kept, and the next login would ask again. */
static bool remember_key(struct login *l, const struct shown_key *k, const struct trust_address *t)
{
	const char *file = l->dest->user_known_hosts[0];
	const char *also = t->on && t->state == KNOWNHOSTS_UNKNOWN ? t->name : NULL;
	char why[256];
	uint16_t port;
	char *name = trust_known_name(l->dest, &port);
	int rc = knownhosts_append(file, name, also, port, l->dest->hash_known_hosts, k->type,
				   k->blob.data, k->blob.len, why, sizeof(why));

	free(name);
	if (rc == HW_OK)
		login_info(
			l, "Warning: Permanently added '%s%s%s' (%s) to the list of known hosts.",
			k->name, also != NULL ? "," : "", also != NULL ? also : "", k->short_type);
	else
		login_info(l, "Failed to add the host to the list of known hosts (%s).", why);
	return rc == HW_OK;
}

static int refuse_unknown(struct login *l, const struct shown_key *k, const char *reason)
{
	cause_set(&l->result.why, CAUSE_HOSTKEY_UNKNOWN,
		  "%s: Host key verification failed. No %s host key is known for %s and %s (it "
		  "shows %s)",
		  l->where, k->short_type, k->name, reason, k->fingerprint);
	cause_hint(
		&l->result.why,
		"check the fingerprint with the server's administrator, then connect once from a "
		"terminal and accept it, or add the key to %s",
		l->dest->user_known_hosts != NULL && l->dest->user_known_hosts[0] != NULL
			? l->dest->user_known_hosts[0]
			: "a known_hosts file");
	return HW_EPERM;
}

/* Yes, no, or the fingerprint as ssh takes them: 1, 0; -1 for anything else. */
static int parse_verdict(char *answer, const char *fingerprint)
{
	answer += strspn(answer, " \t");
	answer[strcspn(answer, " \t\r\n")] = '\0';
	if (answer[0] == '\0' || strcasecmp(answer, "no") == 0)
		return 0;
	if (strcasecmp(answer, "yes") == 0 ||
	    (fingerprint != NULL && strcmp(answer, fingerprint) == 0))
		return 1;
	return -1;
}

int trust_confirm(struct login *l, const char *intro, const char *question, const char *again,
		  const char *fingerprint, bool *yes)
{
	int verdict = -1;

	for (unsigned i = 0; verdict < 0 && i < MAX_ASKS; i++) {
		char *answer;
		int rc = login_ask_one(l, PROTO_PROMPT_HOSTKEY, i == 0 ? intro : NULL,
				       i == 0 ? question : again, true, &answer);

		if (rc != HW_OK)
			return rc;
		verdict = parse_verdict(answer, fingerprint);
		free_secret_str(answer);
	}
	*yes = verdict == 1;
	return HW_OK;
}

static char *unknown_intro(const struct login *l, const struct shown_key *k)
{
	char *others = trust_other_names(l, k), *address, *intro, *art = NULL;

	address = l->peer[0] != '\0' ? knownhosts_host_port(l->peer, l->dest->port)
				     : xstrdup("<no hostip for proxy command>");
	if (l->dest->visual_host_key)
		art = knownhosts_art(l->dest->fingerprint_hash, &k->blob);
	intro = xasprintf("The authenticity of host '%s (%s)' can't be established%s\n"
			  "%s key fingerprint is %s.\n%s%s%s",
			  k->name, address,
			  other_types_known(l)
				  ? "\nbut keys of different type are already known for this host."
				  : ".",
			  k->short_type, k->fingerprint, art != NULL ? art : "",
			  art != NULL ? "\n" : "", others);
	free(art);
	free(others);
	free(address);
	return intro;
}

static int ask_unknown(struct login *l, const struct shown_key *k, const struct trust_address *t)
{
	char *intro;
	bool yes;
	int rc;

	if (l->dest->batch_mode)
		return refuse_unknown(l, k, "batch mode forbids to ask");
	intro = unknown_intro(l, k);
	rc = trust_confirm(l, intro,
			   "Are you sure you want to continue connecting (yes/no/[fingerprint])? ",
			   "Please type 'yes', 'no' or the fingerprint: ", k->fingerprint, &yes);
	free(intro);
	if (rc != HW_OK)
		return rc;
	if (!yes)
		return refuse_unknown(l, k, "it was not accepted");
	l->result.prompted = !remember_key(l, k, t);
	return HW_OK;
}

static int judge_unknown(struct login *l, const struct shown_key *k, const struct trust_address *t)
{
	char *const *files = l->dest->user_known_hosts;

	/* As for ssh: what cannot be written down is not even asked about. */
	if (files == NULL || files[0] == NULL)
		return refuse_unknown(l, k, "there is no UserKnownHostsFile to add it to");
	if (!knownhosts_writable_name(l->dest->hostname))
		return refuse_unknown(l, k, "that name cannot be written to a file");
	switch (l->dest->strict) {
	case STRICT_YES:
		return refuse_unknown(l, k, "you have requested strict checking");
	case STRICT_ASK:
		return ask_unknown(l, k, t);
	case STRICT_ACCEPT_NEW:
	case STRICT_NO:
		break;
	}
	(void)remember_key(l, k, t);
	return HW_OK;
}

/* --- a wrong key --- */

static char *entry_fingerprint(const struct login *l, const struct knownhosts_entry *e)
{
	if (e == NULL)
		return xstrdup("(unknown)");
	return knownhosts_fingerprint(l->dest->fingerprint_hash, e->blob, e->blob_len);
}

static const char *entry_type(const struct knownhosts_entry *e)
{
	const struct keyblob blob = {.data = e != NULL ? e->blob : NULL,
				     .len = e != NULL ? e->blob_len : 0};

	return keyblob_short_type(&blob);
}

/* StrictHostKeyChecking no: ssh goes on, but gives the server no password. */
static int go_on_warned(struct login *l)
{
	login_warn(l, "Password authentication is disabled to avoid man-in-the-middle attacks.");
	login_warn(l, "Keyboard-interactive authentication is disabled to avoid man-in-the-middle "
		      "attacks.");
	if (l->dest->forward_agent != NULL)
		login_warn(l, "Agent forwarding is disabled to avoid man-in-the-middle attacks.");
	l->trust = LOGIN_PUBKEY_ONLY;
	l->result.untrusted = true;
	return HW_OK;
}

static int judge_changed(struct login *l, const struct shown_key *k,
			 const struct knownhosts_entry *e)
{
	const char *file = e != NULL ? e->file : "known_hosts";
	unsigned line = e != NULL ? e->line : 0;
	char *old;

	old = entry_fingerprint(l, e);
	if (l->dest->strict == STRICT_NO) {
		login_warn(l, "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!");
		login_warn(l,
			   "The %s host key of %s is now %s. Offending %s key in %s:%u (%s). "
			   "Somebody could be eavesdropping on you right now (man-in-the-middle "
			   "attack)!",
			   k->short_type, k->name, k->fingerprint, entry_type(e), file, line, old);
		free(old);
		return go_on_warned(l);
	}
	cause_set(&l->result.why, CAUSE_HOSTKEY_CHANGED,
		  "%s: Host key verification failed. REMOTE HOST IDENTIFICATION HAS CHANGED! The "
		  "%s host key is now %s. Offending %s key in %s:%u (%s): either somebody sits in "
		  "between, or the server got a new key",
		  l->where, k->short_type, k->fingerprint, entry_type(e), file, line, old);
	cause_hint(&l->result.why,
		   "ask the server's administrator; if the new key is right: ssh-keygen -f '%s' -R "
		   "'%s'",
		   file, k->name);
	free(old);
	return HW_EPERM;
}

static int judge_revoked(struct login *l, const struct shown_key *k,
			 const struct knownhosts_entry *e)
{
	const char *file = e != NULL ? e->file : "known_hosts";
	unsigned line = e != NULL ? e->line : 0;

	if (l->dest->strict == STRICT_NO) {
		login_warn(l, "WARNING: REVOKED HOST KEY DETECTED!");
		login_warn(l,
			   "The %s host key for %s is marked as revoked (%s:%u). This could mean "
			   "that a stolen key is being used to impersonate this host.",
			   k->short_type, k->name, file, line);
		return go_on_warned(l);
	}
	cause_set(&l->result.why, CAUSE_HOSTKEY_REVOKED,
		  "%s: Host key verification failed. The %s host key %s is marked as revoked in "
		  "%s:%u: a stolen key may be used "
		  "to impersonate this host",
		  l->where, k->short_type, k->fingerprint, file, line);
	cause_hint(&l->result.why,
		   "do not connect; ask the server's administrator for its new key");
	return HW_EPERM;
}

static int judge_ca_only(struct login *l, const struct shown_key *k)
{
	cause_set(&l->result.why, CAUSE_HOSTKEY_UNKNOWN,
		  "%s: %s is trusted by a host certificate authority only, which libssh %s cannot "
		  "verify",
		  l->where, k->name, ssh_version(0));
	cause_hint(&l->result.why, "use the real ssh for this host, or add its own key to %s",
		   l->dest->user_known_hosts != NULL && l->dest->user_known_hosts[0] != NULL
			   ? l->dest->user_known_hosts[0]
			   : "a known_hosts file");
	l->result.handover = true;
	return HW_EPERM;
}

static void show_picture(struct login *l, const struct shown_key *k)
{
	char *art;

	if (!l->dest->visual_host_key)
		return;
	art = knownhosts_art(l->dest->fingerprint_hash, &k->blob);
	login_info(l, "Host key fingerprint is %s\n%s", k->fingerprint, art);
	free(art);
}

/* The lines for the name, from files and KnownHostsCommand, and those for the address. */
static int judge(struct login *l, const struct shown_key *k, struct trust_address *t)
{
	const struct knownhosts_entry *e = NULL;
	enum knownhosts_state state;
	int rc = trust_command_run(l, "HOSTNAME", k->name, k, &l->known);

	if (rc == HW_OK)
		rc = trust_address_load(l, k, t);
	if (rc != HW_OK)
		return rc;
	state = knownhosts_check(&l->known, k->type, k->blob.data, k->blob.len, &e);
	log_debug("login %s: host key %s %s: state %d", l->where, k->type, k->fingerprint, state);
	switch (state) {
	case KNOWNHOSTS_OK:
		if (!trust_address_learn(l, k, t, e))
			show_picture(l, k);
		return trust_address_check(l, k, t, e);
	case KNOWNHOSTS_UNKNOWN:
		rc = judge_unknown(l, k, t);
		return rc == HW_OK ? trust_address_check(l, k, t, NULL) : rc;
	case KNOWNHOSTS_CHANGED:
		return judge_changed(l, k, e);
	case KNOWNHOSTS_REVOKED:
		return judge_revoked(l, k, e);
	case KNOWNHOSTS_CA_ONLY:
		break;
	}
	return judge_ca_only(l, k);
}

int trust_run(struct login *l)
{
	struct trust_address t = {.on = false};
	struct shown_key k = {.name = NULL};
	int rc;

	login_phase(l, "host key");
	l->trust = LOGIN_TRUSTED;
	if (!get_shown_key(l, &k))
		return HW_EPERM;
	rc = trust_revoked_check(l, &k);
	if (rc == HW_OK && !(l->dest->no_host_auth_localhost && l->dest->hostkey_alias == NULL &&
			     trust_address_is_local(l->peer)))
		rc = judge(l, &k, &t);
	trust_address_finish(&t);
	finish_shown_key(&k);
	return rc;
}
