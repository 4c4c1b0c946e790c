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
	case '#':
		return ESCAPE_LIST;
	case '&':
		return ESCAPE_BACKGROUND;
	case 'B':
		return ESCAPE_BREAK;
	case 'C':
		return ESCAPE_COMMANDLINE;
	case 'R':
		return ESCAPE_REKEY;
	case 'V':
		return ESCAPE_QUIETER;
	case 'v':
		return ESCAPE_LOUDER;
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

void escape_help(const struct escape *e, bool commandline, char *out, size_t size)
{
	static const struct {
		const char *name, *does;
		bool commandline;
	} lines[] = {
		{".  ", "terminate session", false},
		{"B  ", "send a BREAK to the remote system", false},
		{"C  ", "open a command line", true},
		{"R  ", "request rekey", false},
		{"V/v", "decrease/increase verbosity (LogLevel)", false},
		{"^Z ", "suspend ssh", false},
		{"#  ", "list forwarded connections", false},
		{"&  ", "background ssh (when waiting for connections to terminate)", false},
		{"?  ", "this message", false},
	};
	size_t n;

	n = (size_t)snprintf(out, size, "%c?\r\nSupported escape sequences:\r\n", e->ch);
	for (size_t i = 0; i < HW_ARRAY_LEN(lines); i++) {
		if (n < size && (commandline || !lines[i].commandline))
			n += (size_t)snprintf(out + n, size - n, " %c%s - %s\r\n", e->ch,
					      lines[i].name, lines[i].does);
	}
	if (n < size)
		snprintf(out + n, size - n,
			 " %c%c   - send the escape character by typing it twice\r\n"
			 "(Note that escapes are only recognized immediately after newline.)\r\n",
			 e->ch, e->ch);
}
