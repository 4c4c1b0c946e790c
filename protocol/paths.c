#include "protocol/paths.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "protocol/proto.h"

#define STR2(x) #x
#define STR(x)	STR2(x)
/* The major version in the name keeps peers of different majors apart. */
#define SOCKET_NAME "v" STR(PROTO_MAJOR) ".sock"

/* The value of an environment variable, or NULL when unset or empty. */
static const char *env_value(const char *name)
{
	const char *value = getenv(name);
	return value && value[0] ? value : NULL;
}

/* The same, but relative paths do not count (XDG base directory specification). */
static const char *env_dir(const char *name)
{
	const char *value = env_value(name);
	return value && value[0] == '/' ? value : NULL;
}

static bool HW_PRINTF(3, 4) put(char *out, size_t size, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(out, size, fmt, ap);
	va_end(ap);
	return n >= 0 && (size_t)n < size;
}

int paths_socket(char *out, size_t size, char *why, size_t why_size)
{
	const char *variable = "HAWSER_SOCKET";
	const char *value = env_value(variable);
	bool fits;

	if (value && value[0] != '/') {
		put(why, why_size,
		    "HAWSER_SOCKET is \"%.100s\", which is not an absolute path; set it to a path "
		    "that begins with /",
		    value);
		return HW_EINVAL;
	}
	if (value) {
		fits = put(out, size, "%s", value);
	} else if ((value = env_dir("XDG_RUNTIME_DIR"))) {
		variable = "XDG_RUNTIME_DIR";
		fits = put(out, size, "%s/hawser/" SOCKET_NAME, value);
	} else {
		fits = put(out, size, "/tmp/hawser-%lu/" SOCKET_NAME, (unsigned long)geteuid());
		value = "";
	}
	if (!fits || strlen(out) > HW_SOCKET_PATH_MAX) {
		put(why, why_size,
		    "the socket path that %s gives is too long (%zu bytes of it; a socket path has "
		    "at most %d); set HAWSER_SOCKET to a shorter one",
		    variable, strlen(value), HW_SOCKET_PATH_MAX);
		return HW_ETOOBIG;
	}
	return HW_OK;
}

static int check_dir(const char *dir, char *why, size_t why_size)
{
	struct stat st;

	if (lstat(dir, &st) < 0) {
		int saved = errno;
		put(why, why_size, "cannot look at %s: %s", dir, strerror(saved));
		errno = saved;
		return HW_ESYS;
	}
	const char *fault = NULL;
	if (S_ISLNK(st.st_mode))
		fault = "it is a symbolic link";
	else if (!S_ISDIR(st.st_mode))
		fault = "it is not a directory";
	else if (st.st_uid != geteuid())
		fault = "it belongs to another user";
	if (fault) {
		put(why, why_size,
		    "%s cannot hold the socket: %s; set HAWSER_SOCKET to a path in a "
		    "directory of your own",
		    dir, fault);
		return HW_EPERM;
	}
	if (st.st_mode & (S_IRWXG | S_IRWXO)) {
		put(why, why_size,
		    "%s cannot hold the socket: others may enter it (mode %04o); run chmod 700 on "
		    "it, or set HAWSER_SOCKET to a path in a directory of its own",
		    dir, (unsigned)(st.st_mode & 07777));
		return HW_EPERM;
	}
	return HW_OK;
}

int paths_prepare_dir(const char *socket_path, char *why, size_t why_size)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(socket_path, '/');

	if (!slash || slash == socket_path ||
	    !put(dir, sizeof(dir), "%.*s", (int)(slash - socket_path), socket_path)) {
		put(why, why_size,
		    "%.200s is no path for a socket: it needs a directory of its own", socket_path);
		return HW_EPERM;
	}
	if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
		int saved = errno;
		put(why, why_size, "cannot make %s for the socket: %s%s", dir, strerror(saved),
		    saved == ENOENT ? " (is XDG_RUNTIME_DIR right?); set HAWSER_SOCKET to another "
				      "path"
				    : "");
		errno = saved;
		return HW_ESYS;
	}
	return check_dir(dir, why, why_size);
}

/* $variable/tail, else $HOME/fallback/tail. */
static bool xdg_path(char *out, size_t size, const char *variable, const char *fallback,
		     const char *tail)
{
	const char *base = env_dir(variable);
	if (base)
		return put(out, size, "%s/%s", base, tail);
	const char *home = env_dir("HOME");
	return home && put(out, size, "%s/%s/%s", home, fallback, tail);
}

bool paths_config(char *out, size_t size)
{
	return xdg_path(out, size, "XDG_CONFIG_HOME", ".config", "hawser/hawser.conf");
}

bool paths_state_dir(char *out, size_t size)
{
	return xdg_path(out, size, "XDG_STATE_HOME", ".local/state", "hawser");
}
