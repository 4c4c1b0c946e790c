/* What the tests of destinations, resolving and trust share: temporary directories, files, and real
 * programs run to the end. Every failure ends the test. */
#ifndef HAWSER_TESTS_TRUST_HELPERS_H
#define HAWSER_TESTS_TRUST_HELPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/resolve_run.h"
#include "protocol/alloc.h"

extern char **environ;

/* A new directory below /tmp, on the heap. */
static inline char *make_temp_dir(void)
{
	char *dir = xstrdup("/tmp/hawser-test-XXXXXX");

	assert_non_null(mkdtemp(dir));
	return dir;
}

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static inline void remove_temp_dir(char *dir)
{
	assert_int_equal(nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
	free(dir);
}

static inline void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static inline char *read_file(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = xcalloc(1, 65536);

	assert_non_null(f);
	(void)!fread(text, 1, 65535, f);
	fclose(f);
	return text;
}

/* Between two looks at something that is waited for, with a deadline of the caller's. */
static inline void pause_briefly(void)
{
	poll(NULL, 0, 5);
}

/* stdout of argv (a program of /usr/bin), which must exit with `status`. On the heap. */
static inline char *run_program(char *const *argv, int status)
{
	struct resolve_output o;
	char *file = xasprintf("/usr/bin/%s", argv[0]), *out;

	assert_int_equal(resolve_run(file, argv, environ, "/", -1, 30000, &o), HW_OK);
	free(file);
	if (!WIFEXITED(o.status) || WEXITSTATUS(o.status) != status)
		fail_msg("%s: status %#x: %s%s", argv[0], (unsigned)o.status, o.out, o.err);
	out = o.out;
	o.out = NULL;
	resolve_output_finish(&o);
	return out;
}

#define RUN(...) run_program((char *[]){__VA_ARGS__, NULL}, 0)

#endif
