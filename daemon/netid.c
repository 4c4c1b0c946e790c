#include "daemon/netid.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX 16384

static void slurp(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	while (fd >= 0 && len < size - 1 && (n = read(fd, out + len, size - 1 - len)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	if (fd >= 0)
		close(fd);
}

/* proc(5): interface, destination, gateway, flags, refcnt, use, metric, mask; in hexadecimal. The
 * default route with the smallest metric. */
static bool find_route(const char *route, char *interface, size_t size, struct in_addr *gateway)
{
	unsigned best = 0;
	bool found = false;

	for (const char *line = strchr(route, '\n'); line != NULL; line = strchr(line, '\n')) {
		char name[32];
		unsigned to, via, flags, metric, mask;

		line++;
		if (sscanf(line, "%31s %x %x %x %*u %*u %u %x", name, &to, &via, &flags, &metric,
			   &mask) != 6 ||
		    to != 0 || mask != 0 || (found && metric >= best))
			continue;
		found = true;
		best = metric;
		gateway->s_addr = via; /* in the host's order of bytes as it stands in memory */
		snprintf(interface, size, "%s", name);
	}
	return found;
}

/* proc(5): address, type, flags, hardware address, mask, device. */
static void find_hardware(const char *arp, const char *address, char *out, size_t size)
{
	out[0] = '\0';
	for (const char *line = strchr(arp, '\n'); line != NULL; line = strchr(line, '\n')) {
		char ip[64], hardware[32];

		line++;
		if (sscanf(line, "%63s %*s %*s %31s", ip, hardware) == 2 &&
		    strcmp(ip, address) == 0 && strcmp(hardware, "00:00:00:00:00:00") != 0)
			snprintf(out, size, " %s", hardware);
	}
}

void netid_parse(const char *route, const char *arp, char *out, size_t size)
{
	char interface[32], address[INET_ADDRSTRLEN], hardware[40];
	struct in_addr gateway;

	if (!find_route(route, interface, sizeof(interface), &gateway)) {
		snprintf(out, size, "none");
		return;
	}
	if (gateway.s_addr == 0) {
		snprintf(out, size, "%s", interface);
		return;
	}
	inet_ntop(AF_INET, &gateway, address, sizeof(address));
	find_hardware(arp, address, hardware, sizeof(hardware));
	snprintf(out, size, "%s%s", address, hardware);
}

void netid_now(char *out, size_t size)
{
	char route[FILE_MAX], arp[FILE_MAX];

	slurp("/proc/net/route", route, sizeof(route));
	slurp("/proc/net/arp", arp, sizeof(arp));
	netid_parse(route, arp, out, size);
}
