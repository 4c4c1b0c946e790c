#include "daemon/knownhosts_match.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/digest.h"
#include "daemon/pattern.h"
#include "protocol/alloc.h"

#define HASH_MAGIC	"|1|"
#define MARKER_CA	"@cert-authority"
#define MARKER_REVOKED	"@revoked"
#define BLANKS		" \t"
#define DEFAULT_PORT	22
#define SHA1_BASE64_LEN 28 /* of 20 bytes, padded */

/* The word at *at, after which *at stands on the next one. Returns its length. */
static size_t word(const char **at, const char **start)
{
	size_t len = strcspn(*at, BLANKS);

	*start = *at;
	*at += len;
	*at += strspn(*at, BLANKS);
	return len;
}

static bool word_is(const char *start, size_t len, const char *text)
{
	return strlen(text) == len && memcmp(start, text, len) == 0;
}

bool knownhosts_line_parse(const char *text, struct knownhosts_line *line)
{
	const char *at = text + strspn(text, BLANKS), *start;
	size_t len;

	line->marker = KNOWNHOSTS_PLAIN;
	if (*at == '\0' || *at == '#')
		return false;
	if (*at == '@') {
		len = word(&at, &start);
		if (word_is(start, len, MARKER_CA))
			line->marker = KNOWNHOSTS_MARK_CA;
		else if (word_is(start, len, MARKER_REVOKED))
			line->marker = KNOWNHOSTS_MARK_REVOKED;
		else
			return false;
		if (*at == '@') /* one marker only */
			return false;
	}
	line->names_len = word(&at, &line->names);
	line->key_type_len = word(&at, &line->key_type);
	line->key_len = word(&at, &line->key);
	/* Files written under other systems end their lines with CR LF. */
	if (line->key_len > 0 && line->key[line->key_len - 1] == '\r')
		line->key_len--;
	return line->names_len > 0 && line->key_type_len > 0 && line->key_len > 0 &&
	       line->key_type[0] != '#';
}

/* |1|salt|hash: both base64 of 20 bytes. */
static bool hashed_match(const char *text, size_t len, const char *name)
{
	const char *salt_text = text + strlen(HASH_MAGIC), *bar;
	uint8_t *salt, *hash = NULL, want[DIGEST_SHA1_LEN];
	size_t salt_len = 0, hash_len = 0;
	bool match;

	if (len != strlen(HASH_MAGIC) + 2 * SHA1_BASE64_LEN + 1 ||
	    memcmp(text, HASH_MAGIC, strlen(HASH_MAGIC)) != 0)
		return false;
	bar = salt_text + SHA1_BASE64_LEN;
	if (*bar != '|')
		return false;
	salt = digest_unbase64(salt_text, SHA1_BASE64_LEN, &salt_len);
	hash = digest_unbase64(bar + 1, SHA1_BASE64_LEN, &hash_len);
	match = salt != NULL && hash != NULL && salt_len == DIGEST_SHA1_LEN &&
		hash_len == DIGEST_SHA1_LEN &&
		digest_hmac_sha1(salt, salt_len, name, strlen(name), want) &&
		memcmp(want, hash, hash_len) == 0;
	free(salt);
	free(hash);
	return match;
}

bool knownhosts_names_match(const struct knownhosts_line *line, const char *name)
{
	if (line->names[0] == '|')
		return hashed_match(line->names, line->names_len, name);
	return pattern_list_match(name, line->names, line->names_len, true) == 1;
}

uint8_t *knownhosts_line_key(const struct knownhosts_line *line, size_t *len)
{
	uint8_t *blob = digest_unbase64(line->key, line->key_len, len);
	size_t type_len;

	if (blob == NULL)
		return NULL;
	/* A key begins with its type as an SSH string (RFC 4253, section 6.6); a line that calls it
	 * something else is not to be believed. */
	if (*len > 4) {
		type_len = (size_t)blob[0] << 24 | (size_t)blob[1] << 16 | (size_t)blob[2] << 8 |
			   blob[3];
		if (type_len == line->key_type_len && *len - 4 > type_len &&
		    memcmp(blob + 4, line->key_type, type_len) == 0)
			return blob;
	}
	free(blob);
	return NULL;
}

char *knownhosts_hash_name(const char *name)
{
	uint8_t salt[DIGEST_SHA1_LEN], hash[DIGEST_SHA1_LEN];
	char *salt_text, *hash_text, *result;

	if (!digest_random(salt, sizeof(salt)) ||
	    !digest_hmac_sha1(salt, sizeof(salt), name, strlen(name), hash))
		return NULL;
	salt_text = digest_base64(salt, sizeof(salt));
	hash_text = digest_base64(hash, sizeof(hash));
	result = xasprintf(HASH_MAGIC "%s|%s", salt_text, hash_text);
	free(salt_text);
	free(hash_text);
	return result;
}

char *knownhosts_host_port(const char *name, uint16_t port)
{
	if (port == 0 || port == DEFAULT_PORT)
		return xstrdup(name);
	return xasprintf("[%s]:%u", name, port);
}
