#include "daemon/config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "protocol/alloc.h"

#define CONFIG_SIZE_MAX (64 * 1024)
#define CONFIG_BUFFER	(CONFIG_SIZE_MAX + 2) /* one byte too many to see, and a NUL */
#define SECONDS_YEAR	31536000u

enum config_kind {
	KIND_COUNT,
	KIND_SECONDS,
	KIND_MILLISECONDS,
	KIND_LEVEL,
	KIND_PROGRAM,
	KIND_MODES
};

struct config_key {
	const char *name;
	enum config_kind kind;
	size_t offset;
	unsigned min, max; /* in the unit that the file uses */
};

#define FIELD(field) offsetof(struct config, field)
static const struct config_key config_keys[] = {
	{"ssh", KIND_PROGRAM, FIELD(ssh_path), 0, 0},
	{"log", KIND_LEVEL, FIELD(log_level), 0, 0},
	{"hold", KIND_SECONDS, FIELD(hold_s), 0, SECONDS_YEAR},
	/* Not 0: the daemon would be gone before the client that started it came. */
	{"linger", KIND_SECONDS, FIELD(linger_s), 1, SECONDS_YEAR},
	{"drain", KIND_MILLISECONDS, FIELD(drain_ms), 0, 3600},
	{"transports", KIND_COUNT, FIELD(max_transports), 1, 64},
	{"clients", KIND_COUNT, FIELD(max_clients), 1, 65536},
	{"queue", KIND_COUNT, FIELD(max_queue), 1, 65536},
	{"warm", KIND_COUNT, FIELD(warm), 0, 8},
	{"keepalive", KIND_SECONDS, FIELD(keepalive_s), 0, 86400},
	{"keepalive-count", KIND_COUNT, FIELD(keepalive_count), 1, 1000},
	{"logins", KIND_COUNT, FIELD(login_threads), 1, 256},
	{"terminal-modes", KIND_MODES, FIELD(modes_by_stty), 0, 0},
};

/* Where a line stands and where its complaint goes. */
struct config_line {
	const char *path;
	unsigned number;
	char *why;
	size_t why_size;
};

static int HW_PRINTF(2, 3) config_bad(const struct config_line *at, const char *fmt, ...)
{
	va_list ap;
	int len = snprintf(at->why, at->why_size, "%s:%u: ", at->path, at->number);

	if (len >= 0 && (size_t)len < at->why_size) {
		va_start(ap, fmt);
		vsnprintf(at->why + len, at->why_size - (size_t)len, fmt, ap);
		va_end(ap);
	}
	return HW_EINVAL;
}

void config_defaults(struct config *c)
{
	*c = (struct config){
		.ssh_path = "ssh",
		.log_level = LOG_LVL_INFO,
		.hold_s = 600,
		.linger_s = 60,
		.drain_ms = 5000,
		.max_transports = 4,
		.max_clients = 512,
		.max_queue = 1024,
		.warm = 1,
		.keepalive_s = 15,
		.keepalive_count = 3,
		.login_threads = 32,
		.modes_by_stty = false,
	};
}

/* Digits only; false on anything else or when it passes UINT32_MAX. *end is left behind them. */
static bool config_digits(const char *text, const char **end, uint64_t *value)
{
	const char *p = text;

	for (*value = 0; isdigit((unsigned char)*p); p++) {
		*value = *value * 10 + (uint64_t)(*p - '0');
		if (*value > UINT32_MAX)
			return false;
	}
	*end = p;
	return p != text;
}

/* "90", "90s", "10m", "1h30m": as TIME FORMATS in sshd_config(5). */
static bool config_duration(const char *text, uint64_t *seconds)
{
	static const struct {
		char letter;
		unsigned seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
	const char *p = text;

	*seconds = 0;
	do {
		uint64_t value, factor = 0;

		if (!config_digits(p, &p, &value))
			return false;
		if (*p == '\0')
			factor = 1;
		for (size_t i = 0; factor == 0 && i < HW_ARRAY_LEN(units); i++) {
			if (tolower((unsigned char)*p) == units[i].letter) {
				factor = units[i].seconds;
				p++;
			}
		}
		if (factor == 0)
			return false;
		*seconds += value * factor;
		if (*seconds > UINT32_MAX)
			return false;
	} while (*p != '\0');
	return true;
}

static int config_set_number(struct config *c, const struct config_key *key, const char *value,
			     const struct config_line *at)
{
	uint64_t number;
	const char *end;
	bool good;

	if (key->kind == KIND_COUNT)
		good = config_digits(value, &end, &number) && *end == '\0';
	else
		good = config_duration(value, &number);
	if (!good)
		return config_bad(at, "%s: \"%.100s\" is not a %s", key->name, value,
				  key->kind == KIND_COUNT ? "whole number"
							  : "time (seconds, or 90s, 10m, 1h30m)");
	if (number < key->min || number > key->max)
		return config_bad(at, "%s: %.100s is out of range (%u to %u)", key->name, value,
				  key->min, key->max);
	if (key->kind == KIND_MILLISECONDS)
		number *= 1000;
	*(unsigned *)(void *)((char *)c + key->offset) = (unsigned)number;
	return HW_OK;
}

static int config_set(struct config *c, const struct config_key *key, const char *value,
		      const struct config_line *at)
{
	enum log_level level;

	if (*value == '\0')
		return config_bad(at, "%s has no value", key->name);
	switch (key->kind) {
	case KIND_LEVEL:
		if (log_level_parse(value, &level) != HW_OK)
			return config_bad(at,
					  "log: \"%.100s\" is not one of error, warn, info, debug, "
					  "trace",
					  value);
		if (!c->log_forced)
			c->log_level = level;
		return HW_OK;
	case KIND_PROGRAM:
		if (strlen(value) >= sizeof(c->ssh_path))
			return config_bad(at, "ssh: the path is longer than %zu bytes",
					  sizeof(c->ssh_path) - 1);
		/* The daemon's working directory is not the user's. */
		if (strchr(value, '/') && value[0] != '/')
			return config_bad(at,
					  "ssh: \"%.100s\" must be a name to be found in PATH, or "
					  "a path from /",
					  value);
		memcpy(c->ssh_path, value, strlen(value) + 1);
		return HW_OK;
	case KIND_MODES:
		if (strcmp(value, "stty") != 0 && strcmp(value, "off") != 0)
			return config_bad(at, "%s: \"%.100s\" is neither off nor stty", key->name,
					  value);
		c->modes_by_stty = value[0] == 's';
		return HW_OK;
	case KIND_COUNT:
	case KIND_SECONDS:
	case KIND_MILLISECONDS:
		break;
	}
	return config_set_number(c, key, value, at);
}

static char *config_trim(char *text)
{
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return text;
}

/* seen: per key, the line that has set it, 0 = none. */
static int config_line(struct config *c, char *text, unsigned *seen, const struct config_line *at)
{
	char *name = config_trim(text), *value;

	if (*name == '\0' || *name == '#' || *name == ';')
		return HW_OK;
	if (*name == '[') {
		/* Room for sections to come (per host); today's keys belong to the daemon. */
		if (strcmp(name, "[daemon]") != 0)
			return config_bad(at, "unknown section \"%.100s\" (there is only [daemon])",
					  name);
		return HW_OK;
	}
	value = strchr(name, '=');
	if (!value)
		return config_bad(at, "expected \"name = value\", found \"%.100s\"", name);
	*value++ = '\0';
	name = config_trim(name);
	value = config_trim(value);
	for (size_t i = 0; i < HW_ARRAY_LEN(config_keys); i++) {
		if (strcmp(name, config_keys[i].name) != 0)
			continue;
		if (seen[i] != 0)
			return config_bad(at, "%s is set twice (first in line %u)", name, seen[i]);
		seen[i] = at->number;
		return config_set(c, &config_keys[i], value, at);
	}
	return config_bad(at,
			  "unknown setting \"%.100s\" (what ssh_config(5) can say belongs there; "
			  "see hawser.conf(5))",
			  name);
}

/* Reads the whole file into buf, NUL-terminated. */
static int config_read(const char *path, char *buf, size_t size, size_t *len, char *why,
		       size_t why_size)
{
	struct stat st;
	int result = HW_OK;
	/* Not blocking: somebody may have put a FIFO there. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	*len = 0;
	if (fd < 0) {
		snprintf(why, why_size, "%s: %s", path, strerror(errno));
		return errno == ENOENT || errno == ENOTDIR ? HW_ENOENT : HW_ESYS;
	}
	if (fstat(fd, &st) < 0) {
		snprintf(why, why_size, "%s: %s", path, strerror(errno));
		result = HW_ESYS;
	} else if (!S_ISREG(st.st_mode)) {
		snprintf(why, why_size, "%s: not a regular file", path);
		result = HW_EPERM;
	} else if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & 022) != 0) {
		snprintf(why, why_size,
			 "%s: others may write to it (owner %u, mode %03o), so it is not used; "
			 "\"chmod go-w\" and the right owner help",
			 path, (unsigned)st.st_uid, (unsigned)st.st_mode & 0777u);
		result = HW_EPERM;
	}
	while (result == HW_OK) {
		ssize_t n = read(fd, buf + *len, size - 1 - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			snprintf(why, why_size, "%s: %s", path, strerror(errno));
			result = HW_ESYS;
		}
		if (n <= 0)
			break;
		*len += (size_t)n;
		if (*len == size - 1) {
			snprintf(why, why_size, "%s:1: larger than %u bytes", path,
				 CONFIG_SIZE_MAX);
			result = HW_EINVAL;
		}
	}
	close(fd);
	buf[*len] = '\0';
	return result;
}

int config_load(struct config *c, const char *path, char *why, size_t why_size)
{
	struct config next = *c;
	struct config_line at = {.path = path, .why = why, .why_size = why_size};
	unsigned seen[HW_ARRAY_LEN(config_keys)] = {0};
	char *buf = xmalloc(CONFIG_BUFFER), *line = buf;
	size_t len;
	int result = config_read(path, buf, CONFIG_BUFFER, &len, why, why_size);

	while (result == HW_OK && line < buf + len) {
		char *end = memchr(line, '\n', (size_t)(buf + len - line));

		if (!end)
			end = buf + len;
		*end = '\0';
		at.number++;
		if (strlen(line) != (size_t)(end - line))
			result = config_bad(&at, "the line holds a NUL byte");
		else
			result = config_line(&next, line, seen, &at);
		line = end + 1;
	}
	free(buf);
	if (result != HW_OK)
		return result;
	*c = next;
	return HW_OK;
}
