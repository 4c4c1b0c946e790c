/* X11 forwarding (ssh(1) -X and -Y). A session gives the server a cookie that is made up for it
 * alone. What the server opens on the session's transport shows that cookie in its first packet, or
 * is refused; with the display's own cookie in its place it goes to the display of the session's
 * client. So any number of clients with different displays share a transport. */
#ifndef HAWSER_DAEMON_X11_H
#define HAWSER_DAEMON_X11_H

#include "daemon/channel.h"
#include "daemon/destination.h"
#include "daemon/origin.h"

struct app;
struct x11_guest; /* a session, as a guest of its client's display */

/* Never from within a call on the guest. */
struct x11_events {
	/* request: for the channel, borrowed from the guest; NULL: there will be no forwarding. */
	void (*ready)(void *ctx, const struct channel_x11 *request);
	/* A line for the user, when his LogLevel asks for it: level as in destination.log_level. */
	void (*notice)(void *ctx, int level, const char *text);
	/* The last connection has ended. */
	void (*idle)(void *ctx);
};

/* Asks xauth(1) for the cookie of origin's DISPLAY; `ready` follows. */
struct x11_guest *x11_guest_create(struct app *app, struct destination *dest, struct origin *origin,
				   const struct x11_events *events, void *ctx);
/* Connections of t with the guest's cookie are let in from now on: before the channel is given its
 * request. */
void x11_guest_attach(struct x11_guest *g, struct transport *t);
/* No more are let in: before that transport's end. */
void x11_guest_detach(struct x11_guest *g);
/* Connections are open. */
bool x11_guest_busy(const struct x11_guest *g);
/* Ends all connections at once. NULL ok. Not after the transport's end, unless detached. */
void x11_guest_destroy(struct x11_guest *g);

#endif
