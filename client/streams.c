#include "client/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>
#include "protocol/proto.h"

/* A pipe of this size lets splice(2) move a regular file in few calls. */
#define FILE_PIPE_SIZE (1024 * 1024)

static bool is_null_device(const struct stat *sb)
{
	return S_ISCHR(sb->st_mode) && major(sb->st_rdev) == 1 && minor(sb->st_rdev) == 3;
}

/* A description of our own for the same pipe or terminal; -1 when the system says no. */
static int reopen(int fd, int flags)
{
	char path[] = "/proc/self/fd/0";

	path[sizeof(path) - 2] = (char)('0' + fd);
	return open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* A named FIFO that is opened again without a writer never tells of an end: poll(2) knows of those
 * writers only that come later. What we were given has seen its own. */
static bool may_reopen(int fd)
{
	struct statfs fs;

	return fd != STDIN_FILENO || (fstatfs(fd, &fs) == 0 && fs.f_type == PIPEFS_MAGIC);
}

static bool is_stream_socket(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

/* A pipe of ours between the descriptor and the daemon: each end is a description of its own. */
static int pump(struct stream *s, int fd)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return HW_ESYS;
	if (s->regular)
		(void)fcntl(ends[0], F_SETPIPE_SZ, FILE_PIPE_SIZE); /* as much as is allowed */
	s->proto = PROTO_STREAM_FD;
	s->given = ends[fd == STDIN_FILENO ? 0 : 1];
	s->pump_remote = ends[fd == STDIN_FILENO ? 1 : 0];
	s->pump_local = fd;
	if (s->tty) {
		/* Never block in a write to a stopped terminal: signals must still be heard. */
		int own = reopen(fd, fd == STDIN_FILENO ? O_RDONLY : O_WRONLY);
		if (own >= 0)
			s->pump_local = own;
	}
	return HW_OK;
}

static int open_one(struct stream *s, int fd, const struct stat *sb)
{
	struct termios tio;

	if (is_null_device(sb)) {
		s->proto = PROTO_STREAM_NULL;
		return HW_OK;
	}
	if (S_ISFIFO(sb->st_mode) && may_reopen(fd)) {
		int own = reopen(fd, fd == STDIN_FILENO ? O_RDONLY : O_WRONLY);
		if (own >= 0) {
			s->proto = PROTO_STREAM_FD;
			s->given = own;
			return HW_OK;
		}
	}
	if (S_ISSOCK(sb->st_mode) && is_stream_socket(fd)) {
		s->proto = PROTO_STREAM_FD;
		s->given = fd;
		return HW_OK;
	}
	s->tty = S_ISCHR(sb->st_mode) && tcgetattr(fd, &tio) == 0;
	s->regular = S_ISREG(sb->st_mode);
	return pump(s, fd);
}

/* 2>&1: both go through one descriptor, so their order stays. Regular files are left apart, since
 * two descriptions of one file have two offsets. */
static bool same_stream(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_rdev == b->st_rdev &&
	       !S_ISREG(a->st_mode);
}

/* Closed descriptors get /dev/null, so that nothing of ours becomes the command's stdout. */
static void fill(int fd)
{
	int null = open("/dev/null", fd == STDIN_FILENO ? O_RDONLY : O_WRONLY);

	if (null >= 0 && null != fd) {
		dup2(null, fd);
		close(null);
	}
}

void streams_fill_closed(void)
{
	struct stat sb;

	for (int fd = 0; fd < 3; fd++)
		if (fstat(fd, &sb) < 0)
			fill(fd);
}

int streams_open(struct streams *st, bool stdin_null)
{
	struct stat sb[3];
	bool closed[3];

	memset(st, 0, sizeof(*st));
	for (int fd = 0; fd < 3; fd++) {
		struct stream *s = &st->s[fd];

		s->given = s->pump_local = s->pump_remote = -1;
		closed[fd] = fstat(fd, &sb[fd]) < 0;
		if (closed[fd]) {
			s->proto = PROTO_STREAM_CLOSED;
			fill(fd);
		}
	}
	for (int fd = 0; fd < 3; fd++) {
		struct stream *s = &st->s[fd];

		if (closed[fd])
			continue;
		if (fd == STDIN_FILENO && stdin_null) {
			s->proto = PROTO_STREAM_NULL;
			s->tty = isatty(fd);
			st->tty |= s->tty;
			continue;
		}
		if (fd == STDERR_FILENO && !closed[STDOUT_FILENO] &&
		    same_stream(&sb[STDOUT_FILENO], &sb[fd])) {
			s->proto = st->s[STDOUT_FILENO].proto;
			s->given = st->s[STDOUT_FILENO].given;
			s->tty = st->s[STDOUT_FILENO].tty;
			continue;
		}
		int r = open_one(s, fd, &sb[fd]);
		if (r < 0) {
			streams_close(st);
			return r;
		}
		st->tty |= s->tty;
		st->pumped |= s->pump_remote >= 0;
	}
	return HW_OK;
}

void streams_close_given(struct streams *st)
{
	for (int fd = 2; fd >= 0; fd--) {
		struct stream *s = &st->s[fd];
		bool shared = fd == STDERR_FILENO && s->given == st->s[STDOUT_FILENO].given;

		if (s->given > STDERR_FILENO && !shared)
			close(s->given);
		s->given = -1;
	}
}

void streams_close(struct streams *st)
{
	streams_close_given(st);
	for (int fd = 0; fd < 3; fd++) {
		struct stream *s = &st->s[fd];

		if (s->pump_remote >= 0)
			close(s->pump_remote);
		if (s->pump_local > STDERR_FILENO)
			close(s->pump_local);
		s->pump_local = s->pump_remote = -1;
	}
}

uint32_t streams_flags(const struct streams *st)
{
	return (st->s[0].tty ? PROTO_STDIN_TTY : 0) | (st->s[1].tty ? PROTO_STDOUT_TTY : 0) |
	       (st->s[2].tty ? PROTO_STDERR_TTY : 0);
}
