#include "daemon/agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/agent_priv.h"
#include "daemon/login_priv.h"
#include "daemon/sshwire.h"
#include "protocol/alloc.h"

/* A number of keys that nobody has. */
#define KEYS_MAX 1024u

enum constraint { CONSTRAIN_LIFETIME = 1, CONSTRAIN_CONFIRM = 2 };

static int parse_keys(struct agent *a, const struct agent_io_message *m)
{
	struct sshwire_in in = {.data = m->data + 1, .len = m->len - 1}, blob, comment;
	uint32_t count;

	if (m->data[0] == AGENT_FAILURE)
		return HW_OK; /* a locked agent lists nothing */
	if (m->data[0] != AGENT_IDENTITIES_ANSWER || !sshwire_u32(&in, &count))
		return HW_EPROTO;
	if (count > KEYS_MAX)
		return HW_ETOOBIG;
	a->keys = xcalloc(count > 0 ? count : 1, sizeof(*a->keys));
	for (uint32_t i = 0; i < count; i++) {
		char *raw;

		if (!sshwire_string(&in, &blob) || !sshwire_string(&in, &comment))
			return HW_EPROTO;
		a->keys[i].blob.data = xmemdup(blob.data, blob.len);
		a->keys[i].blob.len = blob.len;
		raw = xstrndup((const char *)comment.data, comment.len);
		a->keys[i].comment = login_visible(raw);
		free(raw);
		a->nkeys++;
	}
	return HW_OK;
}

static int list_keys(struct agent *a)
{
	const struct agent_io io = {.fd = a->fd,
				    .cancel_fd = a->cancel_fd,
				    .watch_fd = -1,
				    .deadline_ms = login_now_ms() + AGENT_IO_TIMEOUT_MS};
	const uint8_t ask = AGENT_REQUEST_IDENTITIES;
	struct agent_io_message answer = {.data = NULL};
	int rc = agent_io_ask(&io, &ask, 1, &answer);

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
	a->fd = agent_io_connect(path);
	rc = a->fd == -1 ? HW_ESYS : list_keys(a);
	if (rc == HW_OK)
		return a;
	if (rc == HW_ESYS)
		snprintf(why, why_size, "cannot be reached: %s", strerror(errno));
	else if (rc == HW_ETIMEOUT)
		snprintf(why, why_size, "does not answer within %u s", AGENT_IO_TIMEOUT_MS / 1000u);
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

void agent_on_slow(struct agent *a, void (*slow)(void *ctx, const struct agent_key *key), void *ctx)
{
	a->slow = slow;
	a->slow_ctx = ctx;
}

void agent_bind(struct agent *a, struct agent_binding *b)
{
	a->binding = b;
}

struct agent *agent_create_mute(const struct keyblob *key, int cancel_fd)
{
	struct agent *a = xcalloc(1, sizeof(*a));

	a->fd = a->theirs = a->ours = -1;
	a->cancel_fd = cancel_fd;
	a->keys = xcalloc(1, sizeof(*a->keys));
	a->keys->blob = (struct keyblob){.data = xmemdup(key->data, key->len), .len = key->len};
	a->keys->comment = xstrdup("");
	a->nkeys = 1;
	return a;
}

bool agent_binding_put(const struct agent_binding *b, bool forwarding, struct sshwire_out *out)
{
	static const char name[] = "session-bind@openssh.com";

	if (b->host_key.data == NULL || b->signature.data == NULL || b->session.data == NULL)
		return false;
	sshwire_put_u8(out, AGENT_EXTENSION);
	sshwire_put_string(out, name, strlen(name));
	sshwire_put_string(out, b->host_key.data, b->host_key.len);
	sshwire_put_string(out, b->session.data, b->session.len);
	sshwire_put_string(out, b->signature.data, b->signature.len);
	sshwire_put_u8(out, forwarding);
	return true;
}

void agent_binding_finish(struct agent_binding *b)
{
	keyblob_finish(&b->host_key);
	keyblob_finish(&b->signature);
	keyblob_finish(&b->session);
}

int agent_add(const char *path, int cancel_fd, const struct keyblob *private_key,
	      const char *comment, const struct agent_constraints *constraints)
{
	const struct agent_io io = {.fd = agent_io_connect(path),
				    .cancel_fd = cancel_fd,
				    .watch_fd = -1,
				    .deadline_ms = login_now_ms() + AGENT_IO_TIMEOUT_MS};
	bool constrained = constraints->lifetime > 0 || constraints->confirm;
	struct agent_io_message answer = {.data = NULL};
	struct sshwire_out out = {.data = NULL};
	int rc;

	if (io.fd == -1)
		return HW_ESYS;
	sshwire_put_u8(&out, constrained ? AGENT_ADD_ID_CONSTRAINED : AGENT_ADD_IDENTITY);
	sshwire_put_bytes(&out, private_key->data, private_key->len);
	sshwire_put_string(&out, comment, strlen(comment));
	if (constraints->lifetime > 0) {
		sshwire_put_u8(&out, CONSTRAIN_LIFETIME);
		sshwire_put_u32(&out, constraints->lifetime);
	}
	if (constraints->confirm)
		sshwire_put_u8(&out, CONSTRAIN_CONFIRM);
	rc = agent_io_ask(&io, out.data, out.len, &answer);
	if (rc == HW_OK && answer.data[0] != AGENT_SUCCESS)
		rc = HW_EPERM;
	free(answer.data);
	sshwire_out_finish(&out);
	close(io.fd);
	return rc;
}
