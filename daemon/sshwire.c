#include "daemon/sshwire.h"

#include <string.h>

#include "protocol/alloc.h"

static void take(struct sshwire_in *in, size_t n)
{
	in->data += n;
	in->len -= n;
}

bool sshwire_u8(struct sshwire_in *in, uint8_t *v)
{
	if (in->len < 1)
		return false;
	*v = in->data[0];
	take(in, 1);
	return true;
}

bool sshwire_u32(struct sshwire_in *in, uint32_t *v)
{
	const uint8_t *p = in->data;

	if (in->len < 4)
		return false;
	*v = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	take(in, 4);
	return true;
}

bool sshwire_u64(struct sshwire_in *in, uint64_t *v)
{
	uint32_t high, low;

	if (in->len < 8 || !sshwire_u32(in, &high) || !sshwire_u32(in, &low))
		return false;
	*v = (uint64_t)high << 32 | low;
	return true;
}

bool sshwire_string(struct sshwire_in *in, struct sshwire_in *s)
{
	struct sshwire_in at = *in;
	uint32_t len;

	if (!sshwire_u32(&at, &len) || len > at.len)
		return false;
	*s = (struct sshwire_in){.data = at.data, .len = len};
	take(&at, len);
	*in = at;
	return true;
}

bool sshwire_skip_strings(struct sshwire_in *in, unsigned n)
{
	struct sshwire_in at = *in, s;

	for (unsigned i = 0; i < n; i++)
		if (!sshwire_string(&at, &s))
			return false;
	*in = at;
	return true;
}

bool sshwire_is(const struct sshwire_in *s, const char *text)
{
	return s->len == strlen(text) && memcmp(s->data, text, s->len) == 0;
}

/* By hand, not by realloc(3): what it leaves behind may be a secret. */
static uint8_t *grow(struct sshwire_out *out, size_t n)
{
	if (out->room - out->len < n) {
		size_t room = out->room + n + 256;
		uint8_t *data = xmalloc(room);

		if (out->len > 0)
			memcpy(data, out->data, out->len);
		free_secret(out->data, out->len);
		out->data = data;
		out->room = room;
	}
	out->len += n;
	return out->data + out->len - n;
}

void sshwire_put_u8(struct sshwire_out *out, uint8_t v)
{
	*grow(out, 1) = v;
}

void sshwire_put_u32(struct sshwire_out *out, uint32_t v)
{
	uint8_t *p = grow(out, 4);

	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

void sshwire_put_bytes(struct sshwire_out *out, const void *data, size_t len)
{
	if (len > 0)
		memcpy(grow(out, len), data, len);
}

void sshwire_put_string(struct sshwire_out *out, const void *data, size_t len)
{
	sshwire_put_u32(out, (uint32_t)len);
	sshwire_put_bytes(out, data, len);
}

void sshwire_put_mpint(struct sshwire_out *out, const void *data, size_t len)
{
	const uint8_t *p = data;
	bool pad;

	while (len > 0 && *p == 0) {
		p++;
		len--;
	}
	pad = len > 0 && (*p & 0x80) != 0;
	sshwire_put_u32(out, (uint32_t)(len + pad));
	if (pad)
		sshwire_put_u8(out, 0);
	sshwire_put_bytes(out, p, len);
}

void sshwire_out_finish(struct sshwire_out *out)
{
	free_secret(out->data, out->len);
	*out = (struct sshwire_out){.data = NULL};
}
