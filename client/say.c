#include "client/say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <poll.h>

/* Longer lines are cut: no sentence of ours or of the daemon's comes near it. */
#define SAY_LINE_MAX 4096

static struct {
	int fd, level;
	bool crlf;
} out = {.fd = STDERR_FILENO};

void say_set_level(int level)
{
	out.level = level;
}

int say_level(void)
{
	return out.level;
}

void say_set_fd(int fd)
{
	out.fd = fd;
}

void say_set_crlf(bool crlf)
{
	out.crlf = crlf;
}

void say_raw(const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(out.fd, text, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			/* Somebody else made the shared description non-blocking. */
			struct pollfd p = {.fd = out.fd, .events = POLLOUT};
			if (poll(&p, 1, 1000) <= 0)
				return;
			continue;
		}
		if (n < 0)
			return; /* nowhere left to complain */
		text += n;
		len -= (size_t)n;
	}
}

/* text has room for two more bytes behind len. */
static void end_line(char *text, size_t len)
{
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (out.crlf)
		text[len++] = '\r';
	text[len++] = '\n';
	say_raw(text, len);
}

static void HW_PRINTF(1, 0) say_v(const char *fmt, va_list ap)
{
	static const char name[] = "hawser: ";
	char line[SAY_LINE_MAX + 2];
	size_t len = sizeof(name) - 1;

	memcpy(line, name, len);
	int n = vsnprintf(line + len, SAY_LINE_MAX - len, fmt, ap);
	if (n < 0)
		return;
	len += (size_t)n;
	if (len > SAY_LINE_MAX - 1)
		len = SAY_LINE_MAX - 1;
	end_line(line, len);
}

void say(const char *fmt, ...)
{
	va_list ap;

	if (out.level <= SAY_QUIET)
		return;
	va_start(ap, fmt);
	say_v(fmt, ap);
	va_end(ap);
}

void say_verbose(int level, const char *fmt, ...)
{
	va_list ap;

	if (out.level < level)
		return;
	va_start(ap, fmt);
	say_v(fmt, ap);
	va_end(ap);
}

void say_line(const char *text)
{
	char line[SAY_LINE_MAX + 2];
	size_t len = strlen(text);

	if (out.level <= SAY_QUIET)
		return;
	if (len > SAY_LINE_MAX)
		len = SAY_LINE_MAX;
	memcpy(line, text, len);
	end_line(line, len);
}
