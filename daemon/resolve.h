/* From a client's words to a destination, by running `ssh -G` off the loop (design, decision 3).
 * Answers are cached by (options, host, and where they matter working directory and environment)
 * and dropped when a file that ssh read, or one that it looked for, has changed. */
#ifndef HAWSER_DAEMON_RESOLVE_H
#define HAWSER_DAEMON_RESOLVE_H

#include <uv.h>
#include "daemon/cause.h"
#include "daemon/destination.h"

struct resolver;
struct resolve_job;

/* Borrowed for the duration of the call. */
struct resolve_query {
	char *const *args; /* ssh options as typed */
	const char *host;
	struct client_context client;
};

/* Called on the loop thread. d: a reference that is the callee's now; NULL: failed, see why;
 * ssh_words: what ssh itself said on stderr (its error in its own words), or NULL; borrowed. */
typedef void (*resolve_cb)(void *ctx, struct destination *d, const struct cause *why,
			   const char *ssh_words);

/* ssh_path: the OpenSSH client to ask ("ssh": by PATH of the daemon). */
struct resolver *resolver_create(uv_loop_t *loop, const char *ssh_path);
/* Kills what runs; jobs still there are gone, their cb is not called. Not from within a cb. The
 * loop must run once more. */
void resolver_destroy(struct resolver *r);

/* From the cache, at once: a new reference, or NULL. Costs a stat per file on local file systems.
 */
struct destination *resolver_lookup(struct resolver *r, const struct resolve_query *q);
/* Asks ssh; cb always comes later, never from within this call. Deadline 30 s (a Match exec may
 * take its time). The job is gone once cb was called. */
struct resolve_job *resolver_start(struct resolver *r, const struct resolve_query *q, resolve_cb cb,
				   void *ctx);
void resolve_cancel(struct resolve_job *job); /* cb will not be called */

#endif
