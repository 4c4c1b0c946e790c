#include "daemon/marker.h"

#include <string.h>

size_t marker_scan(struct marker *m, const uint8_t *data, size_t len, struct marker_step *step)
{
	const uint8_t *first;
	size_t at = 0;

	*step = (struct marker_step){0};
	if (m->matched == 0) {
		first = memchr(data, m->text[0], len);
		step->passed = first != NULL ? (size_t)(first - data) : len;
		if (step->passed > 0)
			return step->passed;
	}
	while (at < len && m->matched < m->len && data[at] == (uint8_t)m->text[m->matched]) {
		at++;
		m->matched++;
	}
	if (at == len)
		return at;
	if (m->matched == m->len)
		step->word = (char)data[at++];
	else
		step->held = m->matched;
	m->matched = 0;
	return at;
}
