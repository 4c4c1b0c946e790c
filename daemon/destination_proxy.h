/* How a destination's server is reached when not directly: ProxyCommand, ProxyUseFdpass, ProxyJump.
 * Part of destination.c. Pure. */
#ifndef HAWSER_DAEMON_DESTINATION_PROXY_H
#define HAWSER_DAEMON_DESTINATION_PROXY_H

#include <stdio.h>
#include "daemon/destination.h"
#include "daemon/expand.h"

/* Fills in proxy_command, proxy_fdpass, proxy_env and jump_spec from d->raw. NULL, or a phrase (on
 * the heap): ssh shall say, or do, it itself. */
char *destination_fill_proxy(struct destination *d, const struct expand_context *ctx);
/* Fills in cwd, once proxy_command and known_hosts_command are there. */
void destination_fill_cwd(struct destination *d, const char *cwd);
void destination_finish_proxy(struct destination *d);
/* The lines of the pool's key. */
void destination_write_proxy_key(FILE *f, const struct destination *d);

/* The last hop of a jump_spec ("a,user@b:22"), which is dialled through those before it. */
struct destination_hop {
	char *user, *port; /* NULL: as its own configuration says */
	char *host;
	char *before; /* the hops before it, or NULL */
};
/* spec: NULL and "none" give a hop without a host. */
void destination_hop_parse(const char *spec, struct destination_hop *hop);
void destination_hop_finish(struct destination_hop *hop);

#endif
