/* What the files of a login share: login.c (the job, its messages), handshake.c, trust.c, auth*.c.
 * All calls here are made on the worker thread unless they say otherwise. */
#ifndef HAWSER_DAEMON_LOGIN_PRIV_H
#define HAWSER_DAEMON_LOGIN_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include "daemon/agent.h"
#include "daemon/knownhosts.h"
#include "daemon/login.h"

/* What the server showed us to be, once the host key was judged. */
enum login_trust {
	LOGIN_TRUSTED,
	LOGIN_PUBKEY_ONLY, /* accepted against the evidence (StrictHostKeyChecking no): passwords
			      are not to be given to it, as in ssh */
};

struct login {
	/* set by login_start(), constant */
	struct worker_pool *workers;
	struct destination *dest;
	struct origin *origin; /* may be NULL */
	struct login_events events;
	void *ctx;
	int fd;		 /* a dup of params.fd: the caller may close its own after a cancel */
	int cancel_fd;	 /* eventfd: readable for ever once cancelled */
	int answer_fd;	 /* eventfd: an answer came */
	char where[320]; /* "web1 (10.0.0.5 port 22)": the host in every text */
	char peer[64];
	struct login_hint hint;
	unsigned auth_timeout_ms;

	/* worker thread only, until the job is done */
	ssh_session session;
	unsigned timeout_ms; /* of this part of the login, for texts */
	bool banner_told;
	uint64_t deadline_ms; /* CLOCK_MONOTONIC; moved by the time that a person thinks */
	struct login_result result;
	enum login_trust trust;
	struct knownhosts known;      /* the lines that match this host */
	struct agent_binding binding; /* as far as it was seen */
	const char *phase;	      /* "key exchange" ..., for texts */

	atomic_bool cancelled;

	pthread_mutex_t lock; /* guards the answer */
	unsigned prompt_open; /* the number of the one that is open, or 0 */
	size_t prompt_fields;
	unsigned prompts; /* asked so far */
	char **answers;	  /* NULL: nobody answered */
	char *reason;
	bool answered;
};

uint64_t login_now_ms(void);

/* Waits until the session's socket is ready for what libssh wants next, then keeps the server from
 * waiting for a delayed ACK. HW_OK: call libssh again. Else the login ends: HW_ETIMEOUT (why is
 * set), HW_EPERM (cancelled). */
int login_wait(struct login *l) HW_NODISCARD;
/* libssh may answer AGAIN for ever on a dead session: ask this after every call. */
bool login_dead(const struct login *l);
bool login_cancelled(const struct login *l);
/* HW_OK, or HW_EPERM (cancelled), HW_ETIMEOUT, with why set. */
int login_check(struct login *l) HW_NODISCARD;

/* Puts a question to the client and waits. HW_OK: *answers holds one string per field; release it
 * with login_answers_free(). Else the login ends and why is set: HW_EPERM (cancelled, or nobody
 * would answer), HW_EOF (the server hung up meanwhile), HW_ETIMEOUT. */
int login_ask(struct login *l, const struct proto_prompt *p, char ***answers) HW_NODISCARD;
/* login_ask() for one field. *answer: free_secret_str(). */
int login_ask_one(struct login *l, enum proto_prompt_kind kind, const char *intro, const char *text,
		  bool echo, char **answer) HW_NODISCARD;
void login_answers_free(char **answers);

void login_phase(struct login *l, const char *phase);
/* Appends a line to the warnings that the user reads. */
void login_warn(struct login *l, const char *fmt, ...) HW_PRINTF(2, 3);
/* The same, for what ssh says at LogLevel INFO and above. */
void login_info(struct login *l, const char *fmt, ...) HW_PRINTF(2, 3);
/* The session died (login_dead() or SSH_ERROR): sets why from libssh's words, which are read here
 * and at once. */
void login_session_died(struct login *l);
/* The kernel's words for a path on which nothing comes through, and not for an end by the server.
 */
bool login_path_died(const char *error);
/* Sets why from libssh's words about a kind of algorithm that no two sides share; the real ssh may
 * have one. */
void login_no_common_algorithm(struct login *l, const char *error);
/* A copy of a peer's text with what a terminal would obey made visible; newlines and tabs stay.
 * On the heap. */
char *login_visible(const char *text);

#endif
