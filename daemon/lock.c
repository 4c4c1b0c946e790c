#include "daemon/lock.h"

void lock_cause(struct cause *why)
{
	cause_set(why, CAUSE_LOCKED, "hawser is locked: it opens and keeps no connections");
	cause_hint(why, "hawserctl unlock");
}
