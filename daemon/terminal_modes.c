#include "daemon/terminal_modes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/alloc.h"

#define OP_IUTF8 42
#define NO_KEY	 255u

/* Keys by opcode, as stty(1) has them, and what a fresh Linux terminal has. */
static const struct {
	const char *name;
	uint32_t fresh;
} keys[] = {
	[1] = {"intr", 0x03}, [2] = {"quit", 0x1c},  [3] = {"erase", 0x7f},
	[4] = {"kill", 0x15}, [5] = {"eof", 0x04},   [8] = {"start", 0x11},
	[9] = {"stop", 0x13}, [10] = {"susp", 0x1a}, [13] = {"werase", 0x17},
};

/* " erase "^H"", within single quotes. Control characters only, and not ^\, which shells of all
 * kinds read in ways of their own: anything else stays as the server has it. */
static void append_key(FILE *f, const char *name, uint32_t key)
{
	if (key == NO_KEY)
		fprintf(f, " %s undef", name);
	else if (key == 0x7f)
		fprintf(f, " %s \"^?\"", name);
	else if (key > 0 && key < 0x20 && key != 0x1c)
		fprintf(f, " %s \"^%c\"", name, (int)(key + '@'));
}

char *terminal_modes_shell(const char *modes, size_t len)
{
	const uint8_t *m = (const uint8_t *)modes;
	char *words = NULL, *text;
	const char *utf8 = "";
	size_t size = 0;
	FILE *f = open_memstream(&words, &size);

	if (f == NULL)
		return NULL;
	for (size_t i = 0; i + 5 <= len && m[i] != 0; i += 5) {
		uint32_t value = (uint32_t)m[i + 1] << 24 | (uint32_t)m[i + 2] << 16 |
				 (uint32_t)m[i + 3] << 8 | m[i + 4];

		if (m[i] == OP_IUTF8)
			utf8 = value != 0 ? "stty iutf8 2>/dev/null; "
					  : "stty -iutf8 2>/dev/null; ";
		else if (m[i] < HW_ARRAY_LEN(keys) && keys[m[i]].name != NULL &&
			 keys[m[i]].fresh != value)
			append_key(f, keys[m[i]].name, value);
	}
	if (fclose(f) != 0 || (size == 0 && utf8[0] == '\0')) {
		free(words);
		return NULL;
	}
	/* Two calls, since one that does not know iutf8 would set nothing. */
	text = xasprintf("exec sh -c '%s%s%s%sexec \"${SHELL:-sh}\" -l'", utf8,
			 size > 0 ? "stty" : "", words, size > 0 ? " 2>/dev/null; " : "");
	free(words);
	return text;
}
