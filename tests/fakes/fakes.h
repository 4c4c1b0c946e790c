/* Stand-ins for what lies below the front end, linked by unit tests instead of session.c, pool.c
 * and (fake_app.c) app.c. They record what they were told and do nothing by themselves. */
#ifndef HAWSER_TESTS_FAKES_H
#define HAWSER_TESTS_FAKES_H

#include "daemon/app.h"
#include "daemon/pool.h"
#include "daemon/session.h"

/* ---- fake_session.c ---- */

struct session {
	struct app *app;
	struct session_request request;
	const struct session_events *events;
	void *ctx;
	char signal[32], action[32];
	struct proto_winsize size;
	unsigned answers;
	struct session *next; /* of the live ones, newest first */
};

struct fake_sessions {
	struct session *live;
	size_t live_count, started, aborted;
};
extern struct fake_sessions fake_sessions;

/* Ends a session with an exit status, as the real one would. */
void fake_session_exit(struct session *s, uint32_t status);
/* Ends it by a fallback. */
void fake_session_fall_back(struct session *s, const char *why);

/* Frees it, as each of the above and session_abort() do. */
void fake_session_forget(struct session *s);

/* ---- fake_pool.c ---- */

struct fake_pool {
	struct pool_info infos[4]; /* typed is the name that list and close look for */
	size_t count;
	size_t closed, forced; /* calls of pools_close() that matched */
};
extern struct fake_pool fake_pool;

/* ---- fake_app.c: an app with a loop, watches and connections, but no parts below ---- */

struct fake_app {
	uv_loop_t loop;
	struct app app;
	unsigned stops, stops_now;
};
extern struct fake_app fake_app;

void fake_app_init(void);
/* Fails the test when something is left in the loop. */
void fake_app_finish(void);
/* Runs the loop until done() says so; fails the test after 10 s. */
void fake_app_run_until(bool (*done)(void *ctx), void *ctx);

#endif
