#include "daemon/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/agent.h"
#include "daemon/identity.h"
#include "daemon/knownhosts.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

struct id_file {
	const char *path; /* the destination's */
	ssh_key pub;	  /* NULL: not known without the passphrase */
	struct keyblob blob;
	bool tried;
};

struct auth_keys {
	struct id_file *files;
	size_t nfiles;
	struct agent *agent; /* NULL: none, or not asked yet */
	bool agent_asked;
	bool *agent_tried; /* by agent_key_at() */
};

static char *sha256_of(const struct keyblob *b)
{
	return knownhosts_fingerprint("SHA256", b->data, b->len);
}

/* What made it, for the next login. */
static void remember(struct auth *a, const struct keyblob *blob)
{
	struct login_hint *hint = &a->l->result.hint;
	char *fingerprint;

	if (blob->data == NULL)
		return;
	fingerprint = sha256_of(blob);
	snprintf(hint->method, sizeof(hint->method), "publickey");
	snprintf(hint->fingerprint, sizeof(hint->fingerprint), "%s", fingerprint);
	free(fingerprint);
}

static struct auth_keys *get_keys(struct auth *a)
{
	char *const *paths = a->l->dest->identity_files;
	struct auth_keys *k = a->keys;

	if (k != NULL)
		return k;
	a->keys = k = xcalloc(1, sizeof(*k));
	k->nfiles = strv_len(paths);
	k->files = xcalloc(k->nfiles > 0 ? k->nfiles : 1, sizeof(*k->files));
	for (size_t i = 0; i < k->nfiles; i++) {
		struct id_file *f = &k->files[i];

		f->path = paths[i];
		f->pub = identity_load_public(f->path);
		if (f->pub != NULL)
			(void)keyblob_from_key(f->pub, &f->blob);
	}
	return k;
}

void auth_pubkey_finish(struct auth *a)
{
	struct auth_keys *k = a->keys;

	if (k == NULL)
		return;
	for (size_t i = 0; i < k->nfiles; i++) {
		ssh_key_free(k->files[i].pub);
		keyblob_finish(&k->files[i].blob);
	}
	free(k->files);
	free(k->agent_tried);
	agent_close(k->agent);
	free(k);
	a->keys = NULL;
}

/* --- the agent's keys --- */

static void open_agent(struct auth *a, struct auth_keys *k)
{
	const char *path = a->l->dest->agent_socket;
	char why[128];

	if (k->agent_asked)
		return;
	k->agent_asked = true;
	if (path == NULL) {
		auth_note(a, "no agent (SSH_AUTH_SOCK is not set)");
		return;
	}
	k->agent = agent_open(path, a->l->cancel_fd, why, sizeof(why));
	if (k->agent == NULL)
		auth_note(a, "the agent at %s %s", path, why);
	else
		k->agent_tried = xcalloc(agent_key_count(k->agent) + 1, sizeof(bool));
}

static bool matches_file(const struct auth_keys *k, const struct keyblob *blob)
{
	for (size_t i = 0; i < k->nfiles; i++)
		if (keyblob_same_key(&k->files[i].blob, blob))
			return true;
	return false;
}

/* Which of the agent's keys to offer, in OpenSSH's order: those that identity files name, then,
 * unless IdentitiesOnly, the rest. Returns how many stand in order (the caller frees it). */
static size_t order_agent_keys(struct auth *a, struct auth_keys *k, size_t **order)
{
	size_t count = agent_key_count(k->agent), n = 0, nothers = 0;
	size_t *others = xcalloc(count + 1, sizeof(*others));

	*order = xcalloc(count + 1, sizeof(**order));
	for (size_t i = 0; i < count; i++) {
		const struct agent_key *key = agent_key_at(k->agent, i);

		if (k->agent_tried[i])
			continue;
		if (!keyblob_known(&key->blob)) {
			/* libssh would stop at it and forget those behind it. */
			auth_note(a, "agent key %s is of a kind that libssh does not know",
				  key->comment);
			k->agent_tried[i] = true;
			a->ssh_might = true;
			continue;
		}
		if (matches_file(k, &key->blob))
			(*order)[n++] = i;
		else if (!a->l->dest->identities_only)
			others[nothers++] = i;
	}
	memcpy(*order + n, others, nothers * sizeof(*others));
	free(others);
	return n + nothers;
}

static int step_agent(struct auth *a, void *arg)
{
	(void)arg;
	return ssh_userauth_agent(a->l->session, NULL);
}

/* Not again: neither from the agent nor from the file that holds the same key. */
static void mark_tried(struct auth_keys *k, size_t i)
{
	k->agent_tried[i] = true;
	for (size_t j = 0; j < k->nfiles; j++)
		if (keyblob_equal(&k->files[j].blob, &agent_key_at(k->agent, i)->blob))
			k->files[j].tried = true;
}

static void note_agent_key(struct auth *a, struct auth_keys *k, size_t i, const char *what)
{
	const struct agent_key *key = agent_key_at(k->agent, i);
	char *fingerprint = sha256_of(&key->blob);

	auth_note(a, "agent key %s %s (%s) %s", keyblob_short_type(&key->blob), fingerprint,
		  key->comment, what);
	free(fingerprint);
	mark_tried(k, i);
}

/* Offers order[0..n): one run of libssh's own agent method over our relay. *used: how many of them
 * are done with. */
static int offer_agent_keys(struct auth *a, struct auth_keys *k, const size_t *order, size_t n,
			    size_t *used)
{
	struct agent_relay_result seen;
	int rc, fd = agent_relay_start(k->agent, order, n, a->l->deadline_ms);
	size_t last = n;

	*used = n;
	if (fd == -1) {
		auth_note(a, "no thread or descriptor left to ask the agent");
		return SSH_AUTH_DENIED;
	}
	ssh_set_agent_socket(a->l->session, fd);
	rc = auth_call(a, step_agent, NULL);
	ssh_set_agent_socket(a->l->session, SSH_INVALID_SOCKET);
	seen = agent_relay_stop(k->agent);
	if (rc == AUTH_CALL_ENDED)
		return rc;
	if (seen.asked_to_sign && rc != SSH_AUTH_DENIED)
		for (last = 0; last < n && order[last] != seen.key;)
			last++;
	for (size_t i = 0; i < n && i < last; i++)
		note_agent_key(a, k, order[i], "refused");
	if (last == n)
		return rc == SSH_AUTH_ERROR ? SSH_AUTH_DENIED : rc;
	*used = last + 1;
	if (rc == SSH_AUTH_ERROR) {
		note_agent_key(a, k, order[last], "accepted, but the agent did not sign");
		login_warn(a->l,
			   "sign_and_send_pubkey: signing failed for %s \"%s\" from agent: agent "
			   "refused operation",
			   keyblob_short_type(&agent_key_at(k->agent, order[last])->blob),
			   agent_key_at(k->agent, order[last])->comment);
		return SSH_AUTH_DENIED;
	}
	mark_tried(k, order[last]);
	remember(a, &agent_key_at(k->agent, order[last])->blob);
	return rc;
}

static enum auth_outcome try_agent_order(struct auth *a, struct auth_keys *k, const size_t *order,
					 size_t n)
{
	size_t used;
	int rc = SSH_AUTH_DENIED;

	for (size_t i = 0; rc == SSH_AUTH_DENIED && i < n; i += used)
		rc = offer_agent_keys(a, k, order + i, n - i, &used);
	return auth_outcome(rc);
}

static enum auth_outcome try_agent(struct auth *a, struct auth_keys *k)
{
	enum auth_outcome out = AUTH_REFUSED;
	size_t *order, n;

	open_agent(a, k);
	if (k->agent == NULL)
		return login_check(a->l) == HW_OK ? AUTH_REFUSED : AUTH_ENDED;
	n = order_agent_keys(a, k, &order);
	if (n > 0)
		out = try_agent_order(a, k, order, n);
	else if (agent_key_count(k->agent) == 0)
		auth_note(a, "the agent holds no keys");
	free(order);
	return out;
}

/* --- identity files --- */

static int step_publickey(struct auth *a, void *arg)
{
	return ssh_userauth_publickey(a->l->session, NULL, arg);
}

static int step_probe(struct auth *a, void *arg)
{
	return ssh_userauth_try_publickey(a->l->session, NULL, arg);
}

/* With the certificate at path, if it is one for this key. */
static int try_cert(struct auth *a, ssh_key key, const char *path)
{
	ssh_key cert = identity_load_cert(path, key), with;
	int rc = SSH_AUTH_DENIED;

	if (cert == NULL)
		return SSH_AUTH_DENIED;
	with = ssh_key_dup(key);
	if (with != NULL && ssh_pki_copy_cert_to_privkey(cert, with) == SSH_OK)
		rc = auth_call(a, step_publickey, with);
	if (rc == SSH_AUTH_DENIED)
		auth_note(a, "certificate %s refused", path);
	ssh_key_free(with);
	ssh_key_free(cert);
	return rc;
}

static int try_certs(struct auth *a, const struct id_file *f, ssh_key key)
{
	char *const *paths = a->l->dest->certificate_files;
	char *own = xasprintf("%s-cert.pub", f->path);
	int rc = try_cert(a, key, own);

	free(own);
	for (size_t i = 0; rc == SSH_AUTH_DENIED && paths != NULL && paths[i] != NULL; i++)
		rc = try_cert(a, key, paths[i]);
	return rc;
}

/* A private key at hand: signed with at once, since a probe would cost a round trip. */
static enum auth_outcome try_key(struct auth *a, struct id_file *f, ssh_key key)
{
	char *fingerprint;
	ssh_key pub = NULL;
	int rc;

	if (f->blob.data == NULL && ssh_pki_export_privkey_to_pubkey(key, &pub) == SSH_OK)
		(void)keyblob_from_key(pub, &f->blob);
	ssh_key_free(pub);
	rc = try_certs(a, f, key);
	if (rc == SSH_AUTH_DENIED)
		rc = auth_call(a, step_publickey, key);
	f->tried = true;
	if (rc == SSH_AUTH_SUCCESS || rc == SSH_AUTH_PARTIAL) {
		remember(a, &f->blob);
	} else if (rc != AUTH_CALL_ENDED) {
		fingerprint = f->blob.data != NULL ? sha256_of(&f->blob) : xstrdup("?");
		auth_note(a, "key %s (%s) %s", f->path, fingerprint,
			  rc == SSH_AUTH_ERROR ? "cannot be signed with" : "refused");
		free(fingerprint);
	}
	return auth_outcome(rc);
}

static void warn_too_open(struct auth *a, const struct id_file *f, const char *why)
{
	login_warn(a->l, "WARNING: UNPROTECTED PRIVATE KEY FILE!");
	login_warn(a->l,
		   "%s: %s. It is required that your private key files are NOT accessible by "
		   "others. This private key will be ignored.",
		   f->path, why);
	auth_note(a, "key %s was ignored: %s (chmod 600 it)", f->path, why);
}

/* Would the server take this key, of which only the public half is at hand? */
static int probe(struct auth *a, const struct id_file *f)
{
	int rc = auth_call(a, step_probe, f->pub);

	if (rc == SSH_AUTH_DENIED || rc == SSH_AUTH_ERROR) {
		char *fingerprint = sha256_of(&f->blob);

		auth_note(a, "key %s (%s) refused", f->path, fingerprint);
		free(fingerprint);
	}
	return rc;
}

static enum auth_outcome try_passphrases(struct auth *a, struct id_file *f)
{
	char *question = xasprintf("Enter passphrase for key '%s': ", f->path);
	enum identity_state state = IDENTITY_ENCRYPTED;
	enum auth_outcome out = AUTH_REFUSED;
	ssh_key key = NULL;
	char *passphrase, why[128];
	bool given = true;

	for (unsigned i = 0; given && state == IDENTITY_ENCRYPTED && out == AUTH_REFUSED &&
			     i < a->l->dest->password_prompts;
	     i++) {
		if (login_ask_one(a->l, PROTO_PROMPT_SECRET, NULL, question, false, &passphrase) !=
		    HW_OK) {
			out = AUTH_ENDED;
			break;
		}
		given = passphrase[0] != '\0';
		if (given)
			state = identity_load_private(f->path, passphrase, &key, why, sizeof(why));
		free_secret_str(passphrase);
	}
	free(question);
	if (key != NULL)
		out = try_key(a, f, key);
	else if (out == AUTH_REFUSED)
		auth_note(a, "key %s: %s", f->path, given ? "wrong passphrase" : "no passphrase");
	ssh_key_free(key);
	return out;
}

/* The passphrase is asked for only when the server wants the key. */
static enum auth_outcome try_encrypted(struct auth *a, struct id_file *f)
{
	int rc;

	if (f->pub != NULL) {
		rc = probe(a, f);
		if (rc != SSH_AUTH_SUCCESS)
			return auth_outcome(rc);
	}
	rc = auth_may_ask(a, "the key's passphrase");
	if (rc != HW_OK)
		return rc == HW_EOF ? AUTH_ENDED : AUTH_REFUSED;
	return try_passphrases(a, f);
}

/* A key on a token, or in a format that libssh does not read: ssh can use it. */
static enum auth_outcome try_unusable(struct auth *a, struct id_file *f, const char *why)
{
	struct cause *cause = &a->l->result.why;
	int rc = SSH_AUTH_SUCCESS;

	if (f->pub != NULL)
		rc = probe(a, f);
	if (rc != SSH_AUTH_SUCCESS)
		return auth_outcome(rc);
	auth_note(a, "key %s: %s", f->path, why);
	a->ssh_might = true;
	if (f->pub == NULL || a->l->result.prompted)
		return AUTH_REFUSED;
	cause_set(cause, CAUSE_AUTH, "%s: the server takes key %s, but %s", a->l->where, f->path,
		  why);
	cause_hint(cause, "add it to an agent (ssh-add), or use the real ssh");
	a->l->result.handover = true;
	return AUTH_ENDED;
}

static enum auth_outcome try_file(struct auth *a, struct id_file *f)
{
	enum auth_outcome out = AUTH_REFUSED;
	ssh_key key;
	char why[128];

	f->tried = true;
	switch (identity_load_private(f->path, NULL, &key, why, sizeof(why))) {
	case IDENTITY_OK:
		out = try_key(a, f, key);
		ssh_key_free(key);
		break;
	case IDENTITY_ENCRYPTED:
		out = try_encrypted(a, f);
		break;
	case IDENTITY_UNUSABLE:
		out = try_unusable(a, f, why);
		break;
	case IDENTITY_TOO_OPEN:
		warn_too_open(a, f, why);
		break;
	case IDENTITY_UNREADABLE:
		auth_note(a, "key %s cannot be read: %s", f->path, why);
		break;
	case IDENTITY_MISSING:
		if (!a->l->dest->identity_files_default)
			auth_note(a, "identity file %s: %s", f->path, why);
		break;
	}
	return out;
}

/* --- the method --- */

/* The key that worked last time, without `none` before it and, from a file, without a probe. When
 * nothing could be sent, a->methods is 0 afterwards. */
static enum auth_outcome try_hinted(struct auth *a, struct auth_keys *k)
{
	const char *wanted = a->l->hint.fingerprint;
	enum auth_outcome out = AUTH_REFUSED;

	a->methods = 0;
	for (size_t i = 0; i < k->nfiles; i++) {
		struct id_file *f = &k->files[i];
		char *fingerprint = f->blob.data != NULL ? sha256_of(&f->blob) : NULL, why[128];
		bool found = fingerprint != NULL && strcmp(fingerprint, wanted) == 0;
		ssh_key key;

		free(fingerprint);
		if (!found ||
		    identity_load_private(f->path, NULL, &key, why, sizeof(why)) != IDENTITY_OK)
			continue;
		out = try_key(a, f, key);
		ssh_key_free(key);
		return out;
	}
	open_agent(a, k);
	for (size_t i = 0; k->agent != NULL && i < agent_key_count(k->agent); i++) {
		char *fingerprint = sha256_of(&agent_key_at(k->agent, i)->blob);
		bool found = strcmp(fingerprint, wanted) == 0;

		free(fingerprint);
		if (found)
			return try_agent_order(a, k, &i, 1);
	}
	return out;
}

enum auth_outcome auth_pubkey_run(struct auth *a)
{
	struct auth_keys *k = get_keys(a);
	enum auth_outcome out;

	if (a->first_try_blind)
		return try_hinted(a, k);
	out = try_agent(a, k);
	for (size_t i = 0; out == AUTH_REFUSED && i < k->nfiles; i++) {
		if (!k->files[i].tried)
			out = try_file(a, &k->files[i]);
		if ((a->methods & SSH_AUTH_METHOD_PUBLICKEY) == 0)
			break;
	}
	return out;
}
