/* One request of one client: from its words to a channel, its bytes through pumps, to its end.
 * queued -> opening -> sent -> running -> done. Front ends fill in a request and relay events; what
 * is below does not know which front end speaks. */
#ifndef HAWSER_DAEMON_SESSION_H
#define HAWSER_DAEMON_SESSION_H

#include "daemon/cause.h"
#include "protocol/proto.h"

struct app;
struct session;

struct session_request {
	struct proto_request words; /* owned by the session from session_start() on */
	int fds[3];    /* stdin, stdout, stderr where words.streams says FD, else -1; owned
			  by the session from session_start() on */
	long peer_pid; /* for the log */
};

/* To the front end, on the loop thread, never from within session_start(). Structs are valid during
 * the call. After done or fallback the session is gone: the front end forgets its pointer. */
struct session_events {
	void (*started)(void *ctx, const struct proto_started *m);
	void (*prompt)(void *ctx, const struct proto_prompt *m);
	void (*notice)(void *ctx, const struct proto_notice *m);
	/* Only where the request asks for it (PROTO_WANT_PROGRESS). */
	void (*progress)(void *ctx, const struct proto_progress *m);
	void (*fallback)(void *ctx, const char *why);
	void (*done)(void *ctx, const struct proto_exit *m);
};

/* Takes what request holds (the caller's struct may go away, but its contents are not its own any
 * more). events is borrowed for the session's life (static). */
struct session *session_start(struct app *app, struct session_request *request,
			      const struct session_events *events, void *ctx);
void session_signal(struct session *s, const char *name);
void session_resize(struct session *s, const struct proto_winsize *size);
/* What a person asks for by an escape (another forward, a list of them, a break): notices say what
 * came of it. */
void session_action(struct session *s, const struct proto_action *action);
void session_answer(struct session *s, const struct proto_answer *answer);
/* The client is gone: close the channel, drop everything; no event comes any more. */
void session_abort(struct session *s);
/* The daemon goes: `done` comes within the call, and says how far the request had got. */
void session_stop(struct session *s);

#endif
