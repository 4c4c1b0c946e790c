/* Measures how long one byte takes through a command and back.
 *
 *   pingpong [-t] [-n COUNT] [-w WARM] [-i GAP_MS] [-d DEADLINE_S] COMMAND [ARGUMENT ...]
 *
 * The command must print '@' when it is ready and then give back every byte (a remote
 * `printf @; exec cat`). With -t it gets a terminal of its own, as a person's ssh has, set to raw
 * so that the local line discipline echoes nothing; else its stdin and stdout are pipes.
 * WARM exchanges come before those that count; GAP_MS is waited before each, as a typist would.
 *
 * One line of JSON, milliseconds: {"count", "min", "p50", "p90", "p99", "max"}. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { COUNT_MAX = 1000000 };

struct peer {
	pid_t pid;
	int to;
	int from;
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void sleep_ms(double ms)
{
	struct timespec t = {.tv_sec = (time_t)(ms / 1e3)};

	t.tv_nsec = (long)((ms - (double)t.tv_sec * 1e3) * 1e6);
	if (ms > 0)
		nanosleep(&t, NULL);
}

static void die(const char *what)
{
	fprintf(stderr, "pingpong: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void exec_child(char **argv)
{
	execvp(argv[0], argv);
	fprintf(stderr, "pingpong: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static void start_on_pipes(struct peer *peer, char **argv)
{
	int in[2];
	int out[2];

	if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
		die("pipe");
	peer->pid = fork();
	if (peer->pid < 0)
		die("fork");
	if (peer->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		exec_child(argv);
	}
	close(in[0]);
	close(out[1]);
	peer->to = in[1];
	peer->from = out[0];
}

static void start_on_terminal(struct peer *peer, char **argv)
{
	struct termios mode;
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	int slave;

	if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
		die("pseudo-terminal");
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0 || tcgetattr(slave, &mode) != 0)
		die("pseudo-terminal");
	cfmakeraw(&mode);
	tcsetattr(slave, TCSANOW, &mode);
	peer->pid = fork();
	if (peer->pid < 0)
		die("fork");
	if (peer->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		setsid();
		ioctl(slave, TIOCSCTTY, 0);
		dup2(slave, STDIN_FILENO);
		dup2(slave, STDOUT_FILENO);
		exec_child(argv);
	}
	close(slave);
	peer->to = master;
	peer->from = master;
}

/* The next byte from the peer; ends the program when none comes before the deadline. */
static char next_byte(const struct peer *peer, double deadline)
{
	struct pollfd ready = {.fd = peer->from, .events = POLLIN};
	double left = deadline - now_ms();
	char byte;

	if (left <= 0 || poll(&ready, 1, (int)left + 1) == 0) {
		fprintf(stderr, "pingpong: no answer before the deadline\n");
		kill(peer->pid, SIGTERM);
		exit(1);
	}
	if (read(peer->from, &byte, 1) != 1) {
		fprintf(stderr, "pingpong: the command ended\n");
		kill(peer->pid, SIGTERM);
		exit(1);
	}
	return byte;
}

static double exchange(const struct peer *peer, int i, double deadline)
{
	char byte = (char)('a' + i % 26);
	double began = now_ms();

	if (write(peer->to, &byte, 1) != 1)
		die("write");
	while (next_byte(peer, deadline) != byte)
		;
	return now_ms() - began;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static void report(double *took, int count)
{
	qsort(took, (size_t)count, sizeof *took, ascending);
	printf("{\"count\": %d, \"min\": %.4f, \"p50\": %.4f, \"p90\": %.4f, \"p99\": %.4f, "
	       "\"max\": %.4f}\n",
	       count, took[0], took[count / 2], took[count * 9 / 10], took[count * 99 / 100],
	       took[count - 1]);
}

int main(int argc, char **argv)
{
	bool terminal = false;
	int count = 200;
	int warm = 5;
	double gap = 0;
	double limit = 60e3;
	double deadline;
	double *took;
	struct peer peer;
	int option;

	while ((option = getopt(argc, argv, "+tn:w:i:d:")) != -1) {
		if (option == 't')
			terminal = true;
		else if (option == 'n')
			count = (int)strtol(optarg, NULL, 10);
		else if (option == 'w')
			warm = (int)strtol(optarg, NULL, 10);
		else if (option == 'i')
			gap = strtod(optarg, NULL);
		else if (option == 'd')
			limit = strtod(optarg, NULL) * 1e3;
		else
			return 2;
	}
	if (argv[optind] == NULL || count < 1 || count > COUNT_MAX || warm < 0) {
		fprintf(stderr, "usage: pingpong [-t] [-n count] [-w warm] [-i gap_ms] "
				"[-d deadline_s] command [...]\n");
		return 2;
	}
	took = calloc((size_t)count, sizeof *took);
	if (took == NULL)
		die("memory");
	signal(SIGPIPE, SIG_IGN);
	(terminal ? start_on_terminal : start_on_pipes)(&peer, argv + optind);
	deadline = now_ms() + limit;
	while (next_byte(&peer, deadline) != '@')
		;
	for (int i = -warm; i < count; i++) {
		double ms;

		sleep_ms(gap);
		ms = exchange(&peer, i + warm, deadline);
		if (i >= 0)
			took[i] = ms;
	}
	kill(peer.pid, SIGTERM);
	close(peer.to);
	if (!terminal)
		close(peer.from);
	waitpid(peer.pid, NULL, 0);
	report(took, count);
	free(took);
	return 0;
}
