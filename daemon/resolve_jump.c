#include "daemon/resolve_jump.h"

#include <string.h>

#include "daemon/destination_values.h"
#include "protocol/alloc.h"

/* ssh(1)'s options that take a value. */
#define WITH_VALUE "BbcDEeFIiJLlmOopQRSWw"

/* The value of the last -F in args, or NULL; ssh passes that on, and no other word. */
static const char *config_file(char *const *args)
{
	const char *found = NULL;

	for (; args != NULL && *args != NULL; args++) {
		const char *letter = *args;

		if (*letter++ != '-')
			continue;
		letter += strcspn(letter, WITH_VALUE);
		if (*letter == '\0')
			continue;
		if (letter[1] == '\0' && args[1] == NULL)
			break;
		if (*letter == 'F')
			found = letter[1] != '\0' ? letter + 1 : args[1];
		if (letter[1] == '\0')
			args++;
	}
	return found;
}

char **resolve_jump_args(const struct destination *d, const struct destination_hop *hop,
			 char *const *args)
{
	const char *const pairs[][2] = {{"-l", hop->user},
					{"-p", hop->port},
					{"-J", hop->before},
					{"-F", config_file(args)}};
	char **next = xcalloc(1, sizeof(*next));
	size_t n = 0;

	for (size_t i = 0; i < HW_ARRAY_LEN(pairs); i++) {
		if (pairs[i][1] == NULL)
			continue;
		vector_push(&next, &n, xstrdup(pairs[i][0]));
		vector_push(&next, &n, xstrdup(pairs[i][1]));
	}
	vector_push(&next, &n, xstrdup("-W"));
	vector_push(&next, &n, xasprintf("[%s]:%u", d->hostname, d->port));
	return next;
}
