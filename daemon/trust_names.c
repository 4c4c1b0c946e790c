#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/trust_priv.h"
#include "protocol/alloc.h"

/* As ssh does: more names of the same key are only counted. */
#define MAX_OTHER_NAMES	     8
#define KNOWN_HOSTS_LINE_MAX 16384

struct other_names {
	char *text; /* "    file:line: name\n" ... */
	size_t shown, omitted;
};

static void match_other_name(struct other_names *o, const char *file, unsigned number, char *line,
			     const char *base64)
{
	char *save = NULL, *names = strtok_r(line, " \t\r\n", &save), *key;

	if (names == NULL || names[0] == '#' || names[0] == '@')
		return;
	(void)strtok_r(NULL, " \t\r\n", &save); /* the type: the key's bytes repeat it */
	key = strtok_r(NULL, " \t\r\n", &save);
	if (key == NULL || strcmp(key, base64) != 0)
		return;
	if (o->shown == MAX_OTHER_NAMES) {
		o->omitted++;
	} else {
		char *all = xasprintf("%s    %s:%u: %s\n", o->text != NULL ? o->text : "", file,
				      number, names[0] == '|' ? "[hashed name]" : names);

		free(o->text);
		o->text = all;
		o->shown++;
	}
}

static void scan_other_names(struct other_names *o, char *const *files, const char *base64)
{
	for (size_t i = 0; files != NULL && files[i] != NULL; i++) {
		FILE *f = fopen(files[i], "re");
		char *line = NULL;
		size_t size = 0;
		unsigned number = 0;

		if (f == NULL)
			continue;
		while (getline(&line, &size, f) != -1) {
			number++;
			if (strlen(line) < KNOWN_HOSTS_LINE_MAX)
				match_other_name(o, files[i], number, line, base64);
		}
		free(line);
		fclose(f);
	}
}

char *trust_other_names(const struct login *l, const struct shown_key *k)
{
	struct other_names o = {.text = NULL};
	char *base64 = keyblob_base64(&k->blob), *text;

	scan_other_names(&o, l->dest->user_known_hosts, base64);
	scan_other_names(&o, l->dest->global_known_hosts, base64);
	free(base64);
	if (o.text == NULL)
		return xstrdup("This key is not known by any other names.\n");
	if (o.omitted > 0)
		text = xasprintf("This host key is known by the following other names/addresses:\n"
				 "%s    (%zu additional names omitted)\n",
				 o.text, o.omitted);
	else
		text = xasprintf("This host key is known by the following other names/addresses:\n"
				 "%s",
				 o.text);
	free(o.text);
	return text;
}
