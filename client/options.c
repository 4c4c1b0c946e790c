#include "client/options.h"

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
	SOCKET_PATH,	/* -S: "none" is harmless, a path is not ours */
	LOG_FILE,
	STDIN_NULL,
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
	{'e', true, TO_SSH_G},	      {'f', false, HAND_OVER},	{'g', false, TO_SSH_G},
	{'i', true, TO_SSH_G},	      {'k', false, TO_SSH_G},	{'l', true, TO_SSH_G},
	{'m', true, TO_SSH_G},	      {'n', false, STDIN_NULL}, {'o', true, CONFIG_LINE},
	{'p', true, TO_SSH_G},	      {'q', false, QUIET},	{'s', false, TO_SSH_G},
	{'t', false, TO_SSH_G},	      {'v', false, VERBOSE},	{'x', false, TO_SSH_G},
	{'y', false, HAND_OVER},      {'A', false, TO_SSH_G},	{'B', true, TO_SSH_G},
	{'C', false, TO_SSH_G},	      {'D', true, TO_SSH_G},	{'E', true, LOG_FILE},
	{'F', true, TO_SSH_G},	      {'G', false, HAND_OVER},	{'I', true, HAND_OVER},
	{'J', true, TO_SSH_G},	      {'K', false, HAND_OVER},	{'L', true, TO_SSH_G},
	{'M', false, HAND_OVER},      {'N', false, TO_SSH_G},	{'O', true, HAND_OVER},
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

/* -o LogLevel=...: of several, ssh takes the first. Other keywords are the daemon's to judge. */
static void note_config_line(struct options *o, const char *line)
{
	static const char key[] = "loglevel";
	static const char *const levels[] = {"DEBUG", "DEBUG1", "DEBUG2", "DEBUG3"};

	line += strspn(line, " \t");
	if (strncasecmp(line, key, sizeof(key) - 1) != 0)
		return;
	line += sizeof(key) - 1;
	size_t gap = strspn(line, " \t=\"");
	if (gap == 0 || o->loglevel_set)
		return;
	line += gap;
	size_t len = strcspn(line, " \t\"");
	o->loglevel_set = true;
	if ((len == 5 && strncasecmp(line, "QUIET", len) == 0))
		o->level = -1;
	for (size_t i = 0; i < HW_ARRAY_LEN(levels); i++)
		if (strlen(levels[i]) == len && strncasecmp(line, levels[i], len) == 0)
			o->level = i == 0 ? 1 : (int)i;
}

static void hand_over(struct options *o, char letter)
{
	if (o->handover[0] == '\0')
		snprintf(o->handover, sizeof(o->handover), "option -%c", letter);
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
		if (strcasecmp(value, "none") != 0)
			hand_over(o, rule->letter);
		break;
	case LOG_FILE:
		o->log_file = value;
		break;
	case STDIN_NULL:
		o->stdin_null = true;
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

/* The word without its -E ("-qE" becomes "-q"): whoever else opened that file would write to it. */
static void add_without_log_file(struct options *o, const char *word, size_t letters)
{
	if (letters <= 1)
		return;
	if (o->nowned == HW_ARRAY_LEN(o->owned)) {
		/* Nobody types nine such words; ssh copes with them all. */
		hand_over(o, 'E');
		return;
	}
	char *copy = xstrndup(word, letters);
	o->owned[o->nowned++] = copy;
	add_arg(o, copy);
}

/* One word of options, "-46p22" or "-p" with its value in the next word. Returns the number of
 * words used, 0 when reading must stop (usage or handover tell why). */
static int scan_word(struct options *o, char **argv)
{
	char *word = argv[0];

	for (size_t i = 1; word[i] != '\0'; i++) {
		const struct option_rule *rule = find_rule(word[i]);
		if (rule == NULL) {
			o->usage = true;
			return 0;
		}
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
		if (rule->treatment == LOG_FILE) {
			add_without_log_file(o, word, i);
		} else {
			add_arg(o, word);
			if (apart)
				add_arg(o, value);
		}
		return apart ? 2 : 1;
	}
	add_arg(o, word);
	return 1;
}

/* Options from argv[i] on. Returns the index of the first word that is none, -1 to stop. *ended: a
 * "--" stood before it. */
static int scan_options(struct options *o, int argc, char **argv, int i, bool *ended)
{
	while (i < argc && argv[i][0] == '-' && argv[i][1] != '\0') {
		if (strcmp(argv[i], "--") == 0) {
			*ended = true;
			return i + 1;
		}
		int used = scan_word(o, argv + i);
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

void options_scan(struct options *o, int argc, char **argv)
{
	bool ended = false;

	memset(o, 0, sizeof(*o));
	o->args = xreallocarray(NULL, (size_t)argc + 3, sizeof(*o->args));
	int i = scan_options(o, argc, argv, argc > 0 ? 1 : 0, &ended);
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
		i = scan_options(o, argc, argv, i, &ended);
	if (i < 0)
		goto out;
	join_command(o, argc, argv, i);
out:
	o->args[o->nargs] = NULL;
}

void options_free(struct options *o)
{
	for (size_t i = 0; i < o->nowned; i++)
		free(o->owned[i]);
	free(o->args);
	free(o->command);
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
