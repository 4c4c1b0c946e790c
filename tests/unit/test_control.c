/* hawserctl's verbs, over a connection, with a pool that lists what it is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "protocol/alloc.h"
#include "protocol/encode.h"
#include "protocol/log.h"
#include "tests/fakes/peer.h"

/* The last reply, as text: "0.id=1u 0.label=root@a:22s ". */
static char reply_text[8192];
static bool reply_ok;
static char *reply_error;
static size_t reply_items;

static int setup(void **state)
{
	(void)state;
	peers_init(NULL);
	fake_pool.infos[0] = (struct pool_info){
		.id = 1,
		.label = "root@a.example:22",
		.typed = "a",
		.state = "ready",
		.waits_for = "",
		.address = "127.0.0.1",
		.via = "jump",
		.sessions = 2,
		.queued = 3,
		.warm = 1,
		.session_limit = 10,
		.age_s = 1.5,
		.idle_s = 0.5,
		.bytes_in = 5000000000,
		.bytes_out = 6,
		.rtt_ms = -1,
		.server = "SSH-2.0-OpenSSH_9.2",
		.cipher = "aes128-gcm@openssh.com",
		.kex = "curve25519-sha256",
	};
	fake_pool.infos[1] = fake_pool.infos[0];
	fake_pool.infos[1].id = 2;
	fake_pool.infos[1].typed = "b";
	fake_pool.infos[1].rtt_ms = 0.25;
	fake_pool.count = 2;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(reply_error);
	reply_error = NULL;
	peers_finish();
	return 0;
}

static void on_value(void *ctx, size_t item, const struct reply_value *v)
{
	size_t len = strlen(reply_text);
	char value[256];

	(void)ctx;
	switch (v->kind) {
	case 's':
		snprintf(value, sizeof(value), "%s", v->str);
		break;
	case 'u':
		snprintf(value, sizeof(value), "%llu", (unsigned long long)v->uint);
		break;
	case 'd':
		snprintf(value, sizeof(value), "%g", v->dbl);
		break;
	case 'b':
		snprintf(value, sizeof(value), "%s", v->boolean ? "true" : "false");
		break;
	default:
		snprintf(value, sizeof(value), "nil");
	}
	snprintf(reply_text + len, sizeof(reply_text) - len, "%zu.%s=%s ", item, v->key, value);
}

static void ask(const char *verb, const char *first, const char *second)
{
	char *args[] = {(char *)(uintptr_t)first, (char *)(uintptr_t)second, NULL};
	const struct proto_control m = {.verb = (char *)(uintptr_t)verb, .args = args};
	size_t len;
	uint8_t *frame = proto_encode_control(6, &m, &len);

	free(reply_error);
	reply_text[0] = '\0';
	peer_send(&peers[0], frame, len);
	assert_int_equal(proto_decode_reply(peer_expect(&peers[0], PROTO_REPLY, 6), &reply_ok,
					    &reply_error, &reply_items, on_value, NULL),
			 HW_OK);
}

static void expect_text(const char *text)
{
	if (!strstr(reply_text, text))
		fail_msg("\"%s\" is not in \"%s\"", text, reply_text);
}

static void expect_failure(const char *text)
{
	assert_false(reply_ok);
	assert_string_equal(reply_error, text);
}

static void test_list(void **state)
{
	(void)state;
	ask("list", NULL, NULL);
	assert_true(reply_ok);
	assert_int_equal(reply_items, 2);
	expect_text("0.id=1 0.label=root@a.example:22 0.destination=a 0.state=ready "
		    "0.waits_for= 0.address=127.0.0.1 0.via=jump 0.sessions=2 0.queued=3 0.warm=1 "
		    "0.session_limit=10 "
		    "0.keepalive_s=0 0.keepalive_learnt=false 0.heard_s=0 0.age_s=1.5 0.idle_s=0.5 "
		    "0.bytes_in=5000000000 0.bytes_out=6 0.rtt_ms=nil "
		    "0.server=SSH-2.0-OpenSSH_9.2 0.cipher=aes128-gcm@openssh.com "
		    "0.kex=curve25519-sha256 ");
	expect_text("1.id=2 ");
	expect_text("1.rtt_ms=0.25 ");
	fake_pool.infos[1].id = 0;
	fake_pool.infos[1].waits_for = "the next try";
	ask("list", NULL, NULL);
	expect_text("1.id=nil ");
	expect_text("1.waits_for=the next try ");
	fake_pool.count = 0;
	ask("list", NULL, NULL);
	assert_true(reply_ok);
	assert_int_equal(reply_items, 0);
}

static void test_status(void **state)
{
	char text[64];

	(void)state;
	ask("status", "b", NULL);
	assert_true(reply_ok);
	assert_int_equal(reply_items, 1);
	expect_text("0.destination=b ");
	ask("status", "c", NULL);
	expect_failure("no transport to c is held");
	peer_request(&peers[1], 1, 0);
	ask("status", NULL, NULL);
	assert_true(reply_ok);
	assert_int_equal(reply_items, 1);
	snprintf(text, sizeof(text), "0.pid=%ld ", (long)getpid());
	expect_text(text);
	expect_text("0.version=" HAWSER_VERSION " ");
	expect_text("0.clients=2 0.sessions=1 0.held=2 0.log_level=error 0.stopping=false ");
}

static void test_close(void **state)
{
	(void)state;
	ask("close", "a", NULL);
	assert_true(reply_ok);
	expect_text("0.closed=1 ");
	assert_int_equal(fake_pool.closed, 1);
	assert_int_equal(fake_pool.forced, 0);
	ask("close", "b", "force");
	assert_true(reply_ok);
	assert_int_equal(fake_pool.forced, 1);
	ask("close", "c", "force");
	expect_failure("no transport to c is held");
	ask("close", NULL, NULL);
	expect_failure("close needs the name of a host");
	ask("close", "a", "gently");
	expect_failure("close: the word after the host may be \"force\", not \"gently\"");
	assert_int_equal(fake_pool.closed, 2);
}

static void test_stop(void **state)
{
	(void)state;
	peer_request(&peers[1], 1, 0);
	ask("stop", "later", NULL);
	expect_failure("stop: the word after it may be \"now\", not \"later\"");
	assert_int_equal(fake_app.stops, 0);
	ask("stop", NULL, NULL);
	assert_true(reply_ok);
	expect_text("0.sessions=1 0.drain_ms=5000 ");
	assert_int_equal(fake_app.stops, 1);
	assert_int_equal(fake_app.stops_now, 0);
	ask("stop", "now", NULL);
	expect_text("0.drain_ms=0 ");
	assert_int_equal(fake_app.stops_now, 1);
}

static void test_loglevel(void **state)
{
	(void)state;
	ask("loglevel", NULL, NULL);
	expect_text("0.level=error ");
	ask("loglevel", "warn", NULL);
	expect_text("0.level=warn ");
	assert_int_equal(log_get_level(), LOG_LVL_WARN);
	ask("loglevel", "loud", NULL);
	expect_failure("\"loud\" is not a log level: error, warn, info, debug or trace");
	assert_int_equal(log_get_level(), LOG_LVL_WARN);
}

static void test_wrong_words(void **state)
{
	(void)state;
	ask("reboot", NULL, NULL);
	assert_false(reply_ok);
	assert_non_null(strstr(reply_error, "does not know \"reboot\""));
	ask("list", "a", NULL);
	expect_failure("list takes at most 0 words");
	peer_expect_alive(&peers[0]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_list), TEST(test_status),   TEST(test_close),
		TEST(test_stop), TEST(test_loglevel), TEST(test_wrong_words),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
