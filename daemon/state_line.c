#include "daemon/state_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/alloc.h"

#define CRC_DIGITS 8

static uint32_t crc32_of(const char *data, size_t len)
{
	uint32_t crc = 0xffffffffu;

	for (size_t i = 0; i < len; i++) {
		crc ^= (unsigned char)data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
	}
	return ~crc;
}

static char *escape(char *to, const char *from)
{
	for (; *from != '\0'; from++) {
		if (*from == '\t' || *from == '\n' || *from == '\\') {
			*to++ = '\\';
			*to++ = *from == '\t' ? 't' : *from == '\n' ? 'n' : '\\';
		} else {
			*to++ = *from;
		}
	}
	return to;
}

static bool unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from != '\0'; from++) {
		if (*from != '\\') {
			*to++ = *from;
			continue;
		}
		from++;
		if (*from == 't')
			*to++ = '\t';
		else if (*from == 'n')
			*to++ = '\n';
		else if (*from == '\\')
			*to++ = '\\';
		else
			return false;
	}
	*to = '\0';
	return true;
}

char *state_line_make(const char *const *fields, size_t count)
{
	size_t size = CRC_DIGITS + 2;
	char *line, *at;

	for (size_t i = 0; i < count; i++)
		size += 1 + 2 * (fields[i] != NULL ? strlen(fields[i]) : 0);
	line = xmalloc(size);
	at = line + CRC_DIGITS;
	for (size_t i = 0; i < count; i++) {
		*at++ = '\t';
		at = escape(at, fields[i] != NULL ? fields[i] : "");
	}
	*at = '\0';
	{
		char sum[CRC_DIGITS + 1];

		snprintf(sum, sizeof(sum), "%08x",
			 crc32_of(line + CRC_DIGITS, (size_t)(at - line) - CRC_DIGITS));
		memcpy(line, sum, CRC_DIGITS);
	}
	*at++ = '\n';
	*at = '\0';
	return line;
}

bool state_line_parse(char *line, size_t len, char **fields, size_t count)
{
	char sum[CRC_DIGITS + 1];
	char *at = line + CRC_DIGITS;

	if (len < CRC_DIGITS + 1 || memchr(line, '\0', len) != NULL)
		return false;
	line[len] = '\0';
	snprintf(sum, sizeof(sum), "%08x", crc32_of(at, len - CRC_DIGITS));
	if (memcmp(sum, line, CRC_DIGITS) != 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		char *next;

		if (at == NULL || *at != '\t')
			return false;
		*at++ = '\0';
		next = strchr(at, '\t');
		fields[i] = at;
		at = next;
	}
	if (at != NULL)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!unescape(fields[i]))
			return false;
	}
	return true;
}
