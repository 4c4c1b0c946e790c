/* What a message of rtnetlink(7) says. */
#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/netwatch.h"

static void take_address(int family, const void *data, size_t len, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	if (family == AF_INET && len == sizeof(v4->sin_addr)) {
		v4->sin_family = AF_INET;
		memcpy(&v4->sin_addr, data, len);
	} else if (family == AF_INET6 && len == sizeof(v6->sin6_addr)) {
		v6->sin6_family = AF_INET6;
		memcpy(&v6->sin6_addr, data, len);
	}
}

/* Calls each for the attributes that follow a body of so many bytes. */
static void each_attribute(const struct nlmsghdr *h, size_t len, size_t body,
			   void (*each)(struct netwatch_fact *, unsigned type, const void *data,
					size_t size),
			   struct netwatch_fact *out)
{
	const char *at = (const char *)h + NLMSG_LENGTH(body), *end = (const char *)h + len;

	while (end - at >= (ptrdiff_t)sizeof(struct rtattr)) {
		struct rtattr a;

		memcpy(&a, at, sizeof(a));
		if (a.rta_len < sizeof(a) || a.rta_len > end - at)
			break;
		each(out, a.rta_type, at + RTA_LENGTH(0), a.rta_len - RTA_LENGTH(0));
		if (RTA_ALIGN(a.rta_len) > (size_t)(end - at))
			break;
		at += RTA_ALIGN(a.rta_len);
	}
}

/* IFA_LOCAL is ours; IFA_ADDRESS is the peer's on a point-to-point link. */
static void address_attribute(struct netwatch_fact *out, unsigned type, const void *data,
			      size_t size)
{
	if (type == IFA_LOCAL || (type == IFA_ADDRESS && out->address.ss_family == AF_UNSPEC))
		take_address(out->family, data, size, &out->address);
}

static enum netwatch_kind parse_address(const struct nlmsghdr *h, size_t len,
					struct netwatch_fact *out)
{
	struct ifaddrmsg m;

	if (len < NLMSG_LENGTH(sizeof(m)))
		return NETWATCH_NONE;
	memcpy(&m, (const char *)h + NLMSG_HDRLEN, sizeof(m));
	out->family = m.ifa_family;
	out->nearby = m.ifa_scope >= RT_SCOPE_LINK;
	each_attribute(h, len, sizeof(m), address_attribute, out);
	if (h->nlmsg_type == RTM_DELADDR)
		return NETWATCH_ADDRESS_GONE;
	if (out->nearby || (m.ifa_flags & IFA_F_TENTATIVE) != 0)
		return NETWATCH_NONE;
	return NETWATCH_ADDRESS_NEW;
}

static void route_attribute(struct netwatch_fact *out, unsigned type, const void *data, size_t size)
{
	if (type == RTA_GATEWAY)
		take_address(out->family, data, size, &out->address);
	else if (type == RTA_OIF && size == sizeof(out->interface))
		memcpy(&out->interface, data, size);
	else if (type == RTA_PRIORITY && size == sizeof(out->metric))
		memcpy(&out->metric, data, size);
}

static enum netwatch_kind parse_route(const struct nlmsghdr *h, size_t len,
				      struct netwatch_fact *out)
{
	struct rtmsg m;

	if (len < NLMSG_LENGTH(sizeof(m)))
		return NETWATCH_NONE;
	memcpy(&m, (const char *)h + NLMSG_HDRLEN, sizeof(m));
	if (m.rtm_dst_len != 0 || m.rtm_table != RT_TABLE_MAIN || m.rtm_type != RTN_UNICAST)
		return NETWATCH_NONE;
	out->route = true;
	out->family = m.rtm_family;
	each_attribute(h, len, sizeof(m), route_attribute, out);
	return NETWATCH_ROUTE;
}

static enum netwatch_kind parse_link(const struct nlmsghdr *h, size_t len,
				     struct netwatch_fact *out)
{
	struct ifinfomsg m;

	if (len < NLMSG_LENGTH(sizeof(m)))
		return NETWATCH_NONE;
	memcpy(&m, (const char *)h + NLMSG_HDRLEN, sizeof(m));
	out->interface = (uint32_t)m.ifi_index;
	out->up = h->nlmsg_type == RTM_NEWLINK && (m.ifi_flags & IFF_UP) != 0;
	out->running = out->up && (m.ifi_flags & IFF_RUNNING) != 0;
	return NETWATCH_LINK;
}

enum netwatch_kind netwatch_parse(const struct nlmsghdr *h, size_t len, struct netwatch_fact *out)
{
	memset(out, 0, sizeof(*out));
	switch (h->nlmsg_type) {
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return parse_address(h, len, out);
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		return parse_route(h, len, out);
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return parse_link(h, len, out);
	default:
		return NETWATCH_NONE;
	}
}
