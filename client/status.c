#include "client/status.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "client/json_text.h"
#include "client/say.h"
#include "client/signals.h"
#include "protocol/alloc.h"

/* For a reader who does not read. */
#define PATIENCE_MS 2000

static int status_fd = -1;

bool status_wanted(void)
{
	return status_fd >= 0;
}

static void open_fd(const struct options *o)
{
	const char *text = getenv("HAWSER_STATUS_FD");
	long fd = o->status_fd;
	char *end;

	if (fd < 0 && text != NULL && text[0] != '\0') {
		errno = 0;
		fd = strtol(text, &end, 10);
		if (errno != 0 || *end != '\0' || fd < 0 || fd > INT_MAX) {
			say("HAWSER_STATUS_FD=%s is no descriptor", text);
			return;
		}
	}
	if (fd < 0)
		return;
	/* Our own: ssh, which may take over, needs 1 and 2 even where they are the one. */
	status_fd = fcntl((int)fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (status_fd < 0)
		say("the descriptor %ld for the status is not open", fd);
	else if (fd > STDERR_FILENO)
		(void)fcntl((int)fd, F_SETFD, FD_CLOEXEC);
}

void status_open(const struct options *o)
{
	open_fd(o);
	/* It is about this call: a hawser in its ProxyCommand or LocalCommand has another end. */
	(void)unsetenv("HAWSER_STATUS_FD");
}

static void put_text(FILE *f, const char *text)
{
	if (text == NULL)
		fputs("null", f);
	else
		json_put_text(f, text);
}

static void put_member(FILE *f, const char *name, const char *text)
{
	fprintf(f, ", \"%s\": ", name);
	put_text(f, text);
}

/* One fact per line becomes a list. */
static void put_lines(FILE *f, const char *name, const char *lines)
{
	const char *between = "";

	fprintf(f, ", \"%s\": [", name);
	while (lines != NULL && *lines != '\0') {
		size_t len = strcspn(lines, "\n");
		char *line = xstrndup(lines, len);

		fputs(between, f);
		put_text(f, line);
		free(line);
		between = ", ";
		lines += len + (lines[len] != '\0');
	}
	fputc(']', f);
}

/* Not for ever: nobody may read there. A piece of PIPE_BUF goes into a pipe that poll() calls
 * writable. */
static bool put(const char *text, size_t len)
{
	struct pollfd p = {.fd = status_fd, .events = POLLOUT};

	while (len > 0) {
		size_t piece = len < PIPE_BUF ? len : PIPE_BUF;
		int ready = poll(&p, 1, PATIENCE_MS);
		ssize_t n;

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready == 0)
			errno = ETIMEDOUT;
		if (ready <= 0)
			return false;
		n = write(status_fd, text, piece);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return false;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	return true;
}

/* Ends the object that was begun in memory, and sends it. */
static void finish(FILE *f, char **text, const size_t *len)
{
	fputs("}\n", f);
	fclose(f);
	if (!put(*text, *len))
		say("the status could not be written: %s", strerror(errno));
	free(*text);
	status_fd = -1;
}

/* "true", "false" or "\"unknown\"": whether the command began. */
static const char *began(const struct live *l)
{
	const char *stage = l->exit.stage;

	if (stage == NULL) /* hawserd had no last word */
		return l->started ? "true" : "\"unknown\"";
	if (strcmp(stage, "running") == 0 || strcmp(stage, "done") == 0)
		return "true";
	return strcmp(stage, "sent") == 0 && l->exit.ran ? "\"unknown\"" : "false";
}

/* started: a JSON value. */
static void write_end(const struct proto_exit *e, int status, int signo, const char *started)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f;

	if (!status_wanted() || (f = open_memstream(&text, &len)) == NULL)
		return;
	fprintf(f, "{\"exit\": ");
	if (signo != 0)
		fputs("null", f);
	else
		fprintf(f, "%d", status);
	put_member(f, "signal", signo != 0 ? signals_name(signo) : e->signal);
	put_member(f, "stage", e->stage);
	fprintf(f, ", \"started\": %s", started);
	put_member(f, "transport", e->transport == 0 ? NULL : e->reused ? "reused" : "new");
	fprintf(f, ", \"transport_id\": %u", e->transport);
	put_member(f, "cause", e->cause);
	put_member(f, "error", e->error);
	put_member(f, "hint", e->hint);
	put_lines(f, "evidence", e->evidence);
	finish(f, &text, &len);
}

void status_write(const struct live *l, int status, int signo)
{
	write_end(&l->exit, status, signo, began(l));
}

void status_write_handed_over(const char *why)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f;

	if (!status_wanted() || (f = open_memstream(&text, &len)) == NULL)
		return;
	fputs("{\"handed_to\": \"ssh\"", f);
	put_member(f, "why", why);
	finish(f, &text, &len);
}

void status_write_failed(int status)
{
	const struct proto_exit none = {0};

	write_end(&none, status, 0, "false");
}
