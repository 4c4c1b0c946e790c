#include "daemon/keyblob.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/digest.h"
#include "daemon/keyblob_priv.h"
#include "daemon/sshwire.h"
#include "protocol/alloc.h"

#define TYPE_NAME_MAX 64

bool keyblob_from_key(ssh_key key, struct keyblob *out)
{
	char *text = NULL;

	*out = (struct keyblob){.data = NULL};
	if (ssh_pki_export_pubkey_base64(key, &text) != SSH_OK)
		return false;
	out->data = digest_unbase64(text, strlen(text), &out->len);
	ssh_string_free_char(text);
	return out->data != NULL;
}

bool keyblob_known(const struct keyblob *b)
{
	char type[TYPE_NAME_MAX];
	enum ssh_keytypes_e kind;
	ssh_key key = NULL;
	char *text;
	int rc;

	keyblob_type(b, type, sizeof(type));
	kind = ssh_key_type_from_name(type);
	if (kind == SSH_KEYTYPE_UNKNOWN)
		return false;
	text = keyblob_base64(b);
	if (strstr(type, "-cert-") != NULL)
		rc = ssh_pki_import_cert_base64(text, kind, &key);
	else
		rc = ssh_pki_import_pubkey_base64(text, kind, &key);
	free(text);
	if (rc != SSH_OK)
		return false;
	ssh_key_free(key);
	return true;
}

void keyblob_finish(struct keyblob *b)
{
	free(b->data);
	*b = (struct keyblob){.data = NULL};
}

bool keyblob_equal(const struct keyblob *a, const struct keyblob *b)
{
	return a->data != NULL && b->data != NULL && a->len == b->len &&
	       memcmp(a->data, b->data, a->len) == 0;
}

bool keyblob_is_cert(const struct keyblob *b)
{
	char type[TYPE_NAME_MAX];

	keyblob_type(b, type, sizeof(type));
	return strstr(type, "-cert-") != NULL;
}

/* Where the key's own numbers begin: behind the type and, in a certificate, the nonce. */
static bool find_numbers(const struct keyblob *b, size_t *pos, bool *cert)
{
	struct sshwire_in in = {.data = b->data, .len = b->len};

	if (b->data == NULL)
		return false;
	*cert = keyblob_is_cert(b);
	if (!sshwire_skip_strings(&in, *cert ? 2 : 1))
		return false;
	*pos = b->len - in.len;
	return true;
}

unsigned keyblob_count_numbers(const char *short_type)
{
	static const struct {
		const char *type;
		unsigned count;
	} known[] = {{"ED25519", 1}, {"ECDSA", 2},	{"RSA", 2},
		     {"DSA", 4},     {"ED25519-SK", 2}, {"ECDSA-SK", 3}};

	for (size_t i = 0; i < HW_ARRAY_LEN(known); i++)
		if (strcmp(known[i].type, short_type) == 0)
			return known[i].count;
	return 0;
}

bool keyblob_plain(const struct keyblob *cert, struct keyblob *out)
{
	unsigned count = keyblob_count_numbers(keyblob_short_type(cert));
	struct sshwire_in in = {.data = cert->data, .len = cert->len}, type, rest;
	struct sshwire_out plain = {.data = NULL};
	char name[TYPE_NAME_MAX], *suffix;

	*out = (struct keyblob){.data = NULL};
	keyblob_type(cert, name, sizeof(name));
	suffix = strstr(name, "-cert-v01@openssh.com");
	if (suffix == NULL || count == 0 || !sshwire_string(&in, &type) ||
	    !sshwire_skip_strings(&in, 1))
		return false;
	rest = in;
	if (!sshwire_skip_strings(&rest, count))
		return false;
	*suffix = '\0';
	/* Security keys have the vendor's name on both of their types. */
	if (strncmp(name, "sk-", 3) == 0)
		memcpy(suffix, "@openssh.com", sizeof("@openssh.com"));
	sshwire_put_string(&plain, name, strlen(name));
	sshwire_put_bytes(&plain, in.data, in.len - rest.len);
	out->data = xmemdup(plain.data, plain.len);
	out->len = plain.len;
	sshwire_out_finish(&plain);
	return true;
}

bool keyblob_same_key(const struct keyblob *a, const struct keyblob *b)
{
	size_t at_a, at_b, len_a, len_b, plain;
	bool cert_a, cert_b;

	if (!find_numbers(a, &at_a, &cert_a) || !find_numbers(b, &at_b, &cert_b))
		return false;
	/* ED25519 and ED25519-SK numbers begin alike. */
	if (strcmp(keyblob_short_type(a), keyblob_short_type(b)) != 0)
		return false;
	len_a = a->len - at_a;
	len_b = b->len - at_b;
	if (cert_a == cert_b)
		return len_a == len_b && memcmp(a->data + at_a, b->data + at_b, len_a) == 0;
	/* A certificate goes on where the plain key ends. */
	plain = cert_a ? len_b : len_a;
	return plain <= (cert_a ? len_a : len_b) &&
	       memcmp(a->data + at_a, b->data + at_b, plain) == 0;
}

void keyblob_type(const struct keyblob *b, char *out, size_t size)
{
	struct sshwire_in in = {.data = b->data, .len = b->len}, name;
	size_t n = sshwire_string(&in, &name) ? name.len : 0;

	if (n == 0 || n >= size || memchr(name.data, '\0', n) != NULL) {
		snprintf(out, size, "unknown");
		return;
	}
	memcpy(out, name.data, n);
	out[n] = '\0';
}

const char *keyblob_short_type(const struct keyblob *b)
{
	char type[TYPE_NAME_MAX];

	keyblob_type(b, type, sizeof(type));
	if (strncmp(type, "sk-ssh-ed25519", 14) == 0)
		return "ED25519-SK";
	if (strncmp(type, "sk-ecdsa", 8) == 0)
		return "ECDSA-SK";
	if (strncmp(type, "ssh-ed25519", 11) == 0)
		return "ED25519";
	if (strncmp(type, "ecdsa-", 6) == 0)
		return "ECDSA";
	if (strncmp(type, "ssh-rsa", 7) == 0)
		return "RSA";
	if (strncmp(type, "ssh-dss", 7) == 0)
		return "DSA";
	return "unknown";
}

char *keyblob_base64(const struct keyblob *b)
{
	return digest_base64(b->data, b->len);
}

unsigned keyblob_bits(const struct keyblob *b)
{
	const char *type = keyblob_short_type(b);
	struct sshwire_in in = {.data = b->data, .len = b->len}, n;
	unsigned bits;

	if (strncmp(type, "ED25519", 7) == 0 || strcmp(type, "ECDSA-SK") == 0)
		return 256;
	/* Behind the type, and a certificate's nonce: RSA has e and n, ECDSA the curve's name. */
	if (!sshwire_skip_strings(&in, keyblob_is_cert(b) ? 2 : 1))
		return 0;
	if (strcmp(type, "RSA") == 0 && !sshwire_skip_strings(&in, 1))
		return 0;
	if (!sshwire_string(&in, &n) || n.len == 0)
		return 0;
	if (strcmp(type, "ECDSA") == 0)
		return sshwire_is(&n, "nistp521") ? 521 : sshwire_is(&n, "nistp384") ? 384 : 256;
	while (n.len > 1 && n.data[0] == 0) {
		n.data++;
		n.len--;
	}
	bits = (unsigned)n.len * 8;
	for (unsigned top = n.data[0]; bits > 0 && (top & 0x80) == 0; top = top << 1 | 1)
		bits--;
	return bits;
}
