/* A login's authentication, against a real sshd, a real ssh-agent and a throw-away account. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/alloc.h"
#include "tests/support/login_case.h"

#define PASSWORD "correct horse"

static struct private_sshd server;
static char account[32]; /* "" when none could be made */
static const char *const none[] = {NULL};
static const char *const plain[] = {"id_plain", NULL};
static const char *const encrypted[] = {"id_enc", NULL};
static const char *const other[] = {"id_other", NULL};

static int start(void **state)
{
	char *command;

	(void)state;
	snprintf(account, sizeof(account), "hwtest%d", getpid() % 100000);
	private_sshd_prepare(&server);
	command = xasprintf("useradd -M -d /tmp -s /bin/sh %s && echo '%s:" PASSWORD "' | chpasswd",
			    account, account);
	private_sshd_shell(&server, command); /* needs root, as CI has it */
	free(command);
	private_sshd_start(&server, "UsePAM no");
	return 0;
}

static int finish(void **state)
{
	char *command = xasprintf("userdel %s 2>/dev/null || userdel -f %s", account, account);

	(void)state;
	private_sshd_shell(&server, command);
	free(command);
	private_sshd_finish(&server);
	return 0;
}

static void a_plain_key_needs_no_probe(void **state)
{
	struct login_case c;
	struct login_hint hint;

	(void)state;
	login_case_restart(&server, "");
	login_case_init(&c, &server, "root", plain);
	login_case_run(&c);
	login_case_logged_in(&c);
	assert_int_equal(private_sshd_log_count(&server, REQUEST_LINE), 2); /* none, publickey */
	hint = c.next_hint;
	login_case_finish(&c);

	login_case_restart(&server, "");
	login_case_init(&c, &server, "root", plain);
	c.hint = hint;
	login_case_run(&c);
	login_case_logged_in(&c);
	assert_int_equal(private_sshd_log_count(&server, REQUEST_LINE), 1);
	assert_string_equal(c.next_hint.fingerprint, hint.fingerprint);
	login_case_finish(&c);
}

/* A hint that is not true any more costs a try and nothing else. */
static void a_stale_hint_does_no_harm(void **state)
{
	static const char *const both[] = {"id_other", "id_plain", NULL};
	struct login_case c;
	FILE *p;
	char *command = xasprintf("ssh-keygen -lf %s/id_other.pub | cut -d' ' -f2", server.dir);

	(void)state;
	login_case_restart(&server, "");
	login_case_init(&c, &server, "root", both);
	snprintf(c.hint.method, sizeof(c.hint.method), "publickey");
	p = popen(command, "r");
	assert_non_null(fgets(c.hint.fingerprint, sizeof(c.hint.fingerprint), p));
	c.hint.fingerprint[strcspn(c.hint.fingerprint, "\n")] = '\0';
	pclose(p);
	free(command);
	login_case_run(&c);
	login_case_logged_in(&c);
	assert_int_equal(private_sshd_log_count(&server, REQUEST_LINE), 2); /* other, plain */
	login_case_finish(&c);

	login_case_init(&c, &server, "root", plain);
	snprintf(c.hint.method, sizeof(c.hint.method), "publickey");
	snprintf(c.hint.fingerprint, sizeof(c.hint.fingerprint), "SHA256:gone");
	login_case_run(&c);
	login_case_logged_in(&c);
	login_case_finish(&c);
}

static void an_encrypted_key_asks_for_its_passphrase(void **state)
{
	struct login_case c;
	char *question;

	(void)state;
	login_case_init(&c, &server, "root", encrypted);
	c.answers[0] = "wrong";
	c.answers[1] = SSHD_PASSPHRASE;
	login_case_run(&c);
	login_case_logged_in(&c);
	assert_int_equal(c.prompts, 2);
	assert_true(c.prompted);
	assert_int_equal(c.kinds[0], PROTO_PROMPT_SECRET);
	question = xasprintf("Enter passphrase for key '%s/id_enc': ", server.dir);
	assert_string_equal(c.asked[0], question);
	assert_string_equal(c.asked[1], question);
	free(question);
	login_case_finish(&c);

	login_case_init(&c, &server, "root", encrypted);
	c.answers[0] = c.answers[1] = c.answers[2] = "wrong";
	login_case_run(&c);
	assert_false(c.ok);
	assert_int_equal(c.prompts, 3); /* NumberOfPasswordPrompts */
	assert_int_equal(c.why.cls, CAUSE_AUTH);
	login_case_contains(c.why.text, "wrong passphrase");
	login_case_finish(&c);
}

/* Every kind of key that libssh reads, from a file and from an agent. */
static void all_kinds_of_keys(void **state)
{
	static const char *const kinds[] = {"rsa -b 2048", "ecdsa -b 384", "rsa -b 2048 -m PEM"};

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(kinds); i++) {
		for (int locked = 0; locked < 2; locked++) {
			static const char *const key[] = {"id_kind", NULL};
			struct login_case c;
			char *command = xasprintf(
				"cd $DIR; rm -f id_kind*; ssh-keygen -q -t %s -N '%s' -f id_kind; "
				"cat id_plain.pub id_enc.pub id_kind.pub > authorized_keys",
				kinds[i], locked ? SSHD_PASSPHRASE : "");

			private_sshd_shell(&server, command);
			free(command);
			login_case_init(&c, &server, "root", key);
			c.answers[0] = "wrong";
			c.answers[1] = SSHD_PASSPHRASE;
			login_case_run(&c);
			login_case_logged_in(&c);
			assert_int_equal(c.prompts, locked ? 2 : 0);
			login_case_finish(&c);
		}
	}
}

static void a_certificate_is_offered_first(void **state)
{
	static const char *const key[] = {"id_cert", NULL};
	struct login_case c;
	char *config = xasprintf("TrustedUserCAKeys %s/ca.pub", server.dir);

	(void)state;
	login_case_restart(&server, config);
	free(config);
	private_sshd_shell(&server, "cd $DIR; ssh-keygen -q -t ed25519 -N '' -f ca; ssh-keygen -q "
				    "-t ed25519 -N '' -f id_cert; ssh-keygen -q -s ca -I test -n "
				    "root id_cert.pub");
	login_case_init(&c, &server, "root", key);
	login_case_run(&c);
	login_case_logged_in(&c);
	login_case_finish(&c);
	/* As CertificateFile, under another name. */
	private_sshd_shell(&server, "mv $DIR/id_cert-cert.pub $DIR/elsewhere");
	login_case_init(&c, &server, "root", key);
	c.dest.certificate_files = (char *[]){private_sshd_path(&server, "elsewhere"), NULL};
	login_case_run(&c);
	login_case_logged_in(&c);
	free(c.dest.certificate_files[0]);
	login_case_finish(&c);
	/* Without it the server knows nothing of the key. */
	login_case_init(&c, &server, "root", key);
	login_case_run(&c);
	assert_false(c.ok);
	login_case_finish(&c);
}

/* A wanted key of which libssh can make nothing (as one on a token): ssh may do it. */
static void an_unreadable_kind_of_key_is_handed_over(void **state)
{
	static const char *const key[] = {"id_odd", NULL};
	struct login_case c;

	(void)state;
	private_sshd_shell(&server, "cd $DIR; cp id_plain.pub id_odd.pub; umask 077; echo what > "
				    "id_odd");
	login_case_init(&c, &server, "root", key);
	login_case_run(&c);
	assert_false(c.ok);
	assert_true(c.handover);
	login_case_contains(c.why.text, "libssh cannot read");
	login_case_finish(&c);
}

/* The server does not want the key: nobody is asked for its passphrase. */
static void an_unwanted_encrypted_key_is_not_asked_for(void **state)
{
	struct login_case c;

	(void)state;
	login_case_init(&c, &server, account, encrypted);
	private_sshd_shell(&server, "mv $DIR/authorized_keys $DIR/kept");
	login_case_run(&c);
	private_sshd_shell(&server, "mv $DIR/kept $DIR/authorized_keys");
	assert_false(c.ok);
	assert_int_equal(c.prompts, 0);
	login_case_contains(c.why.text, "refused");
	login_case_finish(&c);
}

static void batch_mode_says_that_it_did_not_ask(void **state)
{
	struct login_case c;

	(void)state;
	login_case_init(&c, &server, "root", encrypted);
	c.dest.batch_mode = true;
	login_case_run(&c);
	assert_false(c.ok);
	assert_int_equal(c.prompts, 0);
	login_case_contains(c.why.text, "passphrase was not asked for: batch mode");
	login_case_finish(&c);
}

static void a_refusal_tells_what_was_tried(void **state)
{
	struct login_case c;

	(void)state;
	login_case_init(&c, &server, "root", other);
	login_case_run(&c);
	assert_false(c.ok);
	assert_int_equal(c.why.cls, CAUSE_AUTH);
	login_case_contains(c.why.text, "testhost (127.0.0.1 port ");
	login_case_contains(c.why.text, "Permission denied (publickey). User root: ");
	login_case_contains(c.why.text, "/id_other (SHA256:");
	login_case_contains(c.why.text, "no agent");
	assert_false(c.handover);
	login_case_finish(&c);
}

static void a_key_that_others_can_read_is_ignored(void **state)
{
	struct login_case c;

	(void)state;
	private_sshd_shell(&server, "chmod 644 $DIR/id_plain");
	login_case_init(&c, &server, "root", plain);
	login_case_run(&c);
	private_sshd_shell(&server, "chmod 600 $DIR/id_plain");
	assert_false(c.ok);
	login_case_contains(c.warnings, "UNPROTECTED PRIVATE KEY FILE");
	login_case_contains(c.why.text, "0644");
	login_case_finish(&c);
}

static void passwords_are_asked_for(void **state)
{
	struct login_case c;
	char *question = xasprintf("%s@127.0.0.1's password: ", account);
	char *again = xasprintf("Permission denied, please try again.\n%s", question);

	(void)state;
	login_case_restart(&server, "Match User hwtest*\nPasswordAuthentication yes\nMatch All\n");
	login_case_init(&c, &server, account, none);
	c.answers[0] = "no";
	c.answers[1] = PASSWORD;
	login_case_run(&c);
	login_case_logged_in(&c);
	assert_int_equal(c.prompts, 2);
	assert_string_equal(c.asked[0], question);
	assert_string_equal(c.asked[1], again);
	assert_string_equal(c.next_hint.method, "");
	login_case_finish(&c);
	free(question);
	free(again);

	login_case_init(&c, &server, account, none);
	c.answers[0] = c.answers[1] = c.answers[2] = "no";
	login_case_run(&c);
	assert_false(c.ok);
	assert_int_equal(c.prompts, 3);
	login_case_contains(c.why.text, "password refused 3 times");
	login_case_contains(c.why.text, "Permission denied (publickey,password)");
	login_case_finish(&c);

	login_case_init(&c, &server, account, none);
	c.dest.batch_mode = true;
	login_case_run(&c);
	assert_false(c.ok);
	login_case_contains(c.why.text, "the password was not asked for: batch mode");
	login_case_finish(&c);
}

static void key_and_password_together(void **state)
{
	struct login_case c;

	(void)state;
	login_case_restart(&server, "Match User hwtest*\nPasswordAuthentication yes\n"
				    "AuthenticationMethods publickey,password\nMatch All\n");
	login_case_init(&c, &server, account, plain);
	c.answers[0] = PASSWORD;
	login_case_run(&c);
	login_case_logged_in(&c);
	assert_int_equal(c.prompts, 1);
	assert_string_equal(c.next_hint.method, "publickey");
	login_case_finish(&c);
}

/* StrictHostKeyChecking no and a changed key: ssh gives that server no password. */
static void an_untrusted_server_gets_no_password(void **state)
{
	struct login_case c;

	(void)state;
	login_case_restart(&server, "Match User hwtest*\nPasswordAuthentication yes\nMatch All\n");
	private_sshd_shell(&server, "sed 's/ssh-ed25519 .*//' $DIR/known_hosts | tr -d '\\n' > "
				    "$DIR/known_other; cut -d' ' -f1,2 $DIR/id_other.pub >> "
				    "$DIR/known_other");
	login_case_init(&c, &server, account, none);
	c.known[0] = private_sshd_path(&server, "known_other");
	c.dest.strict = STRICT_NO;
	login_case_run(&c);
	assert_false(c.ok);
	assert_int_equal(c.prompts, 0);
	free(c.known[0]);
	login_case_finish(&c);
}

static void keyboard_interactive_by_pam(void **state)
{
	struct login_case c;
	char *question = xasprintf("(%s@127.0.0.1) Password: ", account);

	(void)state;
	login_case_restart(
		&server,
		"UsePAM yes\nMatch User hwtest*\nKbdInteractiveAuthentication yes\nMatch All\n");
	login_case_init(&c, &server, account, none);
	c.answers[0] = "no";
	c.answers[1] = PASSWORD;
	login_case_run(&c);
	login_case_logged_in(&c);
	assert_int_equal(c.prompts, 2);
	assert_int_equal(c.kinds[0], PROTO_PROMPT_TEXT);
	assert_string_equal(c.asked[0], question);
	login_case_finish(&c);
	free(question);

	login_case_init(&c, &server, account, none);
	c.answers[0] = CASE_NOBODY;
	login_case_run(&c);
	assert_false(c.ok);
	assert_int_equal(c.why.cls, CAUSE_PROMPT);
	login_case_finish(&c);
}

static void the_banner_comes_as_sent(void **state)
{
	struct login_case c;

	(void)state;
	private_sshd_shell(&server, "printf 'Be nice.\\r\\n\\033[1mReally\\n' > $DIR/banner");
	login_case_restart(&server, "Banner /dev/null\n");
	private_sshd_stop(&server);
	{
		char *config = xasprintf("Banner %s/banner", server.dir);

		private_sshd_start(&server, config);
		free(config);
	}
	login_case_init(&c, &server, "root", plain);
	login_case_run(&c);
	login_case_logged_in(&c);
	assert_string_equal(c.banner, "Be nice.\r\n\033[1mReally\n");
	login_case_finish(&c);

	/* As an event, it comes before the question that follows it. */
	login_case_init(&c, &server, "root", encrypted);
	c.want_notices = true;
	c.answers[0] = SSHD_PASSPHRASE;
	login_case_run(&c);
	login_case_logged_in(&c);
	assert_string_equal(c.banner, "Be nice.\r\n\033[1mReally\n");
	assert_int_equal(c.prompts_before_banner, 0);
	assert_int_equal(c.prompts, 1);
	login_case_finish(&c);
}

static int by_ms(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

#define TIMED_RUNS 15

/* Printed for people; the bound is loose, since a machine may be busy. */
static void a_cold_login_is_quick(void **state)
{
	struct login_hint hint = {.method = ""};
	double median[2];

	(void)state;
	login_case_restart(&server, "LogLevel INFO");
	for (int hinted = 0; hinted < 2; hinted++) {
		double ms[TIMED_RUNS];

		for (int i = 0; i < TIMED_RUNS; i++) {
			struct login_case c;

			login_case_init(&c, &server, "root", plain);
			if (hinted)
				c.hint = hint;
			login_case_run(&c);
			login_case_logged_in(&c);
			hint = c.next_hint;
			ms[i] = c.ms;
			if (getenv("LOGIN_TRACE"))
				print_message("%.1f: kex %u auth %u\n", c.ms, c.kex_ms, c.auth_ms);
			login_case_finish(&c);
		}
		qsort(ms, TIMED_RUNS, sizeof(ms[0]), by_ms);
		median[hinted] = ms[TIMED_RUNS / 2];
	}
	print_message("cold login: %.1f ms, with the hint %.1f ms (medians of %d)\n", median[0],
		      median[1], TIMED_RUNS);
	assert_true(median[1] < 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_key_needs_no_probe),
		cmocka_unit_test(a_stale_hint_does_no_harm),
		cmocka_unit_test(an_encrypted_key_asks_for_its_passphrase),
		cmocka_unit_test(all_kinds_of_keys),
		cmocka_unit_test(a_certificate_is_offered_first),
		cmocka_unit_test(an_unreadable_kind_of_key_is_handed_over),
		cmocka_unit_test(an_unwanted_encrypted_key_is_not_asked_for),
		cmocka_unit_test(batch_mode_says_that_it_did_not_ask),
		cmocka_unit_test(a_refusal_tells_what_was_tried),
		cmocka_unit_test(a_key_that_others_can_read_is_ignored),
		cmocka_unit_test(passwords_are_asked_for),
		cmocka_unit_test(key_and_password_together),
		cmocka_unit_test(an_untrusted_server_gets_no_password),
		cmocka_unit_test(keyboard_interactive_by_pam),
		cmocka_unit_test(the_banner_comes_as_sent),
		cmocka_unit_test(a_cold_login_is_quick),
	};

	return cmocka_run_group_tests(tests, start, finish);
}
