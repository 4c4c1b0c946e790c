/* What is told of a host that could not be reached: each address, and how it failed. */
#include "daemon/dial_priv.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

/* How an attempt went that has not connected; 0: it is under way. */
static const char *outcome(int error)
{
	return error == 0 ? "no answer" : error == ETIMEDOUT ? "no answer" : strerror(error);
}

/* "10.0.0.5, 10.0.0.6" where all went alike, else "10.0.0.5: no answer, ::1: Connection refused".
 */
static void list_addresses(const struct dial *d, char *out, size_t size)
{
	size_t used = 0;
	bool alike = true;

	for (size_t i = 1; i < d->started; i++)
		alike = alike &&
			strcmp(outcome(d->attempts[i].error), outcome(d->attempts[0].error)) == 0;
	out[0] = '\0';
	for (size_t i = 0; i < d->started && used + 1 < size; i++) {
		const struct attempt *a = &d->attempts[i];
		int n = snprintf(out + used, size - used, "%s%s%s%s", i > 0 ? ", " : "", a->text,
				 alike ? "" : ": ", alike ? "" : outcome(a->error));

		if (n < 0)
			break;
		used += (size_t)n;
	}
}

/* The error that tells most of the host: one that refuses is there, one that is silent may be. */
static int telling_error(const struct dial *d)
{
	int error = d->started > 0 ? d->attempts[d->started - 1].error : 0;

	for (size_t i = 0; i < d->started; i++) {
		if (d->attempts[i].error == ECONNREFUSED)
			return ECONNREFUSED;
		if (d->attempts[i].error == ETIMEDOUT)
			error = ETIMEDOUT;
	}
	return error;
}

static void show_attempts(const struct dial *d, struct cause *why)
{
	for (size_t i = 0; i < d->started; i++)
		cause_evidence(why, "%s: %s", d->attempts[i].text, outcome(d->attempts[i].error));
	if (d->started < d->count)
		cause_evidence(why, "%zu more addresses were not tried yet", d->count - d->started);
	if (d->want.attempts > 1)
		cause_evidence(why, "%u of %u rounds (ConnectionAttempts)",
			       d->round < d->want.attempts ? d->round + 1 : d->round,
			       d->want.attempts);
}

void dial_explain_failure(const struct dial *d, struct cause *why)
{
	const struct dial_want *want = &d->want;
	int error = telling_error(d);
	char tried[512];

	list_addresses(d, tried, sizeof(tried));
	if (d->bind_error != 0 && d->bind_error == error) {
		cause_set(why, CAUSE_UNREACHABLE, "connect to %s (%s) port %u: bind %s: %s",
			  want->host, tried, want->port,
			  want->bind_interface != NULL ? want->bind_interface : want->bind_address,
			  strerror(error));
		cause_hint(why, "that address is not one of this machine's for such a connection: "
				"check BindAddress (-b) and BindInterface (-B)");
	} else if (error == ECONNREFUSED) {
		cause_set(why, CAUSE_REFUSED, "connect to %s (%s) port %u: Connection refused",
			  want->host, tried, want->port);
		cause_hint(
			why,
			"no SSH server listens there, or a firewall rejects: check the port (-p) "
			"and that sshd runs");
	} else if (error == ETIMEDOUT) {
		cause_set(why, CAUSE_CONNECT_TIMEOUT,
			  "connect to %s (%s) port %u: Connection timed out", want->host, tried,
			  want->port);
		cause_hint(why, "the host is down, or a firewall drops the packets silently: try "
				"another network, or ping it");
	} else {
		cause_set(why, CAUSE_UNREACHABLE, "connect to %s (%s) port %u: %s", want->host,
			  tried, want->port, strerror(error));
		cause_hint(why, "%s",
			   error == EHOSTUNREACH
				   ? "a router, or this machine, says that the host is not there: "
				     "check that it is up, and this machine's network and VPN"
				   : "check this machine's network, VPN and routes");
	}
	show_attempts(d, why);
}

void dial_explain_lookup(const struct dial *d, int error, struct cause *why)
{
	cause_set(why, CAUSE_RESOLVE, "Could not resolve hostname %s: %s", d->want.host,
		  gai_strerror(error));
	cause_hint(
		why, "%s",
		error == EAI_AGAIN
			? "the name server did not answer: check this machine's network and "
			  "/etc/resolv.conf"
			: "check the spelling and, for a name that is known inside only, the VPN; "
			  "or add a Host entry with HostName to ~/.ssh/config");
}

void dial_explain_deadline(const struct dial *d, struct cause *why)
{
	char tried[512];

	list_addresses(d, tried, sizeof(tried));
	if (d->looking_up) {
		cause_set(why, CAUSE_RESOLVE,
			  "Could not resolve hostname %s: no answer within ConnectTimeout of %u s",
			  d->want.host, d->want.timeout_s);
		cause_hint(why, "the name server does not answer: check this machine's network "
				"and /etc/resolv.conf");
	} else {
		cause_set(why, CAUSE_CONNECT_TIMEOUT,
			  "connect to %s (%s) port %u: Connection timed out: no answer within "
			  "ConnectTimeout of %u s",
			  d->want.host, tried, d->want.port, d->want.timeout_s);
		cause_hint(why, "the host is down, or a firewall drops the packets silently: try "
				"another network, or ping it");
		show_attempts(d, why);
	}
}

void dial_explain_source(const struct dial *d, const char *said, struct cause *why)
{
	cause_set(why, CAUSE_UNREACHABLE, "connect to %s port %u: %s %s: %s", d->want.host,
		  d->want.port, d->want.bind_interface != NULL ? "BindInterface" : "BindAddress",
		  d->want.bind_interface != NULL ? d->want.bind_interface : d->want.bind_address,
		  said);
	cause_hint(why, "check BindAddress (-b) and BindInterface (-B)");
}
