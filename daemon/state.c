#include "daemon/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/alloc.h"

#define BATCH_MS    1000
#define PENDING_MAX ((size_t)512 * 1024)
#define ROTATE_AT   ((off_t)1024 * 1024)
#define LOAD_MAX    ((off_t)4 * 1024 * 1024)

enum kind { LOAD, APPEND, REPLACE, REPAIR, ASIDE };

struct op {
	struct op *next;
	enum kind kind;
	char name[64];
	char *text; /* to be written, or what was read; NULL: none */
	size_t len;
	state_loaded loaded;
	void *ctx;
	state_line_good good;
	bool keep_bad;
};

struct batch {
	struct state *state;
	struct op *ops;
	char dir[PATH_MAX];
	char why[512];	 /* what failed first; "" nothing */
	char stuck[64];	 /* damaged, and could not be set aside: is not written over */
	char aside[512]; /* what was set aside, for it could not be read; "" nothing */
};

struct state {
	struct worker_pool *workers;
	char *dir; /* NULL: nothing is kept */
	state_trouble trouble;
	void *ctx;
	struct op *first, **last; /* that wait */
	size_t pending;		  /* bytes of their text */
	char stuck[64];		  /* as in batch */
	bool running, told, dropping, ending;
	uv_timer_t timer;
};

/* --- on a worker --- */

static void fail(struct batch *b, const char *what, const char *path)
{
	if (b->why[0] == '\0')
		snprintf(b->why, sizeof(b->why), "%s %.300s: %s", what, path, strerror(errno));
}

/* The directory and at most two above it (.local/state): not a home directory that is not there. */
static bool make_dir(const char *dir, int depth)
{
	char above[PATH_MAX];
	char *slash;

	if (mkdir(dir, 0700) == 0 || errno == EEXIST)
		return true;
	if (errno != ENOENT || depth == 0)
		return false;
	snprintf(above, sizeof(above), "%s", dir);
	slash = strrchr(above, '/');
	if (slash == NULL || slash == above)
		return false;
	*slash = '\0';
	return make_dir(above, depth - 1) && (mkdir(dir, 0700) == 0 || errno == EEXIST);
}

static bool write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		text += n;
		len -= (size_t)n;
	}
	return true;
}

static bool do_aside(const char *path)
{
	char bad[PATH_MAX + 96];

	snprintf(bad, sizeof(bad), "%s.bad", path);
	return rename(path, bad) == 0;
}

/* What is there and cannot be read is not written over either. */
static void cannot_read(struct batch *b, const char *path, const char *why)
{
	if (do_aside(path))
		snprintf(b->aside, sizeof(b->aside),
			 "cannot read %.300s: %s; it is set aside as .bad", path, why);
	else
		fail(b, "cannot set aside what cannot be read,", path);
}

static void do_load(struct batch *b, struct op *op, const char *path)
{
	struct stat st;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			cannot_read(b, path, strerror(errno));
		return;
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > LOAD_MAX) {
		cannot_read(b, path, "it is no file of ours");
		close(fd);
		return;
	}
	op->text = xmalloc((size_t)st.st_size + 1);
	n = pread(fd, op->text, (size_t)st.st_size, 0);
	op->len = n > 0 ? (size_t)n : 0;
	op->text[op->len] = '\0';
	if (n < 0)
		cannot_read(b, path, strerror(errno));
	close(fd);
}

/* A line that was torn as it was written must not take the next one with it. */
static bool end_torn_line(int fd)
{
	struct stat st;
	char last = '\n';

	return fstat(fd, &st) != 0 || st.st_size == 0 || pread(fd, &last, 1, st.st_size - 1) != 1 ||
	       last == '\n' || write_all(fd, "\n", 1);
}

static void do_append(struct batch *b, struct op *op, const char *path)
{
	char old[PATH_MAX + 96];
	struct stat st;
	int fd;

	if (lstat(path, &st) == 0 && st.st_size > ROTATE_AT) {
		snprintf(old, sizeof(old), "%s.1", path);
		(void)rename(path, old);
	}
	fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0 || !end_torn_line(fd) || !write_all(fd, op->text, op->len))
		fail(b, "cannot write", path);
	if (fd >= 0)
		close(fd);
}

/* The file that will take path's place. On a full disk nothing has been touched yet. */
static bool write_fresh(const struct op *op, const char *fresh)
{
	bool written;
	int fd;

	(void)unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return false;
	written = write_all(fd, op->text, op->len) && fsync(fd) == 0;
	close(fd);
	if (!written) {
		int why = errno;

		(void)unlink(fresh); /* a full disk has no room for halves */
		errno = why;
	}
	return written;
}

/* With aside, what is there becomes NAME.bad, if it can. */
static void do_replace(struct batch *b, const struct op *op, const char *path, bool aside)
{
	char fresh[PATH_MAX + 96];

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	if (!write_fresh(op, fresh))
		fail(b, "cannot write", path);
	else if (aside && !do_aside(path))
		fail(b, "cannot set aside", path);
	else if (rename(fresh, path) != 0)
		fail(b, "cannot write", path);
}

/* In place; the new length. */
static size_t keep_good_lines(char *text, size_t len, state_line_good good)
{
	size_t kept = 0;

	for (size_t at = 0; at < len;) {
		const char *newline = memchr(text + at, '\n', len - at);
		size_t line = newline != NULL ? (size_t)(newline - text) - at : 0;

		if (newline == NULL)
			break;
		if (good(text + at, line)) {
			memmove(text + kept, text + at, line + 1);
			kept += line + 1;
		}
		at += line + 1;
	}
	return kept;
}

static void do_set_aside(struct batch *b, const struct op *op, const char *path)
{
	if (do_aside(path) || errno == ENOENT)
		return;
	fail(b, "cannot set aside", path);
	snprintf(b->stuck, sizeof(b->stuck), "%s", op->name);
}

/* Read again: lines may have come meanwhile. */
static void do_repair(struct batch *b, struct op *op, const char *path)
{
	do_load(b, op, path);
	if (op->text == NULL)
		return;
	op->len = keep_good_lines(op->text, op->len, op->good);
	do_replace(b, op, path, op->keep_bad);
}

static void run(void *ctx)
{
	struct batch *b = ctx;

	if (!make_dir(b->dir, 2))
		fail(b, "cannot make", b->dir);
	for (struct op *op = b->ops; op != NULL; op = op->next) {
		char path[PATH_MAX + 80];

		snprintf(path, sizeof(path), "%s/%s", b->dir, op->name);
		switch (op->kind) {
		case LOAD:
			do_load(b, op, path);
			break;
		case APPEND:
			do_append(b, op, path);
			break;
		case REPLACE:
			if (strcmp(b->stuck, op->name) != 0)
				do_replace(b, op, path, false);
			break;
		case REPAIR:
			do_repair(b, op, path);
			break;
		case ASIDE:
			do_set_aside(b, op, path);
			break;
		}
	}
}

/* --- on the loop --- */

static void start(struct state *s);

static void free_op(struct op *op)
{
	free(op->text);
	free(op);
}

static void tell(struct state *s, const char *why)
{
	char text[768];

	if (s->told)
		return;
	s->told = true;
	snprintf(text, sizeof(text), "%s: what was learnt and the journal are kept in memory only",
		 why);
	s->trouble(s->ctx, text);
}

static struct batch *take_batch(struct state *s)
{
	struct batch *b = xcalloc(1, sizeof(*b));

	b->state = s;
	b->ops = s->first;
	snprintf(b->dir, sizeof(b->dir), "%s", s->dir);
	memcpy(b->stuck, s->stuck, sizeof(b->stuck));
	s->first = NULL;
	s->last = &s->first;
	s->pending = 0;
	return b;
}

static void finish(struct state *s, struct batch *b)
{
	if (b->why[0] == '\0')
		s->told = s->dropping = false;
	memcpy(s->stuck, b->stuck, sizeof(s->stuck));
	while (b->ops != NULL) {
		struct op *op = b->ops;

		b->ops = op->next;
		if (op->kind == LOAD)
			op->loaded(op->ctx, op->text, op->len);
		free_op(op);
	}
	if (b->aside[0] != '\0')
		s->trouble(s->ctx, b->aside);
	if (b->why[0] != '\0')
		tell(s, b->why);
	free(b);
}

static void done(void *ctx)
{
	struct batch *b = ctx;
	struct state *s = b->state;

	s->running = false;
	finish(s, b);
	if (s->first == NULL)
		return;
	if (!s->ending) {
		if (!uv_is_active((uv_handle_t *)&s->timer))
			start(s);
		return;
	}
	/* The workers have gone home. The disk has just done its work, so this will not hang. */
	b = take_batch(s);
	run(b);
	finish(s, b);
}

static void start(struct state *s)
{
	if (s->running || s->first == NULL)
		return;
	s->running = true;
	uv_timer_stop(&s->timer);
	worker_submit(s->workers, run, done, take_batch(s));
}

static void on_timer(uv_timer_t *timer)
{
	start(timer->data);
}

struct state *state_create(uv_loop_t *loop, struct worker_pool *workers, const char *dir,
			   state_trouble trouble, void *ctx)
{
	struct state *s = xcalloc(1, sizeof(*s));

	s->workers = workers;
	s->dir = dir != NULL && dir[0] != '\0' ? xstrdup(dir) : NULL;
	s->trouble = trouble;
	s->ctx = ctx;
	s->last = &s->first;
	uv_timer_init(loop, &s->timer);
	s->timer.data = s;
	uv_unref((uv_handle_t *)&s->timer);
	return s;
}

void state_hurry(struct state *s)
{
	if (s != NULL)
		start(s);
}

void state_flush(struct state *s)
{
	s->ending = true;
	start(s);
}

static void on_closed(uv_handle_t *handle)
{
	struct state *s = handle->data;

	free(s->dir);
	free(s);
}

void state_destroy(struct state *s)
{
	if (s == NULL)
		return;
	while (s->first != NULL) {
		struct op *op = s->first;

		s->first = op->next;
		free_op(op);
	}
	uv_close((uv_handle_t *)&s->timer, on_closed);
}

static struct op *add(struct state *s, enum kind kind, const char *name, const char *text)
{
	struct op *op = xcalloc(1, sizeof(*op));

	op->kind = kind;
	snprintf(op->name, sizeof(op->name), "%s", name);
	if (text != NULL) {
		op->len = strlen(text);
		op->text = xmemdup(text, op->len + 1);
		s->pending += op->len;
	}
	*s->last = op;
	s->last = &op->next;
	if (!s->running && !uv_is_active((uv_handle_t *)&s->timer))
		uv_timer_start(&s->timer, on_timer, kind == LOAD ? 0 : BATCH_MS, 0);
	return op;
}

static bool has_room(struct state *s, size_t len)
{
	if (s->pending + len <= PENDING_MAX)
		return true;
	if (!s->dropping)
		tell(s, "the disk does not keep up");
	s->dropping = true;
	return false;
}

void state_load(struct state *s, const char *name, state_loaded loaded, void *ctx)
{
	struct op *op;

	if (s->dir == NULL) {
		loaded(ctx, NULL, 0);
		return;
	}
	op = add(s, LOAD, name, NULL);
	op->loaded = loaded;
	op->ctx = ctx;
}

void state_append(struct state *s, const char *name, const char *text)
{
	if (s->dir != NULL && has_room(s, strlen(text)))
		add(s, APPEND, name, text);
}

void state_replace(struct state *s, const char *name, const char *text)
{
	/* One that waits and is not begun is superseded. */
	for (struct op **link = &s->first; *link != NULL; link = &(*link)->next) {
		struct op *op = *link;

		if (op->kind != REPLACE || strcmp(op->name, name) != 0)
			continue;
		s->pending -= op->len;
		free(op->text);
		op->len = strlen(text);
		op->text = xmemdup(text, op->len + 1);
		s->pending += op->len;
		return;
	}
	if (s->dir != NULL && has_room(s, strlen(text)))
		add(s, REPLACE, name, text);
}

void state_repair(struct state *s, const char *name, state_line_good good, bool keep_bad)
{
	struct op *op;

	if (s->dir == NULL)
		return;
	op = add(s, REPAIR, name, NULL);
	op->good = good;
	op->keep_bad = keep_bad;
}

void state_set_aside(struct state *s, const char *name)
{
	if (s->dir != NULL)
		add(s, ASIDE, name, NULL);
}
