/* Trust with an end: transports that take no new sessions any more, since they are old, their
 * certificate has run out, or hawser is locked. What runs on them is not cut. */
#include "daemon/pool_priv.h"

#include <math.h>
#include <stdlib.h>
#include <stdio.h>
#include <time.h>

#include "daemon/config_host.h"
#include "daemon/lock.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

/* The loop's clock stands still while the machine sleeps, and does not hear of a time of day that
 * is set: so long at most until the next look. */
#define LOOK_MS 30000u

void slot_drain(struct slot *s, const struct cause *why)
{
	if (!s->ready || slot_idle(s)) {
		slot_close(s, why);
		return;
	}
	if (s->draining && s->drain_why != NULL)
		return; /* the first reason stands */
	s->draining = true;
	s->drain_why = xmemdup(why, sizeof(*why));
	log_info("%s transport %u: takes no new sessions (%s): %s", s->dest->label,
		 transport_id(s->transport), cause_name(why->cls), why->text);
	journal_add_cause(s->pool->pools->env.journal, JOURNAL_DRAINING, s->dest->label,
			  s->dest->typed, transport_id(s->transport), why);
	/* Those who wait need another one. */
	pool_touch(s->pool);
}

void slot_drain_cause(const struct slot *s, struct cause *why)
{
	if (s->drain_why != NULL)
		*why = *s->drain_why;
	else
		cause_set(why, CAUSE_CLOSED_BY_USER, "the connection to %s was closed on request",
			  s->dest->label);
}

void slot_close_drained(struct slot *s)
{
	struct cause why;

	slot_drain_cause(s, &why);
	slot_close(s, &why);
}

/* --- age, and the certificate's end --- */

static double seconds_of(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double wall_now(void)
{
	return seconds_of(CLOCK_REALTIME);
}

static double age_s(const struct slot *s)
{
	return seconds_of(CLOCK_BOOTTIME) - s->ready_boot_s;
}

void slot_age_start(struct slot *s, const struct login_result *r)
{
	s->cert_end = r->cert_end;
	if (s->cert_end != 0 && wall_now() >= (double)s->cert_end) {
		/* Its own clock says otherwise. One login after the other would not end that. */
		log_warn("%s: the certificate \"%s\" has expired by this machine's clock, but the "
			 "server takes it: its end is not looked at",
			 s->dest->label, r->cert_id);
		s->cert_end = 0;
	}
	snprintf(s->cert_id, sizeof(s->cert_id), "%s", r->cert_id);
	s->ready_since = pools_now(s->pool->pools);
	s->ready_boot_s = seconds_of(CLOCK_BOOTTIME);
}

static unsigned max_age_s(const struct slot *s)
{
	struct config_host host;

	config_for_host(&s->pool->pools->app->config, s->dest->typed, s->dest->hostname, &host);
	return host.max_age_s;
}

uint64_t slot_age_next(const struct slot *s)
{
	unsigned max_age = max_age_s(s);
	double left = INFINITY, cert = INFINITY;

	if (max_age > 0)
		left = max_age - age_s(s);
	if (s->cert_end != 0)
		cert = (double)s->cert_end - wall_now();
	if (cert < left)
		left = cert;
	if (isinf(left))
		return UINT64_MAX;
	/* A moment later, so that it is over then, however the clocks are rounded. */
	return pools_now(s->pool->pools) + (left <= 0		    ? 0
					    : left * 1e3 >= LOOK_MS ? LOOK_MS
								    : (uint64_t)(left * 1e3) + 1);
}

static void set_certificate_cause(const struct slot *s, struct cause *why)
{
	time_t end = (time_t)s->cert_end;
	struct tm tm;
	char text[64] = "?";

	if (localtime_r(&end, &tm) != NULL)
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	cause_set(why, CAUSE_EXPIRED,
		  "the certificate \"%s\" that opened the connection to %s expired at %s",
		  s->cert_id, s->dest->label, text);
	cause_hint(why, "get a new certificate; what runs on the connection goes on, new commands "
			"need a new login");
}

bool slot_age_tick(struct slot *s)
{
	unsigned max_age = max_age_s(s);
	struct cause why;

	if (s->cert_end != 0 && wall_now() >= (double)s->cert_end) {
		set_certificate_cause(s, &why);
	} else if (max_age > 0 && age_s(s) >= max_age) {
		cause_set(&why, CAUSE_EXPIRED,
			  "the connection to %s was %u s old, as old as max-age allows",
			  s->dest->label, max_age);
		cause_hint(&why, "the next command opens a new one; max-age in hawser.conf says "
				 "when");
	} else {
		return false;
	}
	slot_drain(s, &why);
	return true;
}

/* --- hawserctl lock --- */

void pools_fail_locked(struct pool *pool)
{
	struct cause why;

	if (!pool->pools->app->locked || pool->waiters == NULL)
		return;
	lock_cause(&why);
	pool_fail_waiters(pool, NULL, NULL, &why, false);
}

size_t pools_lock(struct pools *p, bool drain)
{
	struct cause why;
	size_t n = 0;

	lock_cause(&why);
	for (struct pool *pool = p->list; pool != NULL; pool = pool->next) {
		for (struct slot *s = pool->slots; s != NULL; s = s->next) {
			n++;
			if (drain)
				slot_drain(s, &why);
			else
				slot_close(s, &why);
		}
		pool_touch(pool);
	}
	return n;
}
