/* A request from its first message to its end: waits, relays, signals, questions. */
#ifndef HAWSER_CLIENT_LIVE_H
#define HAWSER_CLIENT_LIVE_H

#include "client/control.h"
#include "client/options.h"
#include "client/prompt.h"
#include "client/relay.h"
#include "client/signals.h"
#include "client/streams.h"
#include "protocol/bytebuf.h"
#include "protocol/decode.h"
#include "protocol/frame.h"

/* A daemon that has said nothing for so long is asked whether it lives: at first soon, later
 * seldom, since silence is what a long command sounds like. */
#define LIVE_FIRST_SILENCE_MS 5000
#define LIVE_SILENCE_MS	      30000
#define LIVE_PONG_MS	      5000
/* After our own end was decided (a signal), the remote may still say how it ended. */
#define LIVE_SIGNAL_MS 1000
/* After EXIT all output is in our pipes; one that then stays open and empty is not waited for. */
#define LIVE_DRAIN_MS 2000

enum live_end {
	LIVE_GOING,
	LIVE_EXIT,     /* status is the program's exit status */
	LIVE_FALLBACK, /* fallback says why; nothing has happened yet */
	LIVE_RETRY,    /* the daemon left without having read the request: ask the next one */
	LIVE_SIGNAL,   /* signo shall end us: nothing was started */
};

struct live {
	const struct options *opt;
	struct streams *st;
	int sock;
	struct control *control; /* of -M; NULL = none */
	int joined;		 /* a connection to somebody else's control socket, -1 none */
	struct frame_reader in;
	struct bytebuf out; /* for the daemon, as soon as it reads */
	struct relay relay;
	struct signals signals;
	enum live_end end;
	int status, signo;
	struct proto_exit exit; /* once got_exit: the daemon's, or our own words in its place */
	char *fallback;
	char *host;			 /* HostName, once STARTED has told it */
	enum proto_level level;		 /* LogLevel; ~v and ~V change it */
	bool commandline, local_command; /* ~C is allowed, and ! in it */
	bool only_told;			 /* want_started for --status-fd alone */
	bool want_started, started, tty, got_exit, asking, heard;
	bool raw;	    /* the terminal shall be raw while we are in front */
	bool said_more;	    /* more than the request was sent */
	int stop_signo;	    /* a signal has ended us, and the remote may say its last word */
	int64_t heard_ms;   /* when the daemon last said something */
	int64_t ping_ms;    /* when it was asked; 0 = it was not */
	int64_t give_up_ms; /* the last moment of LIVE_SIGNAL_MS or LIVE_DRAIN_MS; 0 = none */
};

/* Runs the request whose first message was sent on sock (borrowed). rest: bytes of it still unsent;
 * its memory is taken over. */
void live_run(struct live *l, struct bytebuf *rest);
/* Puts everything back: terminal, signals; frees. */
void live_finish(struct live *l);

/* For live_message.c: queues a frame (freed here, wiped) and sends what the socket takes. */
void live_send(struct live *l, uint8_t *frame, size_t len);
/* Ends the request with a status. The first end counts. */
void live_done(struct live *l, int status);
/* The daemon has said its last word, exit and status are set: what is still in our pipes goes out,
 * then the request is over. */
void live_drain(struct live *l);
/* The same for an end without EXIT. error and hint (may be NULL) are on the heap and taken over. */
void live_fail(struct live *l, char *error, char *hint);
/* Reads what the socket has and handles it. */
void live_read(struct live *l);
/* Handles one message. false: it makes no sense. */
bool live_message(struct live *l, const uint8_t *payload, size_t len);
/* The terminal is raw from now on: at once, or as soon as we are in front. */
void live_raw(struct live *l);
/* The terminal has another size, or we are in front again. */
void live_tell_size(struct live *l);
/* ^Z and the like: stops us, with the terminal as it was. */
void live_suspend(struct live *l);
/* INT, TERM, HUP, QUIT: the remote command hears of it, and we end as ssh does. */
void live_end_by_signal(struct live *l, int signo);
/* The request is taken back, and we end with failure. */
void live_cancel(struct live *l);
/* For questions: what goes on meanwhile. */
struct prompt_watch live_watch(struct live *l);
/* Sets LogLevel for our own words. */
void live_set_level(struct live *l, enum proto_level level);
/* "Connection to HOST closed.", where LogLevel shows it. */
void live_say_closed(const struct live *l);

/* live_escape.c: does what was asked for by escapes. */
void live_escapes(struct live *l);

#endif
