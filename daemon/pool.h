/* Held transports by destination: who gets a channel, when a further transport is opened, when an
 * idle one goes. (The part that control.c and app.c use; the session side is below.) */
#ifndef HAWSER_DAEMON_POOL_H
#define HAWSER_DAEMON_POOL_H

#include "daemon/cause.h"
#include "daemon/destination.h"
#include "protocol/proto.h"

struct app;
struct pools;

/* One held transport, as listings show it. Strings are borrowed during the callback. */
struct pool_info {
	unsigned id;
	const char *label;	   /* user@host:port */
	const char *typed;	   /* as first typed */
	const char *state;	   /* "ready", "dialling", ... */
	const char *address;	   /* numeric peer, "" while unknown */
	unsigned sessions, queued; /* channels in use; requests that wait */
	unsigned warm;
	unsigned session_limit; /* learnt, 0 = not known */
	double age_s, idle_s;
	uint64_t bytes_in, bytes_out;
	double rtt_ms;	    /* last measured, < 0 = not yet */
	const char *server; /* the server's banner line */
	const char *cipher, *kex;
};
typedef void (*pool_info_cb)(void *ctx, const struct pool_info *info);

struct pools *pools_create(struct app *app);
/* Closes all at once. */
void pools_destroy(struct pools *p);
/* name: NULL for all, else compared with typed, host name and label. Returns how many matched. */
size_t pools_list(struct pools *p, const char *name, pool_info_cb cb, void *ctx);
/* Closes the transports of that name: those in use after their sessions have ended (no new one is
 * put on them), or now when force. Returns how many. */
size_t pools_close(struct pools *p, const char *name, bool force);
/* Transports and waiting requests: 0 = nothing held. */
size_t pools_held(const struct pools *p);

#endif
