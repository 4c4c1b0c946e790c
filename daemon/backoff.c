#include "daemon/backoff.h"

#define FIRST_MS	 250u
#define MOST_MS		 15000u
#define REFUSED_FIRST_MS 4000u
#define REFUSED_MOST_MS	 60000u

static unsigned grown(unsigned first, unsigned most, unsigned failures, unsigned random)
{
	unsigned ms = first;

	while (failures > 1 && ms < most) {
		ms *= 2;
		failures--;
	}
	if (ms > most)
		ms = most;
	return ms / 2 + random % (ms / 2 + 1);
}

unsigned backoff_ms(unsigned failures, unsigned random)
{
	return grown(FIRST_MS, MOST_MS, failures, random);
}

unsigned backoff_refused_ms(unsigned failures, unsigned random)
{
	return grown(REFUSED_FIRST_MS, REFUSED_MOST_MS, failures, random);
}
