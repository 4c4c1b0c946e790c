#include "daemon/x11_parse.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/alloc.h"

/* ssh takes a screen up to this, and 0 for anything else. */
#define SCREEN_MAX 400

bool x11_display_valid(const char *text)
{
	if (text == NULL || text[0] == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (!isalnum((unsigned char)*text) && strchr(":/.-_", *text) == NULL)
			return false;
	}
	return true;
}

/* Digits to at most max. False: none, or more than that. */
static bool number(const char *text, unsigned max, unsigned *out, const char **end)
{
	unsigned long value;
	char *rest;

	if (!isdigit((unsigned char)*text))
		return false;
	value = strtoul(text, &rest, 10);
	if (value > max)
		return false;
	*out = (unsigned)value;
	*end = rest;
	return true;
}

bool x11_display_parse(const char *text, struct x11_display *out)
{
	const char *colon = strchr(text, ':'), *end, *dot;

	*out = (struct x11_display){.local = text[0] == ':' || strncmp(text, "unix:", 5) == 0};
	if (colon == NULL || (size_t)(colon - text) >= sizeof(out->host))
		return false;
	dot = strchr(colon, '.');
	if (dot == NULL || !number(dot + 1, SCREEN_MAX, &out->screen, &end) || *end != '\0')
		out->screen = 0;
	if (out->local)
		colon = strrchr(text, ':'); /* "::0" as well, as ssh has it */
	else
		memcpy(out->host, text, (size_t)(colon - text));
	return number(colon + 1, UINT16_MAX - 6000, &out->number, &end);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool x11_cookie_parse(const char *line, struct x11_cookie *out)
{
	const char *proto = line + strcspn(line, " \t\n"), *hex;
	size_t len;

	*out = (struct x11_cookie){.len = 0};
	proto += strspn(proto, " \t");
	len = strcspn(proto, " \t\n");
	if (len == 0 || len > X11_PROTO_MAX)
		return false;
	memcpy(out->proto, proto, len);
	hex = proto + len + strspn(proto + len, " \t");
	for (;; hex += 2) {
		int high = hex_digit(hex[0]), low = high >= 0 ? hex_digit(hex[1]) : -1;

		if (high < 0 || low < 0)
			break;
		if (out->len == X11_COOKIE_MAX)
			return false;
		out->data[out->len++] = (uint8_t)(high * 16 + low);
	}
	return out->len > 0 && (*hex == '\0' || isspace((unsigned char)*hex));
}

char *x11_cookie_hex(const struct x11_cookie *c)
{
	char *hex = xmalloc(2 * c->len + 1);

	for (size_t i = 0; i < c->len; i++)
		snprintf(hex + 2 * i, 3, "%02x", c->data[i]);
	hex[2 * c->len] = '\0';
	return hex;
}

static size_t padded(size_t len)
{
	return (len + 3) & ~(size_t)3;
}

enum x11_setup x11_setup_parse(const uint8_t *bytes, size_t len, struct x11_cookie *cookie,
			       size_t *at)
{
	size_t proto_len, data_len;
	unsigned high; /* where the upper byte of a number stands */

	if (len > 0 && bytes[0] != 'B' && bytes[0] != 'l')
		return X11_SETUP_BAD;
	if (len < X11_SETUP_HEADER)
		return X11_SETUP_MORE;
	high = bytes[0] == 'B' ? 0 : 1;
	proto_len = (size_t)bytes[6 + high] << 8 | bytes[7 - high];
	data_len = (size_t)bytes[8 + high] << 8 | bytes[9 - high];
	if (proto_len > X11_PROTO_MAX || data_len > X11_COOKIE_MAX)
		return X11_SETUP_BAD;
	*at = X11_SETUP_HEADER + padded(proto_len);
	if (len < *at + padded(data_len))
		return X11_SETUP_MORE;
	*cookie = (struct x11_cookie){.len = data_len};
	memcpy(cookie->proto, bytes + X11_SETUP_HEADER, proto_len);
	memcpy(cookie->data, bytes + *at, data_len);
	return strlen(cookie->proto) == proto_len ? X11_SETUP_GOOD : X11_SETUP_BAD;
}

bool x11_cookie_equal(const struct x11_cookie *a, const struct x11_cookie *b)
{
	unsigned differ = 0;

	if (a->len != b->len || strcmp(a->proto, b->proto) != 0)
		return false;
	for (size_t i = 0; i < a->len; i++)
		differ |= (unsigned)(a->data[i] ^ b->data[i]);
	return differ == 0;
}
