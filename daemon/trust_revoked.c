#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/knownhosts_krl.h"
#include "daemon/trust_priv.h"
#include "protocol/alloc.h"

#define FILE_SIZE_MAX (16u * 1024 * 1024)
#define READ_SIZE     65536u

/* The whole file with a NUL behind it; NULL with errno. What it says of its size is not believed:
 * /dev/null and the like are empty, files of /proc are not. A FIFO cannot be waited for here, and
 * to take it for an empty list would let every key in. */
static char *read_whole(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	char *data = NULL;
	size_t room = 0;
	ssize_t n = 1;

	*len = 0;
	if (fd == -1)
		return NULL;
	if (fstat(fd, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISCHR(st.st_mode))) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		n = -1;
	}
	while (n > 0 && *len <= FILE_SIZE_MAX) {
		if (room - *len < 2) {
			room = room * 2 + READ_SIZE;
			data = xreallocarray(data, room, 1);
		}
		n = read(fd, data + *len, room - *len - 1);
		*len += n > 0 ? (size_t)n : 0;
	}
	if (n > 0)
		errno = EFBIG;
	if (n == 0) {
		data[*len] = '\0';
	} else {
		free(data);
		data = NULL;
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
		problem = errno == EINVAL ? "not a regular file" : strerror(errno);
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
