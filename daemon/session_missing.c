/* Forwards of a shell that was attached again, for which there was no room yet: the server holds
 * the port until it has seen that the old connection is dead. They are tried again beside it. */
#include "daemon/session_priv.h"

#include <stdlib.h>

#include "daemon/forward_missing.h"
#include "protocol/alloc.h"

struct session_missing {
	struct session *session;
	uv_timer_t timer;
	unsigned delay_ms;
	struct missing *list;
	size_t trying; /* batches that are under way */
};

static void on_timer(uv_timer_t *timer);

static void try_later(struct session_missing *m)
{
	uv_timer_start(&m->timer, on_timer, m->delay_ms, 0);
}

static void on_tried(void *ctx, size_t failed)
{
	struct session *s = ctx;
	struct session_missing *m = s->missing;

	(void)failed;
	if (--m->trying > 0)
		return;
	missing_tried(&m->list, s->forwards);
	if (m->list != NULL) {
		try_later(m);
		return;
	}
	session_notice(s, 0, "hawser: the forwards stand again");
	session_missing_finish(s);
}

static void on_timer(uv_timer_t *timer)
{
	struct session_missing *m = hw_container_of(timer, struct session_missing, timer);

	m->trying = missing_try(m->list, m->session->forwards, on_tried, m->session);
}

void session_missing_start(struct session *s, unsigned delay_ms)
{
	struct session_missing *m = xcalloc(1, sizeof(*m));

	session_missing_finish(s);
	s->missing = m;
	m->session = s;
	m->delay_ms = delay_ms;
	uv_timer_init(s->app->loop, &m->timer);
	uv_unref((uv_handle_t *)&m->timer);
	for (size_t i = 0; i < s->dest->nforwards; i++) {
		if (!forward_set_has(s->forwards, &s->dest->forwards[i], s->origin->cwd, NULL))
			missing_add(&m->list, &s->dest->forwards[i], s->dest);
	}
	try_later(m);
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
