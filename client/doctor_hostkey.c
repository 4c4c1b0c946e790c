/* doctor: the server's host keys against those in known_hosts. */
#include <stdlib.h>
#include <string.h>

#include "client/doctor_priv.h"
#include "protocol/alloc.h"

struct known {
	struct doctor *d;
	const char *name;
	char *lines; /* that ssh-keygen -F found, of all files */
	char *file;  /* the first that has one */
};

static void look_in(void *ctx, const char *value)
{
	struct known *k = ctx;
	char *files = xstrdup(value), *save = NULL;

	for (char *file = strtok_r(files, " ", &save); file != NULL;
	     file = strtok_r(NULL, " ", &save)) {
		const char *home = getenv("HOME");
		char *path = file[0] == '~' && home != NULL ? xasprintf("%s%s", home, file + 1)
							    : xstrdup(file);
		char *words[] = {(char *)(uintptr_t) "ssh-keygen",
				 (char *)(uintptr_t) "-F",
				 (char *)(uintptr_t)k->name,
				 (char *)(uintptr_t) "-f",
				 path,
				 NULL};
		struct doctor_child c;

		if (doctor_child(words, NULL, DOCTOR_STEP_MS, &c) == 0 && c.out[0] != '\0') {
			char *more = xasprintf("%s%s", k->lines, c.out);

			free(k->lines);
			k->lines = more;
			if (k->file == NULL)
				k->file = xstrdup(path);
		}
		doctor_child_free(&c);
		free(path);
	}
	free(files);
}

/* What known_hosts says of the server's keys, together. */
struct verdict {
	bool any, same, revoked, authority;
	char *changed; /* a type that is known with another key */
};

/* One line of known_hosts: a marker perhaps, hosts, type, key. False: it is a comment, say. */
static bool split(char *line, const char **marker, const char **type, const char **key)
{
	char *save = NULL, *word = strtok_r(line, " \t", &save);

	*marker = word != NULL && word[0] == '@' ? word : "";
	if ((*marker)[0] != '\0')
		word = strtok_r(NULL, " \t", &save);
	if (word == NULL || word[0] == '#')
		return false;
	*type = strtok_r(NULL, " \t", &save);
	*key = strtok_r(NULL, " \t\r", &save);
	return *type != NULL && *key != NULL;
}

/* Each type by itself: one that is the same does not clear one that is not. */
static void compare(struct verdict *v, const char *known, const char *server_type,
		    const char *server_key)
{
	char *lines = xstrdup(known), *save = NULL;
	bool same = false, other = false;

	for (char *line = strtok_r(lines, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		const char *marker, *type, *key;

		if (!split(line, &marker, &type, &key))
			continue;
		if (strcmp(marker, "@cert-authority") == 0)
			v->authority = true;
		else if (strcmp(marker, "@revoked") == 0)
			v->revoked = v->revoked || strcmp(key, server_key) == 0;
		else if (strcmp(key, server_key) == 0)
			same = true;
		else if (strcmp(type, server_type) == 0)
			other = true;
	}
	free(lines);
	v->any = true;
	v->same = v->same || same;
	if (other && !same && v->changed == NULL)
		v->changed = xstrdup(server_type);
}

static void tell(struct doctor *d, const struct known *k, const struct verdict *v)
{
	if (v->revoked) {
		doctor_add(d, BAD, "host key", "the server's key is marked as revoked in %s",
			   k->file);
		doctor_cure(d, "do not connect: ask the administrator");
	} else if (v->changed != NULL || (v->any && !v->same && !v->authority)) {
		doctor_add(d, BAD, "host key",
			   "CHANGED: %s has another key%s%s than the one that the server shows",
			   k->file, v->changed != NULL ? " of type " : "",
			   v->changed != NULL ? v->changed : "");
		doctor_cure(d,
			    "ask the administrator whether it was made anew; if so: ssh-keygen "
			    "-R %s",
			    k->name);
	} else if (v->same) {
		doctor_add(d, FINE, "host key", "known, and the same (%s)", k->file);
	} else if (v->any) {
		doctor_add(d, NOTE, "host key", "trusted by an authority: such logins are ssh's");
	}
}

/* What ssh-keyscan(1) gets: the server's keys, a line each. It asks for one of each type. */
static void judge_key(struct doctor *d, const struct known *k)
{
	char *words[] = {(char *)(uintptr_t) "ssh-keyscan",
			 (char *)(uintptr_t) "-T",
			 (char *)(uintptr_t) "5",
			 (char *)(uintptr_t) "-p",
			 (char *)(uintptr_t)d->port,
			 d->address_text,
			 NULL};
	struct verdict v = {.any = false};
	struct doctor_child c;
	char *save = NULL;

	if (doctor_child(words, NULL, DOCTOR_STEP_MS * 2, &c) != 0 || c.out[0] == '\0') {
		doctor_add(d, NOTE, "host key", "not compared: ssh-keyscan gets no key");
		doctor_child_free(&c);
		return;
	}
	for (char *line = strtok_r(c.out, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		const char *marker, *type, *key;

		if (split(line, &marker, &type, &key))
			compare(&v, k->lines, type, key);
	}
	doctor_child_free(&c);
	tell(d, k, &v);
	free(v.changed);
}

static void look_up(struct doctor *d, struct known *k, const char *name)
{
	k->name = name;
	doctor_each_setting(d->config, "userknownhostsfile", look_in, k);
	doctor_each_setting(d->config, "globalknownhostsfile", look_in, k);
}

void doctor_host_key(struct doctor *d)
{
	struct known k = {.d = d, .lines = xstrdup("")};
	char *alias = doctor_setting(d->config, "hostkeyalias");
	bool plain = alias != NULL || strcmp(d->port, "22") == 0;
	char *name = alias != NULL ? xstrdup(alias)
		     : plain	   ? xstrdup(d->hostname)
				   : xasprintf("[%s]:%s", d->hostname, d->port);

	look_up(d, &k, name);
	if (k.lines[0] == '\0' && !plain)
		look_up(d, &k, d->hostname); /* as ssh does: an entry without a port */
	if (k.lines[0] == '\0') {
		doctor_add(d, NOTE, "host key", "%s is not known yet: the first login asks", name);
		doctor_cure(d, "log in once on a terminal, or put its key into known_hosts");
	} else if (d->speaks) {
		judge_key(d, &k);
	} else {
		doctor_add(d, FINE, "host key", "%s is known (%s)", name, k.file);
	}
	free(name);
	free(alias);
	free(k.lines);
	free(k.file);
}
