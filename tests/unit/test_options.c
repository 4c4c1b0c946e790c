/* ssh's command line: what real callers send, and the corners of ssh's own scan. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "client/options.h"

#define WORDS_MAX 48

struct line {
	const char *argv[WORDS_MAX]; /* without the program's name */
	const char *args[WORDS_MAX];
	const char *host, *command;
};

/* Each of these is a request of hawser's own. */
static const struct line requests[] = {
	{{"h"}, {NULL}, "h", NULL},
	{{"h", "uptime"}, {NULL}, "h", "uptime"},
	{{"u@h", "echo", "a  b", "", "c"}, {NULL}, "u@h", "echo a  b  c"},
	{{"h", ""}, {NULL}, "h", NULL},
	{{"h", "", ""}, {NULL}, "h", " "},
	{{"h", "ls", "-l", "-p"}, {NULL}, "h", "ls -l -p"},
	/* options behind the host, up to the command */
	{{"h", "-p", "22", "ls", "-a"}, {"-p", "22"}, "h", "ls -a"},
	{{"-4", "h", "-tt", "-l", "u", "top"}, {"-4", "-tt", "-l", "u"}, "h", "top"},
	/* which of two user names comes first */
	{{"u@h", "-l", "v", "id"}, {"-l", "u", "-l", "v"}, "u@h", "id"},
	{{"-l", "v", "a@b@h", "-4"}, {"-l", "v", "-l", "a@b", "-4"}, "a@b@h", NULL},
	{{"u@h", "--", "-l"}, {NULL}, "u@h", "-l"},
	{{"ssh://h", "-4", "id"}, {"-4"}, "ssh://h", "id"},
	/* "--" */
	{{"--", "h", "-p", "22"}, {NULL}, "h", "-p 22"},
	{{"-p", "22", "--", "h", "ls"}, {"-p", "22"}, "h", "ls"},
	{{"h", "--", "ls"}, {NULL}, "h", "ls"},
	{{"h", "--", "-x"}, {NULL}, "h", "-x"},
	{{"h", "ls", "--", "x"}, {NULL}, "h", "ls -- x"},
	/* bundled and separated */
	{{"-46Cqp2222", "h"}, {"-46Cqp2222"}, "h", NULL},
	{{"-Tp", "22", "h"}, {"-Tp", "22"}, "h", NULL},
	{{"-ofoo=bar", "-o", "Baz quux", "h"}, {"-ofoo=bar", "-o", "Baz quux"}, "h", NULL},
	/* -E is ours, wherever it hides */
	{{"-E", "/l", "h"}, {NULL}, "h", NULL},
	{{"-E/l", "h", "c"}, {NULL}, "h", "c"},
	{{"-qE", "/l", "h"}, {"-q"}, "h", NULL},
	{{"-qTE/l", "-p22", "h"}, {"-qT", "-p22"}, "h", NULL},
	{{"h", "-E", "/l", "c"}, {NULL}, "h", "c"},
	/* so are -O and -y */
	{{"-O", "check", "-4", "h"}, {"-4", "-oSessionType=none"}, "h", NULL},
	{{"-4Ocheck", "h"}, {"-4", "-oSessionType=none"}, "h", NULL},
	{{"-yT", "-4y", "-y", "h"}, {"-T", "-4"}, "h", NULL},
	{{"-Typ", "22", "-yp22", "h", "c"}, {"-Tp", "22", "-p22"}, "h", "c"},
	{{"-yoUser=y", "h"}, {"-oUser=y"}, "h", NULL},
	/* harmless ones */
	{{"-S", "none", "-S", "NONE", "h"}, {"-S", "none", "-S", "NONE"}, "h", NULL},
	{{"-axk2g", "-e", "none", "-b", "127.0.0.1", "-m", "m", "-c", "c", "-F", "f", "-i", "i",
	  "-B", "lo", "h"},
	 {"-axk2g", "-e", "none", "-b", "127.0.0.1", "-m", "m", "-c", "c", "-F", "f", "-i", "i",
	  "-B", "lo"},
	 "h",
	 NULL},
	/* the value of an option may look like anything */
	{{"-l", "-p", "h"}, {"-l", "-p"}, "h", NULL},
	{{"-l", "--", "h", "-p"}, {"-l", "--"}, "h", "-p"},
	{{"ssh://u@h:22", "ls"}, {NULL}, "ssh://u@h:22", "ls"},
	/* Ansible */
	{{"-C",
	  "-o",
	  "ControlMaster=auto",
	  "-o",
	  "ControlPersist=60s",
	  "-o",
	  "KbdInteractiveAuthentication=no",
	  "-o",
	  "PreferredAuthentications=gssapi-with-mic,gssapi-keyex,hostbased,publickey",
	  "-o",
	  "PasswordAuthentication=no",
	  "-o",
	  "User=\"u\"",
	  "-o",
	  "ConnectTimeout=10",
	  "-o",
	  "ControlPath=\"/r/.ansible/cp/1\"",
	  "-tt",
	  "h",
	  "/bin/sh -c 'echo ~u && sleep 0'"},
	 {"-C", "-o", "ControlMaster=auto", "-o", "ControlPersist=60s", "-o",
	  "KbdInteractiveAuthentication=no", "-o",
	  "PreferredAuthentications=gssapi-with-mic,gssapi-keyex,hostbased,publickey", "-o",
	  "PasswordAuthentication=no", "-o", "User=\"u\"", "-o", "ConnectTimeout=10", "-o",
	  "ControlPath=\"/r/.ansible/cp/1\"", "-tt"},
	 "h",
	 "/bin/sh -c 'echo ~u && sleep 0'"},
	/* sftp */
	{{"-oForwardX11 no", "-oPermitLocalCommand no", "-oClearAllForwardings yes",
	  "-oControlMaster no", "-oForwardAgent no", "-l", "user", "-s", "--", "h", "sftp"},
	 {"-oForwardX11 no", "-oPermitLocalCommand no", "-oClearAllForwardings yes",
	  "-oControlMaster no", "-oForwardAgent no", "-l", "user", "-s"},
	 "h",
	 "sftp"},
	/* scp */
	{{"-x", "-oPermitLocalCommand=no", "-oClearAllForwardings=yes", "-oRemoteCommand=none",
	  "-oRequestTTY=no", "-oControlMaster=no", "-s", "--", "h", "sftp"},
	 {"-x", "-oPermitLocalCommand=no", "-oClearAllForwardings=yes", "-oRemoteCommand=none",
	  "-oRequestTTY=no", "-oControlMaster=no", "-s"},
	 "h",
	 "sftp"},
	/* git */
	{{"-o", "SendEnv=GIT_PROTOCOL", "-p", "2222", "git@h", "git-upload-pack '/r.git'"},
	 {"-o", "SendEnv=GIT_PROTOCOL", "-p", "2222"},
	 "git@h",
	 "git-upload-pack '/r.git'"},
	/* rsync, docker */
	{{"-l", "u", "h", "rsync", "--server", "-vlogDtpre.iLsfxCIvu", ".", "/d"},
	 {"-l", "u"},
	 "h",
	 "rsync --server -vlogDtpre.iLsfxCIvu . /d"},
	{{"-o", "ConnectTimeout=30", "-T", "--", "h", "docker", "system", "dial-stdio"},
	 {"-o", "ConnectTimeout=30", "-T"},
	 "h",
	 "docker system dial-stdio"},
};

static void scan(struct options *o, const char *const *words)
{
	static char *argv[WORDS_MAX + 2];
	int argc = 1;

	argv[0] = (char *)"hawser";
	for (; words[argc - 1] != NULL; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc - 1];
	argv[argc] = NULL;
	options_scan(o, argc, argv);
}

static void test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(requests); i++) {
		const struct line *l = &requests[i];
		struct options o;
		size_t n = 0;

		scan(&o, l->argv);
		assert_false(o.usage);
		assert_string_equal(o.handover, "");
		assert_string_equal(o.host, l->host);
		if (l->command == NULL) {
			assert_null(o.command);
		} else {
			assert_string_equal(o.command, l->command);
			assert_int_equal(o.command_len, strlen(l->command));
		}
		for (; l->args[n] != NULL; n++)
			assert_string_equal(o.args[n], l->args[n]);
		assert_int_equal(o.nargs, n);
		assert_null(o.args[n]);
		options_free(&o);
	}
}

static void test_handed_over(void **state)
{
	static const struct {
		const char *argv[8], *phrase;
	} lines[] = {
		{{"-w", "0", "h"}, "option -w"},
		{{"-MM", "-S", "/p", "h"}, "option -M"},
		{{"-M", "-S", "/p%h", "h"}, "option -M"},
		{{"-M", "-oControlPath=~/p", "h"}, "option -M"},
		{{"-O", "proxy", "h"}, "option -O proxy"},
		{{"-I", "p", "h"}, "option -I"},
		{{"-K", "h"}, "option -K"},
		{{"-1", "h"}, "option -1"},
		{{"-P", "tag", "h"}, "option -P"},
		{{"-V"}, "option -V"},
		{{"-Q", "cipher"}, "option -Q"},
		{{"-G", "h"}, "option -G"},
		{{"h", "-I", "p", "c"}, "option -I"},
		{{"ssh://u@h:22", "-p", "23"}, "options behind an ssh:// address"},
	};

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(lines); i++) {
		struct options o;

		scan(&o, lines[i].argv);
		assert_string_equal(o.handover, lines[i].phrase);
		options_free(&o);
	}
	/* What is behind the host's first other word belongs to the command. */
	struct options o;
	scan(&o, (const char *const[]){"h", "c", "-A", NULL});
	assert_string_equal(o.handover, "");
	options_free(&o);
}

static void test_usage(void **state)
{
	static const char *const lines[][4] = {
		{NULL},
		{"-p"},
		{"-j", "h"},
		{"-p", "22"},
		{"h", "-p"},
		{"@h"},
		{"-O", "chec", "h"},
		{"-Ocheck", "-Ostop", "h"},
		{"-y", "-E/l", "h"},
		{"--"},
		{"--", "-h"},
		{"-", "h"},
		{""},
		{"--json", "h"},
		{"h", "-j", "c"},
	};

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(lines); i++) {
		struct options o;

		scan(&o, lines[i]);
		assert_true(o.usage);
		assert_string_equal(o.handover, "");
		options_free(&o);
	}
}

static void test_flags(void **state)
{
	static const struct {
		const char *argv[8];
		int level;
		bool stdin_null;
		const char *log;
	} lines[] = {
		{{"h"}, 0, false, NULL},
		{{"-n", "h"}, 0, true, NULL},
		{{"-vvv", "h", "-v"}, 4, false, NULL},
		{{"-q", "h"}, -1, false, NULL},
		{{"-q", "-v", "h"}, 1, false, NULL},
		{{"-v", "-q", "h"}, -1, false, NULL},
		{{"-E", "/x", "h"}, 0, false, "/x"},
		{{"-E/x", "-vE", "/y", "h"}, 1, false, "/y"},
		{{"h", "-v", "c", "-n"}, 1, false, NULL},
		{{"-o", "LogLevel=QUIET", "h"}, -1, false, NULL},
		{{"-ologlevel quiet", "h"}, -1, false, NULL},
		{{"-oLogLevel=DEBUG2", "h"}, 2, false, NULL},
		{{"-oLogLevel=ERROR", "-oLogLevel=QUIET", "h"}, 0, false, NULL},
		{{"-oLogLevelX=QUIET", "h"}, 0, false, NULL},
	};

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(lines); i++) {
		struct options o;

		scan(&o, lines[i].argv);
		assert_int_equal(o.level, lines[i].level);
		assert_int_equal(o.stdin_null, lines[i].stdin_null);
		if (lines[i].log == NULL)
			assert_null(o.log_file);
		else
			assert_string_equal(o.log_file, lines[i].log);
		options_free(&o);
	}
}

static void test_control(void **state)
{
	static const struct {
		const char *argv[8], *path;
	} lines[] = {
		{{"h"}, NULL},
		{{"-S", "none", "h"}, NULL},
		{{"-S", "/a", "-S", "/b", "h"}, "/b"},
		{{"-o", "ControlPath=/a", "-oControlPath /b", "h"}, "/a"},
		{{"-oControlPath=\"/a b\"", "h"}, "/a b"},
		{{"-oControlPath=none", "-oControlPath=/b", "h"}, NULL},
		{{"-oControlPath=/a", "-S", "/b", "h"}, "/b"},
		{{"-S", "/b", "-oControlPath=/a", "h"}, "/b"},
		{{"-oControlPathX=/a", "h"}, NULL},
	};
	struct options o;

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(lines); i++) {
		scan(&o, lines[i].argv);
		if (lines[i].path == NULL)
			assert_null(o.control);
		else
			assert_string_equal(o.control, lines[i].path);
		options_free(&o);
	}
	scan(&o, (const char *const[]){"-fNMS", "/p", "h", NULL});
	assert_true(o.background && o.no_session && o.master && o.stdin_null);
	options_free(&o);
	scan(&o, (const char *const[]){"-oSessionType=none", "-M", "-O", "check", "h", NULL});
	assert_true(o.no_session && o.stdin_null && !o.master);
	assert_string_equal(o.operation, "check");
	assert_string_equal(o.handover, "");
	/* Also for a hawserd that does not know operations: no shell. */
	assert_string_equal(o.args[o.nargs - 1], "-oSessionType=none");
	assert_null(o.args[o.nargs]);
	options_free(&o);
}

static void test_host_name(void **state)
{
	static const char *const names[][2] = {
		{"h", "h"},
		{"u@h", "h"},
		{"a@b@h", "h"},
		{"ssh://u@h:22", "h"},
		{"ssh://[::1]:22", "::1"},
		{"::1", "::1"},
	};
	char out[64], small[3];

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(names); i++) {
		struct options o = {.host = (char *)(uintptr_t)names[i][0]};
		options_host_name(&o, out, sizeof(out));
		assert_string_equal(out, names[i][1]);
	}
	struct options o = {.host = (char *)(uintptr_t) "u@host"};
	options_host_name(&o, small, sizeof(small));
	assert_string_equal(small, "ho");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),  cmocka_unit_test(test_handed_over),
		cmocka_unit_test(test_usage),	  cmocka_unit_test(test_flags),
		cmocka_unit_test(test_host_name), cmocka_unit_test(test_control),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
