#include "protocol/lockfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/paths.h"

static void lockfile_path(const char *socket_path, char *out, size_t size)
{
	snprintf(out, size, "%s" LOCKFILE_SUFFIX, socket_path);
}

bool lockfile_is_set(const char *socket_path, double *since)
{
	char path[HW_SOCKET_PATH_MAX + sizeof(LOCKFILE_SUFFIX)];
	struct stat st;

	lockfile_path(socket_path, path, sizeof(path));
	if (since != NULL)
		*since = 0;
	if (lstat(path, &st) < 0)
		return errno != ENOENT && errno != ENOTDIR;
	if (since != NULL)
		*since = (double)st.st_mtim.tv_sec + (double)st.st_mtim.tv_nsec / 1e9;
	return true;
}

int lockfile_set(const char *socket_path, bool locked, char *why, size_t why_size)
{
	char path[HW_SOCKET_PATH_MAX + sizeof(LOCKFILE_SUFFIX)];
	int fd;

	lockfile_path(socket_path, path, sizeof(path));
	if (!locked) {
		if (unlink(path) == 0 || errno == ENOENT)
			return HW_OK;
		snprintf(why, why_size, "%s cannot be removed: %s", path, strerror(errno));
		return HW_ESYS;
	}
	/* One that is there stays: since when it holds is its time. */
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0) {
		close(fd);
		return HW_OK;
	}
	if (errno == EEXIST)
		return HW_OK;
	snprintf(why, why_size, "%s cannot be made: %s", path, strerror(errno));
	return HW_ESYS;
}
