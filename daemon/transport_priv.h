/* What transport*.c and channel*.c share. Nobody else includes this. */
#ifndef HAWSER_DAEMON_TRANSPORT_PRIV_H
#define HAWSER_DAEMON_TRANSPORT_PRIV_H

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h> /* ssh_send_keepalive(), a client call all the same */

#include "daemon/channel.h"
#include "daemon/dial.h"
#include "daemon/evidence.h"
#include "daemon/proxy.h"
#include "daemon/transport.h"

struct transport {
	const struct transport_env *env;
	struct destination *dest;
	struct origin *origin; /* until the login is done */
	const struct transport_events *events;
	void *ctx;
	unsigned id;
	enum transport_state state;
	struct login_hint hint;
	bool untrusted;

	/* transport_reach.c */
	struct dial *dial;   /* while dialling */
	struct proxy *proxy; /* in the place of dial, to the end */
	struct route *route; /* likewise */
	struct login *login; /* while logging in */
	char phase[24];	     /* "connecting", then the login's; for words and evidence */
	char peer[64];	     /* numeric; "" where it was not dialled */
	char where[320];     /* "user@host:22 (10.0.0.5)": the server in every text */
	char via[256];	     /* "" or "user@jump:22", "ProxyCommand" */
	bool tcp;	     /* fd is a TCP socket */

	int fd; /* ours; libssh has a dup */
	uv_poll_t poll;
	bool polling;	   /* the handle is initialised */
	uv_timer_t gather; /* while a copy comes in: reads at intervals, not at each packet */
	int low_water;	   /* SO_RCVLOWAT, meanwhile above 1 */
	unsigned open_handles;
	int mask; /* what it waits for */
	ssh_session session;
	ssh_event event;
	struct ssh_callbacks_struct callbacks; /* channels that the server opens */
	struct ssh_counter_struct packets;     /* raw counter: in_packets, out_packets, bytes */
	struct ssh_counter_struct socket;      /* bytes on the socket */

	struct channel *channels; /* list, oldest first */
	struct transport_acceptor *acceptors;
	struct listen_request *listens; /* in order; the first is under way */
	unsigned terminals;  /* channels with a terminal that run: transport_terminal() */
	bool refused;	     /* an open was refused, not yet told to the pool */
	unsigned refused_at; /* beside so many confirmed channels */
	bool refused_settling;
	uint64_t last_close_ms; /* when a channel was closed last */

	struct defer progress; /* a turn is due */
	struct defer ending;   /* `ended` is due */
	bool handover;
	struct cause why; /* of the end; CAUSE_NONE while alive */

	bool started;		  /* a session has run on it */
	uint64_t begun_ms;	  /* loop time: when it was dialled, */
	uint64_t ready_ms;	  /* and the login was done */
	unsigned kex_ms, auth_ms; /* its stages */
	uint64_t last_bulk_ms;
	uint64_t last_bulk_in_ms; /* of those, from the server */
	double rtt_ms;		  /* smallest seen; < 0 none */
	uint64_t last_in_packets;
	unsigned missed;
	bool keepalive_pending;
	uint64_t keepalive_ns; /* when the pending one was sent */

	/* transport_suspect.c */
	enum transport_doubt doubt;
	uv_timer_t probe;	    /* its deadline */
	uint64_t suspect_ms;	    /* loop time: since when */
	bool suspect_told, probed;  /* the journal knows; the last that was missed was a probe */
	uint64_t seen_in, seen_out; /* bytes, and packets, when they were looked at last */
	uint64_t last_in_ms, last_out_ms;   /* loop time: when something came, when packets went */
	uint64_t burst_ms, before_burst_ms; /* the first that came after a pause, and what before */
	unsigned before_burst_missed;	    /* `missed` then */
	bool owed;			    /* something was sent, and nothing has come since; */
	uint64_t gap_ms;		    /* so quiet it had been when it was sent */
	uint64_t gap_lived_ms;		    /* the longest of these that was answered */
	char server[128], cipher[64], kex[64];
};

enum channel_role { ROLE_SESSION, ROLE_DIRECT, ROLE_INCOMING };

enum channel_state {
	CHANNEL_OPENING,
	CHANNEL_PREPARING, /* environment of a warm or claimed channel, one at a time */
	CHANNEL_IDLE,	   /* open, prepared, unclaimed */
	CHANNEL_LENDING,   /* X11 and agent forwarding are asked for */
	CHANNEL_TERMINAL,  /* pty-req under way */
	CHANNEL_STARTING,  /* shell, exec or subsystem under way: sent */
	CHANNEL_RUNNING,
	CHANNEL_CLOSING, /* our CLOSE is on its way out, or waits for libssh to take it */
	CHANNEL_DEAD,	 /* transport gone; waits for its release */
};

struct channel {
	struct channel *next;
	struct transport *t;
	ssh_channel ssh;
	struct ssh_channel_callbacks_struct callbacks;
	enum channel_state state;
	enum channel_role role;

	/* ROLE_DIRECT: where to; ROLE_INCOMING: what was connected to. Owned. */
	char *target_path, *target_host, *origin_host;
	uint16_t target_port, origin_port;
	struct transport_acceptor *acceptor; /* takes it in the next turn; NULL: has taken it */

	char **env; /* owned; what is set or to be set on this channel */
	size_t env_done;

	bool claimed, released, ended;
	bool terminal; /* one was asked for: kept apart, for the request goes with its session */
	const struct channel_request *request;
	const struct channel_events *events;
	void *ctx;

	bool sent;
	bool remote_closed;
	bool remote_eof, eof_told;
	bool has_status;
	uint32_t status;
	char signal[32];

	bool paused;	 /* data() said no: the rest waits in libssh */
	bool want_drain; /* channel_resume() was called */
	bool overrun;	 /* tried to get around its window: what comes is dropped, it is to end */
	bool growing;	 /* within the call that grows the window: no backlog may arise */
	bool tty_refused, modes_sent;
	bool x11_told, x11_refused;
	bool close_sent;
	bool touched;
	bool eof_due, eof_sent;
	bool resize_due, break_due;
	struct proto_winsize size;
	char pending_signals[4][16];
	size_t npending_signals;

	/* receive window (channel_flow.c) */
	uint64_t received;   /* bytes of output in all */
	uint64_t sent_bytes; /* bytes of input in all */
	uint64_t grant_mark; /* `received` when the window was last granted */
	uint64_t grant_ns;
	uint32_t window;		/* bytes granted; 0 = libssh manages it by itself */
	uint64_t opened_ns, started_ns; /* when OPEN, and the request, were sent */
	uint64_t last_ms;		/* loop time: since then nothing went either way */
};

void transport_set_state(struct transport *t, enum transport_state s);
/* Ends a transport because of what libssh or the socket said; first cause wins. */
void transport_fail(struct transport *t, const struct cause *why);
/* Asks for a turn (pump, channels, poll mask) from the top of the loop. */
void transport_touch(struct transport *t);
/* True when libssh's session is dead: to be asked after every call, for calls on a dead session may
 * return SSH_AGAIN for ever. */
bool transport_session_dead(struct transport *t);
/* A channel's terminal came (+1) or went (-1): also decides the packets' class (IPQoS). */
void transport_terminal(struct transport *t, int change);
/* Tells upward what it does now. */
void transport_progress(struct transport *t);
/* transport_end.c: ends it by what libssh knows of a dead session. */
void transport_fail_by_session(struct transport *t);
/* What is known of it now. */
void transport_evidence(const struct transport *t, struct evidence *e);
/* Takes note of a keepalive's answer (transport_keep.c). */
void transport_note_answers(struct transport *t);
/* transport_suspect.c: looks at the packet counters; what came in ends any doubt. */
void transport_note_life(struct transport *t);
/* For how long nothing came, and keepalives went unanswered, before the end that is told now. */
double transport_quiet_s(const struct transport *t, unsigned *missed);
/* A request on it waits for an answer: if nothing at all comes for 2 s, the transport is suspect.
 * So one that was lost on a dead connection is known of before the next one follows it. */
void transport_expect(struct transport *t);
/* transport_keep.c: sends a keepalive, unless one or another global request is under way, whose
 * answer will do. */
void transport_probe(struct transport *t);
/* Something was answered after ms: the smallest of all is the round trip. */
void transport_rtt_sample(struct transport *t, double ms);

/* transport_reach.c: gets a socket, then calls transport_connected() or transport_fail(). */
void transport_reach(struct transport *t);
/* Lets go of it; any time, also twice. */
void transport_reach_end(struct transport *t);
/* transport_fail(), when how the server is reached may know a better cause. */
void transport_fail_on_way(struct transport *t, const struct cause *why);
/* Takes fd: the login begins. */
void transport_connected(struct transport *t, int fd);

/* A record for a channel that the server has opened, unclaimed: its output waits. */
struct channel *channel_incoming(struct transport *t, ssh_channel ssh,
				 struct transport_acceptor *acceptor);
/* The libssh side is given back; the record waits for its release. */
void channel_drop_ssh(struct channel *c);
/* Tells the owner of the end, once (channel_end.c). why: NULL where the server closed it. */
void channel_end(struct channel *c, enum channel_end_kind kind, const struct cause *why);

/* transport_incoming.c: takes what the server opens; hands it to acceptors; at the end. */
void transport_incoming_start(struct transport *t);
void transport_incoming_hand_over(struct transport *t);
/* transport_global.c: one step of what waits; whether there is a request; whether it was sent, and
 * its answer is owed; the end. */
bool transport_global_step(struct transport *t);
bool transport_global_busy(const struct transport *t);
bool transport_global_sent(const struct transport *t);
void transport_global_finish(struct transport *t);

/* One step of a channel's state machine. True: libssh was called, output may wait to be flushed. */
bool channel_step(struct channel *c);
/* The transport died: every channel ends with CHANNEL_LOST. */
void channel_lost(struct channel *c, const struct cause *why);
void channel_destroy(struct channel *c);
/* Moved enough, just now, to count as a bulk copy. */
void channel_note_bulk(struct channel *c, uint64_t total);
/* Grants a first window fit for a long path, before the request is sent (channel_flow.c). */
void channel_flow_start(struct channel *c);
/* Delivers what libssh holds back, and grows the receive window (channel_flow.c). */
bool channel_flow(struct channel *c);
/* No output waits in libssh. */
bool channel_drained(struct channel *c);

#endif
