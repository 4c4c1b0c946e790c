#include "daemon/knownhosts.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/digest.h"
#include "daemon/knownhosts_match.h"
#include "protocol/alloc.h"

#define FILE_SIZE_MAX (16L * 1024 * 1024)

/* What is looked for, in all files. */
struct wanted {
	char *name;  /* with the port where it is not 22 */
	char *plain; /* without; NULL when it is 22 */
	bool global, command;
	struct knownhosts *kh;
};

static char *lower(const char *text)
{
	char *copy = xstrdup(text);

	for (char *c = copy; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	return copy;
}

static void note_unreadable(struct knownhosts *kh, const char *path, const char *why)
{
	if (kh->unreadable == NULL)
		kh->unreadable = xasprintf("The known hosts file %s can't be read: %s", path, why);
}

static void add_entry(const struct wanted *w, const char *path, unsigned number,
		      const struct knownhosts_line *line, bool no_port)
{
	struct knownhosts *kh = w->kh;
	struct knownhosts_entry *e;
	size_t blob_len;
	uint8_t *blob = knownhosts_line_key(line, &blob_len);

	if (blob == NULL)
		return;
	kh->entries = xreallocarray(kh->entries, kh->count + 1, sizeof(*kh->entries));
	e = &kh->entries[kh->count++];
	e->file = xstrdup(path);
	e->line = number;
	e->key_type = xstrndup(line->key_type, line->key_type_len);
	e->blob = blob;
	e->blob_len = blob_len;
	e->marker = (__typeof__(e->marker))line->marker;
	e->global = w->global;
	e->command = w->command;
	e->no_port = no_port;
}

static void load_line(const struct wanted *w, const char *path, unsigned number, const char *text)
{
	struct knownhosts_line line;

	if (!knownhosts_line_parse(text, &line))
		return;
	if (knownhosts_names_match(&line, w->name))
		add_entry(w, path, number, &line, false);
	else if (w->plain != NULL && knownhosts_names_match(&line, w->plain))
		add_entry(w, path, number, &line, true);
}

static void load_file(const struct wanted *w, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	FILE *f;
	char *text = NULL;
	size_t size = 0;
	unsigned number = 0;
	ssize_t len;

	if (fd < 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			note_unreadable(w->kh, path, strerror(errno));
		return;
	}
	if (fstat(fd, &st) != 0 || S_ISDIR(st.st_mode) || st.st_size > FILE_SIZE_MAX) {
		note_unreadable(w->kh, path,
				S_ISDIR(st.st_mode) ? "it is a directory" : "it is over 16 MiB");
		close(fd);
		return;
	}
	/* /dev/null and the like are common here and simply empty. */
	f = fdopen(fd, "r");
	if (f == NULL) {
		note_unreadable(w->kh, path, strerror(errno));
		close(fd);
		return;
	}
	while ((len = getline(&text, &size, f)) > 0) {
		number++;
		if (text[len - 1] == '\n')
			text[len - 1] = '\0';
		load_line(w, path, number, text);
	}
	if (ferror(f))
		note_unreadable(w->kh, path, strerror(errno));
	free(text);
	fclose(f);
}

static void finish_entry(struct knownhosts_entry *e)
{
	free(e->file);
	free(e->key_type);
	free(e->blob);
}

/* Lines for the plain name serve only where [name]:port has no key of its own. */
static void drop_unneeded(struct knownhosts *kh)
{
	size_t kept = 0;
	bool own = false;

	for (size_t i = 0; i < kh->count; i++)
		own = own || (!kh->entries[i].no_port && kh->entries[i].marker == KNOWNHOSTS_PLAIN);
	if (!own)
		return;
	for (size_t i = 0; i < kh->count; i++) {
		struct knownhosts_entry *e = &kh->entries[i];

		if (e->no_port && e->marker != KNOWNHOSTS_MARK_REVOKED)
			finish_entry(e);
		else
			kh->entries[kept++] = *e;
	}
	kh->count = kept;
}

void knownhosts_drop_authorities(struct knownhosts *kh)
{
	size_t kept = 0;

	for (size_t i = 0; i < kh->count; i++) {
		if (kh->entries[i].marker == KNOWNHOSTS_MARK_CA)
			finish_entry(&kh->entries[i]);
		else
			kh->entries[kept++] = kh->entries[i];
	}
	kh->count = kept;
}

static void load_files(struct wanted *w, char *const *user_files, char *const *global_files)
{
	memset(w->kh, 0, sizeof(*w->kh));
	for (; user_files != NULL && *user_files != NULL; user_files++)
		load_file(w, *user_files);
	w->global = true;
	for (; global_files != NULL && *global_files != NULL; global_files++)
		load_file(w, *global_files);
}

void knownhosts_load(struct knownhosts *kh, char *const *user_files, char *const *global_files,
		     const char *name, uint16_t port)
{
	char *folded = lower(name);
	struct wanted w = {.name = knownhosts_host_port(folded, port), .kh = kh};

	if (strcmp(w.name, folded) != 0)
		w.plain = folded;
	load_files(&w, user_files, global_files);
	drop_unneeded(kh);
	free(w.name);
	free(folded);
}

void knownhosts_load_exact(struct knownhosts *kh, char *const *user_files,
			   char *const *global_files, const char *name)
{
	struct wanted w = {.name = lower(name), .kh = kh};

	load_files(&w, user_files, global_files);
	free(w.name);
}

void knownhosts_load_text(struct knownhosts *kh, const char *text, const char *label,
			  const char *name)
{
	struct wanted w = {.name = lower(name), .command = true, .kh = kh};
	unsigned number = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, "\n");
		char *line = xstrndup(text, len);

		load_line(&w, label, ++number, line);
		free(line);
		text += len + (text[len] == '\n');
	}
	drop_unneeded(kh);
	free(w.name);
}

void knownhosts_finish(struct knownhosts *kh)
{
	for (size_t i = 0; i < kh->count; i++)
		finish_entry(&kh->entries[i]);
	free(kh->entries);
	free(kh->unreadable);
	memset(kh, 0, sizeof(*kh));
}

static bool is_key(const struct knownhosts_entry *e, const uint8_t *blob, size_t blob_len)
{
	return e->blob_len == blob_len && memcmp(e->blob, blob, blob_len) == 0;
}

enum knownhosts_state knownhosts_check(const struct knownhosts *kh, const char *key_type,
				       const uint8_t *blob, size_t blob_len,
				       const struct knownhosts_entry **match)
{
	const struct knownhosts_entry *found = NULL, *other = NULL, *authority = NULL, *none;

	if (match == NULL)
		match = &none;
	*match = NULL;
	for (size_t i = 0; i < kh->count; i++) {
		const struct knownhosts_entry *e = &kh->entries[i];

		if (e->marker == KNOWNHOSTS_MARK_REVOKED && is_key(e, blob, blob_len)) {
			*match = e;
			return KNOWNHOSTS_REVOKED;
		}
		if (e->marker == KNOWNHOSTS_MARK_CA) {
			authority = authority != NULL ? authority : e;
		} else if (e->marker == KNOWNHOSTS_PLAIN) {
			if (found == NULL && is_key(e, blob, blob_len))
				found = e;
			else if (!e->no_port &&
				 (other == NULL || (strcmp(other->key_type, key_type) != 0 &&
						    strcmp(e->key_type, key_type) == 0)))
				other = e;
		}
	}
	if (found != NULL) {
		*match = found;
		return KNOWNHOSTS_OK;
	}
	if (authority != NULL) {
		*match = authority;
		return KNOWNHOSTS_CA_ONLY;
	}
	*match = other;
	return other != NULL ? KNOWNHOSTS_CHANGED : KNOWNHOSTS_UNKNOWN;
}

/* Is a key listed that the algorithm signs with? */
static bool listed(const struct knownhosts *kh, const char *algorithm, size_t len)
{
	const char *type = algorithm;

	if ((len == 12 && memcmp(algorithm, "rsa-sha2-512", len) == 0) ||
	    (len == 12 && memcmp(algorithm, "rsa-sha2-256", len) == 0)) {
		type = "ssh-rsa";
		len = strlen(type);
	}
	for (size_t i = 0; i < kh->count; i++) {
		const struct knownhosts_entry *e = &kh->entries[i];

		if (e->marker == KNOWNHOSTS_PLAIN && strlen(e->key_type) == len &&
		    memcmp(e->key_type, type, len) == 0)
			return true;
	}
	return false;
}

char *knownhosts_order_algorithms(const struct knownhosts *kh, const char *offered)
{
	char *ordered = xmalloc(strlen(offered) + 2);
	size_t used = 0;

	/* Known ones in the first round, the others in the second. */
	for (int round = 0; round < 2; round++) {
		for (const char *at = offered; *at != '\0';) {
			size_t len = strcspn(at, ",");

			if (len > 0 && listed(kh, at, len) == (round == 0)) {
				memcpy(ordered + used, at, len);
				used += len;
				ordered[used++] = ',';
			}
			at += len + (at[len] == ',');
		}
	}
	ordered[used > 0 ? used - 1 : 0] = '\0';
	return ordered;
}

char *knownhosts_fingerprint(const char *hash, const uint8_t *blob, size_t blob_len)
{
	uint8_t digest[DIGEST_SHA256_LEN];
	char *text, *result;

	if (strcmp(hash, "MD5") == 0 && digest_md5(blob, blob_len, digest)) {
		char hex[(size_t)DIGEST_MD5_LEN * 3 + 1];

		for (size_t i = 0; i < DIGEST_MD5_LEN; i++)
			snprintf(hex + i * 3, 4, ":%02x", digest[i]);
		return xasprintf("MD5%s", hex);
	}
	digest_sha256(blob, blob_len, digest);
	text = digest_base64(digest, sizeof(digest));
	text[strcspn(text, "=")] = '\0';
	result = xasprintf("SHA256:%s", text);
	free(text);
	return result;
}
