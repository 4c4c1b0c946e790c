#include "tests/support/login_case.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/alloc.h"

static char *own(struct login_case *c, char *path)
{
	for (size_t i = 0; i < HW_ARRAY_LEN(c->paths); i++) {
		if (c->paths[i] == NULL) {
			c->paths[i] = path;
			return path;
		}
	}
	fail_msg("too many paths");
	return NULL;
}

static void *nothing(void *arg)
{
	return arg;
}

/* What libuv makes with the first loop (a pipe) and ThreadSanitizer with the first thread (another)
 * is not to be counted. */
static void warm_up(void)
{
	uv_loop_t loop;
	pthread_t thread;

	uv_loop_init(&loop);
	uv_loop_close(&loop);
	pthread_create(&thread, NULL, nothing, NULL);
	pthread_join(thread, NULL);
}

void login_case_init(struct login_case *c, const struct private_sshd *s, const char *user,
		     const char *const *keys)
{
	struct destination *d = &c->dest;

	warm_up();
	memset(c, 0, sizeof(*c));
	c->fd = -1;
	c->port = s->port;
	c->timeout_ms = c->auth_timeout_ms = 20000;
	d->refs = 1;
	d->typed = (char *)"testhost";
	d->user = (char *)user;
	d->hostname = (char *)"127.0.0.1";
	d->port = s->port;
	d->strict = STRICT_ASK;
	c->known[0] = s->known;
	d->user_known_hosts = c->known;
	d->fingerprint_hash = (char *)"SHA256";
	c->auths[0] = (char *)"publickey";
	c->auths[1] = (char *)"keyboard-interactive";
	c->auths[2] = (char *)"password";
	d->preferred_auths = c->auths;
	d->pubkey_auth = d->password_auth = d->kbdint_auth = true;
	d->password_prompts = 3;
	for (size_t i = 0; keys != NULL && keys[i] != NULL; i++)
		c->files[i] = own(c, private_sshd_path(s, keys[i]));
	d->identity_files = c->files;
}

void login_case_use_agent(struct login_case *c, const struct private_sshd *s)
{
	c->dest.agent_socket = own(c, private_sshd_path(s, "agent.sock"));
}

static void on_prompt(void *ctx, const struct proto_prompt *p)
{
	struct login_case *c = ctx;
	char *answers[PROTO_FIELDS_MAX + 1] = {NULL}, *text;

	assert_in_range(c->prompts, 0, CASE_PROMPTS - 1);
	text = xstrdup(p->intro != NULL ? p->intro : "");
	for (size_t i = 0; i < p->nfields; i++) {
		char *all =
			xasprintf("%s%s%s", text, text[0] != '\0' ? "\n" : "", p->fields[i].text);

		free(text);
		text = all;
		assert_in_range(c->fields, 0, CASE_PROMPTS - 1);
		answers[i] = (char *)c->answers[c->fields++];
		if (answers[i] == NULL)
			fail_msg("a question without an answer: %s", text);
	}
	c->kinds[c->prompts] = p->kind;
	c->asked[c->prompts++] = text;
	if (strcmp(answers[0], CASE_NOBODY) == 0) {
		login_answer(c->login, NULL, "there is no terminal");
	} else if (strcmp(answers[0], CASE_CANCEL) == 0) {
		login_cancel(c->login);
		c->login = NULL;
	} else if (strcmp(answers[0], CASE_BREAK) == 0) {
		assert_int_equal(shutdown(c->socket, SHUT_RDWR), 0);
	} else if (strcmp(answers[0], CASE_SILENT) != 0) {
		login_answer(c->login, answers, NULL);
	}
}

static void on_notice(void *ctx, const char *text, bool raw)
{
	struct login_case *c = ctx;
	char **kept = raw ? &c->banner : &c->warnings, *all;

	all = xasprintf("%s%s", *kept != NULL ? *kept : "", text);
	free(*kept);
	*kept = all;
	if (raw)
		c->prompts_before_banner = c->prompts;
}

static void on_phase(void *ctx, const char *phase)
{
	struct login_case *c = ctx;

	assert_false(c->done);
	assert_non_null(phase);
}

/* A session that says it is authenticated must serve: opens a channel on it. */
static void check_session(ssh_session session)
{
	int fd = ssh_get_fd(session), rc;
	ssh_channel channel;

	assert_int_not_equal(fd, -1);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_false(ssh_is_blocking(session));
	channel = ssh_channel_new(session);
	while ((rc = ssh_channel_open_session(channel)) == SSH_AGAIN) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		assert_int_equal(poll(&p, 1, 10000), 1);
	}
	assert_int_equal(rc, SSH_OK);
	ssh_channel_free(channel);
	login_end_session(session);
}

static void on_done(void *ctx, struct login_result *r)
{
	struct login_case *c = ctx;

	assert_false(c->done);
	c->ms = (double)(uv_hrtime() - c->begin) / 1e6;
	c->done = true;
	c->login = NULL;
	c->ok = r->session != NULL;
	c->why = r->why;
	if (c->want_notices) {
		assert_null(r->warnings);
		assert_null(r->banner);
	} else {
		c->warnings = r->warnings != NULL ? xstrdup(r->warnings) : NULL;
		c->banner = r->banner != NULL ? xstrdup(r->banner) : NULL;
	}
	c->next_hint = r->hint;
	if (c->ok)
		(void)agent_binding_put(r->binding, true, &c->binding);
	c->prompted = r->prompted;
	c->handover = r->handover;
	c->kex_ms = r->kex_ms;
	c->auth_ms = r->auth_ms;
	if (c->ok)
		check_session(r->session);
	else
		assert_true(strlen(r->why.text) > 0);
	if (uv_is_active((uv_handle_t *)&c->timer))
		uv_timer_stop(&c->timer);
}

static void on_timer(uv_timer_t *t)
{
	struct login_case *c = t->data;

	if (c->login != NULL)
		login_cancel(c->login);
	c->login = NULL;
}

static size_t count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* A joined thread may stand in /proc for a moment longer. */
static void assert_threads_back(size_t threads)
{
	uint64_t begin = uv_hrtime();

	while (count_entries("/proc/self/task") > threads)
		if (uv_hrtime() - begin > 5000000000u)
			fail_msg("a thread was left behind");
}

void login_case_run(struct login_case *c)
{
	const struct login_events events = {.prompt = on_prompt,
					    .phase = on_phase,
					    .notice = c->want_notices ? on_notice : NULL,
					    .done = on_done};
	static size_t threads; /* before the first login */
	size_t fds = count_entries("/proc/self/fd");
	struct login_params params = {.dest = &c->dest,
				      .peer = "127.0.0.1",
				      .hint = c->hint,
				      .timeout_ms = c->timeout_ms,
				      .auth_timeout_ms = c->auth_timeout_ms};

	if (threads == 0)
		threads = count_entries("/proc/self/task") - (c->foreign_threads ? 1 : 0);
	uv_loop_init(&c->loop);
	uv_timer_init(&c->loop, &c->timer);
	c->timer.data = c;
	c->workers = worker_pool_create(&c->loop, 4);
	params.fd = c->socket = c->fd != -1 ? c->fd : private_sshd_connect(c->port);
	if (c->cancel_after_ms > 0)
		uv_timer_start(&c->timer, on_timer, c->cancel_after_ms, 0);
	c->begin = uv_hrtime();
	c->login = login_start(c->workers, &params, &events, c);
	uv_run(&c->loop, UV_RUN_DEFAULT);
	if (c->fd == -1)
		close(params.fd);
	uv_close((uv_handle_t *)&c->timer, NULL);
	assert_int_equal(worker_pool_destroy(c->workers, 5000), 0);
	uv_run(&c->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&c->loop), 0);
	assert_int_equal(c->dest.refs, 1);
	if (c->foreign_threads)
		return;
	assert_threads_back(threads);
	assert_int_equal(count_entries("/proc/self/fd"), fds);
}

void login_case_finish(struct login_case *c)
{
	for (size_t i = 0; i < HW_ARRAY_LEN(c->paths); i++)
		free(c->paths[i]);
	for (size_t i = 0; i < c->prompts; i++)
		free(c->asked[i]);
	free(c->warnings);
	free(c->banner);
	sshwire_out_finish(&c->binding);
}

void login_case_restart(struct private_sshd *s, const char *config)
{
	private_sshd_stop(s);
	private_sshd_start(s, config);
}

void login_case_contains(const char *text, const char *part)
{
	if (text == NULL || strstr(text, part) == NULL)
		fail_msg("\"%s\" is not in: %s", part, text != NULL ? text : "(null)");
}

void login_case_logged_in(const struct login_case *c)
{
	if (!c->ok)
		fail_msg("%s", c->why.text);
}
