/* doctor: addresses, what answers there, and which sizes of packets get through. One connection per
 * address, ended politely before any key is exchanged (RFC 4253 sections 4.2 and 7.1). */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/doctor_priv.h"
#include "protocol/alloc.h"

#define MSG_IGNORE  2
#define MSG_KEXINIT 20

#define PACKET_MAX   35000
#define KEX_LISTS    10
#define COOKIE_BYTES 16
/* Of all that stands before the server's first packet: what a server may say there is short. */
#define GREETING_MAX 8192

const char doctor_hello[] = "SSH-2.0-hawser_doctor\r\n";

/* Waits for events on fd; false: not within the time. */
static bool wait_for(int fd, short events, double deadline)
{
	struct pollfd p = {.fd = fd, .events = events};
	double left = deadline - doctor_now_ms();

	return left > 0 && poll(&p, 1, (int)left + 1) > 0;
}

static int dial(const struct sockaddr *address, socklen_t len, double deadline)
{
	int one = 1, error = 0;
	socklen_t size = sizeof(error);
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, address, len) == 0)
		return fd;
	if (errno == EINPROGRESS) {
		error = ETIMEDOUT;
		if (wait_for(fd, POLLOUT, deadline))
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
		if (error == 0)
			return fd;
		errno = error;
	}
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static bool send_all(int fd, const void *data, size_t len, double deadline)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n;

		if (doctor_now_ms() > deadline)
			return false; /* it takes a little at a time */
		n = send(fd, at, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (n < 0 && !wait_for(fd, POLLOUT, deadline))
			return false;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	return true;
}

static bool recv_all(int fd, void *data, size_t len, double deadline)
{
	char *at = data;

	while (len > 0) {
		ssize_t n;

		if (doctor_now_ms() > deadline)
			return false; /* one that never stops is no better than a silent one */
		n = recv(fd, at, len, 0);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return false;
		if (n < 0 && !wait_for(fd, POLLIN, deadline))
			return false;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	return true;
}

/* The identification line; other lines may stand before it. false: none came. line gets what did.
 */
static bool read_banner(int fd, char *line, size_t size, double deadline)
{
	size_t all = 0;

	line[0] = '\0';
	for (int lines = 0; lines < 50; lines++) {
		size_t len = 0;
		char c;

		do {
			if (++all > GREETING_MAX || !recv_all(fd, &c, 1, deadline))
				return false;
			if (len + 1 < size && c != '\n' && c != '\r')
				line[len++] = c >= ' ' && c < 127 ? c : '?';
			line[len] = '\0';
		} while (c != '\n');
		if (strncmp(line, "SSH-", 4) == 0)
			return true;
	}
	return false;
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* A packet as it is before keys are there. Returns the payload's length, its bytes at *payload (on
 * the heap); 0: none came, or it makes no sense. */
static size_t read_packet(int fd, uint8_t **payload, double deadline)
{
	uint8_t head[5];
	uint32_t len;

	*payload = NULL;
	if (!recv_all(fd, head, sizeof(head), deadline))
		return 0;
	len = get_u32(head);
	if (len < 2 || len > PACKET_MAX || head[4] > len - 1)
		return 0;
	*payload = xmalloc(len);
	if (!recv_all(fd, *payload, len - 1, deadline)) {
		free(*payload);
		*payload = NULL;
		return 0;
	}
	return len - 1 - head[4];
}

static bool send_packet(int fd, const uint8_t *payload, size_t len, double deadline)
{
	size_t pad = 8 - (len + 5) % 8;
	uint8_t *packet;
	bool sent;

	if (pad < 4)
		pad += 8;
	packet = xcalloc(1, len + 5 + pad);
	packet[0] = (uint8_t)((len + pad + 1) >> 24);
	packet[1] = (uint8_t)((len + pad + 1) >> 16);
	packet[2] = (uint8_t)((len + pad + 1) >> 8);
	packet[3] = (uint8_t)(len + pad + 1);
	packet[4] = (uint8_t)pad;
	memcpy(packet + 5, payload, len);
	sent = send_all(fd, packet, len + 5 + pad, deadline);
	free(packet);
	return sent;
}

/* The lists of KEXINIT that matter: kex, host keys, ciphers and MACs toward the server. */
static void take_offers(struct doctor *d, const uint8_t *p, size_t len)
{
	static const int wanted[KEX_LISTS] = {0, 1, 2, -1, 3, -1, -1, -1, -1, -1};
	size_t at = 1 + COOKIE_BYTES;

	for (int i = 0; i < KEX_LISTS; i++) {
		uint32_t n;

		if (at + 4 > len || (n = get_u32(p + at)) > len - at - 4)
			return;
		at += 4;
		if (wanted[i] >= 0 && d->offers[wanted[i]] == NULL)
			d->offers[wanted[i]] = xstrndup((const char *)p + at, n);
		at += n;
	}
}

bool doctor_talk(struct doctor *d, int fd, const char *where)
{
	double deadline = doctor_now_ms() + DOCTOR_STEP_MS, begun = doctor_now_ms();
	uint8_t *packet = NULL;
	size_t len;

	if (!send_all(fd, doctor_hello, strlen(doctor_hello), deadline) ||
	    !read_banner(fd, d->banner, sizeof(d->banner), deadline)) {
		if (d->banner[0] != '\0') {
			doctor_add(d, BAD, "address",
				   "%s: what answers is no SSH server: \"%.80s\"", where,
				   d->banner);
			doctor_cure(d, "check HostName and Port");
		} else {
			doctor_add(d, BAD, "address",
				   "%s: it takes the connection and says nothing, or closes it "
				   "(%.0f ms)",
				   where, doctor_now_ms() - begun);
			doctor_cure(d, "sshd turns this source away (MaxStartups, "
				       "PerSourcePenalties, TCP wrappers, fail2ban), or it is no "
				       "SSH server: look at its log");
		}
		return false;
	}
	if (!d->speaks) {
		len = read_packet(fd, &packet, deadline);
		if (len > 0 && packet[0] == MSG_KEXINIT)
			take_offers(d, packet, len);
		free(packet);
	}
	return true;
}

struct where {
	struct sockaddr_storage address;
	socklen_t len;
};

/* "eth0" or "2", as behind the % of a link-local address; 0: no such interface. */
static uint32_t scope_of(const char *text)
{
	uint32_t index = if_nametoindex(text);
	char *end;

	if (index != 0)
		return index;
	index = (uint32_t)strtoul(text, &end, 10);
	return *end == '\0' ? index : 0;
}

static bool parse_address(const char *text, unsigned port, struct where *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&out->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->address;
	size_t len = strcspn(text, "%");
	char plain[INET6_ADDRSTRLEN];

	*out = (struct where){0};
	snprintf(plain, sizeof(plain), "%.*s", (int)len, text);
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		out->len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, plain, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		v6->sin6_scope_id = text[len] == '%' ? scope_of(text + len + 1) : 0;
		out->len = text[len] == '%' && v6->sin6_scope_id == 0 ? 0 : sizeof(*v6);
	}
	return out->len > 0;
}

static void look_at(struct doctor *d, const char *name)
{
	double begun = doctor_now_ms(), took;
	struct where to;
	char where[96];
	int fd;

	if (!parse_address(name, (unsigned)strtoul(d->port, NULL, 10), &to)) {
		doctor_add(d, NOTE, "address", "%s: not dialled, this is no address here", name);
		return;
	}
	snprintf(where, sizeof(where), "%s port %s", name, d->port);
	fd = dial((struct sockaddr *)&to.address, to.len, begun + DOCTOR_STEP_MS);
	took = doctor_now_ms() - begun;
	if (fd < 0) {
		int error = errno;

		doctor_add(d, BAD, "address", "%s: %s (%.0f ms)", where, strerror(error), took);
		if (error == ECONNREFUSED)
			doctor_cure(d, "no sshd listens there: is it started, and is Port right?");
		else if (error == ETIMEDOUT)
			doctor_cure(d, "nothing answers: the host is down, or a firewall drops it");
		else
			doctor_cure(d, "check the network and its routes (ip route get %s)", name);
		return;
	}
	if (doctor_talk(d, fd, where)) {
		doctor_add(d, FINE, "address", "%s: connected in %.1f ms, %s", where, took,
			   d->banner);
		if (!d->speaks) {
			d->speaks = true;
			d->connect_ms = took;
			d->address = to.address;
			d->address_len = to.len;
			snprintf(d->address_text, sizeof(d->address_text), "%s", name);
		}
	}
	close(fd);
}

/* getent(1): libc's own look-up, which a program that is linked statically can't do by itself. A
 * line per address and socket type. */
void doctor_addresses(struct doctor *d)
{
	char *words[] = {(char *)(uintptr_t) "getent", (char *)(uintptr_t) "ahosts",
			 (char *)(uintptr_t)d->hostname, NULL};
	char *addresses[DOCTOR_ADDRESSES_MAX], *save = NULL;
	struct doctor_child c;
	size_t n = 0, all = 0;

	if (doctor_child(words, NULL, DOCTOR_STEP_MS * 2, &c) != 0 || c.out[0] == '\0') {
		doctor_add(d, BAD, "name", "%s: no address is found (%.0f ms)", d->hostname,
			   c.took_ms);
		doctor_cure(d, "check the spelling, or add a Host entry with HostName to "
			       "~/.ssh/config; if other names fail too, no name server answers");
		doctor_child_free(&c);
		return;
	}
	for (char *line = strtok_r(c.out, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		if (strstr(line, "STREAM") == NULL)
			continue;
		line[strcspn(line, " ")] = '\0';
		all++;
		if (n < DOCTOR_ADDRESSES_MAX)
			addresses[n++] = line;
	}
	doctor_add(d, FINE, "name", "%s has %zu address%s (%.0f ms)", d->hostname, all,
		   all == 1 ? "" : "es", c.took_ms);
	for (size_t i = 0; i < n; i++)
		look_at(d, addresses[i]);
	doctor_child_free(&c);
}

/* --- sizes --- */

/* Sends a message of that size which the server is to ignore (RFC 4253 section 11.2), and waits
 * until its TCP has acknowledged all of it. */
static bool arrives(int fd, size_t size, double deadline)
{
	uint8_t *message = xcalloc(1, size);
	int waiting = 1;
	bool sent;

	message[0] = MSG_IGNORE;
	message[3] = (uint8_t)((size - 5) >> 8);
	message[4] = (uint8_t)(size - 5);
	sent = send_packet(fd, message, size, deadline);
	free(message);
	while (sent && waiting > 0 && doctor_now_ms() < deadline) {
		struct pollfd nothing = {.fd = -1};

		if (ioctl(fd, SIOCOUTQ, &waiting) != 0)
			return false;
		if (waiting > 0)
			poll(&nothing, 1, 2); /* there is no event for it */
	}
	return sent && waiting == 0;
}

void doctor_sizes(struct doctor *d)
{
	static const size_t sizes[] = {64, 512, 1200, 1400, 1500, 4000, 9000, 32000};
	double deadline = doctor_now_ms() + DOCTOR_STEP_MS;
	size_t passed = 0;
	char line[256];
	int fd;

	if (!d->speaks)
		return;
	fd = dial((struct sockaddr *)&d->address, d->address_len, deadline);
	if (fd < 0 || !send_all(fd, doctor_hello, strlen(doctor_hello), deadline) ||
	    !read_banner(fd, line, sizeof(line), deadline)) {
		doctor_add(d, NOTE, "sizes", "not tested: a second connection was not served");
		if (fd >= 0)
			close(fd);
		return;
	}
	for (size_t i = 0; i < HW_ARRAY_LEN(sizes); i++) {
		if (!arrives(fd, sizes[i], doctor_now_ms() + 3000))
			break;
		passed = sizes[i];
	}
	close(fd);
	if (passed == 0) {
		doctor_add(
			d, NOTE, "sizes",
			"not tested: the server does not answer a message that it does not know");
	} else if (passed < sizes[HW_ARRAY_LEN(sizes) - 1]) {
		doctor_add(d, BAD, "sizes",
			   "packets of %zu bytes come through, larger ones do not: something on "
			   "the way drops them without a word (path MTU)",
			   passed);
		doctor_cure(d, "lower the MTU of this machine's interface (ip link set dev DEV mtu "
			       "1280), or clamp TCP_MAXSEG at the router or VPN");
	} else {
		doctor_add(d, FINE, "sizes", "packets up to %zu bytes come through", passed);
	}
}
