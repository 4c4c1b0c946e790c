#include "client/say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>
#include "client/progress.h"
#include "protocol/utf8.h"

/* Longer lines are cut: no sentence of ours or of the daemon's comes near it. */
#define SAY_LINE_MAX 4096

static struct {
	int fd, level, log;
	bool crlf, syslog;
} out = {.fd = STDERR_FILENO, .log = -1};

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

void say_set_syslog(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};

	out.syslog = true;
	/* By hand: syslog(3) would make every start of a static program dearer. */
	out.log = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (out.log >= 0 && connect(out.log, (const struct sockaddr *)&sun, sizeof(sun)) < 0) {
		close(out.log);
		out.log = -1; /* no syslog here: the words are lost, as ssh's are */
	}
}

bool say_is_elsewhere(void)
{
	return out.syslog || out.fd != STDERR_FILENO;
}

void say_set_crlf(bool crlf)
{
	out.crlf = crlf;
}

static void put(int fd, const char *text, size_t len)
{
	progress_clear();
	while (len > 0) {
		ssize_t n = write(fd, text, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			/* Somebody else made the shared description non-blocking. */
			struct pollfd p = {.fd = fd, .events = POLLOUT};
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

void say_stderr(const char *text, size_t len)
{
	put(STDERR_FILENO, text, len);
}

/* Facility USER, as SyslogFacility's default is; the receiver puts the time to it. */
static void log_line(const char *text, size_t len)
{
	char packet[SAY_LINE_MAX + 64];
	int n = snprintf(packet, sizeof(packet), "<%d>ssh[%ld]: %.*s", LOG_USER | LOG_INFO,
			 (long)getpid(), (int)len, text);

	if (out.log >= 0 && n > 0)
		(void)!send(out.log, packet,
			    (size_t)n < sizeof(packet) ? (size_t)n : sizeof(packet), MSG_NOSIGNAL);
}

void say_raw(const char *text, size_t len)
{
	if (!out.syslog) {
		put(out.fd, text, len);
		return;
	}
	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t line = end != NULL ? (size_t)(end - text) : len;

		log_line(text, line);
		line += end != NULL;
		text += line;
		len -= line;
	}
}

/* text has room for two more bytes behind len. */
static void end_line(char *text, size_t len)
{
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (out.crlf && !say_is_elsewhere())
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
	char line[SAY_LINE_MAX + 2] = "";

	if (out.level > SAY_QUIET)
		end_line(line, utf8_escape(line, SAY_LINE_MAX, text, "\n\t"));
}
