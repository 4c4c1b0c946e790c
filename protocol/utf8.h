/* UTF-8 (RFC 3629) in text of whatever bytes. Pure. */
#ifndef HAWSER_PROTOCOL_UTF8_H
#define HAWSER_PROTOCOL_UTF8_H

#include <stddef.h>

/* The length in bytes of the sequence at p, of whose text so many bytes are left, one at least
 * (SIZE_MAX: a NUL ends it); 0: it is none. */
size_t utf8_length(const unsigned char *p, size_t left);
/* As utf8_length(); 0 also for what could steer a terminal: C0, DEL and C1, of which CSI is one. */
size_t utf8_shown_length(const unsigned char *p, size_t left);
/* Copies src to dst, which has room for size bytes: as \ooo what utf8_shown_length() has as 0, but
 * for the bytes of kept; so a server's words can neither move the reader's cursor nor begin a line
 * of their own. What does not fit is left out whole. Returns the length; a NUL stands behind it. */
size_t utf8_escape(char *dst, size_t size, const char *src, const char *kept);

#endif
