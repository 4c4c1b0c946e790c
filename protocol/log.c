#include "protocol/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "protocol/utf8.h"

enum {
	LOG_TEXT_MAX = 4096,  /* bytes of one message before escaping; the rest is cut, visibly */
	LOG_HEAD_MAX = 128,   /* time, program, level */
	LOG_ESCAPE_WIDTH = 4, /* \xNN */
};

/* Set before threads start (log_init), so that readers need no lock. */
static struct {
	char program[32];
	int fd;
	bool journal;
} sink = {.program = "hawser", .fd = STDERR_FILENO};
static atomic_int current_level = LOG_LVL_INFO;

static const struct {
	const char *name;
	int priority; /* sd-daemon(3) */
} levels[] = {
	[LOG_LVL_ERROR] = {"error", 3}, [LOG_LVL_WARN] = {"warn", 4},
	[LOG_LVL_INFO] = {"info", 6},	[LOG_LVL_DEBUG] = {"debug", 7},
	[LOG_LVL_TRACE] = {"trace", 7},
};

void log_init(const char *program, int fd, bool journal)
{
	snprintf(sink.program, sizeof(sink.program), "%s", program);
	sink.fd = fd;
	sink.journal = journal;
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

int log_level_parse(const char *text, enum log_level *level)
{
	for (size_t i = 0; i < HW_ARRAY_LEN(levels); i++) {
		if (strcmp(text, levels[i].name) == 0) {
			*level = (enum log_level)i;
			return HW_OK;
		}
	}
	return HW_EINVAL;
}

const char *log_level_name(enum log_level level)
{
	return (size_t)level < HW_ARRAY_LEN(levels) ? levels[level].name : "unknown";
}

/* Writes text to out (room for LOG_ESCAPE_WIDTH times len) with what is not printable as \xNN, and
 * newline and tab as \n and \t; returns the bytes written. */
static size_t escape(char *out, const char *text, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *s = (const unsigned char *)text;
	size_t at = 0;
	for (size_t i = 0; i < len;) {
		size_t n = utf8_shown_length(s + i, len - i);
		if (n) {
			memcpy(out + at, s + i, n);
			at += n;
			i += n;
			continue;
		}
		unsigned char c = s[i++];
		out[at++] = '\\';
		if (c == '\n' || c == '\t' || c == '\r') {
			out[at++] = c == '\n' ? 'n' : c == '\t' ? 't' : 'r';
		} else {
			out[at++] = 'x';
			out[at++] = hex[c >> 4];
			out[at++] = hex[c & 0xf];
		}
	}
	return at;
}

/* "2026-11-22T12:51:25.123Z hawserd: info: ", or for the journal, which has the time itself,
 * "<6>hawserd: ". */
static size_t put_head(char *out, size_t size, enum log_level level)
{
	int n;
	if (sink.journal) {
		n = snprintf(out, size, "<%d>%s: ", levels[level].priority, sink.program);
	} else {
		struct timespec now;
		struct tm tm;
		clock_gettime(CLOCK_REALTIME, &now);
		gmtime_r(&now.tv_sec, &tm);
		n = snprintf(out, size,
			     "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s: %s: ", tm.tm_year + 1900,
			     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
			     now.tv_nsec / 1000000, sink.program, levels[level].name);
	}
	return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	static const char cut[] = "...";
	char text[LOG_TEXT_MAX];
	char line[LOG_HEAD_MAX + LOG_TEXT_MAX * LOG_ESCAPE_WIDTH + sizeof(cut) + 1];
	int saved_errno = errno; /* callers log between a failed call and reading errno */

	if ((size_t)level >= HW_ARRAY_LEN(levels))
		level = LOG_LVL_ERROR;
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	size_t len = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;

	size_t at = put_head(line, LOG_HEAD_MAX, level);
	at += escape(line + at, text, len);
	if (n >= 0 && (size_t)n > len) {
		memcpy(line + at, cut, sizeof(cut) - 1);
		at += sizeof(cut) - 1;
	}
	line[at++] = '\n';
	/* One call, so that lines of several threads and processes never mix. A sink that is full
	 * or gone must not stop the program: what cannot be written is lost. */
	while (write(sink.fd, line, at) < 0 && errno == EINTR)
		;
	errno = saved_errno;
}
