/* Answers of ssh -G that are still good, bounded, least recently used first out. Not thread-safe:
 * the loop thread's. */
#ifndef HAWSER_DAEMON_RESOLVE_CACHE_H
#define HAWSER_DAEMON_RESOLVE_CACHE_H

#include "daemon/resolve.h"
#include "daemon/resolve_files.h"

#define RESOLVE_CACHE_MAX    256u
#define RESOLVE_SHORT_MS     2000  /* commands ran, or files cannot be watched */
#define RESOLVE_CANONICAL_MS 30000 /* the name service was asked: CanonicalizeHostname */

struct resolve_cache;

struct resolve_cache *resolve_cache_create(void);
void resolve_cache_destroy(struct resolve_cache *c); /* NULL ok */

/* A new reference, or NULL. Files of the answer are looked at, where that cannot hang. */
struct destination *resolve_cache_get(struct resolve_cache *c, const struct resolve_query *q);

/* Keeps d (takes a reference of its own) for queries like q. files: its contents move into the
 * cache. Answers that cannot be trusted even once more are not kept. */
void resolve_cache_put(struct resolve_cache *c, const struct resolve_query *q,
		       struct destination *d, struct resolve_files *files);

#endif
