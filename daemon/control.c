#include "daemon/control.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "daemon/app.h"
#include "daemon/conn.h"
#include "daemon/control_priv.h"
#include "daemon/journal.h"
#include "daemon/learn.h"
#include "daemon/pool.h"
#include "protocol/alloc.h"
#include "protocol/encode.h"
#include "protocol/log.h"

typedef void (*control_verb)(struct app *app, const struct control_args *args, struct reply *reply);

void control_fail(struct reply *reply, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	reply_fail(reply, text);
	free(text);
}

static void control_add_transport(void *ctx, const struct pool_info *info)
{
	struct reply *reply = ctx;

	reply_item(reply);
	if (info->id == 0)
		reply_str(reply, "id", NULL);
	else
		reply_uint(reply, "id", info->id);
	reply_str(reply, "label", info->label);
	reply_str(reply, "destination", info->typed);
	reply_str(reply, "state", info->state);
	reply_str(reply, "waits_for", info->waits_for);
	reply_str(reply, "address", info->address);
	reply_str(reply, "via", info->via);
	reply_uint(reply, "sessions", info->sessions);
	reply_uint(reply, "queued", info->queued);
	reply_uint(reply, "warm", info->warm);
	reply_uint(reply, "session_limit", info->session_limit);
	reply_double(reply, "keepalive_s", info->keepalive_s);
	reply_bool(reply, "keepalive_learnt", info->keepalive_learnt);
	reply_double(reply, "heard_s", info->heard_s);
	reply_double(reply, "age_s", info->age_s);
	reply_double(reply, "idle_s", info->idle_s);
	reply_uint(reply, "bytes_in", info->bytes_in);
	reply_uint(reply, "bytes_out", info->bytes_out);
	if (info->rtt_ms < 0)
		reply_str(reply, "rtt_ms", NULL);
	else
		reply_double(reply, "rtt_ms", info->rtt_ms);
	reply_str(reply, "server", info->server);
	reply_str(reply, "cipher", info->cipher);
	reply_str(reply, "kex", info->kex);
}

static void control_not_held(struct reply *reply, const char *name)
{
	control_fail(reply, "no transport to %s is held", name);
}

struct forgetting {
	struct learn *learn;
	size_t n;
};

static void forget_host(void *ctx, const struct journal_entry *e)
{
	struct forgetting *f = ctx;

	if (e->host != NULL)
		f->n += learn_forget(f->learn, e->host);
}

/* What is learnt stands under the host's own name; the journal knows what the user calls it. */
static size_t forget(struct app *app, const char *name)
{
	struct forgetting f = {.learn = app->learn, .n = learn_forget(app->learn, name)};

	if (name != NULL)
		journal_each(app->journal, name, forget_host, &f);
	return f.n;
}

static void control_forget(struct app *app, const struct control_args *args, struct reply *reply)
{
	size_t n = forget(app, args->first);

	if (n == 0 && args->first != NULL) {
		control_fail(reply, "nothing was learnt of %s", args->first);
		return;
	}
	reply_item(reply);
	reply_uint(reply, "forgotten", n);
}

static void control_list(struct app *app, const struct control_args *args, struct reply *reply)
{
	(void)args;
	pools_list(app->pools, NULL, control_add_transport, reply);
}

static void control_status(struct app *app, const struct control_args *args, struct reply *reply)
{
	if (args->first) {
		if (pools_list(app->pools, args->first, control_add_transport, reply) == 0)
			control_not_held(reply, args->first);
		return;
	}
	reply_item(reply);
	reply_str(reply, "version", HAWSER_VERSION);
	reply_uint(reply, "pid", (uint64_t)getpid());
	reply_double(reply, "uptime_s", (double)(uv_now(app->loop) - app->started_ms) / 1000.0);
	reply_uint(reply, "clients", conn_set_count(app->conns));
	reply_uint(reply, "sessions", app->sessions);
	reply_uint(reply, "held", pools_held(app->pools));
	reply_str(reply, "log_level", log_level_name(log_get_level()));
	reply_bool(reply, "stopping", app->stopping);
	reply_bool(reply, "locked", app->locked);
}

static void control_close(struct app *app, const struct control_args *args, struct reply *reply)
{
	bool force = args->second != NULL;
	size_t closed;

	if (!args->first) {
		reply_fail(reply, "close needs the name of a host");
		return;
	}
	if (force && strcmp(args->second, "force") != 0) {
		control_fail(reply, "close: the word after the host may be \"force\", not \"%s\"",
			     args->second);
		return;
	}
	closed = pools_close(app->pools, args->first, force);
	if (closed == 0) {
		control_not_held(reply, args->first);
		return;
	}
	reply_item(reply);
	reply_uint(reply, "closed", closed);
}

static void control_stop(struct app *app, const struct control_args *args, struct reply *reply)
{
	bool now = args->first != NULL;

	if (now && strcmp(args->first, "now") != 0) {
		control_fail(reply, "stop: the word after it may be \"now\", not \"%s\"",
			     args->first);
		return;
	}
	reply_item(reply);
	reply_uint(reply, "sessions", app->sessions);
	reply_uint(reply, "drain_ms", now ? 0 : app->config.drain_ms);
	app_stop(app, now);
}

static void control_loglevel(struct app *app, const struct control_args *args, struct reply *reply)
{
	enum log_level level;

	(void)app;
	if (args->first) {
		if (log_level_parse(args->first, &level) != HW_OK) {
			control_fail(reply,
				     "\"%s\" is not a log level: error, warn, info, debug or trace",
				     args->first);
			return;
		}
		log_set_level(level);
		log_info("log level: %s", log_level_name(level));
	}
	reply_item(reply);
	reply_str(reply, "level", log_level_name(log_get_level()));
}

static const struct {
	const char *name;
	control_verb run;
	size_t max_args;
} control_verbs[] = {
	{"list", control_list, 0},	   {"status", control_status, 1},
	{"close", control_close, 2},	   {"stop", control_stop, 1},
	{"loglevel", control_loglevel, 1}, {"lock", control_lock, 1},
	{"unlock", control_unlock, 0},	   {"forget", control_forget, 1},
	{"log", control_log, 3},	   {"why", control_why, 1},
};

static void control_dispatch(struct app *app, const struct proto_control *m, struct reply *reply)
{
	size_t count = strv_len(m->args);
	struct control_args args = {0};

	if (count > 0)
		args.first = m->args[0];
	if (count > 1)
		args.second = m->args[1];
	if (count > 2)
		args.third = m->args[2];
	for (size_t i = 0; i < HW_ARRAY_LEN(control_verbs); i++) {
		if (strcmp(m->verb, control_verbs[i].name) != 0)
			continue;
		if (count > control_verbs[i].max_args)
			control_fail(reply, "%s takes at most %zu words", m->verb,
				     control_verbs[i].max_args);
		else
			control_verbs[i].run(app, &args, reply);
		return;
	}
	control_fail(reply, "this hawserd (%s) does not know \"%s\"; a newer one may",
		     HAWSER_VERSION, m->verb);
}

uint8_t *control_run(struct app *app, const struct proto_control *m, uint32_t request, size_t *len)
{
	struct reply *reply = reply_create();
	uint8_t *frame;

	log_debug("control: %s", m->verb);
	control_dispatch(app, m, reply);
	frame = reply_encode(reply, request, len);
	reply_destroy(reply);
	if (frame)
		return frame;
	reply = reply_create();
	reply_fail(reply, "the reply would be too long; ask about one host");
	frame = reply_encode(reply, request, len);
	reply_destroy(reply);
	return frame;
}
