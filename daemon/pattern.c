#include "daemon/pattern.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/alloc.h"

/* Greedy with one point of return: the last star seen. Enough for `*` and `?`, since an earlier
 * star can never do better than the last one; no recursion, so a hostile line costs no stack. */
bool pattern_match(const char *text, const char *pattern, size_t pattern_len)
{
	size_t p = 0, star = SIZE_MAX;
	const char *resume = text;

	while (*text != '\0') {
		if (p < pattern_len && pattern[p] == '*') {
			star = p++;
			resume = text;
		} else if (p < pattern_len && (pattern[p] == '?' || pattern[p] == *text)) {
			p++;
			text++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			text = ++resume;
		} else {
			return false;
		}
	}
	while (p < pattern_len && pattern[p] == '*')
		p++;
	return p == pattern_len;
}

static bool match_element(const char *text, const char *element, size_t len, bool fold)
{
	char *lower;
	bool found;

	if (!fold)
		return pattern_match(text, element, len);
	lower = xstrndup(element, len);
	for (char *c = lower; *c != '\0'; c++) {
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	}
	found = pattern_match(text, lower, strlen(lower));
	free(lower);
	return found;
}

int pattern_list_match(const char *text, const char *list, size_t list_len, bool fold)
{
	int result = 0;
	size_t at = 0;

	while (at < list_len) {
		const char *element = list + at;
		const char *comma = memchr(element, ',', list_len - at);
		size_t len = comma ? (size_t)(comma - element) : list_len - at;
		bool negated = len > 0 && element[0] == '!';

		if (match_element(text, element + negated, len - negated, fold)) {
			if (negated)
				return -1;
			result = 1;
		}
		at += len + 1;
	}
	return result;
}
