#include "daemon/resolve_cache.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "daemon/digest.h"
#include "daemon/expand.h"
#include "protocol/alloc.h"

#define SOCKET_VARIABLE "SSH_AUTH_SOCK"

struct entry {
	uint64_t hash; /* of args, host and agent: a quick no */
	char **args;
	char *host;
	char *agent; /* SSH_AUTH_SOCK, or NULL */
	char *cwd;   /* NULL: does not matter */
	bool variables;
	uint8_t env[DIGEST_SHA256_LEN]; /* when variables */
	struct destination *d;
	struct resolve_files files;
	int64_t expires; /* monotonic ms; INT64_MAX: when a file changes */
	uint64_t used;	 /* the cache's clock at the last use */
};

struct resolve_cache {
	struct entry *entries[RESOLVE_CACHE_MAX];
	size_t count;
	uint64_t clock;
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* FNV-1a, with the string's end counted in. */
static uint64_t hash_string(uint64_t h, const char *s)
{
	do {
		h = (h ^ (uint8_t)*s) * 0x100000001b3u;
	} while (*s++ != '\0');
	return h;
}

static const char *agent_of(const struct resolve_query *q)
{
	return expand_getenv(q->client.env, SOCKET_VARIABLE, strlen(SOCKET_VARIABLE));
}

static uint64_t hash_query(const struct resolve_query *q)
{
	uint64_t h = 0xcbf29ce484222325u;
	const char *agent = agent_of(q);

	for (char *const *a = q->args; a != NULL && *a != NULL; a++)
		h = hash_string(h, *a);
	h = hash_string(h, q->host);
	return agent != NULL ? hash_string(h, agent) : h;
}

static void hash_env(char *const *env, uint8_t out[DIGEST_SHA256_LEN])
{
	size_t len = 0, used = 0;
	char *all;

	for (char *const *e = env; e != NULL && *e != NULL; e++)
		len += strlen(*e) + 1;
	all = xmalloc(len);
	for (char *const *e = env; e != NULL && *e != NULL; e++) {
		size_t one = strlen(*e) + 1;

		memcpy(all + used, *e, one);
		used += one;
	}
	digest_sha256(all, len, out);
	/* A copy of someone's environment may hold a secret. */
	free_secret(all, len);
}

static bool same_args(char *const *a, char *const *b)
{
	static char *const none[] = {NULL};

	if (a == NULL)
		a = none;
	if (b == NULL)
		b = none;
	for (; *a != NULL && *b != NULL; a++, b++) {
		if (strcmp(*a, *b) != 0)
			return false;
	}
	return *a == NULL && *b == NULL;
}

static bool same_text(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

static bool matches(const struct entry *e, const struct resolve_query *q, uint64_t hash)
{
	uint8_t env[DIGEST_SHA256_LEN];

	if (e->hash != hash || strcmp(e->host, q->host) != 0 || !same_args(e->args, q->args) ||
	    !same_text(e->agent, agent_of(q)) ||
	    (e->cwd != NULL && !same_text(e->cwd, q->client.cwd)))
		return false;
	if (!e->variables)
		return true;
	hash_env(q->client.env, env);
	return memcmp(env, e->env, sizeof(env)) == 0;
}

static void entry_free(struct entry *e)
{
	strv_free(e->args);
	free(e->host);
	free(e->agent);
	free(e->cwd);
	resolve_files_finish(&e->files);
	destination_unref(e->d);
	free(e);
}

static void drop(struct resolve_cache *c, size_t i)
{
	entry_free(c->entries[i]);
	c->entries[i] = c->entries[--c->count];
}

struct resolve_cache *resolve_cache_create(void)
{
	return xcalloc(1, sizeof(struct resolve_cache));
}

void resolve_cache_destroy(struct resolve_cache *c)
{
	if (c == NULL)
		return;
	while (c->count > 0)
		drop(c, c->count - 1);
	free(c);
}

static bool good(const struct entry *e)
{
	if (e->expires != INT64_MAX && now_ms() >= e->expires)
		return false;
	/* A look at a dead file server would hang the loop: such answers only expire. */
	return e->files.remote || resolve_files_unchanged(&e->files);
}

struct destination *resolve_cache_get(struct resolve_cache *c, const struct resolve_query *q)
{
	uint64_t hash = hash_query(q);

	for (size_t i = 0; i < c->count; i++) {
		struct entry *e = c->entries[i];

		if (!matches(e, q, hash))
			continue;
		if (!good(e)) {
			drop(c, i);
			return NULL;
		}
		e->used = ++c->clock;
		return destination_ref(e->d);
	}
	return NULL;
}

static bool has_dollar(char *const *strings)
{
	for (; strings != NULL && *strings != NULL; strings++) {
		if (strchr(*strings, '$') != NULL)
			return true;
	}
	return false;
}

/* Of a destination or of one that it is reached through. */
static bool any_has_dollar(const struct destination *d)
{
	while (d != NULL && !has_dollar(d->raw))
		d = d->jump;
	return d != NULL;
}

/* Does a value depend on the directory the client stands in? */
static bool depends_on_cwd(const struct destination *d)
{
	static const char *const keywords[] = {"identityfile ",	      "certificatefile ",
					       "userknownhostsfile ", "globalknownhostsfile ",
					       "revokedhostkeys ",    "identityagent "};
	const char *forwarded = destination_raw(d, "forwardagent");

	/* yes and no are no files */
	if (d->cwd != NULL || (forwarded != NULL && strchr("/~%", forwarded[0]) == NULL &&
			       strchr(forwarded, '/') != NULL))
		return true;
	if (d->jump != NULL && depends_on_cwd(d->jump))
		return true;
	for (char *const *line = d->raw; *line != NULL; line++) {
		for (size_t i = 0; i < HW_ARRAY_LEN(keywords); i++) {
			size_t len = strlen(keywords[i]);

			if (strncasecmp(*line, keywords[i], len) == 0 &&
			    strchr("/~%", (*line)[len]) == NULL &&
			    strcasecmp(*line + len, "none") != 0)
				return true;
		}
	}
	return false;
}

static int64_t lifetime_ms(const struct destination *d, const struct resolve_files *f)
{
	const char *canonicalize = destination_raw(d, "canonicalizehostname");

	if (f->executed || f->remote || f->overflow || f->changing)
		return RESOLVE_SHORT_MS;
	if (canonicalize != NULL && strcasecmp(canonicalize, "false") != 0 &&
	    strcasecmp(canonicalize, "no") != 0 && strcasecmp(canonicalize, "none") != 0)
		return RESOLVE_CANONICAL_MS;
	return d->jump != NULL ? lifetime_ms(d->jump, f) : -1;
}

/* Makes room, and sees to it that there is no second entry for this query. */
static void make_room(struct resolve_cache *c, const struct resolve_query *q, uint64_t hash)
{
	size_t oldest = 0;

	for (size_t i = c->count; i-- > 0;) {
		if (matches(c->entries[i], q, hash))
			drop(c, i);
	}
	if (c->count < RESOLVE_CACHE_MAX)
		return;
	for (size_t i = 1; i < c->count; i++) {
		if (c->entries[i]->used < c->entries[oldest]->used)
			oldest = i;
	}
	drop(c, oldest);
}

void resolve_cache_put(struct resolve_cache *c, const struct resolve_query *q,
		       struct destination *d, struct resolve_files *files)
{
	uint64_t hash = hash_query(q);
	int64_t lifetime = lifetime_ms(d, files);
	const char *agent = agent_of(q);
	struct entry *e;

	make_room(c, q, hash);
	if (files->unsettled || files->match_command) {
		resolve_files_finish(files);
		return;
	}
	e = xcalloc(1, sizeof(*e));
	e->hash = hash;
	e->args = q->args != NULL ? strv_dup(q->args) : NULL;
	e->host = xstrdup(q->host);
	e->agent = agent != NULL ? xstrdup(agent) : NULL;
	e->variables =
		files->variables || files->executed || has_dollar(q->args) || any_has_dollar(d);
	/* A variable may stand for a relative path. */
	if (e->variables || files->relative || depends_on_cwd(d))
		e->cwd = xstrdup(q->client.cwd != NULL ? q->client.cwd : "");
	if (e->variables)
		hash_env(q->client.env, e->env);
	e->d = destination_ref(d);
	e->files = *files;
	memset(files, 0, sizeof(*files));
	e->expires = lifetime < 0 ? INT64_MAX : now_ms() + lifetime;
	e->used = ++c->clock;
	c->entries[c->count++] = e;
}
