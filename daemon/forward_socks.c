#include "daemon/forward_socks.h"

#include <arpa/inet.h>
#include <string.h>

#define VERSION_4     4
#define VERSION_5     5
#define CONNECT	      1
#define GRANTED_4     90
#define NO_AUTH_5     0x00
#define NO_METHOD_5   0xff
#define BAD_COMMAND_5 7
#define BAD_ADDRESS_5 8
#define ADDRESS_V4    1
#define ADDRESS_NAME  3
#define ADDRESS_V6    4
#define USER_MAX      255 /* a user name that nobody looks at */

enum stage {
	STAGE_VERSION,
	STAGE_4,      /* command, port, address */
	STAGE_4_USER, /* byte by byte, for only its NUL tells where it ends */
	STAGE_4_NAME,
	STAGE_5_METHODS,
	STAGE_5_LIST,
	STAGE_5_REQUEST, /* version, command, reserved, kind of address, and its first byte */
	STAGE_5_ADDRESS, /* the rest of it, and the port */
	STAGE_OVER,
};

void socks_init(struct socks *s)
{
	memset(s, 0, sizeof(*s));
	s->stage = STAGE_VERSION;
	s->need = 1;
}

size_t socks_want(const struct socks *s)
{
	return s->need - s->have;
}

static enum socks_result next(struct socks *s, enum stage stage, size_t need)
{
	s->stage = (int)stage;
	s->have = 0;
	s->need = need;
	return SOCKS_MORE;
}

static enum socks_result over(struct socks *s, enum socks_result result)
{
	next(s, STAGE_OVER, 1);
	return result;
}

static void reply(struct socks *s, const void *bytes, size_t len)
{
	memcpy(s->reply, bytes, len);
	s->reply_len = len;
}

static enum socks_result grant_4(struct socks *s)
{
	static const uint8_t granted[8] = {0, GRANTED_4};

	reply(s, granted, sizeof(granted));
	return over(s, SOCKS_DONE);
}

static enum socks_result grant_5(struct socks *s)
{
	static const uint8_t granted[10] = {VERSION_5, 0, 0, ADDRESS_V4};

	reply(s, granted, sizeof(granted));
	return over(s, SOCKS_DONE);
}

static enum socks_result refuse_5(struct socks *s, uint8_t why)
{
	const uint8_t refused[10] = {VERSION_5, why, 0, ADDRESS_V4};

	reply(s, refused, sizeof(refused));
	return over(s, SOCKS_BAD);
}

static uint16_t port_at(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* A name holds what a name may hold, and no NUL that would cut it short. */
static bool take_name(struct socks *s, const uint8_t *name, size_t len)
{
	if (len == 0 || len >= sizeof(s->host) || memchr(name, '\0', len) != NULL)
		return false;
	memcpy(s->host, name, len);
	s->host[len] = '\0';
	return true;
}

static enum socks_result take_4(struct socks *s)
{
	const uint8_t *b = s->bytes;
	bool named = b[3] == 0 && b[4] == 0 && b[5] == 0 && b[6] != 0;

	if (b[0] != CONNECT)
		return over(s, SOCKS_BAD);
	s->port = port_at(b + 1);
	if (!named)
		inet_ntop(AF_INET, b + 3, s->host, sizeof(s->host));
	return next(s, STAGE_4_USER, 1);
}

static enum socks_result take_4_user(struct socks *s)
{
	if (s->bytes[0] != '\0')
		return ++s->user_len > USER_MAX ? over(s, SOCKS_BAD) : next(s, STAGE_4_USER, 1);
	/* An address of 0.0.0.x: the name follows (SOCKS 4a). */
	return s->host[0] != '\0' ? grant_4(s) : next(s, STAGE_4_NAME, 1);
}

static enum socks_result take_4_name(struct socks *s)
{
	size_t len = s->have;

	if (s->bytes[len - 1] == '\0')
		return take_name(s, s->bytes, len - 1) ? grant_4(s) : over(s, SOCKS_BAD);
	if (len >= SOCKS_HOST_MAX - 1)
		return over(s, SOCKS_BAD);
	s->need++;
	return SOCKS_MORE;
}

static enum socks_result take_5_list(struct socks *s)
{
	static const uint8_t chosen[2] = {VERSION_5, NO_AUTH_5}, none[2] = {VERSION_5, NO_METHOD_5};

	if (memchr(s->bytes, NO_AUTH_5, s->have) == NULL) {
		reply(s, none, sizeof(none));
		return over(s, SOCKS_BAD);
	}
	reply(s, chosen, sizeof(chosen));
	return next(s, STAGE_5_REQUEST, 5);
}

static enum socks_result take_5_request(struct socks *s)
{
	const uint8_t *b = s->bytes;
	size_t rest;

	if (b[0] != VERSION_5 || b[2] != 0)
		return over(s, SOCKS_BAD);
	if (b[1] != CONNECT)
		return refuse_5(s, BAD_COMMAND_5);
	switch (b[3]) {
	case ADDRESS_V4:
		rest = 3;
		break;
	case ADDRESS_V6:
		rest = 15;
		break;
	case ADDRESS_NAME:
		rest = b[4];
		break;
	default:
		return refuse_5(s, BAD_ADDRESS_5);
	}
	s->stage = STAGE_5_ADDRESS; /* behind what is there */
	s->need += rest + 2;
	return SOCKS_MORE;
}

static enum socks_result take_5_address(struct socks *s)
{
	const uint8_t *address = s->bytes + 4;
	bool ok = true;

	s->port = port_at(s->bytes + s->have - 2);
	if (s->bytes[3] == ADDRESS_V4)
		inet_ntop(AF_INET, address, s->host, sizeof(s->host));
	else if (s->bytes[3] == ADDRESS_V6)
		inet_ntop(AF_INET6, address, s->host, sizeof(s->host));
	else
		ok = take_name(s, address + 1, address[0]);
	return ok ? grant_5(s) : over(s, SOCKS_BAD);
}

static enum socks_result take(struct socks *s)
{
	switch ((enum stage)s->stage) {
	case STAGE_VERSION:
		if (s->bytes[0] == VERSION_4)
			return next(s, STAGE_4, 7);
		if (s->bytes[0] == VERSION_5)
			return next(s, STAGE_5_METHODS, 1);
		return over(s, SOCKS_BAD);
	case STAGE_4:
		return take_4(s);
	case STAGE_4_USER:
		return take_4_user(s);
	case STAGE_4_NAME:
		return take_4_name(s);
	case STAGE_5_METHODS:
		return s->bytes[0] == 0 ? over(s, SOCKS_BAD) : next(s, STAGE_5_LIST, s->bytes[0]);
	case STAGE_5_LIST:
		return take_5_list(s);
	case STAGE_5_REQUEST:
		return take_5_request(s);
	case STAGE_5_ADDRESS:
		return take_5_address(s);
	case STAGE_OVER:
		break;
	}
	return SOCKS_BAD;
}

enum socks_result socks_feed(struct socks *s, const uint8_t *data, size_t len)
{
	if (len > socks_want(s))
		return SOCKS_BAD;
	memcpy(s->bytes + s->have, data, len);
	s->have += len;
	return s->have < s->need ? SOCKS_MORE : take(s);
}
