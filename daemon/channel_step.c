/* The steps of a channel's states: one libssh request at a time, each repeated until it is
 * answered.
 */
#include "daemon/transport_priv.h"

#include <stdio.h>
#include <string.h>

#include "protocol/log.h"

/* sshd frees a closed session's place a moment after it has seen the CLOSE. */
#define SETTLE_MS 500
/* As long as ssh makes its breaks. */
#define BREAK_MS 1000

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

/* "Channel opening failure: channel 43 error (2) open failed": the server's words. */
static const char *refusal_words(const struct transport *t)
{
	const char *said = ssh_get_error(t->session), *words = strstr(said, "error (");

	words = words != NULL ? strchr(words, ')') : NULL;
	return words != NULL && words[1] == ' ' ? words + 2 : said;
}

static void explain_limit(const struct transport *t, bool alone, struct cause *why)
{
	if (alone) {
		cause_set(why, CAUSE_SESSION_LIMIT, "%s allows no session at all: %s",
			  t->dest->label, refusal_words(t));
		cause_hint(why, "MaxSessions 0 in its sshd_config allows forwards only (-N, -W)");
		return;
	}
	cause_set(why, CAUSE_SESSION_LIMIT,
		  "%s refused to open another session beside %u on its connection: %s",
		  t->dest->label, t->refused_at, refusal_words(t));
	cause_hint(why, "its MaxSessions (sshd_config) allows no more; hawser opens further "
			"connections, as many as `transports` in hawser.conf says");
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
	/* Alone, and none closed just before: no waiting helps. */
	alone = t->refused_at == 0 && !t->refused_settling;
	explain_limit(t, alone, &why);
	channel_drop_ssh(c);
	channel_end(c, alone ? CHANNEL_REQUEST_REFUSED : CHANNEL_OPEN_REFUSED, &why);
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
				 : "the server does not let this account run it (ForceCommand in "
				   "sshd_config, command= or restrict in authorized_keys)");
	channel_end(c, CHANNEL_REQUEST_REFUSED, &why);
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
	cause_hint(&why, "the server's log has its reason (ChannelTimeout, a forced command that "
			 "cannot be run, limits of the account)");
	channel_end(c, CHANNEL_LOST, &why);
	return true;
}

/* An address at the server's side that it could not, or would not, connect to. */
static void refuse_direct(struct channel *c)
{
	bool prohibited = strstr(ssh_get_error(c->t->session), "error (1)") != NULL;
	const char *target = c->target_path != NULL ? c->target_path : c->target_host;
	struct cause why;

	cause_set(&why, CAUSE_CHANNEL, "%s: %s",
		  prohibited ? "administratively prohibited" : "connect failed",
		  refusal_words(c->t));
	if (prohibited)
		cause_hint(&why,
			   "the server at %s does not forward to %s for this account: see "
			   "AllowTcpForwarding and PermitOpen in its sshd_config",
			   c->t->dest->label, target);
	else
		cause_hint(&why, "the server at %s could not connect to %s", c->t->dest->label,
			   target);
	channel_drop_ssh(c);
	channel_end(c, CHANNEL_REQUEST_REFUSED, &why);
	c->t->events->changed(c->t->ctx);
}

/* Connected: there is nothing to ask for, bytes may flow. */
static void start_direct(struct channel *c)
{
	c->sent = true;
	channel_flow_start(c);
	c->state = CHANNEL_RUNNING;
	c->events->running(c->ctx, false);
	c->t->events->changed(c->t->ctx);
}

static int request_open(struct channel *c)
{
	const char *origin = c->origin_host != NULL ? c->origin_host : "127.0.0.1";

	if (c->role == ROLE_SESSION)
		return ssh_channel_open_session(c->ssh);
	if (c->target_path != NULL)
		return ssh_channel_open_forward_unix(c->ssh, c->target_path, origin,
						     c->origin_port);
	return ssh_channel_open_forward(c->ssh, c->target_host != NULL ? c->target_host : "",
					c->target_port, origin, c->origin_port);
}

static bool step_opening(struct channel *c)
{
	int rc;

	if (c->opened_ns == 0) {
		c->opened_ns = uv_hrtime();
		ssh_add_channel_callbacks(c->ssh, &c->callbacks);
	}
	rc = request_open(c);
	if (rc == SSH_AGAIN)
		return false;
	if (rc != SSH_OK) {
		if (transport_session_dead(c->t))
			return true;
		if (c->role == ROLE_SESSION)
			refuse_open(c);
		else
			refuse_direct(c);
		return true;
	}
	/* To connect to an address takes the server a while of its own: better than no figure. */
	if (c->role == ROLE_SESSION || c->t->rtt_ms < 0)
		transport_rtt_sample(c->t, (double)(uv_hrtime() - c->opened_ns) / 1e6);
	if (c->released)
		c->state = CHANNEL_CLOSING;
	else if (c->role == ROLE_DIRECT)
		start_direct(c);
	else
		c->state = CHANNEL_PREPARING;
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

static enum channel_state after_lending(const struct channel *c)
{
	return c->terminal ? CHANNEL_TERMINAL : CHANNEL_STARTING;
}

static bool step_idle(struct channel *c)
{
	if (c->remote_closed)
		return closed_unanswered(c);
	if (!c->claimed)
		return false;
	channel_flow_start(c);
	if (c->request->agent || c->request->x11 != NULL)
		c->state = CHANNEL_LENDING;
	else
		c->state = after_lending(c);
	return true;
}

static bool step_lending(struct channel *c)
{
	const struct channel_x11 *x11 = c->request->x11;

	if (x11 != NULL && !c->x11_told) {
		int rc = ssh_channel_request_x11(c->ssh, 0, x11->proto, x11->cookie,
						 (int)x11->screen);

		if (rc == SSH_AGAIN)
			return closed_unanswered(c);
		if (transport_session_dead(c->t))
			return true;
		c->x11_told = true;
		c->x11_refused = rc != SSH_OK;
	}
	/* Without an answer, as ssh asks: sshd refuses all but the first of a connection, and has
	 * one agent socket for all of its sessions. */
	if (c->request->agent && ssh_channel_request_auth_agent(c->ssh) == SSH_AGAIN)
		return closed_unanswered(c);
	c->state = after_lending(c);
	return true;
}

static int request_terminal(struct channel *c)
{
	const struct channel_request *r = c->request;
	int cols = (int)c->size.cols, rows = (int)c->size.rows;

#if LIBSSH_VERSION_INT >= SSH_VERSION_INT(0, 11, 0)
	/* Never without modes: libssh would send those of the daemon's own stdin. */
	static const unsigned char none[1];
	bool has = r->modes != NULL && r->modes_len > 0;

	c->modes_sent = has;
	return ssh_channel_request_pty_size_modes(c->ssh, r->term, cols, rows,
						  has ? (const unsigned char *)r->modes : none,
						  has ? r->modes_len : sizeof(none));
#else
	return ssh_channel_request_pty_size(c->ssh, r->term, cols, rows);
#endif
}

bool channel_can_send_modes(void)
{
	return LIBSSH_VERSION_INT >= SSH_VERSION_INT(0, 11, 0);
}

static void refuse_terminal(struct channel *c)
{
	struct cause why;

	cause_set(&why, CAUSE_CHANNEL, "PTY allocation request failed on channel 0");
	cause_hint(&why,
		   "%s gives this account no terminal (PermitTTY in sshd_config, or restrict in "
		   "authorized_keys): try without -t",
		   c->t->dest->label);
	channel_end(c, CHANNEL_REQUEST_REFUSED, &why);
}

static bool step_terminal(struct channel *c)
{
	int rc = request_terminal(c);

	if (rc == SSH_AGAIN)
		return closed_unanswered(c);
	if (transport_session_dead(c->t))
		return true;
	if (rc != SSH_OK && c->request->term_needed) {
		refuse_terminal(c);
		return true;
	}
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
	if (first) {
		c->started_ns = uv_hrtime();
		c->last_ms = uv_now(c->t->env->loop);
	}
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

	if (c->break_due) {
		c->break_due = false;
		ssh_channel_request_send_break(c->ssh, BREAK_MS);
		worked = true;
	}
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

/* All that the other side had to say was delivered. */
static void tell_eof(struct channel *c)
{
	if (!c->remote_eof || c->eof_told || !channel_drained(c))
		return;
	c->eof_told = true;
	if (c->events->eof != NULL)
		c->events->eof(c->ctx);
}

static bool is_over(const struct channel *c)
{
	/* Of a tunnel, both sides have said their last word: nobody need wait for the CLOSE. */
	return c->remote_closed || (c->role != ROLE_SESSION && c->eof_sent && c->eof_told);
}

/* One that its owner has not adopted yet is closed at once, and ends for him when he does. */
static bool end_overrun(struct channel *c)
{
	struct cause why;

	if (!c->claimed) {
		if (c->close_sent)
			return false;
		c->close_sent = ssh_channel_close(c->ssh) != SSH_AGAIN;
		return true;
	}
	cause_set(&why, CAUSE_LIMIT,
		  "%s sent more through a forwarded connection than it was allowed to",
		  c->t->dest->label);
	cause_hint(&why, "the server breaks the protocol: that forwarded connection was ended");
	channel_end(c, CHANNEL_LOST, &why);
	return true;
}

static bool step_running(struct channel *c)
{
	bool worked;

	if (c->overrun)
		return end_overrun(c);
	if (c->role == ROLE_INCOMING && !c->claimed)
		return false; /* its owner is not ready yet */
	worked = step_notes(c);

	if (channel_flow(c))
		worked = true;
	if (c->released || c->ended)
		return worked;
	c->touched = false;
	c->events->turn(c->ctx);
	if (!c->released)
		tell_eof(c);
	if (c->released)
		return true;
	if (c->eof_due && !c->eof_sent)
		worked |= step_notes(c);
	if (is_over(c) && channel_drained(c))
		channel_end(c, CHANNEL_ENDED, NULL);
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
	if (c->role == ROLE_SESSION)
		c->t->last_close_ms = uv_now(c->t->env->loop);
	channel_drop_ssh(c);
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
	case CHANNEL_LENDING:
		return step_lending(c);
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
