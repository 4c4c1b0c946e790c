#include "daemon/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>

/* A descriptor that already has its number would keep FD_CLOEXEC: posix_spawn(3) takes the flag off
 * even then. */
static void place(posix_spawn_file_actions_t *actions, int fd, int number)
{
	if (fd >= 0)
		posix_spawn_file_actions_adddup2(actions, fd, number);
	else
		posix_spawn_file_actions_addopen(actions, number, "/dev/null", O_RDWR, 0);
}

static int spawn_in(const struct spawn_want *want, const char *cwd, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
						POSIX_SPAWN_SETSID);
	posix_spawn_file_actions_init(&actions);
	for (int i = 0; i < 3; i++)
		place(&actions, want->fds[i], i);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	posix_spawn_file_actions_addchdir_np(&actions, cwd);
	r = posix_spawn(pid, want->file, &actions, &attr, want->argv, want->env);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return r;
}

int spawn_process(const struct spawn_want *want, pid_t *pid)
{
	int r = spawn_in(want, want->cwd, pid);

	/* The directory that the client stands in may be gone, which is no reason to fail. */
	if (r != 0 && strcmp(want->cwd, "/") != 0)
		r = spawn_in(want, "/", pid);
	return r;
}
