#include "daemon/expand.h"

#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "daemon/digest.h"
#include "protocol/alloc.h"

#define EXPANDED_MAX (64u * 1024u) /* bytes; a path is far shorter */

static pthread_once_t local_once = PTHREAD_ONCE_INIT;
static char *local_home, *local_user;

static void look_up_local(void)
{
	const struct passwd *pw = getpwuid(getuid());

	local_home = xstrdup(pw != NULL && pw->pw_dir != NULL ? pw->pw_dir : "");
	local_user = xstrdup(pw != NULL && pw->pw_name != NULL ? pw->pw_name : "");
}

const char *expand_home(void)
{
	pthread_once(&local_once, look_up_local);
	return local_home;
}

const char *expand_local_user(void)
{
	pthread_once(&local_once, look_up_local);
	return local_user;
}

const char *expand_getenv(char *const *env, const char *name, size_t name_len)
{
	for (; env != NULL && *env != NULL; env++) {
		if (strncmp(*env, name, name_len) == 0 && (*env)[name_len] == '=')
			return *env + name_len + 1;
	}
	return NULL;
}

/* The home directory of a named user, on the heap; NULL: no such user. */
static char *home_of(const char *name)
{
	struct passwd entry, *found = NULL;
	char buf[4096];

	if (getpwnam_r(name, &entry, buf, sizeof(buf), &found) != 0 || found == NULL)
		return NULL;
	return xstrdup(found->pw_dir);
}

static char *expand_tilde(const char *text, char **why)
{
	const char *rest;
	char *name, *home, *result;

	if (text[0] != '~')
		return xstrdup(text);
	rest = text + 1 + strcspn(text + 1, "/");
	if (rest == text + 1) {
		home = xstrdup(expand_home());
	} else {
		name = xstrndup(text + 1, (size_t)(rest - text - 1));
		home = home_of(name);
		if (home == NULL)
			*why = xasprintf("no user %s for %s", name, text);
		free(name);
		if (home == NULL)
			return NULL;
	}
	result = xasprintf("%s%s", home, rest);
	free(home);
	return result;
}

/* %C: a name for the connection that is short enough for a socket's path. */
static char *connection_hash(const char *local_host, const struct expand_context *ctx)
{
	char *text = xasprintf("%s%s%s%s", local_host, ctx->hostname, ctx->port, ctx->user);
	uint8_t digest[DIGEST_SHA1_LEN];
	char *hex = xmalloc(2 * sizeof(digest) + 1);

	if (!digest_sha1(text, strlen(text), digest))
		memset(digest, 0, sizeof(digest));
	digest_hex(digest, sizeof(digest), hex);
	free(text);
	return hex;
}

/* The text of one token on the heap; NULL: not a token of these values. */
static char *token(char letter, const struct expand_context *ctx)
{
	char local_host[256] = "";

	for (const struct expand_extra *e = ctx->extra; e != NULL && e->letter != '\0'; e++)
		if (e->letter == letter)
			return xstrdup(e->value);
	gethostname(local_host, sizeof(local_host) - 1);
	switch (letter) {
	case '%':
		return xstrdup("%");
	case 'C':
		return connection_hash(local_host, ctx);
	case 'd':
		return xstrdup(expand_home());
	case 'h':
		return xstrdup(ctx->hostname);
	case 'i':
		return xasprintf("%u", (unsigned)getuid());
	case 'j':
		return xstrdup(ctx->jump != NULL ? ctx->jump : "");
	case 'k':
		return xstrdup(ctx->alias);
	case 'L':
		return xstrndup(local_host, strcspn(local_host, "."));
	case 'l':
		return xstrdup(local_host);
	case 'n':
		return xstrdup(ctx->typed);
	case 'p':
		return xstrdup(ctx->port);
	case 'r':
		return xstrdup(ctx->user);
	case 'u':
		return xstrdup(expand_local_user());
	default:
		return NULL;
	}
}

/* One token or variable at *at; moves *at behind it. NULL with *why. */
static char *expand_one(const char **at, const struct expand_context *ctx, char **why)
{
	const char *text = *at, *end, *value;
	char *result;

	if (text[0] == '%') {
		result = text[1] != '\0' ? token(text[1], ctx) : NULL;
		if (result == NULL) {
			*why = xasprintf("unknown token %.2s", text);
			return NULL;
		}
		*at = text + 2;
		return result;
	}
	end = strchr(text, '}');
	if (end == NULL || end == text + 2) {
		*why = xasprintf("malformed variable %s", text);
		return NULL;
	}
	value = expand_getenv(ctx->env, text + 2, (size_t)(end - text - 2));
	if (value == NULL) {
		*why = xasprintf("environment variable %.*s is not set", (int)(end - text - 2),
				 text + 2);
		return NULL;
	}
	*at = end + 1;
	return xstrdup(value);
}

char *expand_tokens(char *text, const struct expand_context *ctx, char **why)
{
	char *out = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&out, &len);

	if (f == NULL) {
		*why = xstrdup("no memory for an expanded value");
		free(text);
		return NULL;
	}
	for (const char *at = text; *at != '\0';) {
		char *piece;

		if (at[0] != '%' && !(at[0] == '$' && at[1] == '{')) {
			fputc(*at++, f);
			continue;
		}
		piece = expand_one(&at, ctx, why);
		if (piece == NULL)
			goto fail;
		fputs(piece, f);
		free(piece);
		if (ftell(f) > (long)EXPANDED_MAX) {
			*why = xstrdup("a value is too long when expanded");
			goto fail;
		}
	}
	free(text);
	if (fclose(f) == 0)
		return out;
	*why = xstrdup("no memory for an expanded value");
	free(out);
	return NULL;
fail:
	free(text);
	fclose(f);
	free(out);
	return NULL;
}

char *expand_value(const char *text, const struct expand_context *ctx, char **why)
{
	char *plain = expand_tilde(text, why);

	return plain != NULL ? expand_tokens(plain, ctx, why) : NULL;
}

char *expand_path(const char *text, const struct expand_context *ctx, char **why)
{
	char *path = expand_value(text, ctx, why), *absolute;

	if (path == NULL || path[0] == '/' || ctx->cwd == NULL)
		return path;
	absolute = xasprintf("%s/%s", ctx->cwd, path);
	free(path);
	return absolute;
}
