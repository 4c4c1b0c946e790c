/* A line of a state file: fields between tabs, escaped, behind a checksum (CRC-32 of what follows
 * it). A line that was torn or damaged is known by it. */
#ifndef HAWSER_DAEMON_STATE_LINE_H
#define HAWSER_DAEMON_STATE_LINE_H

#include "protocol/base.h"

#define STATE_FIELDS_MAX 16

/* On the heap, with its newline; a field NULL counts as "". */
char *state_line_make(const char *const *fields, size_t count);
/* Takes one line apart: len bytes without newline, changed in place; fields point into it. false:
 * it is damaged, or has another number of fields. */
bool state_line_parse(char *line, size_t len, char **fields, size_t count);

#endif
