/* Keepalives of a transport (ssh_config(5), ServerAliveInterval) and the round trips they measure.
 */
#include "daemon/transport_priv.h"

#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "protocol/log.h"

/* Unacknowledged bytes end a connection no sooner than this, however impatient its keepalives are:
 * a radio link may be away for so long. */
#define PATIENCE_LEAST_MS 30000
/* What Linux waits without TCP_USER_TIMEOUT (tcp_retries2). Said all the same, since it counts
 * retries, and those are less far apart here (dial.c). */
#define PATIENCE_KERNEL_MS 924600

bool transport_local_address(const struct transport *t, struct sockaddr_storage *out)
{
	socklen_t len = sizeof(*out);

	*out = (struct sockaddr_storage){.ss_family = AF_UNSPEC};
	return t->fd >= 0 && getsockname(t->fd, (struct sockaddr *)out, &len) == 0;
}

void transport_set_patience(struct transport *t, uint64_t ms)
{
	int limit = ms < INT_MAX ? (int)ms : INT_MAX;

	if (ms == 0)
		limit = PATIENCE_KERNEL_MS;
	else if (limit < PATIENCE_LEAST_MS)
		limit = PATIENCE_LEAST_MS;
	if (t->tcp && setsockopt(t->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof(limit)) != 0)
		log_debug("%s: TCP_USER_TIMEOUT: %m", t->dest->label);
}

void transport_note_answers(struct transport *t)
{
	if (!t->keepalive_pending || t->packets.in_packets == t->last_in_packets)
		return;
	t->keepalive_pending = false;
	t->missed = 0;
	t->last_in_packets = t->packets.in_packets;
	transport_rtt_sample(t, (double)(uv_hrtime() - t->keepalive_ns) / 1e6);
}

/* libssh answers every second call without sending: the first sends, the next only takes note of
 * the reply. The packet counter tells which it was. */
static void send_keepalive(struct transport *t)
{
	uint64_t before = t->packets.out_packets;

	/* Noted before sending: libssh polls once after it sent, and may read the answer right
	 * there. Noted afterwards, that answer would be missed, and a live path be called dead. */
	t->last_in_packets = t->packets.in_packets;
	for (int i = 0; i < 2 && t->packets.out_packets == before; i++)
		ssh_send_keepalive(t->session);
	if (t->packets.out_packets != before)
		t->keepalive_ns = uv_hrtime();
	/* Else libssh still waits for the answer to an earlier one, since when other things came (a
	 * keepalive of the server's): that answer is owed. */
	t->keepalive_pending = true;
	transport_touch(t);
}

void transport_probe(struct transport *t)
{
	if (!t->keepalive_pending && !transport_global_busy(t))
		send_keepalive(t);
	transport_touch(t);
}

void transport_keepalive(struct transport *t, unsigned max_missed)
{
	struct cause why;

	if (t->state != TRANSPORT_READY)
		return;
	transport_note_answers(t);
	if (t->keepalive_pending) {
		if (++t->missed < max_missed)
			return;
		cause_set(&why, CAUSE_KEEPALIVE, "%s", ""); /* the text is diagnose()'s */
		transport_fail(t, &why);
		return;
	}
	if (t->packets.in_packets != t->last_in_packets)
		t->last_in_packets = t->packets.in_packets;
	else if (!transport_global_busy(t))
		send_keepalive(t);
	else if (transport_global_sent(t))
		/* They share libssh's one place for such requests. The answer to this one is owed,
		 * and nothing else came either: as good as a keepalive that is not answered. */
		t->keepalive_pending = true;
}
