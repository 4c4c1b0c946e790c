/* The resolver on a real loop with the installed ssh. */
#include "tests/unit/trust_helpers.h"

#include <fcntl.h>
#include <time.h>
#include <uv.h>

#include "daemon/resolve.h"

struct fixture {
	uv_loop_t loop;
	struct resolver *r;
	char *dir, *config;
	char *env[8];
	char *args[8];
	/* what the last answer said */
	struct destination *d;
	struct cause why;
	char *words;
	int answers;
};

static char *path_in(const struct fixture *f, const char *name)
{
	return xasprintf("%s/%s", f->dir, name);
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	assert_int_equal(uv_loop_init(&f->loop), 0);
	f->r = resolver_create(&f->loop, "ssh");
	assert_non_null(f->r);
	f->dir = make_temp_dir();
	f->config = path_in(f, "config");
	f->env[0] = "PATH=/usr/bin:/bin";
	f->args[0] = "-F";
	f->args[1] = f->config;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	resolver_destroy(f->r);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	destination_unref(f->d);
	free(f->words);
	free(f->config);
	remove_temp_dir(f->dir);
	free(f);
	return 0;
}

static void on_answer(void *ctx, struct destination *d, const struct cause *why,
		      const char *ssh_words)
{
	struct fixture *f = ctx;

	destination_unref(f->d);
	free(f->words);
	f->d = d;
	f->words = ssh_words != NULL ? xstrdup(ssh_words) : NULL;
	if (d == NULL)
		f->why = *why;
	else
		assert_null(why);
	f->answers++;
}

static struct resolve_query query(struct fixture *f, const char *host)
{
	return (struct resolve_query){
		.args = f->args, .host = host, .client = {.env = f->env, .cwd = f->dir}};
}

/* Asks and waits for the answer. */
static void ask(struct fixture *f, const char *host)
{
	struct resolve_query q = query(f, host);
	int before = f->answers;

	assert_non_null(resolver_start(f->r, &q, on_answer, f));
	assert_int_equal(f->answers, before);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(f->answers, before + 1);
}

static bool cached(struct fixture *f, const char *host)
{
	struct resolve_query q = query(f, host);
	struct destination *d = resolver_lookup(f->r, &q);

	destination_unref(d);
	return d != NULL;
}

/* Sets a file's times back, so that it does not count as changed just now. ctime can't be set back:
 * the wait ends when the file system's clock has gone on for long enough. */
static void settle(const char *path)
{
	struct stat st;
	struct timespec now;

	assert_int_equal(stat(path, &st), 0);
	do {
		pause_briefly();
		clock_gettime(CLOCK_REALTIME, &now);
	} while ((now.tv_sec - st.st_ctim.tv_sec) * 1000 +
			 (now.tv_nsec - st.st_ctim.tv_nsec) / 1000000 <
		 60);
}

static void write_config(struct fixture *f, const char *text)
{
	write_file(f->config, text);
	settle(f->config);
}

static void test_hit_and_edit(void **state)
{
	struct fixture *f = *state;
	struct resolve_query q = query(f, "h");
	struct destination *d;

	write_config(f, "Host h\n Port 1234\n User joe\n");
	assert_false(cached(f, "h"));
	ask(f, "h");
	assert_non_null(f->d);
	assert_string_equal(f->d->label, "joe@h:1234");
	assert_int_equal(f->d->log_level, 0);
	assert_string_equal(f->d->log_level_name, "INFO");
	assert_null(f->words);
	d = resolver_lookup(f->r, &q);
	assert_ptr_equal(d, f->d);
	destination_unref(d);
	assert_false(cached(f, "other"));
	f->args[2] = "-4";
	assert_false(cached(f, "h"));
	f->args[2] = NULL;
	assert_true(cached(f, "h"));
	/* The same length. */
	write_file(f->config, "Host h\n Port 4321\n User joe\n");
	assert_false(cached(f, "h"));
	settle(f->config);
	ask(f, "h");
	assert_int_equal(f->d->port, 4321);
	assert_true(cached(f, "h"));
	assert_int_equal(unlink(f->config), 0);
	assert_false(cached(f, "h"));
}

static void test_fresh_edit_is_not_trusted(void **state)
{
	struct fixture *f = *state;

	write_file(f->config, "Host h\n Port 1\n");
	ask(f, "h");
	assert_int_equal(f->d->port, 1);
	assert_false(cached(f, "h"));
}

static void test_include_directory(void **state)
{
	struct fixture *f = *state;
	char *sub = path_in(f, "conf.d"), *one = path_in(f, "conf.d/a.conf");
	char *text = xasprintf("Include %s/*.conf\nHost h\n Port 7\n", sub);

	assert_int_equal(mkdir(sub, 0700), 0);
	settle(sub);
	write_config(f, text);
	ask(f, "h");
	assert_int_equal(f->d->port, 7);
	assert_true(cached(f, "h"));
	write_file(one, "Host h\n Port 8\n");
	assert_false(cached(f, "h"));
	settle(one);
	ask(f, "h");
	assert_int_equal(f->d->port, 8);
	assert_true(cached(f, "h"));
	write_file(one, "Host h\n Port 9\n");
	assert_false(cached(f, "h"));
	free(text);
	free(one);
	free(sub);
}

static void test_include_that_appears(void **state)
{
	struct fixture *f = *state;
	char *deep = path_in(f, "x"), *deeper = path_in(f, "x/y"), *file = path_in(f, "x/y/z.conf");
	char *text = xasprintf("Include %s/absent\nInclude %s/*/*/z.conf\n", f->dir, f->dir);

	assert_int_equal(mkdir(deep, 0700), 0);
	write_config(f, text);
	settle(f->dir);
	ask(f, "h");
	assert_int_equal(f->d->port, 22);
	assert_true(cached(f, "h"));
	assert_int_equal(mkdir(deeper, 0700), 0);
	assert_false(cached(f, "h"));
	settle(deeper);
	ask(f, "h");
	assert_true(cached(f, "h"));
	write_file(file, "Port 5\n");
	assert_false(cached(f, "h"));
	settle(file);
	ask(f, "h");
	assert_int_equal(f->d->port, 5);
	free(file);
	free(deeper);
	free(deep);
	free(text);
}

static void test_ssh_words(void **state)
{
	struct fixture *f = *state;

	write_config(f, "Host h\n Nonsense yes\n");
	ask(f, "h");
	assert_null(f->d);
	assert_int_equal(f->why.cls, CAUSE_CONFIG);
	assert_non_null(strstr(f->why.text, "Bad configuration option: nonsense"));
	assert_non_null(strstr(f->words, "line 2: Bad configuration option: nonsense"));
	assert_null(strstr(f->words, "debug"));
	assert_false(cached(f, "h"));
	f->args[0] = NULL;
	ask(f, "-oProxyCommand=x");
	assert_null(f->d);
	assert_non_null(strstr(f->words, "hostname contains invalid characters"));
}

static void test_log_level(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *config;
		char *arg;
		const char *level;
	} cases[] = {
		{"", NULL, "INFO"},
		{"", "-v", "DEBUG"},
		{"", "-vvv", "DEBUG3"},
		{"", "-q", "SILENT"},
		{"", "-vq", "SILENT"},
		{"", "-oLogLevel=ERROR", "ERROR"},
		{"LogLevel FATAL\n", NULL, "FATAL"},
		{"LogLevel FATAL\n", "-vv", "DEBUG2"},
		{"LogLevel VERBOSE\n", "-N", "VERBOSE"},
	};

	for (size_t i = 0; i < HW_ARRAY_LEN(cases); i++) {
		write_config(f, cases[i].config);
		f->args[2] = cases[i].arg;
		ask(f, "h");
		assert_non_null(f->d);
		assert_string_equal(f->d->log_level_name, cases[i].level);
		assert_string_equal(destination_raw(f->d, "loglevel"), cases[i].level);
		assert_null(f->words);
	}
}

/* -E names a file for the client's log: resolving must not write there. */
static void test_log_file_is_left_alone(void **state)
{
	struct fixture *f = *state;
	char *log = path_in(f, "log");

	write_config(f, "LogLevel INFO\n");
	f->args[2] = "-vE";
	f->args[3] = log;
	ask(f, "h");
	assert_non_null(f->d);
	assert_string_equal(f->d->log_level_name, "DEBUG");
	assert_int_equal(access(log, F_OK), -1);
	free(log);
}

static void test_match_exec(void **state)
{
	struct fixture *f = *state;
	char *count = path_in(f, "count");
	char *text = xasprintf("Match host m exec \"echo x >>%s; test $WHO = me\"\n"
			       " Port 99\nMatch all\n User u\n",
			       count);
	char *seen;

	write_config(f, text);
	f->env[1] = "WHO=me";
	ask(f, "m");
	assert_non_null(f->d);
	assert_int_equal(f->d->port, 99);
	assert_null(f->words);
	seen = read_file(count);
	assert_string_equal(seen, "x\n");
	free(seen);
	assert_true(cached(f, "m"));
	f->env[1] = "WHO=you";
	assert_false(cached(f, "m"));
	ask(f, "m");
	assert_int_equal(f->d->port, 22);
	assert_true(cached(f, "m"));
	/* Short-lived: gone within its two seconds, which this waits for by looking. */
	for (uint64_t start = uv_hrtime(); cached(f, "m"); pause_briefly())
		assert_true(uv_hrtime() - start < 10000000000u);
	/* What it says is said at each call, so that nothing is kept. */
	write_config(f, "Match exec \"echo from exec >&2\"\n Port 98\n");
	ask(f, "m");
	assert_int_equal(f->d->port, 98);
	assert_string_equal(f->words, "from exec\n");
	assert_false(cached(f, "m"));
	free(text);
	free(count);
}

static void test_working_directory(void **state)
{
	struct fixture *f = *state;
	struct resolve_query q;
	char *expected = path_in(f, "id");

	write_config(f, "");
	f->args[2] = "-i";
	f->args[3] = "id";
	ask(f, "h");
	assert_non_null(strstr(f->words, "Identity file id not accessible"));
	write_file(expected, "");
	ask(f, "h");
	assert_non_null(f->d);
	assert_null(f->words);
	assert_string_equal(f->d->identity_files[0], expected);
	assert_true(cached(f, "h"));
	q = query(f, "h");
	q.client.cwd = "/";
	assert_null(resolver_lookup(f->r, &q));
	free(expected);
	/* A relative -F is found where the client stands, too. */
	f->args[1] = "config";
	f->args[2] = NULL;
	write_config(f, "Port 77\n");
	ask(f, "h");
	assert_int_equal(f->d->port, 77);
	q = query(f, "h");
	q.client.cwd = "/";
	assert_null(resolver_lookup(f->r, &q));
}

static void test_agent_is_the_clients(void **state)
{
	struct fixture *f = *state;

	write_config(f, "");
	f->env[1] = "SSH_AUTH_SOCK=/tmp/one";
	ask(f, "h");
	assert_string_equal(f->d->agent_socket, "/tmp/one");
	assert_true(cached(f, "h"));
	f->env[1] = "SSH_AUTH_SOCK=/tmp/two";
	assert_false(cached(f, "h"));
	f->env[1] = NULL;
	assert_false(cached(f, "h"));
}

static void test_subsystem_without_command(void **state)
{
	struct fixture *f = *state;

	write_config(f, "");
	f->args[2] = "-s";
	ask(f, "h");
	assert_non_null(f->d);
	assert_int_equal(f->d->session_type, SESSION_SUBSYSTEM);
	assert_null(f->d->fallback);
	f->args[2] = "-f";
	ask(f, "h");
	assert_non_null(f->d);
	assert_true(f->d->fork_after_auth);
	assert_null(f->d->fallback);
}

static void test_descriptor_of_the_caller(void **state)
{
	struct fixture *f = *state;

	f->args[1] = "/dev/fd/63";
	ask(f, "h");
	assert_non_null(f->d);
	assert_non_null(f->d->fallback);
	assert_false(cached(f, "h"));
}

static void test_cancel(void **state)
{
	struct fixture *f = *state;
	struct resolve_query q = query(f, "h");
	struct resolve_job *job;
	uint64_t start = uv_hrtime();

	write_config(f, "Match exec \"sleep 20\"\n Port 9\n");
	job = resolver_start(f->r, &q, on_answer, f);
	resolve_cancel(job);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(f->answers, 0);
	/* Two share one run; the other still gets its answer when one has gone. */
	write_config(f, "Host h\n Port 9\n");
	job = resolver_start(f->r, &q, on_answer, f);
	assert_non_null(resolver_start(f->r, &q, on_answer, f));
	resolve_cancel(job);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(f->answers, 1);
	assert_int_equal(f->d->port, 9);
	assert_true(uv_hrtime() - start < 10000000000u);
}

static void test_shared_run(void **state)
{
	struct fixture *f = *state;
	struct resolve_query q = query(f, "h");
	char *count = path_in(f, "count");
	char *text = xasprintf("Match exec \"echo x >>%s\"\n Port 9\n", count), *seen;

	write_config(f, text);
	for (int i = 0; i < 20; i++)
		assert_non_null(resolver_start(f->r, &q, on_answer, f));
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(f->answers, 20);
	seen = read_file(count);
	assert_string_equal(seen, "x\n");
	free(seen);
	free(text);
	free(count);
}

static void test_many_at_once(void **state)
{
	struct fixture *f = *state;

	write_config(f, "Port 9\n");
	for (int i = 0; i < 40; i++) {
		char host[16];
		struct resolve_query q = query(f, host);

		snprintf(host, sizeof(host), "host%d", i);
		assert_non_null(resolver_start(f->r, &q, on_answer, f));
	}
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(f->answers, 40);
	assert_true(cached(f, "host0"));
	assert_true(cached(f, "host39"));
}

static void test_destroy_while_asking(void **state)
{
	struct fixture *f = *state;
	struct resolve_query q = query(f, "h");

	write_config(f, "Match exec \"sleep 20\"\n Port 9\n");
	for (int i = 0; i < 3; i++) {
		assert_non_null(resolver_start(f->r, &q, on_answer, f));
		q.host = i == 0 ? "two" : "three";
	}
	/* teardown destroys it and sees to the loop */
}

static void test_bad_program(void **state)
{
	struct fixture *f = *state;

	resolver_destroy(f->r);
	f->r = resolver_create(&f->loop, "/no.such/dir/ssh");
	ask(f, "h");
	assert_null(f->d);
	assert_non_null(strstr(f->why.text, "/no.such/dir/ssh"));
	assert_non_null(strstr(f->why.hint, "openssh-client"));
}

static void test_lookup_is_fast(void **state)
{
	struct fixture *f = *state;
	uint64_t start;

	write_config(f, "Port 9\n");
	ask(f, "h");
	start = uv_hrtime();
	for (int i = 0; i < 1000; i++)
		assert_true(cached(f, "h"));
	/* Some microseconds each; the bound leaves room for sanitizers and a busy machine. */
	assert_true(uv_hrtime() - start < 500000000u);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_hit_and_edit),
		TEST(test_fresh_edit_is_not_trusted),
		TEST(test_include_directory),
		TEST(test_include_that_appears),
		TEST(test_ssh_words),
		TEST(test_log_level),
		TEST(test_log_file_is_left_alone),
		TEST(test_match_exec),
		TEST(test_working_directory),
		TEST(test_agent_is_the_clients),
		TEST(test_subsystem_without_command),
		TEST(test_descriptor_of_the_caller),
		TEST(test_cancel),
		TEST(test_shared_run),
		TEST(test_many_at_once),
		TEST(test_destroy_while_asking),
		TEST(test_bad_program),
		TEST(test_lookup_is_fast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
