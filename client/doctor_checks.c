/* doctor: what OpenSSH's own programs and hawserd know: configuration, algorithms, keys, what is
 * held. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/connect.h"
#include "client/ctl.h"
#include "client/doctor_priv.h"
#include "protocol/alloc.h"

static const char *const nothing[] = {NULL};

/* --- configuration --- */

char *doctor_setting(const char *config, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = config; line != NULL && *line != '\0';) {
		const char *end = strchr(line, '\n');

		if (strncmp(line, name, len) == 0 && line[len] == ' ')
			return xstrndup(line + len + 1, end != NULL ? (size_t)(end - line) - len - 1
								    : strlen(line + len + 1));
		line = end != NULL ? end + 1 : NULL;
	}
	return NULL;
}

void doctor_each_setting(const char *config, const char *name,
			 void (*each)(void *ctx, const char *value), void *ctx)
{
	size_t len = strlen(name);

	for (const char *line = config; line != NULL && *line != '\0';) {
		const char *end = strchr(line, '\n');

		if (strncmp(line, name, len) == 0 && line[len] == ' ') {
			char *value = xstrndup(line + len + 1,
					       end != NULL ? (size_t)(end - line) - len - 1
							   : strlen(line + len + 1));
			each(ctx, value);
			free(value);
		}
		line = end != NULL ? end + 1 : NULL;
	}
}

/* Lines of a that are not in b, between ", ". */
static char *differing(const char *a, const char *b)
{
	char *all = xstrdup("");

	while (*a != '\0') {
		size_t len = strcspn(a, "\n");
		char *line = xasprintf("%.*s\n", (int)len, a);
		const char *at = strstr(b, line);

		if ((at == NULL || (at != b && at[-1] != '\n')) && strncmp(line, "host ", 5) != 0 &&
		    strlen(line) < 200 && strlen(all) < 1500) {
			char *more = xasprintf("%s%s%.*s", all, all[0] != '\0' ? "; " : "",
					       (int)len, line);
			free(all);
			all = more;
		}
		free(line);
		a += len + (a[len] == '\n');
	}
	return all;
}

static void handed_over(struct doctor *d)
{
	static const char words[] = "cannot do this without ssh: ";
	char *hawser = doctor_hawser();
	const char *first[] = {hawser, "-O", "check", NULL};
	char **argv = doctor_words(d, first, nothing), *at;
	struct doctor_child c;

	if (doctor_child(argv, NULL, DOCTOR_STEP_MS, &c) >= 0 &&
	    (at = strstr(c.err, words)) != NULL) {
		at += strlen(words);
		at[strcspn(at, "\n")] = '\0';
		if (strstr(at, " (and HAWSER_FALLBACK") != NULL)
			*strstr(at, " (and HAWSER_FALLBACK") = '\0';
		doctor_add(d, NOTE, "configuration",
			   "hawser hands calls to this host over to ssh: %s", at);
	}
	doctor_child_free(&c);
	free(argv);
	free(hawser);
}

void doctor_config(struct doctor *d)
{
	static const char *const first[] = {"ssh", "-G", NULL};
	char **words = doctor_words(d, first, nothing), *jump, *command, *differs;
	char *defaults[] = {(char *)(uintptr_t) "ssh",	     (char *)(uintptr_t) "-F",
			    (char *)(uintptr_t) "/dev/null", (char *)(uintptr_t) "-G",
			    (char *)(uintptr_t)d->host,	     NULL};
	struct doctor_child c, p;
	int status = doctor_child(words, NULL, DOCTOR_STEP_MS * 6, &c);

	free(words);
	if (status != 0 || strncmp(c.out, "host ", 5) != 0) {
		c.err[strcspn(c.err, "\n")] = '\0';
		doctor_add(d, BAD, "configuration", "ssh -G fails: %s",
			   c.err[0] != '\0' ? c.err
			   : status == 0    ? "it prints no configuration"
					    : "it could not be run, or did not end");
		doctor_cure(d, "mend the line that it names");
		doctor_child_free(&c);
		return;
	}
	d->config = c.out;
	c.out = NULL;
	doctor_child_free(&c);
	d->hostname = doctor_setting(d->config, "hostname");
	d->user = doctor_setting(d->config, "user");
	d->port = doctor_setting(d->config, "port");
	jump = doctor_setting(d->config, "proxyjump");
	command = doctor_setting(d->config, "proxycommand");
	d->indirect = jump != NULL || command != NULL;
	doctor_add(d, FINE, "configuration", "%s@%s port %s%s%s", d->user, d->hostname, d->port,
		   jump != NULL	     ? ", through "
		   : command != NULL ? ", by "
				     : "",
		   jump != NULL	     ? jump
		   : command != NULL ? command
				     : "");
	if (doctor_child(defaults, NULL, DOCTOR_STEP_MS, &p) == 0) {
		differs = differing(d->config, p.out);
		if (differs[0] != '\0')
			doctor_add(d, FINE, "configuration", "differs from the defaults in: %s",
				   differs);
		free(differs);
	}
	doctor_child_free(&p);
	free(jump);
	free(command);
	handed_over(d);
}

/* --- algorithms --- */

/* The first of ours that is in theirs, as RFC 4253 section 7.1 has it; on the heap, NULL: none. */
static char *common(const char *mine, const char *theirs)
{
	while (*mine != '\0') {
		size_t len = strcspn(mine, ",");

		for (const char *t = theirs; *t != '\0';) {
			size_t n = strcspn(t, ",");

			if (n == len && strncmp(t, mine, len) == 0)
				return xstrndup(mine, len);
			t += n + (t[n] == ',');
		}
		mine += len + (mine[len] == ',');
	}
	return NULL;
}

/* Such a cipher vouches for its data itself: no MAC is agreed on (RFC 5647, PROTOCOL of OpenSSH).
 */
static bool needs_no_mac(const char *cipher)
{
	return strstr(cipher, "-gcm@openssh.com") != NULL ||
	       strstr(cipher, "-poly1305@openssh.com") != NULL;
}

void doctor_algorithms(struct doctor *d)
{
	static const struct {
		const char *setting, *name;
	} lists[] = {{"kexalgorithms", "key exchange"},
		     {"hostkeyalgorithms", "host key"},
		     {"ciphers", "cipher"},
		     {"macs", "MAC"}};
	char *chosen = xstrdup("");
	bool whole = false;

	if (!d->speaks || d->offers[0] == NULL) {
		free(chosen);
		return;
	}
	for (size_t i = 0; i < HW_ARRAY_LEN(lists) - (whole ? 1 : 0); i++) {
		char *mine = doctor_setting(d->config, lists[i].setting);
		const char *theirs = d->offers[i] != NULL ? d->offers[i] : "";
		char *one = mine != NULL ? common(mine, theirs) : NULL;

		if (one != NULL) {
			char *more = xasprintf("%s%s%s", chosen, i > 0 ? ", " : "", one);

			free(chosen);
			chosen = more;
			whole = whole || needs_no_mac(one);
		} else if (mine != NULL) {
			doctor_add(d, BAD, "algorithms",
				   "no common %s: the server offers %s; here %s", lists[i].name,
				   theirs, mine);
			doctor_cure(d,
				    "allow one that the server offers (%s in ssh_config), or "
				    "have the server updated",
				    lists[i].setting);
		}
		free(one);
		free(mine);
	}
	doctor_add(d, FINE, "algorithms", "ssh would agree on %s", chosen);
	free(chosen);
}

/* --- keys --- */

static void look_at_key(void *ctx, const char *value)
{
	const char *home = getenv("HOME");
	char *path = value[0] == '~' && home != NULL ? xasprintf("%s%s", home, value + 1)
						     : xstrdup(value);
	struct doctor *d = ctx;
	struct stat st;

	if (stat(path, &st) != 0) {
		free(path); /* ssh's list of names that may be there */
		return;
	}
	if (access(path, R_OK) != 0) {
		doctor_add(d, BAD, "keys", "%s can't be read: %s", path, strerror(errno));
		doctor_cure(d, "chown and chmod 600 it");
	} else if (st.st_uid == getuid() && (st.st_mode & 077) != 0) {
		doctor_add(d, BAD, "keys", "%s is open to others (mode %04o): it will not be used",
			   path, (unsigned)(st.st_mode & 07777));
		doctor_cure(d, "chmod 600 %s", path);
	} else {
		doctor_add(d, FINE, "keys", "%s", path);
	}
	free(path);
}

static void look_at_agent(struct doctor *d)
{
	char *words[] = {(char *)(uintptr_t) "ssh-add", (char *)(uintptr_t) "-l", NULL};
	char *agent = doctor_setting(d->config, "identityagent");
	struct doctor_child c;
	int status;

	if (agent != NULL && strcmp(agent, "SSH_AUTH_SOCK") != 0) {
		doctor_add(d, FINE, "keys", "the agent is %s", agent);
		free(agent);
		return;
	}
	free(agent);
	if (getenv("SSH_AUTH_SOCK") == NULL) {
		doctor_add(d, FINE, "keys", "no agent (SSH_AUTH_SOCK is not set)");
		return;
	}
	status = doctor_child(words, NULL, DOCTOR_STEP_MS, &c);
	if (status == 0) {
		size_t n = 0;

		for (const char *p = c.out; *p != '\0'; p++)
			n += *p == '\n';
		doctor_add(d, n > 5 ? NOTE : FINE, "keys", "the agent has %zu key%s", n,
			   n == 1 ? "" : "s");
		if (n > 5)
			doctor_cure(d, "a server takes six tries (MaxAuthTries): name the right "
				       "key (IdentityFile, IdentitiesOnly=yes)");
	} else if (status == 1) {
		doctor_add(d, FINE, "keys", "the agent has no keys");
	} else {
		doctor_add(d, NOTE, "keys", "SSH_AUTH_SOCK is set, and no agent answers there");
		doctor_cure(d, "start one, or unset SSH_AUTH_SOCK");
	}
	doctor_child_free(&c);
}

void doctor_keys(struct doctor *d)
{
	look_at_agent(d);
	doctor_each_setting(d->config, "identityfile", look_at_key, d);
}

/* --- what hawserd knows --- */

static void show_held(struct doctor *d, const struct ctl_reply *r)
{
	for (size_t i = 0; i < r->nitems; i++) {
		const struct reply_value *state = ctl_reply_get(r, i, "state");
		const struct reply_value *rtt = ctl_reply_get(r, i, "rtt_ms");
		const struct reply_value *age = ctl_reply_get(r, i, "age_s");
		const struct reply_value *limit = ctl_reply_get(r, i, "session_limit");
		const struct reply_value *sessions = ctl_reply_get(r, i, "sessions");
		const struct reply_value *alive = ctl_reply_get(r, i, "keepalive_s");
		const struct reply_value *waits = ctl_reply_get(r, i, "waits_for");
		bool silent = state != NULL && strcmp(state->str, "silent") == 0;

		if (waits != NULL && waits->str != NULL && waits->str[0] != '\0') {
			doctor_add(d, NOTE, "held", "none; waiting for %s", waits->str);
			continue;
		}
		doctor_add(d, silent ? BAD : FINE, "held",
			   "%s for %.0f s, %llu sessions%s, keepalives every %.1f s",
			   state != NULL ? state->str : "?", age != NULL ? age->dbl : 0,
			   sessions != NULL ? (unsigned long long)sessions->uint : 0ull,
			   rtt != NULL && rtt->kind == 'd' ? "" : ", no round trip yet",
			   alive != NULL ? alive->dbl : 0);
		if (rtt != NULL && rtt->kind == 'd')
			doctor_add(d, FINE, "held", "round trip %.1f ms", rtt->dbl);
		if (limit != NULL && limit->uint > 0)
			doctor_add(d, FINE, "limits",
				   "the server allows %llu sessions on a connection (MaxSessions)",
				   (unsigned long long)limit->uint);
	}
}

static void show_last_end(struct doctor *d, const struct ctl_reply *r)
{
	static const char *const of_shells[] = {"session-limit", "exits-at-once", "channel"};
	const struct reply_value *text = r->nitems > 0 ? ctl_reply_get(r, 0, "text") : NULL;

	const struct reply_value *cls = r->nitems > 0 ? ctl_reply_get(r, 0, "class") : NULL;
	const struct reply_value *hint = r->nitems > 0 ? ctl_reply_get(r, 0, "hint") : NULL;
	bool shell = false;

	/* A login is not a shell: what ends those alone is not seen by one. */
	for (size_t i = 0; i < HW_ARRAY_LEN(of_shells) && cls != NULL && cls->str != NULL; i++)
		shell = shell || strcmp(cls->str, of_shells[i]) == 0;
	if (text == NULL || text->str == NULL)
		return;
	doctor_add(d, shell ? NOTE : FINE, "last end", "%s (hawserctl why %s)", text->str, d->host);
	if (shell && hint != NULL && hint->str != NULL)
		doctor_cure(d, "%s", hint->str);
}

void doctor_held(struct doctor *d)
{
	const char *args[] = {d->host, NULL};
	struct ctl_reply reply;
	struct frame_reader in;
	char why[512];
	int sock;

	if (connect_daemon(false, &sock, why, sizeof(why)) != HW_OK) {
		doctor_add(d, FINE, "held", "no hawserd runs: nothing is held");
		return;
	}
	frame_reader_init(&in);
	if (ctl_ask(sock, &in, "status", args, &reply) == HW_OK && reply.ok)
		show_held(d, &reply);
	else
		doctor_add(d, FINE, "held", "no connection is held");
	ctl_reply_free(&reply);
	if (ctl_ask(sock, &in, "why", args, &reply) == HW_OK && reply.ok)
		show_last_end(d, &reply);
	ctl_reply_free(&reply);
	frame_reader_finish(&in);
	close(sock);
}
