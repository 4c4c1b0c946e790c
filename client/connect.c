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

/* Where the daemon is, and where the sentence on a failure goes. */
struct way {
	struct sockaddr_un sun;
	char *why;
	size_t why_size;
};

static bool is_our_daemon(const struct way *w, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	unsigned long me = getauxval(AT_EUID);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) {
		snprintf(w->why, w->why_size, "cannot tell whose daemon this is: %s",
			 strerror(errno));
		return false;
	}
	if (peer.uid == me || peer.uid == 0)
		return true;
	snprintf(
		w->why, w->why_size,
		"the daemon at our socket belongs to another user (uid %lu); remove the socket, or "
		"set XDG_RUNTIME_DIR",
		(unsigned long)peer.uid);
	return false;
}

/* One attempt. HW_ENOENT: nobody listens. HW_EAGAIN: somebody does, but the backlog is full. */
static int attempt(const struct way *w, int *fd)
{
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (s < 0) {
		snprintf(w->why, w->why_size, "socket: %s", strerror(errno));
		return HW_ESYS;
	}
	if (connect(s, (const struct sockaddr *)&w->sun, sizeof(w->sun)) == 0) {
		if (!is_our_daemon(w, s)) {
			close(s);
			return HW_EPERM;
		}
		*fd = s;
		return HW_OK;
	}
	int error = errno;
	close(s);
	snprintf(w->why, w->why_size, "%s: %s", w->sun.sun_path, strerror(error));
	if (error == ENOENT || error == ECONNREFUSED)
		return HW_ENOENT;
	return error == EAGAIN || error == EINTR ? HW_EAGAIN : HW_ESYS;
}

/* Attempts until somebody accepts, nobody listens, or time is up. */
static int attempt_until(const struct way *w, int64_t deadline, int *fd)
{
	for (;;) {
		int r = attempt(w, fd);
		if (r != HW_EAGAIN)
			return r;
		if (clock_left(deadline) == 0) {
			snprintf(w->why, w->why_size,
				 "hawserd does not accept connections at %s; it may be stuck: end "
				 "it and try again",
				 w->sun.sun_path);
			return HW_ETIMEOUT;
		}
		clock_pause(RETRY_MS);
	}
}

/* The start lock, or a connection that somebody else's start has made possible: *fd >= 0. */
static int wait_for_turn(const struct way *w, int lock, int64_t deadline, int *fd)
{
	for (;;) {
		int r = attempt(w, fd);
		if (r != HW_ENOENT && r != HW_EAGAIN)
			return r;
		if (r == HW_ENOENT && flock(lock, LOCK_EX | LOCK_NB) == 0)
			break;
		if (clock_left(deadline) == 0) {
			snprintf(w->why, w->why_size,
				 "somebody else has been starting hawserd for %d s",
				 CONNECT_START_MS / 1000);
			return HW_ETIMEOUT;
		}
		clock_pause(RETRY_MS);
	}
	/* The turn is ours, and who had it before may have been successful. */
	int r = attempt(w, fd);
	return r == HW_ENOENT ? HW_OK : r;
}

static int start_and_connect(const struct way *w, int *fd)
{
	char path[sizeof(w->sun.sun_path) + sizeof(START_LOCK_SUFFIX)];
	int64_t deadline = clock_ms() + CONNECT_START_MS;

	int r = paths_prepare_dir(w->sun.sun_path, w->why, w->why_size);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s" START_LOCK_SUFFIX, w->sun.sun_path);
	int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock < 0) {
		snprintf(w->why, w->why_size, "%s: %s", path, strerror(errno));
		return HW_ESYS;
	}
	*fd = -1;
	r = wait_for_turn(w, lock, deadline, fd);
	if (r == HW_OK && *fd < 0) {
		char said[512];
		int started = spawn_daemon(deadline, said, sizeof(said));
		/* Also after a failure: systemd or another starter may have been first. */
		r = attempt_until(w, clock_ms() + CONNECT_ACCEPT_MS, fd);
		if (r == HW_ENOENT && started < 0) {
			snprintf(w->why, w->why_size, "%s", said);
			r = started;
		}
	}
	/* Gives the turn to the next. With the file gone two could have it at once, but only one of
	 * their daemons gets the daemon's own lock. */
	unlink(path);
	close(lock);
	return r;
}

int connect_daemon(bool start, int *fd, char *why, size_t why_size)
{
	struct way w = {.sun = {.sun_family = AF_UNIX}, .why = why, .why_size = why_size};

	int r = paths_socket(w.sun.sun_path, sizeof(w.sun.sun_path), why, why_size);
	if (r < 0)
		return r;
	r = attempt(&w, fd);
	if (r == HW_EAGAIN)
		r = attempt_until(&w, clock_ms() + CONNECT_ACCEPT_MS, fd);
	if (r == HW_ENOENT && start)
		r = start_and_connect(&w, fd);
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
