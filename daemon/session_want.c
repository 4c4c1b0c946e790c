/* What a request's words ask for, by ssh(1)'s rules. */
#include "daemon/session_priv.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/terminal_modes.h"
#include "protocol/alloc.h"

/* ssh(1)'s rules for -t, -T and RequestTTY. */
static bool wants_tty(struct session *s, bool has_command)
{
	bool stdin_tty = (s->request.words.flags & PROTO_STDIN_TTY) && !s->dest->stdin_null;
	bool tty = false;

	switch (s->dest->request_tty) {
	case TTY_NO:
		return false;
	case TTY_FORCE:
		return true;
	case TTY_YES:
		tty = true;
		break;
	case TTY_AUTO:
		tty = !has_command;
		break;
	}
	if (tty && !stdin_tty) {
		session_notice(
			s, 0,
			"Pseudo-terminal will not be allocated because stdin is not a terminal.");
		return false;
	}
	return tty;
}

static const char *text_or_empty(const char *text)
{
	return text != NULL ? text : "";
}

/* Ends the request with ssh's own words, and no others. */
static void session_refuse(struct session *s, const char *words)
{
	session_notice(s, -1, "%s", words);
	session_end_status(s, HW_EXIT_FAILURE);
}

/* -W, which excludes a session. */
static bool prepare_stdio(struct session *s)
{
	if (!forward_end_parse(s->request.words.stdio, &s->stdio)) {
		session_fail(s, "the value of -W makes no sense", "it is host:port", false);
		return false;
	}
	s->goal = GOAL_STDIO;
	return true;
}

static uint64_t choose_group(const struct session *s)
{
	static uint64_t last = POOL_UNSHARED;
	const char *hold = origin_getenv(s->origin, "HAWSER_HOLD");

	if (s->dest->unshared)
		return ++last;
	if (s->dest->hold_nothing || (hold != NULL && strcmp(hold, "0") == 0))
		return POOL_HELD_BY_NOBODY;
	return POOL_SHARED;
}

/* hawser.conf's terminal-modes = stty: where libssh has no call for modes, a login shell is begun
 * by a command that sets them. */
static void set_modes_by_command(struct session *s)
{
	if (!s->app->config.modes_by_stty || s->wanted.kind != CHANNEL_SHELL ||
	    channel_can_send_modes() || s->wanted.modes == NULL)
		return;
	s->stty = terminal_modes_shell(s->wanted.modes, s->wanted.modes_len);
	if (s->stty == NULL)
		return;
	s->wanted.kind = CHANNEL_EXEC;
	s->wanted.command = s->stty;
}

bool session_prepare(struct session *s)
{
	const struct destination *d = s->dest;
	struct channel_request *w = &s->wanted;
	const char *command = s->request.words.command;

	s->group = choose_group(s);
	if (s->request.words.stdio != NULL)
		return prepare_stdio(s);
	if (d->session_type == SESSION_NONE) {
		s->goal = GOAL_NONE;
		return true;
	}
	if (d->fork_after_auth && command == NULL && d->remote_command == NULL) {
		session_refuse(s, "Cannot fork into background without a command to execute.");
		return false;
	}
	if (command != NULL && d->remote_command != NULL) {
		session_fail(s, "Cannot execute command-line and remote command.", NULL, false);
		return false;
	}
	if (command == NULL)
		command = d->remote_command;
	w->kind = command == NULL ? CHANNEL_SHELL : CHANNEL_EXEC;
	if (d->session_type == SESSION_SUBSYSTEM) {
		if (command == NULL) {
			session_fail(s, "You must specify a subsystem to invoke.", NULL, false);
			return false;
		}
		w->kind = CHANNEL_SUBSYSTEM;
	}
	w->command = command;
	w->agent = d->forward_agent != NULL;
	s->tty = wants_tty(s, command != NULL);
	if (s->tty) {
		s->term = xstrdup(text_or_empty(origin_getenv(s->origin, "TERM")));
		w->term = s->term;
		w->term_needed = d->request_tty != TTY_AUTO;
		w->size = s->request.words.winsize;
		w->modes = s->request.words.modes;
		w->modes_len = s->request.words.modes_len;
		set_modes_by_command(s);
	}
	s->env = destination_session_env(d, s->origin->env);
	w->env = s->env;
	session_sticky_prepare(s);
	return true;
}
