#include "daemon/identity_wire.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/digest.h"
#include "daemon/identity.h"
#include "daemon/sshwire.h"
#include "protocol/alloc.h"

#define OPENSSH_BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----"
#define OPENSSH_END   "-----END OPENSSH PRIVATE KEY-----"
#define OPENSSH_MAGIC "openssh-key-v1" /* with its NUL */
#define POINT_MAX     160	       /* bytes: nistp521's, uncompressed, is 133 */

/* --- OpenSSH's format (PROTOCOL.key) --- */

/* The bytes between the lines of an armoured key; free_secret(). NULL: not such a key. */
static uint8_t *unarmour(const char *text, size_t *len)
{
	const char *at = strstr(text, OPENSSH_BEGIN), *end;
	size_t n = 0, size;
	uint8_t *raw;
	char *packed;

	end = at != NULL ? strstr(at, OPENSSH_END) : NULL;
	if (end == NULL)
		return NULL;
	at += strlen(OPENSSH_BEGIN);
	size = (size_t)(end - at) + 1;
	packed = xmalloc(size);
	for (; at < end; at++)
		if (strchr(" \t\r\n", *at) == NULL)
			packed[n++] = *at;
	raw = digest_unbase64(packed, n, len);
	free_secret(packed, size);
	return raw;
}

/* How many strings follow the type in the private section; 0: a type that is not known here. */
static unsigned count_numbers(const struct sshwire_in *type)
{
	if (sshwire_is(type, "ssh-ed25519"))
		return 2;
	if (sshwire_is(type, "ssh-rsa"))
		return 6;
	return type->len > 11 && memcmp(type->data, "ecdsa-sha2-", 11) == 0 ? 3 : 0;
}

/* Only where no passphrase is needed. */
static bool parse_openssh(struct sshwire_in in, struct identity_wire *out)
{
	struct sshwire_in cipher, secret, at, type, comment;
	uint32_t nkeys, check, again;

	if (in.len < sizeof(OPENSSH_MAGIC) ||
	    memcmp(in.data, OPENSSH_MAGIC, sizeof(OPENSSH_MAGIC)) != 0)
		return false;
	in.data += sizeof(OPENSSH_MAGIC);
	in.len -= sizeof(OPENSSH_MAGIC);
	if (!sshwire_string(&in, &cipher) || !sshwire_is(&cipher, "none") ||
	    !sshwire_skip_strings(&in, 2) || !sshwire_u32(&in, &nkeys) || nkeys != 1 ||
	    !sshwire_skip_strings(&in, 1) || !sshwire_string(&in, &secret) ||
	    !sshwire_u32(&secret, &check) || !sshwire_u32(&secret, &again) || check != again)
		return false;
	at = secret;
	if (!sshwire_string(&at, &type) || count_numbers(&type) == 0 ||
	    !sshwire_skip_strings(&at, count_numbers(&type)))
		return false;
	out->key.len = secret.len - at.len;
	out->key.data = xmemdup(secret.data, out->key.len);
	if (sshwire_string(&at, &comment) && comment.len > 0)
		out->comment = xstrndup((const char *)comment.data, comment.len);
	return true;
}

/* --- PEM --- */

static bool put_number(struct sshwire_out *out, const EVP_PKEY *pkey, const char *name)
{
	BIGNUM *n = NULL;
	size_t len;
	uint8_t *bytes;

	if (EVP_PKEY_get_bn_param(pkey, name, &n) != 1)
		return false;
	len = (size_t)BN_num_bytes(n);
	bytes = xmalloc(len + 1);
	BN_bn2bin(n, bytes);
	sshwire_put_mpint(out, bytes, len);
	free_secret(bytes, len);
	BN_clear_free(n);
	return true;
}

static bool put_rsa(struct sshwire_out *out, const EVP_PKEY *pkey)
{
	static const char *const names[] = {
		OSSL_PKEY_PARAM_RSA_N,	     OSSL_PKEY_PARAM_RSA_E,
		OSSL_PKEY_PARAM_RSA_D,	     OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
		OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2,
	};

	sshwire_put_string(out, "ssh-rsa", 7);
	for (size_t i = 0; i < HW_ARRAY_LEN(names); i++)
		if (!put_number(out, pkey, names[i]))
			return false;
	return true;
}

static bool put_ecdsa(struct sshwire_out *out, const EVP_PKEY *pkey, ssh_key key)
{
	const char *name = ssh_pki_key_ecdsa_name(key), *curve;
	uint8_t point[POINT_MAX];
	size_t len = 0;

	curve = name != NULL ? strrchr(name, '-') : NULL;
	if (curve == NULL || EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point,
							     sizeof(point), &len) != 1)
		return false;
	sshwire_put_string(out, name, strlen(name));
	sshwire_put_string(out, curve + 1, strlen(curve + 1));
	sshwire_put_string(out, point, len);
	return put_number(out, pkey, OSSL_PKEY_PARAM_PRIV_KEY);
}

static int no_passphrase(char *buf, int size, int rwflag, void *userdata)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)userdata;
	return -1; /* else libcrypto asks on the terminal */
}

static bool parse_pem(const char *text, ssh_key key, struct identity_wire *out)
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	EVP_PKEY *pkey = NULL;
	struct sshwire_out wire = {.data = NULL};
	bool ok = false;

	if (bio != NULL)
		pkey = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	if (pkey != NULL && EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA)
		ok = put_rsa(&wire, pkey);
	else if (pkey != NULL && EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC)
		ok = put_ecdsa(&wire, pkey, key);
	if (ok) {
		out->key.len = wire.len;
		out->key.data = xmemdup(wire.data, wire.len);
	}
	sshwire_out_finish(&wire);
	EVP_PKEY_free(pkey);
	BIO_free(bio);
	return ok;
}

/* --- */

static bool parse_text(const char *text, ssh_key key, struct identity_wire *out)
{
	size_t len;
	uint8_t *raw = unarmour(text, &len);
	bool ok;

	if (raw == NULL)
		return parse_pem(text, key, out);
	ok = parse_openssh((struct sshwire_in){.data = raw, .len = len}, out);
	free_secret(raw, len);
	return ok;
}

/* Text of the public file behind its key, which is what the private one says too. */
static char *public_comment(const char *path)
{
	char *pub = xasprintf("%s.pub", path), *text = identity_read(pub), *comment = NULL;
	size_t skip;

	free(pub);
	if (text == NULL)
		return NULL;
	text[strcspn(text, "\r\n")] = '\0';
	skip = strcspn(text, " ");
	skip += strspn(text + skip, " ");
	skip += strcspn(text + skip, " ");
	skip += strspn(text + skip, " ");
	if (text[skip] != '\0')
		comment = xstrdup(text + skip);
	free(text);
	return comment;
}

bool identity_wire_get(const char *path, ssh_key key, struct identity_wire *out)
{
	char *text = identity_read(path), *exported = NULL;
	bool openssh, ok;

	*out = (struct identity_wire){.comment = NULL};
	if (text == NULL)
		return false;
	openssh = strstr(text, OPENSSH_BEGIN) != NULL;
	ok = parse_text(text, key, out);
	free_secret_str(text);
	if (!ok && ssh_pki_export_privkey_base64(key, NULL, NULL, NULL, &exported) == SSH_OK) {
		ok = parse_text(exported, key, out);
		explicit_bzero(exported, strlen(exported));
		ssh_string_free_char(exported);
	}
	if (out->comment == NULL && openssh)
		out->comment = public_comment(path);
	if (out->comment == NULL)
		out->comment = xstrdup(path);
	return ok;
}

bool identity_wire_hopeless(const char *path, ssh_key pub)
{
	char *text;
	bool hopeless;

	if (ssh_key_type(pub) != SSH_KEYTYPE_RSA)
		return false;
	text = identity_read(path);
	hopeless = text != NULL && strstr(text, OPENSSH_BEGIN) != NULL;
	if (text != NULL)
		free_secret_str(text);
	return hopeless;
}

void identity_wire_finish(struct identity_wire *w)
{
	free_secret(w->key.data, w->key.len);
	free(w->comment);
	*w = (struct identity_wire){.comment = NULL};
}
