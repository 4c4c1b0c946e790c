/* What systemd passes, in the way it passes it: descriptor 3 and the environment. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <netinet/in.h>
#include <cmocka.h>
#include "daemon/activation.h"

#define PASSED 3

static char dir[64];
static char why[256];
static int spare; /* keeps what the test runner has at descriptor 3 */

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/hawser-act-XXXXXX");
	assert_non_null(mkdtemp(dir));
	spare = fcntl(PASSED, F_DUPFD_CLOEXEC, 10);
	close(PASSED);
	why[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(PASSED);
	if (spare >= 0) {
		assert_int_equal(dup2(spare, PASSED), PASSED);
		close(spare);
	}
	assert_null(getenv("LISTEN_PID"));
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_FDNAMES"));
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_int_equal(rmdir(dir), 0);
	return 0;
}

static void set_environment(pid_t pid, const char *count)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", (long)pid);
	setenv("LISTEN_PID", text, 1);
	setenv("LISTEN_FDS", count, 1);
	setenv("LISTEN_FDNAMES", "hawser.socket", 1);
}

/* A socket at descriptor 3, inheritable as systemd leaves it. */
static void pass_socket(int domain, int type, bool listening)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(domain, type, 0);

	assert_true(fd >= 0);
	if (fd != PASSED) {
		assert_int_equal(dup2(fd, PASSED), PASSED);
		close(fd);
	}
	if (domain == AF_UNIX) {
		snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", dir);
		assert_int_equal(bind(PASSED, (struct sockaddr *)&address, sizeof(address)), 0);
		assert_int_equal(unlink(address.sun_path), 0);
	}
	if (listening)
		assert_int_equal(listen(PASSED, 5), 0);
}

static void expect_refused(const char *words)
{
	struct activation a;

	assert_int_equal(activation_take(&a, why, sizeof(why)), HW_EINVAL);
	assert_int_equal(a.listen_fd, -1);
	if (!strstr(why, words))
		fail_msg("\"%s\" does not say \"%s\"", why, words);
}

static void expect_nothing(void)
{
	struct activation a;

	assert_int_equal(activation_take(&a, why, sizeof(why)), HW_OK);
	assert_int_equal(a.listen_fd, -1);
}

static void test_takes_the_socket(void **state)
{
	struct activation a;

	(void)state;
	pass_socket(AF_UNIX, SOCK_STREAM, true);
	assert_int_equal(fcntl(PASSED, F_GETFD) & FD_CLOEXEC, 0);
	set_environment(getpid(), "1");
	assert_int_equal(activation_take(&a, why, sizeof(why)), HW_OK);
	assert_int_equal(a.listen_fd, PASSED);
	assert_true(fcntl(PASSED, F_GETFD) & FD_CLOEXEC);
	/* The words are gone: once is enough. */
	expect_nothing();
}

static void test_not_ours(void **state)
{
	(void)state;
	expect_nothing();
	pass_socket(AF_UNIX, SOCK_STREAM, true);
	set_environment(getppid(), "1");
	expect_nothing();
	set_environment(getpid(), "0");
	expect_nothing();
	set_environment(getpid(), "1");
	unsetenv("LISTEN_PID");
	expect_nothing();
}

static void test_not_servable(void **state)
{
	(void)state;
	set_environment(getpid(), "1");
	expect_refused("not open");
	pass_socket(AF_UNIX, SOCK_STREAM, false);
	set_environment(getpid(), "1");
	expect_refused("not listening");
	close(PASSED);
	pass_socket(AF_UNIX, SOCK_SEQPACKET, true);
	set_environment(getpid(), "1");
	expect_refused("not a stream");
	close(PASSED);
	pass_socket(AF_INET, SOCK_STREAM, false);
	set_environment(getpid(), "1");
	expect_refused("not a Unix");
	set_environment(getpid(), "2");
	expect_refused("serves one");
	set_environment(getpid(), "many");
	expect_refused("LISTEN_FDS=many");
	set_environment(getpid(), "-1");
	expect_refused("LISTEN_FDS=-1");
	set_environment(getpid(), "");
	expect_refused("makes no sense");
}

static void expect_notified(const char *name, bool abstract)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct activation a;
	size_t len = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char got[64];
	ssize_t n;

	assert_true(fd >= 0);
	memcpy(address.sun_path, name, len);
	if (abstract)
		address.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
			 0);
	setenv("NOTIFY_SOCKET", name, 1);
	assert_int_equal(activation_take(&a, why, sizeof(why)), HW_OK);
	activation_notify(&a, "READY=1");
	n = recv(fd, got, sizeof(got), MSG_DONTWAIT);
	assert_int_equal(n, 7);
	assert_memory_equal(got, "READY=1", 7);
	close(fd);
	if (!abstract)
		unlink(name);
}

static void test_notifies(void **state)
{
	struct activation quiet = {.listen_fd = -1};
	char name[108];

	(void)state;
	snprintf(name, sizeof(name), "%s/notify", dir);
	expect_notified(name, false);
	snprintf(name, sizeof(name), "@hawser-test-%ld", (long)getpid());
	expect_notified(name, true);
	activation_notify(&quiet, "READY=1"); /* not under systemd: nothing, and no complaint */
	setenv("NOTIFY_SOCKET", "vsock:2:1234", 1);
	assert_int_equal(activation_take(&quiet, why, sizeof(why)), HW_OK);
	assert_string_equal(quiet.notify, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_takes_the_socket),
		TEST(test_not_ours),
		TEST(test_not_servable),
		TEST(test_notifies),
	};

	return cmocka_run_group_tests_name("activation", tests, NULL, NULL);
}
