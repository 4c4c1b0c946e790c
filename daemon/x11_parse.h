/* What X11 forwarding has to read: DISPLAY, xauth's words, and the first packet of an X client
 * (X Window System Protocol, "Connection Setup"). Pure: bytes of peers, nothing else. */
#ifndef HAWSER_DAEMON_X11_PARSE_H
#define HAWSER_DAEMON_X11_PARSE_H

#include "protocol/base.h"

#define X11_PROTO_MAX	 64  /* bytes of the name of an authentication protocol */
#define X11_COOKIE_MAX	 256 /* bytes of a cookie */
#define X11_SETUP_HEADER 12
/* A first packet with more in it is nobody's whom we have given a cookie. */
#define X11_SETUP_MAX (X11_SETUP_HEADER + X11_PROTO_MAX + X11_COOKIE_MAX)

struct x11_display {
	bool local; /* a Unix socket of this machine */
	unsigned number, screen;
	char host[256]; /* where it is not local */
};

/* What is in a DISPLAY that a program may be given and that may be logged; ssh's own rule. */
bool x11_display_valid(const char *text);
/* False: there is no host and display number in it. */
bool x11_display_parse(const char *text, struct x11_display *out);

struct x11_cookie {
	char proto[X11_PROTO_MAX + 1]; /* MIT-MAGIC-COOKIE-1 */
	uint8_t data[X11_COOKIE_MAX];
	size_t len;
};

/* The first line of `xauth list`: a display, a protocol, a cookie in hexadecimal. False: it is
 * none. */
bool x11_cookie_parse(const char *line, struct x11_cookie *out);
/* The cookie in hexadecimal, on the heap: a secret. */
char *x11_cookie_hex(const struct x11_cookie *c);

enum x11_setup { X11_SETUP_MORE, X11_SETUP_GOOD, X11_SETUP_BAD };

/* Looks at the first bytes of an X client. MORE: the packet is not all there. GOOD: *cookie is what
 * it shows, *at the place of its data in bytes. */
enum x11_setup x11_setup_parse(const uint8_t *bytes, size_t len, struct x11_cookie *cookie,
			       size_t *at);
/* Are they the same? In a time that does not tell how much of it is. */
bool x11_cookie_equal(const struct x11_cookie *a, const struct x11_cookie *b);

#endif
