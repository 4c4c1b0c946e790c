/* A shell or command that survives its connection: at the server it runs inside tmux, screen, dtach
 * or abduco; when the connection is lost the request waits for another, and attaches to it again.
 * It is started at most once: all but the first command are attach-only. */
#include "daemon/session_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config_host.h"
#include "daemon/marker.h"
#include "protocol/alloc.h"

#define NAME_BYTES 16
/* Bytes: Linux takes no word of more than 128 KiB in a command line. */
#define CODED_MAX ((size_t)100 * 1024)
/* A server that takes logins and drops them soon is not logged in to as fast as that goes. */
#define SOON_MS	       (30 * 1000)
#define LOSSES_FREE    16
#define LOSSES_WAIT_MS (5 * 1000)
#define UNSEEN_WAIT_MS 1000 /* lost anew, without having been attached */
/* So long after it said something, a server that does not attach is taken to ask for input. */
#define QUIET_MS 2000
/* A byte that could begin a marker is no keystroke's answer withheld for longer. */
#define HELD_MS 100
/* What the script says behind its marker: what keeps it, or that nothing does. */
#define SAYS_TMUX   't'
#define SAYS_SCREEN 's'
#define SAYS_DTACH  'd'
#define SAYS_ABDUCO 'a'
#define SAYS_PLAIN  'p'

struct session_sticky {
	struct session *session;
	uv_timer_t quiet;
	struct marker marker;
	char said;		       /* SAYS_...; '\0': nothing yet */
	bool attaching;		       /* said by the script of this channel */
	char name[2 * NAME_BYTES + 1]; /* nobody guesses it: a directory of /tmp is made by it */
	char *command;		       /* what the channel is asked to run */
	bool sent;		       /* from now on: attach, never start */
	bool ran;		       /* a server said that it runs */
	bool untrusted;		       /* so was the first */
	bool away;
	bool left;	  /* it is not ours to end */
	uint64_t away_ms; /* since when, loop time */
	uint64_t lost_ms; /* the last time */
	unsigned losses;  /* soon one after the other */
	char *hint;
};

/* Before it gives the terminal away, or runs what does not survive, the script says so: by a byte
 * behind \001 and the name, which hawserd takes out of the output. A server whose forced command
 * runs no script of ours never does. Till then, what is typed meets nobody who would know it for
 * input: a login shell that is on its way to the script dies of ^C.
 *
 * $1: this text (not $0, which sh says before its errors), $2: start, attach or (within the
 * multiplexer) inner, $3: the name, $4: shell or command, $5: the command, for printf %b (not to
 * attach), $6: within, the user's umask. It stands
 * within single quotes for the login shell, be it sh, csh or fish: so it has no single quote,
 * exclamation mark or line end, and no backslash before one. /tmp/hawser-NAME, made by us with mode
 * 700, holds the multiplexer's socket and settings, which multiplexer it is, the last screen, and a
 * file that is called run, then run.PID, and in the end status.STATUS: a name can be changed where
 * the disk has no room for another. Their sticky bit tells systemd-tmpfiles to let them be. */
static const char script[] =
	"T=$1; m=$2; n=$3; k=$4; e=$5; u=${6:-$(umask)}; umask 077; d=/tmp/hawser-$n; "
	"E=\"eval \\\"\\$1\\\"\"; "
	"S=${SHELL:-/bin/sh}; "
	"t=\"tmux -u -S $d/t -f $d/conf\"; s=\"screen -U -c $d/conf\"; "
	"say() { echo \"hawser: $*\" >&2; }; "
	"mark() { printf \"\\001%s%.1s\" $n $1; }; "
	"over() { [ -e $d/status.* ]; }; "
	"run() { umask $u; if [ $k = shell ]; then \"$S\" -l; else \"$S\" -c \"$(printf %b "
	"\"$e\")\"; fi; }; "
	/* Within: run it, keep what the screen shows, then tell the status. */
	"if [ $m = inner ]; then trap : INT QUIT; x=$(cat $d/kind); "
	"unset TMUX TMUX_PANE STY WINDOW SCREENDIR ABDUCO_SESSION ABDUCO_SOCKET_DIR; "
	"mv -f $d/run $d/run.$$; run; r=$?; h=; "
	"case $x in "
	"tmux) [ $k = shell ] || h=\"-J -S -\"; $t capture-pane -p -e $h >$d/screen;; "
	"screen) [ $k = shell ] || h=-h; SCREENDIR=$d screen -S h -X hardcopy $h $d/screen; "
	"for i in 1 2 3 4 5 6 7 8 9; do [ -e $d/screen ] && break; sleep 0.1; done;; "
	"esac >/dev/null 2>&1; "
	"mv -f $d/run.$$ $d/status.$r; exit $r; fi; "
	/* ^C that was typed while away is not for the script. */
	"[ $m = attach ] && trap \"\" INT QUIT; "
	/* Which multiplexer? */
	"if [ $m = start ]; then if [ -e $d ] || [ -h $d ]; then exit 255; fi; "
	"for x in tmux screen dtach abduco none; do command -v $x >/dev/null 2>&1 && break; done; "
	"if mkdir $d && echo $x >$d/kind && true >$d/run; then "
	"chmod +t $d/kind $d/run 2>/dev/null; else rm -rf $d; "
	"say \"$d can not be made: the $k does not survive its connection\"; mark p; run; exit; "
	"fi; "
	"elif [ -s $d/kind ] && [ -O $d ]; then x=$(cat $d/kind); "
	"elif mark p; [ -e $d ]; then "
	"say \"$d was damaged: the $k can not be attached to\"; exit 255; "
	"else say \"the $k is not there any more: it was ended, or the host was restarted\"; "
	"say \"start it anew\"; exit 255; fi; "
	"if [ $x = none ]; then rm -rf $d; "
	"say \"this host has none of tmux, screen, dtach and abduco: "
	"the $k does not survive its connection\"; "
	"say \"install one of them there, tmux if you can choose\"; mark p; run; exit; fi; "
	/* The agent is lent anew with each channel: those within keep one name for it. */
	"a=$SSH_AUTH_SOCK; "
	"if [ -n \"$a\" ]; then ln -sf \"$a\" $d/agent; "
	"SSH_AUTH_SOCK=$d/agent; fi; "
	"mark $x; if over; then :; else case $x.$m in "
	"tmux.start) printf \"%s\\n\" \"set -g status off\" \"set -g prefix None\" "
	"\"set -g prefix2 None\" \"unbind -a -T root\" \"unbind -a -T prefix\" "
	"\"set -g mouse off\" \"set -s escape-time 0\" \"set -g history-limit 10000\" "
	"\"set -g default-terminal screen-256color\" \"set -g destroy-unattached off\" "
	"\"set -g remain-on-exit off\" \"set -g allow-rename off\" \"set -s exit-empty on\" "
	">$d/conf; chmod +t $d/conf 2>/dev/null; "
	"$t new-session sh -c \"$E\" hawser \"$T\" inner $n $k \"$e\" $u >/dev/null;; "
	"tmux.*) $t attach -d >/dev/null;; "
	"screen.start) printf \"%s\\n\" \"startup_message off\" \"escape \\\\377\\\\377\" "
	"\"defscrollback 10000\" \"vbell off\" \"autodetach on\" \"altscreen on\" "
	">$d/conf; chmod +t $d/conf 2>/dev/null; "
	"SCREENDIR=$d $s -S h sh -c \"$E\" hawser \"$T\" inner $n $k \"$e\" $u;; "
	"screen.*) SCREENDIR=$d $s -d -r h;; "
	"dtach.start) dtach -c $d/t -E -z -r winch sh -c \"$E\" hawser \"$T\" inner $n $k \"$e\" "
	"$u;; "
	"dtach.*) dtach -a $d/t -E -z -r winch;; "
	"abduco.start) ABDUCO_SOCKET_DIR=$d abduco -e \"$(printf \"\\377\")\" -c h "
	"sh -c \"$E\" hawser \"$T\" inner $n $k \"$e\" $u;; "
	"abduco.*) ABDUCO_SOCKET_DIR=$d abduco -e \"$(printf \"\\377\")\" -a h;; "
	"esac; fi; "
	/* Detached by somebody? What ends meanwhile has a status, or takes a moment to die and to
	 * be buried. */
	"p=$(echo $d/run.*); p=${p##*.}; for i in 1 2 3 4 5 6 7 8 9 z; do "
	"over && break; kill -0 \"$p\" 2>/dev/null || break; "
	"if [ $i = z ]; then say \"detached from the $k, which still runs there, in $d\"; "
	"exit 255; fi; case $i in [1-5]) sleep 0.1;; *) sleep 0.5;; esac; done; "
	/* Over, one way or the other. */
	"if over; then r=$(echo $d/status.*); r=${r##*.}; "
	"o=$(cat $d/screen 2>/dev/null); [ -n \"$o\" ] && printf \"%s\\n\" \"$o\"; "
	"exit ${r:-255}; fi; "
	"if [ $m = start ] && [ -e $d/run ]; then rm -rf $d; "
	"if [ -n \"$a\" ]; then SSH_AUTH_SOCK=$a; fi; "
	"say \"$x did not start: the $k does not survive its connection\"; mark p; run; exit; fi; "
	"say \"the $k was ended from outside\"; exit 255";

/* $2: the name. Ends what runs there, as the end of a connection ends a shell, and takes it away;
 * $3: end, or clean, which lets live what still runs, or may. */
static const char end_script[] =
	"d=/tmp/hawser-$2; [ -d $d ] && [ -O $d ] || exit 0; "
	"p=$(echo $d/run.*); p=${p##*.}; "
	"if [ -e $d/status.* ]; then p=; "
	"elif [ $3 = clean ] && { [ \"$p\" = \"*\" ] || kill -0 \"$p\"; }; then exit 0; fi "
	"2>/dev/null; "
	"if [ -n \"$p\" ]; then case $(cat $d/kind) in "
	"tmux) tmux -S $d/t kill-server;; "
	"screen) SCREENDIR=$d screen -S h -X quit;; "
	"*) kill \"$p\";; "
	"esac; fi >/dev/null 2>&1; rm -rf $d";

/* For printf %b in the words of any shell: all that could mean something is written in octal. */
static char *encode(const char *command)
{
	size_t size = strlen(command) * 5 + 1;
	char *out = xmalloc(size), *at = out;

	for (const unsigned char *p = (const unsigned char *)command; *p != '\0'; p++) {
		if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
		    (*p >= '0' && *p <= '9') || *p == ' ' || *p == '/' || *p == '.')
			*at++ = (char)*p;
		else
			at += snprintf(at, size - (size_t)(at - out), "\\0%03o", *p);
	}
	*at = '\0';
	return out;
}

static char *coded_command(const struct session *s)
{
	const char *command = s->request.words.command != NULL ? s->request.words.command
							       : s->dest->remote_command;

	return command != NULL ? encode(command) : NULL;
}

static void set_command(struct session *s)
{
	struct session_sticky *k = s->sticky;
	char *coded = coded_command(s);

	free(k->command);
	k->command = xasprintf("exec sh -c 'eval \"$1\"' hawser '%s' %s %s %s '%s'", script,
			       k->sent ? "attach" : "start", k->name,
			       coded != NULL ? "command" : "shell",
			       coded != NULL && !k->sent ? coded : "");
	free(coded);
	s->wanted.kind = CHANNEL_EXEC;
	s->wanted.command = k->command;
}

static bool is_too_long(const struct session *s)
{
	char *coded = coded_command(s);
	bool too_long = coded != NULL && strlen(coded) > CODED_MAX;

	free(coded);
	return too_long;
}

void session_sticky_prepare(struct session *s)
{
	struct session_sticky *k;
	struct config_host host;
	uint8_t random[NAME_BYTES];

	config_for_host(&s->app->config, s->dest->typed, s->dest->hostname, &host);
	if ((!(s->request.words.flags & PROTO_STICKY) && !host.sticky) ||
	    s->wanted.kind == CHANNEL_SUBSYSTEM)
		return;
	if (!s->tty) {
		session_notice(s, 1,
			       "hawser: without a terminal nothing can be attached again: this "
			       "command does not survive its connection");
		return;
	}
	if (is_too_long(s)) {
		session_notice(s, 0,
			       "hawser: the command is too long to be kept: it does not survive "
			       "its connection");
		return;
	}
	if (uv_random(NULL, NULL, random, sizeof(random), 0, NULL) != 0) {
		session_notice(s, 0, "hawser: no random bytes: the shell does not survive");
		return;
	}
	k = s->sticky = xcalloc(1, sizeof(*k));
	k->session = s;
	uv_timer_init(s->app->loop, &k->quiet);
	uv_unref((uv_handle_t *)&k->quiet);
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(k->name + 2 * i, 3, "%02x", random[i]);
	k->marker.len = (size_t)snprintf(k->marker.text, sizeof(k->marker.text), "\001%s", k->name);
	s->wanted.term_needed = true;
	free(s->stty); /* of a terminal that the multiplexer sets as it wants */
	s->stty = NULL;
	set_command(s);
}

bool session_sticky_comes_back(const struct cause *why)
{
	return why->cls != CAUSE_DAEMON_STOPPED && why->cls != CAUSE_CLOSED_BY_USER &&
	       why->cls != CAUSE_LOCKED && why->cls != CAUSE_LIMIT;
}

void session_sticky_count_loss(struct session *s)
{
	struct session_sticky *k = s->sticky;
	uint64_t now = uv_now(s->app->loop);

	k->losses = now - k->lost_ms < SOON_MS ? k->losses + 1 : 0;
	k->lost_ms = now;
	if (k->losses > LOSSES_FREE)
		s->delay_ms = LOSSES_WAIT_MS;
	else if (k->away)
		s->delay_ms = UNSEEN_WAIT_MS;
}

bool session_sticky_again(struct session *s, const struct channel_end *end)
{
	struct session_sticky *k = s->sticky;

	if (!session_sticky_stays(s) || !end->sent || !session_sticky_comes_back(&end->why))
		return false;
	session_sticky_count_loss(s);
	if (!k->away) {
		session_notice(s, 0, "hawser: %s; reconnecting (%s ends it)", end->why.text, "~.");
		k->away_ms = k->lost_ms;
		if (!s->running)
			session_step(s, STEP_SENT);
	}
	k->away = k->sent = true;
	set_command(s);
	return true;
}

bool session_sticky_runs(struct session *s)
{
	struct session_sticky *k = s->sticky;
	bool told;

	if (k == NULL)
		return false;
	told = k->ran;
	k->ran = k->sent = true;
	return told;
}

void session_sticky_turn(struct session *s)
{
	struct session_sticky *k = s->sticky;

	if (k == NULL || !k->away || !k->attaching)
		return;
	k->away = false;
	if (k->said == SAYS_PLAIN)
		return; /* the script says what it found in place of the shell */
	session_notice(s, 0, "hawser: attached to %s again after %.0f s", s->dest->label,
		       (double)(uv_now(s->app->loop) - k->away_ms) / 1e3);
}

static void on_quiet(uv_timer_t *timer);

/* Output for the terminal. That behind the marker shows that the multiplexer has set it up. */
static void pass(struct session *s, int stream, const void *data, size_t len)
{
	struct session_sticky *k = s->sticky;

	if (len == 0)
		return;
	(void)bridge_data(&s->bridge, stream, data, len, true);
	if (k->attaching)
		bridge_let_go(&s->bridge);
	else if (s->bridge.holding)
		uv_timer_start(&k->quiet, on_quiet, QUIET_MS, 0);
}

/* What was held back as a part of a marker is none. */
static void pass_matched(struct session *s)
{
	struct session_sticky *k = s->sticky;

	pass(s, 1, k->marker.text, k->marker.matched);
	k->marker.matched = 0;
}

static void on_quiet(uv_timer_t *timer)
{
	struct session *s = hw_container_of(timer, struct session_sticky, quiet)->session;

	if (s->channel == NULL)
		return;
	pass_matched(s);
	bridge_let_go(&s->bridge);
}

bool session_sticky_data(struct session *s, int stream, const uint8_t *data, size_t len, bool must)
{
	struct session_sticky *k = s->sticky;
	struct marker_step step;

	if (k->said == SAYS_PLAIN)
		return bridge_data(&s->bridge, stream, data, len, must);
	if (!bridge_data(&s->bridge, stream, data, 0, must))
		return false;
	for (size_t at = 0; at < len;) {
		size_t seen = marker_scan(&k->marker, data + at, len - at, &step);

		pass(s, stream, k->marker.text, step.held);
		pass(s, stream, data + at, step.passed);
		at += seen;
		if (step.word == '\0')
			continue;
		k->said = step.word;
		k->attaching = true;
		channel_touch(s->channel); /* its turn tells */
	}
	if (k->marker.matched > 0 && !s->bridge.holding)
		uv_timer_start(&k->quiet, on_quiet, HELD_MS, 0);
	return true;
}

void session_sticky_flush(struct session *s)
{
	struct session_sticky *k = s->sticky;

	if (k == NULL)
		return;
	pass_matched(s);
	k->attaching = false;
	uv_timer_stop(&k->quiet);
}

bool session_sticky_stays(const struct session *s)
{
	const struct session_sticky *k = s->sticky;

	return k != NULL && k->said != SAYS_PLAIN && k->said != '\0';
}

bool session_sticky_is_away(const struct session *s)
{
	return s->sticky != NULL && s->sticky->away;
}

bool session_sticky_may_attach(struct session *s, const struct transport *t, struct cause *why)
{
	struct session_sticky *k = s->sticky;

	if (k == NULL || !transport_untrusted(t))
		return true;
	if (!k->sent)
		k->untrusted = true; /* the user was told, and let it be */
	if (k->untrusted)
		return true;
	cause_set(why, CAUSE_HOSTKEY_CHANGED,
		  "%s has another host key than before: the shell is not attached again",
		  s->dest->label);
	cause_hint(why, "see the warning about the host key");
	return false;
}

/* What to do about a host key comes before a visit. */
static bool is_first(const struct session *s)
{
	return s->ended_by == CAUSE_HOSTKEY_CHANGED || s->ended_by == CAUSE_HOSTKEY_REVOKED ||
	       s->ended_by == CAUSE_HOSTKEY_UNKNOWN;
}

/* The command that attaches to it; on the heap. */
static char *attach_by_hand(const struct session_sticky *k)
{
	switch (k->said) {
	case SAYS_SCREEN:
		return xasprintf("SCREENDIR=/tmp/hawser-%s screen -d -r h", k->name);
	case SAYS_DTACH:
		return xasprintf("dtach -a /tmp/hawser-%s/t", k->name);
	case SAYS_ABDUCO:
		return xasprintf("ABDUCO_SOCKET_DIR=/tmp/hawser-%s abduco -a h", k->name);
	default:
		return xasprintf("tmux -S /tmp/hawser-%s/t attach", k->name);
	}
}

const char *session_sticky_leave(struct session *s, const char *hint)
{
	struct session_sticky *k = s->sticky;
	char *by_hand;

	if (!session_sticky_stays(s))
		return hint;
	k->left = true;
	free(k->hint);
	by_hand = attach_by_hand(k);
	k->hint = xasprintf("%s%sit still runs there: `%s`", is_first(s) ? hint : "",
			    is_first(s) ? "; " : "", by_hand);
	free(by_hand);
	return k->hint;
}

static void on_closed(uv_handle_t *handle)
{
	free(hw_container_of(handle, struct session_sticky, quiet));
}

/* It left something at the server that is ours to end. A forced command is not run for that. */
static bool is_ours(const struct session *s)
{
	return session_sticky_stays(s) && !s->sticky->left;
}

void session_sticky_finish(struct session *s)
{
	struct session_sticky *k = s->sticky;

	if (k == NULL)
		return;
	if (is_ours(s))
		session_errand(s,
			       xasprintf("exec sh -c 'eval \"$1\"' hawser '%s' %s %s", end_script,
					 k->name, s->step == STEP_DONE ? "clean" : "end"));
	s->sticky = NULL;
	free(k->command);
	free(k->hint);
	uv_close((uv_handle_t *)&k->quiet, on_closed);
}
