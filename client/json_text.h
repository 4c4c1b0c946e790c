/* Text of whatever bytes as JSON (RFC 8259). */
#ifndef HAWSER_CLIENT_JSON_TEXT_H
#define HAWSER_CLIENT_JSON_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* The length of the UTF-8 sequence at p, which a NUL ends at the latest; 0: it is none (RFC 3629).
 */
size_t utf8_length(const unsigned char *p);
/* A JSON string, quotes included; what is no UTF-8 becomes U+FFFD. */
void json_put_text(FILE *out, const char *s);

#endif
