/* The cache alone: its bound, what is never kept, and answers whose files must not be looked at. */
#include "tests/unit/trust_helpers.h"

#include <time.h>

#include "daemon/resolve_cache.h"

static char *env[] = {"A=1", NULL};
static char *args[] = {"-4", NULL};

static struct destination *make(const char *extra)
{
	static const struct client_context client = {.env = env, .cwd = "/"};
	char *text = xasprintf("user u\nhostname h\nport 22\n%s\n", extra);
	struct cause why;
	struct destination *d = destination_parse(text, NULL, "h", &client, &why);

	assert_non_null(d);
	free(text);
	return d;
}

static struct resolve_query query(const char *host)
{
	return (struct resolve_query){
		.args = args, .host = host, .client = {.env = env, .cwd = "/"}};
}

static bool has(struct resolve_cache *c, const char *host)
{
	struct resolve_query q = query(host);
	struct destination *d = resolve_cache_get(c, &q);

	destination_unref(d);
	return d != NULL;
}

static void put(struct resolve_cache *c, const char *host, struct destination *d,
		struct resolve_files files)
{
	struct resolve_query q = query(host);

	resolve_cache_put(c, &q, d, &files);
	assert_null(files.files);
}

static void test_least_recently_used_goes(void **state)
{
	struct resolve_cache *c = resolve_cache_create();
	struct destination *d = make("");
	char host[32];
	unsigned kept = 0;

	(void)state;
	for (unsigned i = 0; i < RESOLVE_CACHE_MAX + 44; i++) {
		snprintf(host, sizeof(host), "h%u", i);
		put(c, host, d, (struct resolve_files){0});
		assert_true(has(c, "h0"));
	}
	for (unsigned i = 0; i < RESOLVE_CACHE_MAX + 44; i++) {
		snprintf(host, sizeof(host), "h%u", i);
		kept += has(c, host);
	}
	assert_int_equal(kept, RESOLVE_CACHE_MAX);
	assert_false(has(c, "h1"));
	assert_false(has(c, "h44"));
	assert_true(has(c, "h45"));
	resolve_cache_destroy(c);
	destination_unref(d);
}

static void test_newer_replaces(void **state)
{
	struct resolve_cache *c = resolve_cache_create();
	struct destination *one = make(""), *two = make("compression yes"), *got;
	struct resolve_query q = query("h");

	(void)state;
	put(c, "h", one, (struct resolve_files){0});
	put(c, "h", two, (struct resolve_files){0});
	got = resolve_cache_get(c, &q);
	assert_ptr_equal(got, two);
	destination_unref(got);
	/* one that can't be trusted drives out the old one too */
	put(c, "h", one, (struct resolve_files){.unsettled = true});
	assert_false(has(c, "h"));
	put(c, "h", one, (struct resolve_files){.match_command = true});
	assert_false(has(c, "h"));
	resolve_cache_destroy(c);
	destination_unref(one);
	destination_unref(two);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct resolve_files one_file(const char *path, bool remote)
{
	struct resolve_files f = {
		.files = xcalloc(1, sizeof(*f.files)), .count = 1, .remote = remote};

	f.files[0].path = xstrdup(path);
	return f;
}

/* Files on a server are not looked at: such an answer only ages. (The file here is there, though it
 * was noted as absent, so that a look would show.) */
static struct resolve_files files_of(const char *first, const char *second)
{
	struct resolve_files f = {.count = 2, .files = xcalloc(2, sizeof(*f.files))};

	f.files[0].path = xstrdup(first);
	f.files[1].path = xstrdup(second);
	return f;
}

/* An answer that rests on another one, a jump host's, rests on that one's files. */
static void test_merged_files(void **state)
{
	struct resolve_files f = files_of("/no/a", "/no/b"), other = files_of("/no/b", "/");

	(void)state;
	other.executed = true;
	assert_true(resolve_files_unchanged(&f));
	resolve_files_merge(&f, &other);
	assert_int_equal(f.count, 3);
	assert_true(f.executed && !f.remote);
	assert_int_equal(other.count, 0);
	/* "/" is said to be absent. */
	assert_false(resolve_files_unchanged(&f));
	resolve_files_finish(&f);
}

static void test_jump_host_counts(void **state)
{
	struct resolve_cache *c = resolve_cache_create();
	struct destination *d = make("proxyjump j"), *plain = make("proxyjump j");
	struct resolve_query elsewhere = query("behind");

	(void)state;
	elsewhere.client.cwd = "/elsewhere";
	destination_set_jump(d, make("identityfile relative"));
	destination_set_jump(plain, make("identityfile /absolute"));
	put(c, "behind", d, (struct resolve_files){0});
	assert_true(has(c, "behind"));
	assert_null(resolve_cache_get(c, &elsewhere));
	put(c, "behind", plain, (struct resolve_files){0});
	destination_unref(plain);
	plain = resolve_cache_get(c, &elsewhere);
	assert_non_null(plain);
	destination_unref(plain);
	destination_unref(d);
	resolve_cache_destroy(c);
}

static void test_lifetimes(void **state)
{
	struct resolve_cache *c = resolve_cache_create();
	struct destination *d = make(""), *canonical = make("canonicalizehostname true");
	double start;

	(void)state;
	put(c, "looked-at", d, one_file("/etc/passwd", false));
	assert_false(has(c, "looked-at"));
	put(c, "absent", d, one_file("/no.such/dir", false));
	assert_true(has(c, "absent"));
	start = now();
	put(c, "remote", d, one_file("/etc/passwd", true));
	put(c, "executed", d, (struct resolve_files){.executed = true});
	put(c, "many", d, (struct resolve_files){.overflow = true});
	put(c, "changing", d, (struct resolve_files){.changing = true});
	put(c, "canonical", canonical, (struct resolve_files){0});
	assert_true(has(c, "remote") && has(c, "executed") && has(c, "many") &&
		    has(c, "changing") && has(c, "canonical"));
	for (; has(c, "changing"); pause_briefly())
		assert_true(now() - start < 10);
	assert_true(now() - start > 1.9);
	assert_false(has(c, "remote") || has(c, "executed") || has(c, "many"));
	assert_true(has(c, "canonical") && has(c, "absent"));
	resolve_cache_destroy(c);
	destination_unref(canonical);
	destination_unref(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_least_recently_used_goes),
		cmocka_unit_test(test_newer_replaces),
		cmocka_unit_test(test_merged_files),
		cmocka_unit_test(test_jump_host_counts),
		cmocka_unit_test(test_lifetimes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
