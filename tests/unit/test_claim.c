/* One daemon per socket path: races, stale and live sockets, what is in the way. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "daemon/claim.h"

#define RACERS	   20
#define NO_WAIT_MS 0u
#define WAIT_MS	   5000u

static char dir[64], path[108];
static char why[512];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/hawser-claim-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/v1.sock", dir);
	why[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	char name[128];

	(void)state;
	unlink(path);
	snprintf(name, sizeof(name), "%s" CLAIM_LOCK_SUFFIX, path);
	unlink(name);
	assert_int_equal(rmdir(dir), 0); /* nothing else was left in it */
	return 0;
}

static enum claim_result take(struct claim *c, unsigned wait_ms)
{
	return claim_take(path, wait_ms, c, why, sizeof(why));
}

static void drop(struct claim *c)
{
	claim_release(c);
	close(c->fd);
}

static int connect_path(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void expect_words(const char *words)
{
	if (!strstr(why, words))
		fail_msg("\"%s\" does not say \"%s\"", why, words);
}

static void test_modes_and_release(void **state)
{
	struct claim c;
	struct stat st;
	mode_t mask = umask(0);

	(void)state;
	assert_int_equal(take(&c, NO_WAIT_MS), CLAIM_OK);
	assert_int_equal(umask(mask), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(fcntl(c.fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(c.lock_fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(c.fd, F_GETFL) & O_NONBLOCK);
	drop(&c);
	assert_int_equal(stat(path, &st), -1);
	claim_release(&c);
	assert_int_equal(take(&c, NO_WAIT_MS), CLAIM_OK);
	drop(&c);
}

/* Claims in a child, tells how it went, and keeps what it has until it is killed. go: the starting
 * shot is the end of file. */
static pid_t start_claimer(const int go[2], int result)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct claim c;
		char byte, told;

		prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when the test fails */
		close(go[1]);
		if (read(go[0], &byte, 1) != 0)
			_exit(1);
		told = (char)('0' + take(&c, WAIT_MS));
		if (write(result, &told, 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	return pid;
}

static enum claim_result read_result(int result)
{
	char told;

	assert_int_equal(read(result, &told, 1), 1);
	return (enum claim_result)(told - '0');
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_race(void **state)
{
	pid_t pids[RACERS];
	int go[2], result[2], served = 0, won = 0, fd;

	(void)state;
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	assert_int_equal(pipe2(result, O_CLOEXEC), 0);
	for (int i = 0; i < RACERS; i++)
		pids[i] = start_claimer(go, result[1]);
	close(go[0]);
	close(go[1]);
	for (int i = 0; i < RACERS; i++) {
		enum claim_result told = read_result(result[0]);

		won += told == CLAIM_OK;
		served += told == CLAIM_SERVED;
	}
	assert_int_equal(won, 1);
	assert_int_equal(served, RACERS - 1);
	fd = connect_path();
	assert_true(fd >= 0);
	close(fd);
	for (int i = 0; i < RACERS; i++)
		end_child(pids[i]);
	close(result[0]);
	close(result[1]);
}

/* Starts a claimer at once; it has claimed when this returns. */
static pid_t start_winner(void)
{
	int go[2], result[2];
	pid_t pid;

	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	assert_int_equal(pipe2(result, O_CLOEXEC), 0);
	pid = start_claimer(go, result[1]);
	close(go[0]);
	close(go[1]);
	assert_int_equal(read_result(result[0]), CLAIM_OK);
	close(result[0]);
	close(result[1]);
	return pid;
}

static void test_stale_is_replaced(void **state)
{
	struct claim c;
	struct stat st;
	int fd;

	(void)state;
	end_child(start_winner());
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(connect_path(), -1);
	assert_int_equal(take(&c, NO_WAIT_MS), CLAIM_OK);
	fd = connect_path();
	assert_true(fd >= 0);
	close(fd);
	drop(&c);
}

static void expect_same_socket(const struct stat *before)
{
	struct stat st;
	int fd = connect_path();

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_ino, before->st_ino);
	assert_true(fd >= 0);
	close(fd);
}

/* Not with the lock held by its daemon, and not when somebody removed the lock file. */
static void test_live_is_never_unlinked(void **state)
{
	pid_t daemon = start_winner();
	struct claim c;
	struct stat before;
	char lock[128];

	(void)state;
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(take(&c, NO_WAIT_MS), CLAIM_SERVED);
	expect_words("another hawserd serves");
	expect_same_socket(&before);
	snprintf(lock, sizeof(lock), "%s" CLAIM_LOCK_SUFFIX, path);
	assert_int_equal(unlink(lock), 0);
	assert_int_equal(take(&c, NO_WAIT_MS), CLAIM_SERVED);
	assert_int_equal(c.lock_fd, -1);
	expect_same_socket(&before);
	end_child(daemon);
}

/* Its accept queue is full and nobody takes from it: it lives all the same. */
static void test_full_backlog_is_live(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), waiting[8];
	struct claim c;

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 0), 0);
	for (size_t i = 0; i < 8; i++) {
		waiting[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (connect(waiting[i], (struct sockaddr *)&address, sizeof(address)) < 0)
			assert_int_equal(errno, EAGAIN);
	}
	assert_int_equal(take(&c, NO_WAIT_MS), CLAIM_SERVED);
	for (size_t i = 0; i < 8; i++)
		close(waiting[i]);
	close(fd);
}

static void test_holder_that_does_not_answer(void **state)
{
	struct claim holder, c;

	(void)state;
	assert_int_equal(take(&holder, NO_WAIT_MS), CLAIM_OK);
	close(holder.fd); /* bound, nobody listens, but the lock is held */
	assert_int_equal(take(&c, 50), CLAIM_FAILED);
	expect_words("may hang");
	claim_release(&holder);
}

/* A daemon that steps aside loses nobody: who has connected is in its queue, who comes now finds
 * no socket, and a new daemon waits for the outcome. */
static void test_park(void **state)
{
	struct claim c;
	int go[2], result[2], early, accepted;
	pid_t other;

	(void)state;
	assert_int_equal(take(&c, NO_WAIT_MS), CLAIM_OK);
	early = connect_path();
	assert_true(early >= 0);
	claim_park(&c);
	assert_int_equal(connect_path(), -1);
	assert_int_equal(errno, ENOENT);
	accepted = accept(c.fd, NULL, NULL);
	assert_true(accepted >= 0);
	close(accepted);
	close(early);
	claim_unpark(&c);
	early = connect_path();
	assert_true(early >= 0);
	close(early);

	claim_park(&c);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	assert_int_equal(pipe2(result, O_CLOEXEC), 0);
	other = start_claimer(go, result[1]);
	close(go[0]);
	close(go[1]);
	drop(&c);
	assert_int_equal(read_result(result[0]), CLAIM_OK);
	end_child(other);
	close(result[0]);
	close(result[1]);
}

static void test_release_leaves_what_is_not_ours(void **state)
{
	struct claim c;
	struct stat st;
	int fd;

	(void)state;
	assert_int_equal(take(&c, NO_WAIT_MS), CLAIM_OK);
	assert_int_equal(unlink(path), 0);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	drop(&c);
	assert_int_equal(stat(path, &st), 0);
}

static void test_file_in_the_way(void **state)
{
	struct claim c;
	struct stat st;
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(take(&c, NO_WAIT_MS), CLAIM_FAILED);
	expect_words("is not a socket");
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

static void test_directory_of_wrong_mode(void **state)
{
	struct claim c;

	(void)state;
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(take(&c, NO_WAIT_MS), CLAIM_FAILED);
	expect_words(dir);
}

static void test_path_too_long(void **state)
{
	char longest[200];
	struct claim c;

	(void)state;
	snprintf(longest, sizeof(longest), "%s/%0*d", dir, 107 - (int)strlen(dir), 1);
	assert_int_equal(strlen(longest), 108);
	assert_int_equal(claim_take(longest, NO_WAIT_MS, &c, why, sizeof(why)), CLAIM_FAILED);
	expect_words("108");
	expect_words("107");
	/* One byte less just fits, with its lock beside it. */
	longest[107] = '\0';
	assert_int_equal(claim_take(longest, NO_WAIT_MS, &c, why, sizeof(why)), CLAIM_OK);
	claim_park(&c);
	drop(&c);
	snprintf(longest + 107, sizeof(longest) - 107, CLAIM_LOCK_SUFFIX);
	assert_int_equal(unlink(longest), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_modes_and_release),
		TEST(test_race),
		TEST(test_stale_is_replaced),
		TEST(test_live_is_never_unlinked),
		TEST(test_full_backlog_is_live),
		TEST(test_holder_that_does_not_answer),
		TEST(test_park),
		TEST(test_release_leaves_what_is_not_ours),
		TEST(test_file_in_the_way),
		TEST(test_directory_of_wrong_mode),
		TEST(test_path_too_long),
	};

	return cmocka_run_group_tests_name("claim", tests, NULL, NULL);
}
