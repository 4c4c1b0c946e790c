#include "daemon/x11_auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/resolve_run.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

#define PROTO	     "MIT-MAGIC-COOKIE-1"
#define COOKIE_LEN   16
#define XAUTH	     "/usr/bin/xauth"
#define XAUTH_MS     30000 /* an X server that does not answer for so long is stuck */
#define SLACK_S	     60	   /* the X server keeps the cookie a little longer than we use it */
#define FOLDER_MODEL "hawser-XXXXXXXXXX"

/* The thread has it until on_done(), but for cb. */
struct x11_auth {
	struct destination *dest;
	struct origin *origin;
	char *display;
	int cancel_fd; /* eventfd */
	x11_auth_cb cb;
	void *ctx;
	struct x11_auth_result result;
};

bool x11_auth_random(struct x11_cookie *c)
{
	return getrandom(c->data, c->len, 0) == (ssize_t)c->len;
}

/* Runs xauth and keeps what it printed (NULL: it failed), on the heap: a secret. */
static char *xauth(const struct x11_auth *a, char *const *argv)
{
	struct resolve_output o;
	char *out = NULL;
	int r = resolve_run(argv[0], argv, a->origin->env, a->origin->cwd, a->cancel_fd, XAUTH_MS,
			    &o);

	if (r == HW_OK && WIFEXITED(o.status) && WEXITSTATUS(o.status) == 0) {
		out = o.out;
		o.out = NULL;
	} else {
		log_info("%s: %s %s failed: %s", a->dest->label, argv[0], argv[1],
			 r != HW_OK ? hw_strerror(r) : o.err);
	}
	resolve_output_finish(&o);
	return out;
}

/* The cookie that `xauth list` has, in the user's file or in ours. */
static bool list(struct x11_auth *a, char *program, char *display, char *file)
{
	char *own[] = {program, "list", display, NULL};
	char *ours[] = {program, "-f", file, "list", display, NULL};
	char *out = xauth(a, file != NULL ? ours : own);
	bool good = out != NULL && x11_cookie_parse(out, &a->result.cookie);

	free_secret_str(out);
	return good;
}

/* xauth leaves its locks behind when it is ended. */
static void remove_folder(const char *folder, const char *file)
{
	static const char *const suffixes[] = {"", "-c", "-l", "-n"};

	for (size_t i = 0; i < HW_ARRAY_LEN(suffixes); i++) {
		char *name = xasprintf("%s%s", file, suffixes[i]);

		unlink(name);
		free(name);
	}
	if (rmdir(folder) != 0)
		log_warn("%s could not be removed", folder);
}

/* A cookie that the X server makes for clients it does not trust, by way of a file of our own, so
 * that the user's programs never find it. */
static bool generate(struct x11_auth *a, char *program, char *display)
{
	const char *tmp = origin_getenv(a->origin, "TMPDIR");
	char *folder = xasprintf("%s/" FOLDER_MODEL, tmp != NULL && tmp[0] == '/' ? tmp : "/tmp");
	char *file = NULL, seconds[16], *out;
	bool good = false;

	if (mkdtemp(folder) != NULL) {
		unsigned timeout = a->dest->forward_x11_timeout;
		char *argv[] = {program, "-f",	      NULL,	 "generate", display,
				PROTO,	 "untrusted", "timeout", seconds,    NULL};

		argv[2] = file = xasprintf("%s/xauthfile", folder);
		snprintf(seconds, sizeof(seconds), "%u", timeout + SLACK_S);
		if (timeout == 0)
			argv[7] = NULL;
		out = xauth(a, argv);
		good = out != NULL && list(a, program, display, file);
		free(out);
		remove_folder(folder, file);
	}
	free(file);
	free(folder);
	return good;
}

static void run(void *ctx)
{
	struct x11_auth *a = ctx;
	struct x11_auth_result *r = &a->result;
	char *program = a->dest->xauth_location != NULL ? a->dest->xauth_location : (char *)XAUTH;
	char *display = strncmp(a->display, "localhost:", 10) == 0
				? xasprintf("unix:%s", a->display + 10)
				: xstrdup(a->display);
	struct stat st;

	if (stat(program, &st) == 0)
		r->usable = a->dest->forward_x11_trusted ? list(a, program, display, NULL)
							 : generate(a, program, display);
	free(display);
	if (r->usable)
		return;
	if (!a->dest->forward_x11_trusted) {
		r->level = -1;
		r->say = "Warning: untrusted X11 forwarding setup failed: xauth key data not "
			 "generated";
		return;
	}
	/* The X server may let the user in without: it then does not look at what we make up. */
	r->cookie = (struct x11_cookie){.proto = PROTO, .len = COOKIE_LEN};
	r->usable = x11_auth_random(&r->cookie);
	r->say = "Warning: No xauth data; using fake authentication data for X11 forwarding.";
}

static void on_done(void *ctx)
{
	struct x11_auth *a = ctx;

	if (a->cb != NULL)
		a->cb(a->ctx, &a->result);
	destination_unref(a->dest);
	origin_unref(a->origin);
	free(a->display);
	if (a->cancel_fd >= 0)
		close(a->cancel_fd);
	free_secret(a, sizeof(*a));
}

struct x11_auth *x11_auth_start(struct worker_pool *workers, struct destination *dest,
				struct origin *origin, const char *display, x11_auth_cb cb,
				void *ctx)
{
	struct x11_auth *a = xcalloc(1, sizeof(*a));

	a->dest = destination_ref(dest);
	a->origin = origin_ref(origin);
	a->display = xstrdup(display);
	a->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); /* -1: it is not ended early */
	a->cb = cb;
	a->ctx = ctx;
	worker_submit(workers, run, on_done, a);
	return a;
}

void x11_auth_cancel(struct x11_auth *a)
{
	if (a == NULL)
		return;
	a->cb = NULL;
	if (a->cancel_fd >= 0)
		(void)!eventfd_write(a->cancel_fd, 1);
}
