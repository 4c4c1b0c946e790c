#include "tests/support/private_sshd.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "protocol/alloc.h"

/* Waiting for something to listen: this often, this long. */
#define TRY_NS	  5000000L
#define TRY_COUNT 2000

char *private_sshd_path(const struct private_sshd *s, const char *name)
{
	return xasprintf("%s/%s", s->dir, name);
}

void private_sshd_shell(const struct private_sshd *s, const char *command)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		setenv("DIR", s->dir, 1);
		execl("/bin/sh", "sh", "-ec", command, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0)
		fail_msg("failed (%d): %s", status, command);
}

void private_sshd_prepare(struct private_sshd *s)
{
	memset(s, 0, sizeof(*s));
	snprintf(s->dir, sizeof(s->dir), "/tmp/hawser-login-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	(void)mkdir("/run/sshd", 0755);
	private_sshd_shell(s, "cd $DIR; for k in host_ed25519 id_plain id_other; do "
			      "ssh-keygen -q -t ed25519 -N '' -C $k -f $k; done; "
			      "ssh-keygen -q -t ed25519 -a 2 -N '" SSHD_PASSPHRASE
			      "' -C id_enc -f id_enc; "
			      "cat id_plain.pub id_enc.pub > authorized_keys; chmod 755 .");
	s->known = private_sshd_path(s, "known_hosts");
}

static bool can_connect(const struct sockaddr *addr, socklen_t len)
{
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = connect(fd, addr, len) == 0;

	close(fd);
	return ok;
}

static void wait_listening(const struct sockaddr *addr, socklen_t len)
{
	const struct timespec pause = {.tv_nsec = TRY_NS};

	for (int i = 0; i < TRY_COUNT; i++) {
		if (can_connect(addr, len))
			return;
		nanosleep(&pause, NULL);
	}
	fail_msg("nothing listens");
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static uint16_t free_port(void)
{
	struct sockaddr_in addr = loopback(0);
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	close(fd);
	return ntohs(addr.sin_port);
}

static void write_config(const struct private_sshd *s, const char *config)
{
	char *path = private_sshd_path(s, "sshd_config");
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fprintf(f,
		"%s\nListenAddress 127.0.0.1\nPort %u\nHostKey %s/host_ed25519\nPidFile none\n"
		"AuthorizedKeysFile %s/authorized_keys\nStrictModes no\nLogLevel DEBUG3\n"
		"PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n",
		config, s->port, s->dir, s->dir);
	fclose(f);
	free(path);
}

/* Ends with the test, however that ends, and holds none of its output open. */
static void become_child(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
}

void private_sshd_start(struct private_sshd *s, const char *config)
{
	char *conf = private_sshd_path(s, "sshd_config"), *log = private_sshd_path(s, "log");
	struct sockaddr_in addr;

	s->port = free_port();
	write_config(s, config);
	s->pid = fork();
	if (s->pid == 0) {
		int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);

		become_child();
		dup2(fd, STDERR_FILENO);
		execl("/usr/sbin/sshd", "/usr/sbin/sshd", "-D", "-e", "-f", conf, (char *)NULL);
		_exit(127);
	}
	free(conf);
	free(log);
	addr = loopback(s->port);
	wait_listening((struct sockaddr *)&addr, sizeof(addr));
	private_sshd_shell(s, "rm -f $DIR/known_hosts");
	{
		char *line = xasprintf("printf '[127.0.0.1]:%u ' > $DIR/known_hosts; "
				       "cut -d' ' -f1,2 $DIR/host_ed25519.pub >> $DIR/known_hosts",
				       s->port);

		private_sshd_shell(s, line);
		free(line);
	}
}

static void end(pid_t *pid)
{
	if (*pid == 0)
		return;
	kill(*pid, SIGTERM);
	kill(*pid, SIGCONT);
	waitpid(*pid, NULL, 0);
	*pid = 0;
}

void private_sshd_stop(struct private_sshd *s)
{
	end(&s->pid);
}

void private_sshd_finish(struct private_sshd *s)
{
	end(&s->pid);
	end(&s->agent);
	private_sshd_shell(s, "rm -rf $DIR");
	free(s->known);
}

size_t private_sshd_log_count(const struct private_sshd *s, const char *text)
{
	char *path = private_sshd_path(s, "log"), *line = NULL;
	FILE *f = fopen(path, "r");
	size_t size = 0, n = 0;

	assert_non_null(f);
	while (getline(&line, &size, f) != -1)
		n += strstr(line, text) != NULL;
	free(line);
	fclose(f);
	free(path);
	return n;
}

int private_sshd_connect(uint16_t port)
{
	struct sockaddr_in addr = loopback(port);
	const int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

void private_sshd_start_agent(struct private_sshd *s, const char *askpass)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/agent.sock", s->dir);
	s->agent = fork();
	if (s->agent == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		become_child();
		dup2(null, STDERR_FILENO);
		if (askpass != NULL) {
			setenv("SSH_ASKPASS", askpass, 1);
			setenv("DISPLAY", ":none", 1);
		}
		execlp("ssh-agent", "ssh-agent", "-D", "-a", addr.sun_path, (char *)NULL);
		_exit(127);
	}
	wait_listening((struct sockaddr *)&addr, sizeof(addr));
}

void private_sshd_stop_agent(struct private_sshd *s)
{
	char *path = private_sshd_path(s, "agent.sock");

	end(&s->agent);
	unlink(path);
	free(path);
}
