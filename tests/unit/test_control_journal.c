/* hawserctl log and why, from a journal to what people read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "client/ctl_journal.h"
#include "daemon/app.h"
#include "daemon/control.h"
#include "daemon/journal.h"
#include "protocol/encode.h"

#define WEB "u@10.0.0.5:22"
#define DB  "u@10.0.0.6:22"

static struct app app;
static struct ctl_reply reply;

static int setup(void **state)
{
	(void)state;
	setenv("TZ", "UTC0", 1);
	app.journal = journal_create();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ctl_reply_free(&reply);
	journal_destroy(app.journal);
	return 0;
}

static void ask(const char *verb, const char *a, const char *b, const char *c)
{
	char *args[] = {(char *)(uintptr_t)a, (char *)(uintptr_t)b, (char *)(uintptr_t)c, NULL};
	const struct proto_control m = {.verb = (char *)(uintptr_t)verb, .args = args};
	struct proto_message got;
	size_t len;
	uint8_t *frame = control_run(&app, &m, 1, &len);

	ctl_reply_free(&reply);
	assert_int_equal(proto_parse(frame + PROTO_HEADER_SIZE, len - PROTO_HEADER_SIZE, &got),
			 HW_OK);
	assert_int_equal(ctl_reply_decode(&reply, &got), HW_OK);
	proto_message_finish(&got);
	free(frame);
}

static uint64_t seq(size_t item)
{
	const struct reply_value *v = ctl_reply_get(&reply, item, "seq");

	assert_non_null(v);
	return v->uint;
}

/* What people read of the reply. */
static void expect_read(bool why, const char *const *has, const char *const *hasnt)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (why)
		ctl_print_why(f, &reply, 100);
	for (size_t i = 0; !why && i < reply.nitems; i++)
		ctl_print_entry(f, &reply, i);
	fclose(f);
	for (; *has != NULL; has++)
		if (strstr(text, *has) == NULL)
			fail_msg("\"%s\" is not in:\n%s", *has, text);
	for (; hasnt != NULL && *hasnt != NULL; hasnt++)
		if (strstr(text, *hasnt) != NULL)
			fail_msg("\"%s\" is in:\n%s", *hasnt, text);
	free(text);
}

static void add(enum journal_kind kind, const char *host, unsigned transport, double when,
		const char *text)
{
	journal_add(app.journal,
		    &(struct journal_entry){.kind = kind,
					    .host = host,
					    .typed = strcmp(host, WEB) == 0 ? "web" : "db",
					    .transport = transport,
					    .time = when,
					    .pid = 7,
					    .program = "make",
					    .text = text});
}

/* The end that a journal of this shape is asked for. */
static void add_end(const char *host, unsigned transport, double when, enum cause_class cls)
{
	journal_add(app.journal,
		    &(struct journal_entry){.kind = JOURNAL_ENDED,
					    .host = host,
					    .typed = "web",
					    .transport = transport,
					    .time = when,
					    .cls = cls,
					    .text = "the path was silent",
					    .hint = "set a keepalive",
					    .evidence = "quiet for 20 s\nup for 30 s"});
}

static void test_pages(void **state)
{
	char after[32] = "0";
	size_t got = 0, pages = 0;

	(void)state;
	for (int i = 0; i < 450; i++)
		add(JOURNAL_REQUEST, i % 2 ? WEB : DB, 1, 0, "a command");
	ask("log", "", "3", NULL);
	assert_int_equal(reply.nitems, 3);
	assert_int_equal(seq(0), 448);
	assert_int_equal(seq(2), 450);
	ask("log", "web", "2", NULL);
	assert_int_equal(reply.nitems, 2);
	assert_int_equal(seq(1) - seq(0), 2);
	/* Behind a number: the first ones, so that page follows page. */
	ask("log", "", "2", "10");
	assert_int_equal(seq(0), 11);
	assert_int_equal(seq(1), 12);
	ask("log", "", "2", "450");
	assert_int_equal(reply.nitems, 0);
	assert_true(reply.ok);
	for (;;) {
		ask("log", "", "1000000", after);
		if (reply.nitems == 0)
			break;
		assert_int_equal(seq(0), got + 1);
		got += reply.nitems;
		pages++;
		snprintf(after, sizeof(after), "%zu", got);
	}
	assert_int_equal(got, 450);
	assert_in_range(pages, 3, 4);
	ask("log", "web", "many", NULL);
	assert_false(reply.ok);
	ask("log", "nowhere", NULL, NULL);
	assert_true(reply.ok);
	assert_int_equal(reply.nitems, 0);
}

/* Entries with much to say fill a page by their bytes. */
static void test_long_entries(void **state)
{
	char text[8192];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 200; i++)
		add(JOURNAL_REQUEST, WEB, 1, 0, text);
	ask("log", "", "200", NULL);
	assert_true(reply.ok);
	assert_in_range(reply.nitems, 10, 199);
}

static void test_lines(void **state)
{
	(void)state;
	add(JOURNAL_OPENED, WEB, 3, 61, NULL);
	add(JOURNAL_REQUEST, WEB, 3, 62, "a command");
	add_end(WEB, 3, 65, CAUSE_IDLE_DROP);
	/* What a server or a program may have called itself. */
	journal_add(app.journal,
		    &(struct journal_entry){.kind = JOURNAL_REQUEST,
					    .host = "u@\x1b[2J:22",
					    .pid = 5,
					    .program = "\x1b]0;x\x07",
					    .text = "a\r\nb \xc2\x9b\x31m \xff \xc3\xa9"});
	ask("log", NULL, NULL, NULL);
	expect_read(
		false,
		(const char *const[]){"1970-01-01 00:01:01  web  connection 3 is open\n",
				      "web  used by make (pid 7) over connection 3: a command\n",
				      "web  connection 3 ended (idle-drop): the path was "
				      "silent\n",
				      "u@?[2J:22", "a??b ??1m ? \xc3\xa9\n", NULL},
		(const char *const[]){"\x1b", "\x07", "\xc2\x9b", "\r", NULL});
}

static void test_why(void **state)
{
	(void)state;
	add(JOURNAL_OPENED, WEB, 2, 1, NULL); /* an earlier one */
	add(JOURNAL_OPENED, DB, 5, 10, NULL);
	add(JOURNAL_OPENED, WEB, 3, 11, NULL);
	add(JOURNAL_REQUEST, WEB, 3, 12, "a command");
	add(JOURNAL_REQUEST, DB, 5, 12, "another's");
	add(JOURNAL_SUSPECT, WEB, 3, 20, "no answer for 5 s");
	add_end(WEB, 3, 25, CAUSE_IDLE_DROP);
	add(JOURNAL_REQUEST_END, WEB, 3, 25, "after 13 s: it is gone");
	add(JOURNAL_RETRY, WEB, 3, 26, "in 2 s");
	add(JOURNAL_OPENED, WEB, 4, 28, NULL);
	add(JOURNAL_REQUEST, WEB, 4, 29, "later");
	add(JOURNAL_REQUEST_END, WEB, 4, 30, "after 1 s: status 0");
	ask("why", "web", NULL, NULL);
	assert_true(reply.ok);
	assert_string_equal(ctl_reply_get(&reply, 0, "class")->str, "idle-drop");
	assert_string_equal(ctl_reply_get(&reply, 0, "role")->str, "end");
	assert_string_equal(ctl_reply_get(&reply, 1, "role")->str, "timeline");
	expect_read(true,
		    (const char *const[]){"web (" WEB "): connection 3 ended on 1970-01-01 at "
					  "00:00:25, 1m15s ago\n\nthe path was silent\nNext step: "
					  "set a keepalive\nSetting: ",
					  "Seen:\n  quiet for 20 s\n  up for 30 s\n",
					  "What happened:\n  00:00:11  connection 3 is open\n",
					  "a command", "is suspect", "> 00:00:25",
					  "after 13 s: it is gone", "in 2 s",
					  "  00:00:28  connection 4 is open\n", NULL},
		    (const char *const[]){"connection 2", "another's", "later", "status 0", NULL});
	/* Of the other host nothing has ended. */
	ask("why", "db", NULL, NULL);
	assert_false(reply.ok);
	assert_non_null(strstr(reply.error, "db"));
	ask("why", NULL, NULL, NULL);
	assert_true(reply.ok);
}

/* A request that a cause ended on a connection that lives. */
static void test_why_of_a_request(void **state)
{
	(void)state;
	add(JOURNAL_OPENED, WEB, 3, 11, NULL);
	journal_add(app.journal, &(struct journal_entry){.kind = JOURNAL_REQUEST_END,
							 .host = WEB,
							 .typed = "web",
							 .transport = 3,
							 .pid = 9,
							 .cls = CAUSE_CHANNEL_TIMEOUT,
							 .text = "after 2 s: it was closed"});
	ask("why", "web", NULL, NULL);
	assert_string_equal(ctl_reply_get(&reply, 0, "class")->str, "channel-timeout");
	expect_read(true,
		    (const char *const[]){"a request of pid 9 ended", "it was closed",
					  "ChannelTimeout", NULL},
		    NULL);
}

static void test_why_of_many_requests(void **state)
{
	(void)state;
	add(JOURNAL_OPENED, WEB, 3, 11, NULL);
	for (int i = 0; i < 1000; i++)
		add(JOURNAL_REQUEST, WEB, 3, 12, "a command");
	add_end(WEB, 3, 25, CAUSE_RESET);
	ask("why", NULL, NULL, NULL);
	assert_true(reply.ok);
	assert_in_range(reply.nitems, 20, 60);
	assert_int_equal(seq(1), 1);
	assert_int_equal(seq(reply.nitems - 1), 1002);
	assert_int_equal(ctl_reply_get(&reply, 0, "left_out")->uint, 1002 - (reply.nitems - 1));
}

/* What is of interest outlives thousands of uses that were well. */
static void test_many_uses(void **state)
{
	(void)state;
	add_end(WEB, 3, 1000, CAUSE_RESET);
	for (unsigned i = 0; i < 9000; i++)
		add(i % 2 == 0 ? JOURNAL_REQUEST : JOURNAL_REQUEST_END, WEB, 4, 1001 + i,
		    "status 0");
	ask("why", "web", NULL, NULL);
	assert_string_equal(ctl_reply_get(&reply, 0, "class")->str, "reset");
	/* Of as many ends, the last stand. */
	for (unsigned i = 0; i < 9000; i++)
		add_end(DB, i, 20000 + i, CAUSE_RESET);
	ask("log", NULL, "200", NULL);
	assert_int_equal(reply.nitems, 200);
	assert_int_equal(ctl_reply_get(&reply, 199, "transport")->uint, 8999);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_pages),     TEST(test_long_entries),	   TEST(test_lines),
		TEST(test_why),	      TEST(test_why_of_a_request), TEST(test_why_of_many_requests),
		TEST(test_many_uses),
	};

	return cmocka_run_group_tests_name("control_journal", tests, NULL, NULL);
}
