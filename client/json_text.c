#include "client/json_text.h"

#include <stdint.h>

#include "protocol/utf8.h"

void json_put_text(FILE *out, const char *s)
{
	fputc('"', out);
	for (const unsigned char *p = (const unsigned char *)s; *p != '\0'; p++) {
		size_t len = utf8_length(p, SIZE_MAX);
		if (len == 0) {
			fputs("\\ufffd", out);
			continue;
		}
		if (len > 1) {
			fwrite(p, 1, len, out);
			p += len - 1;
			continue;
		}
		if (*p == '"' || *p == '\\')
			fprintf(out, "\\%c", *p);
		else if (*p < ' ' || *p == 0x7f)
			fprintf(out, "\\u%04x", *p);
		else
			fputc(*p, out);
	}
	fputc('"', out);
}
