#include "tests/fakes/fakes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "protocol/alloc.h"
#include "protocol/decode.h"

struct fake_sessions fake_sessions;

struct session *session_start(struct app *app, struct session_request *request,
			      const struct session_events *events, void *ctx)
{
	struct session *s = xcalloc(1, sizeof(*s));

	s->app = app;
	s->request = *request;
	s->events = events;
	s->ctx = ctx;
	s->next = fake_sessions.live;
	fake_sessions.live = s;
	fake_sessions.live_count++;
	fake_sessions.started++;
	app_sessions(app, 1);
	return s;
}

void fake_session_forget(struct session *s)
{
	struct session **at = &fake_sessions.live;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	fake_sessions.live_count--;
	for (size_t i = 0; i < 3; i++) {
		if (s->request.fds[i] >= 0)
			close(s->request.fds[i]);
	}
	proto_request_free(&s->request.words);
	app_sessions(s->app, -1);
	free(s);
}

void session_signal(struct session *s, const char *name)
{
	snprintf(s->signal, sizeof(s->signal), "%s", name);
}

void session_resize(struct session *s, const struct proto_winsize *size)
{
	s->size = *size;
}

void session_action(struct session *s, const struct proto_action *action)
{
	snprintf(s->action, sizeof(s->action), "%s", action->verb);
}

void session_answer(struct session *s, const struct proto_answer *answer)
{
	(void)answer;
	s->answers++;
}

void session_stop(struct session *s)
{
	struct proto_exit m = {
		.error = (char *)(uintptr_t) "hawserd was stopped before the request ended",
		.ran = true};
	const struct session_events *events = s->events;
	void *ctx = s->ctx;

	fake_session_forget(s);
	events->done(ctx, &m);
}

void session_abort(struct session *s)
{
	fake_sessions.aborted++;
	fake_session_forget(s);
}

void fake_session_exit(struct session *s, uint32_t status)
{
	const struct proto_exit m = {.has_status = true, .status = status, .ran = true};

	s->events->done(s->ctx, &m);
	fake_session_forget(s);
}

void fake_session_fall_back(struct session *s, const char *why)
{
	s->events->fallback(s->ctx, why);
	fake_session_forget(s);
}
