#include "daemon/forward_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/pool.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

/* Without a descriptor to spare nothing is accepted for so long (as in ssh). */
#define EXHAUSTED_MS 1000

/* What ssh writes for the port of a Unix socket. */
#define PORT_OF_PATH (-2)

/* A session, all listeners and all connections, and one to come. */
#define NUMBERS_MAX (1 + FORWARDS_MAX * FORWARD_SOCKETS_MAX + FORWARD_LINKS_MAX + 1)

/* Lives until libuv has closed it, the set does not. */
struct forward_timer {
	uv_timer_t timer;
	struct forward_set *set;
};

void forward_notice(struct forward_set *set, int level, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	if (level > 0)
		log_debug("%s: %s", set->label, text);
	else
		log_info("%s: %s", set->label, text);
	if (set->ctx != NULL)
		set->events->notice(set->ctx, level, text);
	free(text);
}

int forward_number(const struct forward_set *set)
{
	/* The lowest free one is no larger than there are others. In one pass over them, for a
	 * flood of connections asks for a thousand numbers at once. */
	bool used[NUMBERS_MAX] = {false};
	int number = 0;

	if (set->session_number >= 0)
		used[set->session_number] = true;
	for (const struct forward *f = set->forwards; f != NULL; f = f->next) {
		for (size_t i = 0; i < f->nsockets; i++)
			used[f->sockets[i].number] = true;
	}
	for (const struct forward_link *l = set->links; l != NULL; l = l->next)
		used[l->number] = true;
	while (used[number])
		number++;
	return number;
}

const char *forward_target(const struct forward_spec *s)
{
	if (s->socks)
		return "socks";
	return s->connect.path != NULL ? s->connect.path : s->connect.host;
}

int forward_port(const struct forward_end *e)
{
	return e->path != NULL ? PORT_OF_PATH : e->port;
}

/* --- time --- */

static void on_timer(uv_timer_t *timer)
{
	struct forward_set *set = hw_container_of(timer, struct forward_timer, timer)->set;
	uint64_t next;

	if (set == NULL)
		return;
	next = forward_links_expire(set);
	if (next > 0)
		forward_timer_arm(set, next);
	if (set->exhausted) {
		set->exhausted = false;
		forward_changed(set);
	}
}

void forward_timer_arm(struct forward_set *set, uint64_t ms)
{
	uv_timer_t *timer = &set->timer->timer;

	if (!uv_is_active((uv_handle_t *)timer) || uv_timer_get_due_in(timer) > ms)
		uv_timer_start(timer, on_timer, ms, 0);
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(hw_container_of(handle, struct forward_timer, timer));
}

/* --- connections come and go --- */

static void on_changed(void *ctx)
{
	struct forward_set *set = ctx;

	if (set->exhausted)
		forward_timer_arm(set, EXHAUSTED_MS);
	for (struct forward *f = set->forwards; f != NULL; f = f->next)
		forward_listen_watch(f);
	if (set->ctx != NULL && set->events->changed != NULL)
		set->events->changed(set->ctx);
}

void forward_changed(struct forward_set *set)
{
	set->full = set->nlinks >= FORWARD_LINKS_MAX;
	defer_post(pools_defer(set->app->pools), &set->changed);
}

/* A held connection that runs through one of our tunnels has become idle. */
static void on_idle(void *ctx)
{
	forward_changed(ctx);
}

bool forward_set_waits(const struct forward_set *set)
{
	for (const struct forward_link *l = set->links; l != NULL; l = l->next) {
		if (forward_link_waits(l))
			return true;
	}
	return false;
}

/* --- the set --- */

struct forward_set *forward_set_create(struct app *app, struct transport *transport,
				       const char *label, const struct forward_events *events,
				       void *ctx)
{
	struct forward_set *set = xcalloc(1, sizeof(*set));

	set->app = app;
	set->transport = transport;
	set->label = xstrdup(label);
	set->events = events;
	set->ctx = ctx;
	set->session_number = -1;
	set->timer = xcalloc(1, sizeof(*set->timer));
	set->timer->set = set;
	uv_timer_init(app->loop, &set->timer->timer);
	defer_init(&set->changed, on_changed, set);
	set->idle = (struct pools_watcher){.idle = on_idle, .ctx = set};
	pools_watch(app->pools, &set->idle);
	return set;
}

void forward_set_owner(struct forward_set *set, const struct forward_events *events, void *ctx)
{
	set->events = events;
	set->ctx = ctx;
}

int forward_set_reserve(struct forward_set *set)
{
	if (set->session_number < 0)
		set->session_number = forward_number(set);
	return set->session_number;
}

void forward_free(struct forward *f)
{
	struct forward **link = &f->set->forwards;

	while (*link != f)
		link = &(*link)->next;
	*link = f->next;
	f->set->nforwards--;
	forward_listen_stop(f);
	forward_remote_stop(f);
	forward_spec_finish(&f->spec);
	destination_unref(f->dest);
	free(f);
}

struct forward *forward_find(const struct forward_set *set, const struct forward_spec *spec,
			     const char *cwd, bool whole)
{
	struct forward *f = set->forwards;
	struct forward_spec wanted;

	forward_spec_copy(&wanted, spec);
	forward_make_absolute(&wanted, cwd);
	while (f != NULL && !(whole ? forward_spec_same(&f->spec, &wanted)
				    : forward_spec_same_listener(&f->spec, &wanted)))
		f = f->next;
	forward_spec_finish(&wanted);
	return f;
}

bool forward_set_has(const struct forward_set *set, const struct forward_spec *spec,
		     const char *cwd, uint16_t *port)
{
	const struct forward *f = forward_find(set, spec, cwd, true);

	if (f != NULL && port != NULL)
		*port = f->accepting ? f->acceptor.port : 0;
	return f != NULL;
}

bool forward_set_cancel(struct forward_set *set, const struct forward_spec *spec, const char *cwd,
			bool whole)
{
	struct forward *f = forward_find(set, spec, cwd, whole);

	if (f == NULL || f->batch != NULL)
		return false;
	forward_free(f);
	return true;
}

void forward_set_list(struct forward_set *set)
{
	for (const struct forward *f = set->forwards; f != NULL; f = f->next) {
		char *listen = forward_end_text(&f->spec.listen);
		char *connect =
			f->spec.socks ? xstrdup("socks") : forward_end_text(&f->spec.connect);

		if (f->accepting)
			forward_notice(set, -2, "  remote listener: %s (port %u) to %s", listen,
				       f->acceptor.port, connect);
		for (size_t i = 0; i < f->nsockets; i++)
			forward_notice(set, -2, "  #%d port listener: %s to %s",
				       f->sockets[i].number, listen, connect);
		free(listen);
		free(connect);
	}
	for (const struct forward_link *l = set->links; l != NULL; l = l->next)
		forward_notice(set, -2, "  #%d %s", l->number, l->text);
}

bool forward_set_stands(const struct forward_set *set, const struct forward_spec *spec)
{
	const struct forward *f = forward_find(set, spec, "/", true);

	return f != NULL && f->batch == NULL;
}

void forward_set_each(const struct forward_set *set, forward_visit visit, void *ctx)
{
	for (const struct forward *f = set->forwards; f != NULL; f = f->next) {
		struct forward_spec spec = f->spec;

		if (f->batch != NULL)
			continue;
		if (f->accepting && spec.listen.port == 0)
			spec.chosen = f->acceptor.port;
		visit(ctx, &spec, f->dest);
	}
}

void forward_set_destroy(struct forward_set *set)
{
	if (set == NULL)
		return;
	set->ctx = NULL;
	pools_unwatch(set->app->pools, &set->idle);
	forward_batches_free(set);
	while (set->links != NULL)
		forward_link_end(set->links);
	while (set->forwards != NULL)
		forward_free(set->forwards);
	defer_cancel(&set->changed);
	set->timer->set = NULL;
	uv_close((uv_handle_t *)&set->timer->timer, on_timer_closed);
	free(set->label);
	free(set);
}
