/* A login's key exchange and host key, against a real sshd and against things that are none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol/alloc.h"
#include "tests/support/login_case.h"

static struct private_sshd server;
static const char *const plain[] = {"id_plain", NULL};

static int start(void **state)
{
	(void)state;
	private_sshd_prepare(&server);
	private_sshd_start(&server, "Banner none\nMaxStartups 100");
	return 0;
}

static int finish(void **state)
{
	(void)state;
	private_sshd_finish(&server);
	return 0;
}

static char *read_text(const char *path)
{
	char *text = xcalloc(1, 65536);
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	(void)!fread(text, 1, 65535, f);
	fclose(f);
	return text;
}

static void a_known_key_logs_in(void **state)
{
	struct login_case c;

	(void)state;
	login_case_init(&c, &server, "root", plain);
	login_case_run(&c);
	if (!c.ok)
		fail_msg("%s", c.why.text);
	assert_int_equal(c.prompts, 0);
	assert_false(c.prompted);
	assert_null(c.warnings);
	assert_string_equal(c.next_hint.method, "publickey");
	assert_memory_equal(c.next_hint.fingerprint, "SHA256:", 7);
	login_case_finish(&c);
}

/* A known_hosts of the test's own, in place of the right one. */
static void use_known(struct login_case *c, const char *name, const char *shell)
{
	if (shell != NULL)
		private_sshd_shell(&server, shell);
	c->known[0] = private_sshd_path(&server, name);
}

static void finish_known(struct login_case *c)
{
	free(c->known[0]);
	login_case_finish(c);
}

static void an_unknown_key_is_asked_and_kept(void **state)
{
	struct login_case c;
	char *text, *expected;

	(void)state;
	login_case_init(&c, &server, "root", plain);
	use_known(&c, "known_new", "rm -f $DIR/known_new");
	c.dest.global_known_hosts = (char *[]){NULL};
	c.answers[0] = "perhaps";
	c.answers[1] = " YES ";
	login_case_run(&c);
	assert_true(c.ok);
	assert_int_equal(c.prompts, 2);
	assert_false(c.prompted); /* another login would not ask again */
	assert_int_equal(c.kinds[0], PROTO_PROMPT_HOSTKEY);
	expected = xasprintf("The authenticity of host '[127.0.0.1]:%u ([127.0.0.1]:%u)' can't be "
			     "established.\nED25519 key fingerprint is SHA256:",
			     server.port, server.port);
	login_case_contains(c.asked[0], expected);
	free(expected);
	login_case_contains(
		c.asked[0],
		".\nThis key is not known by any other names.\n"
		"\nAre you sure you want to continue connecting (yes/no/[fingerprint])? ");
	assert_string_equal(c.asked[1], "Please type 'yes', 'no' or the fingerprint: ");
	expected = xasprintf("Warning: Permanently added '[127.0.0.1]:%u' (ED25519) to the list of "
			     "known hosts.\n",
			     server.port);
	assert_string_equal(c.warnings, expected);
	free(expected);
	text = read_text(c.known[0]);
	expected = xasprintf("[127.0.0.1]:%u ssh-ed25519 ", server.port);
	login_case_contains(text, expected);
	free(expected);
	free(text);
	login_case_finish(&c);

	/* Kept: the next one is not asked. */
	text = c.known[0];
	login_case_init(&c, &server, "root", plain);
	c.known[0] = text;
	login_case_run(&c);
	assert_true(c.ok);
	finish_known(&c);
}

static void the_fingerprint_is_an_answer_and_names_are_hashed(void **state)
{
	struct login_case c;
	char *text, fingerprint[128] = "";
	FILE *p;

	(void)state;
	text = xasprintf("ssh-keygen -lf %s/host_ed25519.pub | cut -d' ' -f2", server.dir);
	p = popen(text, "r");
	assert_non_null(fgets(fingerprint, sizeof(fingerprint), p));
	pclose(p);
	free(text);
	login_case_init(&c, &server, "root", plain);
	use_known(&c, "known_hashed", "rm -f $DIR/known_hashed");
	c.dest.hash_known_hosts = true;
	c.answers[0] = fingerprint;
	login_case_run(&c);
	assert_true(c.ok);
	assert_int_equal(c.prompts, 1);
	text = read_text(c.known[0]);
	assert_memory_equal(text, "|1|", 3);
	free(text);
	finish_known(&c);
}

static void an_unknown_key_is_refused(void **state)
{
	static const struct {
		enum strict_hostkey strict;
		bool batch;
		const char *answer, *reason;
		enum cause_class cls;
	} rows[] = {
		{STRICT_ASK, false, "no", "it was not accepted", CAUSE_HOSTKEY_UNKNOWN},
		{STRICT_ASK, false, CASE_NOBODY, "there is no terminal", CAUSE_PROMPT},
		{STRICT_ASK, true, NULL, "batch mode", CAUSE_HOSTKEY_UNKNOWN},
		{STRICT_YES, false, NULL, "you have requested strict checking",
		 CAUSE_HOSTKEY_UNKNOWN},
	};

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(rows); i++) {
		struct login_case c;

		login_case_init(&c, &server, "root", plain);
		use_known(&c, "known_none", "rm -f $DIR/known_none");
		c.dest.strict = rows[i].strict;
		c.dest.batch_mode = rows[i].batch;
		c.answers[0] = rows[i].answer;
		login_case_run(&c);
		assert_false(c.ok);
		assert_int_equal(c.why.cls, rows[i].cls);
		login_case_contains(c.why.text, rows[i].reason);
		login_case_contains(c.why.text, "testhost (127.0.0.1 port ");
		assert_int_equal(access(c.known[0], F_OK), -1);
		finish_known(&c);
	}
}

static void accept_new_and_no_add_with_a_warning(void **state)
{
	static const enum strict_hostkey stricts[] = {STRICT_ACCEPT_NEW, STRICT_NO};

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(stricts); i++) {
		struct login_case c;

		login_case_init(&c, &server, "root", plain);
		use_known(&c, "known_accept", "rm -f $DIR/known_accept");
		c.dest.strict = stricts[i];
		login_case_run(&c);
		assert_true(c.ok);
		login_case_contains(c.warnings, "Permanently added");
		assert_int_equal(access(c.known[0], F_OK), 0);
		finish_known(&c);
	}
}

#define OTHER_KEY                                                                                  \
	"sed 's/ssh-ed25519 .*//' $DIR/known_hosts | tr -d '\\n' > $DIR/known_other; "             \
	"cut -d' ' -f1,2 $DIR/id_other.pub >> $DIR/known_other"

static void a_changed_key_is_refused(void **state)
{
	static const enum strict_hostkey stricts[] = {STRICT_ASK, STRICT_ACCEPT_NEW, STRICT_YES};

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(stricts); i++) {
		struct login_case c;
		char *where;

		login_case_init(&c, &server, "root", plain);
		use_known(&c, "known_other", OTHER_KEY);
		c.dest.strict = stricts[i];
		login_case_run(&c);
		assert_false(c.ok);
		assert_int_equal(c.why.cls, CAUSE_HOSTKEY_CHANGED);
		where = xasprintf("%s:1 (SHA256:", c.known[0]);
		login_case_contains(c.why.text, where);
		free(where);
		login_case_contains(c.why.text, "is now SHA256:");
		login_case_contains(c.why.hint, "ssh-keygen -f '");
		where = xasprintf("-R '[127.0.0.1]:%u'", server.port);
		login_case_contains(c.why.hint, where);
		free(where);
		finish_known(&c);
	}
}

static void a_changed_key_with_no_is_warned_of(void **state)
{
	struct login_case c;

	(void)state;
	login_case_init(&c, &server, "root", plain);
	use_known(&c, "known_other", OTHER_KEY);
	c.dest.strict = STRICT_NO;
	login_case_run(&c);
	assert_true(c.ok); /* by public key */
	login_case_contains(c.warnings, "HAS CHANGED");
	login_case_contains(c.warnings, "Password authentication is disabled");
	finish_known(&c);
}

static void a_revoked_key_is_refused(void **state)
{
	struct login_case c;

	(void)state;
	login_case_init(&c, &server, "root", plain);
	use_known(
		&c, "known_revoked",
		"cp $DIR/known_hosts $DIR/known_revoked; printf '@revoked * ' >> "
		"$DIR/known_revoked; cut -d' ' -f1,2 $DIR/host_ed25519.pub >> $DIR/known_revoked");
	login_case_run(&c);
	assert_false(c.ok);
	assert_int_equal(c.why.cls, CAUSE_HOSTKEY_REVOKED);
	login_case_contains(c.why.text, ":2");
	finish_known(&c);
}

static void a_ca_only_host_is_handed_over(void **state)
{
	struct login_case c;

	(void)state;
	login_case_init(&c, &server, "root", plain);
	use_known(&c, "known_ca",
		  "printf '@cert-authority * ' > $DIR/known_ca; cut -d' ' -f1,2 $DIR/id_other.pub "
		  ">> $DIR/known_ca");
	login_case_run(&c);
	assert_false(c.ok);
	assert_int_equal(c.why.cls, CAUSE_HOSTKEY_UNKNOWN);
	assert_true(c.handover);
	finish_known(&c);
}

static void no_common_algorithm_lists_both_sides(void **state)
{
	struct private_sshd odd;
	struct login_case c;

	(void)state;
	private_sshd_prepare(&odd);
	private_sshd_start(&odd, "KexAlgorithms sntrup761x25519-sha512@openssh.com");
	login_case_init(&c, &odd, "root", plain);
	login_case_run(&c);
	assert_false(c.ok);
	assert_int_equal(c.why.cls, CAUSE_NO_COMMON_ALGORITHM);
	login_case_contains(c.why.text, "sntrup761x25519-sha512@openssh.com");
	login_case_contains(c.why.text, "curve25519-sha256");
	login_case_contains(c.why.text,
			    "no matching key exchange method found. Their offer: sntrup");
	login_case_contains(c.why.hint, "KexAlgorithms");
	assert_true(c.handover);
	login_case_finish(&c);
	private_sshd_finish(&odd);
}

/* --- things that are no sshd --- */

struct odd_server {
	int listener;
	uint16_t port;
	pthread_t thread;
	const char *says;   /* NULL: nothing */
	bool listens_first; /* reads something before it speaks */
	bool closes;
};

static void *serve_odd(void *arg)
{
	struct odd_server *o = arg;
	char buf[256];
	int fd = accept4(o->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd == -1)
		return NULL;
	if (o->listens_first)
		(void)!read(fd, buf, sizeof(buf));
	if (o->says != NULL)
		(void)!write(fd, o->says, strlen(o->says));
	if (o->closes)
		shutdown(fd, SHUT_WR);
	/* Until the client has gone: a close with bytes unread would be a reset. */
	while (read(fd, buf, sizeof(buf)) > 0)
		;
	close(fd);
	return NULL;
}

static void start_odd(struct odd_server *o)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);

	o->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(o->listener, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(o->listener, 4), 0);
	assert_int_equal(getsockname(o->listener, (struct sockaddr *)&addr, &len), 0);
	o->port = ntohs(addr.sin_port);
}

static void run_odd(struct login_case *c, struct odd_server *o)
{
	start_odd(o);
	c->fd = private_sshd_connect(o->port);
	c->foreign_threads = true; /* the server's own comes and goes meanwhile */
	pthread_create(&o->thread, NULL, serve_odd, o);
	login_case_run(c);
	close(c->fd);
	pthread_join(o->thread, NULL);
	close(o->listener);
}

static void what_is_no_ssh_server_is_told(void **state)
{
	static const struct {
		const char *says;
		bool listens_first, closes;
		enum cause_class cls;
		const char *text;
	} rows[] = {
		{NULL, false, true, CAUSE_CLOSED_BEFORE_BANNER, "before the server said anything"},
		{"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", true, true, CAUSE_NOT_SSH,
		 "HTTP/1.1 400 Bad Request"},
		{"You are not welcome\r\n", false, true, CAUSE_NOT_SSH, "You are not welcome"},
		{"Exceeded MaxStartups\r\n", false, true, CAUSE_CLOSED_BEFORE_BANNER,
		 "Exceeded MaxStartups"},
		{"220 mail \033[31m\r\n", false, false, CAUSE_NOT_SSH, "220 mail"},
		{NULL, false, false, CAUSE_LOGIN_TIMEOUT, "nothing came within 1 s"},
	};

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(rows); i++) {
		struct odd_server o = {.says = rows[i].says,
				       .listens_first = rows[i].listens_first,
				       .closes = rows[i].closes};
		struct login_case c;

		login_case_init(&c, &server, "root", plain);
		c.timeout_ms = 1000;
		run_odd(&c, &o);
		assert_false(c.ok);
		login_case_contains(c.why.text, rows[i].text);
		login_case_contains(c.why.text, "testhost (127.0.0.1 port ");
		assert_null(strchr(c.why.text, '\033'));
		assert_int_equal(c.why.cls, rows[i].cls);
		assert_true(c.why.hint[0] != '\0');
		login_case_finish(&c);
	}
}

static void max_startups_is_told(void **state)
{
	struct private_sshd busy;
	struct login_case c;
	char banner[16];
	int fd;

	(void)state;
	private_sshd_prepare(&busy);
	private_sshd_start(&busy, "MaxStartups 1");
	/* The one place is taken once its banner is here. */
	do {
		fd = private_sshd_connect(busy.port);
		fcntl(fd, F_SETFL, 0);
		if (read(fd, banner, 4) == 4 && memcmp(banner, "SSH-", 4) == 0)
			break;
		close(fd); /* the readiness probe still held the place */
	} while (true);
	login_case_init(&c, &busy, "root", plain);
	login_case_run(&c);
	assert_false(c.ok);
	assert_int_equal(c.why.cls, CAUSE_CLOSED_BEFORE_BANNER);
	login_case_contains(c.why.text, "Exceeded MaxStartups");
	login_case_finish(&c);
	close(fd);
	private_sshd_finish(&busy);
}

static void cancel_in_the_key_exchange(void **state)
{
	struct odd_server o = {.says = "SSH-2.0-mute\r\n"};
	struct login_case c;

	(void)state;
	login_case_init(&c, &server, "root", plain);
	c.cancel_after_ms = 30;
	c.begin = 0;
	run_odd(&c, &o);
	assert_false(c.done); /* no event after a cancel */
	assert_in_range((uv_hrtime() - c.begin) / 1000000u, 20, 2000);
	login_case_finish(&c);
}

static void cancel_in_a_prompt(void **state)
{
	struct login_case c;

	(void)state;
	login_case_init(&c, &server, "root", plain);
	use_known(&c, "known_none", NULL);
	c.answers[0] = CASE_CANCEL;
	login_case_run(&c);
	assert_false(c.done);
	assert_int_equal(c.prompts, 1);
	finish_known(&c);
}

static void cancel_at_any_moment(void **state)
{
	unsigned ended = 0;

	(void)state;
	for (unsigned ms = 1; ms <= 30; ms++) {
		struct login_case c;

		login_case_init(&c, &server, "root", plain);
		c.cancel_after_ms = ms;
		login_case_run(&c);
		if (c.done && !c.ok)
			fail_msg("cancelled after %u ms: %s", ms, c.why.text);
		ended += c.done;
		login_case_finish(&c);
	}
	assert_in_range(ended, 0, 29); /* the first of them at least cut something */
}

static void the_server_hangs_up_while_we_ask(void **state)
{
	struct private_sshd quick;
	struct login_case c;

	(void)state;
	private_sshd_prepare(&quick);
	private_sshd_start(&quick, "LoginGraceTime 1");
	login_case_init(&c, &quick, "root", plain);
	c.known[0] = private_sshd_path(&quick, "known_none");
	c.answers[0] = CASE_SILENT;
	login_case_run(&c);
	assert_false(c.ok);
	assert_int_equal(c.why.cls, CAUSE_LOGIN_GRACE);
	login_case_contains(c.why.hint, "LoginGraceTime");
	finish_known(&c);
	private_sshd_finish(&quick);
}

static atomic_uint bad_closes;

/* In place of libc's, for the daemon and for libssh. */
int close(int fd)
{
	int rc = (int)syscall(SYS_close, fd);

	if (rc != 0 && errno == EBADF)
		atomic_fetch_add(&bad_closes, 1);
	return rc;
}

static void a_descriptor_is_closed_once(void **state)
{
	static const char *const encrypted[] = {"id_enc", NULL};
	struct login_case c;

	(void)state;
	login_case_init(&c, &server, "root", encrypted);
	c.answers[0] = CASE_BREAK; /* the passphrase: by now libssh writes without a poll */
	atomic_store(&bad_closes, 0);
	login_case_run(&c);
	assert_false(c.ok);
	assert_int_equal(c.prompts, 1);
	/* libssh closes it when the last words do not go out; another close() might hit what
	 * another thread has just opened. */
	assert_int_equal(atomic_load(&bad_closes), 0);
	login_case_finish(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_known_key_logs_in),
		cmocka_unit_test(an_unknown_key_is_asked_and_kept),
		cmocka_unit_test(the_fingerprint_is_an_answer_and_names_are_hashed),
		cmocka_unit_test(an_unknown_key_is_refused),
		cmocka_unit_test(accept_new_and_no_add_with_a_warning),
		cmocka_unit_test(a_changed_key_is_refused),
		cmocka_unit_test(a_changed_key_with_no_is_warned_of),
		cmocka_unit_test(a_revoked_key_is_refused),
		cmocka_unit_test(a_ca_only_host_is_handed_over),
		cmocka_unit_test(no_common_algorithm_lists_both_sides),
		cmocka_unit_test(what_is_no_ssh_server_is_told),
		cmocka_unit_test(max_startups_is_told),
		cmocka_unit_test(cancel_in_the_key_exchange),
		cmocka_unit_test(cancel_in_a_prompt),
		cmocka_unit_test(cancel_at_any_moment),
		cmocka_unit_test(the_server_hangs_up_while_we_ask),
		cmocka_unit_test(a_descriptor_is_closed_once),
	};

	return cmocka_run_group_tests(tests, start, finish);
}
