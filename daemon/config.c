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
	KIND_MODES,
	KIND_YES
};

struct config_key {
	const char *name;
	enum config_kind kind;
	size_t offset;
	unsigned min, max; /* in the unit that the file uses */
	size_t in_section; /* offset, for those that a [host ...] section may set; else 0 */
};

#define FIELD(field)   offsetof(struct config, field)
#define OF_HOST(field) offsetof(struct config_section, field)
static const struct config_key config_keys[] = {
	{"ssh", KIND_PROGRAM, FIELD(ssh_path), 0, 0, 0},
	{"log", KIND_LEVEL, FIELD(log_level), 0, 0, 0},
	{"hold", KIND_SECONDS, FIELD(hold_s), 0, SECONDS_YEAR, 0},
	/* Not 0: the daemon would be gone before the client that started it came. */
	{"linger", KIND_SECONDS, FIELD(linger_s), 1, SECONDS_YEAR, 0},
	{"drain", KIND_MILLISECONDS, FIELD(drain_ms), 0, 3600, 0},
	{"transports", KIND_COUNT, FIELD(max_transports), 1, 64, 0},
	{"clients", KIND_COUNT, FIELD(max_clients), 1, 65536, 0},
	{"queue", KIND_COUNT, FIELD(max_queue), 1, 65536, 0},
	{"warm", KIND_COUNT, FIELD(warm), 0, 8, 0},
	{"keepalive", KIND_SECONDS, FIELD(keepalive_s), 0, 86400, 0},
	{"keepalive-count", KIND_COUNT, FIELD(keepalive_count), 1, 1000, 0},
	{"logins", KIND_COUNT, FIELD(login_threads), 1, 256, 0},
	{"reconnect", KIND_SECONDS, FIELD(reconnect_s), 0, 86400, OF_HOST(reconnect_s)},
	{"max-age", KIND_SECONDS, FIELD(max_age_s), 0, SECONDS_YEAR, OF_HOST(max_age_s)},
	{"sticky", KIND_YES, FIELD(sticky), 0, 0, OF_HOST(sticky)},
	{"keep", KIND_YES, FIELD(keep), 0, 0, OF_HOST(keep)},
	{"terminal-modes", KIND_MODES, FIELD(modes_by_stty), 0, 0, 0},
};

/* Where a line stands and where its complaint goes. */
struct config_line {
	const char *path;
	unsigned number;
	char *why;
	size_t why_size;
};

/* How far a file has been read. */
struct config_reader {
	struct config *c;
	struct config_section *section; /* the one that lines belong to; NULL: [daemon] */
	struct config_line at;
	/* Per key, the line that has set it, 0 = none: in [daemon], and in the section. */
	unsigned seen[HW_ARRAY_LEN(config_keys)], seen_here[HW_ARRAY_LEN(config_keys)];
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
		.reconnect_s = 30,
		.max_age_s = 0,
		.modes_by_stty = false,
		.sticky = 0,
		.keep = 0,
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

/* where: the key's place in the config or the section. */
static int config_set_number(unsigned *where, const struct config_key *key, const char *value,
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
	*where = (unsigned)number;
	return HW_OK;
}

static int config_set_yes(unsigned *where, const struct config_key *key, const char *value,
			  const struct config_line *at)
{
	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return config_bad(at, "%s: \"%.100s\" is neither yes nor no", key->name, value);
	*where = value[0] == 'y';
	return HW_OK;
}

static int config_set(struct config_reader *r, const struct config_key *key, const char *value)
{
	const struct config_line *at = &r->at;
	struct config *c = r->c;
	char *base = r->section != NULL ? (char *)r->section : (char *)c;
	void *where = base + (r->section != NULL ? key->in_section : key->offset);
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
	case KIND_YES:
		return config_set_yes(where, key, value, at);
	case KIND_COUNT:
	case KIND_SECONDS:
	case KIND_MILLISECONDS:
		break;
	}
	return config_set_number(where, key, value, at);
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

/* The patterns of a section, separated by spaces as in ssh_config(5). */
static int config_patterns(struct config_reader *r, char *words)
{
	struct config *c = r->c;
	struct config_section *section = r->section;
	size_t used = section->patterns_at;
	char *save = NULL;
	bool positive = false;

	for (char *w = strtok_r(words, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
		size_t len = strlen(w);

		if (strchr(w, ',') || strcmp(w, "!") == 0)
			return config_bad(&r->at,
					  "\"%.100s\" is no pattern: a space separates them, \"!\" "
					  "stands before what is not meant",
					  w);
		positive = positive || w[0] != '!';
		if (used + (used > section->patterns_at) + len > sizeof(c->patterns))
			return config_bad(&r->at, "the patterns of all sections pass %zu bytes",
					  sizeof(c->patterns));
		if (used > section->patterns_at)
			c->patterns[used++] = ',';
		memcpy(c->patterns + used, w, len);
		used += len;
	}
	if (!positive)
		return config_bad(&r->at, "[host ...] needs a pattern that is not negated");
	section->patterns_len = (uint32_t)used - section->patterns_at;
	return HW_OK;
}

/* "[daemon]" or "[host PATTERN ...]": name, without what is around it. */
static int config_section(struct config_reader *r, char *name)
{
	struct config *c = r->c;
	char *end = name + strlen(name) - 1;
	struct config_section *last;
	uint32_t used = 0;

	if (strcmp(name, "[daemon]") == 0) {
		r->section = NULL;
		return HW_OK;
	}
	if (*end != ']')
		return config_bad(&r->at, "\"%.100s\" has no \"]\" at its end", name);
	if (strncmp(name, "[host", 5) != 0 || !(isspace((unsigned char)name[5]) || name[5] == ']'))
		return config_bad(&r->at,
				  "unknown section \"%.100s\" (there are [daemon] and "
				  "[host PATTERN ...])",
				  name);
	if (c->nsections == CONFIG_SECTIONS_MAX)
		return config_bad(&r->at, "more than %u [host ...] sections", CONFIG_SECTIONS_MAX);
	*end = '\0';
	if (c->nsections > 0) {
		last = &c->sections[c->nsections - 1];
		used = last->patterns_at + last->patterns_len;
	}
	r->section = &c->sections[c->nsections++];
	*r->section = (struct config_section){.patterns_at = used,
					      .sticky = CONFIG_UNSET,
					      .keep = CONFIG_UNSET,
					      .reconnect_s = CONFIG_UNSET,
					      .max_age_s = CONFIG_UNSET};
	memset(r->seen_here, 0, sizeof(r->seen_here));
	return config_patterns(r, name + 5);
}

static int config_unknown(const struct config_reader *r, const char *name, bool known)
{
	if (known)
		return config_bad(&r->at,
				  "%s holds for all hosts: it belongs before the first "
				  "[host ...] section, or behind [daemon]",
				  name);
	return config_bad(&r->at,
			  "unknown setting \"%.100s\" (what ssh_config(5) can say belongs there; "
			  "see hawser.conf(5))",
			  name);
}

static int config_line(struct config_reader *r, char *text)
{
	char *name = config_trim(text), *value;
	unsigned *seen = r->section != NULL ? r->seen_here : r->seen;

	if (*name == '\0' || *name == '#' || *name == ';')
		return HW_OK;
	if (*name == '[')
		return config_section(r, name);
	value = strchr(name, '=');
	if (!value)
		return config_bad(&r->at, "expected \"name = value\", found \"%.100s\"", name);
	*value++ = '\0';
	name = config_trim(name);
	value = config_trim(value);
	for (size_t i = 0; i < HW_ARRAY_LEN(config_keys); i++) {
		if (strcmp(name, config_keys[i].name) != 0)
			continue;
		if (r->section != NULL && config_keys[i].in_section == 0)
			return config_unknown(r, name, true);
		if (seen[i] != 0)
			return config_bad(&r->at, "%s is set twice (first in line %u)", name,
					  seen[i]);
		seen[i] = r->at.number;
		return config_set(r, &config_keys[i], value);
	}
	return config_unknown(r, name, false);
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
	struct config *next = xmalloc(sizeof(*next)); /* too large for a stack */
	struct config_reader r = {.c = next,
				  .at = {.path = path, .why = why, .why_size = why_size}};
	char *buf = xmalloc(CONFIG_BUFFER), *line = buf;
	size_t len;
	int result = config_read(path, buf, CONFIG_BUFFER, &len, why, why_size);

	*next = *c;
	next->nsections = 0;
	while (result == HW_OK && line < buf + len) {
		char *end = memchr(line, '\n', (size_t)(buf + len - line));

		if (!end)
			end = buf + len;
		*end = '\0';
		r.at.number++;
		if (strlen(line) != (size_t)(end - line))
			result = config_bad(&r.at, "the line holds a NUL byte");
		else
			result = config_line(&r, line);
		line = end + 1;
	}
	free(buf);
	if (result == HW_OK)
		*c = *next;
	free(next);
	return result;
}
