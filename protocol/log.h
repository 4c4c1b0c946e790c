/* Log lines of a process, each by one write(2), in UTC:
 * "2026-11-22T12:51:25.123Z hawserd: info: web1:22 transport 3: login -> ready", or for the
 * journal, which has time and level itself, "<6>hawserd: web1:22 transport 3: ...".
 * One sink, one level that may change while the process runs. Control characters and bytes that are
 * not UTF-8 are escaped, newlines too; long lines are cut, with "..." at the end. errno is kept.
 * Thread-safe, but for log_init(), which comes before the threads. */
#ifndef HAWSER_PROTOCOL_LOG_H
#define HAWSER_PROTOCOL_LOG_H

#include "protocol/base.h"

enum log_level { LOG_LVL_ERROR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG, LOG_LVL_TRACE };

/* Logs go to fd from now on (borrowed). journal: put sd-daemon(3) priority prefixes before lines.
 */
void log_init(const char *program, int fd, bool journal);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* "error" ... "trace"; HW_EINVAL for anything else. */
int log_level_parse(const char *text, enum log_level *level);
const char *log_level_name(enum log_level level);

/* Use the macros: the level is tested before the arguments are evaluated. No secret may be passed.
 */
void log_write(enum log_level level, const char *fmt, ...) HW_PRINTF(2, 3);
#define log_at(level, ...)                                                                         \
	do {                                                                                       \
		if ((level) <= log_get_level())                                                    \
			log_write((level), __VA_ARGS__);                                           \
	} while (0)
#define log_error(...) log_at(LOG_LVL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_LVL_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_LVL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LVL_DEBUG, __VA_ARGS__)
#define log_trace(...) log_at(LOG_LVL_TRACE, __VA_ARGS__)

#endif
