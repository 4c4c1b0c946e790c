/* Where things live, by environment; and which directories may hold the socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "protocol/alloc.h"
#include "protocol/paths.h"

static char why[256];

static int setup(void **state)
{
	static const char *const variables[] = {"HAWSER_SOCKET", "XDG_RUNTIME_DIR",
						"XDG_CONFIG_HOME", "XDG_STATE_HOME"};
	for (size_t i = 0; i < HW_ARRAY_LEN(variables); i++)
		unsetenv(variables[i]);
	setenv("HOME", "/home/u", 1);
	char *dir = xstrdup("/tmp/hawser-test-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	why[0] = '\0';
	*state = dir;
	return 0;
}

static int teardown(void **state)
{
	char *dir = *state;
	int r = rmdir(dir); /* each test leaves it empty */
	free(dir);
	return r;
}

static void socket_by_environment(void **state)
{
	(void)state;
	char out[HW_SOCKET_PATH_MAX + 1], want[64];

	snprintf(want, sizeof(want), "/tmp/hawser-%u/v1.sock", (unsigned)geteuid());
	assert_int_equal(paths_socket(out, sizeof(out), why, sizeof(why)), HW_OK);
	assert_string_equal(out, want);
	setenv("XDG_RUNTIME_DIR", "", 1);
	assert_int_equal(paths_socket(out, sizeof(out), why, sizeof(why)), HW_OK);
	assert_string_equal(out, want);
	setenv("XDG_RUNTIME_DIR", "relative", 1); /* does not count */
	assert_int_equal(paths_socket(out, sizeof(out), why, sizeof(why)), HW_OK);
	assert_string_equal(out, want);
	setenv("XDG_RUNTIME_DIR", "/run/user/1", 1);
	assert_int_equal(paths_socket(out, sizeof(out), why, sizeof(why)), HW_OK);
	assert_string_equal(out, "/run/user/1/hawser/v1.sock");
	setenv("HAWSER_SOCKET", "/a/b", 1);
	assert_int_equal(paths_socket(out, sizeof(out), why, sizeof(why)), HW_OK);
	assert_string_equal(out, "/a/b");
	setenv("HAWSER_SOCKET", "b.sock", 1);
	assert_int_equal(paths_socket(out, sizeof(out), why, sizeof(why)), HW_EINVAL);
	assert_non_null(strstr(why, "HAWSER_SOCKET"));
	assert_non_null(strstr(why, "b.sock"));
}

static void socket_too_long(void **state)
{
	(void)state;
	char out[200], value[120];
	struct sockaddr_un address;

	assert_int_equal(HW_SOCKET_PATH_MAX, sizeof(address.sun_path) - 1);
	for (size_t len = HW_SOCKET_PATH_MAX; len <= HW_SOCKET_PATH_MAX + 1; len++) {
		bool fits = len == HW_SOCKET_PATH_MAX;
		memset(value, 'd', len);
		value[0] = '/';
		value[len] = '\0';
		setenv("HAWSER_SOCKET", value, 1);
		assert_int_equal(paths_socket(out, sizeof(out), why, sizeof(why)),
				 fits ? HW_OK : HW_ETOOBIG);
	}
	assert_non_null(strstr(why, "HAWSER_SOCKET gives"));
	/* A caller's buffer that is too small is as bad. */
	setenv("HAWSER_SOCKET", "/abcd", 1);
	assert_int_equal(paths_socket(out, 5, why, sizeof(why)), HW_ETOOBIG);
	assert_int_equal(paths_socket(out, 6, why, sizeof(why)), HW_OK);
	unsetenv("HAWSER_SOCKET");
	setenv("XDG_RUNTIME_DIR", value, 1);
	assert_int_equal(paths_socket(out, sizeof(out), why, sizeof(why)), HW_ETOOBIG);
	assert_non_null(strstr(why, "XDG_RUNTIME_DIR"));
	assert_non_null(strstr(why, "107"));
}

static void config_and_state(void **state)
{
	(void)state;
	char out[64];

	assert_true(paths_config(out, sizeof(out)));
	assert_string_equal(out, "/home/u/.config/hawser/hawser.conf");
	assert_true(paths_state_dir(out, sizeof(out)));
	assert_string_equal(out, "/home/u/.local/state/hawser");
	assert_false(paths_config(out, 10));
	setenv("XDG_CONFIG_HOME", "/c", 1);
	setenv("XDG_STATE_HOME", "/s", 1);
	assert_true(paths_config(out, sizeof(out)));
	assert_string_equal(out, "/c/hawser/hawser.conf");
	assert_true(paths_state_dir(out, sizeof(out)));
	assert_string_equal(out, "/s/hawser");
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("HOME");
	assert_false(paths_config(out, sizeof(out)));
}

static void directory_is_made(void **state)
{
	char *socket = xasprintf("%s/hawser/v1.sock", (char *)*state);
	char *dir = xasprintf("%s/hawser", (char *)*state);
	struct stat st;

	mode_t old = umask(0);
	for (int i = 0; i < 2; i++) { /* made, then found */
		assert_int_equal(paths_prepare_dir(socket, why, sizeof(why)), HW_OK);
		assert_int_equal(lstat(dir, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0700);
	}
	umask(old);
	rmdir(dir);
	free(dir);
	free(socket);
}

static void prepare_and_free(char *socket, int want, const char *words)
{
	why[0] = '\0';
	assert_int_equal(paths_prepare_dir(socket, why, sizeof(why)), want);
	if (!strstr(why, words))
		fail_msg("\"%s\" is not in \"%s\"", words, why);
	free(socket);
}

static void directory_is_refused(void **state)
{
	const char *base = *state;
	char *dir = xasprintf("%s/d", base), *link = xasprintf("%s/l", base);

	/* Open to others, in each of the ways. */
	assert_int_equal(mkdir(dir, 0700), 0);
	for (unsigned bit = 0; bit < 6; bit++) {
		assert_int_equal(chmod(dir, 0700 | 1u << bit), 0);
		prepare_and_free(xasprintf("%s/s", dir), HW_EPERM, "chmod 700");
	}
	assert_int_equal(chmod(dir, 0700), 0);
	/* A link to a good directory is still a link: it may be another's tomorrow. */
	assert_int_equal(symlink(dir, link), 0);
	prepare_and_free(xasprintf("%s/s", link), HW_EPERM, "symbolic link");
	unlink(link);
	assert_int_equal(symlink("/nowhere/at/all", link), 0);
	prepare_and_free(xasprintf("%s/s", link), HW_EPERM, "symbolic link");
	unlink(link);
	rmdir(dir);

	FILE *f = fopen(dir, "w");
	assert_non_null(f);
	fclose(f);
	prepare_and_free(xasprintf("%s/s", dir), HW_EPERM, "not a directory");
	unlink(dir);

	prepare_and_free(xasprintf("%s/no/d/s", base), HW_ESYS, "No such file");
	prepare_and_free(xstrdup("/v1.sock"), HW_EPERM, "a directory of its own");
	prepare_and_free(xstrdup("v1.sock"), HW_EPERM, "a directory of its own");
	free(dir);
	free(link);
}

/* Another user's directory. The suite runs as root, who can make one; any other user finds /proc/1
 * in the hands of root. */
static void directory_of_another(void **state)
{
	char *dir = xasprintf("%s/o", (char *)*state);
	if (geteuid() == 0) {
		assert_int_equal(mkdir(dir, 0700), 0);
		assert_int_equal(chown(dir, 12345, 12345), 0);
		prepare_and_free(xasprintf("%s/s", dir), HW_EPERM, "another user");
		rmdir(dir);
	} else {
		prepare_and_free(xstrdup("/proc/1/s"), HW_EPERM, "another user");
	}
	free(dir);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(socket_by_environment), T(socket_too_long),	   T(config_and_state),
		T(directory_is_made),	  T(directory_is_refused), T(directory_of_another),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
