#include "daemon/resolve_ask.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/destination_proxy.h"
#include "daemon/destination_values.h"
#include "daemon/expand.h"
#include "daemon/resolve_jump.h"
#include "daemon/resolve_run.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

#define ANSWER_TIMEOUT_MS   30000u /* a command of Match exec may take its time */
#define DEFAULTS_TIMEOUT_MS 10000u
#define LOG_LEVEL_LINE	    "loglevel "
#define DEPTH_VARIABLE	    "HAWSER_DEPTH"
#define JUMPS_MAX	    16u /* hosts on the way to one */

extern char **environ;

struct resolve_ssh {
	unsigned refs;
	char *name;
	pthread_mutex_t file_lock;
	char *file; /* the program's path, or NULL while it was not found; by file_lock */
	pthread_mutex_t defaults_lock; /* for the rest; held while ssh is asked for them */
	struct stat asked;	       /* the program when it gave its defaults */
	char *defaults;		       /* ssh -F none -G, or NULL */
};

/* One question: what stays the same between the runs that it may take. */
struct question {
	const char *file;
	const struct resolve_query *q;
	int cancel_fd;
	bool needs_command;	     /* ssh wants a command to stand there (-s, -f) */
	const struct question *from; /* whose jump host this one is about, or NULL */
	unsigned jumps;		     /* on the way here */
};

struct resolve_ssh *resolve_ssh_create(const char *name)
{
	struct resolve_ssh *s = xcalloc(1, sizeof(*s));

	s->refs = 1;
	s->name = xstrdup(name);
	pthread_mutex_init(&s->file_lock, NULL);
	pthread_mutex_init(&s->defaults_lock, NULL);
	return s;
}

struct resolve_ssh *resolve_ssh_ref(struct resolve_ssh *s)
{
	__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

void resolve_ssh_unref(struct resolve_ssh *s)
{
	if (s == NULL || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	pthread_mutex_destroy(&s->file_lock);
	pthread_mutex_destroy(&s->defaults_lock);
	free(s->name);
	free(s->file);
	free(s->defaults);
	free(s);
}

/* A link named ssh that leads to hawser would make the daemon ask itself for ever. */
static bool is_hawser(const char *path)
{
	char real[PATH_MAX];
	const char *slash;

	if (realpath(path, real) == NULL)
		return false;
	slash = strrchr(real, '/');
	return strncmp(slash != NULL ? slash + 1 : real, "hawser", strlen("hawser")) == 0;
}

static char *find_program(const char *name)
{
	const char *search = getenv("PATH");
	char **dirs, *found = NULL;

	if (strchr(name, '/') != NULL)
		return access(name, X_OK) == 0 ? xstrdup(name) : NULL;
	dirs = vector_split(search != NULL && search[0] != '\0' ? search : "/usr/bin:/bin", ":");
	for (char **dir = dirs; *dir != NULL && found == NULL; dir++) {
		char *path = xasprintf("%s/%s", *dir, name);

		if (path[0] == '/' && access(path, X_OK) == 0 && !is_hawser(path))
			found = path;
		else
			free(path);
	}
	strv_free(dirs);
	return found;
}

/* The program's path, a copy on the heap; NULL: there is none. */
static char *program_file(struct resolve_ssh *s)
{
	char *file;

	pthread_mutex_lock(&s->file_lock);
	if (s->file == NULL || access(s->file, X_OK) != 0) {
		free(s->file);
		s->file = find_program(s->name);
	}
	file = s->file != NULL ? xstrdup(s->file) : NULL;
	pthread_mutex_unlock(&s->file_lock);
	return file;
}

/* The lock is held. */
static void ask_defaults(struct resolve_ssh *s, const char *file)
{
	char *argv[] = {"ssh", "-F", "none", "-G", "--", "localhost", NULL};
	struct resolve_output o;
	int r = resolve_run(file, argv, environ, "/", -1, DEFAULTS_TIMEOUT_MS, &o);

	free(s->defaults);
	s->defaults = NULL;
	if (r == HW_OK && WIFEXITED(o.status) && WEXITSTATUS(o.status) == 0) {
		s->defaults = o.out;
		o.out = NULL;
	} else {
		log_warn("%s -F none -G gave no answer: all options count as chosen", file);
	}
	resolve_output_finish(&o);
}

/* What ssh answers without any configuration, a copy on the heap; NULL: it gave no answer. Asked
 * again when the program is another one. */
static char *program_defaults(struct resolve_ssh *s, const char *file)
{
	struct stat st;
	char *defaults;

	pthread_mutex_lock(&s->defaults_lock);
	if (stat(file, &st) == 0 &&
	    (s->defaults == NULL || st.st_ino != s->asked.st_ino || st.st_dev != s->asked.st_dev ||
	     st.st_ctim.tv_sec != s->asked.st_ctim.tv_sec ||
	     st.st_ctim.tv_nsec != s->asked.st_ctim.tv_nsec)) {
		s->asked = st;
		ask_defaults(s, file);
	}
	defaults = s->defaults != NULL ? xstrdup(s->defaults) : NULL;
	pthread_mutex_unlock(&s->defaults_lock);
	return defaults;
}

void resolve_ssh_prepare(struct resolve_ssh *s)
{
	char *file = program_file(s);

	if (file != NULL)
		free(program_defaults(s, file));
	free(file);
}

unsigned resolve_depth(char *const *env)
{
	const char *value = expand_getenv(env, DEPTH_VARIABLE, strlen(DEPTH_VARIABLE));
	unsigned long depth = value != NULL ? strtoul(value, NULL, 10) : 0;

	return depth > RESOLVE_DEPTH_MAX ? RESOLVE_DEPTH_MAX + 1 : (unsigned)depth;
}

/* The client's, one deeper. The strings are borrowed, but for *depth. */
static char **child_environment(char *const *env, char **depth)
{
	static char *const none[] = {NULL};
	char **copy;
	size_t n = 0;

	if (env == NULL)
		env = none;
	*depth = xasprintf(DEPTH_VARIABLE "=%u", resolve_depth(env) + 1);
	copy = xcalloc(strv_len(env) + 2, sizeof(*copy));
	for (; *env != NULL; env++) {
		if (strncmp(*env, DEPTH_VARIABLE "=", sizeof(DEPTH_VARIABLE)) != 0)
			copy[n++] = *env;
	}
	copy[n] = *depth;
	return copy;
}

/* One run. -G comes first, so that nothing in args can make ssh connect; what must win over args
 * comes last: the log goes to the pipe even where the user named a file (-E). */
static int run(const struct question *w, char *const *last, struct resolve_output *o)
{
	size_t nargs = strv_len(w->q->args), nlast = strv_len((char *const *)last), n = 0;
	char **argv = xcalloc(nargs + nlast + 8, sizeof(*argv));
	const char *cwd = w->q->client.cwd != NULL ? w->q->client.cwd : "/";
	char *depth, **env = child_environment(w->q->client.env, &depth);
	int r;

	argv[n++] = "ssh";
	argv[n++] = "-G";
	for (size_t i = 0; i < nargs; i++)
		argv[n++] = w->q->args[i];
	argv[n++] = "-E";
	argv[n++] = "/dev/stderr";
	for (size_t i = 0; i < nlast; i++)
		argv[n++] = last[i];
	argv[n++] = "--";
	argv[n++] = (char *)(uintptr_t)w->q->host;
	if (w->needs_command)
		argv[n++] = "true";
	r = resolve_run(w->file, argv, env, cwd, w->cancel_fd, ANSWER_TIMEOUT_MS, o);
	free(argv);
	free(env);
	free(depth);
	return r;
}

static bool answered(int r, const struct resolve_output *o)
{
	return r == HW_OK && WIFEXITED(o->status) && WEXITSTATUS(o->status) == 0;
}

/* What a person would have read: the log without the lines that our own -vvv brought. */
static char *words_of(const char *log)
{
	char *words = xmalloc(strlen(log) + 2);
	size_t used = 0;

	while (*log != '\0') {
		size_t len = strcspn(log, "\n");
		bool ours = (strncmp(log, "debug", 5) == 0 && log[5] >= '1' && log[5] <= '3' &&
			     log[6] == ':') ||
			    strncmp(log, "OpenSSH_", 8) == 0 ||
			    strncmp(log, "Pseudo-terminal will not be allocated because", 45) == 0;

		if (!ours && len > 0 && log[0] != '\r') {
			size_t bare = len - (log[len - 1] == '\r');

			memcpy(words + used, log, bare);
			used += bare;
			words[used++] = '\n';
		}
		log += len + (log[len] == '\n');
	}
	words[used] = '\0';
	if (used == 0) {
		free(words);
		return NULL;
	}
	return words;
}

/* Can one of the arguments set the log level? Taking too many for it costs a run, no more. */
static bool args_set_level(char *const *args)
{
	for (; args != NULL && *args != NULL; args++) {
		if (strcasestr(*args, "loglevel") != NULL)
			return true;
		if ((*args)[0] == '-' && (*args)[1] != 'o' && strpbrk(*args, "qv") != NULL)
			return true;
	}
	return false;
}

/* The verbose run says DEBUG3. What the user's own words give takes a second look, only where there
 * are such words, and without the configuration (and its commands) where they are not in it. */
static char *log_level(const struct question *w, const struct resolve_files *files)
{
	static char *const without_files[] = {"-F", "none", NULL};
	static char *const plain[] = {NULL};
	struct resolve_output o;
	char *level = NULL;
	const char *line;

	/* A jump host has no words of its own for the user. */
	if (w->from != NULL || (!files->log_level && !args_set_level(w->q->args)))
		return xstrdup("INFO");
	if (answered(run(w, files->log_level ? plain : without_files, &o), &o)) {
		line = strstr(o.out, "\n" LOG_LEVEL_LINE);
		if (line != NULL) {
			line += 1 + strlen(LOG_LEVEL_LINE);
			level = xstrndup(line, strcspn(line, "\r\n"));
		}
	}
	resolve_output_finish(&o);
	return level != NULL ? level : xstrdup("INFO");
}

static char *with_level(const char *text, const char *level)
{
	const char *line = strstr(text, "\n" LOG_LEVEL_LINE);
	size_t before, rest;

	if (line == NULL)
		return xasprintf("%s" LOG_LEVEL_LINE "%s\n", text, level);
	before = (size_t)(line - text) + 1 + strlen(LOG_LEVEL_LINE);
	rest = before + strcspn(text + before, "\n");
	return xasprintf("%.*s%s%s", (int)before, text, level, text + rest);
}

/* ssh wants a command with -s and -f, which stands elsewhere in a query. */
static bool wants_command(const char *log)
{
	return strstr(log, "must specify a subsystem") != NULL ||
	       strstr(log, "without a command to execute") != NULL;
}

static bool has_remote_command(const char *log)
{
	return strstr(log, "command-line and remote command") != NULL;
}

static void explain(struct resolve_answer *a, const struct resolve_query *q, int r,
		    const struct resolve_output *o)
{
	const char *last = a->words;

	if (r == HW_ETIMEOUT) {
		cause_set(&a->why, CAUSE_CONFIG,
			  "ssh -G for %s gave no answer within %u seconds (a command of Match exec "
			  "or a slow file system?)",
			  q->host, ANSWER_TIMEOUT_MS / 1000);
	} else if (r == HW_ETOOBIG) {
		cause_set(&a->why, CAUSE_CONFIG, "The answer of ssh -G for %s is over %u KiB",
			  q->host, RESOLVE_OUTPUT_MAX / 1024);
	} else if (r == HW_OK && WIFSIGNALED(o->status)) {
		cause_set(&a->why, CAUSE_CONFIG, "ssh -G for %s was killed by signal %d", q->host,
			  WTERMSIG(o->status));
	} else {
		/* The first line says what is wrong, later ones sum up. */
		cause_set(&a->why, CAUSE_CONFIG, "ssh does not accept the options for %s: %.*s",
			  q->host, last != NULL ? (int)strcspn(last, "\n") : 12,
			  last != NULL ? last : "(no message)");
	}
	cause_hint(&a->why, "Try: ssh -G %s", q->host);
}

/* Files that are named by descriptors of the caller's cannot be read here, nor by a child. */
static bool names_descriptor(char *const *args)
{
	for (; args != NULL && *args != NULL; args++) {
		if (strstr(*args, "/dev/fd/") != NULL || strstr(*args, "/dev/stdin") != NULL ||
		    strstr(*args, "/proc/self/") != NULL)
			return true;
	}
	return false;
}

static void set_fallback(struct destination *d, const char *phrase)
{
	if (d != NULL && d->fallback == NULL)
		d->fallback = xstrdup(phrase);
}

/* The defaults are wanted last, since on a fresh daemon they are being asked for meanwhile. */
static void parse_answer(struct resolve_ssh *s, const struct question *w, const char *text,
			 struct resolve_answer *a)
{
	char *defaults = program_defaults(s, w->file);
	char *level = log_level(w, &a->files), *whole = with_level(text, level);
	struct client_context client = w->q->client;

	client.args = w->q->args;
	a->d = destination_parse(whole, defaults, w->q->host, &client, &a->why);
	if (a->files.match_command)
		set_fallback(a->d, "Match command is used");
	free(whole);
	free(level);
	free(defaults);
}

/* Nothing that ssh would say about the caller's own descriptors can be known here. */
static void parse_defaults(struct resolve_ssh *s, const struct question *w,
			   struct resolve_answer *a)
{
	char *defaults = program_defaults(s, w->file);

	a->d = destination_parse(defaults != NULL ? defaults : "", defaults, w->q->host,
				 &w->q->client, &a->why);
	a->files.unsettled = true;
	set_fallback(a->d, "a file is named by a descriptor of the caller's");
	free(defaults);
}

static void ask_ssh(struct resolve_ssh *s, struct question *w, struct resolve_answer *a)
{
	static char *const verbose[] = {"-vvv", NULL};
	struct resolve_output o;
	struct timespec since;
	int r;

	clock_gettime(CLOCK_REALTIME, &since);
	r = run(w, verbose, &o);
	if (r == HW_OK && !answered(r, &o) && wants_command(o.err)) {
		struct resolve_output first = o;

		w->needs_command = true;
		r = run(w, verbose, &o);
		if (r == HW_OK && !answered(r, &o) && has_remote_command(o.err)) {
			/* Ours was one too many: what was said without it stands. */
			struct resolve_output second = o;

			o = first;
			first = second;
		}
		resolve_output_finish(&first);
	}
	a->words = words_of(o.err);
	if (r == HW_ESYS) {
		cause_set(&a->why, CAUSE_CONFIG, "%s could not be started for %s: %s", w->file,
			  w->q->host, strerror(errno));
	} else if (!answered(r, &o)) {
		explain(a, w->q, r, &o);
	} else {
		const char *cwd = w->q->client.cwd != NULL ? w->q->client.cwd : "/";

		resolve_files_collect(&a->files, o.err, cwd, w->file, &since);
		parse_answer(s, w, o.out, a);
	}
	resolve_output_finish(&o);
}

static void ask(struct resolve_ssh *s, struct question *w, struct resolve_answer *a);

/* Is it asked for on its own behalf? -W, the last two words, names who is behind it. */
static bool is_loop(const struct question *from, char *const *args, const char *host)
{
	for (; from != NULL && from->from != NULL; from = from->from) {
		char *const *before = from->q->args;
		size_t n = strv_len(before), i = 0;

		if (strcmp(from->q->host, host) != 0 || n != strv_len(args))
			continue;
		while (i + 1 < n && strcmp(before[i], args[i]) == 0)
			i++;
		if (i + 1 == n)
			return true;
	}
	return false;
}

/* The answer for a destination needs the one for its jump host. */
static void take_jump(struct resolve_answer *a, struct resolve_answer *jump)
{
	char *words = a->words;

	if (jump->words != NULL) {
		a->words = xasprintf("%s%s", words != NULL ? words : "", jump->words);
		free(words);
	}
	resolve_files_merge(&a->files, &jump->files);
	if (jump->d != NULL) {
		destination_set_jump(a->d, jump->d);
		jump->d = NULL;
		return;
	}
	destination_unref(a->d);
	a->d = NULL;
	a->why = jump->why;
	if (jump->words == NULL) {
		/* They would be taken for the reason. */
		free(a->words);
		a->words = NULL;
	}
}

static void follow_jump(struct resolve_ssh *s, const struct question *w, struct resolve_answer *a)
{
	struct destination_hop hop;
	struct resolve_answer answer = {0};
	struct resolve_query q = *w->q;
	struct question next = {.file = w->file,
				.q = &q,
				.cancel_fd = w->cancel_fd,
				.from = w,
				.jumps = w->jumps + 1};
	char **args;

	if (a->d == NULL || a->d->fallback != NULL || a->d->jump_spec == NULL)
		return;
	destination_hop_parse(a->d->jump_spec, &hop);
	args = resolve_jump_args(a->d, &hop, w->q->args);
	q.args = args;
	q.host = hop.host;
	if (is_loop(w, args, hop.host)) {
		cause_set(&answer.why, CAUSE_CONFIG, "jumphost loop via %s", hop.host);
		cause_hint(&answer.why, "see ProxyJump in the configuration of %s", hop.host);
	} else if (next.jumps > JUMPS_MAX) {
		cause_set(&answer.why, CAUSE_CONFIG, "more than %u jump hosts on the way (at %s)",
			  JUMPS_MAX, hop.host);
		cause_hint(&answer.why, "see ProxyJump in the configuration of %s", hop.host);
	} else {
		ask(s, &next, &answer);
	}
	take_jump(a, &answer);
	resolve_answer_finish(&answer);
	strv_free(args);
	destination_hop_finish(&hop);
}

static void ask(struct resolve_ssh *s, struct question *w, struct resolve_answer *a)
{
	memset(a, 0, sizeof(*a));
	if (names_descriptor(w->q->args)) {
		parse_defaults(s, w, a);
		return;
	}
	ask_ssh(s, w, a);
	follow_jump(s, w, a);
}

void resolve_ask(struct resolve_ssh *s, const struct resolve_query *q, int cancel_fd,
		 struct resolve_answer *a)
{
	char *file = program_file(s);
	struct question w = {.file = file, .q = q, .cancel_fd = cancel_fd};

	memset(a, 0, sizeof(*a));
	if (resolve_depth(q->client.env) > RESOLVE_DEPTH_MAX) {
		cause_set(&a->why, CAUSE_CONFIG,
			  "%s: a command of Match exec leads to itself: it runs hawser, %u deep",
			  q->host, RESOLVE_DEPTH_MAX);
		cause_hint(&a->why, "narrow that Match down by host, or originalhost, before exec");
	} else if (file != NULL) {
		ask(s, &w, a);
	} else {
		cause_set(&a->why, CAUSE_CONFIG,
			  "No OpenSSH client (%s) was found to read the configuration for %s",
			  s->name, q->host);
		cause_hint(&a->why, "Install openssh-client, or set `ssh` in hawser.conf");
	}
	free(file);
}

void resolve_answer_finish(struct resolve_answer *a)
{
	destination_unref(a->d);
	free(a->words);
	resolve_files_finish(&a->files);
	memset(a, 0, sizeof(*a));
}
