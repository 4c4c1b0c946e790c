/* Forwards that are to be set up again: each with the destination whose options it was asked
 * for with (GatewayPorts, StreamLocalBindUnlink, ...), which are not those of the next one. */
#ifndef HAWSER_DAEMON_FORWARD_MISSING_H
#define HAWSER_DAEMON_FORWARD_MISSING_H

#include "daemon/forward.h"
#include "daemon/forward_spec.h"

struct missing {
	struct missing *next;
	struct forward_spec spec; /* paths are absolute */
	struct destination *dest;
	bool trying;
	bool cancelled; /* while it is being tried: ends when it stands */
};

/* NULL: it is not among them. cwd: what relative paths of spec are relative to. */
struct missing *missing_find(struct missing *list, const struct forward_spec *spec,
			     const char *cwd);
/* Behind the others, unless it is there; copies spec, takes a reference of dest. */
void missing_add(struct missing **list, const struct forward_spec *spec, struct destination *dest);
/* Frees one of the list. */
void missing_drop(struct missing **list, struct missing *m);
/* Frees all. */
void missing_clear(struct missing **list);
/* Those of the set, as well. */
void missing_add_standing(struct missing **list, const struct forward_set *set);
/* Without those that stand in the set. */
void missing_drop_standing(struct missing **list, const struct forward_set *set);
/* Asks for all in the set; done comes so often as is returned, with ctx. */
size_t missing_try(struct missing *list, struct forward_set *set, enum forward_words words,
		   forward_done done, void *ctx);
/* They were tried: without those that were cancelled meanwhile, neither here nor in the set. */
void missing_tried(struct missing **list, struct forward_set *set);

#endif
