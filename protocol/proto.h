/* The messages between client and daemon as C structs, and their limits. docs/protocol.md is the
 * same in prose. A frame is a 32-bit big-endian payload length and a msgpack payload
 * [type, request number, {body}]; keys that a reader does not know are skipped, so a later minor
 * version may add some. Descriptors ride on the first byte of the frame that names them. */
#ifndef HAWSER_PROTOCOL_PROTO_H
#define HAWSER_PROTOCOL_PROTO_H

#include "protocol/base.h"

#define PROTO_MAJOR 1 /* in the socket's name: peers of another major never meet */
#define PROTO_MINOR 2 /* told in REQUEST and CONTROL, for the log and for people */

/* Limits, all checked before anything is allocated. */
#define PROTO_HEADER_SIZE  4u		   /* the length in front of a payload */
#define PROTO_FRAME_MAX	   (1024u * 1024u) /* payload bytes of one frame */
#define PROTO_FDS_MAX	   3		   /* descriptors on one frame */
#define PROTO_ARGS_MAX	   1024		   /* strings in args */
#define PROTO_ENV_MAX	   4096		   /* strings in env */
#define PROTO_FIELDS_MAX   16		   /* questions in one prompt */
#define PROTO_NESTING_MAX  8		   /* depth of a body */
#define PROTO_OBJECTS_MAX  65536	   /* values in one payload, containers included */
#define PROTO_MODES_MAX	   1024		   /* bytes of encoded terminal modes */
#define PROTO_WORD_MAX	   128		   /* bytes of a signal's name, a verb, a version */
#define PROTO_REQUESTS_MAX 1024		   /* live requests on one connection */

enum proto_type {
#define X(name, number, direction, phase) PROTO_##name = number,
#include "protocol/messages.def"
#undef X
};
const char *proto_type_name(unsigned type); /* "REQUEST"; "unknown" */

/* What stands behind each of a request's stdin, stdout, stderr. */
enum proto_stream {
	PROTO_STREAM_NULL = 0,	 /* /dev/null, said in words */
	PROTO_STREAM_CLOSED = 1, /* the client has no such descriptor */
	PROTO_STREAM_FD = 2, /* the next descriptor of the frame: pipe of its own description (may
				be made non-blocking) or a socket that others share (is not) */
};

/* Flags of a request. */
#define PROTO_STDIN_TTY	    0x01u /* the client's own stdin is a terminal */
#define PROTO_STDOUT_TTY    0x02u
#define PROTO_STDERR_TTY    0x04u
#define PROTO_WANT_STARTED  0x08u /* send STARTED when the request runs */
#define PROTO_CAN_ASK	    0x10u /* the client can put prompts to a person */
#define PROTO_CAN_RUN	    0x20u /* the client runs LocalCommand: prompts of kind COMMAND */
#define PROTO_WANT_PROGRESS 0x40u /* send PROGRESS while the request waits */
#define PROTO_STICKY	    0x80u /* --sticky: the shell or command survives its transport */

struct proto_winsize {
	uint32_t cols, rows, xpixel, ypixel;
};

/* REQUEST: one shell, command or subsystem. The client has not read the configuration: args are the
 * ssh options as typed, and the daemon asks `ssh -G` what they mean. */
struct proto_request {
	uint32_t minor; /* "proto" */
	char *version;	/* "version": the client's, for the log */
	char **args;	/* "args": ssh options in order, without host and command */
	char *host;	/* "host": the destination as typed */
	char *command;	/* "command": joined with spaces; NULL = none given */
	size_t command_len;
	char **env;	  /* "env": the client's whole environment, NAME=VALUE */
	char *cwd;	  /* "cwd" */
	uint32_t flags;	  /* "flags": PROTO_* bits above */
	bool has_winsize; /* "winsize": [cols, rows, xpixel, ypixel] */
	struct proto_winsize winsize;
	char *operation; /* "operation": of -O (check, exit, ...) instead of a session; may be NULL
			  */
	char *stdio;	 /* "stdio": host:port of -W, or a path; NULL = none */
	char *modes;	 /* "modes": of the client's terminal, encoded as RFC 4254 section 8 has it;
			    NULL = none */
	size_t modes_len;
	uint8_t streams[3]; /* "streams": enum proto_stream for stdin, stdout, stderr */
};

struct proto_signal {
	char *name; /* "name": without SIG, as RFC 4254 section 6.10 has it: "INT" */
};

/* ACTION: what a person asks of a live request by an escape: another forward, a break, ... */
struct proto_action {
	char *verb;  /* "verb": forward cancel list break rekey verbose quiet */
	char **args; /* "args": of forward and cancel: an option of ssh(1) and its value */
};

/* ANSWER to a PROMPT. */
struct proto_answer {
	uint32_t prompt; /* "prompt": the number that PROMPT gave */
	bool cancelled;	 /* "cancelled": nobody could or would answer */
	char *reason;	 /* "reason": why, when cancelled; may be NULL */
	char **answers;	 /* "answers": one per field; secret, wiped by proto_*_free() */
};

/* CONTROL: a verb of hawserctl. REPLY carries the result. */
struct proto_control {
	uint32_t minor;
	char *verb;  /* "verb": list status close stop loglevel */
	char **args; /* "args" */
};

struct proto_started {
	bool tty;	 /* "tty": a terminal was allocated: go raw */
	bool reused;	 /* "reused": the transport was there before this request */
	bool read_stdin; /* "stdin": false: stdin is not wanted (-n, StdinNull) */
	int32_t escape;	 /* "escape": escape character, -1 none */
	bool background; /* "background": go to the background now (-f) */
	bool modes;	 /* "modes": the remote terminal has the modes of the client's */
	char *host;	 /* "host": HostName, for words to the user; NULL = as typed */
	bool has_level;	 /* "level": the request's LogLevel, enum proto_level */
	uint32_t level;
	bool commandline;   /* "commandline": EnableEscapeCommandline allows ~C */
	bool local_command; /* "local_command": PermitLocalCommand allows !command in it */
};

/* ssh's LogLevels in order, QUIET (which ssh calls SILENT too) to DEBUG3. */
enum proto_level {
	PROTO_LEVEL_QUIET,
	PROTO_LEVEL_FATAL,
	PROTO_LEVEL_ERROR,
	PROTO_LEVEL_INFO,
	PROTO_LEVEL_VERBOSE,
	PROTO_LEVEL_DEBUG1,
	PROTO_LEVEL_DEBUG2,
	PROTO_LEVEL_DEBUG3
};

/* EXIT: the end of a request. Exactly one of status, signal, error tells how. */
struct proto_exit {
	bool has_status;
	uint32_t status; /* "status": the remote command's exit status */
	char *signal;	 /* "signal": name without SIG, when the remote command died by one */
	char *error;	 /* "error": what failed, for which host, cause: one sentence */
	char *hint;	 /* "hint": the next step; may be NULL */
	bool ran;	 /* "ran": the remote command may have run */
	char *stage; /* "stage": how far it got: resolving, waiting, opening, sent, running, done;
			NULL = not told */
	char *cause; /* "cause": the class of what ended it (docs/causes.md); NULL = none */
	char *evidence;	    /* "evidence": what was seen, one fact per line; NULL = none */
	bool reused;	    /* "reused": the transport was there before this request */
	uint32_t transport; /* "transport": its number in listings and journal; 0 = it had none */
};

/* PROGRESS: what a request waits for; the latest one counts. */
struct proto_progress {
	char *text;	   /* "text": a phrase; empty = it does not wait any more */
	uint32_t retry_ms; /* "retry_ms": the next try comes in so long; 0 = it is under way */
};

enum proto_prompt_kind {
	PROTO_PROMPT_SECRET = 0,  /* passphrase or password */
	PROTO_PROMPT_TEXT = 1,	  /* keyboard-interactive round: fields with echo of their own */
	PROTO_PROMPT_HOSTKEY = 2, /* yes, no or the fingerprint, as ssh asks */
	PROTO_PROMPT_CONFIRM = 3,
	PROTO_PROMPT_COMMAND = 4, /* run `intro` by the user's shell (LocalCommand); no fields */
};
struct proto_field {
	char *text; /* "text": shown as it is, but for control characters */
	bool echo;  /* "echo" */
};
struct proto_prompt {
	uint32_t prompt;	     /* "prompt": number for ANSWER */
	enum proto_prompt_kind kind; /* "kind" */
	char *intro;		     /* "intro": shown before the first field; may be NULL */
	struct proto_field *fields;  /* "fields" */
	size_t nfields;
};

/* NOTICE: a line for the client's stderr (or -E file). The daemon sends only what the request's
 * LogLevel asks for. raw: bytes to be written unchanged (a server's banner, ssh's own words). */
struct proto_notice {
	bool raw;
	bool banner; /* "banner": the server's: stderr, also when words go to an -E file */
	char *text;  /* "text" */
};

struct proto_fallback {
	char *why; /* "why": the option that hawser cannot do, as a phrase */
};

/* ERROR: the peer's message could not be used. */
struct proto_error {
	char *text; /* "text" */
};

#endif
