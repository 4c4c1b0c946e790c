#include "client/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "client/clock.h"
#include "client/spawn.h"
#include "protocol/paths.h"

/* Between two attempts that nothing announces: a lock, a full backlog. */
#define RETRY_MS 5
/* The file that starters queue on; the daemon's own lock is another one, held for its life. */
#define START_LOCK_SUFFIX ".start"

static bool peer_is_ours(int fd, char *why, size_t why_size)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	unsigned long me = getauxval(AT_EUID);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) {
		snprintf(why, why_size, "cannot tell whose daemon this is: %s", strerror(errno));
		return false;
	}
	if (peer.uid == me || peer.uid == 0)
		return true;
	snprintf(
		why, why_size,
		"the daemon at our socket belongs to another user (uid %lu); remove the socket, or "
		"set XDG_RUNTIME_DIR",
		(unsigned long)peer.uid);
	return false;
}

/* One attempt. HW_ENOENT: nobody listens. HW_EAGAIN: somebody does, but the backlog is full. */
static int attempt(const struct sockaddr_un *sun, int *fd, char *why, size_t why_size)
{
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (s < 0) {
		snprintf(why, why_size, "socket: %s", strerror(errno));
		return HW_ESYS;
	}
	if (connect(s, (const struct sockaddr *)sun, sizeof(*sun)) == 0) {
		if (!peer_is_ours(s, why, why_size)) {
			close(s);
			return HW_EPERM;
		}
		*fd = s;
		return HW_OK;
	}
	int error = errno;
	close(s);
	snprintf(why, why_size, "%s: %s", sun->sun_path, strerror(error));
	if (error == ENOENT || error == ECONNREFUSED)
		return HW_ENOENT;
	return error == EAGAIN || error == EINTR ? HW_EAGAIN : HW_ESYS;
}

/* Attempts until somebody accepts, nobody listens, or time is up. */
static int attempt_until(const struct sockaddr_un *sun, int64_t deadline, int *fd, char *why,
			 size_t why_size)
{
	for (;;) {
		int r = attempt(sun, fd, why, why_size);
		if (r != HW_EAGAIN)
			return r;
		if (clock_left(deadline) == 0) {
			snprintf(why, why_size,
				 "hawserd does not accept connections at %s; it may be stuck: end "
				 "it and try again",
				 sun->sun_path);
			return HW_ETIMEOUT;
		}
		clock_pause(RETRY_MS);
	}
}

/* The start lock, or a connection that somebody else's start has made possible: *fd >= 0. */
static int wait_for_turn(const struct sockaddr_un *sun, int lock, int64_t deadline, int *fd,
			 char *why, size_t why_size)
{
	for (;;) {
		int r = attempt(sun, fd, why, why_size);
		if (r != HW_ENOENT && r != HW_EAGAIN)
			return r;
		if (r == HW_ENOENT && flock(lock, LOCK_EX | LOCK_NB) == 0)
			break;
		if (clock_left(deadline) == 0) {
			snprintf(why, why_size, "somebody else has been starting hawserd for %d s",
				 CONNECT_START_MS / 1000);
			return HW_ETIMEOUT;
		}
		clock_pause(RETRY_MS);
	}
	/* The turn is ours, and who had it before may have been successful. */
	int r = attempt(sun, fd, why, why_size);
	return r == HW_ENOENT ? HW_OK : r;
}

static int start_and_connect(const struct sockaddr_un *sun, int *fd, char *why, size_t why_size)
{
	char path[sizeof(sun->sun_path) + sizeof(START_LOCK_SUFFIX)];
	int64_t deadline = clock_ms() + CONNECT_START_MS;

	int r = paths_prepare_dir(sun->sun_path, why, why_size);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s" START_LOCK_SUFFIX, sun->sun_path);
	int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock < 0) {
		snprintf(why, why_size, "%s: %s", path, strerror(errno));
		return HW_ESYS;
	}
	*fd = -1;
	r = wait_for_turn(sun, lock, deadline, fd, why, why_size);
	if (r == HW_OK && *fd < 0) {
		char said[512];
		int started = spawn_daemon(deadline, said, sizeof(said));
		/* Also after a failure: systemd or another starter may have been first. */
		r = attempt_until(sun, clock_ms() + CONNECT_ACCEPT_MS, fd, why, why_size);
		if (r == HW_ENOENT && started < 0) {
			snprintf(why, why_size, "%s", said);
			r = started;
		}
	}
	close(lock); /* gives the turn to the next; the file stays, or two could have it at once */
	return r;
}

int connect_daemon(bool start, int *fd, char *why, size_t why_size)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	int r = paths_socket(sun.sun_path, sizeof(sun.sun_path), why, why_size);
	if (r < 0)
		return r;
	r = attempt(&sun, fd, why, why_size);
	if (r == HW_EAGAIN)
		r = attempt_until(&sun, clock_ms() + CONNECT_ACCEPT_MS, fd, why, why_size);
	if (r == HW_ENOENT && start)
		r = start_and_connect(&sun, fd, why, why_size);
	return r;
}

long connect_peer_pid(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return 0;
	return (long)peer.pid;
}
