/* What is learnt of hosts, and how it outlives the daemon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/journal_disk.h"
#include "daemon/learn_priv.h"
#include "daemon/netid.h"
#include "daemon/state_line.h"
#include "protocol/alloc.h"

#define HOST "me@web1:22"

static void test_death_counts_when_it_comes_back(void **state)
{
	struct learn *l = learn_create(NULL, NULL);
	struct learnt k;

	(void)state;
	learn_gap_died(l, HOST, 30, true);
	assert_true(learn_get(l, HOST, &k));
	assert_int_equal(k.gap_deaths, 0);
	learn_opened(l, HOST);
	learn_get(l, HOST, &k);
	assert_int_equal(k.gap_deaths, 1);
	assert_true(k.keepalive_s == 9);
	/* Once only. */
	learn_opened(l, HOST);
	learn_get(l, HOST, &k);
	assert_int_equal(k.gap_deaths, 1);
	assert_false(learn_get(l, "me@web2:22", &k));
	learn_destroy(l);
}

static void test_shortest_death_and_longest_life(void **state)
{
	struct learn *l = learn_create(NULL, NULL);
	struct learnt k;

	(void)state;
	learn_gap_lived(l, HOST, 25);
	learn_gap_died(l, HOST, 30, true);
	learn_opened(l, HOST);
	learn_get(l, HOST, &k);
	assert_true(k.keepalive_s == 22.5); /* what has lived need not be gone far below */
	/* Less than what has lived: once may be an outage. */
	learn_gap_died(l, HOST, 20, true);
	learn_opened(l, HOST);
	learn_get(l, HOST, &k);
	assert_true(k.gap_died_s == 30 && k.keepalive_s == 22.5);
	learn_gap_died(l, HOST, 20, true);
	learn_opened(l, HOST);
	learn_get(l, HOST, &k);
	assert_true(k.gap_died_s == 20 && k.gap_lived_s == 0);
	assert_true(k.keepalive_s == 6);
	learn_gap_died(l, HOST, 40, true);
	learn_opened(l, HOST);
	learn_get(l, HOST, &k);
	assert_true(k.gap_died_s == 20);
	/* It lived longer than what had been a death: no death any more. */
	learn_gap_lived(l, HOST, 300);
	learn_get(l, HOST, &k);
	assert_int_equal(k.gap_deaths, 0);
	assert_true(k.keepalive_s == 0);
	learn_destroy(l);
}

static void test_what_is_no_nat(void **state)
{
	struct learn *l = learn_create(NULL, NULL);
	struct learnt k;

	(void)state;
	/* A server that was started anew; so short that no NAT forgets it; an outage. */
	learn_gap_died(l, HOST, 30, false);
	learn_opened(l, HOST);
	learn_gap_died(l, HOST, 9, true);
	learn_opened(l, HOST);
	learn_gap_died(l, HOST, 30, true);
	l->known[0].maybe_at_s -= 11;
	learn_opened(l, HOST);
	learn_get(l, HOST, &k);
	assert_int_equal(k.gap_deaths, 0);
	assert_true(k.keepalive_s == 0);
	/* So long a quiet was lived through meanwhile: the next reset is the first again. */
	learn_gap_lived(l, HOST, 31);
	learn_gap_died(l, HOST, 60, false);
	learn_opened(l, HOST);
	learn_get(l, HOST, &k);
	assert_int_equal(k.gap_deaths, 0);
	/* The second is no chance. */
	learn_gap_died(l, HOST, 60, false);
	learn_opened(l, HOST);
	learn_get(l, HOST, &k);
	assert_int_equal(k.gap_deaths, 1);
	learn_destroy(l);
}

static void test_death_of_long_ago(void **state)
{
	struct learn *l = learn_create(NULL, NULL);
	struct learnt k;

	(void)state;
	learn_gap_died(l, HOST, 10, true);
	learn_opened(l, HOST);
	learn_get(l, HOST, &k);
	assert_true(k.keepalive_s > 0);
	l->known[0].gap_died_at -= 8 * 24 * 3600;
	learn_opened(l, HOST);
	learn_get(l, HOST, &k);
	assert_true(k.keepalive_s == 0);
	assert_int_equal(k.gap_deaths, 0);
	learn_destroy(l);
}

static void test_ages(void **state)
{
	struct learn *l = learn_create(NULL, NULL);
	struct learnt k;

	(void)state;
	learn_age_died(l, HOST, 300);
	learn_age_died(l, HOST, 302);
	learn_age_died(l, HOST, 299);
	learn_get(l, HOST, &k);
	assert_int_equal(k.age_deaths, 3);
	learn_age_died(l, HOST, 900);
	learn_get(l, HOST, &k);
	assert_int_equal(k.age_deaths, 1);
	learn_destroy(l);
}

static void test_bounded_and_forgotten(void **state)
{
	struct learn *l = learn_create(NULL, NULL);
	char host[32];

	(void)state;
	for (int i = 0; i < LEARN_MAX + 100; i++) {
		snprintf(host, sizeof(host), "me@h%d:22", i);
		learn_sessions(l, host, 10);
	}
	assert_int_equal(l->count, LEARN_MAX);
	assert_int_equal(learn_forget(l, "h300"), 1);
	assert_int_equal(learn_forget(l, "nobody"), 0);
	assert_int_equal(learn_forget(l, NULL), LEARN_MAX - 1);
	learn_sessions(l, HOST, 10);
	assert_int_equal(l->count, 1);
	learn_destroy(l);
}

static void test_file(void **state)
{
	struct learn *l = learn_create(NULL, NULL), *m;
	struct learnt k;
	char *text, *damaged;
	size_t len;

	(void)state;
	learn_sessions(l, HOST, 10);
	learn_gap_died(l, HOST, 30, true);
	learn_opened(l, HOST);
	learn_rtt(l, "me@web2:22", 12.5);
	text = learn_make_text(l);
	len = strlen(text);
	m = learn_create(NULL, NULL);
	assert_true(learn_take_text(m, text, len));
	assert_true(learn_get(m, HOST, &k));
	assert_true(k.session_limit == 10 && k.gap_died_s == 30 && k.gap_deaths == 1);
	learn_destroy(m);
	/* Torn at any place, or with any byte changed: no nonsense is believed. */
	for (size_t n = 0; n < len; n++) {
		m = learn_create(NULL, NULL);
		/* Between two lines nothing is missed. */
		if (n == 0 || text[n - 1] != '\n')
			assert_false(learn_take_text(m, text, n));
		learn_destroy(m);
		m = learn_create(NULL, NULL);
		damaged = xmemdup(text, len + 1);
		damaged[n] ^= 4;
		assert_false(learn_take_text(m, damaged, len));
		assert_in_range(m->count, 0, 2);
		free(damaged);
		learn_destroy(m);
	}
	free(text);
	learn_destroy(l);
}

static void test_lines(void **state)
{
	const char *in[] = {"plain", "", "tab\tand\nnewline\\", NULL, "\xc3\xa4"};
	char *line = state_line_make(in, 5), *out[5];

	(void)state;
	assert_null(strchr(line, '\n') + 1 == line + strlen(line) ? NULL : line);
	assert_true(state_line_parse(line, strlen(line) - 1, out, 5));
	assert_string_equal(out[0], "plain");
	assert_string_equal(out[2], in[2]);
	assert_string_equal(out[3], "");
	assert_string_equal(out[4], in[4]);
	free(line);
	line = state_line_make(in, 5);
	assert_false(state_line_parse(line, strlen(line) - 1, out, 4));
	free(line);
}

struct seen {
	size_t n;
	char first[64], last[64];
};

static void look(void *ctx, const struct journal_entry *e)
{
	struct seen *s = ctx;

	if (s->n++ == 0)
		snprintf(s->first, sizeof(s->first), "%s", e->text);
	snprintf(s->last, sizeof(s->last), "%s", e->text);
}

static void gather(void *ctx, const char *line)
{
	char **all = ctx;
	char *more = xasprintf("%s%s", *all, line);

	free(*all);
	*all = more;
}

static void test_journal_file(void **state)
{
	struct journal *j = journal_create();
	char *all = xstrdup("");
	struct seen s = {0};

	(void)state;
	journal_set_sink(j, gather, &all);
	for (int i = 0; i < 20; i++) {
		char text[32];

		snprintf(text, sizeof(text), "line %d\tx", i);
		journal_add(j, &(struct journal_entry){.kind = JOURNAL_RETRY,
						       .host = HOST,
						       .cls = CAUSE_RESET,
						       .text = text});
	}
	journal_destroy(j);
	j = journal_create();
	journal_set_sink(j, NULL, NULL);
	journal_add(j, &(struct journal_entry){.kind = JOURNAL_DAEMON, .text = "newer"});
	/* The last line torn, one in the middle damaged. */
	strstr(all, "line 7")[0] = 'L';
	assert_int_equal(journal_take_lines(j, all, strlen(all) - 9), 1);
	assert_int_equal(journal_each(j, NULL, look, &s), 19);
	assert_string_equal(s.first, "line 0\tx");
	assert_string_equal(s.last, "newer");
	/* Nothing that is no such file is believed. */
	assert_int_equal(journal_take_lines(j, "a\nb\n\n", 5), 3);
	assert_int_equal(journal_take_lines(j, "", 0), 0);
	/* More than there is room for: the newest. */
	for (int i = 0; i < 300; i++)
		journal_take_lines(j, all, strlen(all));
	assert_int_equal(journal_each(j, NULL, look, &s), 4096);
	journal_destroy(j);
	free(all);
}

static void test_network(void **state)
{
	static const char route[] =
		"Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n"
		"eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n"
		"wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\n"
		"eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\n";
	static const char arp[] = "IP address HW type Flags HW address Mask Device\n"
				  "192.168.0.1 0x1 0x2 aa:bb:cc:dd:ee:ff * eth0\n";
	char out[NETID_MAX];

	(void)state;
	netid_parse(route, arp, out, sizeof(out));
	assert_string_equal(out, "192.168.0.1 aa:bb:cc:dd:ee:ff");
	netid_parse(route, "", out, sizeof(out));
	assert_string_equal(out, "192.168.0.1");
	netid_parse("", "", out, sizeof(out));
	assert_string_equal(out, "none");
	netid_parse("x\nwg0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\n", arp, out,
		    sizeof(out));
	assert_string_equal(out, "wg0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_death_counts_when_it_comes_back),
		cmocka_unit_test(test_shortest_death_and_longest_life),
		cmocka_unit_test(test_what_is_no_nat),
		cmocka_unit_test(test_death_of_long_ago),
		cmocka_unit_test(test_ages),
		cmocka_unit_test(test_bounded_and_forgotten),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_journal_file),
		cmocka_unit_test(test_network),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
