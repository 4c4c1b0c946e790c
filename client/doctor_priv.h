/* What doctor*.c share: the findings, child processes, and the parts. Nobody else includes this. */
#ifndef HAWSER_CLIENT_DOCTOR_PRIV_H
#define HAWSER_CLIENT_DOCTOR_PRIV_H

#include <stdio.h>
#include <sys/socket.h>
#include "client/ctl_reply.h"
#include "client/doctor.h"
#include "protocol/base.h"

#define DOCTOR_ADDRESSES_MAX 4
#define DOCTOR_STEP_MS	     5000
#define DOCTOR_LOGIN_MS	     20000

enum finding { FINE, NOTE, BAD };

struct doctor_row {
	enum finding finding;
	const char *part; /* static: "address", "host key" */
	char *text;
	char *cure; /* NULL: none */
};

struct doctor {
	bool json;
	char **options; /* ssh's, borrowed */
	int noptions;
	const char *host; /* as typed */
	struct doctor_row *rows;
	size_t nrows;

	char *config; /* what ssh -G prints; NULL: it failed */
	const char *hostname, *user, *port;
	bool indirect; /* by a jump host or a command: the address is not for us to dial */

	/* Of the first address that speaks SSH. */
	bool speaks;
	struct sockaddr_storage address;
	socklen_t address_len;
	char address_text[64];
	double connect_ms;
	char banner[256];
	char *offers[4]; /* kex, host keys, ciphers, MACs: as the server lists them */
};

void doctor_add(struct doctor *d, enum finding finding, const char *part, const char *fmt, ...)
	HW_PRINTF(4, 5);
/* The next step, for the row that was added last. */
void doctor_cure(struct doctor *d, const char *fmt, ...) HW_PRINTF(2, 3);
/* Milliseconds of a clock that only goes forward. */
double doctor_now_ms(void);

/* The value of the first line "name value" of ssh -G's output, on the heap; NULL: there is none. */
char *doctor_setting(const char *config, const char *name);
/* Calls each for every value of that name; text is valid during the call. */
void doctor_each_setting(const char *config, const char *name,
			 void (*each)(void *ctx, const char *value), void *ctx);

/* doctor_child.c: runs words (NULL-terminated; looked for on PATH), with /dev/null for stdin, for
 * at most ms; with until, only until stderr has that text (then it gets SIGTERM). Returns the exit
 * status, -1: it could not be run, was killed, or its time was over. out and err: what it wrote, on
 * the heap, never NULL. seen: until was seen. */
struct doctor_child {
	char *out, *err;
	size_t out_len; /* it may hold NULs */
	bool seen;
	double took_ms;
};
int doctor_child(char *const *words, const char *until, int ms, struct doctor_child *result);
/* The same with that text for stdin. */
int doctor_child_fed(char *const *words, const char *in, int ms, struct doctor_child *result);
void doctor_child_free(struct doctor_child *c);
/* first, then d's ssh options, then more (NULL-terminated), then the host: on the heap, the array
 * only. */
char **doctor_words(const struct doctor *d, const char *const *first, const char *const *more);

/* The hawser beside our own program, else the name only, for PATH; on the heap. */
char *doctor_hawser(void); /* doctor_login.c */
/* Takes out of the environment what would have a hawser of ours do something else. */
void doctor_surroundings(struct doctor *d); /* doctor_login.c */

/* doctor_probe.c: says hello to what answers on a socket, and takes its banner and what it offers.
 * false: that is no SSH server, which is said; where: for the user. */
bool doctor_talk(struct doctor *d, int fd, const char *where);
/* What it says first; a line. */
extern const char doctor_hello[];

/* The parts, in their order. */
void doctor_config(struct doctor *d);
void doctor_addresses(struct doctor *d); /* doctor_probe.c */
void doctor_through(struct doctor *d);	 /* in their place, behind a jump host or a command */
void doctor_algorithms(struct doctor *d);
void doctor_sizes(struct doctor *d);	/* doctor_probe.c: growing payloads */
void doctor_host_key(struct doctor *d); /* doctor_hostkey.c */
void doctor_keys(struct doctor *d);
void doctor_login(struct doctor *d); /* doctor_login.c */
void doctor_held(struct doctor *d);

#endif
