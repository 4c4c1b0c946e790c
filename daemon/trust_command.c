#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon/destination.h"
#include "daemon/destination_values.h"
#include "daemon/expand.h"
#include "daemon/resolve_run.h"
#include "daemon/trust_priv.h"
#include "protocol/alloc.h"

/* One word of the command at *at, its quotes and escapes taken away as ssh does: \ escapes quotes
 * and itself, outside of quotes a space, too. NULL: a quote is not closed. */
static char *next_word(const char **at)
{
	char *word = xmalloc(strlen(*at) + 1), quote = '\0';
	const char *p = *at;
	size_t n = 0;

	for (; *p != '\0' && (quote != '\0' || strchr(" \t", *p) == NULL); p++) {
		if (*p == '\\' && p[1] != '\0' &&
		    (strchr("'\"\\", p[1]) != NULL || (quote == '\0' && p[1] == ' '))) {
			word[n++] = *++p;
		} else if (quote == '\0' && (*p == '"' || *p == '\'')) {
			quote = *p;
		} else if (quote != '\0' && *p == quote) {
			quote = '\0';
		} else {
			word[n++] = *p;
		}
	}
	word[n] = '\0';
	*at = p;
	if (quote == '\0')
		return word;
	free(word);
	return NULL;
}

static char **split(const char *text)
{
	char **words = xcalloc(1, sizeof(*words));
	size_t count = 0;

	for (text += strspn(text, " \t"); *text != '\0'; text += strspn(text, " \t")) {
		char *word = next_word(&text);

		if (word == NULL) {
			strv_free(words);
			return NULL;
		}
		vector_push(&words, &count, word);
	}
	return words;
}

/* The tokens of all words but the program's. false: one cannot be expanded, and why is set. */
static bool expand_words(struct login *l, char **words, const struct expand_extra *extra)
{
	const struct destination *d = l->dest;
	const struct expand_context ctx = {
		.typed = destination_raw(d, "host") != NULL ? destination_raw(d, "host") : d->typed,
		.hostname = d->hostname,
		.port = destination_raw(d, "port"),
		.user = d->user,
		.alias = d->hostkey_alias != NULL	      ? d->hostkey_alias
			 : destination_raw(d, "host") != NULL ? destination_raw(d, "host")
							      : d->typed,
		.env = l->origin != NULL ? l->origin->env : NULL,
		.cwd = "/",
		.extra = extra,
	};

	for (char **w = words + 1; *w != NULL; w++) {
		char *why = NULL;

		*w = expand_tokens(*w, &ctx, &why);
		if (*w != NULL)
			continue;
		for (w++; *w != NULL; w++)
			free(*w);
		cause_set(&l->result.why, CAUSE_CONFIG, "%s: KnownHostsCommand: %s", l->where, why);
		free(why);
		return false;
	}
	return true;
}

static int run(struct login *l, const char *tag, char **words, const char *name,
	       struct knownhosts *kh)
{
	static char *const no_env[] = {NULL};
	uint64_t now = login_now_ms();
	struct resolve_output o = {.status = -1};
	int rc = resolve_run(words[0], words, l->origin != NULL ? l->origin->env : no_env,
			     l->origin != NULL ? l->origin->cwd : "/", l->cancel_fd,
			     now < l->deadline_ms ? (unsigned)(l->deadline_ms - now) : 0, &o);

	if (o.err != NULL && o.err[0] != '\0') {
		o.err[strlen(o.err) - (o.err[strlen(o.err) - 1] == '\n')] = '\0';
		login_warn(l, "%s", o.err);
	}
	if (rc == HW_OK && WIFEXITED(o.status) && WEXITSTATUS(o.status) == 0) {
		knownhosts_load_text(kh, o.out, tag, name);
	} else if (login_check(l) == HW_OK) {
		if (rc == HW_OK && WIFEXITED(o.status))
			cause_set(&l->result.why, CAUSE_HOSTKEY_UNKNOWN,
				  "%s: KnownHostsCommand failed: %s %s exited with status %d",
				  l->where, tag, words[0], WEXITSTATUS(o.status));
		else
			cause_set(&l->result.why, CAUSE_HOSTKEY_UNKNOWN,
				  "%s: KnownHostsCommand failed: %s %s: %s", l->where, tag,
				  words[0],
				  rc == HW_OK	  ? "ended by a signal"
				  : rc == HW_ESYS ? strerror(errno)
						  : hw_strerror(rc));
		cause_hint(&l->result.why, "run it by hand to see why; see KnownHostsCommand in "
					   "ssh_config(5)");
		rc = HW_EPERM;
	}
	resolve_output_finish(&o);
	return rc == HW_OK ? HW_OK : HW_EPERM;
}

int trust_command_run(struct login *l, const char *reason, const char *name,
		      const struct shown_key *k, struct knownhosts *kh)
{
	const char *command = l->dest->known_hosts_command;
	char *tag, *base64, **words;
	struct stat st;
	int rc = HW_OK;

	if (command == NULL)
		return HW_OK;
	tag = xasprintf("KnownHostsCommand-%s", reason);
	base64 = k != NULL ? keyblob_base64(&k->blob) : xstrdup("NONE");
	words = split(command);
	/* These are no end for ssh: the key is just not known by it. */
	if (words == NULL) {
		login_warn(l, "%s \"%s\" contains invalid quotes", tag, command);
	} else if (words[0] == NULL) {
		login_warn(l, "%s \"%s\" yielded no arguments", tag, command);
	} else if (words[0][0] != '/') {
		login_warn(l, "%s path is not absolute", tag);
	} else if (stat(words[0], &st) != 0) {
		login_warn(l, "Could not stat %s \"%s\": %s", tag, words[0], strerror(errno));
	} else {
		const struct expand_extra extra[] = {
			{'H', name},
			{'I', reason},
			{'t', k != NULL ? k->type : "NONE"},
			{'f', k != NULL ? k->fingerprint : "NONE"},
			{'K', base64},
			{'\0', NULL},
		};

		if (!expand_words(l, words, extra))
			rc = HW_EPERM;
		else
			rc = run(l, tag, words, name, kh);
	}
	strv_free(words);
	free(base64);
	free(tag);
	return rc;
}
