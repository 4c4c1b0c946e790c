#include "daemon/config_host.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/pattern.h"
#include "protocol/alloc.h"

/* "ssh://user@HOST:port" and "user@HOST" as "host"; on the heap. A colon outside of a URI is an
 * IPv6 address's. */
static char *host_of(const char *typed)
{
	static const char scheme[] = "ssh://";
	bool uri = strncasecmp(typed, scheme, sizeof(scheme) - 1) == 0;
	const char *at, *host = uri ? typed + sizeof(scheme) - 1 : typed;
	char *copy;

	at = strrchr(host, '@');
	copy = xstrdup(at != NULL ? at + 1 : host);
	if (uri && copy[0] == '[') {
		memmove(copy, copy + 1, strlen(copy));
		copy[strcspn(copy, "]")] = '\0';
	} else if (uri) {
		copy[strcspn(copy, ":/")] = '\0';
	}
	for (char *c = copy; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	return copy;
}

static bool section_matches(const struct config *c, const struct config_section *section,
			    const char *typed, const char *hostname)
{
	const char *list = c->patterns + section->patterns_at;
	int by_typed = pattern_list_match(typed, list, section->patterns_len, true);
	int by_name = pattern_list_match(hostname, list, section->patterns_len, true);

	return by_typed >= 0 && by_name >= 0 && by_typed + by_name > 0;
}

static void take_first(unsigned *value, unsigned from)
{
	if (*value == CONFIG_UNSET)
		*value = from;
}

void config_for_host(const struct config *c, const char *typed, const char *hostname,
		     struct config_host *out)
{
	struct config_section sum = {.sticky = CONFIG_UNSET,
				     .keep = CONFIG_UNSET,
				     .reconnect_s = CONFIG_UNSET,
				     .max_age_s = CONFIG_UNSET};
	struct config_section daemon = {.sticky = c->sticky,
					.keep = c->keep,
					.reconnect_s = c->reconnect_s,
					.max_age_s = c->max_age_s};
	char *host = host_of(typed), *name = host_of(hostname);

	for (unsigned i = 0; i <= c->nsections; i++) {
		const struct config_section *s = i < c->nsections ? &c->sections[i] : &daemon;

		if (i < c->nsections && !section_matches(c, s, host, name))
			continue;
		take_first(&sum.sticky, s->sticky);
		take_first(&sum.keep, s->keep);
		take_first(&sum.reconnect_s, s->reconnect_s);
		take_first(&sum.max_age_s, s->max_age_s);
	}
	free(host);
	free(name);
	*out = (struct config_host){.sticky = sum.sticky != 0,
				    .keep = sum.keep != 0,
				    .reconnect_s = sum.reconnect_s,
				    .max_age_s = sum.max_age_s};
}
