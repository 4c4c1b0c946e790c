#include "daemon/knownhosts_art.h"

#include <stdio.h>
#include <string.h>

#include "daemon/digest.h"
#include "protocol/alloc.h"

/* The floor that the bishop walks on. */
#define WIDTH  17
#define HEIGHT 9

/* How often he was there, then where he began and where he ended. */
static const char marks[] = " .o+=*BOX@%&#/^SE";
#define MARK_START (sizeof(marks) - 3)
#define MARK_END   (sizeof(marks) - 2)

static int step(int at, bool forward, int size)
{
	at += forward ? 1 : -1;
	return at < 0 ? 0 : at >= size ? size - 1 : at;
}

static void walk(uint8_t floor[HEIGHT][WIDTH], const uint8_t *digest, size_t len)
{
	int x = WIDTH / 2, y = HEIGHT / 2;

	for (size_t i = 0; i < len; i++) {
		for (unsigned pair = 0; pair < 4; pair++) {
			unsigned bits = digest[i] >> (2 * pair);

			x = step(x, (bits & 1) != 0, WIDTH);
			y = step(y, (bits & 2) != 0, HEIGHT);
			if (floor[y][x] < MARK_START - 1)
				floor[y][x]++;
		}
	}
	floor[HEIGHT / 2][WIDTH / 2] = MARK_START;
	floor[y][x] = MARK_END;
}

/* "+---[title]---+" */
static void frame(FILE *f, const char *title)
{
	size_t len = strlen(title), left = (WIDTH - len) / 2;

	fputc('+', f);
	for (size_t i = 0; i < WIDTH; i++) {
		if (i == left) {
			fputs(title, f);
			i += len - 1;
		} else {
			fputc('-', f);
		}
	}
	fputc('+', f);
}

char *knownhosts_art(const char *hash, const struct keyblob *key)
{
	uint8_t floor[HEIGHT][WIDTH] = {{0}}, digest[DIGEST_SHA256_LEN];
	bool md5 = strcmp(hash, "MD5") == 0 && digest_md5(key->data, key->len, digest);
	char title[WIDTH], *art = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&art, &size);

	if (f == NULL)
		return xstrdup("");
	if (!md5)
		digest_sha256(key->data, key->len, digest);
	walk(floor, digest, md5 ? DIGEST_MD5_LEN : DIGEST_SHA256_LEN);
	if (snprintf(title, sizeof(title), "[%s %u]", keyblob_short_type(key), keyblob_bits(key)) >=
	    (int)sizeof(title))
		snprintf(title, sizeof(title), "[%s]", keyblob_short_type(key));
	frame(f, title);
	fputc('\n', f);
	for (int y = 0; y < HEIGHT; y++) {
		fputc('|', f);
		for (int x = 0; x < WIDTH; x++)
			fputc(marks[floor[y][x]], f);
		fputs("|\n", f);
	}
	frame(f, md5 ? "[MD5]" : "[SHA256]");
	fclose(f);
	return art;
}
