/* Who is at the other end of a local socket. */
#ifndef HAWSER_CLIENT_PEER_H
#define HAWSER_CLIENT_PEER_H

#include "protocol/base.h"

/* A process of our own user, or root's. */
bool peer_is_ours(int fd);

#endif
