#include "daemon/destination_values.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "protocol/alloc.h"
#include "protocol/proto.h"

bool value_flag(const char *text)
{
	return text != NULL && (strcasecmp(text, "yes") == 0 || strcasecmp(text, "true") == 0 ||
				strcasecmp(text, "on") == 0);
}

bool value_is_off(const char *text)
{
	return text == NULL || strcasecmp(text, "no") == 0 || strcasecmp(text, "false") == 0 ||
	       strcasecmp(text, "none") == 0;
}

unsigned value_number(const char *text, unsigned max, unsigned otherwise)
{
	char *end;
	unsigned long n;

	if (text == NULL || !isdigit((unsigned char)text[0]))
		return otherwise;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno != 0 || (*end != '\0' && *end != ' ') || n > max)
		return otherwise;
	return (unsigned)n;
}

/* RFC 1349 type of service and RFC 2474, 2597, 3246, 8622 code points, shifted to the TOS byte. */
static const struct {
	const char *name;
	int tos;
} tos_names[] = {
	{"lowdelay", 0x10}, {"throughput", 0x08}, {"reliability", 0x04}, {"af11", 0x28},
	{"af12", 0x30},	    {"af13", 0x38},	  {"af21", 0x48},	 {"af22", 0x50},
	{"af23", 0x58},	    {"af31", 0x68},	  {"af32", 0x70},	 {"af33", 0x78},
	{"af41", 0x88},	    {"af42", 0x90},	  {"af43", 0x98},	 {"cs0", 0x00},
	{"cs1", 0x20},	    {"cs2", 0x40},	  {"cs3", 0x60},	 {"cs4", 0x80},
	{"cs5", 0xa0},	    {"cs6", 0xc0},	  {"cs7", 0xe0},	 {"ef", 0xb8},
	{"le", 0x04},	    {"va", 0xb0},
};

int value_tos(const char *text, size_t len)
{
	char word[16];
	char *end;
	long n;

	if (len == 0 || len >= sizeof(word))
		return -1;
	memcpy(word, text, len);
	word[len] = '\0';
	for (size_t i = 0; i < HW_ARRAY_LEN(tos_names); i++) {
		if (strcasecmp(word, tos_names[i].name) == 0)
			return tos_names[i].tos;
	}
	n = strtol(word, &end, 0);
	return *end == '\0' && n >= 0 && n <= 255 ? (int)n : -1;
}

/* -G prints the byte as vis(3) does: itself, \^X, \M-x, \ooo or a doubled backslash. */
int value_escape(const char *text)
{
	char *end;
	long n;

	if (text == NULL || strcasecmp(text, "none") == 0 || text[0] == '\0')
		return -1;
	if (text[0] != '\\' || text[1] == '\0')
		return (unsigned char)text[0];
	if (text[1] == '^' && text[2] != '\0')
		return text[2] == '?' ? 0x7f : text[2] & 0x1f;
	if (isdigit((unsigned char)text[1])) {
		n = strtol(text + 1, &end, 8);
		return *end == '\0' && n >= 0 && n <= 255 ? (int)n : -1;
	}
	return (unsigned char)text[1];
}

int value_log_level(const char *text)
{
	static const struct {
		const char *name;
		int level;
	} levels[] = {
		{"SILENT", -3}, {"QUIET", -3}, {"FATAL", -2}, {"ERROR", -1}, {"INFO", 0},
		{"VERBOSE", 0}, {"DEBUG", 1},  {"DEBUG1", 1}, {"DEBUG2", 2}, {"DEBUG3", 3},
	};

	for (size_t i = 0; text != NULL && i < HW_ARRAY_LEN(levels); i++) {
		if (strcasecmp(text, levels[i].name) == 0)
			return levels[i].level;
	}
	return 0;
}

unsigned value_proto_level(const char *text)
{
	static const char *const names[] = {"QUIET",   "FATAL",	 "ERROR",  "INFO",
					    "VERBOSE", "DEBUG1", "DEBUG2", "DEBUG3"};

	if (text != NULL && strcasecmp(text, "DEBUG") == 0)
		return PROTO_LEVEL_DEBUG1;
	if (text != NULL && strcasecmp(text, "SILENT") == 0)
		return PROTO_LEVEL_QUIET;
	for (unsigned i = 0; text != NULL && i < HW_ARRAY_LEN(names); i++) {
		if (strcasecmp(text, names[i]) == 0)
			return i;
	}
	return PROTO_LEVEL_INFO;
}

enum strict_hostkey value_strict(const char *text)
{
	if (text == NULL || strcasecmp(text, "ask") == 0)
		return STRICT_ASK;
	if (strcasecmp(text, "accept-new") == 0)
		return STRICT_ACCEPT_NEW;
	/* What is neither is not known to us: the strictest reading. */
	return value_is_off(text) || strcasecmp(text, "off") == 0 ? STRICT_NO : STRICT_YES;
}

enum request_tty value_request_tty(const char *text)
{
	if (text == NULL || strcasecmp(text, "auto") == 0)
		return TTY_AUTO;
	if (strcasecmp(text, "force") == 0)
		return TTY_FORCE;
	return value_flag(text) ? TTY_YES : TTY_NO;
}

enum session_type value_session_type(const char *text)
{
	if (text != NULL && strcasecmp(text, "none") == 0)
		return SESSION_NONE;
	if (text != NULL && strcasecmp(text, "subsystem") == 0)
		return SESSION_SUBSYSTEM;
	return SESSION_DEFAULT;
}

void vector_push(char ***vector, size_t *len, char *item)
{
	*vector = xreallocarray(*vector, *len + 2, sizeof(**vector));
	(*vector)[(*len)++] = item;
	(*vector)[*len] = NULL;
}

char **vector_split(const char *text, const char *separators)
{
	char **parts = xcalloc(1, sizeof(*parts));
	size_t count = 0;

	for (text += strspn(text, separators); *text != '\0';) {
		size_t len = strcspn(text, separators);

		vector_push(&parts, &count, xstrndup(text, len));
		text += len;
		text += strspn(text, separators);
	}
	return parts;
}

char **destination_values(char *const *lines, const char *keyword)
{
	char **values = xcalloc(1, sizeof(*values));
	size_t count = 0, len = strlen(keyword);

	for (; lines != NULL && *lines != NULL; lines++) {
		if (strncasecmp(*lines, keyword, len) == 0 && (*lines)[len] == ' ')
			vector_push(&values, &count, xstrdup(*lines + len + 1));
	}
	return values;
}

const char *destination_line(char *const *lines, const char *keyword)
{
	size_t len = strlen(keyword);

	for (; lines != NULL && *lines != NULL; lines++) {
		if (strncasecmp(*lines, keyword, len) != 0)
			continue;
		if ((*lines)[len] == '\0')
			return *lines + len;
		if ((*lines)[len] == ' ')
			return *lines + len + 1;
	}
	return NULL;
}
