#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/agent_priv.h"
#include "daemon/login_priv.h"
#include "daemon/sshwire.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

/* A key that signs by itself does so within this time; else a person is waited for. */
#define SLOW_MS 500u

static const struct keyblob *shown(const struct agent *a, size_t i)
{
	const struct agent_offer *o = &a->offers[i];

	return o->cert != NULL ? o->cert : &a->keys[o->key].blob;
}

static struct agent_io_message keys_answer(const struct agent *a)
{
	struct sshwire_out out = {.data = NULL};

	sshwire_put_u8(&out, AGENT_IDENTITIES_ANSWER);
	sshwire_put_u32(&out, (uint32_t)a->noffers);
	for (size_t i = 0; i < a->noffers; i++) {
		const char *comment = a->keys[a->offers[i].key].comment;

		sshwire_put_string(&out, shown(a, i)->data, shown(a, i)->len);
		sshwire_put_string(&out, comment, strlen(comment));
	}
	return (struct agent_io_message){.data = out.data, .len = out.len};
}

/* The session's identifier is the first string of what is to be signed (RFC 4252, section 7). */
static void learn_session(struct agent *a, struct sshwire_in data)
{
	struct sshwire_in session;

	if (a->binding == NULL || a->binding->session.data != NULL ||
	    !sshwire_string(&data, &session) || session.len == 0)
		return;
	a->binding->session.data = xmemdup(session.data, session.len);
	a->binding->session.len = session.len;
}

/* Which server the signature is for, said once: without it the agent refuses keys that were added
 * for certain destinations only (ssh-add -h). */
static void bind_session(struct agent *a, const struct agent_io *io)
{
	struct agent_io_message answer = {.data = NULL};
	struct sshwire_out out = {.data = NULL};

	if (a->bound || a->binding == NULL || !agent_binding_put(a->binding, false, &out))
		return;
	a->bound = true;
	if (agent_io_ask(io, out.data, out.len, &answer) == HW_OK &&
	    answer.data[0] != AGENT_SUCCESS)
		log_debug("the agent does not bind its connection to the session");
	free(answer.data);
	sshwire_out_finish(&out);
}

/* The real agent's answer, which may wait for a touch or a person. */
static int wait_signature(struct agent *a, const struct agent_io *io,
			  struct agent_io_message *answer)
{
	struct agent_io first = *io;
	uint64_t slow_ms = login_now_ms() + SLOW_MS;

	if (slow_ms < io->deadline_ms) {
		first.deadline_ms = slow_ms;
		if (agent_io_wait(&first, POLLIN) == HW_ETIMEOUT && a->slow != NULL)
			a->slow(a->slow_ctx, &a->keys[a->offers[a->seen.offer].key]);
	}
	return agent_io_read(io, answer);
}

static struct agent_io_message sign(struct agent *a, const struct agent_io_message *request)
{
	const struct agent_io io = {.fd = a->fd,
				    .cancel_fd = a->cancel_fd,
				    .watch_fd = a->ours,
				    .deadline_ms = a->deadline_ms};
	struct sshwire_in in = {.data = request->data + 1, .len = request->len - 1}, blob, data;
	struct agent_io_message answer = {.data = NULL};
	struct sshwire_out out = {.data = NULL};
	const struct keyblob *signer = NULL;

	a->seen.asked_to_sign = true;
	a->seen.refused = true; /* until it has signed */
	if (!sshwire_string(&in, &blob) || !sshwire_string(&in, &data))
		return answer;
	for (size_t i = 0; i < a->noffers && signer == NULL; i++) {
		const struct keyblob *b = shown(a, i);

		if (b->len == blob.len && memcmp(b->data, blob.data, blob.len) == 0) {
			a->seen.offer = i;
			signer = &a->keys[a->offers[i].key].blob;
		}
	}
	if (signer == NULL)
		return answer;
	learn_session(a, data);
	if (a->fd == -1)
		return answer;
	bind_session(a, &io);
	/* For a certificate from a file the agent knows the plain key only. */
	sshwire_put_u8(&out, AGENT_SIGN_REQUEST);
	sshwire_put_string(&out, signer->data, signer->len);
	sshwire_put_string(&out, data.data, data.len);
	sshwire_put_bytes(&out, in.data, in.len); /* flags */
	if (agent_io_write(&io, out.data, out.len) == HW_OK &&
	    wait_signature(a, &io, &answer) == HW_OK)
		a->seen.refused = answer.data[0] != AGENT_SIGN_RESPONSE;
	sshwire_out_finish(&out);
	return answer;
}

static void *relay_main(void *arg)
{
	struct agent *a = arg;
	const struct agent_io io = {.fd = a->ours,
				    .cancel_fd = a->cancel_fd,
				    .watch_fd = -1,
				    .deadline_ms = a->deadline_ms};
	struct agent_io_message request, answer;

	while (agent_io_read(&io, &request) == HW_OK) {
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
		rc = agent_io_write(&io, answer.data, answer.len);
		free(answer.data);
		if (rc != HW_OK)
			break;
	}
	/* libssh waits in recv(2): this ends it. */
	shutdown(a->ours, SHUT_RDWR);
	return NULL;
}

int agent_relay_start(struct agent *a, const struct agent_offer *offers, size_t n,
		      uint64_t deadline_ms)
{
	sigset_t all, before;
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	a->theirs = pair[0];
	a->ours = pair[1];
	a->offers = xmemdup(offers, n * sizeof(*offers));
	a->noffers = n;
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
	free(a->offers);
	a->offers = NULL;
	errno = rc;
	return -1;
}

struct agent_relay_result agent_relay_stop(struct agent *a)
{
	close(a->theirs);
	pthread_join(a->thread, NULL);
	close(a->ours);
	a->theirs = a->ours = -1;
	free(a->offers);
	a->offers = NULL;
	return a->seen;
}
