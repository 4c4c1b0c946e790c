/* A tunnel: one socket of this side joined with one channel that is no session. It ends when both
 * directions have ended, or one side is gone. */
#ifndef HAWSER_DAEMON_TUNNEL_H
#define HAWSER_DAEMON_TUNNEL_H

#include "daemon/channel.h"
#include "daemon/transport.h"
#include "daemon/watch.h"

struct tunnel;

struct tunnel_events {
	/* The channel is open: bytes flow. May be NULL. */
	void (*opened)(void *ctx, struct tunnel *t);
	/* The end; the tunnel is gone after the call. why: NULL, or why the channel was lost, or
	 * with refused could not be opened. Never from within a call on the tunnel. */
	void (*ended)(void *ctx, struct tunnel *t, bool refused, const struct cause *why);
};

/* Takes fd, a connected stream socket of our own, and opens a channel to target. label: for the
 * log, borrowed for the tunnel's life. NULL (fd is closed): no descriptor left. */
struct tunnel *tunnel_open(struct watch_set *watches, struct transport *transport, int fd,
			   const struct channel_target *target, const char *label,
			   const struct tunnel_events *events, void *ctx);
/* Takes fd and a channel that the server opened. NULL (both are closed): no descriptor left. */
struct tunnel *tunnel_join(struct watch_set *watches, struct channel *c, int fd, const char *label,
			   const struct tunnel_events *events, void *ctx);
/* Right after either: the first bytes to the socket, once the channel is open; and to the channel.
 */
void tunnel_greet_socket(struct tunnel *t, const void *data, size_t len);
void tunnel_greet_channel(struct tunnel *t, const void *data, size_t len);
/* Ends it at once, both sides closed; no event comes. NULL ok. */
void tunnel_destroy(struct tunnel *t);

#endif
