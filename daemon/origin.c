#include "daemon/origin.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/alloc.h"

struct origin *origin_create(char **env, char *cwd, long pid)
{
	struct origin *o = xcalloc(1, sizeof(*o));

	o->refs = 1;
	o->env = env != NULL ? env : xcalloc(1, sizeof(*env));
	o->cwd = cwd != NULL ? cwd : xstrdup("/");
	o->pid = pid;
	return o;
}

struct origin *origin_ref(struct origin *o)
{
	if (o != NULL)
		__atomic_add_fetch(&o->refs, 1, __ATOMIC_RELAXED);
	return o;
}

void origin_unref(struct origin *o)
{
	if (o == NULL || __atomic_sub_fetch(&o->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (size_t i = 0; o->env[i] != NULL; i++)
		free_secret_str(o->env[i]);
	free(o->env);
	free(o->cwd);
	free(o);
}

const char *origin_getenv(const struct origin *o, const char *name)
{
	size_t len = strlen(name);

	for (char **e = o->env; *e != NULL; e++) {
		if (strncmp(*e, name, len) == 0 && (*e)[len] == '=')
			return *e + len + 1;
	}
	return NULL;
}
