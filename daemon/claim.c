#include "daemon/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "protocol/log.h"
#include "protocol/paths.h"

#define CLAIM_RETRY_MS	  20
#define CLAIM_BACKLOG	  4096 /* cut to net.core.somaxconn by the kernel */
#define CLAIM_PARK_SUFFIX ".idle"

enum claim_probe { PROBE_LIVE, PROBE_STALE, PROBE_NONE, PROBE_ERROR };

static bool claim_address(const char *path, struct sockaddr_un *address, char *why, size_t why_size)
{
	size_t len = strlen(path);

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (len > HW_SOCKET_PATH_MAX) {
		snprintf(why, why_size,
			 "the socket's path is %zu bytes long and a Unix socket's may have %d: %s",
			 len, HW_SOCKET_PATH_MAX, path);
		return false;
	}
	memcpy(address->sun_path, path, len);
	return true;
}

/* Whether somebody serves the path. PROBE_ERROR: why says what is in the way. */
static enum claim_probe claim_probe(const struct sockaddr_un *address, char *why, size_t why_size)
{
	struct stat st;
	enum claim_probe result = PROBE_LIVE;
	int fd, error = 0;

	if (lstat(address->sun_path, &st) < 0) {
		if (errno == ENOENT)
			return PROBE_NONE;
		snprintf(why, why_size, "%s: %s", address->sun_path, strerror(errno));
		return PROBE_ERROR;
	}
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(why, why_size, "%s is in the way and is not a socket: move it away",
			 address->sun_path);
		return PROBE_ERROR;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		error = errno;
	if (fd >= 0)
		close(fd);
	if (error == ECONNREFUSED) {
		result = PROBE_STALE;
	} else if (error == ENOENT) {
		result = PROBE_NONE;
	} else if (error != 0 && error != EAGAIN) { /* EAGAIN: alive, with a full backlog */
		snprintf(why, why_size, "connecting to %s: %s", address->sun_path, strerror(error));
		result = PROBE_ERROR;
	}
	return result;
}

/* The lock's descriptor; -1 with errno EWOULDBLOCK when another daemon holds it. */
static int claim_lock(const char *lock_path)
{
	for (;;) {
		struct stat held, there;
		int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
			      0600);

		if (fd < 0)
			return -1;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			int saved = errno;

			close(fd);
			errno = saved;
			return -1;
		}
		/* Somebody may have removed the file between open and flock: a lock on a file
		 * without a name excludes nobody. */
		if (fstat(fd, &held) == 0 && stat(lock_path, &there) == 0 &&
		    held.st_dev == there.st_dev && held.st_ino == there.st_ino)
			return fd;
		close(fd);
	}
}

static uint64_t claim_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Takes the lock, or finds that the path is served. */
static enum claim_result claim_win(const struct sockaddr_un *address, unsigned wait_ms, int *lock,
				   char *why, size_t why_size)
{
	const struct timespec pause = {.tv_nsec = CLAIM_RETRY_MS * 1000000L};
	uint64_t deadline = claim_now_ms() + wait_ms;
	char lock_path[sizeof(address->sun_path) + sizeof(CLAIM_LOCK_SUFFIX)];

	snprintf(lock_path, sizeof(lock_path), "%s" CLAIM_LOCK_SUFFIX, address->sun_path);
	for (;;) {
		enum claim_probe probe;

		*lock = claim_lock(lock_path);
		if (*lock < 0 && errno != EWOULDBLOCK) {
			snprintf(why, why_size, "%s: %s", lock_path, strerror(errno));
			return CLAIM_FAILED;
		}
		probe = claim_probe(address, why, why_size);
		/* Also with the lock in hand a live socket is left alone: its daemon's lock
		 * file may have been removed. */
		if (probe == PROBE_LIVE)
			snprintf(why, why_size, "another hawserd serves %s", address->sun_path);
		if (*lock >= 0 && (probe == PROBE_STALE || probe == PROBE_NONE))
			return CLAIM_OK;
		if (*lock >= 0)
			close(*lock);
		if (probe == PROBE_LIVE)
			return CLAIM_SERVED;
		if (probe == PROBE_ERROR)
			return CLAIM_FAILED;
		if (claim_now_ms() >= deadline) {
			snprintf(why, why_size,
				 "another hawserd holds %s but has not answered on %s within "
				 "%u ms: it may hang; \"fuser %s\" names it",
				 lock_path, address->sun_path, wait_ms, lock_path);
			return CLAIM_FAILED;
		}
		nanosleep(&pause, NULL);
	}
}

static bool claim_bind(const struct sockaddr_un *address, struct claim *c)
{
	struct stat st;
	mode_t mask;
	int error;

	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		return false;
	mask = umask(0177);
	error = bind(c->fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? errno : 0;
	umask(mask);
	if (error == 0 && listen(c->fd, CLAIM_BACKLOG) < 0)
		error = errno;
	if (error == 0 && lstat(address->sun_path, &st) < 0)
		error = errno;
	if (error != 0) {
		close(c->fd);
		c->fd = -1;
		errno = error;
		return false;
	}
	c->dev = st.st_dev;
	c->ino = st.st_ino;
	return true;
}

enum claim_result claim_take(const char *path, unsigned wait_ms, struct claim *out, char *why,
			     size_t why_size)
{
	struct sockaddr_un address;
	enum claim_result result;

	*out = (struct claim){.fd = -1, .lock_fd = -1};
	if (!claim_address(path, &address, why, why_size) ||
	    paths_prepare_dir(path, why, why_size) != HW_OK)
		return CLAIM_FAILED;
	result = claim_win(&address, wait_ms, &out->lock_fd, why, why_size);
	if (result != CLAIM_OK) {
		out->lock_fd = -1;
		return result;
	}
	snprintf(out->path, sizeof(out->path), "%s", path);
	/* Nobody answers on it and we hold the lock: stale, or not there. */
	if ((unlink(path) < 0 && errno != ENOENT) || !claim_bind(&address, out)) {
		snprintf(why, why_size, "binding %s: %s", path, strerror(errno));
		close(out->lock_fd);
		out->lock_fd = -1;
		return CLAIM_FAILED;
	}
	return CLAIM_OK;
}

/* Where claim_park() puts the socket. Connecting to it would need a path that fits; nobody does. */
static void claim_parked_path(const struct claim *c, char *out, size_t size)
{
	snprintf(out, size, "%s" CLAIM_PARK_SUFFIX, c->path);
}

static bool claim_is_ours(const struct claim *c, const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && st.st_dev == c->dev && st.st_ino == c->ino;
}

void claim_park(struct claim *c)
{
	char parked[sizeof(c->path) + sizeof(CLAIM_PARK_SUFFIX)];

	claim_parked_path(c, parked, sizeof(parked));
	if (c->lock_fd < 0 || !claim_is_ours(c, c->path))
		return;
	if (rename(c->path, parked) < 0)
		log_warn("moving %s aside: %m", c->path);
	else
		c->parked = true;
}

void claim_unpark(struct claim *c)
{
	char parked[sizeof(c->path) + sizeof(CLAIM_PARK_SUFFIX)];

	if (!c->parked)
		return;
	claim_parked_path(c, parked, sizeof(parked));
	if (rename(parked, c->path) < 0)
		log_error("putting %s back: %m", c->path);
	c->parked = false;
}

void claim_release(struct claim *c)
{
	char parked[sizeof(c->path) + sizeof(CLAIM_PARK_SUFFIX)];

	if (c->lock_fd < 0)
		return;
	claim_parked_path(c, parked, sizeof(parked));
	if (c->parked && claim_is_ours(c, parked))
		unlink(parked);
	else if (claim_is_ours(c, c->path))
		unlink(c->path);
	/* Not by close() alone: a child between fork and exec still shares it. */
	flock(c->lock_fd, LOCK_UN);
	close(c->lock_fd);
	c->lock_fd = -1;
	c->parked = false;
}
