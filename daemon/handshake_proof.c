#include "daemon/handshake_proof.h"

#include <string.h>
#include <sys/socket.h>

#include "protocol/alloc.h"

/* Words before the banner, the banner, two or three packets. */
#define SEEN_MAX   (32u * 1024u)
#define PACKET_MAX (35000u - 4u) /* RFC 4253, section 6.1 */

enum { MSG_NEWKEYS = 21, MSG_KEX_REPLY = 31, MSG_GEX_REPLY = 33 };

void handshake_proof_init(struct handshake_proof *p, ssh_session session)
{
	memset(p, 0, sizeof(*p));
	ssh_set_counters(session, &p->counter, NULL);
}

void handshake_proof_peek(struct handshake_proof *p, int fd)
{
	uint8_t bytes[8192];
	size_t at = (size_t)p->counter.in_bytes, known;
	ssize_t n;

	if (p->lost || p->seen.len >= SEEN_MAX)
		return;
	/* More can have come between the last look and libssh's. */
	if (at > p->seen.len) {
		p->lost = true;
		return;
	}
	n = recv(fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
	known = p->seen.len - at;
	if (n > 0 && (size_t)n > known)
		sshwire_put_bytes(&p->seen, bytes + known, (size_t)n - known);
}

/* A key exchange's reply has three strings; a group, which has the same number, two. */
static bool parse_reply(struct sshwire_in in, struct agent_binding *b)
{
	struct sshwire_in key, share, signature;

	if (!sshwire_string(&in, &key) || !sshwire_string(&in, &share) ||
	    !sshwire_string(&in, &signature) || in.len != 0 || key.len == 0 || signature.len == 0)
		return false;
	b->host_key = (struct keyblob){.data = xmemdup(key.data, key.len), .len = key.len};
	b->signature = (struct keyblob){.data = xmemdup(signature.data, signature.len),
					.len = signature.len};
	return true;
}

/* The lines up to the server's banner. */
static bool skip_banner(struct sshwire_in *in)
{
	bool banner = false;

	while (!banner) {
		const uint8_t *end = in->len > 0 ? memchr(in->data, '\n', in->len) : NULL;
		size_t len = end != NULL ? (size_t)(end - in->data) + 1 : 0;

		if (end == NULL)
			return false;
		banner = len > 4 && memcmp(in->data, "SSH-", 4) == 0;
		in->data += len;
		in->len -= len;
	}
	return true;
}

/* Packets, which are plain until NEWKEYS. */
bool handshake_proof_parse(const uint8_t *data, size_t len, struct agent_binding *b)
{
	struct sshwire_in in = {.data = data, .len = len}, packet;
	uint8_t padding, type;

	if (!skip_banner(&in))
		return false;
	while (sshwire_string(&in, &packet) && packet.len <= PACKET_MAX) {
		if (!sshwire_u8(&packet, &padding) || padding >= packet.len)
			return false;
		packet.len -= padding;
		if (!sshwire_u8(&packet, &type) || type == MSG_NEWKEYS)
			return false;
		if ((type == MSG_KEX_REPLY || type == MSG_GEX_REPLY) && parse_reply(packet, b))
			return true;
	}
	return false;
}

void handshake_proof_finish(struct handshake_proof *p, ssh_session session, struct agent_binding *b)
{
	ssh_set_counters(session, NULL, NULL);
	if (!p->lost && (size_t)p->counter.in_bytes <= p->seen.len)
		(void)handshake_proof_parse(p->seen.data, p->seen.len, b);
	sshwire_out_finish(&p->seen);
}
