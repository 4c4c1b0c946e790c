#include "client/ctl.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "client/clock.h"
#include "client/connect.h"
#include "client/ctl_journal.h"
#include "client/ctl_lock.h"
#include "client/ctl_print.h"
#include "client/ctl_reply.h"
#include "protocol/alloc.h"
#include "protocol/encode.h"
#include "protocol/frame.h"

#define CTL_REQUEST 1u
/* The daemon answers from memory; longer means that it is stuck. */
#define CTL_REPLY_MS 10000
/* Beyond the time that a stop may take to drain. */
#define CTL_STOP_MORE_MS 5000

static const char usage_text[] =
	"usage: hawserctl [--json] list\n"
	"       hawserctl [--json] status [HOST]\n"
	"       hawserctl [--json] close HOST [--force]\n"
	"       hawserctl [--json] stop [--now]\n"
	"       hawserctl [--json] loglevel [error|warn|info|debug|trace]\n"
	"       hawserctl [--json] lock [--drain]\n"
	"       hawserctl [--json] unlock\n"
	"       hawserctl [--json] forget [HOST]\n"
	"       hawserctl [--json] doctor [ssh's options] HOST\n"
	"       hawserctl [--json] log [HOST] [-n LINES|all]\n"
	"       hawserctl [--json] why [HOST]\n"
	"       hawserctl --help | --version\n"
	"\n"
	"list      the transports that hawserd holds\n"
	"status    all about the transports to HOST; without HOST, about hawserd\n"
	"close     close the transports to HOST once their sessions have ended (--force: now)\n"
	"stop      stop hawserd once the live sessions have ended, or their time is over\n"
	"          (--now: at once)\n"
	"loglevel  show or change how much hawserd logs\n"
	"lock      close all transports and refuse what needs one (--drain: let what runs end)\n"
	"unlock    the end of that\n"
	"doctor    look at all that stands between here and a shell on HOST\n"
	"forget    forget what was learnt of HOST, or of all: quiet times, limits, round trips\n"
	"log       what happened to connections and requests, the newest 50 lines (-n: how many)\n"
	"why       all about the last end of a connection or request\n";

/* What the command line of each verb looks like. */
static const struct verb {
	const char *name;
	size_t min, max;  /* words behind it */
	const char *flag; /* its one option: CONTROL carries it without the dashes; a short one
			     has a value, and is ours */
	bool table;	  /* of transports */
	bool memory;	  /* of what outlives hawserd: one is started for it */
} verbs[] = {
	{"list", 0, 0, NULL, true, false},	  {"status", 0, 1, NULL, false, false},
	{"close", 1, 1, "--force", false, false}, {"stop", 0, 0, "--now", false, false},
	{"loglevel", 0, 1, NULL, false, false},	  {"lock", 0, 0, "--drain", false, false},
	{"unlock", 0, 0, NULL, false, false},	  {"forget", 0, 1, NULL, false, true},
	{"log", 0, 1, "-n", false, true},	  {"why", 0, 1, NULL, false, true},
};

void ctl_usage(int fd)
{
	dprintf(fd, "%s", usage_text);
}

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < HW_ARRAY_LEN(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static bool wrong(const char *fmt, const char *word)
{
	fputs("hawserctl: ", stderr);
	fprintf(stderr, fmt, word);
	fputs("\n", stderr);
	ctl_usage(STDERR_FILENO);
	return false;
}

static bool takes_value(const struct verb *verb)
{
	return verb->flag != NULL && verb->flag[1] != '-';
}

/* log's -n. */
static bool parse_lines(struct ctl *c, const char *text)
{
	char *end;

	if (text == NULL)
		return wrong("%s", "-n needs a number");
	errno = 0;
	unsigned long n = strtoul(text, &end, 10);
	if (strcmp(text, "all") == 0)
		c->lines = SIZE_MAX;
	else if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || n == 0)
		return wrong("-n needs a number of lines, not %s", text);
	else
		c->lines = n;
	return true;
}

bool ctl_parse(struct ctl *c, int argc, char **argv)
{
	const struct verb *verb = NULL;
	bool flag = false;

	memset(c, 0, sizeof(*c));
	c->lines = CTL_LOG_LINES;
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];

		if (strcmp(word, "--json") == 0) {
			c->json = true;
		} else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
			c->help = true;
		} else if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
			c->version = true;
		} else if (verb != NULL && verb->flag != NULL && !takes_value(verb) &&
			   strcmp(word, verb->flag) == 0) {
			flag = true;
		} else if (verb != NULL && takes_value(verb) && strncmp(word, verb->flag, 2) == 0) {
			if (!parse_lines(c, word[2] != '\0' ? word + 2 : argv[++i]))
				return false;
		} else if (word[0] == '-') {
			return wrong("unknown option %s", word);
		} else if (verb == NULL) {
			verb = find_verb(word);
			if (verb == NULL)
				return wrong("unknown command %s", word);
		} else if (c->nargs == verb->max) {
			return wrong("%s is one word too many", word);
		} else {
			c->args[c->nargs++] = word;
		}
	}
	if (c->help || c->version)
		return true;
	if (verb == NULL)
		return wrong("%s", "say what to do");
	if (c->nargs < verb->min)
		return wrong("%s needs the name of a host", verb->name);
	if (flag)
		c->args[c->nargs++] = verb->flag + 2;
	c->verb = verb->name;
	return true;
}

static bool wait_for(int sock, short events, int64_t deadline)
{
	struct pollfd p = {.fd = sock, .events = events};
	int n;

	do {
		n = poll(&p, 1, clock_left(deadline));
	} while (n < 0 && errno == EINTR);
	return n > 0;
}

static int send_control(int sock, const char *verb, const char *const *args, int64_t deadline)
{
	struct proto_control m = {.minor = PROTO_MINOR,
				  .verb = (char *)(uintptr_t)verb,
				  .args = (char **)(uintptr_t)args};
	size_t len, at = 0, sent;
	uint8_t *frame = proto_encode_control(CTL_REQUEST, &m, &len);

	if (frame == NULL)
		return HW_ETOOBIG;
	int r = HW_OK;
	while (at < len && r == HW_OK) {
		r = frame_send(sock, frame + at, len - at, NULL, 0, &sent);
		if (r == HW_OK)
			at += sent;
		else if (r == HW_EAGAIN)
			r = wait_for(sock, POLLOUT, deadline) ? HW_OK : HW_ETIMEOUT;
	}
	free(frame);
	return r;
}

/* The next message of the daemon that is a REPLY, or an ERROR as a failed one. */
static int receive(int sock, struct frame_reader *in, int64_t deadline, struct ctl_reply *out)
{
	const uint8_t *payload;
	struct proto_message m;
	size_t len;
	int r;

	for (;;) {
		r = frame_next(in, &payload, &len);
		if (r == HW_EAGAIN) {
			if (!wait_for(sock, POLLIN, deadline))
				return HW_ETIMEOUT;
			r = frame_recv(in, sock);
			if (r < 0 && r != HW_EAGAIN)
				return r;
			continue;
		}
		if (r < 0 || (r = proto_parse(payload, len, &m)) < 0)
			return r;
		struct proto_error e;
		bool done = true;
		if (m.type == PROTO_REPLY) {
			r = ctl_reply_decode(out, &m);
		} else if (m.type == PROTO_ERROR) {
			r = proto_decode_error(&m, &e);
			if (r == HW_OK) {
				out->error = e.text;
				e.text = NULL;
				proto_error_free(&e);
			}
		} else {
			done = false;
		}
		proto_message_finish(&m);
		if (done)
			return r;
	}
}

int ctl_ask(int sock, struct frame_reader *in, const char *verb, const char *const *args,
	    struct ctl_reply *out)
{
	int64_t deadline = clock_ms() + CTL_REPLY_MS;
	int r = send_control(sock, verb, args, deadline);

	memset(out, 0, sizeof(*out));
	return r == HW_OK ? receive(sock, in, deadline, out) : r;
}

/* stop: the daemon has gone when it closes our connection. */
static bool wait_for_end(int sock, struct frame_reader *in, const struct ctl_reply *r)
{
	const struct reply_value *drain = r->nitems > 0 ? ctl_reply_get(r, 0, "drain_ms") : NULL;
	int64_t ms = drain != NULL && drain->kind == 'u' && drain->uint < 3600000
			     ? (int64_t)drain->uint
			     : 0;
	int64_t deadline = clock_ms() + ms + CTL_STOP_MORE_MS;

	while (wait_for(sock, POLLIN, deadline)) {
		const uint8_t *payload;
		size_t len;
		int got = frame_recv(in, sock);
		if (got == HW_EOF || got == HW_ESYS)
			return true;
		while (got == HW_OK && frame_next(in, &payload, &len) == HW_OK)
			;
	}
	return false;
}

void ctl_print_failure(const struct ctl *c, const struct ctl_reply *r)
{
	if (c->json)
		ctl_print_json(stdout, r);
	else
		fprintf(stderr, "hawserctl: %s\n", r->error != NULL ? r->error : "refused");
}

static void print(const struct ctl *c, const struct ctl_reply *r)
{
	const struct verb *verb = find_verb(c->verb);

	if (c->json) {
		ctl_print_json(stdout, r);
	} else if (!r->ok) {
		ctl_print_failure(c, r);
	} else if (verb->table && r->nitems == 0) {
		puts(ctl_is_locked()
			     ? "hawserd holds no transports: it is locked (hawserctl unlock)"
			     : "hawserd holds no transports");
	} else if (verb->table) {
		ctl_print_table(stdout, r);
	} else {
		ctl_print_blocks(stdout, r);
	}
}

static int HW_PRINTF(2, 3) fail(const struct ctl *c, const char *fmt, ...)
{
	struct ctl_reply r = {.ok = false};
	va_list ap;

	va_start(ap, fmt);
	r.error = xvasprintf(fmt, ap);
	va_end(ap);
	print(c, &r);
	free(r.error);
	return CTL_EXIT_FAILED;
}

static bool is_lock(const struct ctl *c)
{
	return strcmp(c->verb, "lock") == 0;
}

static bool is_unlock(const struct ctl *c)
{
	return strcmp(c->verb, "unlock") == 0;
}

/* lock and unlock: first the file, which a hawserd that starts in this moment finds, then the one
 * that runs, if one does, is told. */
static int lock_file(const struct ctl *c)
{
	char why[512];

	if (ctl_lock_file(is_lock(c), why, sizeof(why)) == HW_OK)
		return 0;
	return fail(c, "%s", why);
}

/* Nothing is held. */
static int locked_without_daemon(const struct ctl *c)
{
	struct ctl_reply done = {.ok = true};

	if (c->json)
		ctl_print_json(stdout, &done);
	else
		printf("%s; no hawserd is running\n", is_lock(c) ? "locked" : "unlocked");
	return 0;
}

/* For `list` that is an answer. */
static int no_daemon(const struct ctl *c)
{
	static const char text[] = "no hawserd is running";
	struct ctl_reply none = {.ok = true};

	if (is_lock(c) || is_unlock(c))
		return locked_without_daemon(c);
	if (strcmp(c->verb, "list") != 0)
		return fail(c, "%s", text);
	if (c->json)
		ctl_print_json(stdout, &none);
	else
		puts(text);
	return 0;
}

static int exchange(const struct ctl *c, int sock)
{
	struct ctl_reply reply = {0};
	struct frame_reader in;
	bool journal = ctl_is_journal(c);
	int status = 0;

	frame_reader_init(&in);
	int r = journal ? ctl_journal(c, sock, &in, &status)
			: ctl_ask(sock, &in, c->verb, c->args, &reply);
	if (r == HW_EOF || (r == HW_ESYS && errno == ECONNRESET))
		status = no_daemon(c); /* it left just as we came */
	else if (r == HW_ETIMEOUT)
		status = fail(c, "hawserd (pid %ld) does not answer; end it with `kill -9 %ld`",
			      connect_peer_pid(sock), connect_peer_pid(sock));
	else if (r < 0)
		status = fail(c, "hawserd gave no answer: %s", hw_strerror(r));
	else if (!journal)
		print(c, &reply);
	if (r == HW_OK && !reply.ok && !journal)
		status = CTL_EXIT_FAILED;
	if (r == HW_OK && reply.ok && strcmp(c->verb, "stop") == 0 &&
	    !wait_for_end(sock, &in, &reply)) {
		fprintf(stderr, "hawserctl: hawserd (pid %ld) has not ended yet\n",
			connect_peer_pid(sock));
		status = CTL_EXIT_FAILED;
	}
	ctl_reply_free(&reply);
	frame_reader_finish(&in);
	return status;
}

int ctl_run(const struct ctl *c)
{
	char why[512];
	int sock;

	if ((is_lock(c) || is_unlock(c)) && lock_file(c) != 0)
		return CTL_EXIT_FAILED;
	int r = connect_daemon(find_verb(c->verb)->memory, &sock, why, sizeof(why));
	if (r == HW_ENOENT)
		return no_daemon(c);
	if (r < 0)
		return fail(c, "%s", why);
	int status = exchange(c, sock);
	close(sock);
	/* A full disk must not look like success. */
	if (fflush(stdout) != 0) {
		fprintf(stderr, "hawserctl: cannot write: %s\n", strerror(errno));
		status = CTL_EXIT_FAILED;
	}
	return status;
}
