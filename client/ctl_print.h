/* Replies for people and for programs, on stdout. */
#ifndef HAWSER_CLIENT_CTL_PRINT_H
#define HAWSER_CLIENT_CTL_PRINT_H

#include <stdio.h>
#include "client/ctl_reply.h"

/* One JSON document: {"ok": ..., "error": ..., "items": [{...}]}, keys as the daemon names them. */
void ctl_print_json(FILE *out, const struct ctl_reply *r);
/* The same in parts: the items of several replies are one list. *first is true at first. */
void ctl_print_json_items(FILE *out, const struct ctl_reply *r, bool *first);
/* Text that others have chosen: what could steer the terminal is shown as "?". */
void ctl_print_text(FILE *out, const char *s);
/* The transports, one a line, under a heading. */
void ctl_print_table(FILE *out, const struct ctl_reply *r);
/* Everything of each item, one value a line. */
void ctl_print_blocks(FILE *out, const struct ctl_reply *r);

/* "3m12s", "250ms", "2d4h": two units at most. */
void ctl_format_age(double seconds, char *out, size_t size);
/* "512", "1.5K", "117.7M": powers of 1024. */
void ctl_format_size(uint64_t bytes, char *out, size_t size);

#endif
