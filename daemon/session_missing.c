/* Forwards of -N, or of a shell that survives, whose connection was lost: all that stood on it,
 * also what ~C added, is to stand on the next. What cannot yet (the server holds the port until it
 * has seen that the old connection is dead) is tried again beside what does. */
#include "daemon/session_priv.h"

#include <stdlib.h>

#include "daemon/forward_missing.h"
#include "protocol/alloc.h"

#define TRY_AGAIN_MS 2000

struct session_missing {
	struct session *session;
	uv_timer_t timer;
	struct missing *list;
	size_t trying; /* batches that are under way */
	bool tried;    /* on this connection */
};

static struct session_missing *make(struct session *s)
{
	struct session_missing *m = s->missing = xcalloc(1, sizeof(*m));

	m->session = s;
	uv_timer_init(s->app->loop, &m->timer);
	uv_unref((uv_handle_t *)&m->timer);
	return m;
}

/* Of a connection that was not to be trusted with any. */
static void add_all(struct session_missing *m)
{
	const struct session *s = m->session;

	for (size_t i = 0; i < s->dest->nforwards; i++) {
		struct forward_spec spec;

		forward_spec_copy(&spec, &s->dest->forwards[i]);
		forward_make_absolute(&spec, s->origin->cwd);
		missing_add(&m->list, &spec, s->dest);
		forward_spec_finish(&spec);
	}
}

void session_missing_keep(struct session *s)
{
	struct session_missing *m = s->missing;
	bool first = m == NULL;

	if (first)
		m = make(s);
	uv_timer_stop(&m->timer);
	if (s->forwards == NULL) {
		if (first)
			add_all(m);
		return;
	}
	if (m->trying > 0) {
		forward_set_forget(s->forwards, s);
		missing_tried(&m->list, s->forwards);
	}
	m->trying = 0;
	m->tried = false;
	missing_add_standing(&m->list, s->forwards);
}

bool session_missing_any(const struct session *s)
{
	return s->missing != NULL && s->missing->list != NULL;
}

/* Which port it is that the server holds; 0: none. */
static uint16_t held_port(const struct session_missing *m)
{
	for (const struct missing *i = m->list; i != NULL; i = i->next) {
		if (i->spec.kind == FORWARD_REMOTE)
			return i->spec.listen.port != 0 ? i->spec.listen.port : i->spec.chosen;
	}
	return 0;
}

static void tell_first(const struct session_missing *m)
{
	uint16_t port = held_port(m);

	if (port != 0)
		session_notice(m->session, 0, "hawser: waiting for the server to free port %u",
			       port);
	else
		session_notice(m->session, 0,
			       "hawser: a forward can't be set up yet; it is tried again");
}

static void on_timer(uv_timer_t *timer);

static void on_tried(void *ctx, size_t failed)
{
	struct session *s = ctx;
	struct session_missing *m = s->missing;
	bool first = !m->tried;

	(void)failed;
	if (--m->trying > 0)
		return;
	m->tried = true;
	missing_tried(&m->list, s->forwards);
	if (m->list != NULL) {
		uv_timer_start(&m->timer, on_timer, TRY_AGAIN_MS, 0);
		if (first)
			tell_first(m);
	} else if (!first) {
		session_notice(s, 0, "hawser: the forwards stand again");
	}
	if (first)
		session_forwards_back(s); /* s may be gone */
}

static void on_timer(uv_timer_t *timer)
{
	struct session_missing *m = hw_container_of(timer, struct session_missing, timer);

	m->trying = missing_try(m->list, m->session->forwards, FORWARD_QUIET, on_tried, m->session);
}

void session_missing_try(struct session *s)
{
	struct session_missing *m = s->missing;

	m->trying = missing_try(m->list, s->forwards, FORWARD_SILENT, on_tried, s);
}

static void on_closed(uv_handle_t *handle)
{
	free(hw_container_of(handle, struct session_missing, timer));
}

void session_missing_finish(struct session *s)
{
	struct session_missing *m = s->missing;

	if (m == NULL)
		return;
	s->missing = NULL;
	if (m->trying > 0)
		forward_set_forget(s->forwards, s);
	missing_clear(&m->list);
	uv_close((uv_handle_t *)&m->timer, on_closed);
}
