#include "daemon/resolve_files.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "daemon/expand.h"
#include "protocol/alloc.h"

#define CONFIG_SIZE_MAX (1024 * 1024) /* bytes looked into; a larger file counts as changing */
#define SETTLED_MS	50	      /* a coarse clock gives two edits within it one time */
#define SYSTEM_DIR	"/etc/ssh"
#define READING		"debug1: Reading configuration data "
#define EXECUTING	"debug1: Executing command: "
#define NO_IDENTITY	"Warning: Identity file " /* -i: left out as long as it is not there */

/* Not in every version of <linux/magic.h>. */
#define CIFS_MAGIC   0xff534d42L
#define FUSE_MAGIC   0x65735546L
#define CEPH_MAGIC   0x00c36400L
#define GPFS_MAGIC   0x47504653L
#define LUSTRE_MAGIC 0x0bd00bd0L
#define SMB2_FSMAGIC 0xfe534d42L
#define KAFS_MAGIC   0x6b414653L
#define OCFS2_MAGIC  0x7461636fL
#define GFS2_MAGIC   0x01161970L

static const long remote_magics[] = {
	NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, CIFS_MAGIC,  SMB2_FSMAGIC,	 FUSE_MAGIC,
	AFS_SUPER_MAGIC, KAFS_MAGIC,	  V9FS_MAGIC,  CODA_SUPER_MAGIC, CEPH_MAGIC,
	GPFS_MAGIC,	 LUSTRE_MAGIC,	  OCFS2_MAGIC, GFS2_MAGIC,	 AUTOFS_SUPER_MAGIC,
};

/* The file system of path, or of the nearest directory above it that is there. */
static bool is_remote(const char *path)
{
	char *up = xstrdup(path);
	struct statfs fs;
	bool remote = false;

	while (statfs(up, &fs) != 0) {
		char *slash = strrchr(up, '/');

		if (slash == NULL || slash == up) {
			free(up);
			return false;
		}
		*slash = '\0';
	}
	for (size_t i = 0; i < HW_ARRAY_LEN(remote_magics); i++)
		remote = remote || (long)fs.f_type == remote_magics[i];
	free(up);
	return remote;
}

static void look(struct resolve_file *file)
{
	struct stat st;

	file->exists = stat(file->path, &st) == 0;
	if (!file->exists)
		return;
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	file->size = st.st_size;
	file->mtime = st.st_mtim;
	file->ctime = st.st_ctim;
}

static bool later(const struct timespec *t, const struct timespec *limit)
{
	return t->tv_sec > limit->tv_sec ||
	       (t->tv_sec == limit->tv_sec && t->tv_nsec >= limit->tv_nsec);
}

/* Takes path. since: see resolve_files_collect(), with the settling time already taken off. */
static void watch(struct resolve_files *f, char *path, const struct timespec *since)
{
	struct resolve_file *file;

	for (size_t i = 0; i < f->count; i++) {
		if (strcmp(f->files[i].path, path) == 0) {
			free(path);
			return;
		}
	}
	if (f->count == RESOLVE_FILES_MAX) {
		f->overflow = true;
		free(path);
		return;
	}
	f->files = xreallocarray(f->files, f->count + 1, sizeof(*f->files));
	file = &f->files[f->count++];
	memset(file, 0, sizeof(*file));
	file->path = path;
	f->remote = f->remote || is_remote(path);
	look(file);
	if (file->exists && (later(&file->mtime, since) || later(&file->ctime, since)))
		f->unsettled = true;
}

/* Watches what can change the files that a pattern names: the file itself where it has no wildcard,
 * else every directory in which a wildcard is looked for. */
static void watch_pattern(struct resolve_files *f, const char *pattern,
			  const struct timespec *since)
{
	size_t wild = strcspn(pattern, "*?["), dir = wild, end;
	char *part;
	glob_t found;

	if (pattern[wild] == '\0') {
		watch(f, xstrdup(pattern), since);
		return;
	}
	while (dir > 0 && pattern[dir - 1] != '/')
		dir--;
	watch(f, dir > 1 ? xstrndup(pattern, dir - 1) : xstrdup("/"), since);
	end = dir + strcspn(pattern + dir, "/");
	if (pattern[end] == '\0' || f->overflow)
		return;
	part = xstrndup(pattern, end);
	if (glob(part, GLOB_NOSORT | GLOB_ONLYDIR, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc && !f->overflow; i++) {
			char *deeper = xasprintf("%s%s", found.gl_pathv[i], pattern + end);

			watch_pattern(f, deeper, since);
			free(deeper);
		}
		globfree(&found);
	}
	free(part);
}

static void watch_include(struct resolve_files *f, const char *name, const struct timespec *since)
{
	char *path;

	if (strpbrk(name, "%$") != NULL) {
		f->changing = true;
		return;
	}
	if (name[0] == '/') {
		watch_pattern(f, name, since);
		return;
	}
	if (name[0] == '~') {
		if (name[1] != '/') {
			f->changing = true; /* another user's home */
			return;
		}
		path = xasprintf("%s%s", expand_home(), name + 1);
		watch_pattern(f, path, since);
		free(path);
		return;
	}
	/* Relative to ~/.ssh in the user's files and to /etc/ssh in the system's: both are watched,
	 * which costs a look and can't be wrong. */
	path = xasprintf("%s/.ssh/%s", expand_home(), name);
	watch_pattern(f, path, since);
	free(path);
	path = xasprintf("%s/%s", SYSTEM_DIR, name);
	watch_pattern(f, path, since);
	free(path);
}

/* The next word of a configuration line at *at, quoted or not, on the heap; NULL: no more. */
static char *next_word(const char **at)
{
	const char *p = *at + strspn(*at, " \t\r=");
	size_t len;
	char *word;

	if (*p == '\0' || *p == '#')
		return NULL;
	if (*p == '"') {
		len = strcspn(++p, "\"");
		word = xstrndup(p, len);
		*at = p + len + (p[len] == '"');
		return word;
	}
	len = strcspn(p, " \t\r=");
	word = xstrndup(p, len);
	*at = p + len;
	return word;
}

static bool mentions(const char *line, const char *word)
{
	return strcasestr(line, word) != NULL;
}

static void scan_line(struct resolve_files *f, const char *line, const struct timespec *since)
{
	char *keyword = next_word(&line), *word;

	if (keyword == NULL)
		return;
	if (strcasecmp(keyword, "include") == 0) {
		while ((word = next_word(&line)) != NULL) {
			watch_include(f, word, since);
			free(word);
		}
	} else if (strcasecmp(keyword, "match") == 0) {
		f->changing = f->changing || mentions(line, "localnetwork");
		while ((word = next_word(&line)) != NULL) {
			const char *bare = word + (word[0] == '!');

			if (strcasecmp(bare, "command") == 0)
				f->match_command = true;
			free(word);
		}
	} else if (strcasecmp(keyword, "loglevel") == 0) {
		f->log_level = true;
	}
	free(keyword);
}

/* Looks into a configuration file for what the answer depends on besides the file. */
static void scan_file(struct resolve_files *f, const char *path, const struct timespec *since)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	FILE *in;
	struct stat st;
	char *line = NULL;
	size_t size = 0;

	if (fd < 0)
		return;
	in = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= CONFIG_SIZE_MAX
		     ? fdopen(fd, "re")
		     : NULL;
	if (in == NULL) {
		close(fd);
		f->changing = f->log_level = f->variables = true;
		return;
	}
	while (getline(&line, &size, in) > 0) {
		line[strcspn(line, "\n")] = '\0';
		f->variables = f->variables || strchr(line, '$') != NULL;
		scan_line(f, line, since);
	}
	free(line);
	fclose(in);
}

void resolve_files_collect(struct resolve_files *f, const char *log, const char *cwd,
			   const char *ssh_file, const struct timespec *since)
{
	struct timespec limit = *since;

	memset(f, 0, sizeof(*f));
	limit.tv_nsec -= SETTLED_MS * 1000000L;
	if (limit.tv_nsec < 0) {
		limit.tv_nsec += 1000000000L;
		limit.tv_sec--;
	}
	watch(f, xstrdup(ssh_file), &limit);
	/* Looked for always, or with -F in vain: their coming matters or costs a look. */
	watch(f, xasprintf("%s/.ssh/config", expand_home()), &limit);
	watch(f, xstrdup(SYSTEM_DIR "/ssh_config"), &limit);
	while (*log != '\0') {
		size_t len = strcspn(log, "\r\n");

		if (strncmp(log, READING, strlen(READING)) == 0) {
			char *path = xstrndup(log + strlen(READING), len - strlen(READING));

			if (path[0] != '/') {
				char *absolute = xasprintf("%s/%s", cwd, path);

				free(path);
				path = absolute;
				f->relative = true;
			}
			scan_file(f, path, &limit);
			/* Gone since ssh read it: its absence is not what the answer rests on. */
			f->unsettled = f->unsettled || access(path, F_OK) != 0;
			watch(f, path, &limit);
		} else if (strncmp(log, EXECUTING, strlen(EXECUTING)) == 0) {
			f->executed = true;
		} else if (strncmp(log, NO_IDENTITY, strlen(NO_IDENTITY)) == 0) {
			f->changing = true;
		}
		log += len;
		log += strspn(log, "\r\n");
	}
}

void resolve_files_finish(struct resolve_files *f)
{
	for (size_t i = 0; i < f->count; i++)
		free(f->files[i].path);
	free(f->files);
	memset(f, 0, sizeof(*f));
}

static void merge_file(struct resolve_files *f, struct resolve_file *file)
{
	for (size_t i = 0; i < f->count; i++) {
		if (strcmp(f->files[i].path, file->path) == 0) {
			/* Looked at twice, a little apart: the first look is the stricter one. */
			free(file->path);
			return;
		}
	}
	if (f->count == RESOLVE_FILES_MAX) {
		f->overflow = true;
		free(file->path);
		return;
	}
	f->files = xreallocarray(f->files, f->count + 1, sizeof(*f->files));
	f->files[f->count++] = *file;
}

void resolve_files_merge(struct resolve_files *f, struct resolve_files *other)
{
	for (size_t i = 0; i < other->count; i++)
		merge_file(f, &other->files[i]);
	other->count = 0;
	f->overflow |= other->overflow;
	f->remote |= other->remote;
	f->unsettled |= other->unsettled;
	f->executed |= other->executed;
	f->relative |= other->relative;
	f->variables |= other->variables;
	f->log_level |= other->log_level;
	f->changing |= other->changing;
	f->match_command |= other->match_command;
	resolve_files_finish(other);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool resolve_files_unchanged(const struct resolve_files *f)
{
	for (size_t i = 0; i < f->count; i++) {
		const struct resolve_file *was = &f->files[i];
		struct stat st;
		bool exists = stat(was->path, &st) == 0;

		if (exists != was->exists)
			return false;
		if (exists &&
		    (st.st_dev != was->dev || st.st_ino != was->ino || st.st_size != was->size ||
		     !same_time(&st.st_mtim, &was->mtime) || !same_time(&st.st_ctim, &was->ctime)))
			return false;
	}
	return true;
}
