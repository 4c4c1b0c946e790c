#include <stdlib.h>
#include <string.h>

#include "daemon/auth_pubkey_priv.h"
#include "protocol/alloc.h"

/* On the relay's thread, while the worker waits in libssh for the signature. */
static void on_slow(void *ctx, const struct agent_key *key)
{
	struct login *l = ctx;
	char *what = auth_keys_describe(&key->blob, key->comment);

	login_info(l, "hawser: waiting for the key's confirmation (touch or PIN): %s", what);
	free(what);
}

void auth_agent_open(struct auth *a, struct auth_keys *k)
{
	const char *path = a->l->dest->agent_socket;
	char why[128];

	if (k->agent_asked)
		return;
	k->agent_asked = true;
	if (path == NULL) {
		a->no_agent = true;
		auth_note(a, "no agent (SSH_AUTH_SOCK is not set)");
		return;
	}
	k->agent = agent_open(path, a->l->cancel_fd, why, sizeof(why));
	if (k->agent == NULL) {
		a->no_agent = true;
		auth_note(a, "the agent at %s %s", path, why);
		return;
	}
	k->agent_tried = xcalloc(agent_key_count(k->agent) + 1, sizeof(bool));
	agent_bind(k->agent, &a->l->binding);
	agent_on_slow(k->agent, on_slow, a->l);
}

int auth_agent_signer(const struct auth *a, const struct auth_keys *k, const struct keyblob *cert,
		      size_t *key)
{
	for (size_t i = 0; k->agent != NULL && i < agent_key_count(k->agent); i++) {
		const struct keyblob *b = &agent_key_at(k->agent, i)->blob;

		if (!keyblob_is_cert(b) && keyblob_same_key(b, cert) &&
		    (!a->l->dest->identities_only || auth_keys_names(k, b))) {
			*key = i;
			return HW_OK;
		}
	}
	return HW_ENOENT;
}

/* Which of the agent's keys to offer, in OpenSSH's order: those that identity files name, then,
 * unless IdentitiesOnly, the rest. Returns how many stand in offers (the caller frees it). */
static size_t order_keys(struct auth *a, struct auth_keys *k, struct agent_offer **offers)
{
	size_t count = agent_key_count(k->agent), n = 0, nothers = 0;
	struct agent_offer *others = xcalloc(count + 1, sizeof(*others));

	*offers = xcalloc(count + 1, sizeof(**offers));
	for (size_t i = 0; i < count; i++) {
		const struct agent_key *key = agent_key_at(k->agent, i);
		bool named = auth_keys_names(k, &key->blob);

		if (k->agent_tried[i] || (!named && a->l->dest->identities_only))
			continue;
		if (!keyblob_known(&key->blob)) {
			/* libssh would stop at it and forget those behind it. */
			auth_note(a, "agent key %s is of a kind that libssh does not know",
				  key->comment);
			k->agent_tried[i] = true;
			a->ssh_might = true;
		} else if (named) {
			(*offers)[n++].key = i;
		} else {
			others[nothers++].key = i;
		}
	}
	memcpy(*offers + n, others, nothers * sizeof(*others));
	free(others);
	return n + nothers;
}

static int step_agent(struct auth *a, void *arg)
{
	(void)arg;
	return ssh_userauth_agent(a->l->session, NULL);
}

static const struct keyblob *shown(const struct auth_keys *k, const struct agent_offer *o)
{
	return o->cert != NULL ? o->cert : &agent_key_at(k->agent, o->key)->blob;
}

/* Not again: neither from the agent nor from the file that holds the same key. */
static void mark_tried(struct auth_keys *k, const struct agent_offer *o)
{
	if (o->cert == NULL)
		k->agent_tried[o->key] = true;
	for (size_t j = 0; j < k->nfiles; j++)
		if (keyblob_equal(&k->files[j].blob, shown(k, o)))
			k->files[j].tried = true;
}

static void note_key(struct auth *a, struct auth_keys *k, const struct agent_offer *o,
		     const char *what)
{
	char *name = auth_keys_describe(shown(k, o), agent_key_at(k->agent, o->key)->comment);

	auth_note(a, "agent key %s %s", name, what);
	free(name);
	mark_tried(k, o);
}

/* The server takes the key, but the agent does not sign: locked, confirmed by nobody, or kept for
 * other destinations (ssh-add -h), of which ssh can tell it more than we could. */
static void note_unsigned(struct auth *a, struct auth_keys *k, const struct agent_offer *o)
{
	const struct agent_key *key = agent_key_at(k->agent, o->key);

	note_key(a, k, o, "accepted, but the agent did not sign");
	if (a->l->binding.signature.data == NULL)
		a->ssh_might = true;
	login_warn(a->l,
		   "sign_and_send_pubkey: signing failed for %s \"%s\" from agent: agent "
		   "refused operation",
		   keyblob_short_type(&key->blob), key->comment);
}

/* One run of libssh's own agent method over our relay. *used: how many of the offers are done
 * with. */
static int offer_some(struct auth *a, struct auth_keys *k, const struct agent_offer *offers,
		      size_t n, size_t *used)
{
	struct agent_relay_result seen;
	int rc, fd = agent_relay_start(k->agent, offers, n, a->l->deadline_ms);
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
		last = seen.offer;
	for (size_t i = 0; i < n && i < last; i++) {
		a->refused++;
		a->last_refused = NULL;
		note_key(a, k, &offers[i], "refused");
	}
	if (last == n)
		return rc == SSH_AUTH_ERROR ? SSH_AUTH_DENIED : rc;
	*used = last + 1;
	if (rc == SSH_AUTH_ERROR) {
		note_unsigned(a, k, &offers[last]);
		return SSH_AUTH_DENIED;
	}
	mark_tried(k, &offers[last]);
	auth_keys_remember(a, shown(k, &offers[last]));
	return rc;
}

enum auth_outcome auth_agent_offer(struct auth *a, struct auth_keys *k,
				   const struct agent_offer *offers, size_t n)
{
	size_t used;
	int rc = SSH_AUTH_DENIED;

	for (size_t i = 0; rc == SSH_AUTH_DENIED && i < n; i += used)
		rc = offer_some(a, k, offers + i, n - i, &used);
	return auth_outcome(rc);
}

enum auth_outcome auth_agent_run(struct auth *a, struct auth_keys *k,
				 const struct agent_offer *first, size_t n)
{
	enum auth_outcome out = AUTH_REFUSED;
	struct agent_offer *own, *all;
	size_t nown = order_keys(a, k, &own);

	all = xcalloc(n + nown + 1, sizeof(*all));
	memcpy(all, first, n * sizeof(*all));
	memcpy(all + n, own, nown * sizeof(*all));
	if (n + nown > 0) {
		out = auth_agent_offer(a, k, all, n + nown);
	} else if (agent_key_count(k->agent) == 0) {
		a->agent_empty = true;
		auth_note(a, "the agent holds no keys");
	}
	free(all);
	free(own);
	return out;
}

/* libssh's own agent method over an agent that signs nothing: it probes, and asks for a signature
 * of what holds the identifier. */
int auth_agent_learn_session(struct auth *a, const struct keyblob *key)
{
	static const struct agent_offer only = {.key = 0};
	struct login *l = a->l;
	struct agent *mute;
	int fd, rc = SSH_AUTH_ERROR;

	if (l->dest->forward_agent == NULL || l->binding.signature.data == NULL ||
	    l->binding.session.data != NULL || !keyblob_known(key))
		return SSH_AUTH_ERROR;
	mute = agent_create_mute(key, l->cancel_fd);
	agent_bind(mute, &l->binding);
	fd = agent_relay_start(mute, &only, 1, l->deadline_ms);
	if (fd != -1) {
		ssh_set_agent_socket(l->session, fd);
		rc = auth_call(a, step_agent, NULL);
		ssh_set_agent_socket(l->session, SSH_INVALID_SOCKET);
		(void)agent_relay_stop(mute);
	}
	agent_close(mute);
	return rc;
}
