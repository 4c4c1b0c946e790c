/* From a connected socket to an authenticated libssh session, on a worker thread: key exchange,
 * host key, authentication. Questions go to the loop thread as prompts and come back as answers. */
#ifndef HAWSER_DAEMON_LOGIN_H
#define HAWSER_DAEMON_LOGIN_H

#include <libssh/libssh.h>
#include "daemon/cause.h"
#include "daemon/destination.h"
#include "daemon/origin.h"
#include "daemon/worker.h"
#include "protocol/proto.h"

struct login;
struct agent_binding;

/* What worked last time on this destination, so that `none` and the key probe can be skipped. */
struct login_hint {
	char method[24];      /* "publickey"; empty = nothing known */
	char fingerprint[64]; /* SHA256:... of the key that was accepted */
};

struct login_params {
	int fd; /* connected stream socket, non-blocking; borrowed: the owner keeps it
		   open until done, libssh gets a dup() */
	struct destination *dest; /* login_start() takes its own reference */
	struct origin *origin;	  /* who asked, or NULL; login_start() takes its own reference */
	char peer[64];		  /* numeric address, for messages and CheckHostIP; may be empty */
	struct login_hint hint;
	/* 0 = 120 s each. A person's time to think does not count. */
	unsigned timeout_ms;	  /* for the key exchange (ConnectTimeout covers it in ssh, too) */
	unsigned auth_timeout_ms; /* then for all the rest */
};

struct login_result {
	ssh_session session; /* authenticated, non-blocking, its fd a dup of params.fd; the
				callee's now. NULL: see why */
	struct cause why;
	char *banner;	/* the server's banner (SSH_MSG_USERAUTH_BANNER), bytes as sent, or
			   NULL; freed by login after done */
	char *warnings; /* lines ssh would have printed ("Warning: Permanently added ..."), or
			   NULL; freed by login after done */
	struct login_hint hint; /* for next time */
	/* For an agent that is forwarded over this connection: agent_binding_put() is to be said
	 * to it first. Complete only where the destination has forward_agent and a key got in (a
	 * password's login does not tell the session's identifier). Freed by login after done. */
	const struct agent_binding *binding;
	/* Certificates that were used: the moment from which the first of them counts no more, Unix
	 * time, 0 = none was used, or for ever; and its key id (bytes of its maker). */
	uint64_t cert_end;
	char cert_id[128];
	bool prompted;	/* a person was asked: another login would ask again */
	bool untrusted; /* the host key was accepted against the evidence
			   (StrictHostKeyChecking no): ssh forwards nothing then */
	bool handover;	/* the real ssh could do what libssh cannot; nothing that had an
			   effect was sent */
	unsigned kex_ms, auth_ms;
};

struct login_events {
	/* A question; answer by login_answer() on the loop thread, once. p is valid during the
	 * call. */
	void (*prompt)(void *ctx, const struct proto_prompt *p);
	/* May be NULL; then banner and warnings come with the result. Else each comes here as soon
	 * as it arises, before any question that follows it, and not with the result. raw: the
	 * server's banner, bytes as sent; else a line of ours with its newline. */
	void (*notice)(void *ctx, const char *text, bool raw);
	/* The phase changed: "key exchange", "host key", "authentication". */
	void (*phase)(void *ctx, const char *phase);
	/* The end; the login is gone after it returns. r is valid during the call. */
	void (*done)(void *ctx, struct login_result *r);
};

/* All events come on the loop thread, never from within this call. */
struct login *login_start(struct worker_pool *workers, const struct login_params *params,
			  const struct login_events *events, void *ctx);
/* answers: one per field of the prompt that is open (copied, the copy is wiped); NULL: nobody could
 * or would answer, reason says why. Ignored when no prompt is open. */
void login_answer(struct login *l, char *const *answers, const char *reason);
/* No event comes any more; the thread ends as soon as it can and frees all, also the session. The
 * caller may close params.fd at once. */
void login_cancel(struct login *l);
/* Ends and frees the session of a login's result, and closes its descriptor. Any thread. */
void login_end_session(ssh_session session);

#endif
