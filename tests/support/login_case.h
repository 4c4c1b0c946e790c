/* One login, run to its end on a loop of its own, with the answers written down beforehand. */
#ifndef HAWSER_TESTS_LOGIN_CASE_H
#define HAWSER_TESTS_LOGIN_CASE_H

#include <uv.h>
#include "daemon/agent.h"
#include "daemon/login.h"
#include "tests/support/private_sshd.h"

#define CASE_PROMPTS 12
/* Instead of an answer: nobody could be asked; the login is cancelled; the answer never comes; the
 * connection breaks, both ways. */
#define CASE_NOBODY "!nobody"
#define CASE_CANCEL "!cancel"
#define CASE_SILENT "!silent"
#define CASE_BREAK  "!break"

struct login_case {
	/* set before the run */
	struct destination dest; /* filled by login_case_init(), changed by the test */
	struct login_hint hint;
	unsigned timeout_ms, auth_timeout_ms;
	bool want_notices;	  /* banner and warnings as events */
	unsigned cancel_after_ms; /* 0 = not */
	int fd;			  /* -1: connect to the server */
	uint16_t port;
	bool foreign_threads; /* the test runs threads and sockets of its own: none are counted */
	const char *answers[CASE_PROMPTS]; /* one per field asked, in order */

	/* the outcome */
	bool done;
	bool ok;
	struct cause why;
	char *warnings, *banner;
	unsigned prompts_before_banner; /* with want_notices */
	struct login_hint next_hint;
	struct sshwire_out binding; /* what a forwarded agent is to be told; empty: nothing */
	bool prompted, handover;
	unsigned kex_ms, auth_ms;
	double ms;		   /* login_start() to done */
	unsigned prompts, fields;  /* how many */
	char *asked[CASE_PROMPTS]; /* intro and questions of each prompt, newline between */
	enum proto_prompt_kind kinds[CASE_PROMPTS];

	/* private */
	uv_loop_t loop;
	uv_timer_t timer;
	struct worker_pool *workers;
	struct login *login;
	int socket; /* fd, or the one that was connected */
	uint64_t begin;
	char *paths[8];
	char *files[4], *known[2], *auths[4];
};

/* For user `user` on the server, with the keys named (NULL-terminated list of names in its dir),
 * its known_hosts, publickey only, no agent. */
void login_case_init(struct login_case *c, const struct private_sshd *s, const char *user,
		     const char *const *keys);
/* Runs it; a session that came is checked (a channel is opened) and closed. Checks that threads
 * and descriptors are back where they were. */
void login_case_run(struct login_case *c);
void login_case_finish(struct login_case *c);
void login_case_use_agent(struct login_case *c, const struct private_sshd *s);

/* sshd's debug log has this once per SSH_MSG_USERAUTH_REQUEST. */
#define REQUEST_LINE "userauth-request for user"

/* Another sshd configuration over the same keys. */
void login_case_restart(struct private_sshd *s, const char *config);
/* Fail the test, with what there is instead. */
void login_case_contains(const char *text, const char *part);
void login_case_logged_in(const struct login_case *c);

#endif
