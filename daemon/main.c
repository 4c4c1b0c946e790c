/* hawserd: options, settings, and the state that a daemon starts from. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "daemon/activation.h"
#include "daemon/app.h"
#include "daemon/config.h"
#include "protocol/alloc.h"
#include "protocol/log.h"
#include "protocol/paths.h"

#define EXIT_USAGE 2
/* sd_listen_fds(3) passes descriptors from here; those of ours and of systemd end before. */
#define FIRST_PASSED_FD 3

struct options {
	const char *socket, *config;
	bool level_given;
	enum log_level level;
	int ready_fd;
};

static const char usage_text[] =
	"usage: hawserd [--socket PATH] [--config FILE] [--log-level LEVEL] [--ready-fd N]\n"
	"               [--foreground] [--version] [--help]\n"
	"\n"
	"Holds SSH transports for hawser(1), which starts it when it is needed.\n"
	"\n"
	"  --socket PATH      serve this socket (default: $HAWSER_SOCKET, else\n"
	"                     $XDG_RUNTIME_DIR/hawser/v1.sock)\n"
	"  --config FILE      settings (default: $XDG_CONFIG_HOME/hawser/hawser.conf)\n"
	"  --log-level LEVEL  error, warn, info, debug or trace\n"
	"  --ready-fd N       write \"1\" to descriptor N once clients may connect\n"
	"  --foreground       the only mode, and the default\n";

/* < 0: go on; else the exit status. */
static int options_parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'},
		{"config", required_argument, NULL, 'c'},
		{"log-level", required_argument, NULL, 'l'},
		{"ready-fd", required_argument, NULL, 'r'},
		{"foreground", no_argument, NULL, 'f'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "hV", options, NULL)) != -1) {
		char *end;
		long number;

		switch (c) {
		case 's':
			o->socket = optarg;
			break;
		case 'c':
			o->config = optarg;
			break;
		case 'l':
			if (log_level_parse(optarg, &o->level) != HW_OK) {
				fprintf(stderr,
					"hawserd: --log-level %s: not one of error, warn, info, "
					"debug, trace\n",
					optarg);
				return EXIT_USAGE;
			}
			o->level_given = true;
			break;
		case 'r':
			errno = 0;
			number = strtol(optarg, &end, 10);
			if (errno != 0 || *optarg == '\0' || *end != '\0' ||
			    number < FIRST_PASSED_FD || number > 1 << 20 ||
			    fcntl((int)number, F_GETFD) < 0) {
				fprintf(stderr,
					"hawserd: --ready-fd %s: not an open descriptor above 2\n",
					optarg);
				return EXIT_USAGE;
			}
			o->ready_fd = (int)number;
			break;
		case 'f':
			break;
		case 'V':
			puts("hawserd " HAWSER_VERSION);
			return EXIT_SUCCESS;
		case 'h':
			fputs(usage_text, stdout);
			return EXIT_SUCCESS;
		default:
			fputs(usage_text, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "hawserd: unexpected argument \"%s\"\n%s", argv[optind], usage_text);
	return EXIT_USAGE;
}

/* Descriptors 0 to 2 must be something, else the first socket becomes one of them and is written
 * to by whoever prints. */
static void open_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static void close_range_quietly(unsigned first, unsigned last)
{
#ifdef SYS_close_range
	if (first <= last)
		syscall(SYS_close_range, first, last, 0);
#else
	(void)first;
	(void)last;
#endif
}

/* A daemon outlives who started it: no pipe or lock of theirs may stay open in here. */
static void close_inherited(int ready_fd, int listen_fd)
{
	unsigned first = listen_fd >= 0 ? (unsigned)listen_fd + 1 : FIRST_PASSED_FD;

	if (ready_fd >= (int)first) {
		close_range_quietly(first, (unsigned)ready_fd - 1);
		first = (unsigned)ready_fd + 1;
	}
	close_range_quietly(first, ~0u);
	if (ready_fd >= 0)
		fcntl(ready_fd, F_SETFD, FD_CLOEXEC);
}

/* $JOURNAL_STREAM names what systemd has connected to the journal (systemd.exec(5)). */
static bool stderr_is_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long dev, ino;
	struct stat st;

	return text && sscanf(text, "%lu:%lu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       (unsigned long)st.st_dev == dev && (unsigned long)st.st_ino == ino;
}

/* Into out, made absolute: the daemon leaves the directory that it was started in. */
static bool absolute_path(const char *path, char *out, size_t size)
{
	char *cwd = path[0] == '/' ? NULL : getcwd(NULL, 0);
	int len;

	if (path[0] != '/' && !cwd) {
		log_error("the working directory is not known, and %s is relative: %m", path);
		return false;
	}
	len = snprintf(out, size, "%s%s%s", cwd ? cwd : "", cwd ? "/" : "", path);
	free(cwd);
	if (len >= 0 && (size_t)len < size)
		return true;
	log_error("%s: the path is longer than %zu bytes", path, size - 1);
	return false;
}

static bool settings_load(const struct options *o, struct config *c)
{
	char why[1024];
	int result;

	config_defaults(c);
	if (o->level_given) {
		c->log_forced = true;
		c->log_level = o->level;
	}
	if (o->socket) {
		if (!absolute_path(o->socket, c->socket_path, sizeof(c->socket_path)))
			return false;
	} else if (paths_socket(c->socket_path, sizeof(c->socket_path), why, sizeof(why)) !=
		   HW_OK) {
		log_error("%s", why);
		return false;
	}
	if (o->config) {
		if (!absolute_path(o->config, c->file, sizeof(c->file)))
			return false;
	} else if (!paths_config(c->file, sizeof(c->file))) {
		log_warn("no place for hawser.conf is known: defaults are used");
		return true;
	}
	result = config_load(c, c->file, why, sizeof(why));
	if (result == HW_OK || (result == HW_ENOENT && !o->config))
		return true;
	log_error("%s", why);
	return false;
}

int main(int argc, char **argv)
{
	struct options options = {.ready_fd = -1};
	struct activation activation;
	struct config *config;
	char why[512];
	int status;

	open_standard_fds();
	status = options_parse(argc, argv, &options);
	if (status >= 0)
		return status;
	log_init("hawserd", STDERR_FILENO, stderr_is_journal());
	if (activation_take(&activation, why, sizeof(why)) != HW_OK) {
		log_error("%s", why);
		return EXIT_FAILURE;
	}
	close_inherited(options.ready_fd, activation.listen_fd);
	config = xcalloc(1, sizeof(*config));
	if (!settings_load(&options, config)) {
		free(config);
		return EXIT_FAILURE;
	}
	log_set_level(config->log_level);
	umask(077);
	if (chdir("/") < 0)
		log_warn("leaving the working directory failed: %m");
	status = app_run(config, &activation, options.ready_fd);
	free(config);
	return status;
}
