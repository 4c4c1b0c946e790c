/* What the daemon says, and what follows from it. */
#include "client/live.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "client/background.h"
#include "client/clock.h"
#include "client/local_command.h"
#include "client/modes.h"
#include "client/progress.h"
#include "client/prompt.h"
#include "client/request.h"
#include "client/say.h"
#include "client/tty.h"
#include "protocol/alloc.h"
#include "protocol/encode.h"

/* -f. False: that was not possible. */
static bool go_background(struct live *l)
{
	/* Our own words are lost from now on, as ssh's are, unless somebody wants to see all. */
	bool keep = say_level() > 0 && !say_is_elsewhere();

	if (background_detach(l->st, keep) < 0) {
		say("cannot go to the background: %s", strerror(errno));
		live_cancel(l);
		return false;
	}
	if (l->st->pumped)
		relay_renumber(&l->relay);
	return true;
}

/* -M: the path is there as soon as its users can be served. */
static void publish(struct live *l)
{
	char text[256];

	if (l->control == NULL || l->control->fd < 0)
		return;
	snprintf(text, sizeof(text), "ControlSocket %s already exists, disabling multiplexing",
		 l->control->path);
	if (!control_publish(l->control))
		say_line(text);
}

static bool on_started(struct live *l, const struct proto_message *m)
{
	struct proto_started s;

	if (proto_decode_started(m, &s) < 0)
		return false;
	if (l->started) {
		proto_started_free(&s);
		return true;
	}
	l->started = true;
	progress_end();
	l->tty = s.tty && !s.background;
	l->host = s.host;
	l->commandline = s.commandline;
	l->local_command = s.local_command;
	if (s.has_level)
		live_set_level(l, s.level < PROTO_LEVEL_DEBUG3 ? s.level : PROTO_LEVEL_DEBUG3);
	publish(l);
	if (s.background && !go_background(l))
		return true;
	if (l->tty && l->st->s[STDIN_FILENO].tty && !l->opt->stdin_null) {
		struct termios t;

		l->relay.translate = !s.modes && tcgetattr(STDIN_FILENO, &t) == 0 &&
				     modes_keys(&t, l->relay.keys);
		signals_take_terminal(&l->signals);
		live_raw(l);
		live_tell_size(l); /* it may have changed since the request was made */
	}
	if (!l->st->pumped)
		return true;
	l->relay.flowing = true;
	if (s.read_stdin)
		relay_start(&l->relay, l->tty ? (int)s.escape : -1);
	else
		relay_stop_input(&l->relay);
	return true;
}

static bool on_exit_message(struct live *l, const struct proto_message *m)
{
	if (proto_decode_exit(m, &l->exit) < 0)
		return false;
	progress_end();
	l->got_exit = true;
	l->status = HW_EXIT_FAILURE;
	/* A status is one byte to those who wait for us (wait(2)), as it was on the remote. A
	 * signal that was meant for a command ends us as a failure, whatever the remote made of it;
	 * where none ran (-N) the daemon says what it comes to. */
	if (l->exit.has_status && (l->stop_signo == 0 || !l->exit.ran))
		l->status = (int)(l->exit.status & 0xff);
	live_drain(l);
	return true;
}

/* While a question is open: what the daemon says is handled as ever. */
static bool on_daemon_speaks(void *ctx)
{
	struct live *l = ctx;

	live_read(l);
	return l->end == LIVE_GOING && !l->got_exit;
}

struct prompt_watch live_watch(struct live *l)
{
	return (struct prompt_watch){
		.fd = l->sock, .readable = on_daemon_speaks, .ctx = l, .signals = &l->signals};
}

/* LocalCommand. How it ended is nobody's business, as with ssh. */
static int run_command(const struct proto_prompt *m, const struct prompt_watch *watch,
		       struct proto_answer *out)
{
	out->prompt = m->prompt;
	out->answers = xcalloc(1, sizeof(*out->answers));
	if (m->intro == NULL || m->intro[0] == '\0')
		return 0;
	return local_command_run(m->intro, watch);
}

static bool on_prompt(struct live *l, const struct proto_message *m)
{
	struct prompt_watch watch = live_watch(l);
	struct proto_prompt prompt;
	struct proto_answer answer = {0};
	int signo = 0;
	size_t len;

	if (proto_decode_prompt(m, &prompt) < 0)
		return false;
	if (l->asking) {
		answer.prompt = prompt.prompt;
		answer.cancelled = true;
		answer.reason = xstrdup("another question is being asked");
	} else {
		l->asking = true;
		progress_clear();
		if (prompt.kind == PROTO_PROMPT_COMMAND)
			signo = run_command(&prompt, &watch, &answer);
		else
			signo = prompt_ask(&prompt, &watch, &answer);
		l->asking = false;
	}
	if (l->end == LIVE_GOING && !l->got_exit) {
		/* Who is interrupted takes the request back, so that the question goes to the next
		 * who waits for the same connection; an answer would end it for all of them. */
		uint8_t *frame = signo != 0 ? proto_encode_empty(PROTO_CANCEL, REQUEST_NUMBER, &len)
					    : proto_encode_answer(REQUEST_NUMBER, &answer, &len);
		live_send(l, frame, len);
	}
	proto_answer_free(&answer);
	proto_prompt_free(&prompt);
	/* Whoever typed ^C at a question wants an end, as with ssh. */
	if (signo != 0 && l->end == LIVE_GOING && !l->got_exit) {
		l->end = LIVE_SIGNAL;
		l->signo = signo;
	}
	l->heard_ms = clock_ms(); /* the time that a person needs is not the daemon's */
	return true;
}

static bool on_notice(const struct proto_message *m)
{
	struct proto_notice n;

	if (proto_decode_notice(m, &n) < 0)
		return false;
	if (n.banner)
		say_stderr(n.text, strlen(n.text));
	else if (n.raw)
		say_raw(n.text, strlen(n.text));
	else
		say_line(n.text);
	proto_notice_free(&n);
	return true;
}

static bool on_progress(const struct proto_message *m)
{
	struct proto_progress p;

	if (proto_decode_progress(m, &p) < 0)
		return false;
	progress_set(p.text, p.retry_ms);
	proto_progress_free(&p);
	return true;
}

static bool on_fallback(struct live *l, const struct proto_message *m)
{
	struct proto_fallback f;

	if (proto_decode_fallback(m, &f) < 0)
		return false;
	if (l->started) {
		proto_fallback_free(&f);
		return false; /* too late: bytes have moved */
	}
	l->fallback = xstrdup(f.why);
	proto_fallback_free(&f);
	if (l->end == LIVE_GOING)
		l->end = LIVE_FALLBACK;
	return true;
}

static bool on_error(struct live *l, const struct proto_message *m)
{
	struct proto_error e;

	if (proto_decode_error(m, &e) < 0)
		return false;
	if (l->started && m->request == REQUEST_NUMBER) {
		/* An older daemon, asked for by an escape what it does not know: no harm is done.
		 */
		say("%s", e.text);
		proto_error_free(&e);
		return true;
	}
	live_fail(l, xasprintf("hawserd refused the request: %s", e.text),
		  xstrdup("if it is older than hawser, restart it: `hawserctl stop`, then try "
			  "again"));
	proto_error_free(&e);
	return true;
}

static bool dispatch(struct live *l, const struct proto_message *m)
{
	switch (m->type) {
	case PROTO_STARTED:
		return on_started(l, m);
	case PROTO_EXIT:
		return on_exit_message(l, m);
	case PROTO_PROMPT:
		return on_prompt(l, m);
	case PROTO_NOTICE:
		return on_notice(m);
	case PROTO_PROGRESS:
		return on_progress(m);
	case PROTO_FALLBACK:
		return on_fallback(l, m);
	case PROTO_ERROR:
		return on_error(l, m);
	case PROTO_PONG: /* that it came was what mattered */
	default:	 /* a newer daemon's message that we do not need */
		return true;
	}
}

bool live_message(struct live *l, const uint8_t *payload, size_t len)
{
	struct proto_message m;

	if (proto_parse(payload, len, &m) < 0)
		return false;
	bool fine = dispatch(l, &m);
	proto_message_finish(&m);
	return fine;
}
