#include "daemon/forward_spec.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "protocol/alloc.h"

#define SOCKS_TARGET "[socks]:0" /* how ssh -G prints a target that the peer will name */

void forward_end_finish(struct forward_end *e)
{
	free(e->path);
	free(e->host);
	*e = (struct forward_end){.path = NULL};
}

void forward_spec_finish(struct forward_spec *s)
{
	forward_end_finish(&s->listen);
	forward_end_finish(&s->connect);
}

void forward_specs_free(struct forward_spec *specs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		forward_spec_finish(&specs[i]);
	free(specs);
}

void forward_end_copy(struct forward_end *to, const struct forward_end *from)
{
	to->path = from->path != NULL ? xstrdup(from->path) : NULL;
	to->host = from->host != NULL ? xstrdup(from->host) : NULL;
	to->port = from->port;
}

void forward_spec_copy(struct forward_spec *to, const struct forward_spec *from)
{
	*to = (struct forward_spec){
		.kind = from->kind, .socks = from->socks, .chosen = from->chosen};
	forward_end_copy(&to->listen, &from->listen);
	forward_end_copy(&to->connect, &from->connect);
}

void forward_make_absolute(struct forward_spec *spec, const char *cwd)
{
	struct forward_end *e = spec->kind == FORWARD_LOCAL ? &spec->listen : &spec->connect;
	char *relative = e->path;

	if (relative == NULL || relative[0] == '/')
		return;
	e->path = xasprintf("%s/%s", cwd, relative);
	free(relative);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool forward_spec_same_listener(const struct forward_spec *a, const struct forward_spec *b)
{
	return a->kind == b->kind && a->listen.port == b->listen.port &&
	       same_text(a->listen.path, b->listen.path) &&
	       same_text(a->listen.host, b->listen.host);
}

bool forward_spec_same(const struct forward_spec *a, const struct forward_spec *b)
{
	return forward_spec_same_listener(a, b) && a->socks == b->socks &&
	       a->connect.port == b->connect.port && same_text(a->connect.path, b->connect.path) &&
	       same_text(a->connect.host, b->connect.host);
}

static bool parse_port(const char *text, uint16_t *port)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || value > UINT16_MAX)
		return false;
	*port = (uint16_t)value;
	return true;
}

/* "[host]:port", "host:port", "port" (then host stays NULL) or "/path". */
bool forward_end_parse(const char *text, struct forward_end *out)
{
	const char *colon, *host = text;
	size_t len;

	*out = (struct forward_end){.path = NULL};
	if (text[0] != '[' && strchr(text, '/') != NULL) {
		out->path = xstrdup(text);
		return true;
	}
	if (text[0] == '[') {
		const char *close = strchr(text, ']');

		if (close == NULL || close[1] != ':')
			return false;
		host = text + 1;
		len = (size_t)(close - host);
		colon = close + 1;
	} else {
		colon = strrchr(text, ':');
		if (colon == NULL)
			return parse_port(text, &out->port);
		len = (size_t)(colon - host);
	}
	if (!parse_port(colon + 1, &out->port))
		return false;
	out->host = xstrndup(host, len);
	return true;
}

char *forward_end_text(const struct forward_end *e)
{
	if (e->path != NULL)
		return xstrdup(e->path);
	if (e->host == NULL)
		return xasprintf("%u", e->port);
	return xasprintf(strchr(e->host, ':') != NULL ? "[%s]:%u" : "%s:%u", e->host, e->port);
}

/* Where the second word begins, or NULL. A path may hold spaces: then it is the last one, for a
 * host and port hold none. */
static const char *find_space(const char *value)
{
	bool path = strcspn(value, "/") < strcspn(value, " ");

	return path ? strrchr(value, ' ') : strchr(value, ' ');
}

/* "LISTEN" (dynamic) or "LISTEN CONNECT" behind the keyword. */
static bool parse_line(const char *value, enum forward_kind kind, bool dynamic,
		       struct forward_spec *out)
{
	const char *space = dynamic ? NULL : find_space(value);
	char *listen = xstrndup(value, space != NULL ? (size_t)(space - value) : strlen(value));
	bool ok;

	*out = (struct forward_spec){.kind = kind};
	out->socks = space == NULL || strcmp(space + 1, SOCKS_TARGET) == 0;
	ok = forward_end_parse(listen, &out->listen) &&
	     (out->socks || forward_end_parse(space + 1, &out->connect));
	free(listen);
	if (!ok)
		forward_spec_finish(out);
	return ok;
}

static bool has_listener(const struct forward_spec *specs, size_t count,
			 const struct forward_spec *s)
{
	for (size_t i = 0; i < count; i++) {
		if (forward_spec_same_listener(&specs[i], s))
			return true;
	}
	return false;
}

static bool take_lines(char *const *lines, const char *keyword, enum forward_kind kind,
		       struct forward_spec **out, size_t *count)
{
	size_t len = strlen(keyword);
	bool ok = true, dynamic = strcmp(keyword, "dynamicforward") == 0;

	for (; *lines != NULL; lines++) {
		struct forward_spec s;

		if (strncasecmp(*lines, keyword, len) != 0 || (*lines)[len] != ' ')
			continue;
		if (!parse_line(*lines + len + 1, kind, dynamic, &s)) {
			ok = false;
			continue;
		}
		/* OpenSSH (9.2, at least) prints a local forward to a path as a dynamic one, too.
		 */
		if (dynamic && has_listener(*out, *count, &s)) {
			forward_spec_finish(&s);
			continue;
		}
		*out = xreallocarray(*out, *count + 1, sizeof(**out));
		(*out)[(*count)++] = s;
	}
	return ok;
}

bool forward_specs_parse(char *const *lines, struct forward_spec **out, size_t *count)
{
	bool ok;

	*out = NULL;
	*count = 0;
	ok = take_lines(lines, "localforward", FORWARD_LOCAL, out, count);
	ok &= take_lines(lines, "dynamicforward", FORWARD_LOCAL, out, count);
	ok &= take_lines(lines, "remoteforward", FORWARD_REMOTE, out, count);
	return ok;
}
