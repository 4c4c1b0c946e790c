/* hawser: ssh's command line over transports that hawserd holds. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "client/connect.h"
#include "client/control.h"
#include "client/fallback.h"
#include "client/join.h"
#include "client/live.h"
#include "client/options.h"
#include "client/request.h"
#include "client/say.h"
#include "client/signals.h"
#include "client/status.h"
#include "client/streams.h"
#include "protocol/alloc.h"

#define TRIES 3

/* What a ControlPath of the command line has brought. */
struct sharing {
	struct control control; /* of -M; fd -1 when there is none */
	int joined;		/* to another hawser's, -1 none */
};
#define NO_LOG_FILE 1 /* what ssh ends with when it cannot open -E's file */

/* Words go where -E says. Fails as ssh does. */
static bool open_log(const char *path)
{
	streams_fill_closed(); /* or the log could become a closed stdout */
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0) {
		say("Couldn't open logfile %s: %s", path, strerror(errno));
		return false;
	}
	say_set_fd(fd);
	return true;
}

/* Sends the request and lives through it. Returns how it ended. */
static void serve(struct live *l, int sock)
{
	struct bytebuf rest;
	const char *why = NULL;
	size_t len;

	l->sock = sock;
	l->want_started = l->st->pumped || l->st->tty || l->opt->background || l->opt->master;
	l->only_told = !l->want_started && status_wanted();
	l->want_started |= l->only_told;
	bytebuf_init(&rest, 4 * PROTO_FRAME_MAX);
	uint8_t *frame = request_encode(l->opt, l->st, l->want_started, &len, &why);
	if (frame == NULL) {
		l->end = LIVE_FALLBACK;
		l->fallback = xstrdup(why);
		return;
	}
	if (signals_open(&l->signals) < 0) {
		say("cannot take signals: %s", strerror(errno));
		l->end = LIVE_EXIT;
		l->status = HW_EXIT_FAILURE;
		free(frame);
		return;
	}
	int r = request_send(sock, frame, len, l->st, &rest);
	free(frame);
	if (r == HW_ESYS && (errno == EPIPE || errno == ECONNRESET)) {
		l->end = LIVE_RETRY;
		return;
	}
	if (r < 0) {
		l->end = LIVE_FALLBACK;
		l->fallback = xstrdup("hawserd does not take the request");
		return;
	}
	streams_close_given(l->st);
	live_run(l, &rest);
}

/* One daemon, one try. *status is for LIVE_EXIT; argv for ssh in our place. */
static enum live_end try_request(struct options *o, char **argv, struct sharing *sh, int *status)
{
	struct streams st;
	char why[512];
	int sock;

	/* First of all, or the socket could become a closed stdout. */
	if (streams_open(&st, o->stdin_null) < 0) {
		int error = errno;
		control_close(&sh->control);
		*status = fallback_or_fail(argv, strerror(error));
		return LIVE_EXIT;
	}
	int r = connect_daemon(true, &sock, why, sizeof(why));
	if (r < 0) {
		streams_close(&st);
		control_close(&sh->control);
		say("%s%s", why,
		    fallback_locked()	 ? "; and hawser is locked"
		    : fallback_allowed() ? "; using ssh"
					 : "");
		*status = fallback_allowed() && !fallback_locked() ? fallback_exec(argv, NULL)
								   : HW_EXIT_FAILURE;
		return LIVE_EXIT;
	}
	struct live l = {.opt = o,
			 .st = &st,
			 .signals = {.fd = -1},
			 .control = sh->control.fd >= 0 ? &sh->control : NULL,
			 .joined = sh->joined};
	serve(&l, sock);
	*status = l.status;
	char *fallback = l.end == LIVE_FALLBACK ? l.fallback : NULL;
	l.fallback = NULL;
	if (l.end == LIVE_EXIT || l.end == LIVE_SIGNAL)
		status_write(&l, l.status, l.end == LIVE_SIGNAL ? l.signo : 0);
	live_finish(&l);
	streams_close(&st);
	close(sock);
	if (l.end != LIVE_RETRY)
		control_close(&sh->control);
	if (l.end == LIVE_SIGNAL)
		signals_die(l.signo);
	if (l.end == LIVE_FALLBACK) {
		*status = fallback_or_fail(argv, fallback);
		free(fallback);
		return LIVE_EXIT;
	}
	return l.end;
}

/* Nobody is at the ControlPath. Who asks by -S whether somebody is wants to hear of that, in ssh's
 * words; a ControlPath that is set in passing (Ansible) means the held transport. */
static bool no_master(const struct options *o, char **argv, int *status)
{
	if (o->operation == NULL || !o->control_own)
		return true;
	*status = fallback_exec(argv, NULL);
	return false;
}

/* Looks at the ControlPath of the command line. False: the call is over, *status is its end. */
static bool share(struct options *o, char **argv, struct sharing *sh, int *status)
{
	char why[512];

	*sh = (struct sharing){.control = {.fd = -1, .listener = -1}, .joined = -1};
	*status = HW_EXIT_FAILURE;
	if (o->control == NULL || !options_path_is_plain(o->control))
		return no_master(o, argv, status);
	if (o->master) {
		if (control_open(&sh->control, o->control, why, sizeof(why)))
			return true;
		say_line(why);
		return false;
	}
	switch (join_master(o->control, o->operation == NULL, &sh->joined)) {
	case JOIN_NOBODY:
		return no_master(o, argv, status);
	case JOIN_FOREIGN:
		*status = fallback_or_fail(argv, "the ControlPath is that of a running ssh");
		return false;
	case JOIN_OURS:
		break;
	}
	if (o->operation == NULL)
		return true;
	/* What concerns the connection is hawserd's to do. */
	bool master_does =
		strcmp(o->operation, "forward") != 0 && strcmp(o->operation, "cancel") != 0;
	if (master_does)
		*status = join_operate(sh->joined, o->operation);
	else
		close(sh->joined);
	sh->joined = -1;
	return !master_does;
}

static int request(struct options *o, char **argv)
{
	int status = HW_EXIT_FAILURE;
	struct sharing sh;

	if (!share(o, argv, &sh, &status))
		return status;
	/* A daemon may leave, idle or stopped, just as we come; its successor is asked. */
	for (int i = 0; i < TRIES; i++)
		if (try_request(o, argv, &sh, &status) != LIVE_RETRY)
			return status;
	control_close(&sh.control);
	return fallback_or_fail(argv, "hawserd leaves before it reads the request");
}

int main(int argc, char **argv)
{
	struct options o;

	if (fallback_disabled())
		return fallback_exec(argv, "HAWSER_DISABLE is set");
	/* EPIPE says it at the right place. A reader of our words who leaves ends nothing. */
	signal(SIGPIPE, SIG_IGN);
	options_scan(&o, argc, argv);
	say_set_level(o.level);
	status_open(&o);
	if (o.syslog)
		say_set_syslog();
	int status;
	if (o.handover[0] != '\0')
		status = fallback_or_fail(argv, o.handover);
	else if (o.usage)
		status = fallback_exec(argv, NULL);
	else if (o.log_file != NULL && !open_log(o.log_file))
		status = NO_LOG_FILE;
	else
		status = request(&o, argv);
	status_write_failed(status);
	options_free(&o);
	return status;
}
