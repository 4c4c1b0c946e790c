#include "client/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "client/clock.h"
#include "client/say.h"
#include "client/tty.h"

#define TICK_MS	  1000
#define TEXT_MAX  256
#define WIDTH_MIN 20
#define WIDTH	  80

static struct {
	bool on, shown;
	char text[TEXT_MAX];
	int64_t since, retry, due;
} line;

bool progress_begin(void)
{
	const char *term = getenv("TERM"), *wish = getenv("HAWSER_PROGRESS");

	line.on = say_level() > SAY_QUIET && isatty(STDERR_FILENO) && term != NULL &&
		  term[0] != '\0' && strcmp(term, "dumb") != 0 &&
		  (wish == NULL || strcmp(wish, "no") != 0);
	line.shown = false;
	line.text[0] = '\0';
	line.since = clock_ms();
	line.due = INT64_MAX;
	return line.on;
}

void progress_clear(void)
{
	static const char erase[] = "\r\x1b[K";

	if (!line.shown)
		return;
	line.shown = false;
	line.due = clock_ms() + TICK_MS;
	/* A job that is not in front leaves the terminal alone. */
	if (!tty_in_background(STDERR_FILENO))
		(void)!write(STDERR_FILENO, erase, sizeof(erase) - 1);
}

void progress_end(void)
{
	progress_clear();
	line.on = false;
	line.due = INT64_MAX;
}

void progress_set(const char *text, uint32_t retry_ms)
{
	int64_t now = clock_ms();
	size_t n = 0;

	if (!line.on)
		return;
	if (text[0] == '\0') {
		progress_clear();
		line.text[0] = '\0';
		line.due = INT64_MAX;
		return;
	}
	if (line.text[0] == '\0' && line.due == INT64_MAX)
		line.due = line.since + PROGRESS_AFTER_MS;
	/* Nothing in it may steer the terminal, and each byte takes one column. */
	for (; text[n] != '\0' && n + 1 < sizeof(line.text); n++)
		line.text[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
	line.text[n] = '\0';
	line.retry = retry_ms > 0 ? now + retry_ms : 0;
	if (line.shown)
		line.due = now;
}

int64_t progress_due(void)
{
	return line.on && line.text[0] != '\0' ? line.due : INT64_MAX;
}

void progress_step(void)
{
	struct proto_winsize size = {0};
	int64_t now = clock_ms();
	char out[TEXT_MAX + 64];
	int n;

	if (now < progress_due())
		return;
	line.due = now + TICK_MS;
	if (tty_in_background(STDERR_FILENO))
		return;
	if (!tty_size(STDERR_FILENO, &size) || size.cols == 0)
		size.cols = WIDTH;
	if (size.cols < WIDTH_MIN)
		return;
	n = snprintf(out, sizeof(out), "\r%s", line.text);
	if (line.retry > now)
		n += snprintf(out + n, sizeof(out) - (size_t)n, ", next try in %lld s",
			      (long long)((line.retry - now + 999) / 1000));
	else if (now - line.since >= 1000)
		n += snprintf(out + n, sizeof(out) - (size_t)n, ", %lld s",
			      (long long)((now - line.since) / 1000));
	/* The last column stays free: some terminals wrap when it is written. */
	if ((size_t)n > size.cols)
		n = (int)size.cols;
	n += snprintf(out + n, sizeof(out) - (size_t)n, "\x1b[K");
	line.shown = write(STDERR_FILENO, out, (size_t)n) > 0;
}
