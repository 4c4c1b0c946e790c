#include "client/live.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "client/clock.h"
#include "client/connect.h"
#include "client/progress.h"
#include "client/request.h"
#include "client/say.h"
#include "client/tty.h"
#include "protocol/alloc.h"
#include "protocol/encode.h"

enum { POLL_SOCK, POLL_SIGNALS, POLL_CONTROL, POLL_JOINED, POLL_RELAY };

void live_done(struct live *l, int status)
{
	if (l->end != LIVE_GOING)
		return;
	l->end = LIVE_EXIT;
	l->status = status;
}

void live_drain(struct live *l)
{
	l->got_exit = true;
	l->relay.flowing = true;
	if (l->st->pumped) {
		relay_stop_input(&l->relay);
		l->give_up_ms = clock_ms() + LIVE_DRAIN_MS;
	}
	if (!l->st->pumped || !relay_draining(&l->relay))
		live_done(l, l->status);
}

void live_fail(struct live *l, char *error, char *hint)
{
	if (l->end != LIVE_GOING || l->got_exit) {
		free(error);
		free(hint);
		return;
	}
	l->exit.error = error;
	l->exit.hint = hint;
	l->status = HW_EXIT_FAILURE;
	live_drain(l);
}

/* The daemon went away or cannot be understood: did the command run? */
static void lost(struct live *l, const char *what)
{
	char host[256], *hint;

	options_host_name(l->opt, host, sizeof(host));
	/* Questions come, and LocalCommand runs, before anything is asked of the server. */
	if ((bytebuf_len(&l->out) > 0 && !l->heard) || (l->asking && !l->started))
		hint = xstrdup("the command was not run; try again");
	else
		hint = xasprintf("the command %s; look at %s before you repeat it",
				 l->started ? "was running and may still run" : "may have run",
				 host);
	if (l->end == LIVE_GOING && !l->got_exit)
		l->exit.cause = xstrdup("daemon-stopped");
	live_fail(l, xasprintf("%s while it served %s", what, host), hint);
}

/* Sends what is queued as far as the socket takes it. */
static void flush(struct live *l)
{
	while (bytebuf_len(&l->out) > 0) {
		size_t sent = 0;
		int r = frame_send(l->sock, bytebuf_peek(&l->out), bytebuf_len(&l->out), NULL, 0,
				   &sent);
		if (r == HW_EAGAIN)
			return;
		if (r != HW_OK) {
			/* What the daemon said before it went tells more: the reading side ends us.
			 */
			bytebuf_consume(&l->out, bytebuf_len(&l->out));
			return;
		}
		bytebuf_consume(&l->out, sent);
	}
}

void live_send(struct live *l, uint8_t *frame, size_t len)
{
	if (frame == NULL)
		return;
	l->said_more = true;
	if (bytebuf_append(&l->out, frame, len) == HW_OK)
		flush(l);
	else
		lost(l, "hawserd takes no messages any more");
	free_secret(frame, len);
}

static void send_empty(struct live *l, enum proto_type type)
{
	size_t len;
	uint8_t *frame = proto_encode_empty(type, REQUEST_NUMBER, &len);

	live_send(l, frame, len);
}

void live_read(struct live *l)
{
	const uint8_t *payload;
	size_t len;

	int r = frame_recv(&l->in, l->sock);
	if (r == HW_EAGAIN)
		return;
	if (r == HW_OK) {
		l->heard = true;
		l->heard_ms = clock_ms();
		l->ping_ms = 0;
	} else if (r == HW_ESYS && errno == ECONNRESET && !l->heard && !l->said_more) {
		/* Linux resets a local socket only when it was closed with bytes unread, and the
		 * request is all that we wrote: nobody acted on it. */
		l->end = LIVE_RETRY;
		return;
	} else if (r == HW_EOF || r == HW_ESYS) {
		lost(l, "hawserd ended");
		return;
	}
	while (r == HW_OK && l->end == LIVE_GOING && !l->got_exit) {
		r = frame_next(&l->in, &payload, &len);
		if (r == HW_OK && !live_message(l, payload, len))
			r = HW_EPROTO;
	}
	if (r < 0 && r != HW_EAGAIN && l->end == LIVE_GOING)
		lost(l, "hawserd said something that makes no sense");
}

void live_tell_size(struct live *l)
{
	struct proto_winsize size;
	size_t len;

	if (!l->tty || !tty_size(STDIN_FILENO, &size))
		return;
	uint8_t *frame = proto_encode_resize(REQUEST_NUMBER, &size, &len);
	live_send(l, frame, len);
}

void live_raw(struct live *l)
{
	l->raw = true;
	/* SIGCONT brings us here again. An orphaned job may do as it likes. */
	if (tty_in_background(STDIN_FILENO) && tty_stop_job(SIGTTOU))
		return;
	tty_raw(STDIN_FILENO);
}

/* SIGCONT, which is queued for us then, does the rest. */
void live_suspend(struct live *l)
{
	(void)l;
	tty_restore();
	signals_stop_self();
}

static void continued(struct live *l)
{
	if (tty_in_background(STDIN_FILENO))
		return;
	/* The shell has put the terminal back to its own modes. */
	tty_restore();
	if (l->raw)
		tty_raw(STDIN_FILENO);
	live_tell_size(l);
}

void live_cancel(struct live *l)
{
	send_empty(l, PROTO_CANCEL);
	live_done(l, HW_EXIT_FAILURE);
}

void live_end_by_signal(struct live *l, int signo)
{
	/* Where only the status is to be told, words of the start may lie behind the command's own.
	 */
	if (l->want_started && !l->only_told && !l->started && !l->got_exit) {
		send_empty(l, PROTO_CANCEL);
		l->end = LIVE_SIGNAL;
		l->signo = signo;
		return;
	}
	if (l->stop_signo != 0 || l->tty || l->got_exit) {
		say_verbose(1, "ended by signal %d", l->stop_signo != 0 ? l->stop_signo : signo);
		live_done(l, HW_EXIT_FAILURE);
		return;
	}
	struct proto_signal m = {.name = (char *)(uintptr_t)signals_name(signo)};
	size_t len;
	uint8_t *frame = proto_encode_signal(REQUEST_NUMBER, &m, &len);
	live_send(l, frame, len);
	l->stop_signo = signo;
	l->give_up_ms = clock_ms() + LIVE_SIGNAL_MS;
}

static void handle_signals(struct live *l)
{
	int signo;

	while (l->end == LIVE_GOING && (signo = signals_next(&l->signals)) != 0) {
		if (signo == SIGWINCH) {
			live_tell_size(l);
		} else if (signo == SIGTSTP) {
			live_suspend(l);
		} else if (signo == SIGCONT) {
			continued(l);
		} else {
			live_end_by_signal(l, signo);
		}
	}
}

/* The next moment at which silence means something. */
static int64_t next_deadline(const struct live *l)
{
	/* Output that the user does not read (^S) is kept for as long as that takes. */
	if (l->got_exit)
		return relay_waiting(&l->relay) ? INT64_MAX : l->give_up_ms;
	int64_t at = l->ping_ms != 0
			     ? l->ping_ms + LIVE_PONG_MS
			     : l->heard_ms + (l->heard ? LIVE_SILENCE_MS : LIVE_FIRST_SILENCE_MS);

	return l->give_up_ms != 0 && l->give_up_ms < at ? l->give_up_ms : at;
}

static void give_up(struct live *l)
{
	if (l->stop_signo != 0)
		say_verbose(1, "ended by signal %d", l->stop_signo);
	/* When EXIT came, its status stands. */
	live_done(l, l->got_exit ? l->status : HW_EXIT_FAILURE);
}

static void handle_silence(struct live *l)
{
	int64_t now = clock_ms();

	if (now < next_deadline(l))
		return;
	if (l->got_exit || (l->give_up_ms != 0 && now >= l->give_up_ms)) {
		give_up(l);
		return;
	}
	if (l->ping_ms == 0) {
		l->ping_ms = now;
		send_empty(l, PROTO_PING);
		return;
	}
	long pid = connect_peer_pid(l->sock);
	tty_restore();
	say("hawserd (pid %ld) does not answer; the command may have run", pid);
	/* Who is stopped, or never comes back to its loop, hears of no other signal. */
	say("end it with `kill -9 %ld`, then try again", pid);
	live_done(l, HW_EXIT_FAILURE);
}

/* What came on the control socket: of ours, or of the one that we have joined. */
static void handle_control(struct live *l, bool ours, bool joined)
{
	char byte;

	if (l->end != LIVE_GOING || l->got_exit)
		return;
	if (ours) {
		control_step(l->control);
		/* Without a session of its own the master is there for the others only. */
		if (l->control->terminate ||
		    (l->control->stopped && l->control->sessions == 0 && l->opt->no_session))
			live_cancel(l);
	} else if (joined && recv(l->joined, &byte, 1, MSG_DONTWAIT) == 0) {
		/* Sessions end with their master. */
		say_verbose(1, "the master at %s has ended", l->opt->control);
		live_cancel(l);
	}
}

/* A master stays until its last session has ended, as ssh does. */
static void linger(struct live *l)
{
	struct pollfd p[2] = {{.fd = l->control->fd, .events = POLLIN},
			      {.fd = l->signals.fd, .events = POLLIN}};

	while (l->control->sessions > 0 && !l->control->terminate) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return;
		if (p[1].revents != 0 && signals_name(signals_next(&l->signals)) != NULL) {
			l->status = HW_EXIT_FAILURE;
			return;
		}
		control_step(l->control);
	}
}

/* One round: wait, then handle what came. */
static void turn(struct live *l)
{
	struct pollfd p[POLL_RELAY + RELAY_POLLS_MAX];

	p[POLL_SOCK] = (struct pollfd){
		.fd = l->got_exit ? -1 : l->sock,
		.events = (short)(POLLIN | (bytebuf_len(&l->out) > 0 ? POLLOUT : 0))};
	p[POLL_SIGNALS] = (struct pollfd){.fd = l->signals.fd, .events = POLLIN};
	p[POLL_CONTROL] =
		(struct pollfd){.fd = l->control != NULL ? l->control->fd : -1, .events = POLLIN};
	p[POLL_JOINED] = (struct pollfd){.fd = l->joined, .events = POLLIN};
	size_t n = POLL_RELAY;
	if (l->st->pumped)
		n += relay_poll(&l->relay, p + POLL_RELAY);
	int64_t deadline = next_deadline(l);
	if (progress_due() < deadline)
		deadline = progress_due();
	int ready = poll(p, (nfds_t)n, deadline == INT64_MAX ? -1 : clock_left(deadline));
	if (ready < 0 && errno != EINTR) {
		lost(l, "poll failed");
		return;
	}
	if (ready < 0)
		return;
	if (p[POLL_SIGNALS].revents != 0)
		handle_signals(l);
	if (p[POLL_SOCK].revents & POLLOUT)
		flush(l);
	if (p[POLL_SOCK].revents & (POLLIN | POLLHUP | POLLERR))
		live_read(l);
	else
		handle_silence(l); /* only after all that was said has been heard */
	progress_step();
	handle_control(l, p[POLL_CONTROL].revents != 0, p[POLL_JOINED].revents != 0);
	if (l->end != LIVE_GOING || !l->st->pumped)
		return;
	relay_move(&l->relay, p + POLL_RELAY);
	if (l->relay.background) {
		l->relay.background = false;
		if (!tty_stop_job(SIGTTIN))
			relay_stop_input(&l->relay);
	}
	live_escapes(l);
	if (l->got_exit && !relay_draining(&l->relay))
		live_done(l, l->status);
	else if (l->got_exit && ready > 0)
		l->give_up_ms = clock_ms() + LIVE_DRAIN_MS;
}

/* Ends that the user has made himself: ^C on the remote terminal, `| head`. */
static bool expected_signal(const struct live *l, const char *name)
{
	return l->stop_signo != 0 || strcmp(name, "PIPE") == 0 ||
	       (l->tty && strcmp(name, "INT") == 0);
}

static void say_end(struct live *l)
{
	const struct proto_exit *e = &l->exit;
	char host[256];

	options_host_name(l->opt, host, sizeof(host));
	if (l->relay.write_error != 0) {
		say("output of the command on %s was lost: %s", host,
		    strerror(l->relay.write_error));
		l->status = HW_EXIT_FAILURE;
	}
	if (e->error != NULL) {
		say("%s", e->error);
		if (e->hint != NULL && e->hint[0] != '\0')
			say("%s", e->hint);
	} else if (e->signal != NULL && !expected_signal(l, e->signal)) {
		say("the remote command on %s was ended by signal %s", host, e->signal);
	}
	if (l->tty)
		live_say_closed(l);
}

void live_set_level(struct live *l, enum proto_level level)
{
	l->level = level;
	say_set_level(level == PROTO_LEVEL_QUIET    ? SAY_QUIET
		      : level > PROTO_LEVEL_VERBOSE ? (int)(level - PROTO_LEVEL_VERBOSE)
						    : 0);
}

void live_say_closed(const struct live *l)
{
	char host[256];

	options_host_name(l->opt, host, sizeof(host));
	if (l->level >= PROTO_LEVEL_INFO)
		dprintf(STDERR_FILENO, "Connection to %s closed.\r\n",
			l->host != NULL ? l->host : host);
}

void live_run(struct live *l, struct bytebuf *rest)
{
	l->out = *rest;
	frame_reader_init(&l->in);
	if (l->st->pumped)
		relay_init(&l->relay, l->st);
	l->level = l->opt->level < 0	? PROTO_LEVEL_QUIET
		   : l->opt->level == 0 ? PROTO_LEVEL_INFO
					: PROTO_LEVEL_VERBOSE + (enum proto_level)l->opt->level;
	if (l->level > PROTO_LEVEL_DEBUG3)
		l->level = PROTO_LEVEL_DEBUG3;
	l->heard_ms = clock_ms();
	while (l->end == LIVE_GOING)
		turn(l);
	progress_end();
	tty_restore();
	if (l->got_exit && l->control != NULL && l->exit.error == NULL && l->stop_signo == 0)
		linger(l);
	/* Words come behind the output that was still in our pipes. */
	if (l->got_exit)
		say_end(l);
}

void live_finish(struct live *l)
{
	tty_restore();
	if (l->st->pumped)
		relay_finish(&l->relay);
	frame_reader_finish(&l->in);
	bytebuf_finish(&l->out);
	proto_exit_free(&l->exit);
	free(l->fallback);
	free(l->host);
	l->fallback = l->host = NULL;
	signals_close(&l->signals);
}
