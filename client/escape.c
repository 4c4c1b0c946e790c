#include "client/escape.h"

#include <stdio.h>

#define CTRL_Z 0x1a

void escape_init(struct escape *e, int ch)
{
	*e = (struct escape){.ch = ch, .line_start = true};
}

static enum escape_action action_of(uint8_t c)
{
	switch (c) {
	case '.':
		return ESCAPE_DISCONNECT;
	case CTRL_Z:
		return ESCAPE_SUSPEND;
	case '?':
		return ESCAPE_HELP;
	default:
		return ESCAPE_NONE;
	}
}

enum escape_action escape_filter(struct escape *e, const uint8_t *in, size_t len, size_t *used,
				 uint8_t *out, size_t *outlen)
{
	enum escape_action action = ESCAPE_NONE;
	size_t i = 0, n = 0;

	while (i < len && action == ESCAPE_NONE) {
		uint8_t c = in[i++];
		if (e->seen) {
			e->seen = false;
			action = action_of(c);
			if (action != ESCAPE_NONE)
				continue; /* still at the beginning of the line */
			if (c != e->ch)
				out[n++] = (uint8_t)e->ch; /* it was meant for the remote */
		} else if (e->line_start && c == e->ch) {
			e->seen = true;
			continue;
		}
		e->line_start = c == '\r' || c == '\n';
		out[n++] = c;
	}
	*used = i;
	*outlen = n;
	return action;
}

void escape_help(const struct escape *e, char *out, size_t size)
{
	char name[3] = {(char)e->ch, '\0', '\0'};

	if (e->ch < ' ') {
		name[0] = '^';
		name[1] = (char)(e->ch + '@');
	}
	snprintf(out, size,
		 "%s?\r\n"
		 "Supported escape sequences:\r\n"
		 " %s.   - end this session\r\n"
		 " %s^Z  - suspend hawser\r\n"
		 " %s?   - this message\r\n"
		 " %s%s   - send the escape character by typing it twice\r\n"
		 "(Escapes are only recognized immediately after newline.)\r\n",
		 name, name, name, name, name, name);
}
