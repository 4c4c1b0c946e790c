#include "daemon/destination_trust.h"

#include <string.h>
#include <strings.h>

#include "daemon/destination_values.h"
#include "protocol/alloc.h"

#define LIFETIME_MAX (100u * 365 * 24 * 3600) /* seconds */

void destination_trust_add_keys(struct destination *d, const char *value)
{
	const char *rest = value;

	d->add_keys = ADD_KEYS_NO;
	d->add_keys_lifetime = 0;
	if (value_is_off(value))
		return;
	d->add_keys = ADD_KEYS_YES;
	if (strcasecmp(value, "ask") == 0)
		d->add_keys = ADD_KEYS_ASK;
	if (strncasecmp(value, "confirm", 7) == 0) {
		d->add_keys = ADD_KEYS_CONFIRM;
		rest += 7 + strspn(value + 7, " ");
	}
	d->add_keys_lifetime = value_number(rest, LIFETIME_MAX, 0);
}

char *destination_trust_command(const char *value)
{
	return value != NULL && strcasecmp(value, "none") != 0 ? xstrdup(value) : NULL;
}

char *destination_trust_revoked(const char *value, const char *cwd, char **trouble)
{
	if (value == NULL || value[0] == '\0' || strcasecmp(value, "none") == 0)
		return NULL;
	if (value[0] == '~' || strpbrk(value, " \t%$") != NULL) {
		/* OpenSSH 9.2 takes it as it stands, later ones expand it or read a list. */
		if (*trouble == NULL)
			*trouble = xstrdup("RevokedHostKeys has a space, ~ or token in it");
	}
	if (value[0] == '/' || cwd == NULL)
		return xstrdup(value);
	return xasprintf("%s/%s", cwd, value);
}
