/* The table of causes, row by row: evidence that leads to each, and near misses that do not. */
#include "tests/unit/trust_helpers.h"

#include "daemon/diagnose.h"

/* A case overrides what an ordinary connection shows. */
#pragma GCC diagnostic ignored "-Woverride-init"
#ifdef __clang__
#pragma clang diagnostic ignored "-Winitializer-overrides"
#endif

#define UNKNOWN                                                                                    \
	.age_s = -1, .quiet_s = -1, .silent_s = -1, .gap_s = -1, .rtt_ms = -1, .ack_ago_s = -1,    \
	.slept_ago_s = -1, .slept_s = -1, .address_ago_s = -1, .route_ago_s = -1,                  \
	.gap_lived_s = -1, .gap_died_s = -1, .age_died_s = -1
#define READY(...)                                                                                 \
	{                                                                                          \
		UNKNOWN, .where = "u@web1:22 (10.0.0.5)", .stage = "ready", .age_s = 4000,         \
			 .quiet_s = 8, .gap_s = 1, __VA_ARGS__                                     \
	}
#define LOGIN(in, ...)                                                                             \
	{                                                                                          \
		UNKNOWN, .where = "u@web1:22 (10.0.0.5)", .stage = in, .age_s = 5, __VA_ARGS__     \
	}
/* TCP of a path that carries everything; of one on which nothing comes through. */
#define TCP_ALIVE                                                                                  \
	.has_tcp = true, .pmtu = 1500, .mss = 1448, .largest_in = 1448, .acked = 900000,           \
	.received = 900000
#define TCP_DEAD TCP_ALIVE, .unacked = 1, .retransmits = 6, .ack_ago_s = 8, .silent_s = 7

struct diagnosis {
	const char *name;
	enum cause_class seen;
	enum cause_class cls;	 /* that it becomes */
	enum cause_class misses; /* that it nearly was; 0 none */
	const char *words;	 /* in what the user reads, NULL any */
	struct evidence e;
};

static const struct diagnosis cases[] = {
	/* words */
	{"MaxAuthTries", CAUSE_PROTOCOL, CAUSE_AUTH_TOO_MANY, 0, "IdentitiesOnly",
	 LOGIN("authentication", .said = "Too many authentication failures", .spoken = true)},
	{"other words", CAUSE_PROTOCOL, CAUSE_PROTOCOL, CAUSE_AUTH_TOO_MANY, "said: Too tired",
	 LOGIN("authentication", .said = "Too tired", .spoken = true)},
	{"libssh's MAC", CAUSE_PROTOCOL, CAUSE_CORRUPT, 0, "HMAC error",
	 READY(.said = "HMAC error")},
	{"libssh's AEAD", CAUSE_PROTOCOL, CAUSE_CORRUPT, 0, "damaged",
	 READY(.said = "Decryption error")},
	{"libssh's length", CAUSE_PROTOCOL, CAUSE_CORRUPT, 0, "damaged",
	 READY(.said = "read_packet(): Packet len too high(3735928559 deadbeef)")},
	{"sshd's word for it", CAUSE_PROTOCOL, CAUSE_CORRUPT, 0, "Packet corrupt",
	 READY(.said = "Packet corrupt", .spoken = true)},
	{"in key exchange", CAUSE_KEX, CAUSE_CORRUPT, 0, "in key exchange",
	 LOGIN("key exchange", .said = "HMAC error")},
	{"another protocol error", CAUSE_PROTOCOL, CAUSE_PROTOCOL, CAUSE_CORRUPT, "failed: Invalid",
	 READY(.said = "Invalid packet")},
	{"words of a class that does not speak", CAUSE_CLOSED_BY_USER, CAUSE_CLOSED_BY_USER,
	 CAUSE_CORRUPT, NULL, READY(.said = "HMAC error")},
	{"a server that tells of ClientAlive", CAUSE_PROTOCOL, CAUSE_SERVER_GAVE_UP, 0,
	 "ClientAliveInterval",
	 READY(.said = "Timeout, client not responding from user", .spoken = true)},
	{"shutdown", CAUSE_PROTOCOL, CAUSE_SERVER_SHUTDOWN, 0, "shutting down",
	 READY(.said = "Server is shutting down", .spoken = true)},
	{"pam_nologin", CAUSE_SERVER_CLOSED, CAUSE_SERVER_SHUTDOWN, 0, "booting up",
	 LOGIN("authentication", .said = "System is booting up. Unprivileged users",
	       .spoken = true)},
	{"bye", CAUSE_PROTOCOL, CAUSE_PROTOCOL, CAUSE_SERVER_SHUTDOWN, "said: bye",
	 READY(.said = "bye", .spoken = true)},
	{"a server's idle time-out", CAUSE_PROTOCOL, CAUSE_TIMED_CLOSE, 0, "600 s of quiet|10 min",
	 READY(.said = "Idle timeout", .spoken = true, .quiet_s = 600)},

	/* before the login */
	{"MaxStartups", CAUSE_CLOSED_BEFORE_BANNER, CAUSE_REFUSES_SOURCE, 0, "MaxStartups",
	 LOGIN("key exchange", .said = "Exceeded MaxStartups", .spoken = true)},
	{"penalties", CAUSE_NOT_SSH, CAUSE_REFUSES_SOURCE, 0, "PerSourcePenalties",
	 LOGIN("key exchange", .said = "Not allowed at this time", .spoken = true)},
	{"closed three times in a row", CAUSE_CLOSED_BEFORE_BANNER, CAUSE_REFUSES_SOURCE, 0,
	 "before its banner", LOGIN("key exchange", .refusals = 2)},
	{"closed twice in a row", CAUSE_CLOSED_BEFORE_BANNER, CAUSE_CLOSED_BEFORE_BANNER,
	 CAUSE_REFUSES_SOURCE, "TCP wrappers", LOGIN("key exchange", .refusals = 1)},
	{"a web server", CAUSE_NOT_SSH, CAUSE_NOT_SSH, CAUSE_REFUSES_SOURCE, NULL,
	 LOGIN("key exchange", .said = "HTTP/1.1 400 Bad Request", .spoken = true)},
	{"LoginGraceTime", CAUSE_SERVER_CLOSED, CAUSE_LOGIN_GRACE, 0, "LoginGraceTime",
	 LOGIN("authentication", .age_s = 120.2)},
	{"LoginGraceTime with a reset", CAUSE_RESET, CAUSE_LOGIN_GRACE, 0, "120 s",
	 LOGIN("authentication", .age_s = 120.2)},
	{"closed at once in authentication", CAUSE_SERVER_CLOSED, CAUSE_SERVER_CLOSED,
	 CAUSE_LOGIN_GRACE, NULL, LOGIN("authentication", .age_s = 0.3)},
	{"closed later in key exchange", CAUSE_SERVER_CLOSED, CAUSE_SERVER_CLOSED,
	 CAUSE_LOGIN_GRACE, NULL, LOGIN("key exchange", .age_s = 120.2)},

	/* path MTU */
	{"one segment stuck", CAUSE_KEEPALIVE, CAUSE_MTU, 0, "path MTU",
	 READY(TCP_DEAD, .sacked = 2)},
	{"one segment stuck, by a probe", CAUSE_PATH_DEAD, CAUSE_MTU, 0, "path MTU",
	 READY(TCP_DEAD, .sacked = 1, .gap_s = 60)},
	{"one segment late", CAUSE_PATH_DEAD, CAUSE_PATH_DEAD, CAUSE_MTU, NULL,
	 READY(TCP_DEAD, .sacked = 1, .retransmits = 2)},
	{"an end at once, behind a banner", CAUSE_KEX, CAUSE_KEX, CAUSE_MTU, NULL,
	 LOGIN("key exchange", TCP_ALIVE, .received = 13, .acked = 24, .age_s = 0.1)},
	{"no KEXINIT came", CAUSE_LOGIN_TIMEOUT, CAUSE_MTU, 0, "in key exchange",
	 LOGIN("key exchange", TCP_ALIVE, .received = 41, .acked = 1100)},
	{"ours does not arrive", CAUSE_LOGIN_TIMEOUT, CAUSE_MTU, 0, "TCP_MAXSEG",
	 LOGIN("key exchange", TCP_DEAD, .received = 1100, .acked = 24)},
	{"ours does not arrive, and TCP gave up", CAUSE_PATH_DEAD, CAUSE_MTU, 0, "in key exchange",
	 LOGIN("key exchange", TCP_ALIVE, .received = 1100, .acked = 24, .retransmits = 8)},
	{"the same, seen as an end", CAUSE_SERVER_CLOSED, CAUSE_MTU, 0, "in key exchange",
	 LOGIN("key exchange", TCP_ALIVE, .received = 1100, .acked = 24, .retransmits = 8,
	       .ack_ago_s = 60)},
	{"an end after a hiccup", CAUSE_SERVER_CLOSED, CAUSE_SERVER_CLOSED, CAUSE_MTU, NULL,
	 LOGIN("key exchange", TCP_ALIVE, .received = 1100, .acked = 24, .retransmits = 4,
	       .ack_ago_s = 2)},
	{"a path that died in authentication", CAUSE_SERVER_CLOSED, CAUSE_PATH_DEAD,
	 CAUSE_LOGIN_GRACE, "the path to it is dead",
	 LOGIN("authentication", TCP_ALIVE, .age_s = 70, .retransmits = 8, .ack_ago_s = 60)},
	{"a path that died before the banner", CAUSE_CLOSED_BEFORE_BANNER, CAUSE_PATH_DEAD, 0, NULL,
	 LOGIN("key exchange", TCP_ALIVE, .retransmits = 8, .ack_ago_s = 60)},
	{"not even a banner, and TCP gave up", CAUSE_PATH_DEAD, CAUSE_PATH_DEAD, CAUSE_MTU, NULL,
	 LOGIN("key exchange", TCP_ALIVE, .received = 0, .acked = 0, .retransmits = 8)},
	{"not even a banner", CAUSE_LOGIN_TIMEOUT, CAUSE_LOGIN_TIMEOUT, CAUSE_MTU, NULL,
	 LOGIN("key exchange", TCP_ALIVE, .received = 0, .acked = 24)},
	{"a slow server", CAUSE_LOGIN_TIMEOUT, CAUSE_LOGIN_TIMEOUT, CAUSE_MTU, NULL,
	 LOGIN("key exchange", TCP_ALIVE, .received = 1100, .acked = 1100)},
	{"slow authentication", CAUSE_LOGIN_TIMEOUT, CAUSE_LOGIN_TIMEOUT, CAUSE_MTU, NULL,
	 LOGIN("authentication", TCP_ALIVE, .received = 41, .acked = 1100)},
	{"first large input", CAUSE_KEEPALIVE, CAUSE_MTU, 0, "the open connection",
	 READY(TCP_DEAD, .inflight = 14480, .notsent = 90000, .acked = 5200)},
	{"the path died in a copy", CAUSE_PATH_DEAD, CAUSE_PATH_DEAD, CAUSE_MTU, NULL,
	 READY(TCP_DEAD, .inflight = 14480, .notsent = 90000)},
	{"the path died at a keystroke", CAUSE_PATH_DEAD, CAUSE_PATH_DEAD, CAUSE_MTU, NULL,
	 READY(TCP_DEAD, .unacked = 4, .inflight = 208, .notsent = 520, .acked = 5200)},
	{"first large output", CAUSE_KEEPALIVE, CAUSE_MTU, 0, "path MTU",
	 READY(TCP_ALIVE, .out_of_order = 1, .largest_in = 1100, .quiet_s = 30, .silent_s = 10,
	       .ack_ago_s = 10)},
	{"what is no proof", CAUSE_PATH_DEAD, CAUSE_KEEPALIVE, CAUSE_MTU, "(path MTU)",
	 READY(TCP_ALIVE, .largest_in = 1100, .quiet_s = 30, .silent_s = 10, .ack_ago_s = 10)},
	{"sshd hangs", CAUSE_KEEPALIVE, CAUSE_KEEPALIVE, CAUSE_MTU, "its sshd answers nothing",
	 READY(TCP_ALIVE, .out_of_order = 1, .quiet_s = 30, .silent_s = 10, .ack_ago_s = 10)},

	/* this machine */
	{"address", CAUSE_PATH_DEAD, CAUSE_ADDRESS_CHANGED, 0, "3.0 s before",
	 READY(TCP_DEAD, .address_ago_s = 3)},
	{"address, and sleep", CAUSE_RESET, CAUSE_ADDRESS_CHANGED, CAUSE_SLEEP, NULL,
	 READY(.quiet_s = 30, .address_ago_s = 3, .slept_ago_s = 4, .slept_s = 3600)},
	{"address, but heard from since", CAUSE_RESET, CAUSE_RESET, CAUSE_ADDRESS_CHANGED, NULL,
	 READY(.quiet_s = 3, .address_ago_s = 30)},
	{"sleep", CAUSE_SERVER_CLOSED, CAUSE_SLEEP, 0, "60 min",
	 READY(.quiet_s = 30, .slept_ago_s = 2, .slept_s = 3600)},
	{"sleep long ago", CAUSE_SERVER_CLOSED, CAUSE_SERVER_CLOSED, CAUSE_SLEEP, NULL,
	 READY(.quiet_s = 30, .slept_ago_s = 200, .slept_s = 3600)},
	{"sleep, and the user closed", CAUSE_CLOSED_BY_USER, CAUSE_CLOSED_BY_USER, CAUSE_SLEEP,
	 NULL, READY(.quiet_s = 30, .slept_ago_s = 2, .slept_s = 3600)},
	{"route", CAUSE_KEEPALIVE, CAUSE_ROUTE_CHANGED, 0, "ip route",
	 READY(TCP_DEAD, .quiet_s = 40, .gap_s = 30, .route_ago_s = 31)},
	{"route long ago", CAUSE_KEEPALIVE, CAUSE_KEEPALIVE, CAUSE_ROUTE_CHANGED, NULL,
	 READY(TCP_DEAD, .route_ago_s = 31)},
	{"a reset is no matter of routes", CAUSE_RESET, CAUSE_RESET, CAUSE_ROUTE_CHANGED, NULL,
	 READY(.route_ago_s = 3)},

	/* time limits */
	{"age", CAUSE_SERVER_CLOSED, CAUSE_TIMED_CLOSE, 0, "60 min, as twice before",
	 READY(.age_s = 3601, .age_died_s = 3600, .age_deaths = 2)},
	{"another age", CAUSE_SERVER_CLOSED, CAUSE_SERVER_CLOSED, CAUSE_TIMED_CLOSE, NULL,
	 READY(.age_s = 3000, .age_died_s = 3600, .age_deaths = 2)},
	{"the first of this age", CAUSE_RESET, CAUSE_RESET, CAUSE_TIMED_CLOSE, NULL,
	 READY(.age_s = 3600)},
	{"closed when quiet", CAUSE_SERVER_CLOSED, CAUSE_TIMED_CLOSE, 0, "ServerAliveInterval",
	 READY(.quiet_s = 61, .silent_s = 61, .gap_died_s = 60, .gap_deaths = 1)},
	{"closed while we spoke", CAUSE_SERVER_CLOSED, CAUSE_SERVER_CLOSED, CAUSE_TIMED_CLOSE, NULL,
	 READY(.quiet_s = 61, .silent_s = 2, .gap_died_s = 60, .gap_deaths = 1)},
	{"NAT, first time", CAUSE_PATH_DEAD, CAUSE_IDLE_DROP, 0, "312 s of quiet",
	 READY(TCP_DEAD, .gap_s = 312)},
	{"NAT, again", CAUSE_KEEPALIVE, CAUSE_IDLE_DROP, 0, "as 3 times before (from 300 s on)",
	 READY(TCP_DEAD, .gap_s = 312, .gap_died_s = 300, .gap_deaths = 3)},
	{"NAT, again, soon", CAUSE_KEEPALIVE, CAUSE_IDLE_DROP, 0, "as once before",
	 READY(.gap_s = 4, .gap_died_s = 4, .gap_deaths = 1)},
	{"NAT that resets, again", CAUSE_RESET, CAUSE_IDLE_DROP, 0, "as twice before",
	 READY(.gap_s = 312, .gap_died_s = 300, .gap_deaths = 2)},
	{"quiet that lived before", CAUSE_PATH_DEAD, CAUSE_PATH_DEAD, CAUSE_IDLE_DROP, NULL,
	 READY(TCP_DEAD, .gap_s = 312, .gap_lived_s = 3000)},
	{"no quieter than a keepalive ago", CAUSE_KEEPALIVE, CAUSE_KEEPALIVE, CAUSE_IDLE_DROP, NULL,
	 READY(TCP_DEAD, .gap_s = 61, .gap_lived_s = 60)},
	{"quieter than ever", CAUSE_KEEPALIVE, CAUSE_IDLE_DROP, 0, "90 s of quiet",
	 READY(TCP_DEAD, .gap_s = 90, .gap_lived_s = 60)},
	{"quiet that lived and died", CAUSE_PATH_DEAD, CAUSE_PATH_DEAD, CAUSE_IDLE_DROP, NULL,
	 READY(TCP_DEAD, .gap_s = 312, .gap_lived_s = 400, .gap_died_s = 300, .gap_deaths = 1)},
	{"busy until then", CAUSE_PATH_DEAD, CAUSE_PATH_DEAD, CAUSE_IDLE_DROP, NULL,
	 READY(TCP_DEAD, .gap_s = 2)},
	{"quiet, but it acknowledges", CAUSE_KEEPALIVE, CAUSE_KEEPALIVE, CAUSE_IDLE_DROP,
	 "acknowledges",
	 READY(TCP_ALIVE, .quiet_s = 60, .silent_s = 30, .ack_ago_s = 30, .gap_s = 30)},
	{"ClientAlive", CAUSE_SERVER_CLOSED, CAUSE_SERVER_GAVE_UP, 0, "ClientAliveCountMax",
	 READY(.missed = 2)},
	{"ClientAlive, by retransmits", CAUSE_SERVER_CLOSED, CAUSE_SERVER_GAVE_UP, 0, NULL,
	 READY(TCP_DEAD)},
	{"ClientAlive, once the path was back", CAUSE_RESET, CAUSE_SERVER_GAVE_UP, 0, "for 46 s",
	 READY(.quiet_s = 46, .missed = 3)},
	{"reset, all answered", CAUSE_RESET, CAUSE_RESET, CAUSE_SERVER_GAVE_UP, "was reset",
	 READY(TCP_ALIVE, .quiet_s = 46, .retransmits = 1)},
	{"closed, all answered", CAUSE_SERVER_CLOSED, CAUSE_SERVER_CLOSED, CAUSE_SERVER_GAVE_UP,
	 "without a word", READY(TCP_ALIVE, .retransmits = 1)},

	/* other words */
	{"reset, unknown gap", CAUSE_RESET, CAUSE_RESET, 0, "was reset", READY(.gap_s = -1)},
	{"reset after quiet", CAUSE_RESET, CAUSE_RESET, CAUSE_IDLE_DROP, "312 s of quiet",
	 READY(.gap_s = 312)},
	{"closed right after the login", CAUSE_SERVER_CLOSED, CAUSE_SERVER_CLOSED, 0,
	 "ChrootDirectory", READY(.age_s = 0.2)},
	{"a second later", CAUSE_SERVER_CLOSED, CAUSE_SERVER_CLOSED, 0, "without a word",
	 READY(.age_s = 1, .bytes_in = 100)},
	{"dead", CAUSE_PATH_DEAD, CAUSE_PATH_DEAD, 0, "for 8.0 s", READY(TCP_DEAD)},
	{"one direction is dead", CAUSE_KEEPALIVE, CAUSE_PATH_DEAD, 0, "still arrive",
	 READY(TCP_DEAD, .ack_ago_s = 1)},
	{"one answer late", CAUSE_KEEPALIVE, CAUSE_KEEPALIVE, CAUSE_PATH_DEAD, "path to it is dead",
	 READY(TCP_DEAD, .ack_ago_s = 7.5)},
	{"no keepalive answered", CAUSE_KEEPALIVE, CAUSE_KEEPALIVE, 0, "last 3 keepalives",
	 READY(TCP_DEAD, .missed = 3)},
};

/* a|b: one of them is there. */
static bool has_words(const struct cause *why, const char *words)
{
	char *copy = xstrdup(words), *rest = copy, *word;
	bool found = false;

	while (!found && (word = strsep(&rest, "|")) != NULL)
		found = strstr(why->text, word) != NULL || strstr(why->hint, word) != NULL;
	free(copy);
	return found;
}

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(cases); i++) {
		const struct diagnosis *d = &cases[i];
		struct cause why;

		cause_set(&why, d->seen, "%s", "");
		diagnose(&why, &d->e);
		if (why.cls != d->cls || why.text[0] == '\0' || why.hint[0] == '\0' ||
		    (d->words != NULL && !has_words(&why, d->words)))
			fail_msg("%s: %s, not %s: %s / %s", d->name, cause_name(why.cls),
				 cause_name(d->cls), why.text, why.hint);
		assert_true(d->misses == 0 || d->misses != d->cls);
		assert_null(strpbrk(why.text, "{}\n"));
		assert_null(strpbrk(why.hint, "{}\n"));
	}
}

/* Each rule decides in some case, and each class that rules lead to is nearly missed in one. */
static void test_rules_are_covered(void **state)
{
	bool hit[64] = {false}, missed[64] = {false};

	(void)state;
	assert_true(diagnose_rules_count <= HW_ARRAY_LEN(hit));
	for (size_t i = 0; i < HW_ARRAY_LEN(cases); i++) {
		const struct diagnose_rule *rule;
		struct cause why;

		cause_set(&why, cases[i].seen, "%s", "");
		rule = diagnose_rule(&why, &cases[i].e);
		if (rule != NULL)
			hit[rule - diagnose_rules] = true;
		missed[cases[i].misses] = true;
	}
	for (size_t i = 0; i < diagnose_rules_count; i++) {
		const struct diagnose_rule *rule = &diagnose_rules[i];

		if (!hit[i])
			fail_msg("no case for: %s (%s)", cause_name(rule->cls), rule->when);
		if (!missed[rule->cls] && (rule->seen >> rule->cls & 1) == 0)
			fail_msg("no near miss for %s", cause_name(rule->cls));
	}
}

/* Two lines at most, each with something to say. */
static void check_text(const char *name, const char *text)
{
	struct evidence e = READY(.said = "words");
	char out[2048];

	diagnose_expand(out, sizeof(out), text, &e);
	if (out[0] == '\0' || strlen(out) > 250 || strpbrk(out, "{}\n") != NULL ||
	    out[strlen(out) - 1] == '.')
		fail_msg("%s: %s", name, out);
}

static void test_rows(void **state)
{
	(void)state;
	for (int i = CAUSE_NONE + 1; i <= CAUSE_INTERNAL; i++) {
		enum cause_class cls = (enum cause_class)i;
		const struct diagnose_row *row = diagnose_row(cls);

		if (row->text == NULL)
			fail_msg("no row for %s", cause_name(cls));
		check_text(cause_name(cls), row->text);
		check_text(cause_name(cls), row->hint);
		assert_non_null(diagnose_setting(cls));
	}
	for (size_t i = 0; i < diagnose_rules_count; i++) {
		const struct diagnose_rule *rule = &diagnose_rules[i];

		if (rule->text != NULL)
			check_text(rule->when, rule->text);
		if (rule->hint != NULL)
			check_text(rule->when, rule->hint);
	}
	assert_string_equal(diagnose_setting(CAUSE_NONE), "");
	assert_non_null(strstr(diagnose_setting(CAUSE_IDLE_DROP), "ServerAliveInterval"));
	assert_non_null(strstr(diagnose_setting(CAUSE_SESSION_LIMIT), "MaxSessions"));
	assert_non_null(strstr(diagnose_setting(CAUSE_LOGIN_GRACE), "LoginGraceTime"));
	assert_non_null(strstr(diagnose_setting(CAUSE_MTU), "TCP_MAXSEG"));
	assert_non_null(strstr(diagnose_setting(CAUSE_REFUSES_SOURCE), "MaxStartups"));
	assert_non_null(strstr(diagnose_setting(CAUSE_SERVER_GAVE_UP), "ClientAliveInterval"));
	assert_non_null(strstr(diagnose_setting(CAUSE_CHANNEL_TIMEOUT), "ChannelTimeout"));
	assert_non_null(strstr(diagnose_setting(CAUSE_AUTH_TOO_MANY), "MaxAuthTries"));
}

static void test_evidence_is_shown(void **state)
{
	const struct evidence e =
		READY(TCP_DEAD, .quiet_s = 312, .retransmits = 7, .unacked = 3, .sacked = 2,
		      .missed = 2, .slept_ago_s = 3, .slept_s = 60, .said = "words");
	struct cause why;

	(void)state;
	cause_set(&why, CAUSE_RESET, "%s", "");
	diagnose(&why, &e);
	assert_int_equal(why.cls, CAUSE_SLEEP);
	assert_non_null(strstr(why.evidence, "quiet for 312 s, up for 4000 s\n"));
	assert_non_null(strstr(why.evidence, "2 keepalives without an answer\n"));
	assert_non_null(strstr(why.evidence, "TCP: 7 retransmits, 3 segments unacknowledged, "
					     "path MTU 1500\n"));
	assert_non_null(strstr(why.evidence, "TCP: 2 segments behind the lost one arrived"));
	assert_non_null(strstr(why.evidence, "this machine slept for 60 s and woke 3 s ago"));
}

/* What a place knows better is left to it; what was diagnosed is not diagnosed again. */
static void test_place_and_twice(void **state)
{
	const struct evidence e = READY(.age_s = 0.2);
	struct cause why, jump;

	(void)state;
	cause_set(&why, CAUSE_SERVER_CLOSED, "its own words");
	diagnose(&why, &e);
	assert_string_equal(why.text, "its own words");
	assert_non_null(strstr(why.hint, "sshd was stopped"));
	assert_string_equal(why.evidence, "quiet for 8 s, up for 0 s");
	cause_set(&jump, CAUSE_SERVER_CLOSED, "the jump host: %s", why.text);
	cause_take_over(&jump, &why);
	jump.text[0] = '\0';
	diagnose(&jump, &e);
	assert_string_equal(jump.text, "");
	assert_string_equal(jump.evidence, why.evidence);

	cause_set(&why, CAUSE_PROTOCOL, "in other words");
	cause_said(&why, true, "Packet corrupt\n");
	diagnose(&why, &e);
	assert_int_equal(why.cls, CAUSE_CORRUPT);
	assert_non_null(strstr(why.text, "(Packet corrupt\\012)"));
	assert_non_null(strstr(why.evidence, "the other side said: Packet corrupt"));

	diagnose_say(&why, CAUSE_LOCKED, &e);
	assert_non_null(strstr(why.text, "locked"));
	assert_non_null(strstr(why.hint, "unlock"));
	assert_string_equal(why.evidence, "");
	cause_set(&why, CAUSE_NONE, "%s", "");
	diagnose(&why, &e);
	assert_string_equal(why.text, "");
}

static void test_expand(void **state)
{
	struct evidence e = READY(.quiet_s = 3, .slept_s = 900, .age_s = 10800, .missed = 4);
	char out[64];

	(void)state;
	diagnose_expand(out, sizeof(out), "{quiet} {slept} {age} {missed}", &e);
	assert_string_equal(out, "3.0 s 15 min 3.0 h 4");
	diagnose_expand(out, sizeof(out), "{gap_died}{nonsense} {", &e);
	assert_string_equal(out, "some time{nonsense} {");
	diagnose_expand(out, 10, "{host}{host}", &e);
	assert_string_equal(out, "u@web1:22");
}

/* The document is written by tests/docs/causes.c (see there). */
static void test_document_is_current(void **state)
{
	char *document = read_file(HAWSER_CAUSES_DOCUMENT);
	char *made = run_program((char *[]){"env", HAWSER_CAUSES_PROGRAM, NULL}, 0);

	(void)state;
	if (strcmp(document, made) != 0)
		fail_msg("docs/causes.md is not current; run: %s >docs/causes.md",
			 HAWSER_CAUSES_PROGRAM);
	free(document);
	free(made);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_rules_are_covered),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_evidence_is_shown),
		cmocka_unit_test(test_place_and_twice),
		cmocka_unit_test(test_expand),
		cmocka_unit_test(test_document_is_current),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
