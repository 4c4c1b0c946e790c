#include "daemon/agent.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/login_priv.h"
#include "protocol/alloc.h"

/* To connect and to list: no person is asked for these. */
#define AGENT_TIMEOUT_MS 5000u
/* As OpenSSH and libssh limit a reply; and a number of keys that nobody has. */
#define AGENT_MESSAGE_MAX (256u * 1024u)
#define AGENT_KEYS_MAX	  1024u

enum agent_message {
	AGENT_FAILURE = 5,
	AGENT_REQUEST_IDENTITIES = 11,
	AGENT_IDENTITIES_ANSWER = 12,
	AGENT_SIGN_REQUEST = 13,
	AGENT_SIGN_RESPONSE = 14,
};

struct agent {
	int fd, cancel_fd;
	struct agent_key *keys;
	size_t nkeys;

	/* the relay */
	pthread_t thread;
	int theirs, ours; /* libssh's end and the relay's; -1 = not running */
	size_t *order;
	size_t norder;
	uint64_t deadline_ms;
	struct agent_relay_result seen; /* the thread's, until it is joined */
};

struct message {
	uint8_t *data;
	uint32_t len;
};

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* --- bytes, with a deadline --- */

/* Waits for fd, the cancel, or (watch != -1) the hang-up of another descriptor. */
static int wait_fd(const struct agent *a, int fd, short events, int watch, uint64_t deadline_ms)
{
	struct pollfd p[3] = {{.fd = fd, .events = events},
			      {.fd = a->cancel_fd, .events = POLLIN},
			      {.fd = watch, .events = 0}};

	for (;;) {
		uint64_t now = login_now_ms();
		int n, left = 60000;

		if (deadline_ms <= now)
			return HW_ETIMEOUT;
		if (deadline_ms - now < (uint64_t)left)
			left = (int)(deadline_ms - now);
		n = poll(p, 3, left);
		if (n < 0 && errno != EINTR)
			return HW_ESYS;
		if (n <= 0)
			continue;
		if (p[1].revents != 0)
			return HW_EPERM;
		if (p[0].revents != 0)
			return HW_OK;
		if (p[2].revents != 0)
			return HW_EOF;
	}
}

static int read_all(const struct agent *a, int fd, void *buf, size_t len, int watch,
		    uint64_t deadline_ms)
{
	uint8_t *p = buf;

	while (len > 0) {
		ssize_t n;
		int rc = wait_fd(a, fd, POLLIN, watch, deadline_ms);

		if (rc != HW_OK)
			return rc;
		n = recv(fd, p, len, MSG_DONTWAIT);
		if (n == 0)
			return HW_EOF;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return HW_ESYS;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return HW_OK;
}

static int write_all(const struct agent *a, int fd, const void *buf, size_t len,
		     uint64_t deadline_ms)
{
	const uint8_t *p = buf;

	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return HW_ESYS;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else {
			int rc = wait_fd(a, fd, POLLOUT, -1, deadline_ms);

			if (rc != HW_OK)
				return rc;
		}
	}
	return HW_OK;
}

static int read_message(const struct agent *a, int fd, struct message *m, int watch,
			uint64_t deadline_ms)
{
	uint8_t head[4];
	int rc = read_all(a, fd, head, sizeof(head), watch, deadline_ms);

	if (rc != HW_OK)
		return rc;
	m->len = get_u32(head);
	if (m->len == 0 || m->len > AGENT_MESSAGE_MAX)
		return HW_EPROTO;
	m->data = xmalloc(m->len);
	rc = read_all(a, fd, m->data, m->len, watch, deadline_ms);
	if (rc != HW_OK) {
		free(m->data);
		m->data = NULL;
	}
	return rc;
}

static int write_message(const struct agent *a, int fd, const struct message *m,
			 uint64_t deadline_ms)
{
	uint8_t head[4];
	int rc;

	put_u32(head, m->len);
	rc = write_all(a, fd, head, sizeof(head), deadline_ms);
	return rc == HW_OK ? write_all(a, fd, m->data, m->len, deadline_ms) : rc;
}

/* --- connect and list --- */

static int connect_agent(const struct agent *a, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = strlen(path);

	if (len >= sizeof(addr.sun_path)) {
		errno = ENAMETOOLONG;
		return HW_ESYS;
	}
	memcpy(addr.sun_path, path, len);
	/* unix(7): a full backlog is EAGAIN at once, so this never blocks. */
	if (connect(a->fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
		return HW_ESYS;
	return HW_OK;
}

/* The next string of a message; false when it does not fit. */
static bool take_string(const struct message *m, uint32_t *pos, const uint8_t **s, uint32_t *len)
{
	if (m->len - *pos < 4)
		return false;
	*len = get_u32(m->data + *pos);
	*pos += 4;
	if (*len > m->len - *pos)
		return false;
	*s = m->data + *pos;
	*pos += *len;
	return true;
}

static int parse_keys(struct agent *a, const struct message *m)
{
	uint32_t pos = 1, count;

	if (m->data[0] == AGENT_FAILURE)
		return HW_OK; /* a locked agent lists nothing */
	if (m->data[0] != AGENT_IDENTITIES_ANSWER || m->len < 5)
		return HW_EPROTO;
	count = get_u32(m->data + pos);
	pos += 4;
	if (count > AGENT_KEYS_MAX)
		return HW_ETOOBIG;
	a->keys = xcalloc(count > 0 ? count : 1, sizeof(*a->keys));
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *blob, *comment;
		uint32_t blob_len, comment_len;
		char *raw;

		if (!take_string(m, &pos, &blob, &blob_len) ||
		    !take_string(m, &pos, &comment, &comment_len))
			return HW_EPROTO;
		a->keys[i].blob.data = xmemdup(blob, blob_len);
		a->keys[i].blob.len = blob_len;
		raw = xstrndup((const char *)comment, comment_len);
		a->keys[i].comment = login_visible(raw);
		free(raw);
		a->nkeys++;
	}
	return HW_OK;
}

static int list_keys(struct agent *a)
{
	uint8_t type = AGENT_REQUEST_IDENTITIES;
	const struct message ask = {.data = &type, .len = 1};
	struct message answer = {.data = NULL};
	uint64_t deadline_ms = login_now_ms() + AGENT_TIMEOUT_MS;
	int rc = write_message(a, a->fd, &ask, deadline_ms);

	if (rc == HW_OK)
		rc = read_message(a, a->fd, &answer, -1, deadline_ms);
	if (rc == HW_OK)
		rc = parse_keys(a, &answer);
	free(answer.data);
	return rc;
}

struct agent *agent_open(const char *path, int cancel_fd, char *why, size_t why_size)
{
	struct agent *a = xcalloc(1, sizeof(*a));
	int rc;

	a->theirs = a->ours = -1;
	a->cancel_fd = cancel_fd;
	a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	rc = a->fd == -1 ? HW_ESYS : connect_agent(a, path);
	if (rc == HW_OK)
		rc = list_keys(a);
	if (rc == HW_OK)
		return a;
	if (rc == HW_ESYS)
		snprintf(why, why_size, "cannot be reached: %s", strerror(errno));
	else if (rc == HW_ETIMEOUT)
		snprintf(why, why_size, "does not answer within %u s", AGENT_TIMEOUT_MS / 1000u);
	else if (rc == HW_EOF)
		snprintf(why, why_size, "hung up");
	else
		snprintf(why, why_size, "%s", hw_strerror(rc));
	agent_close(a);
	return NULL;
}

void agent_close(struct agent *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < a->nkeys; i++) {
		keyblob_finish(&a->keys[i].blob);
		free(a->keys[i].comment);
	}
	free(a->keys);
	if (a->fd != -1)
		close(a->fd);
	free(a);
}

size_t agent_key_count(const struct agent *a)
{
	return a->nkeys;
}

const struct agent_key *agent_key_at(const struct agent *a, size_t i)
{
	return &a->keys[i];
}

/* --- the relay --- */

static struct message keys_answer(const struct agent *a)
{
	struct message m = {.len = 5};
	uint32_t pos = 5;

	for (size_t i = 0; i < a->norder; i++) {
		const struct agent_key *k = &a->keys[a->order[i]];

		m.len += 8 + (uint32_t)k->blob.len + (uint32_t)strlen(k->comment);
	}
	m.data = xmalloc(m.len);
	m.data[0] = AGENT_IDENTITIES_ANSWER;
	put_u32(m.data + 1, (uint32_t)a->norder);
	for (size_t i = 0; i < a->norder; i++) {
		const struct agent_key *k = &a->keys[a->order[i]];
		uint32_t comment_len = (uint32_t)strlen(k->comment);

		put_u32(m.data + pos, (uint32_t)k->blob.len);
		memcpy(m.data + pos + 4, k->blob.data, k->blob.len);
		pos += 4 + (uint32_t)k->blob.len;
		put_u32(m.data + pos, comment_len);
		memcpy(m.data + pos + 4, k->comment, comment_len);
		pos += 4 + comment_len;
	}
	return m;
}

static void note_key(struct agent *a, const struct message *request)
{
	const uint8_t *blob;
	uint32_t pos = 1, len;

	a->seen.asked_to_sign = true;
	a->seen.refused = true; /* until it has signed */
	if (!take_string(request, &pos, &blob, &len))
		return;
	for (size_t i = 0; i < a->norder; i++) {
		const struct keyblob *b = &a->keys[a->order[i]].blob;

		if (b->len == len && memcmp(b->data, blob, len) == 0)
			a->seen.key = a->order[i];
	}
}

/* The signature of the real agent, which may wait for a touch or a person. */
static struct message sign(struct agent *a, const struct message *request)
{
	struct message answer = {.data = NULL};

	note_key(a, request);
	if (write_message(a, a->fd, request, a->deadline_ms) == HW_OK &&
	    read_message(a, a->fd, &answer, a->ours, a->deadline_ms) == HW_OK)
		a->seen.refused = answer.data[0] != AGENT_SIGN_RESPONSE;
	return answer;
}

static void *relay_main(void *arg)
{
	struct agent *a = arg;
	struct message request, answer;

	while (read_message(a, a->ours, &request, -1, a->deadline_ms) == HW_OK) {
		int rc;

		if (request.data[0] == AGENT_REQUEST_IDENTITIES)
			answer = keys_answer(a);
		else if (request.data[0] == AGENT_SIGN_REQUEST)
			answer = sign(a, &request);
		else
			answer.data = NULL;
		free(request.data);
		if (answer.data == NULL)
			break;
		rc = write_message(a, a->ours, &answer, a->deadline_ms);
		free(answer.data);
		if (rc != HW_OK)
			break;
	}
	/* libssh waits in recv(2): this ends it. */
	shutdown(a->ours, SHUT_RDWR);
	return NULL;
}

int agent_relay_start(struct agent *a, const size_t *order, size_t n, uint64_t deadline_ms)
{
	sigset_t all, before;
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	a->theirs = pair[0];
	a->ours = pair[1];
	a->order = xmemdup(order, n * sizeof(*order));
	a->norder = n;
	a->deadline_ms = deadline_ms;
	a->seen = (struct agent_relay_result){.asked_to_sign = false};
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&a->thread, NULL, relay_main, a);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		return a->theirs;
	close(pair[0]);
	close(pair[1]);
	a->theirs = a->ours = -1;
	free(a->order);
	a->order = NULL;
	errno = rc;
	return -1;
}

struct agent_relay_result agent_relay_stop(struct agent *a)
{
	close(a->theirs);
	pthread_join(a->thread, NULL);
	close(a->ours);
	a->theirs = a->ours = -1;
	free(a->order);
	a->order = NULL;
	return a->seen;
}
