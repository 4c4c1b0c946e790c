/* The server's side of SOCKS 4, 4a and 5 (RFC 1928; CONNECT only, no authentication), for -D and -R
 * without a target. Pure: bytes in, an answer and a target out. */
#ifndef HAWSER_DAEMON_FORWARD_SOCKS_H
#define HAWSER_DAEMON_FORWARD_SOCKS_H

#include "protocol/base.h"

#define SOCKS_HOST_MAX 256 /* with its NUL */

enum socks_result {
	SOCKS_MORE, /* wants more bytes */
	SOCKS_DONE, /* host and port are there; reply is to be sent once the connection stands */
	SOCKS_BAD,  /* not a request that we take; reply, if any, says so */
};

struct socks {
	char host[SOCKS_HOST_MAX];
	uint16_t port;
	/* To be sent to the client at once while there is MORE; the caller sets reply_len to 0. */
	uint8_t reply[10];
	size_t reply_len;
	/* private */
	uint8_t bytes[2 + 255 + 4];
	size_t have, need;
	int stage;
	size_t user_len;
};

void socks_init(struct socks *s);
/* How many bytes it takes next, at least 1: never one that is not its own, so that what follows the
 * request can stay where it is. */
size_t socks_want(const struct socks *s);
/* Takes at most socks_want() bytes. */
enum socks_result socks_feed(struct socks *s, const uint8_t *data, size_t len);

#endif
