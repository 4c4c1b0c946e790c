/* What a person asks of us by escapes on the terminal, in ssh's words. */
#include "client/live.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "client/background.h"
#include "client/commandline.h"
#include "client/local_command.h"
#include "client/request.h"
#include "client/say.h"
#include "client/tty.h"
#include "protocol/encode.h"

#define LINE_MAX_SIZE 1024

static void act(struct live *l, const char *verb, const char *option, const char *value)
{
	char *args[3] = {(char *)(uintptr_t)option, (char *)(uintptr_t)value, NULL};
	struct proto_action m = {.verb = (char *)(uintptr_t)verb, .args = args};
	size_t len;
	uint8_t *frame = proto_encode_action(REQUEST_NUMBER, &m, &len);

	live_send(l, frame, len);
}

/* The escape as it was typed, and what comes of it. */
static void show(const struct live *l, const char *name, const char *words)
{
	dprintf(STDERR_FILENO, "%c%s%s%s\r\n", l->relay.escape.ch, name, words[0] ? " " : "",
		words);
}

static void help(const struct live *l)
{
	char text[1024];

	escape_help(&l->relay.escape, l->commandline, text, sizeof(text));
	dprintf(STDERR_FILENO, "%s", text);
}

static void change_level(struct live *l, const char *name, int by)
{
	static const char *const levels[] = {"SILENT",	"FATAL", "ERROR",  "INFO",
					     "VERBOSE", "DEBUG", "DEBUG2", "DEBUG3"};
	char words[40] = "[Logging to syslog]";
	int level = (int)l->level + by;

	if (!say_is_elsewhere()) {
		if (level < PROTO_LEVEL_QUIET || level > PROTO_LEVEL_DEBUG3)
			level = (int)l->level;
		live_set_level(l, (enum proto_level)level);
		snprintf(words, sizeof(words), "[LogLevel %s]", levels[level]);
	}
	show(l, name, words);
}

static void disconnect(struct live *l)
{
	tty_restore();
	live_say_closed(l);
	live_done(l, HW_EXIT_FAILURE);
}

/* The session ends as soon as what runs in it has read the end of its input; forwarded connections
 * may take longer, and the caller does not wait for them. */
static void leave(struct live *l)
{
	l->raw = false;
	tty_restore();
	dprintf(STDERR_FILENO, "%c& [backgrounded]\n", l->relay.escape.ch);
	if (background_leave() < 0) {
		say("fork: %s", strerror(errno));
		live_raw(l);
		return;
	}
	relay_end_input(&l->relay);
}

static void run_line(struct live *l, const char *line)
{
	struct prompt_watch watch = live_watch(l);
	struct commandline c;

	commandline_parse(line, l->local_command, &c);
	switch (c.kind) {
	case COMMANDLINE_NOTHING:
		break;
	case COMMANDLINE_HELP:
		dprintf(STDERR_FILENO, "%s%s", commandline_help(),
			l->local_command ? commandline_help_run() : "");
		break;
	case COMMANDLINE_INVALID:
		dprintf(STDERR_FILENO, "%s\n", c.trouble);
		break;
	case COMMANDLINE_RUN:
		if (c.value[0] == '\0')
			break;
		signals_leave_terminal(&l->signals);
		(void)local_command_run(c.value, &watch);
		signals_take_terminal(&l->signals);
		break;
	case COMMANDLINE_FORWARD:
	case COMMANDLINE_CANCEL:
		act(l, c.kind == COMMANDLINE_FORWARD ? "forward" : "cancel", c.option, c.value);
		break;
	}
}

static void commandline(struct live *l)
{
	struct prompt_watch watch = live_watch(l);
	char line[LINE_MAX_SIZE];
	int signo;

	if (!l->commandline) {
		dprintf(STDERR_FILENO, "commandline disabled\r\n");
		return;
	}
	tty_restore();
	l->asking = true;
	if (prompt_line("\nssh> ", &watch, line, sizeof(line), &signo))
		run_line(l, line);
	l->asking = false;
	/* ^C takes the line back, not the session. */
	if (signo != 0 && signo != SIGINT)
		live_end_by_signal(l, signo);
	else if (l->end == LIVE_GOING && !l->got_exit)
		live_raw(l);
}

static void escape(struct live *l, enum escape_action action)
{
	switch (action) {
	case ESCAPE_DISCONNECT:
		disconnect(l);
		break;
	case ESCAPE_SUSPEND:
		show(l, "^Z", "[suspend ssh]");
		live_suspend(l);
		break;
	case ESCAPE_HELP:
		help(l);
		break;
	case ESCAPE_LIST:
		show(l, "#", "");
		act(l, "list", NULL, NULL);
		break;
	case ESCAPE_BACKGROUND:
		leave(l);
		break;
	case ESCAPE_BREAK:
		show(l, "B", "");
		act(l, "break", NULL, NULL);
		break;
	case ESCAPE_COMMANDLINE:
		commandline(l);
		break;
	case ESCAPE_REKEY:
		act(l, "rekey", NULL, NULL);
		break;
	case ESCAPE_QUIETER:
		change_level(l, "V", -1);
		break;
	case ESCAPE_LOUDER:
		change_level(l, "v", 1);
		break;
	case ESCAPE_NONE:
		break;
	}
}

void live_escapes(struct live *l)
{
	for (size_t i = 0; i < l->relay.nactions && l->end == LIVE_GOING && !l->got_exit; i++)
		escape(l, l->relay.actions[i]);
	l->relay.nactions = 0;
}
