/* A forward as ssh_config(5) has it (LocalForward, RemoteForward, DynamicForward), read from the
 * lines that `ssh -G` prints: OpenSSH's parser has read what the user wrote. Pure values. */
#ifndef HAWSER_DAEMON_FORWARD_SPEC_H
#define HAWSER_DAEMON_FORWARD_SPEC_H

#include "protocol/base.h"

enum forward_kind {
	FORWARD_LOCAL,	/* -L, and -D: we listen */
	FORWARD_REMOTE, /* -R: the server listens */
};

/* One end: a path of a Unix socket, or host and port. */
struct forward_end {
	char *path; /* NULL: TCP; as it was written: it may be relative */
	char *host; /* to listen: NULL = as GatewayPorts says, "" or "*" = all addresses */
	uint16_t port;
};

struct forward_spec {
	enum forward_kind kind;
	struct forward_end listen;
	struct forward_end connect; /* unused when socks */
	bool socks;		    /* who connects says where to, by SOCKS 4 or 5 */
	uint16_t chosen; /* listen.port 0: what the server chose before, and is asked for again */
};

/* The forwards that the lines of `ssh -G` name, in the order in which ssh sets them up: local and
 * dynamic ones, then remote ones. Free by forward_specs_free(). *count may be 0. Lines that make no
 * sense are left out: false. */
bool forward_specs_parse(char *const *lines, struct forward_spec **out, size_t *count) HW_NODISCARD;
void forward_specs_free(struct forward_spec *specs, size_t count);
void forward_spec_copy(struct forward_spec *to, const struct forward_spec *from);
void forward_spec_finish(struct forward_spec *s);
/* The path on our side of it may be relative: to cwd. */
void forward_make_absolute(struct forward_spec *spec, const char *cwd);
bool forward_spec_same(const struct forward_spec *a, const struct forward_spec *b);
bool forward_spec_same_listener(const struct forward_spec *a, const struct forward_spec *b);

/* "host:port" of -W, or of a SOCKS-like pair, as ssh(1) reads it ("[::1]:22"); or a path. False: it
 * makes no sense. */
bool forward_end_parse(const char *text, struct forward_end *out) HW_NODISCARD;
void forward_end_finish(struct forward_end *e);
void forward_end_copy(struct forward_end *to, const struct forward_end *from);
/* "host:port" or the path, for messages; on the heap. */
char *forward_end_text(const struct forward_end *e);

#endif
