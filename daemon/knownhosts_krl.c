#include "daemon/knownhosts_krl.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/digest.h"
#include "daemon/sshwire.h"
#include "protocol/alloc.h"

#define KRL_MAGIC   "SSHKRL\n" /* with its NUL */
#define KRL_VERSION 1
#define BLANKS	    " \t\r"

enum section {
	SECTION_CERTIFICATES = 1,
	SECTION_EXPLICIT_KEY = 2,
	SECTION_FINGERPRINT_SHA1 = 3,
	SECTION_SIGNATURE = 4,
	SECTION_FINGERPRINT_SHA256 = 5,
	SECTION_EXTENSION = 255,
};

/* Is one of the section's strings exactly these bytes? */
static enum krl_verdict find(struct sshwire_in section, const uint8_t *want, size_t len)
{
	enum krl_verdict verdict = KRL_CLEAR;
	struct sshwire_in s;

	while (section.len > 0) {
		if (!sshwire_string(&section, &s))
			return KRL_BROKEN;
		if (s.len == len && memcmp(s.data, want, len) == 0)
			verdict = KRL_REVOKED;
	}
	return verdict;
}

/* One that must be understood ends all that could be said. */
static enum krl_verdict check_extension(struct sshwire_in section)
{
	struct sshwire_in name;
	uint8_t critical;

	if (!sshwire_string(&section, &name) || !sshwire_u8(&section, &critical) || critical != 0)
		return KRL_BROKEN;
	return KRL_CLEAR;
}

static enum krl_verdict check_section(uint8_t type, struct sshwire_in section,
				      const struct keyblob *key)
{
	uint8_t digest[DIGEST_SHA256_LEN];

	switch (type) {
	case SECTION_CERTIFICATES:
		return KRL_CLEAR;
	case SECTION_EXPLICIT_KEY:
		return find(section, key->data, key->len);
	case SECTION_FINGERPRINT_SHA1:
		if (!digest_sha1(key->data, key->len, digest))
			return KRL_BROKEN;
		return find(section, digest, DIGEST_SHA1_LEN);
	case SECTION_FINGERPRINT_SHA256:
		digest_sha256(key->data, key->len, digest);
		return find(section, digest, DIGEST_SHA256_LEN);
	case SECTION_EXTENSION:
		return check_extension(section);
	case SECTION_SIGNATURE: /* cannot be verified here, and nothing makes them */
	default:
		return KRL_BROKEN;
	}
}

static enum krl_verdict check_binary(struct sshwire_in in, const struct keyblob *key)
{
	enum krl_verdict verdict = KRL_CLEAR;
	uint32_t version;
	uint64_t number;

	if (!sshwire_u32(&in, &version) || version != KRL_VERSION || !sshwire_u64(&in, &number) ||
	    !sshwire_u64(&in, &number) || !sshwire_u64(&in, &number) ||
	    !sshwire_skip_strings(&in, 2))
		return KRL_BROKEN;
	while (in.len > 0) {
		enum krl_verdict one;
		struct sshwire_in section;
		uint8_t type;

		if (!sshwire_u8(&in, &type) || !sshwire_string(&in, &section))
			return KRL_BROKEN;
		one = check_section(type, section, key);
		if (one == KRL_BROKEN)
			return KRL_BROKEN;
		if (one == KRL_REVOKED)
			verdict = KRL_REVOKED;
	}
	return verdict;
}

/* "type base64 comment". A line that is no key ends all, as for ssh: it may have been meant for
 * this one. */
static enum krl_verdict check_line(const char *line, size_t len, const struct keyblob *key)
{
	char *text = xstrndup(line, len), *rest = NULL, *type, *base64, own[64];
	struct keyblob listed = {.data = NULL};
	enum krl_verdict verdict = KRL_CLEAR;

	type = strtok_r(text, BLANKS, &rest);
	base64 = type != NULL ? strtok_r(NULL, BLANKS, &rest) : NULL;
	if (base64 != NULL)
		listed.data = digest_unbase64(base64, strlen(base64), &listed.len);
	keyblob_type(&listed, own, sizeof(own));
	if (type == NULL || type[0] == '#')
		verdict = KRL_CLEAR;
	else if (strcmp(type, own) != 0)
		verdict = KRL_BROKEN;
	else if (keyblob_same_key(&listed, key))
		verdict = KRL_REVOKED;
	keyblob_finish(&listed);
	free(text);
	return verdict;
}

static enum krl_verdict check_text(const char *data, size_t len, const struct keyblob *key)
{
	for (const char *end = data + len; data < end;) {
		size_t line = strcspn(data, "\n"); /* a NUL in the file ends a line, too */
		enum krl_verdict verdict = check_line(data, line, key);

		if (verdict != KRL_CLEAR)
			return verdict;
		data += line + 1;
	}
	return KRL_CLEAR;
}

enum krl_verdict knownhosts_krl_check(const char *data, size_t len, const struct keyblob *key)
{
	if (len >= sizeof(KRL_MAGIC) && memcmp(data, KRL_MAGIC, sizeof(KRL_MAGIC)) == 0)
		return check_binary(
			(struct sshwire_in){.data = (const uint8_t *)data + sizeof(KRL_MAGIC),
					    .len = len - sizeof(KRL_MAGIC)},
			key);
	return check_text(data, len, key);
}
