/* Runs one command many times and prints how long each run took.
 *
 *   spawnloop [-n RUNS] [-P PARALLEL] COMMAND [ARGUMENT ...]
 *
 * A run is what a script's $(command) is: stdin is /dev/null, stdout a fresh pipe that is read to
 * its end, and the run ends when both the pipe and the process have ended. The clock runs from
 * just before posix_spawn(3), so the interpreter that started us is not measured.
 *
 * One line of JSON on stdout: {"wall_s": whole time, "bytes": read from all runs,
 * "runs_ms": [...]}. A run that does not exit with 0 ends everything with status 1. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RUNS_MAX = 100000, PARALLEL_MAX = 256 };

extern char **environ;

struct loop {
	char **argv;
	long runs;
	double *took_ms;
	atomic_long next;
	atomic_long bytes;
	atomic_bool failed;
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Starts argv with stdout on a new pipe, whose reading end goes to *out. */
static bool start(char **argv, pid_t *pid, int *out)
{
	posix_spawn_file_actions_t actions;
	int ends[2];
	int error;

	/* Close-on-exec, or a run of another thread would hold our pipe open. */
	if (pipe2(ends, O_CLOEXEC) != 0) {
		perror("spawnloop: pipe");
		return false;
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	error = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	if (error != 0) {
		fprintf(stderr, "spawnloop: %s: %s\n", argv[0], strerror(error));
		close(ends[0]);
		return false;
	}
	*out = ends[0];
	return true;
}

static bool run_once(struct loop *loop, double *took_ms)
{
	char buffer[65536];
	double began = now_ms();
	pid_t pid;
	int out;
	int status;
	ssize_t n;

	if (!start(loop->argv, &pid, &out))
		return false;
	while ((n = read(out, buffer, sizeof buffer)) != 0) {
		if (n > 0)
			atomic_fetch_add(&loop->bytes, n);
		else if (errno != EINTR)
			break;
	}
	close(out);
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return false;
	}
	*took_ms = now_ms() - began;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		fprintf(stderr, "spawnloop: %s ended with wait status 0x%x\n", loop->argv[0],
			(unsigned)status);
		return false;
	}
	return true;
}

static void *work(void *arg)
{
	struct loop *loop = arg;
	long i;

	while (!atomic_load(&loop->failed) && (i = atomic_fetch_add(&loop->next, 1)) < loop->runs) {
		if (!run_once(loop, &loop->took_ms[i]))
			atomic_store(&loop->failed, true);
	}
	return NULL;
}

static bool work_in_parallel(struct loop *loop, long parallel)
{
	pthread_t threads[PARALLEL_MAX];
	long started = 0;

	/* The first slot is this thread, so that one at a time makes no thread at all. */
	for (; started < parallel - 1; started++) {
		if (pthread_create(&threads[started], NULL, work, loop) != 0) {
			perror("spawnloop: thread");
			atomic_store(&loop->failed, true);
			break;
		}
	}
	work(loop);
	for (long i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	return !atomic_load(&loop->failed);
}

static long number(const char *text, long max)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < 1 || value > max) {
		fprintf(stderr, "spawnloop: %s: not a number from 1 to %ld\n", text, max);
		exit(2);
	}
	return value;
}

static void report(const struct loop *loop, double wall_ms)
{
	printf("{\"wall_s\": %.6f, \"bytes\": %ld, \"runs_ms\": [", wall_ms / 1e3,
	       atomic_load(&loop->bytes));
	for (long i = 0; i < loop->runs; i++)
		printf("%s%.4f", i == 0 ? "" : ", ", loop->took_ms[i]);
	printf("]}\n");
}

int main(int argc, char **argv)
{
	struct loop loop = {.runs = 1};
	long parallel = 1;
	double began;
	bool ok;
	int option;

	while ((option = getopt(argc, argv, "+n:P:")) != -1) {
		if (option == 'n')
			loop.runs = number(optarg, RUNS_MAX);
		else if (option == 'P')
			parallel = number(optarg, PARALLEL_MAX);
		else
			return 2;
	}
	loop.argv = argv + optind;
	if (loop.argv[0] == NULL) {
		fprintf(stderr, "usage: spawnloop [-n runs] [-P parallel] command [...]\n");
		return 2;
	}
	loop.took_ms = calloc((size_t)loop.runs, sizeof *loop.took_ms);
	if (loop.took_ms == NULL) {
		perror("spawnloop");
		return 1;
	}
	began = now_ms();
	ok = work_in_parallel(&loop, parallel);
	if (ok)
		report(&loop, now_ms() - began);
	free(loop.took_ms);
	return ok ? 0 : 1;
}
