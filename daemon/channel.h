/* A session channel of a transport (RFC 4254): opened, asked for a shell, command or subsystem, its
 * bytes in and out under flow control, closed. One libssh request at a time, each repeated until it
 * is answered; all of that is driven by the transport, events come from the top of the loop but for
 * `data`, which libssh calls while it reads. */
#ifndef HAWSER_DAEMON_CHANNEL_H
#define HAWSER_DAEMON_CHANNEL_H

#include "daemon/cause.h"
#include "daemon/transport.h"
#include "protocol/proto.h"

struct channel;

enum channel_kind { CHANNEL_SHELL, CHANNEL_EXEC, CHANNEL_SUBSYSTEM };

/* Where a direct channel leads (RFC 4254 section 7.2); borrowed during the call. */
struct channel_target {
	const char
		*path; /* a Unix socket at the server's side (OpenSSH's direct-streamlocal), or */
	const char *host;
	uint16_t port;
	const char *origin; /* who connected here: told to the server */
	uint16_t origin_port;
};

/* A cookie for X11 forwarding (RFC 4254 section 6.3.1). */
struct channel_x11 {
	const char *proto;
	const char *cookie; /* hexadecimal */
	unsigned screen;
};

/* What to run; borrowed until the channel is released. */
struct channel_request {
	enum channel_kind kind;
	const char *command;	       /* or the subsystem's name */
	char *const *env;	       /* NAME=VALUE, NULL-terminated */
	bool agent;		       /* the client's agent is lent to it (ssh(1) -A) */
	const struct channel_x11 *x11; /* NULL: no X11 forwarding */
	const char *term;	       /* NULL: no terminal */
	bool term_needed;	       /* refused, nothing is run (ssh(1), -t) */
	struct proto_winsize size;
	const char *modes; /* of the terminal, as RFC 4254 section 8 has them; NULL: none */
	size_t modes_len;
};

enum channel_end_kind {
	CHANNEL_ENDED,		 /* closed by the server: status, signal, or neither */
	CHANNEL_OPEN_REFUSED,	 /* not opened: nothing was sent; the session limit, as a rule */
	CHANNEL_REQUEST_REFUSED, /* the shell, command, subsystem or terminal was refused */
	CHANNEL_LOST,		 /* the transport died, or a limit of ours was hit */
};

struct channel_end {
	enum channel_end_kind kind;
	bool sent; /* the request had been sent: it may have run */
	bool has_status;
	uint32_t status;
	char signal[32];  /* without SIG; empty = none */
	struct cause why; /* of a CHANNEL_ENDED: CAUSE_NONE where all is as it should be */
};

struct channel_events {
	/* The request was accepted. tty: with the terminal that was asked for (a server may refuse
	 * the terminal and still run the command, as ssh lets it). */
	void (*running)(void *ctx, bool tty);
	/* len bytes of stdout (stream 1) or stderr (stream 2): take all and return true, or return
	 * false to be offered them again after channel_resume(). must: there is no again, take
	 * them. Called within libssh: do not call back into channel or transport but for
	 * channel_touch() and channel_resume(). */
	bool (*data)(void *ctx, int stream, const void *data, size_t len, bool must);
	/* The other side sends no more, and all that it sent was delivered; may be NULL. */
	void (*eof)(void *ctx);
	/* After every turn of the transport while the request runs: time to write input. */
	void (*turn)(void *ctx);
	/* All output was delivered and it is over. Release the channel, now or later. */
	void (*end)(void *ctx, const struct channel_end *end);
};

/* Opens a channel ahead of need (warm), its environment set to env (copied; may be NULL) when it
 * opens. It belongs to the transport until it is claimed. */
struct channel *channel_open(struct transport *t, char *const *env);
/* Gives a warm (or still opening) channel its request. One that has another environment set can't
 * be claimed: see channel_fits(). */
void channel_claim(struct channel *c, const struct channel_request *request,
		   const struct channel_events *events, void *ctx);
/* Unclaimed and its environment is exactly env's (or still empty). */
bool channel_fits(const struct channel *c, char *const *env);
/* The unclaimed channel of t that fits env, or NULL. */
struct channel *channel_find_warm(struct transport *t, char *const *env);
/* An unclaimed channel, fitting or not, or NULL. */
struct channel *channel_any_warm(struct transport *t);
unsigned channel_count_warm(const struct transport *t);
struct transport *channel_transport(const struct channel *c); /* NULL once that has ended */
/* This libssh can send terminal modes. */
bool channel_can_send_modes(void);
/* The request went out. */
bool channel_sent(const struct channel *c);
/* After `running`: the server got the terminal's modes, for which libssh 0.11 is wanted. */
bool channel_modes_sent(const struct channel *c);
/* After `running`: the server did not want the X11 forwarding that was asked for. */
bool channel_x11_refused(const struct channel *c);

/* A channel to an address at the server's side: takes no place in the session limit. `running`
 * comes when it is connected; CHANNEL_REQUEST_REFUSED with the server's words when it is not. It is
 * closed by release, or by itself when both sides have said their last word (CHANNEL_ENDED). */
struct channel *channel_open_direct(struct transport *t, const struct channel_target *target,
				    const struct channel_events *events, void *ctx);
/* Takes a channel that the server opened (transport_acceptor.accept): bytes flow from now on. Else
 * release it. May be called again, to give it to another. */
void channel_adopt(struct channel *c, const struct channel_events *events, void *ctx);

/* Closes (if it is not closed) and frees in time; no event comes any more. The record stays until
 * the server has answered, so that no place in its session limit is lost. */
void channel_release(struct channel *c);

/* Output that was refused by `data` is wanted again. */
void channel_resume(struct channel *c);
/* Something for `turn` to see: it will be called soon. */
void channel_touch(struct channel *c);

/* Bytes of input that can be written now; 0: wait for the next turn. */
size_t channel_room(const struct channel *c);
/* Writes input, at most channel_room() bytes; returns how many were taken. */
size_t channel_send(struct channel *c, const void *data, size_t len);
void channel_eof(struct channel *c);			  /* no more input */
void channel_signal(struct channel *c, const char *name); /* RFC 4254 section 6.9 */
bool channel_rekey(struct channel *c);			  /* transport_rekey() of its connection */
void channel_break(struct channel *c);			  /* RFC 4335 */
void channel_resize(struct channel *c, const struct proto_winsize *size);

#endif
