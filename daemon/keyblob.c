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

ssh_key keyblob_to_key(const struct keyblob *b)
{
	char type[TYPE_NAME_MAX];
	enum ssh_keytypes_e kind;
	ssh_key key = NULL;
	char *text;
	int rc;

	keyblob_type(b, type, sizeof(type));
	kind = ssh_key_type_from_name(type);
	if (kind == SSH_KEYTYPE_UNKNOWN)
		return NULL;
	text = keyblob_base64(b);
	if (strstr(type, "-cert-") != NULL)
		rc = ssh_pki_import_cert_base64(text, kind, &key);
	else
		rc = ssh_pki_import_pubkey_base64(text, kind, &key);
	free(text);
	return rc == SSH_OK ? key : NULL;
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

void keyblob_type(const struct keyblob *b, char *out, size_t size)
{
	uint32_t n = 0;

	if (b->len >= 4)
		n = (uint32_t)b->data[0] << 24 | (uint32_t)b->data[1] << 16 |
		    (uint32_t)b->data[2] << 8 | b->data[3];
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
