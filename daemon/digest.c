#include "daemon/digest.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/alloc.h"
#include "protocol/log.h"

static bool digest(const EVP_MD *md, const void *data, size_t len, uint8_t *out)
{
	return EVP_Digest(data, len, out, NULL, md, NULL) == 1;
}

void digest_sha256(const void *data, size_t len, uint8_t out[DIGEST_SHA256_LEN])
{
	/* Only an allocation failure inside libcrypto ends here; see alloc.h. */
	if (!digest(EVP_sha256(), data, len, out)) {
		log_error("libcrypto could not compute a SHA-256 digest");
		exit(HW_EXIT_FAILURE);
	}
}

bool digest_md5(const void *data, size_t len, uint8_t out[DIGEST_MD5_LEN])
{
	return digest(EVP_md5(), data, len, out);
}

bool digest_sha1(const void *data, size_t len, uint8_t out[DIGEST_SHA1_LEN])
{
	return digest(EVP_sha1(), data, len, out);
}

bool digest_hmac_sha1(const void *key, size_t key_len, const void *data, size_t len,
		      uint8_t out[DIGEST_SHA1_LEN])
{
	unsigned out_len = DIGEST_SHA1_LEN;

	if (key_len > INT_MAX)
		return false;
	return HMAC(EVP_sha1(), key, (int)key_len, data, len, out, &out_len) != NULL;
}

bool digest_random(void *out, size_t len)
{
	return len <= INT_MAX && RAND_bytes(out, (int)len) == 1;
}

void digest_hex(const uint8_t *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[data[i] >> 4];
		out[2 * i + 1] = digits[data[i] & 0xfu];
	}
	out[2 * len] = '\0';
}

char *digest_base64(const uint8_t *data, size_t len)
{
	/* Blobs are bounded by their files (16 MiB), far from INT_MAX. */
	char *out = xmalloc((len + 2) / 3 * 4 + 1);

	EVP_EncodeBlock((unsigned char *)out, data, (int)len);
	return out;
}

uint8_t *digest_unbase64(const char *text, size_t text_len, size_t *len)
{
	size_t pad = 0;
	uint8_t *out;

	if (text_len == 0 || text_len % 4 != 0 || text_len > INT_MAX)
		return NULL;
	while (pad < 2 && text[text_len - 1 - pad] == '=')
		pad++;
	/* EVP_DecodeBlock() trims white space and takes '=' anywhere: look first. */
	for (size_t i = 0; i < text_len - pad; i++) {
		char c = text[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      c == '+' || c == '/'))
			return NULL;
	}
	out = xmalloc(text_len / 4 * 3 + 1);
	if (EVP_DecodeBlock(out, (const unsigned char *)text, (int)text_len) < 0) {
		free(out);
		return NULL;
	}
	*len = text_len / 4 * 3 - pad;
	return out;
}
