/* doctor: what answers behind a jump host or a ProxyCommand. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/doctor_priv.h"
#include "protocol/alloc.h"

/* The configuration file of the call: all that a jump host has of its words, as in ssh. */
static void take_config(const struct doctor *d, const char **words, size_t *n)
{
	for (int i = 0; i < d->noptions; i++) {
		if (strncmp(d->options[i], "-F", 2) != 0)
			continue;
		words[(*n)++] = d->options[i];
		if (d->options[i][2] == '\0' && i + 1 < d->noptions)
			words[(*n)++] = d->options[i + 1];
		return;
	}
}

/* As ssh calls itself for ProxyJump: the last of the hosts, through the others. */
static void through_jump(const struct doctor *d, char *jump, struct doctor_child *c)
{
	char *hawser = doctor_hawser(), *last = strrchr(jump, ',');
	char *gate, *target = xasprintf("[%s]:%s", d->hostname, d->port);
	const char *words[16] = {hawser, "-oBatchMode=yes"};
	size_t n = 2;

	take_config(d, words, &n);
	if (last != NULL) {
		*last++ = '\0';
		words[n++] = "-J";
		words[n++] = jump;
	}
	/* With user and port, as the option takes it and a host's name alone does not. */
	last = last != NULL ? last : jump;
	gate = xasprintf("%s%s", strncasecmp(last, "ssh://", 6) == 0 ? "" : "ssh://", last);
	words[n++] = "-W";
	words[n++] = target;
	words[n++] = gate;
	words[n] = NULL;
	doctor_child_fed((char *const *)(uintptr_t)words, doctor_hello, DOCTOR_STEP_MS * 2, c);
	free(hawser);
	free(target);
	free(gate);
}

/* ssh_config(5), TOKENS: those that commands are made of. NULL: there are others. */
static char *expand(const struct doctor *d, const char *command)
{
	char *out = xstrdup(""), *more;

	for (const char *at = command; *at != '\0'; at++) {
		const char *text = NULL;
		char one[2] = {*at, '\0'};

		if (*at != '%')
			text = one;
		else if (*++at == '%')
			text = "%";
		else if (*at == 'h')
			text = d->hostname;
		else if (*at == 'n')
			text = strrchr(d->host, '@') != NULL ? strrchr(d->host, '@') + 1 : d->host;
		else if (*at == 'p')
			text = d->port;
		else if (*at == 'r')
			text = d->user;
		if (text == NULL) {
			free(out);
			return NULL;
		}
		more = xasprintf("%s%s", out, text);
		free(out);
		out = more;
	}
	return out;
}

static bool by_command(const struct doctor *d, const char *command, struct doctor_child *c)
{
	char *passes = doctor_setting(d->config, "proxyusefdpass");
	char *expanded = passes != NULL && strcmp(passes, "yes") == 0 ? NULL : expand(d, command);
	char *line = expanded != NULL ? xasprintf("exec %s", expanded) : NULL;
	char *words[] = {(char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-c", line, NULL};

	if (line != NULL)
		doctor_child_fed(words, doctor_hello, DOCTOR_STEP_MS * 2, c);
	free(passes);
	free(expanded);
	free(line);
	return line != NULL;
}

/* What came is read as from the server itself. */
static bool is_ssh(struct doctor *d, const struct doctor_child *c, const char *where)
{
	int ends[2];
	bool ok;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return false;
	(void)!send(ends[1], c->out, c->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);
	shutdown(ends[1], SHUT_WR);
	ok = doctor_talk(d, ends[0], where);
	close(ends[0]);
	close(ends[1]);
	return ok;
}

void doctor_through(struct doctor *d)
{
	char *jump = doctor_setting(d->config, "proxyjump");
	char *command = doctor_setting(d->config, "proxycommand");
	char *where = xasprintf("through %s", jump != NULL ? jump : "its ProxyCommand");
	struct doctor_child c = {0};

	if (jump != NULL) {
		char *copy = xstrdup(jump);

		through_jump(d, copy, &c);
		free(copy);
	} else if (!by_command(d, command, &c)) {
		doctor_add(d, FINE, "address", "not looked at: only ssh can run its ProxyCommand");
		goto out;
	}
	if (c.out_len == 0) {
		c.err[strcspn(c.err, "\r\n")] = '\0';
		doctor_add(d, BAD, "address", "%s: nothing answers (%.0f ms)%s%s", where, c.took_ms,
			   c.err[0] != '\0' ? ": " : "", c.err);
		if (jump != NULL)
			doctor_cure(d, "look at the way there: hawserctl doctor %s%s",
				    strpbrk(jump, "@:") != NULL && strstr(jump, "://") == NULL
					    ? "ssh://"
					    : "",
				    strrchr(jump, ',') != NULL ? strrchr(jump, ',') + 1 : jump);
		else
			doctor_cure(d, "try the command by hand");
	} else if (is_ssh(d, &c, where)) {
		doctor_add(d, FINE, "address", "%s: %s after %.1f ms", where, d->banner, c.took_ms);
		d->speaks = true;
	}
out:
	doctor_child_free(&c);
	free(jump);
	free(command);
	free(where);
}
