/* A real sshd on a free loopback port, with its own keys in a directory of its own, for tests.
 * Everything that is started here is ended by its pid. */
#ifndef HAWSER_TESTS_PRIVATE_SSHD_H
#define HAWSER_TESTS_PRIVATE_SSHD_H

#include <stdint.h>
#include <sys/types.h>
#include "protocol/base.h"

#define SSHD_PASSPHRASE "open sesame"

struct private_sshd {
	char dir[64];
	uint16_t port;
	pid_t pid;   /* 0 = not running */
	pid_t agent; /* 0 = none */
	char *known; /* a known_hosts file that lists the server rightly */
};

/* Makes dir with: host_ed25519 (+ .pub), id_plain, id_other (not authorized), id_enc (passphrase
 * above; authorized), authorized_keys, known_hosts.  */
void private_sshd_prepare(struct private_sshd *s);
/* Starts it with config lines in front of the defaults (may be "";
 * the first value counts; end a Match block with Match All); waits until it takes connections. */
void private_sshd_start(struct private_sshd *s, const char *config);
void private_sshd_stop(struct private_sshd *s);
/* Ends sshd and agent, removes dir. */
void private_sshd_finish(struct private_sshd *s);
/* A path in dir; on the heap. */
char *private_sshd_path(const struct private_sshd *s, const char *name);
/* How often text stands in sshd's log (LogLevel DEBUG3) since it was started. */
size_t private_sshd_log_count(const struct private_sshd *s, const char *text);
/* A connected, non-blocking socket. */
int private_sshd_connect(uint16_t port);

/* Starts ssh-agent on dir/agent.sock. askpass: the program it asks for confirmation, or NULL. */
void private_sshd_start_agent(struct private_sshd *s, const char *askpass);
void private_sshd_stop_agent(struct private_sshd *s);
/* Runs a command line by sh -c with DIR set; fails the test unless it returns 0. */
void private_sshd_shell(const struct private_sshd *s, const char *command);

#endif
