#include "daemon/keyblob.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/digest.h"

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

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Steps over a string; false when it does not fit. */
static bool skip_string(const struct keyblob *b, size_t *pos)
{
	size_t len;

	if (b->len - *pos < 4)
		return false;
	len = get_u32(b->data + *pos);
	*pos += 4;
	if (len > b->len - *pos)
		return false;
	*pos += len;
	return true;
}

/* Where the key's own numbers begin: behind the type and, in a certificate, the nonce. */
static bool find_numbers(const struct keyblob *b, size_t *pos, bool *cert)
{
	char type[TYPE_NAME_MAX];

	*pos = 0;
	if (b->data == NULL)
		return false;
	keyblob_type(b, type, sizeof(type));
	*cert = strstr(type, "-cert-") != NULL;
	return skip_string(b, pos) && (!*cert || skip_string(b, pos));
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
	uint32_t n = 0;

	if (b->len >= 4)
		n = get_u32(b->data);
	if (n == 0 || n > b->len - 4 || n >= size || memchr(b->data + 4, '\0', n) != NULL) {
		snprintf(out, size, "unknown");
		return;
	}
	memcpy(out, b->data + 4, n);
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
