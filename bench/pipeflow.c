/* Carries a known number of bytes through a command's pipe and says how fast that went.
 *
 *   pipeflow down BYTES COMMAND ...   reads the command's stdout to its end
 *   pipeflow up BYTES COMMAND ...     writes BYTES to the command's stdin and closes it; the
 *                                     command's stdout is passed on
 *
 * BYTES 0 with `down` means: read until SIGTERM, then end the command too. Fewer or more bytes
 * than said is an error, so a transfer that was cut short never counts as a fast one.
 *
 * One line of JSON: {"bytes": N, "seconds": S}, on stdout (down) or stderr (up). The clock runs
 * from just before the command is started until it has ended. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 256 * 1024 };

static volatile sig_atomic_t stopped;

static void on_term(int signal_number)
{
	(void)signal_number;
	stopped = 1;
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Starts argv with a pipe on its stdin (up) or stdout (down); *mine is our end. */
static pid_t start(char **argv, bool up, int *mine)
{
	int ends[2];
	int theirs = up ? 0 : 1;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0) {
		perror("pipeflow: pipe");
		exit(1);
	}
	pid = fork();
	if (pid < 0) {
		perror("pipeflow: fork");
		exit(1);
	}
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);

		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (!up && null >= 0)
			dup2(null, STDIN_FILENO);
		dup2(ends[theirs], up ? STDIN_FILENO : STDOUT_FILENO);
		execvp(argv[0], argv);
		fprintf(stderr, "pipeflow: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(ends[theirs]);
	*mine = ends[1 - theirs];
	return pid;
}

static uint64_t drain(int fd, char *block)
{
	uint64_t total = 0;

	while (!stopped) {
		ssize_t n = read(fd, block, BLOCK);

		if (n == 0)
			break;
		if (n > 0) {
			total += (uint64_t)n;
		} else if (errno != EINTR) {
			perror("pipeflow: read");
			break;
		}
	}
	return total;
}

static uint64_t feed(int fd, char *block, uint64_t want)
{
	uint64_t total = 0;

	while (total < want && !stopped) {
		uint64_t left = want - total;
		ssize_t n = write(fd, block, left < BLOCK ? (size_t)left : (size_t)BLOCK);

		if (n > 0) {
			total += (uint64_t)n;
		} else if (n < 0 && errno != EINTR) {
			perror("pipeflow: write");
			break;
		}
	}
	return total;
}

static bool ended_well(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return false;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	fprintf(stderr, "pipeflow: the command ended with wait status 0x%x\n", (unsigned)status);
	return false;
}

int main(int argc, char **argv)
{
	struct sigaction on_stop = {.sa_handler = on_term}; /* no SA_RESTART: read must return */
	char *block = calloc(1, BLOCK);
	bool up = argc > 1 && strcmp(argv[1], "up") == 0;
	uint64_t want;
	uint64_t moved;
	double began;
	pid_t pid;
	int fd;

	if (argc < 4 || (!up && strcmp(argv[1], "down") != 0) || block == NULL) {
		fprintf(stderr, "usage: pipeflow down|up bytes command [...]\n");
		return 2;
	}
	want = strtoull(argv[2], NULL, 10);
	sigaction(SIGTERM, &on_stop, NULL);
	signal(SIGPIPE, SIG_IGN);
	began = now_s();
	pid = start(argv + 3, up, &fd);
	moved = up ? feed(fd, block, want) : drain(fd, block);
	close(fd);
	free(block);
	if (stopped) {
		kill(pid, SIGTERM);
		waitpid(pid, NULL, 0);
	} else if (!ended_well(pid)) {
		return 1;
	}
	fprintf(up ? stderr : stdout, "{\"bytes\": %llu, \"seconds\": %.6f}\n",
		(unsigned long long)moved, now_s() - began);
	if (!stopped && moved != want) {
		fprintf(stderr, "pipeflow: %llu bytes moved, %llu expected\n",
			(unsigned long long)moved, (unsigned long long)want);
		return 1;
	}
	return 0;
}
