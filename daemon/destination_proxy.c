#include "daemon/destination_proxy.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/destination_values.h"
#include "daemon/digest.h"
#include "protocol/alloc.h"

/* The tokens of ssh_config(5) that these two take. Variables are the shell's to expand. */
#define PROXY_TOKENS "%hknpr"

/* Takes nothing. NULL with *why: ssh would refuse the value. */
static char *expand(const char *text, const struct expand_context *ctx, char **why)
{
	char *out = NULL, *piece;
	size_t len = 0;
	FILE *f = open_memstream(&out, &len);

	if (f == NULL)
		return NULL;
	for (; *text != '\0'; text++) {
		if (*text != '%') {
			fputc(*text, f);
			continue;
		}
		text++;
		piece = NULL;
		if (*text != '\0' && strchr(PROXY_TOKENS, *text) != NULL)
			piece = expand_tokens(xasprintf("%%%c", *text), ctx, why);
		else
			*why = xasprintf("unknown token %%%.1s", text);
		if (piece == NULL) {
			fclose(f);
			free(out);
			return NULL;
		}
		fputs(piece, f);
		free(piece);
	}
	fclose(f);
	return out;
}

/* The variables that the command's text names decide where it leads: $NAME and ${NAME...}. */
static void digest_variables(const char *command, char *const *env, char hex[65])
{
	uint8_t digest[DIGEST_SHA256_LEN];
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL)
		return;
	for (const char *at = command; (at = strchr(at, '$')) != NULL;) {
		const char *name = at + 1 + (at[1] == '{'), *value;
		size_t n = 0;

		while (isalnum((unsigned char)name[n]) || name[n] == '_')
			n++;
		value = n > 0 ? expand_getenv(env, name, n) : NULL;
		if (value != NULL)
			fprintf(f, "%.*s=%s\n", (int)n, name, value);
		at = name + n;
	}
	fclose(f);
	if (len > 0) {
		digest_sha256(text, len, digest);
		digest_hex(digest, sizeof(digest), hex);
	}
	free_secret(text, len);
}

static char *cannot(const char *title, char *why)
{
	char *phrase = xasprintf("%s cannot be expanded (%s)", title, why != NULL ? why : "?");

	free(why);
	return phrase;
}

char *destination_fill_proxy(struct destination *d, const struct expand_context *ctx)
{
	const char *command = destination_line(d->raw, "proxycommand");
	const char *jump = destination_line(d->raw, "proxyjump");
	char *why = NULL;

	if (jump != NULL && strcasecmp(jump, "none") != 0) {
		d->jump_spec = expand(jump, ctx, &why);
		return d->jump_spec != NULL ? NULL : cannot("ProxyJump", why);
	}
	if (command == NULL || strcasecmp(command, "none") == 0)
		return NULL;
	/* The connection is on the caller's own stdin and stdout. */
	if (strcmp(command, "-") == 0)
		return xstrdup("ProxyCommand - is set");
	d->proxy_command = expand(command, ctx, &why);
	if (d->proxy_command == NULL)
		return cannot("ProxyCommand", why);
	d->proxy_fdpass = value_flag(destination_line(d->raw, "proxyusefdpass"));
	digest_variables(d->proxy_command, ctx->env, d->proxy_env);
	return NULL;
}

/* Does the command's text name a file from where the client stands: its program, or a word that
 * begins with ./ or ../? What else it may look for there is not to be seen. */
static bool is_local(const char *command)
{
	static const char between[] = " \t\n\"'=;|&()<>";
	bool program = true;

	if (command == NULL)
		return false;
	for (command += strspn(command, between); *command != '\0';) {
		size_t len = strcspn(command, between);

		if (strncmp(command, "./", 2) == 0 || strncmp(command, "../", 3) == 0 ||
		    (program && strchr("/~$", command[0]) == NULL &&
		     memchr(command, '/', len) != NULL))
			return true;
		program = program && len == strlen("exec") && strncmp(command, "exec", len) == 0;
		command += len;
		command += strspn(command, between);
	}
	return false;
}

void destination_fill_cwd(struct destination *d, const char *cwd)
{
	if (cwd != NULL && (is_local(d->proxy_command) || is_local(d->known_hosts_command)))
		d->cwd = xstrdup(cwd);
}

void destination_finish_proxy(struct destination *d)
{
	free(d->cwd);
	free(d->proxy_command);
	free(d->jump_spec);
	destination_unref(d->jump);
}

void destination_write_proxy_key(FILE *f, const struct destination *d)
{
	if (d->proxy_command != NULL)
		fprintf(f, "=proxycommand %s\n", d->proxy_command);
	if (d->proxy_env[0] != '\0')
		fprintf(f, "=proxyenv %s\n", d->proxy_env);
	if (d->cwd != NULL)
		fprintf(f, "=cwd %s\n", d->cwd);
	if (d->jump != NULL)
		fprintf(f, "=jump %s\n", d->jump->key);
}

void destination_hop_parse(const char *spec, struct destination_hop *hop)
{
	const char *comma, *last, *at, *end;

	*hop = (struct destination_hop){0};
	if (spec == NULL || strcasecmp(spec, "none") == 0)
		return;
	comma = strrchr(spec, ',');
	last = comma != NULL ? comma + 1 : spec;
	at = strrchr(last, '@');
	if (comma != NULL)
		hop->before = xstrndup(spec, (size_t)(comma - spec));
	if (at != NULL) {
		hop->user = xstrndup(last, (size_t)(at - last));
		last = at + 1;
	}
	/* ssh -G has put brackets around whatever else could be taken for a port. */
	if (last[0] == '[') {
		end = last + 1 + strcspn(last + 1, "]");
		hop->host = xstrndup(last + 1, (size_t)(end - last - 1));
		end += *end == ']';
	} else {
		end = last + strcspn(last, ":");
		hop->host = xstrndup(last, (size_t)(end - last));
	}
	if (end[0] == ':' && end[1] != '\0')
		hop->port = xstrdup(end + 1);
}

void destination_hop_finish(struct destination_hop *hop)
{
	free(hop->user);
	free(hop->port);
	free(hop->host);
	free(hop->before);
	*hop = (struct destination_hop){0};
}
