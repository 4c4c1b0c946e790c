#include "tests/fakes/fakes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include "daemon/conn.h"
#include "daemon/watch.h"
#include "protocol/log.h"

#define DEADLINE_MS 10000

struct fake_app fake_app;

void app_stop(struct app *app, bool now)
{
	app->stopping = true;
	fake_app.stops++;
	fake_app.stops_now += now;
}

void app_sessions(struct app *app, int change)
{
	assert_true(change >= 0 || app->sessions > 0);
	app->sessions += (size_t)change;
}

void fake_app_init(void)
{
	struct app *app = &fake_app.app;

	memset(&fake_app, 0, sizeof(fake_app));
	memset(&fake_sessions, 0, sizeof(fake_sessions));
	memset(&fake_pool, 0, sizeof(fake_pool));
	log_set_level(LOG_LVL_ERROR);
	assert_int_equal(uv_loop_init(&fake_app.loop), 0);
	app->loop = &fake_app.loop;
	config_defaults(&app->config);
	app->watches = watch_set_create(app->loop);
	assert_non_null(app->watches);
	app->pools = pools_create(app);
}

void fake_app_finish(void)
{
	struct app *app = &fake_app.app;

	if (app->conns) {
		conn_set_shutdown(app->conns);
		conn_set_destroy(app->conns);
	}
	assert_int_equal(app->sessions, 0);
	assert_int_equal(fake_sessions.live_count, 0);
	watch_set_destroy(app->watches);
	uv_run(app->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(app->loop), 0);
}

static void on_deadline(uv_timer_t *timer)
{
	(void)timer;
	fail_msg("what the test waits for did not come within %d ms", DEADLINE_MS);
}

void fake_app_run_until(bool (*done)(void *ctx), void *ctx)
{
	uv_timer_t deadline;

	uv_timer_init(&fake_app.loop, &deadline);
	uv_timer_start(&deadline, on_deadline, DEADLINE_MS, 0);
	while (!done(ctx))
		uv_run(&fake_app.loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&deadline, NULL);
	uv_run(&fake_app.loop, UV_RUN_NOWAIT);
}
