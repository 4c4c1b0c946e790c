#include "daemon/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/auth_pubkey_priv.h"
#include "daemon/identity.h"
#include "daemon/knownhosts.h"
#include "protocol/alloc.h"

char *auth_keys_sha256(const struct keyblob *b)
{
	return knownhosts_fingerprint("SHA256", b->data, b->len);
}

/* The connection is trusted no longer than the certificate that opened it. */
static void note_certificate(struct login_result *r, const struct keyblob *blob)
{
	uint64_t end;
	char id[sizeof(r->cert_id)];

	if (!keyblob_cert_end(blob, &end, id, sizeof(id)) || end > INT64_MAX ||
	    (r->cert_end != 0 && r->cert_end <= end))
		return;
	r->cert_end = end;
	memcpy(r->cert_id, id, sizeof(id));
}

void auth_keys_remember(struct auth *a, const struct keyblob *blob)
{
	struct login_hint *hint = &a->l->result.hint;
	char *fingerprint;

	if (blob->data == NULL)
		return;
	note_certificate(&a->l->result, blob);
	fingerprint = auth_keys_sha256(blob);
	snprintf(hint->method, sizeof(hint->method), "publickey");
	snprintf(hint->fingerprint, sizeof(hint->fingerprint), "%s", fingerprint);
	free(fingerprint);
}

char *auth_keys_describe(const struct keyblob *blob, const char *what)
{
	struct keyblob plain = {.data = NULL};
	char *fingerprint, *text;

	/* A certificate goes by the fingerprint of its key. */
	(void)keyblob_plain(blob, &plain);
	fingerprint = auth_keys_sha256(plain.data != NULL ? &plain : blob);
	text = xasprintf("%s%s %s (%s)", keyblob_short_type(blob),
			 keyblob_is_cert(blob) ? "-CERT" : "", fingerprint, what);
	free(fingerprint);
	keyblob_finish(&plain);
	return text;
}

bool auth_keys_names(const struct auth_keys *k, const struct keyblob *blob)
{
	for (size_t i = 0; i < k->nfiles; i++)
		if (keyblob_equal(&k->files[i].blob, blob))
			return true;
	return false;
}

/* --- what there is --- */

static void add_file(struct auth_keys *k, const char *path, char *cert_path, ssh_key pub)
{
	struct id_file *f = &k->files[k->nfiles++];

	*f = (struct id_file){.path = path, .cert_path = cert_path, .pub = pub};
	if (pub != NULL)
		(void)keyblob_from_key(pub, &f->blob);
}

/* The certificate beside an identity file is used where CertificateFile names none. */
static void add_files(struct auth *a, struct auth_keys *k)
{
	char *const *paths = a->l->dest->identity_files;
	size_t n = strv_len(paths);

	k->files = xcalloc(2 * n + 1, sizeof(*k->files));
	for (size_t i = 0; i < n; i++) {
		char *cert_path = xasprintf("%s-cert.pub", paths[i]);
		ssh_key cert = NULL, pub = identity_load_public(paths[i]);

		/* An IdentityFile may name a certificate whose key only the agent has. */
		add_file(k, paths[i], NULL, pub != NULL ? pub : identity_load_cert(paths[i]));
		if (strv_len(a->l->dest->certificate_files) == 0)
			cert = identity_load_cert(cert_path);
		if (cert != NULL)
			add_file(k, paths[i], cert_path, cert);
		else
			free(cert_path);
	}
}

static const char *private_file(const struct auth_keys *k, const struct keyblob *cert)
{
	for (size_t i = 0; i < k->nfiles; i++)
		if (k->files[i].cert_path == NULL && keyblob_same_key(&k->files[i].blob, cert))
			return k->files[i].path;
	return NULL;
}

static void add_certs(struct auth *a, struct auth_keys *k)
{
	char *const *paths = a->l->dest->certificate_files;
	size_t n = strv_len(paths);

	k->certs = xcalloc(n + 1, sizeof(*k->certs));
	for (size_t i = 0; i < n; i++) {
		struct id_file *c = &k->certs[k->ncerts];
		ssh_key cert = identity_load_cert(paths[i]);

		if (cert == NULL || !keyblob_from_key(cert, &c->blob)) {
			auth_note(a, "certificate %s cannot be read", paths[i]);
			ssh_key_free(cert);
			continue;
		}
		c->pub = cert;
		c->cert_path = xstrdup(paths[i]);
		c->path = private_file(k, &c->blob);
		k->ncerts++;
	}
}

static struct auth_keys *get_keys(struct auth *a)
{
	if (a->keys == NULL) {
		a->keys = xcalloc(1, sizeof(*a->keys));
		add_files(a, a->keys);
		add_certs(a, a->keys);
	}
	return a->keys;
}

static void finish_files(struct id_file *files, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ssh_key_free(files[i].pub);
		keyblob_finish(&files[i].blob);
		free(files[i].cert_path);
	}
	free(files);
}

void auth_pubkey_finish(struct auth *a)
{
	struct auth_keys *k = a->keys;

	if (k == NULL)
		return;
	finish_files(k->certs, k->ncerts);
	finish_files(k->files, k->nfiles);
	free(k->agent_tried);
	agent_close(k->agent);
	free(k);
	a->keys = NULL;
}

/* --- the method --- */

/* CertificateFile's come first; the agent's key is asked before a file's. Those that the agent
 * signs for wait in offers, so that it is one run of libssh's agent method (it leaks a buffer for
 * each further one): what can be offered at once with the agent's own keys stays there. */
static enum auth_outcome try_certs(struct auth *a, struct auth_keys *k, struct agent_offer *offers,
				   size_t *n)
{
	enum auth_outcome out = AUTH_REFUSED;

	for (size_t i = 0; out == AUTH_REFUSED && i < k->ncerts; i++) {
		struct id_file *c = &k->certs[i];
		struct agent_offer offer = {.cert = &c->blob};

		if (c->tried)
			continue;
		c->tried = true;
		if (auth_agent_signer(a, k, &c->blob, &offer.key) == HW_OK) {
			offers[(*n)++] = offer;
			continue;
		}
		if (c->path == NULL) {
			auth_note(a, "certificate %s: no private key for it is at hand",
				  c->cert_path);
			continue;
		}
		if (*n > 0)
			out = auth_agent_offer(a, k, offers, *n);
		*n = 0;
		if (out == AUTH_REFUSED)
			out = auth_file_try(a, c);
	}
	return out;
}

/* Certificates first, then what else the agent has. */
static enum auth_outcome try_certs_and_agent(struct auth *a, struct auth_keys *k)
{
	struct agent_offer *offers = xcalloc(k->ncerts + 1, sizeof(*offers));
	size_t n = 0;
	enum auth_outcome out = try_certs(a, k, offers, &n);

	if (out == AUTH_REFUSED && k->agent != NULL)
		out = auth_agent_run(a, k, offers, n);
	free(offers);
	return out;
}

static bool is_hinted(const struct auth *a, const struct keyblob *blob)
{
	char *fingerprint = blob->data != NULL ? auth_keys_sha256(blob) : NULL;
	bool same = fingerprint != NULL && strcmp(fingerprint, a->l->hint.fingerprint) == 0;

	free(fingerprint);
	return same;
}

/* HW_ENOENT: none of these is the one, or its private key is not at hand. */
static int try_hinted_file(struct auth *a, struct id_file *files, size_t n, enum auth_outcome *out)
{
	for (size_t i = 0; i < n; i++)
		if (is_hinted(a, &files[i].blob) && files[i].path != NULL &&
		    auth_file_try_blind(a, &files[i], out) == HW_OK)
			return HW_OK;
	return HW_ENOENT;
}

/* The key that worked last time, without `none` before it and, from a file, without a probe. When
 * nothing could be sent, a->methods is 0 afterwards. */
static enum auth_outcome try_hinted(struct auth *a, struct auth_keys *k)
{
	enum auth_outcome out = AUTH_REFUSED;

	a->methods = 0;
	if (try_hinted_file(a, k->certs, k->ncerts, &out) == HW_OK ||
	    try_hinted_file(a, k->files, k->nfiles, &out) == HW_OK)
		return out;
	auth_agent_open(a, k);
	for (size_t i = 0; i < k->ncerts; i++) {
		struct agent_offer offer = {.cert = &k->certs[i].blob};

		if (is_hinted(a, offer.cert) &&
		    auth_agent_signer(a, k, offer.cert, &offer.key) == HW_OK) {
			k->certs[i].tried = true;
			return auth_agent_offer(a, k, &offer, 1);
		}
	}
	for (size_t i = 0; k->agent != NULL && i < agent_key_count(k->agent); i++) {
		const struct agent_offer offer = {.key = i};

		if (is_hinted(a, &agent_key_at(k->agent, i)->blob))
			return auth_agent_offer(a, k, &offer, 1);
	}
	return out;
}

enum auth_outcome auth_pubkey_run(struct auth *a)
{
	struct auth_keys *k = get_keys(a);
	enum auth_outcome out;

	if (a->first_try_blind)
		return try_hinted(a, k);
	auth_agent_open(a, k);
	if (k->agent == NULL && login_check(a->l) != HW_OK)
		return AUTH_ENDED;
	out = try_certs_and_agent(a, k);
	for (size_t i = 0; out == AUTH_REFUSED && i < k->nfiles; i++) {
		if (!k->files[i].tried)
			out = auth_file_try(a, &k->files[i]);
		if ((a->methods & SSH_AUTH_METHOD_PUBLICKEY) == 0)
			break;
	}
	return out;
}
