#include "protocol/precheck.h"

#include "protocol/proto.h"

/* One value's head, by the first byte of the msgpack specification's table "Formats". */
struct head {
	size_t head;	/* bytes of the format and its length or number */
	size_t body;	/* bytes that follow */
	uint64_t inner; /* values that follow */
	bool container;
};

static uint32_t read_be(const uint8_t *p, size_t width)
{
	uint32_t v = 0;
	for (size_t i = 0; i < width; i++)
		v = v << 8 | p[i];
	return v;
}

/* The formats 0xc0 to 0xdf. width: bytes of the length that stands behind the first byte. */
enum shape { SHAPE_BAD, SHAPE_PLAIN, SHAPE_BYTES, SHAPE_EXT, SHAPE_ARRAY, SHAPE_MAP };
static const struct {
	uint8_t shape;
	uint8_t width;
	uint8_t fixed; /* SHAPE_PLAIN: bytes of the value */
} formats[] = {
	{SHAPE_PLAIN, 0, 0},  /* c0 nil */
	{SHAPE_BAD, 0, 0},    /* c1 never used */
	{SHAPE_PLAIN, 0, 0},  /* c2 false */
	{SHAPE_PLAIN, 0, 0},  /* c3 true */
	{SHAPE_BYTES, 1, 0},  /* c4 bin */
	{SHAPE_BYTES, 2, 0},  /* c5 */
	{SHAPE_BYTES, 4, 0},  /* c6 */
	{SHAPE_EXT, 1, 0},    /* c7 ext */
	{SHAPE_EXT, 2, 0},    /* c8 */
	{SHAPE_EXT, 4, 0},    /* c9 */
	{SHAPE_PLAIN, 0, 4},  /* ca float */
	{SHAPE_PLAIN, 0, 8},  /* cb */
	{SHAPE_PLAIN, 0, 1},  /* cc uint */
	{SHAPE_PLAIN, 0, 2},  /* cd */
	{SHAPE_PLAIN, 0, 4},  /* ce */
	{SHAPE_PLAIN, 0, 8},  /* cf */
	{SHAPE_PLAIN, 0, 1},  /* d0 int */
	{SHAPE_PLAIN, 0, 2},  /* d1 */
	{SHAPE_PLAIN, 0, 4},  /* d2 */
	{SHAPE_PLAIN, 0, 8},  /* d3 */
	{SHAPE_PLAIN, 0, 2},  /* d4 fixext, with its type byte */
	{SHAPE_PLAIN, 0, 3},  /* d5 */
	{SHAPE_PLAIN, 0, 5},  /* d6 */
	{SHAPE_PLAIN, 0, 9},  /* d7 */
	{SHAPE_PLAIN, 0, 17}, /* d8 */
	{SHAPE_BYTES, 1, 0},  /* d9 str */
	{SHAPE_BYTES, 2, 0},  /* da */
	{SHAPE_BYTES, 4, 0},  /* db */
	{SHAPE_ARRAY, 2, 0},  /* dc array */
	{SHAPE_ARRAY, 4, 0},  /* dd */
	{SHAPE_MAP, 2, 0},    /* de map */
	{SHAPE_MAP, 4, 0},    /* df */
};

/* len: bytes at p, at least 1. */
static bool read_head(const uint8_t *p, size_t len, struct head *h)
{
	uint8_t c = p[0];

	*h = (struct head){.head = 1};
	if (c < 0x80 || c >= 0xe0) /* small numbers */
		return true;
	if (c < 0xc0) {
		h->container = c < 0xa0;
		if (c < 0x90)
			h->inner = 2 * (c & 0x0fu);
		else if (c < 0xa0)
			h->inner = c & 0x0fu;
		else
			h->body = c & 0x1fu;
		return true;
	}
	enum shape shape = formats[c - 0xc0].shape;
	size_t width = formats[c - 0xc0].width;
	if (shape == SHAPE_BAD || len - 1 < width)
		return false;
	uint32_t n = read_be(p + 1, width);
	h->head = 1 + width;
	h->container = shape == SHAPE_ARRAY || shape == SHAPE_MAP;
	if (shape == SHAPE_PLAIN)
		h->body = formats[c - 0xc0].fixed;
	else if (shape == SHAPE_ARRAY)
		h->inner = n;
	else if (shape == SHAPE_MAP)
		h->inner = 2 * (uint64_t)n;
	else
		h->body = (size_t)n + (shape == SHAPE_EXT);
	return true;
}

int precheck_payload(const uint8_t *payload, size_t len)
{
	/* How many values each open container still lacks. The outer array is one level more. */
	uint64_t missing[PROTO_NESTING_MAX + 2] = {1};
	size_t depth = 0, at = 0, objects = 0;

	for (;;) {
		while (depth > 0 && missing[depth] == 0)
			depth--;
		if (depth == 0 && missing[0] == 0)
			return at == len ? HW_OK : HW_EPROTO;
		missing[depth]--;
		if (at == len || ++objects > PROTO_OBJECTS_MAX)
			return HW_EPROTO;
		struct head h;
		if (!read_head(payload + at, len - at, &h))
			return HW_EPROTO;
		at += h.head;
		if (h.body > len - at)
			return HW_EPROTO;
		at += h.body;
		if (h.container) {
			if (++depth == HW_ARRAY_LEN(missing))
				return HW_EPROTO;
			missing[depth] = h.inner;
		}
	}
}
