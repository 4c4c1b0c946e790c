/* Destinations made from what the installed ssh prints, and from literal text. */
#include "tests/unit/trust_helpers.h"

#include <pwd.h>
#include <sys/socket.h>

#include "daemon/destination.h"
#include "daemon/expand.h"

static char *client_env[] = {"SSH_AUTH_SOCK=/tmp/agent",
			     "MINE=/tmp/mine",
			     "LANG=C.UTF-8",
			     "LC_ALL=C",
			     "TERM=xterm",
			     "SECRET=1",
			     "GIT_PROTOCOL=version=2",
			     NULL};
static const struct client_context client = {.env = client_env, .cwd = "/work"};
static char *defaults;

static int setup(void **state)
{
	(void)state;
	defaults = RUN("ssh", "-F", "none", "-G", "localhost");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(defaults);
	return 0;
}

static struct destination *from_text(const char *text)
{
	struct cause why;
	struct destination *d = destination_parse(text, defaults, "h", &client, &why);

	if (d == NULL)
		fail_msg("%s", why.text);
	return d;
}

/* ssh -F none -G with options given as "-x value -y" (no blanks within), for host h. */
static struct destination *with(const char *options)
{
	char *argv[32] = {"ssh", "-F", "none", "-G"}, *copy = xstrdup(options), *save = NULL, *out;
	size_t n = 4;
	struct destination *d;

	for (char *o = strtok_r(copy, " ", &save); o != NULL; o = strtok_r(NULL, " ", &save))
		argv[n++] = o;
	argv[n++] = "h";
	argv[n] = NULL;
	out = run_program(argv, 0);
	d = from_text(out);
	free(out);
	free(copy);
	return d;
}

static void test_defaults(void **state)
{
	struct destination *d = with("");
	const struct passwd *pw = getpwuid(getuid());
	char *label = xasprintf("%s@h:22", pw->pw_name);
	char *known = xasprintf("%s/.ssh/known_hosts", pw->pw_dir);
	char *id = xasprintf("%s/.ssh/id_rsa", pw->pw_dir);

	(void)state;
	assert_null(d->fallback);
	assert_string_equal(d->label, label);
	assert_string_equal(d->typed, "h");
	assert_int_equal(d->family, AF_UNSPEC);
	assert_null(d->bind_address);
	assert_int_equal(d->connect_timeout, 0);
	assert_int_equal(d->connection_attempts, 1);
	assert_true(d->tcp_keepalive);
	assert_int_equal(d->alive_interval, 0);
	assert_int_equal(d->alive_count, 3);
	assert_int_equal(d->persist, -1);
	assert_null(d->kex);
	assert_null(d->ciphers);
	assert_null(d->macs);
	assert_null(d->hostkey_algs);
	assert_null(d->pubkey_algs);
	assert_false(d->compression);
	assert_int_equal(d->rekey_bytes, 0);
	assert_int_equal(d->rekey_seconds, 0);
	assert_int_equal(d->required_rsa_bits, 1024);
	assert_int_equal(d->strict, STRICT_ASK);
	assert_null(d->hostkey_alias);
	assert_string_equal(d->user_known_hosts[0], known);
	assert_int_equal(strv_len(d->user_known_hosts), 2);
	assert_string_equal(d->global_known_hosts[0], "/etc/ssh/ssh_known_hosts");
	assert_string_equal(d->fingerprint_hash, "SHA256");
	assert_int_equal(strv_len(d->preferred_auths), 5);
	assert_string_equal(d->preferred_auths[2], "publickey");
	assert_true(d->pubkey_auth && d->password_auth && d->kbdint_auth);
	assert_string_equal(d->identity_files[0], id);
	assert_true(d->identity_files_default);
	assert_int_equal(strv_len(d->certificate_files), 0);
	assert_string_equal(d->agent_socket, "/tmp/agent");
	assert_int_equal(d->password_prompts, 3);
	assert_false(d->batch_mode);
	assert_int_equal(d->request_tty, TTY_AUTO);
	assert_int_equal(d->session_type, SESSION_DEFAULT);
	assert_null(d->remote_command);
	assert_int_equal(d->escape_char, '~');
	assert_int_equal(d->log_level, 0);
	assert_int_equal(strlen(d->key), 64);
	assert_string_equal(destination_raw(d, "hostname"), "h");
	assert_null(destination_raw(d, "nonsense"));
	free(id);
	free(known);
	free(label);
	destination_unref(d);
}

static void test_connecting(void **state)
{
	struct destination *d = with("-6 -p 2222 -l joe -b ::1 -C -oConnectTimeout=7 "
				     "-oConnectionAttempts=3 -oTCPKeepAlive=no "
				     "-oServerAliveInterval=20 -oServerAliveCountMax=2 "
				     "-oControlPersist=90 -oHostname=fe80::1 -oRekeyLimit=1G "
				     "-oRequiredRSASize=3072");

	(void)state;
	assert_null(d->fallback);
	assert_string_equal(d->label, "joe@[fe80::1]:2222");
	assert_string_equal(d->hostname, "fe80::1");
	assert_int_equal(d->port, 2222);
	assert_int_equal(d->family, AF_INET6);
	assert_string_equal(d->bind_address, "::1");
	assert_true(d->compression);
	assert_int_equal(d->connect_timeout, 7);
	assert_int_equal(d->connection_attempts, 3);
	assert_false(d->tcp_keepalive);
	assert_int_equal(d->alive_interval, 20);
	assert_int_equal(d->alive_count, 2);
	assert_int_equal(d->persist, 90);
	assert_int_equal(d->rekey_bytes, 1u << 30);
	assert_int_equal(d->required_rsa_bits, 3072);
	destination_unref(d);
	d = with("-oControlPersist=yes -4");
	assert_int_equal(d->persist, 0);
	assert_int_equal(d->family, AF_INET);
	destination_unref(d);
	d = from_text("user u\nhostname h\nport 22\nrekeylimit 5 60\nipqos af21 0x20\n");
	assert_int_equal(d->rekey_seconds, 60);
	assert_int_equal(d->tos_interactive, 0x48);
	assert_int_equal(d->tos_bulk, 0x20);
	destination_unref(d);
	d = with("-oIPQoS=none");
	assert_int_equal(d->tos_interactive, -1);
	assert_int_equal(d->tos_bulk, -1);
	destination_unref(d);
	d = with("-oIPQoS=ef");
	assert_int_equal(d->tos_interactive, 0xb8);
	assert_int_equal(d->tos_bulk, 0xb8);
	destination_unref(d);
}

static void test_algorithms(void **state)
{
	struct destination *d = with("-c aes128-ctr,aes256-gcm@openssh.com -m hmac-sha2-256 "
				     "-oHostKeyAlgorithms=ssh-ed25519-cert-v01@openssh.com,ssh-rsa "
				     "-oPubkeyAcceptedAlgorithms=rsa-sha2-512 "
				     "-oKexAlgorithms=^ecdh-sha2-nistp521");

	(void)state;
	assert_null(d->fallback);
	assert_string_equal(d->ciphers, "aes128-ctr,aes256-gcm@openssh.com");
	assert_string_equal(d->macs, "hmac-sha2-256");
	assert_string_equal(d->hostkey_algs, "ssh-rsa");
	assert_string_equal(d->pubkey_algs, "rsa-sha2-512");
	/* what libssh lacks is gone, the order is the user's */
	assert_int_equal(strncmp(d->kex, "ecdh-sha2-nistp521,curve25519-sha256,", 37), 0);
	assert_null(strstr(d->kex, "sntrup"));
	destination_unref(d);
	d = with("-oKexAlgorithms=sntrup761x25519-sha512@openssh.com");
	assert_string_equal(d->fallback, "KexAlgorithms names none that libssh has");
	destination_unref(d);
	d = with("-m umac-64@openssh.com");
	assert_string_equal(d->fallback, "MACs names none that libssh has");
	destination_unref(d);
	d = with("-oHostKeyAlgorithms=ssh-ed25519-cert-v01@openssh.com");
	assert_string_equal(d->fallback, "HostKeyAlgorithms names none that libssh has");
	destination_unref(d);
}

static void test_trust(void **state)
{
	static const struct {
		const char *option;
		enum strict_hostkey strict;
	} cases[] = {
		{"-oStrictHostKeyChecking=yes", STRICT_YES},
		{"-oStrictHostKeyChecking=ask", STRICT_ASK},
		{"-oStrictHostKeyChecking=accept-new", STRICT_ACCEPT_NEW},
		{"-oStrictHostKeyChecking=no", STRICT_NO},
		{"-oStrictHostKeyChecking=off", STRICT_NO},
	};
	struct destination *d;

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(cases); i++) {
		d = with(cases[i].option);
		assert_int_equal(d->strict, cases[i].strict);
		destination_unref(d);
	}
	d = with("-oUserKnownHostsFile=none -oGlobalKnownHostsFile=/dev/null -oHostKeyAlias=Al "
		 "-oHashKnownHosts=yes -oCheckHostIP=yes -oFingerprintHash=md5 "
		 "-oVisualHostKey=yes -oNoHostAuthenticationForLocalhost=yes");
	assert_null(d->fallback);
	assert_int_equal(strv_len(d->user_known_hosts), 0);
	assert_string_equal(d->global_known_hosts[0], "/dev/null");
	assert_string_equal(d->hostkey_alias, "al");
	assert_true(d->hash_known_hosts && d->check_host_ip && d->visual_host_key &&
		    d->no_host_auth_localhost);
	assert_string_equal(d->fingerprint_hash, "MD5");
	destination_unref(d);
	d = with("-oUserKnownHostsFile=kh");
	assert_string_equal(d->user_known_hosts[0], "/work/kh");
	destination_unref(d);
	/* a name with a space cannot be told from two names */
	d = from_text("user u\nhostname h\nport 22\nuserknownhostsfile /a/my hosts\n"
		      "passwordauthentication yes\n");
	assert_non_null(strstr(d->fallback, "UserKnownHostsFile"));
	destination_unref(d);
}

static void test_authentication(void **state)
{
	struct destination *d =
		with("-i /dev/null -oIdentityFile=%d/%r-%h -oIdentityFile=~/${LANG} "
		     "-oIdentityFile=rel -oIdentitiesOnly=yes "
		     "-oPreferredAuthentications=password,publickey "
		     "-oPubkeyAuthentication=host-bound -l joe "
		     "-oPasswordAuthentication=no -oNumberOfPasswordPrompts=1 "
		     "-oBatchMode=yes");
	char *second = xasprintf("%s/joe-h", expand_home());
	char *third = xasprintf("%s/C.UTF-8", expand_home());

	(void)state;
	assert_null(d->fallback);
	assert_int_equal(strv_len(d->identity_files), 4);
	assert_string_equal(d->identity_files[0], "/dev/null");
	assert_string_equal(d->identity_files[1], second);
	assert_string_equal(d->identity_files[2], third);
	assert_string_equal(d->identity_files[3], "/work/rel");
	assert_false(d->identity_files_default);
	assert_true(d->identities_only);
	assert_string_equal(d->preferred_auths[0], "password");
	assert_int_equal(strv_len(d->preferred_auths), 2);
	assert_true(d->pubkey_auth);
	assert_false(d->password_auth);
	assert_int_equal(d->password_prompts, 1);
	assert_true(d->batch_mode);
	free(third);
	free(second);
	destination_unref(d);
	d = with("-oIdentityFile=none -oIdentityAgent=none");
	assert_int_equal(strv_len(d->identity_files), 0);
	assert_null(d->agent_socket);
	destination_unref(d);
	d = with("-oIdentityAgent=$MINE");
	assert_string_equal(d->agent_socket, "/tmp/mine");
	destination_unref(d);
	d = with("-oIdentityAgent=SSH_AUTH_SOCK");
	assert_string_equal(d->agent_socket, "/tmp/agent");
	destination_unref(d);
	d = with("-oIdentityAgent=/some/where");
	assert_string_equal(d->agent_socket, "/some/where");
	destination_unref(d);
	d = with("-oIdentityFile=/x/${NOT_SET}");
	assert_non_null(strstr(d->fallback, "IdentityFile cannot be expanded"));
	assert_non_null(strstr(d->fallback, "NOT_SET"));
	destination_unref(d);
}

static void test_session(void **state)
{
	static const struct {
		const char *value;
		int byte;
	} escapes[] = {{"none", -1}, {"^B", 2}, {"%", '%'}, {"\\", '\\'}, {"^[", 27}};
	struct destination *d = with("-tt -n -e none -oSendEnv=LC_* -oSendEnv=GIT_? -oSetEnv=A=1 "
				     "-oRemoteCommand=run:%h -v");

	(void)state;
	assert_null(d->fallback);
	assert_int_equal(d->request_tty, TTY_FORCE);
	assert_true(d->stdin_null);
	assert_int_equal(d->escape_char, -1);
	assert_string_equal(d->send_env[0], "LC_*");
	assert_string_equal(d->set_env[0], "A=1");
	assert_string_equal(d->remote_command, "run:h");
	assert_int_equal(d->log_level, 1);
	destination_unref(d);
	for (size_t i = 0; i < HW_ARRAY_LEN(escapes); i++) {
		char *option = xasprintf("-e %s", escapes[i].value);

		d = with(option);
		assert_int_equal(d->escape_char, escapes[i].byte);
		destination_unref(d);
		free(option);
	}
	d = with("-T -q");
	assert_int_equal(d->request_tty, TTY_NO);
	assert_int_equal(d->log_level, -3);
	destination_unref(d);
	d = with("-t -vvv");
	assert_int_equal(d->request_tty, TTY_YES);
	assert_int_equal(d->log_level, 3);
	destination_unref(d);
}

static void test_session_env(void **state)
{
	struct destination *d = with("-oSendEnv=L* -oSendEnv=GIT_PROTOCOL -oSendEnv=TERM "
				     "-oSetEnv=LANG=set");
	char **vars = destination_session_env(d, client_env);

	(void)state;
	assert_int_equal(strv_len(vars), 3);
	assert_string_equal(vars[0], "LC_ALL=C");
	assert_string_equal(vars[1], "GIT_PROTOCOL=version=2");
	assert_string_equal(vars[2], "LANG=set");
	strv_free(vars);
	destination_unref(d);
}

static void test_fallback(void **state)
{
	static const struct {
		const char *options, *word;
	} cases[] = {
		{"-oProxyCommand=-", "ProxyCommand"},
		{"-R /far:h:1", "RemoteForward listens on a Unix socket"},
		{"-w 1", "Tunnel"},
		{"-I /p", "PKCS11Provider"},
		{"-oHostbasedAuthentication=yes", "HostbasedAuthentication"},
		{"-oVerifyHostKeyDNS=yes", "VerifyHostKeyDNS"},
		{"-oPreferredAuthentications=hostbased", "authentication method"},
		{"-oPubkeyAuthentication=no -oPasswordAuthentication=no "
		 "-oKbdInteractiveAuthentication=no",
		 "authentication method"},
	};
	static const char *const fine[] = {
		"-A -X",
		"-Y -oForwardAgent=/tmp/x -oForwardX11Timeout=5",
		"-a -x -oTunnel=no -oAddKeysToAgent=no",
		"-oLocalCommand=x",
		"-oPermitLocalCommand=yes",
		"-oPermitLocalCommand=yes -oLocalCommand=x",
		"-oProxyJump=none",
		"-W h:1",
		"-N",
		"-L 1:h:1 -L /near:h:1 -L 2:/far -D 3 -g",
		"-R 1:h:1 -R 0 -R 2:/near",
		"-oProxyCommand=none",
		"-oCertificateFile=/c -oAddKeysToAgent=10m",
		"-oKnownHostsCommand=/k -oRevokedHostKeys=/k -oVisualHostKey=yes",
		"-M -S /tmp/x -oControlPersist=60s",
		"-oUpdateHostKeys=no",
		"-oRemoteCommand=x",
		"-oPreferredAuthentications=gssapi-with-mic,gssapi-keyex,hostbased,publickey "
		"-oKbdInteractiveAuthentication=no -oPasswordAuthentication=no",
		"-oForwardX11=no -oPermitLocalCommand=no -oClearAllForwardings=yes "
		"-oControlMaster=no -oForwardAgent=no",
		"-oLogVerbose=kex.c:*:1 -y -g",
		"-oGSSAPIAuthentication=yes",
	};

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(cases); i++) {
		struct destination *d = with(cases[i].options);

		if (d->fallback == NULL || strstr(d->fallback, cases[i].word) == NULL)
			fail_msg("%s: %s", cases[i].options,
				 d->fallback != NULL ? d->fallback : "no fallback");
		destination_unref(d);
	}
	for (size_t i = 0; i < HW_ARRAY_LEN(fine); i++) {
		struct destination *d = with(fine[i]);

		if (d->fallback != NULL)
			fail_msg("%s: %s", fine[i], d->fallback);
		destination_unref(d);
	}
}

static void test_unknown_keyword(void **state)
{
	char *text = xasprintf("%sfutureguard yes\n", defaults);
	struct destination *d = from_text(text), *plain = from_text(defaults);
	struct cause why;

	(void)state;
	assert_string_equal(d->fallback, "the option futureguard, which is new to hawser");
	assert_string_not_equal(d->key, plain->key);
	destination_unref(plain);
	destination_unref(d);
	/* a newer ssh prints its new keyword always: with its default, it is no reason */
	d = destination_parse(text, text, "h", &client, &why);
	assert_null(d->fallback);
	destination_unref(d);
	/* without defaults to compare with, all counts as chosen */
	d = destination_parse(defaults, NULL, "h", &client, &why);
	assert_null(d->fallback);
	assert_non_null(d->ciphers);
	assert_false(d->identity_files_default);
	destination_unref(d);
	free(text);
}

static void test_key(void **state)
{
	static const char *const own[] = {
		"-p 23",
		"-l joe",
		"-i /dev/null",
		"-oHostKeyAlias=a",
		"-J j",
		"-oProxyCommand=x",
		"-oStrictHostKeyChecking=no",
		"-oUserKnownHostsFile=/x",
		"-oGlobalKnownHostsFile=/x",
		"-oCertificateFile=/x",
		"-c aes128-ctr",
		"-m hmac-sha2-256",
		"-oKexAlgorithms=curve25519-sha256",
		"-A",
		"-C",
		"-4",
		"-b 127.0.0.1",
		"-oIPQoS=ef",
		"-oRekeyLimit=1G",
		"-oIdentitiesOnly=yes",
		"-oPasswordAuthentication=no",
		"-oPreferredAuthentications=publickey",
		"-oIdentityAgent=/x",
		"-oIdentityAgent=$MINE",
		"-oHostname=g",
		"-oHostKeyAlgorithms=ssh-ed25519",
		"-oRequiredRSASize=4096",
	};
	static const char *const shared[] = {
		"-t",
		"-T",
		"-n",
		"-N",
		"-v",
		"-q",
		"-e none",
		"-L 1:h:1",
		"-R 1:h:1",
		"-D 1",
		"-X",
		"-oSendEnv=X",
		"-oSetEnv=X=1",
		"-oRemoteCommand=x",
		"-oServerAliveInterval=5",
		"-oServerAliveCountMax=5",
		"-oConnectTimeout=5",
		"-oConnectionAttempts=5",
		"-oNumberOfPasswordPrompts=1",
		"-oBatchMode=yes",
		"-oControlPersist=5",
		"-oControlPath=/x",
		"-oControlMaster=auto",
		"-oLogLevel=ERROR",
	};
	struct destination *plain = with("");

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(own); i++) {
		struct destination *d = with(own[i]);

		if (strcmp(d->key, plain->key) == 0)
			fail_msg("%s shares a transport", own[i]);
		destination_unref(d);
	}
	for (size_t i = 0; i < HW_ARRAY_LEN(shared); i++) {
		struct destination *d = with(shared[i]);

		if (strcmp(d->key, plain->key) != 0)
			fail_msg("%s has a transport of its own", shared[i]);
		destination_unref(d);
	}
	destination_unref(plain);
}

/* The same words mean another key where they are said in another directory or environment. */
static void test_key_of_expanded_files(void **state)
{
	static char *env_one[] = {"D=/one", NULL}, *env_two[] = {"D=/two", NULL};
	static const struct client_context clients[] = {
		{.env = env_one, .cwd = "/work"},
		{.env = env_one, .cwd = "/play"},
		{.env = env_two, .cwd = "/work"},
	};
	static const struct {
		const char *line;
		bool same[3]; /* as for the first client */
	} cases[] = {
		{"identityfile rel", {true, false, true}},
		{"identityfile ${D}/id", {true, true, false}},
		{"identityfile /abs", {true, true, true}},
		{"certificatefile rel", {true, false, true}},
		{"userknownhostsfile rel", {true, false, true}},
		{"globalknownhostsfile rel", {true, false, true}},
		{"identityagent $D", {true, true, false}},
	};

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(cases); i++) {
		char *text = xasprintf("user u\nhostname h\nport 22\n%s\n", cases[i].line);
		char first[65] = "";

		for (size_t c = 0; c < HW_ARRAY_LEN(clients); c++) {
			struct cause why;
			struct destination *d =
				destination_parse(text, defaults, "h", &clients[c], &why);

			assert_non_null(d);
			if (c == 0)
				memcpy(first, d->key, sizeof(first));
			if ((strcmp(first, d->key) == 0) != cases[i].same[c])
				fail_msg("%s, client %zu", cases[i].line, c);
			destination_unref(d);
		}
		free(text);
	}
}

static void test_no_sense(void **state)
{
	static const char *const texts[] = {"",
					    "\n\n",
					    "user u\nhostname h\n",
					    "user u\nport 22\n",
					    "hostname h\nport 22\n",
					    "user u\nhostname h\nport 0\n",
					    "user u\nhostname h\nport 65536\n",
					    "user u\nhostname h\nport x\n"};

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(texts); i++) {
		struct cause why = {.cls = CAUSE_NONE};

		assert_null(destination_parse(texts[i], defaults, "h", &client, &why));
		assert_int_equal(why.cls, CAUSE_CONFIG);
		assert_non_null(strstr(why.text, "ssh -G for h"));
	}
}

static void test_references(void **state)
{
	struct destination *d = with(""), *same = destination_ref(d);

	(void)state;
	assert_ptr_equal(d, same);
	destination_unref(d);
	assert_string_equal(same->hostname, "h");
	destination_unref(same);
	destination_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_connecting),
		cmocka_unit_test(test_algorithms),
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_authentication),
		cmocka_unit_test(test_session),
		cmocka_unit_test(test_session_env),
		cmocka_unit_test(test_fallback),
		cmocka_unit_test(test_unknown_keyword),
		cmocka_unit_test(test_key),
		cmocka_unit_test(test_key_of_expanded_files),
		cmocka_unit_test(test_no_sense),
		cmocka_unit_test(test_references),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
