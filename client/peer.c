#include "client/peer.h"

#include <sys/auxv.h>
#include <sys/socket.h>

bool peer_is_ours(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == getauxval(AT_EUID) || peer.uid == 0);
}
