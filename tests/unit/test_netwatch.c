/* What is understood of rtnetlink(7)'s messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "daemon/netwatch.h"

struct message {
	struct nlmsghdr h;
	char body[128];
};

static void put(struct message *m, const void *data, size_t len)
{
	memcpy((char *)m + m->h.nlmsg_len, data, len);
	m->h.nlmsg_len = (uint32_t)NLMSG_ALIGN(m->h.nlmsg_len + len);
}

static struct message address(uint16_t type, int attribute, const char *text)
{
	struct message m = {.h = {.nlmsg_len = NLMSG_HDRLEN, .nlmsg_type = type}};
	struct ifaddrmsg a = {.ifa_family = AF_INET, .ifa_prefixlen = 24};
	struct rtattr r = {.rta_len = RTA_LENGTH(4), .rta_type = (unsigned short)attribute};
	struct in_addr in;

	inet_pton(AF_INET, text, &in);
	put(&m, &a, sizeof(a));
	put(&m, &r, sizeof(r));
	put(&m, &in, sizeof(in));
	return m;
}

static struct message route(uint16_t type, unsigned char bits, unsigned char table)
{
	struct message m = {.h = {.nlmsg_len = NLMSG_HDRLEN, .nlmsg_type = type}};
	struct rtmsg r = {.rtm_family = AF_INET,
			  .rtm_dst_len = bits,
			  .rtm_table = table,
			  .rtm_type = RTN_UNICAST};

	put(&m, &r, sizeof(r));
	return m;
}

static void test_addresses(void **state)
{
	struct message m = address(RTM_DELADDR, IFA_LOCAL, "10.1.2.3");
	struct netwatch_fact out;

	(void)state;
	assert_int_equal(netwatch_parse(&m.h, m.h.nlmsg_len, &out), NETWATCH_ADDRESS_GONE);
	assert_int_equal(out.address.ss_family, AF_INET);
	assert_int_equal(((struct sockaddr_in *)&out.address)->sin_addr.s_addr,
			 inet_addr("10.1.2.3"));
	m = address(RTM_NEWADDR, IFA_ADDRESS, "10.1.2.4");
	assert_int_equal(netwatch_parse(&m.h, m.h.nlmsg_len, &out), NETWATCH_ADDRESS_NEW);
	assert_int_equal(((struct sockaddr_in *)&out.address)->sin_addr.s_addr,
			 inet_addr("10.1.2.4"));
	((struct ifaddrmsg *)(void *)m.body)->ifa_scope = RT_SCOPE_LINK;
	assert_int_equal(netwatch_parse(&m.h, m.h.nlmsg_len, &out), NETWATCH_NONE);
	((struct ifaddrmsg *)(void *)m.body)->ifa_scope = RT_SCOPE_UNIVERSE;
	((struct ifaddrmsg *)(void *)m.body)->ifa_flags = IFA_F_TENTATIVE;
	assert_int_equal(netwatch_parse(&m.h, m.h.nlmsg_len, &out), NETWATCH_NONE);
	m = address(RTM_NEWADDR, IFA_LABEL, "10.1.2.4");
	netwatch_parse(&m.h, m.h.nlmsg_len, &out);
	assert_int_equal(out.address.ss_family, AF_UNSPEC);
}

static void test_routes(void **state)
{
	struct message m = route(RTM_NEWROUTE, 0, RT_TABLE_MAIN);
	struct netwatch_fact out;

	(void)state;
	assert_int_equal(netwatch_parse(&m.h, m.h.nlmsg_len, &out), NETWATCH_ROUTE);
	assert_true(out.route);
	put(&m, &(struct rtattr){.rta_len = RTA_LENGTH(4), .rta_type = RTA_OIF},
	    sizeof(struct rtattr));
	put(&m, &(uint32_t){7}, 4);
	put(&m, &(struct rtattr){.rta_len = RTA_LENGTH(4), .rta_type = RTA_GATEWAY},
	    sizeof(struct rtattr));
	put(&m, &(uint32_t){inet_addr("10.1.2.1")}, 4);
	netwatch_parse(&m.h, m.h.nlmsg_len, &out);
	assert_int_equal(out.interface, 7);
	assert_int_equal(((struct sockaddr_in *)&out.address)->sin_addr.s_addr,
			 inet_addr("10.1.2.1"));
	m = route(RTM_DELROUTE, 0, RT_TABLE_MAIN);
	assert_int_equal(netwatch_parse(&m.h, m.h.nlmsg_len, &out), NETWATCH_ROUTE);
	/* No default route, and the kernel's own table: every container makes such. */
	m = route(RTM_NEWROUTE, 24, RT_TABLE_MAIN);
	assert_int_equal(netwatch_parse(&m.h, m.h.nlmsg_len, &out), NETWATCH_NONE);
	m = route(RTM_NEWROUTE, 0, RT_TABLE_LOCAL);
	assert_int_equal(netwatch_parse(&m.h, m.h.nlmsg_len, &out), NETWATCH_NONE);
}

static void test_links(void **state)
{
	struct message m = {.h = {.nlmsg_len = NLMSG_HDRLEN, .nlmsg_type = RTM_NEWLINK}};
	struct ifinfomsg i = {.ifi_index = 3, .ifi_flags = IFF_UP};
	struct netwatch_fact out;

	(void)state;
	put(&m, &i, sizeof(i));
	assert_int_equal(netwatch_parse(&m.h, m.h.nlmsg_len, &out), NETWATCH_LINK);
	assert_int_equal(out.interface, 3);
	assert_true(out.up && !out.running);
	((struct ifinfomsg *)(void *)m.body)->ifi_flags |= IFF_RUNNING;
	netwatch_parse(&m.h, m.h.nlmsg_len, &out);
	assert_true(out.up && out.running);
	m.h.nlmsg_type = RTM_DELLINK;
	netwatch_parse(&m.h, m.h.nlmsg_len, &out);
	assert_true(!out.up && !out.running);
	assert_int_equal(netwatch_parse(&m.h, NLMSG_HDRLEN + 4, &out), NETWATCH_NONE);
}

static void test_cut_short(void **state)
{
	struct message m = address(RTM_DELADDR, IFA_LOCAL, "10.1.2.3");
	struct netwatch_fact out;

	(void)state;
	for (size_t len = sizeof(m.h); len < m.h.nlmsg_len; len++) {
		netwatch_parse(&m.h, len, &out);
		assert_int_equal(out.address.ss_family, AF_UNSPEC);
	}
	((struct rtattr *)(void *)(m.body + sizeof(struct ifaddrmsg)))->rta_len = 60000;
	netwatch_parse(&m.h, m.h.nlmsg_len, &out);
	assert_int_equal(out.address.ss_family, AF_UNSPEC);
	m = route(RTM_NEWROUTE, 0, RT_TABLE_MAIN);
	assert_int_equal(netwatch_parse(&m.h, m.h.nlmsg_len - 1, &out), NETWATCH_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_cut_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
