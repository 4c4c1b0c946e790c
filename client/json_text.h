/* Text of whatever bytes as JSON (RFC 8259). */
#ifndef HAWSER_CLIENT_JSON_TEXT_H
#define HAWSER_CLIENT_JSON_TEXT_H

#include <stdio.h>

/* A JSON string, quotes included; what is no UTF-8 becomes U+FFFD. */
void json_put_text(FILE *out, const char *s);

#endif
