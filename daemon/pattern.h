/* ssh_config(5)'s PATTERNS: `*` and `?`, and comma-separated lists of them with `!`. Pure. */
#ifndef HAWSER_DAEMON_PATTERN_H
#define HAWSER_DAEMON_PATTERN_H

#include "protocol/base.h"

/* Does the whole of text match? Linear space, at most len(text) * len(pattern) steps. */
bool pattern_match(const char *text, const char *pattern, size_t pattern_len);

/* 1: some element matches and no negated one does. -1: a negated one does. 0: neither. Elements are
 * compared without regard to ASCII case when fold is set (text is then expected in lower case). */
int pattern_list_match(const char *text, const char *list, size_t list_len, bool fold);

#endif
