/* What a session lends to the server of its client's: the agent (ssh(1) -A) and the X11 display (-X
 * and -Y). Both are looked at before the channel is asked for; calls without them pass through. */
#include "daemon/session_priv.h"

#include <unistd.h>

#include "daemon/dial_local.h"
#include "daemon/x11_parse.h"

static void lend(struct session *s);

/* An agent that is not there is not asked for, as in ssh: the remote side would find a socket that
 * leads nowhere. */
static void on_agent(void *ctx, int fd, int error)
{
	struct session *s = ctx;

	(void)error;
	s->probe = NULL;
	s->lending = false;
	if (fd >= 0)
		close(fd);
	s->wanted.agent = fd >= 0;
	if (s->wanted.agent)
		session_notice(s, 1, "debug1: Requesting authentication agent forwarding.");
	lend(s);
}

static void on_x11_ready(void *ctx, const struct channel_x11 *request)
{
	struct session *s = ctx;

	s->lending = false;
	s->wanted.x11 = request;
	if (request != NULL)
		session_notice(s, 1,
			       "debug1: Requesting X11 forwarding with authentication spoofing.");
	lend(s);
}

static void on_x11_notice(void *ctx, int level, const char *text)
{
	session_notice(ctx, level, "%s", text);
}

static void on_x11_idle(void *ctx)
{
	session_use_changed(ctx);
}

static const struct x11_events x11_events = {
	.ready = on_x11_ready,
	.notice = on_x11_notice,
	.idle = on_x11_idle,
};

/* True: there is a display to be lent. */
static bool wants_x11(struct session *s)
{
	const char *display = origin_getenv(s->origin, "DISPLAY");

	if (!s->dest->forward_x11)
		return false;
	if (display == NULL) {
		session_notice(s, 1, "debug1: X11 forwarding requested but DISPLAY not set");
		return false;
	}
	if (x11_display_valid(display))
		return true;
	session_notice(s, 0, "DISPLAY \"%s\" invalid; disabling X11 forwarding", display);
	return false;
}

/* The next thing that is not done yet. */
static void lend(struct session *s)
{
	if (!s->lent_agent) {
		s->lent_agent = true;
		if (s->dest->forward_agent != NULL) {
			s->lending = true;
			s->probe = dial_local_start(s->app->workers, s->dest->forward_agent, false,
						    on_agent, s);
			return;
		}
	}
	if (!s->lent_x11) {
		s->lent_x11 = true;
		if (wants_x11(s)) {
			s->lending = true;
			s->x11 = x11_guest_create(s->app, s->dest, s->origin, &x11_events, s);
			return;
		}
	}
	session_lent(s);
}

void session_lend(struct session *s)
{
	lend(s);
}

void session_lend_nothing(struct session *s)
{
	if (s->wanted.agent)
		session_notice(s, -1,
			       "Agent forwarding is disabled to avoid man-in-the-middle attacks.");
	if (s->wanted.x11 != NULL)
		session_notice(s, -1,
			       "X11 forwarding is disabled to avoid man-in-the-middle attacks.");
	s->wanted.agent = false;
	s->wanted.x11 = NULL;
}

void session_lend_finish(struct session *s)
{
	dial_local_cancel(s->probe);
	s->probe = NULL;
	x11_guest_destroy(s->x11);
	s->x11 = NULL;
	s->wanted.x11 = NULL;
}
