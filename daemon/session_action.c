/* What a person asks of a live request by an escape: another forward or one less, a list, a break,
 * new keys. */
#include "daemon/session_priv.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/alloc.h"

/* Forwards that ssh is asked about at a time. */
#define ACTIONS_MAX 16
/* The lines that are shown whatever LogLevel says but QUIET. */
#define LEVEL_WORDS (-2)

/* A forward that was typed: OpenSSH's own parser reads it. */
struct session_action {
	struct session_action *next;
	struct session *session;
	bool cancel, as_listener;
	char option[3], *spec;
	struct resolve_job *job;
};

static void free_action(struct session_action *a)
{
	struct session_action **link = &a->session->actions;

	while (*link != a)
		link = &(*link)->next;
	*link = a->next;
	if (a->job != NULL)
		resolve_cancel(a->job);
	free(a->spec);
	free(a);
}

void session_actions_free(struct session *s)
{
	while (s->actions != NULL)
		free_action(s->actions);
}

void session_actions_lost(struct session *s)
{
	struct session_action *next;

	for (struct session_action *a = s->actions; a != NULL; a = next) {
		next = a->next;
		if (a->job != NULL)
			continue; /* nothing was asked of the connection yet */
		session_notice(s, 0, "Port forwarding failed.");
		free_action(a);
	}
}

static void on_lost(void *ctx, const struct cause *why)
{
	session_on_lost(ctx, why);
}

static const struct pool_events lease_events = {.lost = on_lost};

/* A request without forwards has no lease. */
static bool ensure_set(struct session *s)
{
	if (s->lease == NULL && s->waiter != NULL)
		return false; /* its connection is on its way */
	if (s->lease == NULL)
		s->lease =
			pool_lease_held(s->app->pools, s->dest, s->group, false, &lease_events, s);
	if (s->lease == NULL)
		return false;
	if (s->forwards == NULL) {
		s->forwards = forward_set_create(s->app, pool_lease_transport(s->lease),
						 s->dest->label, &session_forward_events, s);
		forward_set_reserve(s->forwards);
	}
	return true;
}

static void on_added(void *ctx, size_t failed)
{
	struct session_action *a = ctx;

	session_notice(a->session, 0, failed > 0 ? "Port forwarding failed." : "Forwarding port.");
	free_action(a);
}

static void cancel(struct session_action *a, const struct destination *d)
{
	struct session *s = a->session;

	if (s->forwards != NULL && d->nforwards > 0 &&
	    forward_set_cancel(s->forwards, &d->forwards[0], s->origin->cwd, false))
		session_notice(s, 0, "Canceled forwarding.");
	else
		session_notice(s, 0, "Unknown port forwarding.");
	free_action(a);
}

static void add(struct session_action *a, const struct destination *d)
{
	struct session *s = a->session;
	struct forward_want want = {.specs = d->forwards,
				    .count = d->nforwards,
				    .dest = s->dest,
				    .words = FORWARD_SILENT,
				    .cwd = s->origin->cwd};

	if (d->fallback != NULL) {
		session_notice(s, 0, "hawser cannot do this for a connection that is there: %s",
			       d->fallback);
	} else if (d->nforwards > 0 && ensure_set(s)) {
		forward_set_add(s->forwards, &want, on_added, a);
		return;
	}
	session_notice(s, 0, "Port forwarding failed.");
	free_action(a);
}

static void ask(struct session_action *a);

static void on_resolved(void *ctx, struct destination *d, const struct cause *why,
			const char *ssh_words)
{
	struct session_action *a = ctx;

	(void)why;
	(void)ssh_words;
	a->job = NULL;
	if (d == NULL && a->cancel && !a->as_listener && a->option[1] == 'L') {
		/* "-KL 8080" names the listener alone: the grammar of -D. */
		a->as_listener = true;
		ask(a);
		return;
	}
	if (d == NULL) {
		session_notice(a->session, 0, "Bad %s specification.",
			       a->cancel	     ? "forwarding close"
			       : a->option[1] == 'R' ? "remote forwarding"
						     : "local forwarding");
		free_action(a);
		return;
	}
	if (a->cancel)
		cancel(a, d);
	else
		add(a, d);
	destination_unref(d);
}

static void ask(struct session_action *a)
{
	struct session *s = a->session;
	static char config[] = "-F", none[] = "none", dynamic[] = "-D";
	char *args[] = {config, none, a->as_listener ? dynamic : a->option, a->spec, NULL};
	struct resolve_query q = {
		.args = args,
		.host = s->request.words.host,
		.client = {.env = s->origin->env, .cwd = s->origin->cwd},
	};

	a->job = resolver_start(s->app->resolver, &q, on_resolved, a);
}

static void forward(struct session *s, const struct proto_action *m)
{
	static const char *const options[] = {"-L", "-R", "-D"};
	struct session_action *a;
	size_t pending = 0, i = 0;

	for (a = s->actions; a != NULL; a = a->next)
		pending++;
	while (m->args[0] != NULL && i < HW_ARRAY_LEN(options) &&
	       strcmp(options[i], m->args[0]) != 0)
		i++;
	if (m->args[0] == NULL || m->args[1] == NULL || i == HW_ARRAY_LEN(options) ||
	    pending >= ACTIONS_MAX) {
		session_notice(s, 0, "Bad forwarding specification.");
		return;
	}
	a = xcalloc(1, sizeof(*a));
	a->session = s;
	a->cancel = strcmp(m->verb, "cancel") == 0;
	memcpy(a->option, options[i], sizeof(a->option));
	a->spec = xstrdup(m->args[1]);
	a->next = s->actions;
	s->actions = a;
	ask(a);
}

static void list(struct session *s)
{
	session_notice(s, LEVEL_WORDS, "The following connections are open:");
	if (s->channel != NULL)
		session_notice(s, LEVEL_WORDS, "  #%d %s",
			       s->forwards != NULL ? forward_set_reserve(s->forwards) : 0,
			       s->goal == GOAL_STDIO ? "stdio-forward" : "client-session");
	if (s->forwards != NULL)
		forward_set_list(s->forwards);
}

static void rekey(struct session *s)
{
	bool begun = false;

	if (s->channel != NULL)
		begun = channel_rekey(s->channel);
	else if (s->lease != NULL)
		begun = transport_rekey(pool_lease_transport(s->lease));
	session_notice(s, 1,
		       begun ? "hawser: new keys are being made"
			     : "hawser: the keys are less than a second old");
}

void session_action(struct session *s, const struct proto_action *m)
{
	if (s->dest == NULL || s->ending)
		return;
	if (strcmp(m->verb, "forward") == 0 || strcmp(m->verb, "cancel") == 0)
		forward(s, m);
	else if (strcmp(m->verb, "list") == 0)
		list(s);
	else if (strcmp(m->verb, "rekey") == 0)
		rekey(s);
	else if (strcmp(m->verb, "break") != 0)
		session_notice(s, 0, "hawser: this hawserd does not know the action %s", m->verb);
	else if (s->channel != NULL && s->running && s->goal == GOAL_SESSION)
		channel_break(s->channel);
}
