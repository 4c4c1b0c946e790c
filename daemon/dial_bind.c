#include "daemon/dial_bind.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

static void add(struct dial_source *s, const struct sockaddr *addr, socklen_t len)
{
	for (size_t i = 0; i < s->count; i++) {
		if (s->addr[i].ss_family == addr->sa_family)
			return;
	}
	if (s->count == HW_ARRAY_LEN(s->addr) || len > sizeof(s->addr[0]))
		return;
	memcpy(&s->addr[s->count], addr, len);
	s->len[s->count++] = len;
}

void dial_source_take(struct dial_source *s, const struct addrinfo *list)
{
	for (; list != NULL; list = list->ai_next)
		add(s, list->ai_addr, list->ai_addrlen);
}

bool dial_source_numeric(struct dial_source *s, const char *address)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC,
				 .ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_NUMERICHOST | AI_PASSIVE};
	struct addrinfo *found;

	if (getaddrinfo(address, NULL, &hints, &found) != 0)
		return false;
	dial_source_take(s, found);
	freeaddrinfo(found);
	return true;
}

static bool is_local(const struct sockaddr *addr)
{
	const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr;

	if (addr->sa_family == AF_INET)
		return ((const struct sockaddr_in *)(const void *)addr)->sin_addr.s_addr ==
		       htonl(INADDR_LOOPBACK);
	return IN6_IS_ADDR_LINKLOCAL(v6) || IN6_IS_ADDR_LOOPBACK(v6);
}

bool dial_source_interface(struct dial_source *s, const char *name)
{
	struct ifaddrs *all;

	if (getifaddrs(&all) != 0)
		return false;
	for (int local = 0; local < 2; local++) {
		for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
			if (i->ifa_addr == NULL || strcmp(i->ifa_name, name) != 0 ||
			    !(i->ifa_flags & IFF_UP))
				continue;
			if (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6)
				continue;
			if (is_local(i->ifa_addr) == (local != 0))
				add(s, i->ifa_addr,
				    i->ifa_addr->sa_family == AF_INET
					    ? sizeof(struct sockaddr_in)
					    : sizeof(struct sockaddr_in6));
		}
	}
	freeifaddrs(all);
	return s->count > 0;
}

int dial_source_bind(const struct dial_source *s, int fd, int family)
{
	for (size_t i = 0; i < s->count; i++) {
		if (s->addr[i].ss_family != family)
			continue;
		return bind(fd, (const struct sockaddr *)&s->addr[i], s->len[i]) == 0 ? 0 : errno;
	}
	return EADDRNOTAVAIL;
}
