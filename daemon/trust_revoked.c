#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/knownhosts_krl.h"
#include "daemon/trust_priv.h"
#include "protocol/alloc.h"

#define FILE_SIZE_MAX (16L * 1024 * 1024)

/* The whole file with a NUL behind it; NULL with errno. Devices such as /dev/null are empty. */
static char *read_whole(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	char *data = NULL;
	ssize_t n = 0;

	*len = 0;
	if (fd == -1)
		return NULL;
	if (fstat(fd, &st) != 0 || S_ISDIR(st.st_mode) || st.st_size > FILE_SIZE_MAX) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EFBIG;
	} else {
		data = xcalloc(1, (size_t)st.st_size + 1);
		while (*len < (size_t)st.st_size &&
		       (n = read(fd, data + *len, (size_t)st.st_size - *len)) > 0)
			*len += (size_t)n;
		if (n < 0) {
			free(data);
			data = NULL;
		}
	}
	close(fd);
	return data;
}

int trust_revoked_check(struct login *l, const struct shown_key *k)
{
	const char *path = l->dest->revoked_host_keys;
	struct cause *why = &l->result.why;
	enum krl_verdict verdict = KRL_BROKEN;
	const char *problem = "invalid format";
	size_t len;
	char *data;

	if (path == NULL)
		return HW_OK;
	data = read_whole(path, &len);
	if (data == NULL)
		problem = strerror(errno);
	else
		verdict = knownhosts_krl_check(data, len, &k->blob);
	free(data);
	if (verdict == KRL_CLEAR)
		return HW_OK;
	if (verdict == KRL_REVOKED) {
		cause_set(why, CAUSE_HOSTKEY_REVOKED,
			  "%s: Host key verification failed. Host key %s %s revoked by file %s",
			  l->where, k->short_type, k->fingerprint, path);
		cause_hint(why, "do not connect; ask the server's administrator for its new key");
	} else {
		cause_set(why, CAUSE_HOSTKEY_REVOKED,
			  "%s: Host key verification failed. Error checking host key %s %s in "
			  "revoked keys file %s: %s",
			  l->where, k->short_type, k->fingerprint, path, problem);
		cause_hint(why, "without RevokedHostKeys' file no host key can be accepted");
	}
	return HW_EPERM;
}
