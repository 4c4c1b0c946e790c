#include "daemon/transport_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/alloc.h"
#include "protocol/log.h"

#define WRITE_CHUNK (64 * 1024)
/* sshd frees a closed session's place a moment after it has seen the CLOSE. */
#define SETTLE_MS 500
/* A channel that has moved this much is a copy, not a command's few lines. */
#define BULK_BYTES (1024 * 1024)

static int on_data(ssh_session session, ssh_channel ssh, void *data, uint32_t len, int is_stderr,
		   void *userdata)
{
	struct channel *c = userdata;

	(void)session;
	(void)ssh;
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
	if (total > BULK_BYTES)
		c->t->last_bulk_ms = uv_now(c->t->env->loop);
}

static void on_close(ssh_session session, ssh_channel ssh, void *userdata)
{
	struct channel *c = userdata;

	(void)session;
	(void)ssh;
	c->remote_closed = true;
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

struct channel *channel_open(struct transport *t, char *const *env)
{
	struct channel *c = xcalloc(1, sizeof(*c));

	c->t = t;
	c->env = strv_dup(env);
	c->ssh = ssh_channel_new(t->session);
	c->callbacks.userdata = c;
	c->callbacks.channel_data_function = on_data;
	c->callbacks.channel_close_function = on_close;
	c->callbacks.channel_exit_status_function = on_exit_status;
	c->callbacks.channel_exit_signal_function = on_exit_signal;
	ssh_callbacks_init(&c->callbacks);
	append(t, c);
	transport_touch(t);
	return c;
}

void channel_destroy(struct channel *c)
{
	strv_free(c->env);
	free(c);
}

/* The libssh side is given back; the record waits for its release. */
static void drop_ssh(struct channel *c)
{
	ssh_remove_channel_callbacks(c->ssh, &c->callbacks);
	ssh_channel_free(c->ssh);
	c->ssh = NULL;
	c->state = CHANNEL_DEAD;
	if (!c->claimed)
		c->released = true;
}

static void end(struct channel *c, enum channel_end_kind kind, const struct cause *why)
{
	struct channel_end e = {.kind = kind, .sent = c->sent};

	if (c->ended || c->released || !c->claimed)
		return;
	c->ended = true;
	e.has_status = c->has_status;
	e.status = c->status;
	memcpy(e.signal, c->signal, sizeof(e.signal));
	if (why != NULL)
		e.why = *why;
	c->events->end(c->ctx, &e);
}

void channel_lost(struct channel *c, const struct cause *why)
{
	bool running = c->state == CHANNEL_RUNNING;

	c->ssh = NULL; /* ssh_free() of the session takes it along */
	c->state = CHANNEL_DEAD;
	if (!c->claimed || c->released) {
		channel_destroy(c);
		return;
	}
	c->t = NULL;
	/* The server's last words on this channel came just before: its end is known. What waits
	 * in libssh cannot be read any more, so without it the end is another. */
	if (c->remote_closed && running && channel_drained(c))
		end(c, CHANNEL_ENDED, NULL);
	else
		end(c, CHANNEL_LOST, why);
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

/* NAME=VALUE of c->env[c->env_done], asked for. */
static int request_env(struct channel *c)
{
	char *name = c->env[c->env_done];
	char *equals = strchr(name, '=');
	int rc;

	if (equals == NULL)
		return SSH_ERROR;
	*equals = '\0';
	rc = ssh_channel_request_env(c->ssh, name, equals + 1);
	*equals = '=';
	return rc;
}

static int request_start(struct channel *c)
{
	switch (c->request->kind) {
	case CHANNEL_SHELL:
		return ssh_channel_request_shell(c->ssh);
	case CHANNEL_EXEC:
		return ssh_channel_request_exec(c->ssh, c->request->command);
	case CHANNEL_SUBSYSTEM:
		return ssh_channel_request_subsystem(c->ssh, c->request->command);
	}
	return SSH_ERROR;
}

static void refuse_open(struct channel *c)
{
	struct transport *t = c->t;
	struct cause why;
	bool alone;

	/* Answers come in the order of the opens: what is confirmed now is what sshd had open. */
	t->refused = true;
	t->refused_at = transport_confirmed(t);
	t->refused_settling = uv_now(t->env->loop) - t->last_close_ms < SETTLE_MS;
	log_info("%s transport %u: channel refused beside %u others: %s", t->dest->label, t->id,
		 t->refused_at, ssh_get_error(t->session));
	cause_set(&why, CAUSE_SESSION_LIMIT, "%s refused to open a session: %s", t->dest->label,
		  ssh_get_error(t->session));
	cause_hint(&why, "the server's MaxSessions (sshd_config) forbids it");
	drop_ssh(c);
	/* Alone, and none closed just before: no waiting helps. */
	alone = t->refused_at == 0 && !t->refused_settling;
	end(c, alone ? CHANNEL_REQUEST_REFUSED : CHANNEL_OPEN_REFUSED, &why);
	t->events->changed(t->ctx);
}

static void refuse_request(struct channel *c)
{
	static const char *const names[] = {"shell", "exec", "subsystem"};
	struct cause why;

	cause_set(&why, CAUSE_CHANNEL, "%s: %s request failed on the session channel",
		  c->t->dest->label, names[c->request->kind]);
	cause_hint(&why, c->request->kind == CHANNEL_SUBSYSTEM
				 ? "the server has no such subsystem (Subsystem in sshd_config)"
				 : "the server does not let this account run it");
	end(c, CHANNEL_REQUEST_REFUSED, &why);
}

/* The server closed the channel and will not answer: libssh would say SSH_AGAIN for ever. What was
 * not sent yet moves on; the rest is lost. */
static bool closed_unanswered(struct channel *c)
{
	struct cause why;

	if (!c->remote_closed)
		return false;
	if (!c->claimed) {
		c->released = true;
		c->state = CHANNEL_CLOSING;
		return true;
	}
	cause_set(&why, CAUSE_CHANNEL, "%s: the server closed the session without an answer",
		  c->t->dest->label);
	cause_hint(&why, "the server's log has its reason");
	end(c, CHANNEL_LOST, &why);
	return true;
}

static bool step_opening(struct channel *c)
{
	int rc;

	if (c->opened_ns == 0) {
		c->opened_ns = uv_hrtime();
		ssh_add_channel_callbacks(c->ssh, &c->callbacks);
	}
	rc = ssh_channel_open_session(c->ssh);
	if (rc == SSH_AGAIN)
		return false;
	if (rc != SSH_OK) {
		if (!transport_session_dead(c->t))
			refuse_open(c);
		return true;
	}
	transport_rtt_sample(c->t, (double)(uv_hrtime() - c->opened_ns) / 1e6);
	c->state = c->released ? CHANNEL_CLOSING : CHANNEL_PREPARING;
	return true;
}

static bool step_preparing(struct channel *c)
{
	while (c->env != NULL && c->env[c->env_done] != NULL) {
		/* A variable that the server does not accept is no error (ssh(1) has it so). */
		if (request_env(c) == SSH_AGAIN)
			return closed_unanswered(c);
		if (transport_session_dead(c->t))
			return true;
		c->env_done++;
	}
	c->state = CHANNEL_IDLE;
	c->t->events->changed(c->t->ctx);
	return true;
}

static bool step_idle(struct channel *c)
{
	if (c->remote_closed)
		return closed_unanswered(c);
	if (!c->claimed)
		return false;
	channel_flow_start(c);
	c->state = c->terminal ? CHANNEL_TERMINAL : CHANNEL_STARTING;
	return true;
}

static bool step_terminal(struct channel *c)
{
	int rc = ssh_channel_request_pty_size(c->ssh, c->request->term, (int)c->size.cols,
					      (int)c->size.rows);

	if (rc == SSH_AGAIN)
		return closed_unanswered(c);
	if (rc != SSH_OK)
		c->tty_refused = true;
	c->resize_due = false;
	c->state = CHANNEL_STARTING;
	return true;
}

static bool step_starting(struct channel *c)
{
	bool first = !c->sent;
	int rc;

	c->sent = true;
	if (first)
		c->started_ns = uv_hrtime();
	rc = request_start(c);
	if (rc == SSH_AGAIN)
		return closed_unanswered(c) || first;
	if (transport_session_dead(c->t))
		return true;
	if (rc != SSH_OK) {
		refuse_request(c);
		return true;
	}
	transport_rtt_sample(c->t, (double)(uv_hrtime() - c->started_ns) / 1e6);
	c->t->started = true;
	c->state = CHANNEL_RUNNING;
	if (c->terminal)
		transport_terminal(c->t, +1);
	c->events->running(c->ctx, c->terminal && !c->tty_refused);
	c->t->events->changed(c->t->ctx);
	return true;
}

static bool send_signals(struct channel *c)
{
	size_t n = c->npending_signals;

	for (size_t i = 0; i < n; i++)
		ssh_channel_request_send_signal(c->ssh, c->pending_signals[i]);
	c->npending_signals = 0;
	return n > 0;
}

/* Requests without a reply: they go out at once, but only between two others. */
static bool step_notes(struct channel *c)
{
	bool worked = send_signals(c);

	if (c->resize_due && c->terminal) {
		c->resize_due = false;
		ssh_channel_change_pty_size(c->ssh, (int)c->size.cols, (int)c->size.rows);
		worked = true;
	}
	if (c->eof_due && !c->eof_sent && !c->remote_closed) {
		/* SSH_AGAIN means queued behind other bytes: done all the same. */
		c->eof_sent = ssh_channel_send_eof(c->ssh) != SSH_ERROR;
		worked = true;
	}
	return worked;
}

static bool step_running(struct channel *c)
{
	bool worked = step_notes(c);

	if (channel_flow(c))
		worked = true;
	if (c->released || c->ended)
		return worked;
	c->touched = false;
	c->events->turn(c->ctx);
	if (c->released)
		return true;
	if (c->eof_due && !c->eof_sent)
		worked |= step_notes(c);
	if (c->remote_closed && channel_drained(c))
		end(c, CHANNEL_ENDED, NULL);
	return worked || c->touched;
}

static bool step_closing(struct channel *c)
{
	if (!c->close_sent) {
		send_signals(c);
		/* The first call may queue only the EOF and say SSH_AGAIN; freeing then would lose
		 * the CLOSE and with it a place in the server's session limit. */
		int rc = ssh_channel_close(c->ssh);

		if (rc == SSH_AGAIN)
			return true;
		c->close_sent = true;
	}
	if (!c->remote_closed && !transport_session_dead(c->t))
		return false;
	c->t->last_close_ms = uv_now(c->t->env->loop);
	drop_ssh(c);
	return true;
}

bool channel_step(struct channel *c)
{
	if (c->ended && !c->released)
		return false; /* told; waits for its release */
	switch (c->state) {
	case CHANNEL_OPENING:
		return step_opening(c);
	case CHANNEL_PREPARING:
		return step_preparing(c);
	case CHANNEL_IDLE:
		return step_idle(c);
	case CHANNEL_TERMINAL:
		return step_terminal(c);
	case CHANNEL_STARTING:
		return step_starting(c);
	case CHANNEL_RUNNING:
		return step_running(c);
	case CHANNEL_CLOSING:
		return step_closing(c);
	case CHANNEL_DEAD:
		return false;
	}
	return false;
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
	return !c->claimed && !c->released && !c->remote_closed && c->state <= CHANNEL_IDLE &&
	       same_env(c->env, env);
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
		if (!c->claimed && !c->released)
			return c;
	}
	return NULL;
}

unsigned channel_count_warm(const struct transport *t)
{
	unsigned n = 0;

	for (const struct channel *c = t->channels; c != NULL; c = c->next)
		n += !c->claimed && !c->released;
	return n;
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

void channel_resize(struct channel *c, const struct proto_winsize *size)
{
	c->size = *size;
	c->resize_due = true;
	channel_touch(c);
}
