#include "client/ctl_lock.h"

#include "protocol/lockfile.h"
#include "protocol/paths.h"

bool ctl_is_locked(void)
{
	char path[HW_SOCKET_PATH_MAX + 1], why[256];

	return paths_socket(path, sizeof(path), why, sizeof(why)) == HW_OK &&
	       lockfile_is_set(path, NULL);
}

int ctl_lock_file(bool locked, char *why, size_t why_size)
{
	char path[HW_SOCKET_PATH_MAX + 1];
	int r = paths_socket(path, sizeof(path), why, why_size);

	if (r == HW_OK && locked)
		r = paths_prepare_dir(path, why, why_size);
	if (r == HW_OK)
		r = lockfile_set(path, locked, why, why_size);
	return r;
}
