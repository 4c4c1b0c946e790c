/* A login's keys from an agent, against a real sshd and a real ssh-agent. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/agent_io.h"
#include "tests/support/login_case.h"

static struct private_sshd server;
static const char *const none[] = {NULL};
static const char *const plain[] = {"id_plain", NULL};
static const char *const other[] = {"id_other", NULL};

static int start(void **state)
{
	(void)state;
	private_sshd_prepare(&server);
	private_sshd_start(&server, "UsePAM no");
	return 0;
}

static int finish(void **state)
{
	(void)state;
	private_sshd_finish(&server);
	return 0;
}

static void agent_keys_are_used(void **state)
{
	struct login_case c;
	struct login_hint hint;

	(void)state;
	login_case_restart(&server, "");
	private_sshd_start_agent(&server, NULL);
	private_sshd_shell(&server, "SSH_AUTH_SOCK=$DIR/agent.sock ssh-add -q $DIR/id_other "
				    "$DIR/id_plain");
	login_case_init(&c, &server, "root", none);
	login_case_use_agent(&c, &server);
	login_case_run(&c);
	login_case_logged_in(&c);
	/* none, probe of other, probe of plain, signature */
	assert_int_equal(private_sshd_log_count(&server, REQUEST_LINE), 4);
	hint = c.next_hint;
	assert_string_equal(hint.method, "publickey");
	login_case_finish(&c);

	login_case_restart(&server, "");
	login_case_init(&c, &server, "root", none);
	login_case_use_agent(&c, &server);
	c.hint = hint;
	login_case_run(&c);
	login_case_logged_in(&c);
	assert_int_equal(private_sshd_log_count(&server, REQUEST_LINE), 2); /* probe, signature */
	login_case_finish(&c);
}

static void identity_files_come_first_in_the_agent(void **state)
{
	static const char *const public_only[] = {"only_public", NULL};
	struct login_case c;

	(void)state;
	login_case_restart(&server, "");
	private_sshd_shell(&server, "cp $DIR/id_plain.pub $DIR/only_public.pub");
	login_case_init(&c, &server, "root", public_only);
	login_case_use_agent(&c, &server);
	login_case_run(&c);
	login_case_logged_in(&c);
	assert_int_equal(private_sshd_log_count(&server, REQUEST_LINE), 3); /* none, probe, sign */
	login_case_finish(&c);

	/* IdentitiesOnly: what no file names is not offered. */
	login_case_restart(&server, "");
	login_case_init(&c, &server, "root", other);
	login_case_use_agent(&c, &server);
	c.dest.identities_only = true;
	login_case_run(&c);
	assert_false(c.ok);
	login_case_contains(c.why.text, "(id_other) refused");
	assert_int_equal(private_sshd_log_count(&server, REQUEST_LINE), 2); /* none, probe */
	login_case_finish(&c);
}

static void too_many_keys_are_told(void **state)
{
	struct login_case c;

	(void)state;
	login_case_restart(&server, "MaxAuthTries 2");
	private_sshd_shell(
		&server, "cd $DIR; SSH_AUTH_SOCK=$DIR/agent.sock ssh-add -qD 2>/dev/null; for i in "
			 "1 2 3 4; do ssh-keygen -q -t ed25519 -N '' -f many$i; "
			 "SSH_AUTH_SOCK=$DIR/agent.sock ssh-add -q many$i; done");
	login_case_init(&c, &server, "root", plain);
	login_case_use_agent(&c, &server);
	login_case_run(&c);
	assert_false(c.ok);
	assert_int_equal(c.why.cls, CAUSE_AUTH_TOO_MANY);
	login_case_contains(c.why.hint, "IdentitiesOnly");
	login_case_finish(&c);

	/* and with it, it works */
	login_case_init(&c, &server, "root", plain);
	login_case_use_agent(&c, &server);
	c.dest.identities_only = true;
	login_case_run(&c);
	login_case_logged_in(&c);
	login_case_finish(&c);
}

static void an_absent_agent_is_named(void **state)
{
	struct login_case c;

	(void)state;
	login_case_restart(&server, "");
	login_case_init(&c, &server, "root", other);
	c.dest.agent_socket = (char *)"/no.such/dir/agent";
	login_case_run(&c);
	assert_false(c.ok);
	login_case_contains(c.why.text, "/no.such/dir/agent cannot be reached: No such file");
	login_case_finish(&c);
}

/* An agent whose owner must confirm, and does not: the cancel must not wait for it. */
static void cancel_while_the_agent_waits(void **state)
{
	struct login_case c;
	char *askpass = private_sshd_path(&server, "askpass");

	(void)state;
	login_case_restart(&server, "");
	private_sshd_shell(&server, "mkfifo $DIR/never; printf '#!/bin/sh\\necho asked > "
				    "'$DIR'/asked; exec cat '$DIR'/never\\n' > $DIR/askpass; "
				    "chmod 755 $DIR/askpass; kill $(cat $DIR/none 2>/dev/null) "
				    "2>/dev/null || true");
	private_sshd_stop_agent(&server);
	private_sshd_start_agent(&server, askpass);
	free(askpass);
	private_sshd_shell(&server, "SSH_AUTH_SOCK=$DIR/agent.sock ssh-add -qc $DIR/id_plain "
				    "2>/dev/null");
	login_case_init(&c, &server, "root", none);
	login_case_use_agent(&c, &server);
	c.cancel_after_ms = 500;
	login_case_run(&c);
	assert_false(c.done);
	assert_in_range((uv_hrtime() - c.begin) / 1000000u, 400, 5000);
	login_case_finish(&c);
	private_sshd_shell(&server, "test -e $DIR/asked");

	/* The deadline holds as well. */
	login_case_init(&c, &server, "root", none);
	login_case_use_agent(&c, &server);
	c.auth_timeout_ms = 500;
	login_case_run(&c);
	assert_false(c.ok);
	assert_int_equal(c.why.cls, CAUSE_LOGIN_TIMEOUT);
	login_case_finish(&c);
	/* Let the agent's askpass end. */
	private_sshd_shell(&server, "for i in 1 2 3; do timeout 1 sh -c 'echo > $DIR/never' || "
				    "true; done");
	private_sshd_stop_agent(&server);
}

/* An agent that takes the connection and never says a word. */
static void a_mute_agent_is_given_up(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct login_case c;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	login_case_init(&c, &server, "root", plain);
	login_case_use_agent(&c, &server);
	unlink(c.dest.agent_socket);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", c.dest.agent_socket);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 4), 0);
	login_case_run(&c);
	login_case_logged_in(&c); /* after 5 s, with the file */
	assert_in_range(c.ms, 4500, 9000);
	login_case_finish(&c);
	close(fd);
}

/* The agent's answer to one message, on a connection of its own: its type. */
static int ask_agent(const struct sshwire_out *message)
{
	char *path = private_sshd_path(&server, "agent.sock");
	const struct agent_io io = {.fd = agent_io_connect(path),
				    .cancel_fd = -1,
				    .watch_fd = -1,
				    .deadline_ms = uv_hrtime() / 1000000u + 10000u};
	struct agent_io_message answer = {.data = NULL};
	int type;

	assert_int_not_equal(io.fd, -1);
	assert_int_equal(agent_io_ask(&io, message->data, message->len, &answer), HW_OK);
	type = answer.data[0];
	free(answer.data);
	close(io.fd);
	free(path);
	return type;
}

/* Whichever key made the login, an agent that is forwarded can be told to which server: it verifies
 * that. For a key from a file it costs one request more. */
static void a_forwarded_agent_is_told_the_server(void **state)
{
	struct login_case c;
	size_t requests[2];

	(void)state;
	private_sshd_stop_agent(&server);
	private_sshd_shell(&server, "rm -f $DIR/agent.sock");
	private_sshd_start_agent(&server, NULL);
	for (int forward = 0; forward < 2; forward++) {
		login_case_restart(&server, "");
		login_case_init(&c, &server, "root", plain);
		c.dest.forward_agent = forward ? (char *)"/an/agent" : NULL;
		login_case_run(&c);
		login_case_logged_in(&c);
		requests[forward] = private_sshd_log_count(&server, REQUEST_LINE);
		if (forward) {
			assert_true(c.binding.len > 0);
			assert_int_equal(ask_agent(&c.binding), AGENT_SUCCESS);
			c.binding.data[c.binding.len / 2] ^= 1;
			assert_int_equal(ask_agent(&c.binding), AGENT_FAILURE);
		} else {
			assert_int_equal(c.binding.len, 0);
		}
		login_case_finish(&c);
	}
	assert_int_equal(requests[0] + 1, requests[1]);
	private_sshd_stop_agent(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agent_keys_are_used),
		cmocka_unit_test(identity_files_come_first_in_the_agent),
		cmocka_unit_test(too_many_keys_are_told),
		cmocka_unit_test(an_absent_agent_is_named),
		cmocka_unit_test(cancel_while_the_agent_waits),
		cmocka_unit_test(a_mute_agent_is_given_up),
		cmocka_unit_test(a_forwarded_agent_is_told_the_server),
	};

	return cmocka_run_group_tests(tests, start, finish);
}
