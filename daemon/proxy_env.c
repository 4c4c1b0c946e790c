#include "daemon/proxy_env.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/alloc.h"

/* The ways that a client is a part of, being run as a command of theirs: starts of their keys. */
#define WAY_VARIABLE "HAWSER_WAY"
#define WAY_LEN	     16

bool proxy_env_is_loop(const struct destination *dest, const struct origin *origin)
{
	const char *way = origin_getenv(origin, WAY_VARIABLE);
	bool found = false;

	for (; dest != NULL && way != NULL && !found; dest = dest->jump) {
		char *name = xstrndup(dest->key, WAY_LEN);

		found = dest->proxy_command != NULL && strstr(way, name) != NULL;
		free(name);
	}
	return found;
}

char **proxy_env_make(const struct destination *dest, const struct origin *origin, char **way)
{
	static char *const none[] = {NULL};
	char *const *env = origin != NULL ? origin->env : none;
	char **copy = xcalloc(strv_len(env) + 3, sizeof(*copy));
	const char *before = NULL;
	bool level = false;
	size_t n = 0;

	for (; *env != NULL; env++) {
		if (strncmp(*env, WAY_VARIABLE "=", sizeof(WAY_VARIABLE)) == 0) {
			before = *env + sizeof(WAY_VARIABLE);
			continue;
		}
		copy[n] = *env;
		if (strncmp(*env, "SHLVL=", 6) == 0) {
			level = true;
			if (strtol(*env + 6, NULL, 10) < 1)
				copy[n] = "SHLVL=1";
		}
		n++;
	}
	*way = xasprintf(WAY_VARIABLE "=%s%s%.*s", before != NULL ? before : "",
			 before != NULL ? "," : "", WAY_LEN, dest->key);
	copy[n++] = *way;
	/* bash takes a socket as stdin for the sign of a remote shell's daemon and reads ~/.bashrc,
	 * unless it is below another shell; ssh hands it pipes. */
	if (!level)
		copy[n++] = "SHLVL=1";
	return copy;
}
