#include "daemon/app.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "daemon/activation.h"
#include "daemon/conn.h"
#include "daemon/journal_disk.h"
#include "daemon/jump.h"
#include "daemon/learn.h"
#include "daemon/listener.h"
#include "daemon/netwatch.h"
#include "daemon/pool.h"
#include "daemon/resolve.h"
#include "daemon/state.h"
#include "daemon/watch.h"
#include "daemon/worker.h"
#include "protocol/lockfile.h"
#include "protocol/log.h"
#include "protocol/paths.h"

/* How long another daemon that holds the lock may take to answer, or to leave. */
#define CLAIM_WAIT_MS 5000u
/* Clients that have connected when the stop began and have not said yet what they want: so long,
 * so that they hear why they are not served. */
#define STOP_HEAR_MS 100u
/* Who asks for the journal, or for a connection whose keepalives depend on what was learnt, waits
 * so long until that was read from the disk. */
#define MEMORY_MS 500u
/* Blocking jobs that were cancelled, and then name look-ups, may take so long to end. */
#define WORKER_GRACE_MS 2000u
#define LOOP_GRACE_MS	2000u

/* ---- stopping, and leaving when idle ---- */

static void on_stop_timer(uv_timer_t *timer)
{
	struct app *app = timer->data;

	if (app->sessions > 0)
		log_warn("stopping with %zu sessions that have not ended", app->sessions);
	uv_stop(app->loop);
}

/* With no session left the stop need not wait for its deadline. */
static void app_check_stopped(struct app *app)
{
	uint64_t wait_ms = conn_set_count(app->conns) > 0 ? STOP_HEAR_MS : 0;

	if (app->sessions == 0 && uv_timer_get_due_in(&app->stop_timer) > wait_ms)
		uv_timer_start(&app->stop_timer, on_stop_timer, wait_ms, 0);
}

void app_stop(struct app *app, bool now)
{
	if (now)
		uv_timer_start(&app->stop_timer, on_stop_timer, 0, 0);
	if (app->stopping)
		return;
	app->stopping = true;
	uv_timer_stop(&app->idle_timer);
	if (!now)
		uv_timer_start(&app->stop_timer, on_stop_timer, app->config.drain_ms, 0);
	log_info("stopping: %zu sessions have %u ms to end", app->sessions,
		 now ? 0 : app->config.drain_ms);
	activation_notify(app->activation, "STOPPING=1");
	/* From here on the path is free for another daemon, which reads what is written by then.
	 * Who has connected is told. */
	state_hurry(app->state);
	claim_park(&app->claim);
	listener_accept_all(app->listener);
	listener_close(app->listener);
	claim_release(&app->claim);
	app_check_stopped(app);
}

static bool app_is_idle(const struct app *app)
{
	return !app->lock_unsaved && app->sessions == 0 && conn_set_count(app->conns) == 0 &&
	       pools_held(app->pools) == 0;
}

static void on_idle_timer(uv_timer_t *timer)
{
	struct app *app = timer->data;

	/* A client may connect in this very moment: once the socket is out of sight, all that
	 * found it are in the accept queue. */
	claim_park(&app->claim);
	if (listener_accept_all(app->listener) > 0 || !app_is_idle(app)) {
		claim_unpark(&app->claim);
		app_sessions(app, 0);
		return;
	}
	log_info("nothing was held for %u s: leaving", app->config.linger_s);
	app_stop(app, true);
}

static void app_check_idle(struct app *app)
{
	uint64_t linger_ms = (uint64_t)app->config.linger_s * 1000;

	if (!app_is_idle(app))
		uv_timer_stop(&app->idle_timer);
	else if (!uv_is_active((uv_handle_t *)&app->idle_timer))
		uv_timer_start(&app->idle_timer, on_idle_timer, linger_ms, 0);
}

void app_sessions(struct app *app, int change)
{
	if (change < 0 && app->sessions < (size_t)-change) {
		log_error("more sessions have ended than began");
		app->sessions = 0;
	} else {
		app->sessions += (size_t)change;
	}
	if (!app->running)
		return;
	if (app->stopping)
		app_check_stopped(app);
	else
		app_check_idle(app);
}

/* ---- signals ---- */

static void app_reload(struct app *app)
{
	struct config next;
	char why[1024];
	int result;

	config_defaults(&next);
	memcpy(next.socket_path, app->config.socket_path, sizeof(next.socket_path));
	memcpy(next.file, app->config.file, sizeof(next.file));
	next.log_forced = app->config.log_forced;
	if (next.log_forced)
		next.log_level = app->config.log_level;
	result = config_load(&next, app->config.file, why, sizeof(why));
	if (result != HW_OK && result != HW_ENOENT) {
		log_error("%s; the settings stay as they were", why);
		return;
	}
	app->config = next;
	log_set_level(next.log_level);
	log_info("settings read again from %s%s", next.file,
		 result == HW_ENOENT ? " (not there: defaults)" : "");
	uv_timer_stop(&app->idle_timer);
	app_sessions(app, 0);
}

static void app_shift_level(int by)
{
	int level = (int)log_get_level() + by;

	if (level < (int)LOG_LVL_ERROR || level > (int)LOG_LVL_TRACE)
		return;
	log_set_level((enum log_level)level);
	log_error("log level is now %s", log_level_name((enum log_level)level));
}

static void on_signal(uv_signal_t *handle, int signum)
{
	struct app *app = handle->data;

	switch (signum) {
	case SIGHUP:
		app_reload(app);
		break;
	case SIGUSR1:
		app_shift_level(1);
		break;
	case SIGUSR2:
		app_shift_level(-1);
		break;
	default:
		log_info("%s came", strsignal(signum));
		app_stop(app, app->stopping);
	}
}

static const int app_signal_numbers[APP_SIGNALS] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};

/* ---- making and taking down ---- */

static void app_raise_nofile(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warn("raising the limit of open files failed: %m");
}

/* ---- what outlives this process ---- */

#define JOURNAL_FILE	 "journal"
#define JOURNAL_OLD_FILE "journal.1"

static void on_state_trouble(void *ctx, const char *text)
{
	struct app *app = ctx;

	log_warn("%s", text);
	journal_add(app->journal, &(struct journal_entry){.kind = JOURNAL_STATE, .text = text});
}

static void on_journal_line(void *ctx, const char *line)
{
	struct app *app = ctx;

	state_append(app->state, JOURNAL_FILE, line);
}

static void take_journal(struct app *app, const char *name, const char *text, size_t len)
{
	char note[160];
	size_t bad = text != NULL ? journal_take_lines(app->journal, text, len) : 0;
	bool torn = text != NULL && len > 0 && text[len - 1] != '\n';

	if (bad > 0 || torn)
		state_repair(app->state, name, journal_line_good, bad > 0);
	if (bad == 0)
		return;
	snprintf(note, sizeof(note),
		 "%zu lines of the journal are damaged on the disk: set aside as %s.bad, the "
		 "others are kept",
		 bad, name);
	on_state_trouble(app, note);
}

static void app_note(struct app *app, const char *text)
{
	journal_add(app->journal,
		    &(struct journal_entry){.kind = JOURNAL_DAEMON, .pid = getpid(), .text = text});
}

/* The last one before us, if it has not said that it stops. */
static void find_silent(void *ctx, const struct journal_entry *e)
{
	long *pid = ctx;

	if (e->kind != JOURNAL_DAEMON || e->text == NULL || e->pid <= 0 || e->pid == getpid())
		return;
	if (strstr(e->text, "started") != NULL)
		*pid = e->pid;
	else if (strstr(e->text, "stopped") != NULL)
		*pid = 0;
}

static void note_silent_end(struct app *app)
{
	char text[128];
	long pid = 0;

	journal_each(app->journal, NULL, find_silent, &pid);
	if (pid == 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
		return;
	snprintf(text, sizeof(text),
		 "the hawserd before (pid %ld) ended without a word: it was killed, or crashed, "
		 "and what ran through it ended",
		 pid);
	app_note(app, text);
}

/* The last that is read. */
static void on_old_journal(void *ctx, const char *text, size_t len)
{
	struct app *app = ctx;

	take_journal(app, JOURNAL_OLD_FILE, text, len);
	note_silent_end(app);
	app->remembers = true;
	if (app->running)
		listener_resume(app->listener);
}

static void on_journal(void *ctx, const char *text, size_t len)
{
	take_journal(ctx, JOURNAL_FILE, text, len);
}

static void app_open_state(struct app *app)
{
	char dir[PATH_MAX];

	app->state =
		state_create(app->loop, app->workers,
			     paths_state_dir(dir, sizeof(dir)) ? dir : NULL, on_state_trouble, app);
	app->learn = learn_create(app->state, app->journal);
	state_load(app->state, JOURNAL_FILE, on_journal, app);
	state_load(app->state, JOURNAL_OLD_FILE, on_old_journal, app);
	journal_set_sink(app->journal, on_journal_line, app);
	app_note(app, "hawserd " HAWSER_VERSION " started");
}

static void on_network(void *ctx, enum netwatch_kind kind, const char *text)
{
	struct app *app = ctx;

	(void)kind;
	log_info("%s", text);
	journal_add(app->journal, &(struct journal_entry){.kind = JOURNAL_NETWORK, .text = text});
	pools_network_changed(app->pools, text);
}

/* false: what failed was logged. All that was made is there for app_unmake(). */
static bool app_make(struct app *app, int listen_fd)
{
	app->watches = watch_set_create(app->loop);
	if (!app->watches) {
		log_error("making an epoll set failed: %m");
		close(listen_fd);
		return false;
	}
	app->locked = lockfile_is_set(app->config.socket_path, NULL);
	app->journal = journal_create();
	app->netwatch = netwatch_create(app->loop, on_network, app);
	app->workers = worker_pool_create(app->loop, app->config.login_threads);
	app_open_state(app);
	app->resolver = resolver_create(app->loop, app->config.ssh_path);
	app->pools = pools_create(app);
	pools_set_routes(app->pools, &jump_routes, app);
	app->conns = conn_set_create(app, NULL);
	app->listener = listener_create(app, listen_fd);
	if (!app->listener) {
		log_error("watching the listening socket failed: %m");
		close(listen_fd);
		return false;
	}
	uv_timer_init(app->loop, &app->stop_timer);
	uv_timer_init(app->loop, &app->idle_timer);
	app->stop_timer.data = app->idle_timer.data = app;
	for (size_t i = 0; i < APP_SIGNALS; i++) {
		int error = uv_signal_init(app->loop, &app->signals[i]);

		app->signals[i].data = app;
		if (error == 0)
			error = uv_signal_start(&app->signals[i], on_signal, app_signal_numbers[i]);
		if (error != 0)
			log_error("signal %d: %s", app_signal_numbers[i], uv_strerror(error));
	}
	app->started_ms = uv_now(app->loop);
	app->running = true;
	if (!app->remembers)
		listener_wait(app->listener, MEMORY_MS);
	app_check_idle(app);
	return true;
}

static void on_grace_over(uv_timer_t *timer)
{
	uv_stop(timer->loop);
}

static void on_left_handle(uv_handle_t *handle, void *ctx)
{
	size_t *count = ctx;

	if (uv_is_closing(handle))
		return;
	++*count;
	log_error("left in the loop at the end: a %s handle", uv_handle_type_name(handle->type));
}

/* Runs what is closing to its end; returns how many handles were forgotten. *busy: requests that
 * cannot be cancelled (a name look-up in libc) still run. */
static size_t app_drain_loop(uv_loop_t *loop, bool *busy)
{
	uv_timer_t grace;
	size_t left = 0;

	uv_timer_init(loop, &grace);
	uv_timer_start(&grace, on_grace_over, LOOP_GRACE_MS, 0);
	uv_unref((uv_handle_t *)&grace);
	uv_run(loop, UV_RUN_DEFAULT);
	uv_close((uv_handle_t *)&grace, NULL);
	uv_run(loop, UV_RUN_NOWAIT);
	uv_walk(loop, on_left_handle, &left);
	*busy = uv_loop_close(loop) != 0 && left == 0;
	return left;
}

/* Takes down what app_make() made, in reverse; the exit status. */
static int app_unmake(struct app *app)
{
	size_t threads = 0, left;
	bool busy;

	app->running = false;
	if (app->listener) {
		for (size_t i = 0; i < APP_SIGNALS; i++)
			uv_close((uv_handle_t *)&app->signals[i], NULL);
		uv_close((uv_handle_t *)&app->stop_timer, NULL);
		uv_close((uv_handle_t *)&app->idle_timer, NULL);
	}
	listener_destroy(app->listener);
	claim_release(&app->claim);
	if (app->conns) {
		conn_set_shutdown(app->conns);
		conn_set_destroy(app->conns);
		pools_destroy(app->pools);
		resolver_destroy(app->resolver);
		/* What was told to close may take its last steps, before what it stands on goes. */
		uv_run(app->loop, UV_RUN_NOWAIT);
		app_note(app, "hawserd stopped");
		state_flush(app->state);
		threads = worker_pool_destroy(app->workers, WORKER_GRACE_MS);
		uv_run(app->loop, UV_RUN_NOWAIT);
		state_destroy(app->state);
	}
	if (app->watches)
		watch_set_destroy(app->watches);
	netwatch_destroy(app->netwatch);
	learn_destroy(app->learn);
	journal_destroy(app->journal);
	if (app->sessions > 0)
		log_error("%zu sessions were left at the end", app->sessions);
	left = app_drain_loop(app->loop, &busy);
	log_info("stopped");
	if (threads > 0 || busy) {
		log_warn("left behind at the end: %zu blocked threads%s", threads,
			 busy ? ", and a name look-up" : "");
		/* They still use what exit() would take from under them. */
		_exit(EXIT_SUCCESS);
	}
	return left == 0 && app->sessions == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void app_tell_ready(int ready_fd)
{
	if (ready_fd < 0)
		return;
	if (write(ready_fd, "1", 1) != 1)
		log_debug("nobody waits for readiness: %m");
	close(ready_fd);
}

/* A signal that comes before its handler is there waits for it, or it would end the process with
 * the socket left behind. */
static void app_hold_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < APP_SIGNALS; i++)
		sigaddset(&set, app_signal_numbers[i]);
	pthread_sigmask(how, &set, NULL);
}

int app_run(const struct config *config, const struct activation *activation, int ready_fd)
{
	uv_loop_t loop;
	struct app app = {.loop = &loop, .activation = activation, .claim = {.lock_fd = -1}};
	int error, listen_fd = activation->listen_fd;
	char why[1024];

	app.config = *config;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* ignored, it would take the status of children */
	app_hold_signals(SIG_BLOCK);
	app_raise_nofile();
	if (listen_fd < 0) {
		switch (claim_take(config->socket_path, CLAIM_WAIT_MS, &app.claim, why,
				   sizeof(why))) {
		case CLAIM_OK:
			listen_fd = app.claim.fd;
			break;
		case CLAIM_SERVED:
			log_info("%s: nothing to do", why);
			app_tell_ready(ready_fd);
			return EXIT_SUCCESS;
		case CLAIM_FAILED:
			log_error("%s", why);
			return EXIT_FAILURE;
		}
	}
	error = uv_loop_init(&loop);
	if (error != 0) {
		log_error("making an event loop failed: %s", uv_strerror(error));
		claim_release(&app.claim);
		return EXIT_FAILURE;
	}
	if (!app_make(&app, listen_fd)) {
		app_unmake(&app);
		return EXIT_FAILURE;
	}
	app_hold_signals(SIG_UNBLOCK);
	log_info("hawserd %s serves %s", HAWSER_VERSION,
		 app.claim.lock_fd >= 0 ? app.claim.path : "the socket that systemd passed");
	activation_notify(activation, "READY=1");
	app_tell_ready(ready_fd);
	uv_run(&loop, UV_RUN_DEFAULT);
	return app_unmake(&app);
}
