/* Which network this machine is on, as far as its default route tells. */
#ifndef HAWSER_DAEMON_NETID_H
#define HAWSER_DAEMON_NETID_H

#include "protocol/base.h"

#define NETID_MAX 128

/* "10.0.0.1 aa:bb:cc:dd:ee:ff" (the gateway, and its hardware address where it is known), "wg0" (a
 * route without a gateway), or "none". From /proc/net, which never blocks. */
void netid_now(char *out, size_t size);
/* The same from the text of /proc/net/route and /proc/net/arp, for the test. */
void netid_parse(const char *route, const char *arp, char *out, size_t size);

#endif
