#include "daemon/activation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "protocol/log.h"

/* SD_LISTEN_FDS_START of sd_listen_fds(3). */
#define FIRST_PASSED_FD 3
#define PASSED_FDS_MAX	64

static bool activation_number(const char *text, long *value)
{
	char *end;

	errno = 0;
	*value = strtol(text, &end, 10);
	return errno == 0 && *text != '\0' && *end == '\0';
}

static bool activation_option_is(int fd, int option, int wanted)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 && value == wanted;
}

static int activation_check(int fd, char *why, size_t why_size)
{
	const char *fault = NULL;

	if (fcntl(fd, F_GETFD) < 0)
		fault = "is not open";
	else if (!activation_option_is(fd, SO_DOMAIN, AF_UNIX))
		fault = "is not a Unix domain socket (ListenStream= must be a path)";
	else if (!activation_option_is(fd, SO_TYPE, SOCK_STREAM))
		fault = "is not a stream socket (use ListenStream=)";
	else if (!activation_option_is(fd, SO_ACCEPTCONN, 1))
		fault = "is not listening (Accept=yes is not for hawserd)";
	if (!fault)
		return HW_OK;
	snprintf(why, why_size, "the descriptor %d that was passed by LISTEN_FDS %s", fd, fault);
	return HW_EINVAL;
}

static int activation_take_socket(struct activation *a, char *why, size_t why_size)
{
	const char *pid_text = getenv("LISTEN_PID"), *count_text = getenv("LISTEN_FDS");
	long pid, count;
	int result;

	if (!pid_text || !count_text)
		return HW_OK;
	/* Meant for another process: some parent did not clean up. */
	if (!activation_number(pid_text, &pid) || pid != (long)getpid())
		return HW_OK;
	if (!activation_number(count_text, &count) || count < 0 || count > PASSED_FDS_MAX) {
		snprintf(why, why_size, "LISTEN_FDS=%.40s makes no sense", count_text);
		return HW_EINVAL;
	}
	if (count == 0)
		return HW_OK;
	for (int fd = FIRST_PASSED_FD; fd < FIRST_PASSED_FD + (int)count; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (flags >= 0)
			fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
	}
	if (count != 1) {
		snprintf(why, why_size,
			 "%ld sockets were passed by LISTEN_FDS, hawserd serves one "
			 "(one ListenStream= line)",
			 count);
		return HW_EINVAL;
	}
	result = activation_check(FIRST_PASSED_FD, why, why_size);
	if (result == HW_OK)
		a->listen_fd = FIRST_PASSED_FD;
	return result;
}

int activation_take(struct activation *a, char *why, size_t why_size)
{
	const char *notify = getenv("NOTIFY_SOCKET");
	int result;

	*a = (struct activation){.listen_fd = -1};
	if (notify && (notify[0] == '/' || notify[0] == '@') && strlen(notify) < sizeof(a->notify))
		snprintf(a->notify, sizeof(a->notify), "%s", notify);
	result = activation_take_socket(a, why, why_size);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	unsetenv("NOTIFY_SOCKET");
	return result;
}

void activation_notify(const struct activation *a, const char *state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = strlen(a->notify);
	socklen_t address_len;
	int fd;

	if (len == 0)
		return;
	/* A path may fill sun_path to the last byte, without a NUL (unix(7)). */
	memcpy(address.sun_path, a->notify, len);
	if (address.sun_path[0] == '@')
		address.sun_path[0] = '\0';
	address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
			     (struct sockaddr *)&address, address_len) < 0)
		log_warn("telling systemd \"%s\" by %s failed: %m", state, a->notify);
	if (fd >= 0)
		close(fd);
}
