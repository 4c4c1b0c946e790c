#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/auth_pubkey_priv.h"
#include "daemon/identity.h"
#include "daemon/identity_wire.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

static int step_publickey(struct auth *a, void *arg)
{
	return ssh_userauth_publickey(a->l->session, NULL, arg);
}

static int step_probe(struct auth *a, void *arg)
{
	return ssh_userauth_try_publickey(a->l->session, NULL, arg);
}

static void note_file(struct auth *a, const struct id_file *f, const char *what)
{
	char *fingerprint = f->blob.data != NULL ? auth_keys_sha256(&f->blob) : xstrdup("?");

	if (f->cert_path != NULL)
		auth_note(a, "certificate %s %s", f->cert_path, what);
	else
		auth_note(a, "key %s (%s) %s", f->path, fingerprint, what);
	free(fingerprint);
}

static void note_refused(struct auth *a, const struct id_file *f)
{
	a->refused++;
	a->last_refused = f->path;
	note_file(a, f, "refused");
}

/* --- AddKeysToAgent --- */

/* Empty and "yes" are a yes, as for ssh. HW_EPERM: no. HW_EOF: the login is over. */
static int ask_to_add(struct auth *a, const char *path, const char *comment)
{
	struct login *l = a->l;
	char *question = xasprintf("Add key %s (%s) to agent?", path, comment), *answer;
	bool prompted = l->result.prompted;
	int rc = login_ask_one(l, PROTO_PROMPT_CONFIRM, NULL, question, true, &answer);

	free(question);
	if (rc == HW_OK) {
		rc = answer[0] == '\0' || strcasecmp(answer, "yes") == 0 ? HW_OK : HW_EPERM;
		free_secret_str(answer);
	} else if (rc == HW_EPERM && !login_cancelled(l)) {
		l->result.why = (struct cause){.cls = CAUSE_NONE}; /* nobody said yes: no */
	} else {
		rc = HW_EOF;
	}
	/* The next login finds the key in the agent, or does without the question. */
	l->result.prompted = prompted;
	return rc;
}

/* HW_EOF: the login is over; else all is well, whether or not the agent took it. */
static int add_to_agent(struct auth *a, const char *path, ssh_key key)
{
	const struct destination *d = a->l->dest;
	const struct agent_constraints constraints = {.lifetime = d->add_keys_lifetime,
						      .confirm = d->add_keys == ADD_KEYS_CONFIRM};
	struct identity_wire wire;
	int rc = HW_OK;

	if (d->add_keys == ADD_KEYS_NO || d->agent_socket == NULL)
		return HW_OK;
	if (!identity_wire_get(path, key, &wire)) {
		login_warn(a->l,
			   "hawser: key %s was not added to the agent: libssh does not give it "
			   "out",
			   path);
		identity_wire_finish(&wire);
		return HW_OK;
	}
	if (d->add_keys == ADD_KEYS_ASK)
		rc = ask_to_add(a, path, wire.comment);
	if (rc == HW_OK && agent_add(d->agent_socket, a->l->cancel_fd, &wire.key, wire.comment,
				     &constraints) == HW_OK)
		log_debug("login %s: identity added to agent: %s", a->l->where, path);
	identity_wire_finish(&wire);
	return rc == HW_EOF ? HW_EOF : HW_OK;
}

/* --- with the private key at hand --- */

/* The certificate together with the key; NULL: they do not belong together. ssh_key_free(). */
static ssh_key join(const struct id_file *f, ssh_key key)
{
	struct keyblob blob;
	ssh_key with = NULL;

	if (keyblob_from_key(key, &blob) && keyblob_same_key(&f->blob, &blob))
		with = ssh_key_dup(key);
	keyblob_finish(&blob);
	if (with != NULL && ssh_pki_copy_cert_to_privkey(f->pub, with) != SSH_OK) {
		ssh_key_free(with);
		with = NULL;
	}
	return with;
}

/* Signed with at once, since a probe would cost a round trip. */
static enum auth_outcome try_key(struct auth *a, struct id_file *f, ssh_key key)
{
	ssh_key pub = NULL, with = NULL;
	int rc;

	if (f->blob.data == NULL && ssh_pki_export_privkey_to_pubkey(key, &pub) == SSH_OK)
		(void)keyblob_from_key(pub, &f->blob);
	ssh_key_free(pub);
	f->tried = true;
	if (f->cert_path != NULL) {
		with = join(f, key);
		if (with == NULL) {
			note_file(a, f, "does not belong to its private key");
			return AUTH_REFUSED;
		}
	}
	rc = auth_agent_learn_session(a, &f->blob);
	if (rc != SSH_AUTH_DENIED && rc != AUTH_CALL_ENDED)
		rc = auth_call(a, step_publickey, with != NULL ? with : key);
	ssh_key_free(with);
	if (rc == SSH_AUTH_SUCCESS || rc == SSH_AUTH_PARTIAL) {
		auth_keys_remember(a, &f->blob);
		if (add_to_agent(a, f->path, key) != HW_OK)
			return AUTH_ENDED;
	} else if (rc == SSH_AUTH_ERROR) {
		note_file(a, f, "cannot be signed with");
	} else if (rc != AUTH_CALL_ENDED) {
		note_refused(a, f);
	}
	return auth_outcome(rc);
}

int auth_file_try_blind(struct auth *a, struct id_file *f, enum auth_outcome *out)
{
	char why[128];
	ssh_key key;

	if (identity_load_private(f->path, NULL, &key, why, sizeof(why)) != IDENTITY_OK)
		return HW_ENOENT;
	*out = try_key(a, f, key);
	ssh_key_free(key);
	return HW_OK;
}

/* --- without it --- */

static void warn_too_open(struct auth *a, const struct id_file *f, const char *why)
{
	login_warn(a->l, "WARNING: UNPROTECTED PRIVATE KEY FILE!");
	login_warn(a->l,
		   "%s: %s. It is required that your private key files are NOT accessible by "
		   "others. This private key will be ignored.",
		   f->path, why);
	a->too_open = f->path;
	auth_note(a, "key %s was ignored: %s (chmod 600 it)", f->path, why);
}

/* Would the server take this key, of which only the public half is at hand? */
static int probe(struct auth *a, const struct id_file *f)
{
	int rc = auth_call(a, step_probe, f->pub);

	if (rc == SSH_AUTH_DENIED || rc == SSH_AUTH_ERROR)
		note_refused(a, f);
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

/* AddKeysToAgent for a key that libssh can decrypt, but not give out: ssh does it all, and the next
 * login finds the key in the agent. */
static bool only_ssh_can_add(struct auth *a, const struct id_file *f)
{
	struct cause *why = &a->l->result.why;

	if (a->l->dest->add_keys == ADD_KEYS_NO || a->keys->agent == NULL ||
	    a->l->result.prompted || !identity_wire_hopeless(f->path, f->pub))
		return false;
	cause_set(why, CAUSE_AUTH,
		  "%s: AddKeysToAgent: libssh %s cannot give the RSA key %s to the agent",
		  a->l->where, ssh_version(0), f->path);
	cause_hint(why, "add it once by hand: ssh-add %s", f->path);
	a->l->result.handover = true;
	return true;
}

/* The passphrase is asked for only when the server wants the key. */
static enum auth_outcome try_encrypted(struct auth *a, struct id_file *f)
{
	int rc;

	if (f->pub != NULL) {
		rc = probe(a, f);
		if (rc != SSH_AUTH_SUCCESS)
			return auth_outcome(rc);
		if (only_ssh_can_add(a, f))
			return AUTH_ENDED;
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

enum auth_outcome auth_file_try(struct auth *a, struct id_file *f)
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
		a->unreadable = f->path;
		auth_note(a, "key %s cannot be read: %s", f->path, why);
		break;
	case IDENTITY_MISSING:
		if (a->l->dest->identity_files_default)
			break;
		login_info(a->l, "no such identity: %s: %s", f->path, why);
		auth_note(a, "identity file %s: %s", f->path, why);
		break;
	}
	return out;
}
