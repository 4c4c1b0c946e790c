#include "daemon/trust.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/keyblob.h"
#include "daemon/knownhosts.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

#define SSH_DEFAULT_PORT 22
/* A person who types neither yes nor no this often means no. */
#define MAX_ASKS 20
/* As ssh does: more names of the same key are only counted. */
#define MAX_OTHER_NAMES	     8
#define KNOWN_HOSTS_LINE_MAX 16384

/* The key that the server showed, and its names. */
struct shown_key {
	struct keyblob blob;
	char type[64];		/* "ssh-ed25519" */
	const char *short_type; /* "ED25519" */
	char *fingerprint;	/* "SHA256:..." */
	char *name;		/* as known_hosts has it: "h" or "[h]:2222" */
};

/* The name under which the host is known, lower case; its port goes to *port. On the heap. */
static char *known_name(const struct destination *d, uint16_t *port)
{
	char *name = xstrdup(d->hostkey_alias != NULL ? d->hostkey_alias : d->hostname);

	for (char *c = name; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	*port = d->hostkey_alias != NULL ? SSH_DEFAULT_PORT : d->port;
	return name;
}

static char *with_port(const char *name, uint16_t port)
{
	return port == SSH_DEFAULT_PORT ? xstrdup(name) : xasprintf("[%s]:%u", name, port);
}

char *trust_order_algorithms(struct login *l, const char *offered)
{
	uint16_t port;
	char *name = known_name(l->dest, &port);

	knownhosts_load(&l->known, l->dest->user_known_hosts, l->dest->global_known_hosts, name,
			port);
	free(name);
	if (l->known.unreadable != NULL)
		login_warn(l, "%s", l->known.unreadable);
	return knownhosts_order_algorithms(&l->known, offered);
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
	name = known_name(l->dest, &port);
	k->name = with_port(name, port);
	free(name);
	return true;
}

static void finish_shown_key(struct shown_key *k)
{
	keyblob_finish(&k->blob);
	free(k->fingerprint);
	free(k->name);
}

/* --- other names of the same key --- */

struct other_names {
	char *text; /* "    file:line: name\n" ... */
	size_t shown, omitted;
};

static void match_other_name(struct other_names *o, const char *file, unsigned number, char *line,
			     const char *base64)
{
	char *save = NULL, *names = strtok_r(line, " \t\r\n", &save), *key;

	if (names == NULL || names[0] == '#' || names[0] == '@')
		return;
	(void)strtok_r(NULL, " \t\r\n", &save); /* the type: the key's bytes repeat it */
	key = strtok_r(NULL, " \t\r\n", &save);
	if (key == NULL || strcmp(key, base64) != 0)
		return;
	if (o->shown == MAX_OTHER_NAMES) {
		o->omitted++;
	} else {
		char *all = xasprintf("%s    %s:%u: %s\n", o->text != NULL ? o->text : "", file,
				      number, names[0] == '|' ? "[hashed name]" : names);

		free(o->text);
		o->text = all;
		o->shown++;
	}
}

static void scan_other_names(struct other_names *o, char *const *files, const char *base64)
{
	for (size_t i = 0; files != NULL && files[i] != NULL; i++) {
		FILE *f = fopen(files[i], "re");
		char *line = NULL;
		size_t size = 0;
		unsigned number = 0;

		if (f == NULL)
			continue;
		while (getline(&line, &size, f) != -1) {
			number++;
			if (strlen(line) < KNOWN_HOSTS_LINE_MAX)
				match_other_name(o, files[i], number, line, base64);
		}
		free(line);
		fclose(f);
	}
}

static char *other_names_sentence(const struct login *l, const struct shown_key *k)
{
	struct other_names o = {.text = NULL};
	char *base64 = keyblob_base64(&k->blob), *text;

	scan_other_names(&o, l->dest->user_known_hosts, base64);
	scan_other_names(&o, l->dest->global_known_hosts, base64);
	free(base64);
	if (o.text == NULL)
		return xstrdup("This key is not known by any other names.\n");
	if (o.omitted > 0)
		text = xasprintf("This host key is known by the following other names/addresses:\n"
				 "%s    (%zu additional names omitted)\n",
				 o.text, o.omitted);
	else
		text = xasprintf("This host key is known by the following other names/addresses:\n"
				 "%s",
				 o.text);
	free(o.text);
	return text;
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
static bool remember_key(struct login *l, const struct shown_key *k)
{
	char *const *files = l->dest->user_known_hosts;
	char why[256];
	uint16_t port;
	char *name;
	int rc;

	if (files == NULL || files[0] == NULL)
		return false; /* UserKnownHostsFile none */
	name = known_name(l->dest, &port);
	rc = knownhosts_append(files[0], name, port, l->dest->hash_known_hosts, k->type,
			       k->blob.data, k->blob.len, why, sizeof(why));
	free(name);
	if (rc == HW_OK)
		login_warn(l, "Warning: Permanently added '%s' (%s) to the list of known hosts.",
			   k->name, k->short_type);
	else
		login_warn(l, "Failed to add the host to the list of known hosts (%s).", why);
	return rc == HW_OK;
}

static int refuse_unknown(struct login *l, const struct shown_key *k, const char *reason)
{
	cause_set(&l->result.why, CAUSE_HOSTKEY_UNKNOWN,
		  "%s: Host key verification failed: %s host key %s is not known for %s, and %s",
		  l->where, k->short_type, k->fingerprint, k->name, reason);
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
	if (strcasecmp(answer, "yes") == 0 || strcmp(answer, fingerprint) == 0)
		return 1;
	return -1;
}

static char *unknown_intro(const struct login *l, const struct shown_key *k)
{
	char *others = other_names_sentence(l, k), *address, *intro;

	address = l->peer[0] != '\0' ? with_port(l->peer, l->dest->port)
				     : xstrdup("<no hostip for proxy command>");
	intro = xasprintf("The authenticity of host '%s (%s)' can't be established%s\n"
			  "%s key fingerprint is %s.\n%s",
			  k->name, address,
			  other_types_known(l)
				  ? "\nbut keys of different type are already known for this host."
				  : ".",
			  k->short_type, k->fingerprint, others);
	free(others);
	free(address);
	return intro;
}

static int ask_unknown(struct login *l, const struct shown_key *k)
{
	const char *question =
		"Are you sure you want to continue connecting (yes/no/[fingerprint])? ";
	char *intro, *answer;
	int rc, verdict = -1;

	if (l->dest->batch_mode)
		return refuse_unknown(l, k, "batch mode forbids to ask");
	intro = unknown_intro(l, k);
	for (unsigned i = 0; verdict < 0 && i < MAX_ASKS; i++) {
		rc = login_ask_one(l, PROTO_PROMPT_HOSTKEY, i == 0 ? intro : NULL, question, true,
				   &answer);
		if (rc != HW_OK) {
			free(intro);
			return rc;
		}
		verdict = parse_verdict(answer, k->fingerprint);
		free_secret_str(answer);
		question = "Please type 'yes', 'no' or the fingerprint: ";
	}
	free(intro);
	if (verdict != 1)
		return refuse_unknown(l, k, "it was not accepted");
	l->result.prompted = !remember_key(l, k);
	return HW_OK;
}

static int judge_unknown(struct login *l, const struct shown_key *k)
{
	switch (l->dest->strict) {
	case STRICT_YES:
		return refuse_unknown(l, k, "StrictHostKeyChecking is yes");
	case STRICT_ASK:
		return ask_unknown(l, k);
	case STRICT_ACCEPT_NEW:
	case STRICT_NO:
		break;
	}
	(void)remember_key(l, k);
	return HW_OK;
}

/* --- a wrong key --- */

static char *entry_fingerprint(const struct login *l, const struct knownhosts_entry *e)
{
	if (e == NULL)
		return xstrdup("(unknown)");
	return knownhosts_fingerprint(l->dest->fingerprint_hash, e->blob, e->blob_len);
}

/* StrictHostKeyChecking no: ssh goes on, but gives the server no password. */
static int go_on_warned(struct login *l)
{
	login_warn(l, "Password authentication is disabled to avoid man-in-the-middle attacks.");
	login_warn(l, "Keyboard-interactive authentication is disabled to avoid man-in-the-middle "
		      "attacks.");
	l->trust = LOGIN_PUBKEY_ONLY;
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
			   "The %s host key of %s is now %s; known is %s (%s:%u). Somebody could "
			   "be eavesdropping on you right now (man-in-the-middle attack)!",
			   k->short_type, k->name, k->fingerprint, old, file, line);
		free(old);
		return go_on_warned(l);
	}
	cause_set(&l->result.why, CAUSE_HOSTKEY_CHANGED,
		  "%s: Host key verification failed: REMOTE HOST IDENTIFICATION HAS CHANGED: the "
		  "%s host key is now %s, but %s:%u "
		  "has %s; either somebody sits in between, or the server got a new key",
		  l->where, k->short_type, k->fingerprint, file, line, old);
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
		  "%s: Host key verification failed: the %s host key %s is marked as revoked in "
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

static bool is_loopback(const char *address)
{
	struct in_addr v4;

	if (inet_pton(AF_INET, address, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == 127;
	return strcmp(address, "::1") == 0;
}

/* CheckHostIP: the address may be known with another key although the name is right (DNS or
 * routing was tampered with, or addresses moved). */
static int check_address(struct login *l, const struct shown_key *k)
{
	const struct knownhosts_entry *e = NULL;
	struct knownhosts known;
	int rc = HW_OK;

	if (!l->dest->check_host_ip || l->dest->hostkey_alias != NULL || l->peer[0] == '\0' ||
	    strcmp(l->peer, l->dest->hostname) == 0)
		return HW_OK;
	knownhosts_load(&known, l->dest->user_known_hosts, l->dest->global_known_hosts, l->peer,
			l->dest->port);
	if (knownhosts_check(&known, k->type, k->blob.data, k->blob.len, &e) ==
	    KNOWNHOSTS_CHANGED) {
		login_warn(l,
			   "Warning: the %s host key for '%s' differs from the key for the IP "
			   "address '%s' (%s:%u)",
			   k->short_type, k->name, l->peer, e != NULL ? e->file : "known_hosts",
			   e != NULL ? e->line : 0);
		if (l->dest->strict == STRICT_YES || l->dest->strict == STRICT_ASK) {
			cause_set(&l->result.why, CAUSE_HOSTKEY_CHANGED,
				  "%s: the %s host key of %s differs from the one known for its "
				  "address %s (CheckHostIP)",
				  l->where, k->short_type, k->name, l->peer);
			cause_hint(&l->result.why, "if the address was reused: ssh-keygen -R '%s'",
				   l->peer);
			rc = HW_EPERM;
		}
	}
	knownhosts_finish(&known);
	return rc;
}

int trust_run(struct login *l)
{
	const struct knownhosts_entry *e = NULL;
	struct shown_key k = {.name = NULL};
	enum knownhosts_state state;
	int rc = HW_EPERM;

	login_phase(l, "host key");
	l->trust = LOGIN_TRUSTED;
	if (!get_shown_key(l, &k))
		return HW_EPERM;
	state = knownhosts_check(&l->known, k.type, k.blob.data, k.blob.len, &e);
	log_debug("login %s: host key %s %s: state %d", l->where, k.type, k.fingerprint, state);
	if (l->dest->no_host_auth_localhost && l->dest->hostkey_alias == NULL &&
	    is_loopback(l->peer)) {
		rc = HW_OK;
	} else if (state == KNOWNHOSTS_OK) {
		rc = check_address(l, &k);
	} else if (state == KNOWNHOSTS_UNKNOWN) {
		rc = judge_unknown(l, &k);
	} else if (state == KNOWNHOSTS_CHANGED) {
		rc = judge_changed(l, &k, e);
	} else if (state == KNOWNHOSTS_REVOKED) {
		rc = judge_revoked(l, &k, e);
	} else if (state == KNOWNHOSTS_CA_ONLY) {
		rc = judge_ca_only(l, &k);
	}
	finish_shown_key(&k);
	return rc;
}
