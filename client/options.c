#include "client/options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "protocol/alloc.h"

/* What the client does with each of ssh's options. This table is the door for what comes later: a
 * row that says HAND_OVER today becomes TO_SSH_G once the daemon can do what it asks for. */
enum treatment {
	TO_SSH_G,	/* means what ssh -G says it means */
	HAND_OVER,	/* cannot be done here: become ssh */
	HAND_OVER_STOP, /* the same, and whether it takes a value depends on ssh's version */
	SOCKET_PATH,	/* -S */
	LOG_FILE,
	OPERATION, /* -O */
	SYSLOG,
	STDIN_NULL,
	BACKGROUND,
	MASTER,
	NO_SESSION,
	QUIET,
	VERBOSE,
	CONFIG_LINE, /* -o */
	STDIO,	     /* -W, which ssh -G does not print */
};

static const struct option_rule {
	char letter;
	bool has_value;
	enum treatment treatment;
} rules[] = {
	{'1', false, HAND_OVER}, /* ssh refuses it, in its own words */
	{'2', false, TO_SSH_G},	      {'4', false, TO_SSH_G},	{'6', false, TO_SSH_G},
	{'a', false, TO_SSH_G},	      {'b', true, TO_SSH_G},	{'c', true, TO_SSH_G},
	{'e', true, TO_SSH_G},	      {'f', false, BACKGROUND}, {'g', false, TO_SSH_G},
	{'i', true, TO_SSH_G},	      {'k', false, TO_SSH_G},	{'l', true, TO_SSH_G},
	{'m', true, TO_SSH_G},	      {'n', false, STDIN_NULL}, {'o', true, CONFIG_LINE},
	{'p', true, TO_SSH_G},	      {'q', false, QUIET},	{'s', false, TO_SSH_G},
	{'t', false, TO_SSH_G},	      {'v', false, VERBOSE},	{'x', false, TO_SSH_G},
	{'y', false, SYSLOG},	      {'A', false, TO_SSH_G},	{'B', true, TO_SSH_G},
	{'C', false, TO_SSH_G},	      {'D', true, TO_SSH_G},	{'E', true, LOG_FILE},
	{'F', true, TO_SSH_G},	      {'G', false, HAND_OVER},	{'I', true, HAND_OVER},
	{'J', true, TO_SSH_G},	      {'K', false, HAND_OVER},	{'L', true, TO_SSH_G},
	{'M', false, MASTER},	      {'N', false, NO_SESSION}, {'O', true, OPERATION},
	{'P', false, HAND_OVER_STOP}, /* without a value before OpenSSH 9.4, with one since */
	{'Q', true, HAND_OVER},	      {'R', true, TO_SSH_G},	{'S', true, SOCKET_PATH},
	{'T', false, TO_SSH_G},	      {'V', false, HAND_OVER},	{'w', true, HAND_OVER},
	{'W', true, STDIO},	      {'X', false, TO_SSH_G},	{'Y', false, TO_SSH_G},
};

static const struct option_rule *find_rule(char letter)
{
	for (size_t i = 0; i < HW_ARRAY_LEN(rules); i++)
		if (rules[i].letter == letter)
			return &rules[i];
	return NULL;
}

/* The value of `key` in an -o line, with its length; NULL when the line is about something else. */
static const char *line_value(const char *line, const char *key, size_t *len)
{
	line += strspn(line, " \t");
	if (strncasecmp(line, key, strlen(key)) != 0)
		return NULL;
	line += strlen(key);
	size_t gap = strspn(line, " \t=\"");
	if (gap == 0)
		return NULL;
	line += gap;
	bool quoted = line[-1] == '"';
	*len = strcspn(line, quoted ? "\"" : " \t");
	return line;
}

static bool same_word(const char *value, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(value, word, len) == 0;
}

static void note_level(struct options *o, const char *value, size_t len)
{
	static const char *const levels[] = {"DEBUG", "DEBUG1", "DEBUG2", "DEBUG3"};

	if (o->loglevel_set)
		return;
	o->loglevel_set = true;
	if (same_word(value, len, "QUIET"))
		o->level = -1;
	for (size_t i = 0; i < HW_ARRAY_LEN(levels); i++)
		if (same_word(value, len, levels[i]))
			o->level = i == 0 ? 1 : (int)i;
}

/* ssh takes the first of several -o, but the last -S, which wins over them. */
static void note_control(struct options *o, const char *value, size_t len, bool always)
{
	if (o->control_set && !always)
		return;
	o->control_set = true;
	free(o->control);
	o->control = len == 0 || same_word(value, len, "none") ? NULL : xstrndup(value, len);
}

/* What the client itself must know; other keywords are the daemon's to judge. */
static void note_config_line(struct options *o, const char *line)
{
	const char *value;
	size_t len;

	if ((value = line_value(line, "loglevel", &len)) != NULL)
		note_level(o, value, len);
	else if ((value = line_value(line, "controlpath", &len)) != NULL)
		note_control(o, value, len, false);
	else if ((value = line_value(line, "sessiontype", &len)) != NULL)
		o->no_session |= same_word(value, len, "none");
}

static void hand_over(struct options *o, char letter)
{
	if (o->handover[0] == '\0')
		snprintf(o->handover, sizeof(o->handover), "option -%c", letter);
}

/* A second -O, or a word that is none: ssh says so. */
static void take_operation(struct options *o, char *value)
{
	static const char *const known[] = {"check", "exit", "stop", "forward", "cancel"};

	if (o->operation != NULL)
		o->usage = true;
	o->operation = value;
	if (strcmp(value, "proxy") == 0) {
		/* OpenSSH's own messages on stdin and stdout: only its master can do that. */
		snprintf(o->handover, sizeof(o->handover), "option -O proxy");
		return;
	}
	for (size_t i = 0; i < HW_ARRAY_LEN(known); i++)
		if (strcmp(value, known[i]) == 0)
			return;
	o->usage = true;
}

/* false: no use in reading on. */
static bool apply(struct options *o, const struct option_rule *rule, char *value)
{
	switch (rule->treatment) {
	case TO_SSH_G:
		break;
	case HAND_OVER:
		hand_over(o, rule->letter);
		break;
	case HAND_OVER_STOP:
		hand_over(o, rule->letter);
		return false;
	case SOCKET_PATH:
		note_control(o, value, strlen(value), true);
		o->control_own = true;
		break;
	case LOG_FILE:
		o->log_file = value;
		break;
	case OPERATION:
		take_operation(o, value);
		break;
	case SYSLOG:
		o->syslog = true;
		break;
	case BACKGROUND:
		o->background = true;
		o->stdin_null = true;
		break;
	case STDIN_NULL:
		o->stdin_null = true;
		break;
	case MASTER:
		if (o->master)
			hand_over(o, rule->letter); /* -MM: each session is to be confirmed */
		o->master = true;
		break;
	case NO_SESSION:
		o->no_session = true;
		break;
	case QUIET:
		o->level = -1;
		o->loglevel_set = true;
		break;
	case VERBOSE:
		o->level = o->level < 0 ? 1 : o->level + 1;
		o->loglevel_set = true;
		break;
	case STDIO:
		o->stdio = value;
		break;
	case CONFIG_LINE:
		note_config_line(o, value);
		break;
	}
	return true;
}

static void add_arg(struct options *o, char *word)
{
	o->args[o->nargs++] = word;
}

/* -E: whoever else opened that file would write to it. -O and -y: ssh -G would not take them. */
static bool is_ours(const struct option_rule *rule)
{
	return rule->treatment == LOG_FILE || rule->treatment == OPERATION ||
	       rule->treatment == SYSLOG;
}

/* A word of which some letters are ours ("-qE", "-yT"): the others, up to letter `end`. */
static void add_others(struct options *o, const char *word, size_t end)
{
	char *copy = xstrndup(word, end);
	size_t n = 1;

	for (size_t i = 1; i < end; i++) {
		const struct option_rule *rule = find_rule(word[i]);
		if (rule == NULL || !is_ours(rule))
			copy[n++] = word[i];
		/* Behind a letter that takes one stands its value. */
		if (rule != NULL && rule->has_value)
			n = (size_t)((char *)mempcpy(copy + n, word + i + 1, end - i - 1) - copy);
		if (rule != NULL && rule->has_value)
			break;
	}
	copy[n] = '\0';
	if (n == 1) {
		free(copy);
		return;
	}
	if (o->nowned == HW_ARRAY_LEN(o->owned)) {
		/* Nobody types nine such words; ssh copes with them all. */
		hand_over(o, 'E');
		free(copy);
		return;
	}
	o->owned[o->nowned++] = copy;
	add_arg(o, copy);
}

/* One word of options, "-46p22" or "-p" with its value in the next word. Returns the number of
 * words used, 0 when reading must stop (usage or handover tell why). */
static int scan_word(struct options *o, char **argv)
{
	char *word = argv[0];
	bool ours = false;

	for (size_t i = 1; word[i] != '\0'; i++) {
		const struct option_rule *rule = find_rule(word[i]);
		if (rule == NULL) {
			o->usage = true;
			return 0;
		}
		ours |= is_ours(rule);
		if (!rule->has_value) {
			if (!apply(o, rule, NULL))
				return 0;
			continue;
		}
		bool apart = word[i + 1] == '\0';
		char *value = apart ? argv[1] : word + i + 1;
		if (value == NULL) {
			o->usage = true;
			return 0;
		}
		apply(o, rule, value);
		if (!ours)
			add_arg(o, word);
		else
			add_others(o, word, is_ours(rule) ? i : i + strlen(word + i));
		if (apart && !is_ours(rule))
			add_arg(o, value);
		return apart ? 2 : 1;
	}
	if (ours)
		add_others(o, word, strlen(word));
	else
		add_arg(o, word);
	return 1;
}

/* Our own options, which ssh has not: they have names. Returns the number of words used, 0: it is
 * none of them. */
static int scan_named(struct options *o, char **argv)
{
	static const char status_fd[] = "--status-fd";
	const char *value;
	char *end;
	long fd;

	if (strcmp(argv[0], "--sticky") == 0) {
		o->sticky = true;
		return 1;
	}
	if (strncmp(argv[0], status_fd, strlen(status_fd)) != 0)
		return 0;
	value = argv[0] + strlen(status_fd);
	if (*value != '=' && *value != '\0')
		return 0;
	bool apart = *value == '\0';
	value = apart ? argv[1] : value + 1;
	if (value == NULL)
		return 0;
	errno = 0;
	fd = strtol(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' || fd < 0 || fd > INT_MAX)
		return 0;
	o->status_fd = (int)fd;
	return apart ? 2 : 1;
}

/* Options from argv[i] on. Returns the index of the first word that is none, -1 to stop. *ended: a
 * "--" stood before it. */
static int scan_options(struct options *o, int *argc, char **argv, int i, bool *ended)
{
	while (i < *argc && argv[i][0] == '-' && argv[i][1] != '\0') {
		if (strcmp(argv[i], "--") == 0) {
			*ended = true;
			return i + 1;
		}
		int used = argv[i][1] == '-' ? scan_named(o, argv + i) : 0;
		if (used > 0) {
			/* Out of the way of an ssh that may get these words from us. */
			*argc -= used;
			memmove(argv + i, argv + i + used, (size_t)(*argc - i + 1) * sizeof(*argv));
			continue;
		}
		used = scan_word(o, argv + i);
		if (used == 0)
			return -1;
		i += used;
	}
	return i;
}

/* Of user names, ssh takes the first, and options behind the host come after it. The daemon has
 * them all in front of it, so the host's user name is said where it stood. */
static void keep_order(struct options *o)
{
	static char option[] = "-l";
	bool uri = strncasecmp(o->host, "ssh://", 6) == 0;
	const char *at = strrchr(o->host, '@');

	if (!uri && at == NULL)
		return;
	if (uri && strpbrk(o->host + 6, "@:") == NULL)
		return;
	if (uri || o->nowned == HW_ARRAY_LEN(o->owned)) {
		if (o->handover[0] == '\0')
			snprintf(o->handover, sizeof(o->handover), "options behind %s",
				 uri ? "an ssh:// address" : "user@host");
		return;
	}
	o->owned[o->nowned] = xstrndup(o->host, (size_t)(at - o->host));
	add_arg(o, option);
	add_arg(o, o->owned[o->nowned++]);
}

static void join_command(struct options *o, int argc, char **argv, int i)
{
	size_t len = 0;

	for (int k = i; k < argc; k++)
		len += strlen(argv[k]) + 1;
	if (len <= 1)
		return;
	o->command = xmalloc(len);
	char *p = o->command;
	for (int k = i; k < argc; k++) {
		if (k > i)
			*p++ = ' ';
		p = mempcpy(p, argv[k], strlen(argv[k]));
	}
	*p = '\0';
	o->command_len = (size_t)(p - o->command);
}

/* What follows from several options together. */
static void settle(struct options *o)
{
	/* A hawserd that knows no operations yet must not take one for a shell: it hands over. */
	static char no_session[] = "-oSessionType=none";

	/* "Can't specify both", in ssh's words. */
	o->usage |= o->syslog && o->log_file != NULL;
	if (o->operation != NULL) {
		o->stdin_null = true;
		o->master = o->background = false;
		add_arg(o, no_session);
	}
	/* Without a path there is nothing to be master at; one in a configuration file has no
	 * effect, as ControlMaster there has none. */
	if (o->control == NULL)
		o->master = false;
	else if (o->master && !options_path_is_plain(o->control))
		hand_over(o, 'M');
}

bool options_path_is_plain(const char *path)
{
	return path[0] != '~' && strpbrk(path, "%$") == NULL;
}

void options_scan(struct options *o, int argc, char **argv)
{
	bool ended = false;

	memset(o, 0, sizeof(*o));
	o->status_fd = -1;
	o->args = xreallocarray(NULL, (size_t)argc + 3, sizeof(*o->args));
	int i = scan_options(o, &argc, argv, argc > 0 ? 1 : 0, &ended);
	if (i < 0)
		goto out;
	if (i >= argc) {
		o->usage = true; /* or -V and -Q, which need no host and are handed over */
		goto out;
	}
	o->host = argv[i++];
	/* ssh(1) would take a host that begins with "-" only behind "--", to refuse it. */
	if (o->host[0] == '\0' || o->host[0] == '-' || strrchr(o->host, '@') == o->host) {
		o->usage = true;
		goto out;
	}
	/* ssh looks at the last word only, so the value of "-l --" counts too. */
	if (i >= 2 && strcmp(argv[i - 2], "--") == 0)
		ended = true;
	/* ssh reads options once more behind the host, up to the command. */
	if (!ended && i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0)
		keep_order(o);
	if (!ended)
		i = scan_options(o, &argc, argv, i, &ended);
	if (i < 0)
		goto out;
	join_command(o, argc, argv, i);
out:
	settle(o);
	o->args[o->nargs] = NULL;
}

void options_free(struct options *o)
{
	for (size_t i = 0; i < o->nowned; i++)
		free(o->owned[i]);
	free(o->args);
	free(o->command);
	free(o->control);
	memset(o, 0, sizeof(*o));
}

void options_host_name(const struct options *o, char *out, size_t size)
{
	static const char scheme[] = "ssh://";
	const char *host = o->host != NULL ? o->host : "";
	bool uri = strncasecmp(host, scheme, sizeof(scheme) - 1) == 0;

	if (uri)
		host += sizeof(scheme) - 1;
	const char *at = strrchr(host, '@');
	if (at != NULL)
		host = at + 1;
	size_t len = strlen(host);
	if (uri && host[0] == '[') {
		host++;
		len = strcspn(host, "]");
	} else if (uri) {
		len = strcspn(host, ":/");
	}
	if (len >= size)
		len = size - 1;
	memcpy(out, host, len);
	out[len] = '\0';
}
