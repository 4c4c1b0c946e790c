#include "client/fallback.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "client/say.h"
#include "client/status.h"
#include "protocol/lockfile.h"
#include "protocol/paths.h"

/* ssh within ssh (a ProxyCommand that calls ssh) is legitimate; this deep it is a loop. */
#define EXEC_DEPTH_MAX 8

static const char default_path[] = "/usr/local/bin:/usr/bin:/bin";

bool fallback_disabled(void)
{
	const char *v = getenv("HAWSER_DISABLE");

	return v != NULL && v[0] != '\0' && strcmp(v, "0") != 0;
}

bool fallback_allowed(void)
{
	const char *v = getenv("HAWSER_FALLBACK");

	return v == NULL || (strcmp(v, "no") != 0 && strcmp(v, "0") != 0);
}

/* An executable file, and not ourselves under another name. */
static bool usable(const char *path, const struct stat *self)
{
	struct stat sb;

	if (stat(path, &sb) < 0 || !S_ISREG(sb.st_mode) || access(path, X_OK) < 0)
		return false;
	return self == NULL || sb.st_dev != self->st_dev || sb.st_ino != self->st_ino;
}

int fallback_find_ssh(char *out, size_t size)
{
	struct stat sb, *self = stat("/proc/self/exe", &sb) == 0 ? &sb : NULL;
	const char *chosen = getenv("HAWSER_SSH");

	if (chosen != NULL && chosen[0] != '\0') {
		if ((size_t)snprintf(out, size, "%s", chosen) >= size)
			return HW_ETOOBIG;
		return usable(out, self) ? HW_OK : HW_ENOENT;
	}
	const char *dir = getenv("PATH");
	if (dir == NULL || dir[0] == '\0')
		dir = default_path;
	for (;;) {
		size_t len = strcspn(dir, ":");
		/* An empty entry means the working directory: nothing to run by accident. */
		if (len > 0 && dir[0] == '/') {
			int n = snprintf(out, size, "%.*s/ssh", (int)len, dir);
			if (n > 0 && (size_t)n < size && usable(out, self))
				return HW_OK;
		}
		if (dir[len] == '\0')
			return HW_ENOENT;
		dir += len + 1;
	}
}

/* false: too deep. */
static bool count_depth(void)
{
	const char *before = getenv("HAWSER_EXEC");
	long depth = before != NULL ? strtol(before, NULL, 10) : 0;
	char text[16];

	if (depth < 0 || depth >= EXEC_DEPTH_MAX)
		return false;
	snprintf(text, sizeof(text), "%d", (int)depth + 1);
	return setenv("HAWSER_EXEC", text, 1) == 0;
}

int fallback_exec(char **argv, const char *why)
{
	char path[PATH_MAX];

	if (fallback_find_ssh(path, sizeof(path)) < 0) {
		const char *chosen = getenv("HAWSER_SSH");
		if (chosen != NULL && chosen[0] != '\0')
			say("HAWSER_SSH=%s is not an ssh that can be run", chosen);
		else
			say("no ssh found on PATH to hand over to%s%s; install openssh-client "
			    "or set HAWSER_SSH",
			    why != NULL ? ": " : "", why != NULL ? why : "");
		return HW_EXIT_FAILURE;
	}
	if (!count_depth()) {
		say("%s leads back to hawser; set HAWSER_SSH to the real ssh", path);
		return HW_EXIT_FAILURE;
	}
	if (why != NULL)
		say_verbose(1, "handing over to ssh: %s", why);
	/* The full path: ssh starts argv[0] again for ProxyJump, and that must not be us. */
	char *name = argv[0];
	argv[0] = path;
	status_write_handed_over(why);
	signal(SIGPIPE, SIG_DFL);
	execv(path, argv);
	signal(SIGPIPE, SIG_IGN);
	argv[0] = name;
	say("cannot run %s: %s", path, strerror(errno));
	return HW_EXIT_FAILURE;
}

bool fallback_locked(void)
{
	char path[HW_SOCKET_PATH_MAX + 1], why[256];

	return paths_socket(path, sizeof(path), why, sizeof(why)) == HW_OK &&
	       lockfile_is_set(path, NULL);
}

/* ssh asks nobody anything with these: there is nothing to refuse. */
static bool only_tells(const char *why)
{
	static const char *const options[] = {"option -V", "option -Q", "option -G"};

	for (size_t i = 0; i < HW_ARRAY_LEN(options); i++)
		if (strcmp(why, options[i]) == 0)
			return true;
	return false;
}

int fallback_or_fail(char **argv, const char *why)
{
	if (fallback_locked() && !only_tells(why)) {
		say("hawser is locked: it opens no connections, nor does it hand over to ssh; "
		    "hawserctl unlock");
		return HW_EXIT_FAILURE;
	}
	if (fallback_allowed())
		return fallback_exec(argv, why);
	say("cannot do this without ssh: %s", why);
	say("HAWSER_FALLBACK=no forbids to hand over: unset it, or use ssh itself");
	return HW_EXIT_FAILURE;
}
