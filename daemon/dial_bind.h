/* The local address that a connection is made from: BindAddress and BindInterface of ssh_config(5).
 */
#ifndef HAWSER_DAEMON_DIAL_BIND_H
#define HAWSER_DAEMON_DIAL_BIND_H

#include <netdb.h>
#include <sys/socket.h>
#include "protocol/base.h"

/* One address of each family that there is. */
struct dial_source {
	struct sockaddr_storage addr[2];
	socklen_t len[2];
	size_t count;
};

/* Takes the first address of each family from what getaddrinfo(3) gave. */
void dial_source_take(struct dial_source *s, const struct addrinfo *list);
/* A numeric address; no look-up. False: it is a name. */
bool dial_source_numeric(struct dial_source *s, const char *address);
/* The addresses of an interface, as ssh chooses: one of the machine alone (loopback, link-local)
 * only when there is no other. False: it has none, or is not there. */
bool dial_source_interface(struct dial_source *s, const char *name);
/* bind(2) of a socket of that family. 0, or an error number. */
int dial_source_bind(const struct dial_source *s, int fd, int family);

#endif
