/* ssh -O: what is asked of the held connection itself. No session is made. */
#include "daemon/session_priv.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/forward_kept.h"
#include "protocol/alloc.h"

/* As ssh prints these: at any LogLevel but QUIET. */
#define LEVEL_WORDS (-2)

static void on_lost(void *ctx, const struct cause *why)
{
	struct session *s = ctx;

	s->lease = NULL;
	s->kept = NULL;
	session_fail(s, why->text, why->hint, false);
}

static const struct pool_events lease_events = {.lost = on_lost};

static void refuse(struct session *s, const char *verb, const char *why, unsigned status)
{
	session_notice(s, -1, "mux_client_forward: forwarding request failed: %s", why);
	session_notice(s, -1, "muxclient: master %s request failed", verb);
	session_end_status(s, status);
}

/* The ports that the server chose: for scripts, on stdout. */
static void print_ports(struct session *s)
{
	for (size_t i = 0; i < s->dest->nforwards; i++) {
		const struct forward_spec *spec = &s->dest->forwards[i];
		uint16_t port = 0;
		char *text;

		if (spec->kind != FORWARD_REMOTE || spec->listen.port != 0 ||
		    !forward_set_has(s->kept, spec, s->origin->cwd, &port) || port == 0)
			continue;
		text = xasprintf("%u\n", port);
		pump_out_write(&s->bridge.out, text, strlen(text));
		free(text);
	}
}

static void on_kept_ready(void *ctx, size_t failed)
{
	struct session *s = ctx;
	char *text = NULL;

	if (failed == 0) {
		print_ports(s);
		session_end_status(s, 0);
		return;
	}
	for (size_t i = 0; i < s->dest->nforwards && text == NULL; i++) {
		const struct forward_spec *spec = &s->dest->forwards[i];

		if (forward_set_has(s->kept, spec, s->origin->cwd, NULL))
			continue;
		text = spec->kind == FORWARD_LOCAL
			       ? xstrdup("Port forwarding failed")
			       : xasprintf("remote port forwarding failed for listen port %u",
					   spec->listen.port);
	}
	refuse(s, "forward", text != NULL ? text : "Port forwarding failed", HW_EXIT_FAILURE);
	free(text);
}

static void on_notice(void *ctx, int level, const char *text)
{
	session_notice(ctx, level, "%s", text);
}

static const struct forward_events kept_events = {.notice = on_notice};

static void forward(struct session *s)
{
	struct forward_want want = {.specs = s->dest->forwards,
				    .count = s->dest->nforwards,
				    .words = FORWARD_SILENT,
				    .once = true,
				    .dest = s->dest,
				    .cwd = s->origin->cwd};

	session_journal_begin(s, pool_lease_transport(s->lease));
	s->kept = forward_kept_find(s->app, s->dest);
	for (size_t i = 0; i < want.count; i++)
		forward_kept_wanted(s->app, s->kept, &want.specs[i], want.cwd);
	forward_set_owner(s->kept, &kept_events, s);
	forward_set_add(s->kept, &want, on_kept_ready, s);
}

static void cancel(struct session *s)
{
	bool ok = true;

	for (size_t i = 0; i < s->dest->nforwards; i++) {
		if (!forward_kept_cancel(s->app, s->dest, &s->dest->forwards[i], s->origin->cwd))
			ok = false;
	}
	if (ok)
		session_end_status(s, 0);
	else
		refuse(s, "cancel forward", "port not forwarded", 0); /* as ssh ends it */
}

static void not_held(struct session *s)
{
	session_notice(s, -1, "hawser: no connection to %s is held", s->dest->label);
	session_end_status(s, HW_EXIT_FAILURE);
}

/* What is away, and would come back, too. The lease is given back first: its loss is what was asked
 * for. */
static void close_all(struct session *s, bool force)
{
	if (s->lease != NULL)
		pool_lease_release(s->lease);
	s->lease = NULL;
	if (pools_close_destination(s->app->pools, s->dest, force) == 0) {
		not_held(s);
		return;
	}
	session_notice(s, LEVEL_WORDS, "%s request sent.", force ? "Exit" : "Stop listening");
	session_end_status(s, 0);
}

void session_operation_start(struct session *s)
{
	const char *what = s->request.words.operation;

	bridge_no_input(&s->bridge);
	if (strcmp(what, "proxy") == 0) {
		session_fail(s, "hawser has no -O proxy: it speaks no other multiplexer's protocol",
			     "run the command itself; the held connection is used without asking",
			     false);
		return;
	}
	s->lease = pool_lease_held(s->app->pools, s->dest, POOL_ANY, true, &lease_events, s);
	if (strcmp(what, "exit") == 0) {
		close_all(s, true);
	} else if (strcmp(what, "stop") == 0) {
		close_all(s, false);
	} else if (s->lease == NULL &&
		   !(strcmp(what, "cancel") == 0 && forward_kept_any(s->app, s->dest))) {
		not_held(s);
	} else if (strcmp(what, "check") == 0) {
		session_notice(s, LEVEL_WORDS, "Master running (pid=%ld)", (long)getpid());
		session_end_status(s, 0);
	} else if (strcmp(what, "forward") == 0) {
		forward(s);
	} else if (strcmp(what, "cancel") == 0) {
		cancel(s);
	} else {
		session_notice(s, LEVEL_WORDS, "Invalid multiplex command.");
		session_end_status(s, HW_EXIT_FAILURE);
	}
}

void session_operation_finish(struct session *s)
{
	if (s->kept == NULL)
		return;
	forward_set_forget(s->kept, s);
	forward_set_owner(s->kept, NULL, NULL);
	s->kept = NULL;
}
