/* hawserctl: its command line, and what people and programs get to read. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "client/ctl.h"
#include "client/ctl_print.h"
#include "protocol/encode.h"
#include "protocol/frame.h"

#define HEADER_SIZE 4

static bool parse(struct ctl *c, const char *const *words)
{
	char *argv[8] = {(char *)(uintptr_t) "hawserctl"};
	int argc = 1;

	for (; words[argc - 1] != NULL; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc - 1];
	/* What it says about wrong usage is not this test's to show. */
	int saved = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY);
	fflush(stderr);
	dup2(null, STDERR_FILENO);
	bool fine = ctl_parse(c, argc, argv);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(null);
	return fine;
}

static void test_command_line(void **state)
{
	static const struct {
		const char *argv[6], *verb, *args[3];
		bool json;
	} good[] = {
		{{"list"}, "list", {NULL}, false},
		{{"--json", "list"}, "list", {NULL}, true},
		{{"status", "web1", "--json"}, "status", {"web1"}, true},
		{{"status"}, "status", {NULL}, false},
		{{"close", "web1"}, "close", {"web1"}, false},
		{{"close", "--force", "web1"}, "close", {"web1", "force"}, false},
		{{"close", "web1", "--force"}, "close", {"web1", "force"}, false},
		{{"stop"}, "stop", {NULL}, false},
		{{"stop", "--now"}, "stop", {"now"}, false},
		{{"loglevel", "debug"}, "loglevel", {"debug"}, false},
	};
	static const char *const bad[][4] = {
		{NULL},
		{"nothing"},
		{"close"},
		{"list", "x"},
		{"list", "--now"},
		{"stop", "--force"},
		{"status", "a", "b"},
		{"--now", "stop"},
		{"-x"},
	};
	struct ctl c;

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(good); i++) {
		size_t n = 0;
		assert_true(parse(&c, good[i].argv));
		assert_string_equal(c.verb, good[i].verb);
		for (; good[i].args[n] != NULL; n++)
			assert_string_equal(c.args[n], good[i].args[n]);
		assert_int_equal(c.nargs, n);
		assert_int_equal(c.json, good[i].json);
	}
	for (size_t i = 0; i < HW_ARRAY_LEN(bad); i++)
		assert_false(parse(&c, bad[i]));
	assert_true(parse(&c, (const char *const[]){"--help", NULL}));
	assert_true(c.help);
	assert_true(parse(&c, (const char *const[]){"--version", NULL}));
	assert_true(c.version);
}

static void test_ages_and_sizes(void **state)
{
	static const struct {
		double seconds;
		const char *text;
	} ages[] = {
		{0, "0ms"},	{0.25, "250ms"}, {1, "1s"},	 {59.9, "59s"}, {60, "1m"},
		{192, "3m12s"}, {3600, "1h"},	 {3660, "1h1m"}, {86400, "1d"}, {187200, "2d4h"},
		{-1, "-"},	{NAN, "-"},	 {1e300, "-"},
	};
	static const struct {
		uint64_t bytes;
		const char *text;
	} sizes[] = {
		{0, "0"},	   {1023, "1023"},	  {1024, "1.0K"},	 {1536, "1.5K"},
		{1048575, "1.0M"}, {123456789, "117.7M"}, {UINT64_MAX, "16.0E"},
	};
	char out[32];

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(ages); i++) {
		ctl_format_age(ages[i].seconds, out, sizeof(out));
		assert_string_equal(out, ages[i].text);
	}
	for (size_t i = 0; i < HW_ARRAY_LEN(sizes); i++) {
		ctl_format_size(sizes[i].bytes, out, sizeof(out));
		assert_string_equal(out, sizes[i].text);
	}
}

/* A reply as it comes over the wire, printed by one of the printers. */
static char *printed(struct reply *reply, void (*print)(FILE *, const struct ctl_reply *))
{
	struct proto_message m;
	struct ctl_reply r;
	size_t len, size;
	char *text = NULL;
	uint8_t *frame = reply_encode(reply, 1, &len);

	reply_destroy(reply);
	assert_non_null(frame);
	assert_int_equal(proto_parse(frame + HEADER_SIZE, len - HEADER_SIZE, &m), HW_OK);
	assert_int_equal(ctl_reply_decode(&r, &m), HW_OK);
	FILE *f = open_memstream(&text, &size);
	print(f, &r);
	fclose(f);
	ctl_reply_free(&r);
	proto_message_finish(&m);
	free(frame);
	return text;
}

static struct reply *transports(void)
{
	struct reply *r = reply_create();

	reply_item(r);
	reply_uint(r, "id", 7);
	reply_str(r, "label", "u@h:22");
	reply_double(r, "age_s", 192.5);
	reply_uint(r, "bytes_in", 2048);
	reply_str(r, "rtt_ms", NULL);
	reply_bool(r, "odd", true);
	reply_item(r);
	reply_uint(r, "id", 12);
	reply_str(r, "label", "a\"\\\n\x1b[2J\xff\x80\xc3\xa9\xed\xa0\x80");
	return r;
}

static void test_json(void **state)
{
	struct reply *none = reply_create(), *failed = reply_create();

	(void)state;
	char *text = printed(transports(), ctl_print_json);
	assert_string_equal(
		text,
		"{\"ok\": true, \"items\": [{\"id\": 7, \"label\": \"u@h:22\", "
		"\"age_s\": 192.5, \"bytes_in\": 2048, \"rtt_ms\": null, \"odd\": true}, "
		"{\"id\": 12, \"label\": "
		"\"a\\\"\\\\\\u000a\\u001b[2J\\ufffd\\ufffd\xc3\xa9\\ufffd\\ufffd\\ufffd\"}]}\n");
	free(text);
	text = printed(none, ctl_print_json);
	assert_string_equal(text, "{\"ok\": true, \"items\": []}\n");
	free(text);
	reply_fail(failed, "no \"h\"");
	text = printed(failed, ctl_print_json);
	assert_string_equal(text, "{\"ok\": false, \"error\": \"no \\\"h\\\"\", \"items\": []}\n");
	free(text);
}

static void test_table_and_blocks(void **state)
{
	(void)state;
	char *text = printed(transports(), ctl_print_table);
	assert_null(strchr(text, '\x1b'));
	assert_non_null(strstr(text, "TRANSPORT"));
	assert_non_null(strstr(text, "3m12s"));
	assert_non_null(strstr(text, "2.0K"));
	/* Three lines of one width. */
	size_t width = strcspn(text, "\n");
	assert_int_equal(text[2 * width + 1], '\n');
	free(text);
	text = printed(transports(), ctl_print_blocks);
	assert_null(strchr(text, '\x1b'));
	assert_non_null(strstr(text, "age:      3m12s\n"));
	assert_non_null(strstr(text, "bytes in: 2.0K\n"));
	assert_non_null(strstr(text, "rtt:      -\n"));
	assert_non_null(strstr(text, "odd:      yes\n\nid:       12\n"));
	assert_non_null(strstr(text, "a\"\\??[2J??\xc3\xa9???\n"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_command_line),
		cmocka_unit_test(test_ages_and_sizes),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_table_and_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
