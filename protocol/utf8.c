#include "protocol/utf8.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

size_t utf8_length(const unsigned char *p, size_t left)
{
	size_t len = p[0] < 0x80   ? 1
		     : p[0] < 0xc2 ? 0
		     : p[0] < 0xe0 ? 2
		     : p[0] < 0xf0 ? 3
		     : p[0] < 0xf5 ? 4
				   : 0;

	if (len > left)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0; /* overlong, a surrogate, or beyond Unicode */
	return len;
}

size_t utf8_shown_length(const unsigned char *p, size_t left)
{
	if (p[0] < 0x20 || p[0] == 0x7f || (p[0] == 0xc2 && left > 1 && p[1] < 0xa0))
		return 0;
	return utf8_length(p, left);
}

size_t utf8_escape(char *dst, size_t size, const char *src, const char *kept)
{
	const unsigned char *p = (const unsigned char *)src;
	size_t used = 0;

	while (*p != '\0') {
		size_t len = strchr(kept, *p) != NULL ? 1 : utf8_shown_length(p, SIZE_MAX);

		if (used + (len > 0 ? len : 4) >= size)
			break;
		if (len > 0)
			memcpy(dst + used, p, len);
		else
			snprintf(dst + used, size - used, "\\%03o", *p);
		used += len > 0 ? len : 4;
		p += len > 0 ? len : 1;
	}
	dst[used] = '\0';
	return used;
}
