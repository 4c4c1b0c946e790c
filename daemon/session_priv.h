/* What session*.c share: session.c (life, resolving, what comes from the front end), session_want.c
 * (what the words ask for), session_stage.c (the connection: lease, forwards, LocalCommand),
 * session_lend.c (agent and display),
 * session_run.c (the channel). Nobody else includes this. */
#ifndef HAWSER_DAEMON_SESSION_PRIV_H
#define HAWSER_DAEMON_SESSION_PRIV_H

#include "daemon/app.h"
#include "daemon/bridge.h"
#include "daemon/channel.h"
#include "daemon/defer.h"
#include "daemon/destination.h"
#include "daemon/forward.h"
#include "daemon/origin.h"
#include "daemon/pool.h"
#include "daemon/resolve.h"
#include "daemon/session.h"
#include "daemon/x11.h"

/* What a request becomes once its connection is there. */
enum session_goal {
	GOAL_SESSION, /* a shell, command or subsystem on a session channel */
	GOAL_STDIO,   /* -W: stdin and stdout go to an address at the other side */
	GOAL_NONE,    /* -N: only forwards */
};

/* How far a request has got; session_step.c says which may follow which. */
enum session_step {
	STEP_RESOLVING,
	STEP_WAITING, /* for a connection, or a channel on one */
	STEP_OPENING,
	STEP_SENT, /* it may have run: never again */
	STEP_RUNNING,
	STEP_DONE, /* its end is the command's own */
};

struct session {
	struct app *app;
	const struct session_events *events;
	void *ctx;
	struct session_request request;
	struct origin *origin; /* has the environment and directory of the request */
	struct destination *dest;
	struct resolve_job *resolving;
	uint64_t group; /* of the pool: POOL_SHARED and the like */
	enum session_goal goal;
	enum session_step step;
	char *evidence; /* of ended_by; NULL: none */

	struct pool_waiter *waiter; /* for a lease or a channel */
	struct pool_lease *lease;
	struct forward_set *forwards;
	struct session_missing *missing; /* of those; NULL: none is tried again */
	bool waiting;			 /* the command has ended, forwarded connections are open */
	struct forward_set *kept;	 /* of -O: borrowed, while its transport lives */
	struct session_action *actions;	 /* that ssh is asked about */
	struct session_sticky *sticky;	 /* NULL: it ends with its connection */
	uint32_t prompt;		 /* number of the open prompt; 0 = none */
	bool local_command_prompt;	 /* it is LocalCommand, which the client runs */
	bool local_command_done;

	struct dial_local *probe; /* is there an agent to be lent? */
	struct x11_guest *x11;	  /* NULL: no display is lent */
	bool lent_agent, lent_x11, lending;

	struct channel *channel;
	struct channel_request wanted;
	struct forward_end stdio; /* GOAL_STDIO */
	char **env;		  /* for the channel */
	char *term;
	char *stty; /* the command that sets terminal modes; NULL: none */
	bool tty, reused, running, ending;
	bool returning;	   /* of GOAL_NONE: it ran, and looks for its lost connection */
	unsigned delay_ms; /* before the next wait is served */
	unsigned refusals, losses;
	uint64_t started_ms;
	struct bridge bridge;
	unsigned used_transport; /* its use is in the journal; 0: none is */
	uint64_t used_since;	 /* uv_hrtime() */
	enum cause_class ended_by;
	struct proto_exit result; /* of an ending session; strings owned */
	struct defer begin;
};

/* session.c */
/* No more from the channel; what is queued for the client still goes out, then `done`. */
void session_begin_ending(struct session *s);
/* Ends an ending session once nothing is left to wait for. */
void session_end_if_through(struct session *s);
void session_fail(struct session *s, const char *error, const char *hint, bool ran);
void session_fail_by_cause(struct session *s, const struct cause *why);
/* That is what ended it; the words are said apart. */
void session_ended_by(struct session *s, const struct cause *why);
/* Ends the request with a status and no words of ours: they have been said. */
void session_end_status(struct session *s, unsigned status);
void session_fall_back(struct session *s, const char *why);
/* A line for the client when its LogLevel asks for it: level as in destination.log_level. */
void session_notice(struct session *s, int level, const char *fmt, ...) HW_PRINTF(3, 4);
/* What the request waits for: see pool_events.progress. */
void session_progress(struct session *s, const char *text, unsigned retry_ms);
void session_prompt(struct session *s, const struct proto_prompt *p);

/* session_step.c */
void session_step(struct session *s, enum session_step to);
/* Its command was sent, at least. */
bool session_may_have_run(const struct session *s);
/* "what; the command ...": how far it has got, on the heap. */
char *session_how_far(const struct session *s, const char *what);
/* Fills in what EXIT says of that. */
void session_account(struct session *s);

/* session_want.c */
/* Fills in goal, wanted, tty, env. False: the words contradict each other; failed. */
bool session_prepare(struct session *s);

/* session_stage.c */
/* dest is there, pumps are started: gets a connection and what must stand on it, then the goal. */
void session_stage_start(struct session *s);
/* What is lent is ready: gets the channel. */
void session_lent(struct session *s);
/* LocalCommand has ended. */
void session_stage_command_done(struct session *s);
/* The events of a wait for a channel or lease that both have in common. */
void session_wait(struct session *s, bool lease, bool front);
/* At -v and -vv: which connection serves the request. */
void session_tell_connection(struct session *s, const struct transport *t);
/* The channel was lost: waits for another, and for the lease and forwards that it stands on. */
void session_come_back(struct session *s);
void session_stage_finish(struct session *s);
/* All forwards were tried once on a new connection: session_missing_any() says whether all stand.
 */
void session_forwards_back(struct session *s);
void session_on_leased(void *ctx, struct pool_lease *l, bool reused);
void session_on_lost(void *ctx, const struct cause *why);

/* session_lend.c */
/* Sees to what the session lends to the server; session_lent() follows, now or later. */
void session_lend(struct session *s);
/* The server is not the one that is known: nothing is lent to it, as in ssh. */
void session_lend_nothing(struct session *s);
/* Takes it back. */
void session_lend_finish(struct session *s);
/* Its goal has come to an end, the result is there: ssh stays while forwarded connections are open
 * or X11 programs run, and so do we. */
void session_end_when_unused(struct session *s);
/* Fewer of those than before, perhaps. */
void session_use_changed(struct session *s);
/* How forwards speak to the client. */
extern const struct forward_events session_forward_events;

/* session_journal.c */
/* The request is put on t: that stands in the journal. Nothing when it is on it already. */
void session_journal_begin(struct session *s, const struct transport *t);
/* It is over. how: NULL for what the result says. Nothing when no use is open. */
void session_journal_end(struct session *s, const char *how);
/* It ends before a connection was looked for, or in the queue of one; text: why, its first line. It
 * has no cause there, so that hawserctl why tells of what ended before. */
void session_journal_refused(struct session *s, const char *text);

/* session_sticky.c */
/* The words are in s->wanted: changes them, where the request is to survive its connection. */
void session_sticky_prepare(struct session *s);
/* The channel was lost. True: s->wanted attaches to what runs there; wait for another channel. */
bool session_sticky_again(struct session *s, const struct channel_end *end);
/* The channel runs. True: again, and the client was told of the first time. */
bool session_sticky_runs(struct session *s);
/* For channel_events: data goes on to the bridge, but for what the script at the server says to
 * hawserd. Only with s->sticky. */
bool session_sticky_data(struct session *s, int stream, const uint8_t *data, size_t len, bool must);
void session_sticky_turn(struct session *s);
/* No more data comes on this channel. */
void session_sticky_flush(struct session *s);
/* It survives its connection: our script at the server said so. What it asked for has run, then,
 * and no other request runs it again; a server that runs something else gets no second one. */
bool session_sticky_stays(const struct session *s);
/* false: to be left, for *why: it is away, and this server is not known to be the one. */
bool session_sticky_may_attach(struct session *s, const struct transport *t, struct cause *why);
/* Its connection was lost, and it is not attached again. */
bool session_sticky_is_away(const struct session *s);
/* It was lost, or refused, and comes back: sets after which time, longer where that goes on. */
void session_sticky_count_loss(struct session *s);
/* A loss of this kind is none that somebody wanted. */
bool session_sticky_comes_back(const struct cause *why);
/* It stays at the server for good: no connection will be looked for. Returns the next step, which
 * says where it is, or hint where nothing is left there; borrowed. */
const char *session_sticky_leave(struct session *s, const char *hint);
/* The request is over: what it left at the server is ended. */
void session_sticky_finish(struct session *s);

/* session_missing.c */
/* The connection is lost: remembers what stood on it. Before s->forwards is destroyed. */
void session_missing_keep(struct session *s);
/* Something is remembered, or was not set up yet. */
bool session_missing_any(const struct session *s);
/* Sets up in s->forwards, which is empty, what is remembered; then session_forwards_back(). What
 * does not stand then is tried again and again, which is told. */
void session_missing_try(struct session *s);
/* Nothing is to be set up any more. Before s->forwards is destroyed. */
void session_missing_finish(struct session *s);

/* session_errand.c */
/* Runs command (taken) at the server, over a connection that is there or can be had within
 * `reconnect`; a failure is logged. */
void session_errand(struct session *s, char *command);

/* session_action.c */
/* The connection is lost: what was asked of it is answered. Before s->forwards is destroyed. */
void session_actions_lost(struct session *s);
void session_actions_free(struct session *s);

/* session_operation.c */
/* -O: no session. */
void session_operation_start(struct session *s);
void session_operation_finish(struct session *s);

/* session_run.c */
void session_on_granted(void *ctx, struct channel *c, bool reused);
/* Opens the channel of -W. */
void session_open_stdio(struct session *s);
/* The request runs: tells the client. */
void session_started(struct session *s, bool tty);

#endif
