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

/* A name with one of these could be read back as something else than it is. */
#define UNSAFE_NAME "@?*#[]|'\"\\, \t\r\n!"

/* The directory of file, if it is not there, private to the user. */
static int make_directory(const char *file)
{
	const char *slash = strrchr(file, '/');
	char *dir;
	int r;

	if (slash == NULL || slash == file)
		return 0;
	dir = xstrndup(file, (size_t)(slash - file));
	r = mkdir(dir, 0700);
	if (r != 0 && errno == EEXIST)
		r = 0;
	free(dir);
	return r;
}

/* Does the file lack a newline at its end (somebody edited it by hand)? */
static bool unfinished(int fd)
{
	struct stat st;
	char last;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
	       pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n';
}

static char *hidden_or_plain(const char *name, uint16_t port, bool hashed)
{
	char *folded = xstrdup(name), *host, *hidden;

	for (char *c = folded; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	host = knownhosts_host_port(folded, port);
	free(folded);
	if (!hashed)
		return host;
	hidden = knownhosts_hash_name(host);
	free(host);
	return hidden;
}

/* With a newline in front, for a file whose last line lacks it. NULL: no random bytes. */
static char *make_line(const char *name, const char *also, uint16_t port, bool hashed,
		       const char *key_type, const uint8_t *blob, size_t blob_len)
{
	char *host = hidden_or_plain(name, port, hashed);
	char *second = also == NULL ? NULL : hashed ? knownhosts_hash_name(also) : xstrdup(also);
	char *key = digest_base64(blob, blob_len), *line = NULL;

	if (host != NULL && also == NULL)
		line = xasprintf("\n%s %s %s\n", host, key_type, key);
	else if (host != NULL && second != NULL && hashed)
		line = xasprintf("\n%s %s %s\n%s %s %s\n", host, key_type, key, second, key_type,
				 key);
	else if (host != NULL && second != NULL)
		line = xasprintf("\n%s,%s %s %s\n", host, second, key_type, key);
	free(key);
	free(second);
	free(host);
	return line;
}

/* One write(2), so that lines of processes that append at the same time don't mix. */
static int write_line(int fd, const char *line)
{
	const char *text = unfinished(fd) ? line : line + 1;
	size_t len = strlen(text);
	ssize_t n;

	do
		n = write(fd, text, len);
	while (n < 0 && errno == EINTR);
	if (n >= 0 && (size_t)n < len) {
		errno = ENOSPC;
		return -1;
	}
	return n < 0 ? -1 : 0;
}

bool knownhosts_writable_name(const char *name)
{
	return name[0] != '\0' && strpbrk(name, UNSAFE_NAME) == NULL;
}

int knownhosts_append(const char *file, const char *name, const char *also, uint16_t port,
		      bool hashed, const char *key_type, const uint8_t *blob, size_t blob_len,
		      char *why, size_t why_size)
{
	char *line;
	int fd, r, saved;

	if (!knownhosts_writable_name(name)) {
		snprintf(why, why_size, "The name %s can't be written to %s", name, file);
		return HW_EINVAL;
	}
	line = make_line(name, also, port, hashed, key_type, blob, blob_len);
	if (line == NULL) {
		snprintf(why, why_size, "No random bytes to hash the name %s with", name);
		return HW_ESYS;
	}
	fd = make_directory(file) == 0
		     ? open(file, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600)
		     : -1;
	r = fd < 0 ? -1 : write_line(fd, line);
	saved = errno;
	if (fd >= 0)
		close(fd);
	free(line);
	if (r == 0)
		return HW_OK;
	snprintf(why, why_size, "The host key of %s could not be added to %s: %s", name, file,
		 strerror(saved));
	errno = saved;
	return HW_ESYS;
}
