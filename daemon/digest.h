/* Digests and base64 (libcrypto's) in the shapes that known_hosts files, fingerprints and cache
 * keys need. All thread-safe; results on the heap are the caller's. */
#ifndef HAWSER_DAEMON_DIGEST_H
#define HAWSER_DAEMON_DIGEST_H

#include "protocol/base.h"

#define DIGEST_SHA256_LEN 32
#define DIGEST_SHA1_LEN	  20
#define DIGEST_MD5_LEN	  16

void digest_sha256(const void *data, size_t len, uint8_t out[DIGEST_SHA256_LEN]);
/* false where libcrypto refuses the algorithm (FIPS mode). */
bool digest_md5(const void *data, size_t len, uint8_t out[DIGEST_MD5_LEN]);
bool digest_sha1(const void *data, size_t len, uint8_t out[DIGEST_SHA1_LEN]);
bool digest_hmac_sha1(const void *key, size_t key_len, const void *data, size_t len,
		      uint8_t out[DIGEST_SHA1_LEN]);
/* Random bytes fit for a salt. */
bool digest_random(void *out, size_t len);

/* Lower-case hex with its NUL: out holds 2 * len + 1 bytes. */
void digest_hex(const uint8_t *data, size_t len, char *out);
/* With padding and without line breaks. */
char *digest_base64(const uint8_t *data, size_t len);
/* Strict: the alphabet, padding only at the end, nothing else. NULL when text is not that. */
uint8_t *digest_unbase64(const char *text, size_t text_len, size_t *len);

#endif
