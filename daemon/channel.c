#include "daemon/transport_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/alloc.h"
#include "protocol/log.h"

#define WRITE_CHUNK (64 * 1024)
/* A channel that has moved this much is a copy, not a command's few lines. */
#define BULK_BYTES (1024 * 1024)

static int on_data(ssh_session session, ssh_channel ssh, void *data, uint32_t len, int is_stderr,
		   void *userdata)
{
	struct channel *c = userdata;

	(void)session;
	(void)ssh;
	if (c->overrun)
		return (int)len;
	if (is_stderr && c->role != ROLE_SESSION) {
		/* A socket has no stderr. Beside a held back stdout each such packet would let
		 * libssh 0.10 widen the window again, without an end. */
		c->overrun = c->paused;
		return (int)len;
	}
	if (c->role == ROLE_INCOMING && !c->claimed && !c->released) {
		c->paused = true; /* until its owner is ready for it */
		return 0;
	}
	if (!c->claimed || c->released)
		return (int)len; /* nobody wants it */
	if (c->paused && !c->growing)
		return 0;
	if (!c->events->data(c->ctx, is_stderr ? 2 : 1, data, len, c->growing)) {
		c->paused = true;
		return 0;
	}
	c->received += len;
	channel_note_bulk(c, c->received);
	c->t->last_bulk_in_ms = c->received > BULK_BYTES ? c->t->last_bulk_ms : 0;
	return (int)len;
}

void channel_note_bulk(struct channel *c, uint64_t total)
{
	c->last_ms = uv_now(c->t->env->loop);
	if (total > BULK_BYTES)
		c->t->last_bulk_ms = c->last_ms;
}

static void on_close(ssh_session session, ssh_channel ssh, void *userdata)
{
	struct channel *c = userdata;

	(void)session;
	(void)ssh;
	c->remote_closed = true;
}

static void on_eof(ssh_session session, ssh_channel ssh, void *userdata)
{
	struct channel *c = userdata;

	(void)session;
	(void)ssh;
	c->remote_eof = true;
}

static void on_exit_status(ssh_session session, ssh_channel ssh, int status, void *userdata)
{
	struct channel *c = userdata;

	(void)session;
	(void)ssh;
	c->has_status = true;
	c->status = (uint32_t)status;
}

static void on_exit_signal(ssh_session session, ssh_channel ssh, const char *name, int core,
			   const char *message, const char *lang, void *userdata)
{
	struct channel *c = userdata;

	(void)session;
	(void)ssh;
	(void)core;
	(void)message;
	(void)lang;
	snprintf(c->signal, sizeof(c->signal), "%s", name);
}

static void append(struct transport *t, struct channel *c)
{
	struct channel **link = &t->channels;

	while (*link != NULL)
		link = &(*link)->next;
	*link = c;
}

static struct channel *create(struct transport *t, enum channel_role role, ssh_channel ssh)
{
	struct channel *c = xcalloc(1, sizeof(*c));

	c->t = t;
	c->role = role;
	c->ssh = ssh;
	c->callbacks.userdata = c;
	c->callbacks.channel_data_function = on_data;
	c->callbacks.channel_eof_function = on_eof;
	c->callbacks.channel_close_function = on_close;
	c->callbacks.channel_exit_status_function = on_exit_status;
	c->callbacks.channel_exit_signal_function = on_exit_signal;
	ssh_callbacks_init(&c->callbacks);
	append(t, c);
	transport_touch(t);
	return c;
}

struct channel *channel_open(struct transport *t, char *const *env)
{
	struct channel *c = create(t, ROLE_SESSION, ssh_channel_new(t->session));

	c->env = strv_dup(env);
	return c;
}

static char *dup_or_null(const char *text)
{
	return text != NULL ? xstrdup(text) : NULL;
}

struct channel *channel_open_direct(struct transport *t, const struct channel_target *target,
				    const struct channel_events *events, void *ctx)
{
	struct channel *c = create(t, ROLE_DIRECT, ssh_channel_new(t->session));

	c->target_path = dup_or_null(target->path);
	c->target_host = dup_or_null(target->host);
	c->target_port = target->port;
	c->origin_host = dup_or_null(target->origin);
	c->origin_port = target->origin_port;
	c->claimed = true;
	c->events = events;
	c->ctx = ctx;
	return c;
}

struct channel *channel_incoming(struct transport *t, ssh_channel ssh,
				 struct transport_acceptor *acceptor)
{
	struct channel *c = create(t, ROLE_INCOMING, ssh);

	c->state = CHANNEL_RUNNING;
	c->acceptor = acceptor;
	ssh_add_channel_callbacks(c->ssh, &c->callbacks);
	return c;
}

void channel_adopt(struct channel *c, const struct channel_events *events, void *ctx)
{
	c->claimed = true;
	c->events = events;
	c->ctx = ctx;
	c->want_drain = c->paused;
	c->eof_told = false; /* to this owner */
	if (c->t != NULL)
		transport_touch(c->t);
}

void channel_destroy(struct channel *c)
{
	strv_free(c->env);
	free(c->target_path);
	free(c->target_host);
	free(c->origin_host);
	free(c);
}

void channel_drop_ssh(struct channel *c)
{
	ssh_remove_channel_callbacks(c->ssh, &c->callbacks);
	ssh_channel_free(c->ssh);
	c->ssh = NULL;
	c->state = CHANNEL_DEAD;
	if (!c->claimed && c->role == ROLE_SESSION)
		c->released = true;
}

void channel_lost(struct channel *c, const struct cause *why)
{
	bool running = c->state == CHANNEL_RUNNING;

	c->ssh = NULL; /* ssh_free() of the session takes it along */
	c->state = CHANNEL_DEAD;
	if (c->role == ROLE_INCOMING && !c->claimed && c->acceptor == NULL && !c->released) {
		c->t = NULL; /* its owner has not made up his mind, and will release it */
		return;
	}
	if (!c->claimed || c->released) {
		channel_destroy(c);
		return;
	}
	c->t = NULL;
	/* The server's last words on this channel came just before: its end is known. What waits
	 * in libssh cannot be read any more, so without it the end is another. */
	if (c->remote_closed && running && channel_drained(c))
		channel_end(c, CHANNEL_ENDED, why);
	else
		channel_end(c, CHANNEL_LOST, why);
}

bool channel_sent(const struct channel *c)
{
	return c->sent;
}

void channel_release(struct channel *c)
{
	c->released = true;
	if (c->t == NULL) {
		channel_destroy(c);
		return;
	}
	if (c->state == CHANNEL_RUNNING && c->terminal)
		transport_terminal(c->t, -1);
	if (c->state != CHANNEL_DEAD && c->state != CHANNEL_OPENING)
		c->state = CHANNEL_CLOSING;
	transport_touch(c->t);
}

void channel_claim(struct channel *c, const struct channel_request *request,
		   const struct channel_events *events, void *ctx)
{
	c->claimed = true;
	c->request = request;
	c->events = events;
	c->ctx = ctx;
	c->size = request->size;
	c->terminal = request->term != NULL;
	transport_touch(c->t);
}

static bool same_env(char *const *a, char *const *b)
{
	size_t n = strv_len(a);

	if (n != strv_len(b))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(a[i], b[i]) != 0)
			return false;
	}
	return true;
}

bool channel_fits(const struct channel *c, char *const *env)
{
	return c->role == ROLE_SESSION && !c->claimed && !c->released && !c->remote_closed &&
	       c->state <= CHANNEL_IDLE && same_env(c->env, env);
}

struct channel *channel_find_warm(struct transport *t, char *const *env)
{
	for (struct channel *c = t->channels; c != NULL; c = c->next) {
		if (channel_fits(c, env))
			return c;
	}
	return NULL;
}

struct channel *channel_any_warm(struct transport *t)
{
	for (struct channel *c = t->channels; c != NULL; c = c->next) {
		if (c->role == ROLE_SESSION && !c->claimed && !c->released)
			return c;
	}
	return NULL;
}

unsigned channel_count_warm(const struct transport *t)
{
	unsigned n = 0;

	for (const struct channel *c = t->channels; c != NULL; c = c->next)
		n += c->role == ROLE_SESSION && !c->claimed && !c->released;
	return n;
}

struct transport *channel_transport(const struct channel *c)
{
	return c->t;
}

bool channel_modes_sent(const struct channel *c)
{
	return c->modes_sent;
}

bool channel_x11_refused(const struct channel *c)
{
	return c->x11_refused;
}

void channel_resume(struct channel *c)
{
	if (!c->paused || c->t == NULL)
		return;
	c->want_drain = true;
	transport_touch(c->t);
}

void channel_touch(struct channel *c)
{
	c->touched = true;
	if (c->t != NULL)
		transport_touch(c->t);
}

size_t channel_room(const struct channel *c)
{
	uint32_t window;

	if (c->state != CHANNEL_RUNNING || c->eof_due || c->remote_closed || c->t == NULL ||
	    (ssh_get_status(c->t->session) & SSH_WRITE_PENDING))
		return 0;
	window = ssh_channel_window_size(c->ssh);
	return window < WRITE_CHUNK ? window : WRITE_CHUNK;
}

size_t channel_send(struct channel *c, const void *data, size_t len)
{
	int n = ssh_channel_write(c->ssh, data, (uint32_t)len);

	if (n <= 0)
		return 0;
	c->sent_bytes += (uint64_t)n;
	channel_note_bulk(c, c->sent_bytes);
	/* What libssh could not send at once goes in the transport's next turn. */
	if (ssh_get_status(c->t->session) & SSH_WRITE_PENDING)
		channel_touch(c);
	return (size_t)n;
}

void channel_eof(struct channel *c)
{
	c->eof_due = true;
	if (c->t != NULL)
		transport_touch(c->t);
}

void channel_signal(struct channel *c, const char *name)
{
	size_t n = c->npending_signals;

	if (n == HW_ARRAY_LEN(c->pending_signals))
		return; /* a client that floods signals has been heard */
	snprintf(c->pending_signals[n], sizeof(c->pending_signals[n]), "%s", name);
	c->npending_signals++;
	channel_touch(c);
}

bool channel_rekey(struct channel *c)
{
	return c->t != NULL && transport_rekey(c->t);
}

void channel_break(struct channel *c)
{
	c->break_due = true;
	channel_touch(c);
}

void channel_resize(struct channel *c, const struct proto_winsize *size)
{
	c->size = *size;
	c->resize_due = true;
	channel_touch(c);
}
