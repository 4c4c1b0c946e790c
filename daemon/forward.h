/* Forwards (ssh(1) -L, -R, -D): listeners of ours whose connections become channels, and listeners
 * of the server's whose channels become connections. They stand on one transport and end with
 * their set. */
#ifndef HAWSER_DAEMON_FORWARD_H
#define HAWSER_DAEMON_FORWARD_H

#include "daemon/destination.h"
#include "daemon/transport.h"

struct app;
struct forward_set;

/* Levels as in destination.log_level. */
struct forward_events {
	/* A line in ssh's words. Also from within forward_set_add(), -cancel() and -list(). */
	void (*notice)(void *ctx, int level, const char *text);
	/* Connections came or went: forward_set_waits() may say something else. From the top of the
	 * loop. May be NULL. */
	void (*changed)(void *ctx);
};

/* All were tried; so many failed, which notices have said. From the top of the loop. */
typedef void (*forward_done)(void *ctx, size_t failed);

/* Which of ssh's words are said when one fails, beside those on why. */
enum forward_words {
	FORWARD_WARN,	/* "Warning: ..." */
	FORWARD_FATAL,	/* ExitOnForwardFailure: "Error: ..."; and the others are not tried */
	FORWARD_SILENT, /* none: the caller has his own */
	FORWARD_QUIET,	/* and those on why are for who debugs: it was said, and is tried again */
};

/* What is to be set up; borrowed during the call but for dest, of which a reference is taken. */
struct forward_want {
	const struct forward_spec *specs;
	size_t count;
	struct destination *dest; /* whose options hold (GatewayPorts, StreamLocalBindMask, ...) */
	const char *cwd;	  /* what relative paths are relative to */
	enum forward_words words;
	bool once;  /* what stands already is not set up again, what just begins is waited for */
	bool again; /* they stood before: what is left of their Unix sockets is taken away */
};

/* An empty set on a transport that is leased until the set is destroyed (or the lease was lost:
 * then destroy it within that event). label: of the destination, for the log; copied. */
struct forward_set *forward_set_create(struct app *app, struct transport *transport,
				       const char *label, const struct forward_events *events,
				       void *ctx);
/* Sets them up in ssh's order, local ones first. done and ctx: see forward_set_forget(). */
void forward_set_add(struct forward_set *set, const struct forward_want *want, forward_done done,
		     void *ctx);
/* done of that ctx does not come any more; what was asked for stands all the same. */
void forward_set_forget(struct forward_set *set, const void *ctx);
/* Who hears notices from now on; both NULL: nobody. */
void forward_set_owner(struct forward_set *set, const struct forward_events *events, void *ctx);

/* Is there one like this, be it that it just begins? cwd as in forward_want; port (NULL ok): that a
 * remote one listens on, 0: none. */
bool forward_set_has(const struct forward_set *set, const struct forward_spec *spec,
		     const char *cwd, uint16_t *port);
/* Likewise, with absolute paths, and it does not just begin. */
bool forward_set_stands(const struct forward_set *set, const struct forward_spec *spec);
/* Ends the one that listens there, and with whole leads there; its connections go on, as in ssh.
 * False: there is none. */
bool forward_set_cancel(struct forward_set *set, const struct forward_spec *spec, const char *cwd,
			bool whole);

/* Shows what is set up, one after the other, with absolute paths and the port that the server
 * chose: borrowed during the call, which must not change the set. */
typedef void (*forward_visit)(void *ctx, const struct forward_spec *spec, struct destination *dest);
void forward_set_each(const struct forward_set *set, forward_visit visit, void *ctx);

/* A number as ssh numbers its channels, for the session's own: the lowest that is free at the first
 * call. */
int forward_set_reserve(struct forward_set *set);
/* Connections are open for whose end ssh would wait. Held connections of our own that run through
 * a forward, and that nobody uses, do not count. */
bool forward_set_waits(const struct forward_set *set);
/* One notice for each listener and connection. */
void forward_set_list(struct forward_set *set);
/* Listens no more and closes all connections. NULL ok. */
void forward_set_destroy(struct forward_set *set);

#endif
