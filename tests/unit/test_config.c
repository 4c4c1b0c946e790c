/* hawser.conf: what is understood, and that every bad line is named with its file and line. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "daemon/config.h"
#include "daemon/config_host.h"

static char dir[64], path[96];
static char why[512];
static struct config config;

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/hawser-conf-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/hawser.conf", dir);
	config_defaults(&config);
	why[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	assert_int_equal(rmdir(dir), 0);
	return 0;
}

static int load_bytes(const char *text, size_t len)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
	return config_load(&config, path, why, sizeof(why));
}

static int load(const char *text)
{
	return load_bytes(text, strlen(text));
}

static void expect_words(const char *words)
{
	if (!strstr(why, words))
		fail_msg("\"%s\" does not say \"%s\"", why, words);
}

static void test_good(void **state)
{
	(void)state;
	assert_int_equal(load("# mine\n"
			      "; too\n"
			      "[daemon]\n"
			      "\n"
			      "ssh = /opt/openssh/bin/ssh\r\n"
			      "  log=debug  \n"
			      "hold = 1h30m\n"
			      "linger = 90s\n"
			      "drain = 0\n"
			      "transports = 64\n"
			      "clients = 7\n"
			      "queue\t=\t9\n"
			      "warm = 0\n"
			      "keepalive = 2m\n"
			      "keepalive-count = 5\n"
			      "logins = 1\n"
			      "terminal-modes = stty"),
			 HW_OK);
	assert_string_equal(config.ssh_path, "/opt/openssh/bin/ssh");
	assert_int_equal(config.log_level, LOG_LVL_DEBUG);
	assert_int_equal(config.hold_s, 5400);
	assert_int_equal(config.linger_s, 90);
	assert_int_equal(config.drain_ms, 0);
	assert_int_equal(config.max_transports, 64);
	assert_int_equal(config.max_clients, 7);
	assert_int_equal(config.max_queue, 9);
	assert_int_equal(config.warm, 0);
	assert_int_equal(config.keepalive_s, 120);
	assert_int_equal(config.keepalive_count, 5);
	assert_int_equal(config.login_threads, 1);
	assert_true(config.modes_by_stty);
	assert_int_equal(load("terminal-modes = off"), HW_OK);
	assert_false(config.modes_by_stty);
	assert_int_equal(load("terminal-modes = yes"), HW_EINVAL);
}

static void test_units(void **state)
{
	(void)state;
	assert_int_equal(load("drain = 7"), HW_OK);
	assert_int_equal(config.drain_ms, 7000);
	assert_int_equal(load("hold = 1w"), HW_OK);
	assert_int_equal(config.hold_s, 604800);
	assert_int_equal(load("hold = 2H"), HW_OK);
	assert_int_equal(config.hold_s, 7200);
	assert_int_equal(load("hold = 1m30"), HW_OK);
	assert_int_equal(config.hold_s, 90);
}

static void test_forced_level_stays(void **state)
{
	(void)state;
	config.log_forced = true;
	config.log_level = LOG_LVL_TRACE;
	assert_int_equal(load("log = error"), HW_OK);
	assert_int_equal(config.log_level, LOG_LVL_TRACE);
}

/* Each stands in line 3, after a good one that must not be kept. */
static void test_bad_lines(void **state)
{
	static const struct {
		const char *line, *words;
	} bad[] = {
		{"hold", "name = value"},
		{"hold =", "no value"},
		{"hold = soon", "\"soon\" is not a time"},
		{"hold = -1", "\"-1\" is not a time"},
		{"hold = 10x", "\"10x\" is not a time"},
		{"hold = 1m m", "is not a time"},
		{"hold = 31536001", "out of range (0 to 31536000)"},
		{"hold = 4294967296", "is not a time"},
		{"hold = 99999999999999999999999", "is not a time"},
		{"hold = 7102w", "is not a time"},
		{"hold = 600w", "out of range"},
		{"linger = 0", "out of range (1 to"},
		{"clients = 0", "out of range (1 to 65536)"},
		{"clients = 65537", "out of range"},
		{"clients = 10s", "not a whole number"},
		{"clients = 1.5", "not a whole number"},
		{"transports = 65", "out of range"},
		{"log = loud", "not one of error, warn"},
		{"ssh = bin/ssh", "a path from /"},
		{"HostName = x", "unknown setting \"HostName\""},
		{"= 5", "unknown setting \"\""},
		{"[web1]", "unknown section \"[web1]\""},
		{"[hosts web1]", "unknown section"},
		{"[host web1", "no \"]\" at its end"},
		{"[", "no \"]\" at its end"},
		{"[host]", "needs a pattern"},
		{"[host !web1 !web2]", "needs a pattern that is not negated"},
		{"[host web1,web2]", "a space separates them"},
		{"[host web1 ! web2]", "\"!\" is no pattern"},
		{"sticky = maybe", "sticky: \"maybe\" is neither yes nor no"},
		{"keep = 1", "neither yes nor no"},
		{"warm = 1", "set twice (first in line 2)"},
	};
	struct config before = config;
	char text[512];

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(bad); i++) {
		snprintf(text, sizeof(text), "\nwarm = 3\n%s\n", bad[i].line);
		assert_int_equal(load(text), HW_EINVAL);
		snprintf(text, sizeof(text), "%s:3: ", path);
		assert_int_equal(strncmp(why, text, strlen(text)), 0);
		expect_words(bad[i].words);
		assert_memory_equal(&config, &before, sizeof(config));
	}
}

static struct config_host host(const char *typed, const char *hostname)
{
	struct config_host h;

	config_for_host(&config, typed, hostname, &h);
	return h;
}

static void test_hosts(void **state)
{
	(void)state;
	assert_int_equal(load("reconnect = 7\n"
			      "[host web1 Build*]\n"
			      "  sticky = yes\n"
			      "reconnect = 1m\n"
			      "[ host\t* !web9 ]\n"),
			 HW_EINVAL); /* as it stands, with a space before the word */
	assert_int_equal(load("reconnect = 7\n"
			      "[host web1 Build*]\n"
			      "  sticky = yes\n"
			      "reconnect = 1m\n"
			      "[host\t* !web9 ]\r\n"
			      "reconnect = 2m\n"
			      "sticky = no\n"
			      "max-age = 1h\n"
			      "keep = yes\n"
			      "[daemon]\n"
			      "max-age = 5\n"
			      "[host web9]\n"
			      "sticky = yes\n"),
			 HW_OK);
	assert_int_equal(config.nsections, 3);
	/* The first that matches and says it, key by key. */
	assert_true(host("web1", "10.0.0.1").sticky);
	assert_int_equal(host("web1", "10.0.0.1").reconnect_s, 60);
	assert_int_equal(host("web1", "10.0.0.1").max_age_s, 3600);
	assert_true(host("web1", "10.0.0.1").keep);
	assert_false(host("web2", "web2").sticky);
	assert_int_equal(host("web2", "web2").reconnect_s, 120);
	/* By either name, whatever their case. */
	assert_true(host("w", "web1").sticky);
	assert_true(host("BUILD-7", "10.0.0.1").sticky);
	assert_true(host("w", "build.example").sticky);
	/* A name that is negated excludes, whichever it is. */
	assert_true(host("web9", "10.0.0.9").sticky);
	assert_int_equal(host("web9", "10.0.0.9").reconnect_s, 7);
	assert_int_equal(host("w", "web9").max_age_s, 5);
	assert_false(host("w", "web9").keep);
	/* What stands around a host does not count. */
	assert_true(host("root@web1", "10.0.0.1").sticky);
	assert_true(host("ssh://me@web1:2222", "10.0.0.1").sticky);
	assert_true(host("ssh://WEB1", "10.0.0.1").sticky);
	assert_int_equal(load("[host ::1]\nsticky = yes"), HW_OK);
	assert_true(host("me@::1", "localhost").sticky);
	assert_true(host("ssh://[::1]:22", "localhost").sticky);
	/* Another file's sections are not added to those that were there. */
	assert_int_equal(config.nsections, 1);
	assert_int_equal(load("sticky = yes\n[host web1]\nsticky = no"), HW_OK);
	assert_true(host("web2", "web2").sticky);
	assert_false(host("web1", "web1").sticky);
}

static void test_sections_are_checked(void **state)
{
	(void)state;
	assert_int_equal(load("[host a]\nwarm = 1\n"), HW_EINVAL);
	expect_words(":2: warm holds for all hosts");
	assert_int_equal(load("[host a]\nwarmth = 1\n"), HW_EINVAL);
	expect_words(":2: unknown setting");
	assert_int_equal(load("[host a]\nkeep = no\nkeep = no\n"), HW_EINVAL);
	expect_words(":3: keep is set twice (first in line 2)");
	assert_int_equal(load("keep = no\n[host a]\nkeep = no\n[daemon]\nkeep = no\n"), HW_EINVAL);
	expect_words(":5: keep is set twice (first in line 1)");
	assert_int_equal(load("[host a]\nmax-age = 60w\n"), HW_EINVAL);
	expect_words(":2: max-age: 60w is out of range");
}

static void test_sections_are_bounded(void **state)
{
	size_t size = 0;
	char *text = NULL, number[32];
	FILE *f = open_memstream(&text, &size);

	(void)state;
	assert_non_null(f);
	for (unsigned i = 0; i < CONFIG_SECTIONS_MAX; i++)
		fprintf(f, "[host h%u]\n", i);
	fflush(f);
	assert_int_equal(load(text), HW_OK);
	fputs("[host more]\n", f);
	fclose(f);
	assert_int_equal(load(text), HW_EINVAL);
	snprintf(number, sizeof(number), ":%u: more than %u", CONFIG_SECTIONS_MAX + 1,
		 CONFIG_SECTIONS_MAX);
	expect_words(number);
	free(text);
	text = malloc(CONFIG_PATTERNS_MAX + 32);
	assert_non_null(text);
	for (size_t fits = 0; fits < 2; fits++) {
		size_t len = CONFIG_PATTERNS_MAX - 1 - fits; /* "a," stands before */

		memcpy(text, "[host a ", 8);
		memset(text + 8, 'x', len);
		memcpy(text + 8 + len, "]\n", 3);
		assert_int_equal(load(text), fits ? HW_OK : HW_EINVAL);
		if (!fits)
			expect_words("pass 4096 bytes");
	}
	free(text);
}

static void test_bad_files(void **state)
{
	static char big[70000];
	char long_path[400] = "ssh = /";

	(void)state;
	assert_int_equal(config_load(&config, path, why, sizeof(why)), HW_ENOENT);
	assert_int_equal(load_bytes("warm = 2\nho\0ld = 1\n", 20), HW_EINVAL);
	expect_words(":2: ");
	expect_words("NUL");
	memset(big, '\n', sizeof(big));
	assert_int_equal(load_bytes(big, sizeof(big)), HW_EINVAL);
	expect_words("larger than");
	memset(long_path + 7, 'x', 300);
	assert_int_equal(load(long_path), HW_EINVAL);
	expect_words(":1: ssh: the path is longer");
	assert_int_equal(config_load(&config, dir, why, sizeof(why)), HW_EPERM);
	expect_words("not a regular file");
	assert_int_equal(load("warm = 2\n"), HW_OK);
	assert_int_equal(chmod(path, 0622), 0);
	assert_int_equal(config_load(&config, path, why, sizeof(why)), HW_EPERM);
	expect_words("others may write");
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(config_load(&config, path, why, sizeof(why)), HW_EPERM);
	unlink(path);
	assert_int_equal(symlink("hawser.conf", path), 0);
	assert_int_equal(config_load(&config, path, why, sizeof(why)), HW_ESYS);
	expect_words(path);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_good),
		TEST(test_units),
		TEST(test_forced_level_stays),
		TEST(test_bad_lines),
		TEST(test_bad_files),
		TEST(test_hosts),
		TEST(test_sections_are_checked),
		TEST(test_sections_are_bounded),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
