/* ProxyCommand (ssh_config(5)): a process of the client's that asked stands between us and the
 * server. It is started off the loop by the client's $SHELL, with its environment and directory and
 * no terminal; its stdin and stdout are one socket, its stderr is told. It gets SIGHUP when it is
 * wanted no more, and is reaped here. Knows no libssh. */
#ifndef HAWSER_DAEMON_PROXY_H
#define HAWSER_DAEMON_PROXY_H

#include <uv.h>
#include "daemon/cause.h"
#include "daemon/destination.h"
#include "daemon/origin.h"
#include "daemon/worker.h"

struct proxy;

/* From the top of the loop, never from within a call on the proxy. */
struct proxy_events {
	/* Bytes flow: fd is non-blocking and the callee's now. With ProxyUseFdpass it is what the
	 * command has passed on. Not before the server's first bytes are there, as a rule: a login
	 * that waits for another login, in a command that is hawser itself, must not hold up that
	 * one. */
	void (*connected)(void *ctx, int fd);
	/* What it wrote to stderr, without NUL bytes. */
	void (*said)(void *ctx, const char *text);
	/* In place of connected: it could not be started, or came to its end. */
	void (*failed)(void *ctx, const struct cause *why);
	/* After proxy_await_end(): it has ended, or goes on (then why is what was given). */
	void (*ended)(void *ctx, const struct cause *why);
};

struct proxy *proxy_start(uv_loop_t *loop, struct worker_pool *workers, struct destination *dest,
			  struct origin *origin, const struct proxy_events *events, void *ctx);
/* The connection has failed because of why: was it the command's end? Waits for that a moment, then
 * `ended` comes with the better of both causes. */
void proxy_await_end(struct proxy *p, const struct cause *why);
/* Ends the command; no event comes any more. NULL ok. */
void proxy_close(struct proxy *p);

#endif
