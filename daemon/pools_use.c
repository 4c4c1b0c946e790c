/* Held transports as others see them: leases on what is there, and whose a local address is. */
#include "daemon/pool_priv.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "protocol/alloc.h"

static bool is_usable(const struct slot *s, bool silent_too)
{
	return silent_too ? s->ready && !s->draining &&
				    transport_state(s->transport) == TRANSPORT_READY
			  : slot_serves(s);
}

static struct slot *find_held(const struct pools *p, const struct destination *dest, uint64_t group,
			      bool silent_too)
{
	for (struct pool *pool = p->list; pool != NULL; pool = pool->next) {
		if (strcmp(pool->key, dest->key) != 0 ||
		    (group != POOL_ANY && pool->group != group))
			continue;
		for (struct slot *s = pool->slots; s != NULL; s = s->next) {
			if (is_usable(s, silent_too))
				return s;
		}
	}
	return NULL;
}

struct pool_lease *pool_lease_held(struct pools *p, const struct destination *dest, uint64_t group,
				   bool weak, const struct pool_events *events, void *ctx)
{
	struct slot *s = find_held(p, dest, group, false);
	struct pool_lease *l;

	if (s == NULL)
		s = find_held(p, dest, group, true);
	if (s == NULL)
		return NULL;
	l = xcalloc(1, sizeof(*l));
	l->slot = s;
	l->events = events;
	l->ctx = ctx;
	l->weak = weak;
	l->next = s->leases;
	s->leases = l;
	if (!weak)
		s->idle_since = 0;
	return l;
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
	const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;

	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return a4->sin_port == b4->sin_port && a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return a->ss_family == AF_INET6 && a6->sin6_port == b6->sin6_port &&
	       memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0;
}

enum pools_use pools_use_of(const struct pools *p, const struct sockaddr_storage *local)
{
	for (const struct pool *pool = p->list; pool != NULL; pool = pool->next) {
		for (const struct slot *s = pool->slots; s != NULL; s = s->next) {
			struct sockaddr_storage own;

			if (!transport_local_address(s->transport, &own) ||
			    !same_address(&own, local))
				continue;
			return s->ready && pool->waiters == NULL && slot_idle(s) ? POOLS_IDLE
										 : POOLS_IN_USE;
		}
	}
	return POOLS_FOREIGN;
}

void pools_watch(struct pools *p, struct pools_watcher *w)
{
	w->next = p->watchers;
	p->watchers = w;
}

void pools_unwatch(struct pools *p, struct pools_watcher *w)
{
	struct pools_watcher **link = &p->watchers;

	while (*link != NULL && *link != w)
		link = &(*link)->next;
	if (*link != NULL)
		*link = w->next;
}

void pools_tell_idle(struct pools *p)
{
	for (struct pools_watcher *w = p->watchers; w != NULL; w = w->next)
		w->idle(w->ctx);
}
