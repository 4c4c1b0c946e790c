#include "daemon/destination_fallback.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/algorithms.h"
#include "daemon/destination_values.h"
#include "daemon/keywords.h"
#include "protocol/alloc.h"

static bool chosen_without_common(const struct keyword *k, const char *value, char *const *defaults)
{
	const char *unset = destination_line(defaults, k->name);
	char *common;

	if (unset != NULL && strcmp(unset, value) == 0)
		return false;
	common = algorithms_cut((enum algorithm_kind)algorithms_kind(k->name), value);
	if (common == NULL)
		return true;
	free(common);
	return false;
}

/* Is one of the methods that we have both switched on and preferred? */
static bool method_left(const struct destination *d)
{
	for (char *const *m = d->preferred_auths; *m != NULL; m++) {
		if ((strcmp(*m, "publickey") == 0 && d->pubkey_auth) ||
		    (strcmp(*m, "keyboard-interactive") == 0 && d->kbdint_auth) ||
		    (strcmp(*m, "password") == 0 && d->password_auth))
			return true;
	}
	return false;
}

static bool applies(const struct keyword *k, const char *value, char *const *defaults)
{
	switch (k->rule) {
	case RULE_DONE:
	case RULE_HARMLESS:
	case RULE_METHODS: /* looked at once, whether or not the line is there */
		return false;
	case RULE_IF_SET:
		return value[0] != '\0' && strcasecmp(value, "none") != 0;
	case RULE_IF_ON:
		return !value_is_off(value);
	case RULE_IF_VALUE:
		return strcasecmp(value, k->value) == 0;
	case RULE_IF_PATH:
		/* "8080 ..." or "[host]:8080 ..." are ports. */
		return memchr(value, '/', strcspn(value, " ")) != NULL;
	case RULE_ALGORITHMS:
		return chosen_without_common(k, value, defaults);
	}
	return true;
}

char *destination_fallback(const struct destination *d, char *const *defaults)
{
	for (char *const *line = d->raw; *line != NULL; line++) {
		size_t len = strcspn(*line, " ");
		const char *value = *line + len + ((*line)[len] == ' ');
		const struct keyword *k = keywords_find(*line, len);

		if (k == NULL) {
			const char *unset = NULL;
			char *name = xstrndup(*line, len), *phrase = NULL;

			/* A newer ssh prints its new options too: only one that was set counts. */
			unset = destination_line(defaults, name);
			if (unset == NULL || strcmp(unset, value) != 0)
				phrase = xasprintf("the option %s, which is new to hawser", name);
			free(name);
			if (phrase != NULL)
				return phrase;
			continue;
		}
		if (!applies(k, value, defaults))
			continue;
		if (k->rule == RULE_ALGORITHMS)
			return xasprintf("%s names none that libssh has", k->title);
		if (k->rule == RULE_IF_PATH)
			return xasprintf("%s listens on a Unix socket", k->title);
		if (k->rule == RULE_IF_VALUE)
			return xasprintf("%s %s", k->title, k->value);
		return xasprintf("%s is set", k->title);
	}
	if (!method_left(d))
		return xstrdup("no authentication method that hawser has is switched on");
	return NULL;
}
