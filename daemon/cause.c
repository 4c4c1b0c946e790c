#include "daemon/cause.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "protocol/utf8.h"

static const char *const names[] = {
#define X(name, text) [name] = text,
	CAUSE_CLASSES(X)
#undef X
};

const char *cause_name(enum cause_class cls)
{
	if ((size_t)cls >= HW_ARRAY_LEN(names))
		return "internal";
	return names[cls];
}

/* Host names may be any UTF-8; a server's words must not be more than one line. */
static void format_escaped(char *dst, size_t size, const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	utf8_escape(dst, size, text, "");
}

void cause_set(struct cause *c, enum cause_class cls, const char *fmt, ...)
{
	va_list ap;

	c->cls = cls;
	c->hint[0] = '\0';
	c->evidence[0] = '\0';
	c->said[0] = '\0';
	c->spoken = c->diagnosed = false;
	va_start(ap, fmt);
	format_escaped(c->text, sizeof(c->text), fmt, ap);
	va_end(ap);
}

void cause_hint(struct cause *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	format_escaped(c->hint, sizeof(c->hint), fmt, ap);
	va_end(ap);
}

void cause_said(struct cause *c, bool spoken, const char *words)
{
	utf8_escape(c->said, sizeof(c->said), words, "");
	c->spoken = spoken;
}

void cause_take_over(struct cause *c, const struct cause *from)
{
	memcpy(c->hint, from->hint, sizeof(c->hint));
	memcpy(c->evidence, from->evidence, sizeof(c->evidence));
	memcpy(c->said, from->said, sizeof(c->said));
	c->spoken = from->spoken;
	c->diagnosed = from->diagnosed;
}

void cause_evidence(struct cause *c, const char *fmt, ...)
{
	size_t used = strlen(c->evidence);
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	format_escaped(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (used + strlen(line) + 2 > sizeof(c->evidence))
		return;
	snprintf(c->evidence + used, sizeof(c->evidence) - used, "%s%s", used > 0 ? "\n" : "",
		 line);
}
