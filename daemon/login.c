#include "daemon/login.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/auth.h"
#include "daemon/handshake.h"
#include "daemon/login_priv.h"
#include "daemon/trust.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

#define DEFAULT_TIMEOUT_MS 120000u
/* Nobody answers for this long: the terminal is forgotten, and the server's own grace time has
 * usually passed by far. */
#define THINK_MS (30u * 60u * 1000u)

/* A question on its way to the loop thread; owned by the post. */
struct prompt_post {
	struct login *login;
	unsigned number;
	struct proto_prompt words; /* deep copy */
};

struct phase_post {
	struct login *login;
	const char *phase;
};

struct notice_post {
	struct login *login;
	char *text;
	bool raw;
};

uint64_t login_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

bool login_cancelled(const struct login *l)
{
	return atomic_load(&l->cancelled);
}

bool login_dead(const struct login *l)
{
	return (ssh_get_status(l->session) & SSH_CLOSED_ERROR) || ssh_get_fd(l->session) == -1;
}

/* How many milliseconds poll(2) may wait, at most `cap`. */
static int time_left(uint64_t deadline, uint64_t now, int cap)
{
	if (deadline <= now)
		return 0;
	return deadline - now < (uint64_t)cap ? (int)(deadline - now) : cap;
}

static void set_timeout_cause(struct login *l)
{
	unsigned seconds = (l->timeout_ms + 999u) / 1000u;

	cause_set(&l->result.why, CAUSE_LOGIN_TIMEOUT, "%s: %s was not finished within %u s",
		  l->where, l->phase, seconds);
	cause_hint(&l->result.why,
		   "the server or the path to it is slow or stuck; try `ssh -v %s`, and see "
		   "ConnectTimeout in ssh_config(5)",
		   l->dest->typed);
}

int login_check(struct login *l)
{
	if (login_cancelled(l)) {
		cause_set(&l->result.why, CAUSE_CLIENT_GONE, "%s: login cancelled", l->where);
		return HW_EPERM;
	}
	if (login_now_ms() >= l->deadline_ms) {
		set_timeout_cause(l);
		return HW_ETIMEOUT;
	}
	return HW_OK;
}

int login_wait(struct login *l)
{
	const int one = 1;
	struct pollfd p[2] = {{.fd = l->fd, .events = POLLIN},
			      {.fd = l->cancel_fd, .events = POLLIN}};
	int rc;

	if (ssh_get_poll_flags(l->session) & SSH_WRITE_PENDING)
		p[0].events |= POLLOUT;
	for (;;) {
		int n = poll(p, 2, time_left(l->deadline_ms, login_now_ms(), 60000));

		if (n < 0 && errno != EINTR) {
			cause_set(&l->result.why, CAUSE_INTERNAL, "%s: poll: %s", l->where,
				  strerror(errno));
			return HW_EPERM;
		}
		if (n > 0 && p[0].revents != 0 && !login_cancelled(l))
			break;
		rc = login_check(l);
		if (rc != HW_OK)
			return rc;
	}
	/* Not sticky: the kernel forgets it, so it is said again before each read. No TCP socket
	 * (a proxy's socketpair): no need. */
	(void)setsockopt(l->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
	return HW_OK;
}

/* --- messages to the loop thread --- */

static void on_phase(void *ctx)
{
	struct phase_post *post = ctx;

	if (!login_cancelled(post->login) && post->login->events.phase != NULL)
		post->login->events.phase(post->login->ctx, post->phase);
	free(post);
}

void login_phase(struct login *l, const char *phase)
{
	struct phase_post *post = xcalloc(1, sizeof(*post));

	log_debug("login %s: %s", l->where, phase);
	l->phase = phase;
	post->login = l;
	post->phase = phase;
	worker_post(l->workers, on_phase, post);
}

static void on_notice(void *ctx)
{
	struct notice_post *post = ctx;

	if (!login_cancelled(post->login))
		post->login->events.notice(post->login->ctx, post->text, post->raw);
	free(post->text);
	free(post);
}

/* Takes text. */
static void tell(struct login *l, char *text, bool raw)
{
	char **kept = raw ? &l->result.banner : &l->result.warnings, *all;
	struct notice_post *post;

	if (l->events.notice != NULL) {
		post = xcalloc(1, sizeof(*post));
		post->login = l;
		post->text = text;
		post->raw = raw;
		worker_post(l->workers, on_notice, post);
		return;
	}
	all = xasprintf("%s%s", *kept != NULL ? *kept : "", text);
	free(text);
	free(*kept);
	*kept = all;
}

void login_warn(struct login *l, const char *fmt, ...)
{
	char *line;
	va_list ap;

	va_start(ap, fmt);
	line = xvasprintf(fmt, ap);
	va_end(ap);
	tell(l, xasprintf("%s\n", line), false);
	free(line);
}

void login_info(struct login *l, const char *fmt, ...)
{
	char *line;
	va_list ap;

	if (l->dest->log_level < 0)
		return;
	va_start(ap, fmt);
	line = xvasprintf(fmt, ap);
	va_end(ap);
	tell(l, xasprintf("%s\n", line), false);
	free(line);
}

/* The server's words before it lets anybody in, once. */
static void tell_banner(struct login *l)
{
	char *banner = l->banner_told ? NULL : ssh_get_issue_banner(l->session);

	if (banner == NULL)
		return;
	l->banner_told = true;
	tell(l, xstrdup(banner), true);
	ssh_string_free_char(banner);
}

char *login_visible(const char *text)
{
	size_t len = strlen(text), n = 0;
	char *out = xmalloc(len * 4 + 1);

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\r')
			continue;
		if (c == '\n' || c == '\t' || (c >= 0x20 && c != 0x7f)) {
			out[n++] = (char)c;
		} else {
			snprintf(out + n, 5, "\\%03o", c);
			n += 4;
		}
	}
	out[n] = '\0';
	return out;
}

/* --- questions --- */

static void on_prompt(void *ctx)
{
	struct prompt_post *post = ctx;
	struct login *l = post->login;
	bool open;

	pthread_mutex_lock(&l->lock);
	open = l->prompt_open == post->number;
	pthread_mutex_unlock(&l->lock);
	if (open && !login_cancelled(l))
		l->events.prompt(l->ctx, &post->words);
	for (size_t i = 0; i < post->words.nfields; i++)
		free(post->words.fields[i].text);
	free(post->words.fields);
	free(post->words.intro);
	free(post);
}

static struct prompt_post *copy_prompt(struct login *l, const struct proto_prompt *p)
{
	struct prompt_post *q = xcalloc(1, sizeof(*q));

	q->login = l;
	q->words.kind = p->kind;
	q->words.intro = p->intro != NULL ? xstrdup(p->intro) : NULL;
	q->words.nfields = p->nfields;
	q->words.fields = xcalloc(p->nfields > 0 ? p->nfields : 1, sizeof(*q->words.fields));
	for (size_t i = 0; i < p->nfields; i++) {
		q->words.fields[i].text = xstrdup(p->fields[i].text);
		q->words.fields[i].echo = p->fields[i].echo;
	}
	return q;
}

void login_answers_free(char **answers)
{
	if (answers == NULL)
		return;
	for (size_t i = 0; answers[i] != NULL; i++)
		free_secret_str(answers[i]);
	free(answers);
}

/* Waits for the answer, a cancel, or the server's hanging up. */
static int wait_answer(struct login *l)
{
	uint64_t until = login_now_ms() + THINK_MS;
	struct pollfd p[3] = {{.fd = l->answer_fd, .events = POLLIN},
			      {.fd = l->cancel_fd, .events = POLLIN},
			      {.fd = l->fd, .events = POLLRDHUP}};

	for (;;) {
		int n = poll(p, 3, time_left(until, login_now_ms(), 60000));

		if (login_cancelled(l)) {
			cause_set(&l->result.why, CAUSE_CLIENT_GONE, "%s: login cancelled",
				  l->where);
			return HW_EPERM;
		}
		if (n > 0 && p[0].revents != 0)
			return HW_OK;
		if (n > 0 && (p[2].revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) {
			cause_set(&l->result.why, CAUSE_LOGIN_GRACE,
				  "%s: the server closed the connection while it waited for an "
				  "answer: its login grace time is over",
				  l->where);
			cause_hint(&l->result.why, "answer sooner, or raise LoginGraceTime in the "
						   "server's sshd_config");
			return HW_EOF;
		}
		if (login_now_ms() >= until) {
			cause_set(&l->result.why, CAUSE_PROMPT, "%s: nobody answered within %u min",
				  l->where, THINK_MS / 60000u);
			return HW_ETIMEOUT;
		}
	}
}

int login_ask(struct login *l, const struct proto_prompt *p, char ***answers)
{
	struct prompt_post *q = copy_prompt(l, p);
	uint64_t asked = login_now_ms(), count;
	char *reason;
	int rc;

	*answers = NULL;
	tell_banner(l);
	l->result.prompted = true;
	pthread_mutex_lock(&l->lock);
	q->number = l->prompt_open = ++l->prompts;
	l->prompt_fields = p->nfields;
	l->answered = false;
	pthread_mutex_unlock(&l->lock);
	worker_post(l->workers, on_prompt, q);

	rc = wait_answer(l);
	l->deadline_ms += login_now_ms() - asked;
	pthread_mutex_lock(&l->lock);
	l->prompt_open = 0;
	*answers = l->answers;
	reason = l->reason;
	l->answers = NULL;
	l->reason = NULL;
	pthread_mutex_unlock(&l->lock);
	(void)!read(l->answer_fd, &count, sizeof(count));

	if (rc == HW_OK && *answers == NULL) {
		cause_set(&l->result.why, CAUSE_PROMPT, "%s: %s needs an answer, and %s", l->where,
			  l->phase, reason != NULL ? reason : "nobody could be asked");
		cause_hint(&l->result.why, "run it from a terminal, or set SSH_ASKPASS");
		rc = HW_EPERM;
	} else if (rc != HW_OK) {
		login_answers_free(*answers);
		*answers = NULL;
	}
	free(reason);
	return rc;
}

int login_ask_one(struct login *l, enum proto_prompt_kind kind, const char *intro, const char *text,
		  bool echo, char **answer)
{
	struct proto_field field = {.text = login_visible(text), .echo = echo};
	struct proto_prompt p = {.kind = kind, .fields = &field, .nfields = 1};
	char **answers;
	int rc;

	p.intro = intro != NULL ? login_visible(intro) : NULL;
	rc = login_ask(l, &p, &answers);
	free(field.text);
	free(p.intro);
	if (rc != HW_OK)
		return rc;
	*answer = answers[0];
	free(answers);
	return HW_OK;
}

/* Loop thread. */
void login_answer(struct login *l, char *const *answers, const char *reason)
{
	const uint64_t one = 1;

	pthread_mutex_lock(&l->lock);
	if (l->prompt_open != 0 && !l->answered) {
		if (answers != NULL && strv_len(answers) == l->prompt_fields)
			l->answers = strv_dup(answers);
		else
			l->reason = xstrdup(answers != NULL  ? "the answer did not fit the question"
					    : reason != NULL ? reason
							     : "nobody could be asked");
		l->answered = true;
		(void)!write(l->answer_fd, &one, sizeof(one));
	}
	pthread_mutex_unlock(&l->lock);
}

/* --- the job --- */

void login_end_session(ssh_session session)
{
	const socket_t none = SSH_INVALID_SOCKET;

	/* libssh closes a descriptor that it was given on some error paths, also within
	 * ssh_disconnect(), and on others not. Made its own, it is closed once, by libssh: a
	 * second close() may hit what another thread has just opened. */
	ssh_options_set(session, SSH_OPTIONS_FD, &none);
	if ((ssh_get_status(session) & SSH_CLOSED_ERROR) == 0)
		ssh_disconnect(session);
	ssh_free(session);
}

static void close_session(struct login *l)
{
	if (l->session == NULL)
		return;
	login_end_session(l->session);
	l->session = NULL;
}

static void run_login(void *ctx)
{
	struct login *l = ctx;
	uint64_t begin = login_now_ms(), kex_done;
	bool ok = false;

	if (login_cancelled(l))
		return;
	l->deadline_ms = begin + l->timeout_ms;
	if (handshake_run(l) == HW_OK) {
		kex_done = login_now_ms();
		l->result.kex_ms = (unsigned)(kex_done - begin);
		l->timeout_ms = l->auth_timeout_ms;
		l->deadline_ms = kex_done + l->timeout_ms;
		if (trust_run(l) == HW_OK) {
			kex_done = login_now_ms();
			ok = auth_run(l) == HW_OK;
			l->result.auth_ms = (unsigned)(login_now_ms() - kex_done);
			tell_banner(l);
		}
	}
	if (ok && !login_cancelled(l)) {
		l->result.session = l->session;
		l->result.binding = &l->binding;
		l->session = NULL;
		return;
	}
	log_debug("login %s: failed: %s", l->where, l->result.why.text);
	close_session(l);
}

static void close_fd(int fd)
{
	if (fd != -1)
		close(fd);
}

static void destroy(struct login *l)
{
	close_session(l);
	knownhosts_finish(&l->known);
	agent_binding_finish(&l->binding);
	login_answers_free(l->answers);
	free(l->reason);
	free(l->result.banner);
	free(l->result.warnings);
	close_fd(l->fd);
	close_fd(l->cancel_fd);
	close_fd(l->answer_fd);
	pthread_mutex_destroy(&l->lock);
	destination_unref(l->dest);
	origin_unref(l->origin);
	free(l);
}

/* Loop thread; all posts of this login have been run. */
static void on_login_end(void *ctx)
{
	struct login *l = ctx;

	if (login_cancelled(l)) {
		/* A session that was ready at the same moment has no owner: it is ours to end. */
		l->session = l->result.session;
		l->result.session = NULL;
	} else {
		l->events.done(l->ctx, &l->result);
	}
	destroy(l);
}

static void describe_host(struct login *l, const struct login_params *params)
{
	const struct destination *d = params->dest;

	snprintf(l->peer, sizeof(l->peer), "%s", params->peer);
	if (l->peer[0] == '\0')
		snprintf(l->where, sizeof(l->where), "%s (port %u)", d->typed, d->port);
	else if (strcmp(l->peer, d->typed) == 0)
		snprintf(l->where, sizeof(l->where), "%s port %u", d->typed, d->port);
	else
		snprintf(l->where, sizeof(l->where), "%s (%s port %u)", d->typed, l->peer, d->port);
}

static void run_nothing(void *ctx)
{
	(void)ctx;
}

struct login *login_start(struct worker_pool *workers, const struct login_params *params,
			  const struct login_events *events, void *ctx)
{
	struct login *l = xcalloc(1, sizeof(*l));

	l->workers = workers;
	l->dest = destination_ref(params->dest);
	l->origin = origin_ref(params->origin);
	l->events = *events;
	l->ctx = ctx;
	l->hint = params->hint;
	l->timeout_ms = params->timeout_ms > 0 ? params->timeout_ms : DEFAULT_TIMEOUT_MS;
	l->auth_timeout_ms =
		params->auth_timeout_ms > 0 ? params->auth_timeout_ms : DEFAULT_TIMEOUT_MS;
	l->phase = "login";
	atomic_init(&l->cancelled, false);
	pthread_mutex_init(&l->lock, NULL);
	describe_host(l, params);
	l->fd = fcntl(params->fd, F_DUPFD_CLOEXEC, 0);
	l->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->answer_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->fd == -1 || l->cancel_fd == -1 || l->answer_fd == -1) {
		cause_set(&l->result.why, CAUSE_LIMIT, "%s: no descriptor left to log in with: %s",
			  l->where, strerror(errno));
		cause_hint(&l->result.why, "raise the limit of open files (ulimit -n)");
		worker_submit(workers, run_nothing, on_login_end, l);
	} else {
		worker_submit(workers, run_login, on_login_end, l);
	}
	return l;
}

void login_cancel(struct login *l)
{
	const uint64_t one = 1;

	atomic_store(&l->cancelled, true);
	(void)!write(l->cancel_fd, &one, sizeof(one));
}
