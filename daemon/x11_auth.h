/* The cookie of a client's display, by xauth(1), as ssh asks for it: the display's own for trusted
 * forwarding, else one that the X server makes for us with the rights of an untrusted client. Run
 * on a worker thread with the client's environment; no shell is in it. */
#ifndef HAWSER_DAEMON_X11_AUTH_H
#define HAWSER_DAEMON_X11_AUTH_H

#include "daemon/destination.h"
#include "daemon/origin.h"
#include "daemon/worker.h"
#include "daemon/x11_parse.h"

struct x11_auth;

struct x11_auth_result {
	bool usable; /* false: no forwarding */
	struct x11_cookie cookie;
	const char *say; /* ssh's words for the user, or NULL; static */
	int level;	 /* of them, as destination.log_level */
};
typedef void (*x11_auth_cb)(void *ctx, const struct x11_auth_result *r);

/* dest, origin: references are taken. display: valid (x11_display_valid()), copied. cb is called
 * once, never from within this call; its result is wiped after it. */
struct x11_auth *x11_auth_start(struct worker_pool *workers, struct destination *dest,
				struct origin *origin, const char *display, x11_auth_cb cb,
				void *ctx);
/* cb will not be called, xauth is ended. NULL ok. */
void x11_auth_cancel(struct x11_auth *a);
/* Fills a cookie of that protocol and length with random bytes. False: the kernel has none. */
bool x11_auth_random(struct x11_cookie *c);

#endif
