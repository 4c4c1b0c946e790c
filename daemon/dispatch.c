#include "daemon/dispatch.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "daemon/app.h"
#include "daemon/control.h"
#include "daemon/journal.h"
#include "daemon/lock.h"
#include "daemon/session.h"
#include "protocol/alloc.h"
#include "protocol/decode.h"
#include "protocol/encode.h"
#include "protocol/log.h"

/* ERROR about the connection as a whole. Clients number their requests from 1. */
#define NO_REQUEST 0

/* A request that was made and is not done. The session's events come with this as ctx. */
struct live_request {
	struct dispatch *dispatch;
	uint32_t number;
	bool want_started;
	struct session *session;
	struct live_request *prev, *next;
};

struct dispatch {
	struct app *app;
	long peer_pid;
	dispatch_send send;
	void *ctx;
	struct live_request *live;
	size_t live_count;
};

/* One message on its way to its handler. fds[0..nfds) are closed after the handler, unless it has
 * set nfds to 0. */
struct call {
	const struct proto_message *message;
	struct live_request *live; /* of phase LIVE only */
	int fds[PROTO_FDS_MAX];
	size_t nfds;
};

/* HW_EPROTO: malformed; nothing was done. */
typedef int (*handler)(struct dispatch *d, struct call *call);

enum direction { C2D, D2C };
enum phase { ANY, LIVE };

struct rule {
	unsigned type;
	enum direction direction;
	enum phase phase;
};

static const struct rule rules[] = {
#define X(name, number, direction, phase) {number, direction, phase},
#include "protocol/messages.def"
#undef X
};

static void dispatch_put(struct dispatch *d, uint8_t *frame, size_t len)
{
	if (frame)
		d->send(d->ctx, frame, len);
	else
		log_error("client %ld: a message passed the protocol's limits and was dropped",
			  d->peer_pid);
}

static void HW_PRINTF(3, 4)
	dispatch_error(struct dispatch *d, uint32_t number, const char *fmt, ...)
{
	struct proto_error m;
	va_list ap;
	size_t len;
	uint8_t *frame;

	va_start(ap, fmt);
	m.text = xvasprintf(fmt, ap);
	va_end(ap);
	log_info("client %ld: %s", d->peer_pid, m.text);
	frame = proto_encode_error(number, &m, &len);
	dispatch_put(d, frame, len);
	free(m.text);
}

void dispatch_refuse(struct dispatch *d, const char *text)
{
	dispatch_error(d, NO_REQUEST, "%s", text);
}

static void dispatch_exit(struct dispatch *d, uint32_t number, const char *error, const char *hint,
			  bool ran)
{
	/* Encoding only reads. */
	struct proto_exit m = {.error = (char *)(uintptr_t)error,
			       .hint = (char *)(uintptr_t)hint,
			       .stage = ran ? NULL : (char *)(uintptr_t) "resolving",
			       .ran = ran};
	size_t len;
	uint8_t *frame = proto_encode_exit(number, &m, &len);

	dispatch_put(d, frame, len);
}

static void dispatch_locked(struct dispatch *d, uint32_t number, const char *host)
{
	struct cause why;
	struct proto_exit m = {.cause = (char *)(uintptr_t)cause_name(CAUSE_LOCKED),
			       .stage = (char *)(uintptr_t) "resolving"};
	char text[1024];
	size_t len;
	uint8_t *frame;

	lock_cause(&why);
	m.error = why.text;
	m.hint = why.hint;
	frame = proto_encode_exit(number, &m, &len);
	dispatch_put(d, frame, len);
	snprintf(text, sizeof(text), "not begun: %s", why.text);
	journal_add(d->app->journal, &(struct journal_entry){.kind = JOURNAL_REQUEST_END,
							     .typed = host,
							     .pid = d->peer_pid,
							     .text = text});
}

static struct live_request *live_find(const struct dispatch *d, uint32_t number)
{
	struct live_request *r = d->live;

	while (r && r->number != number)
		r = r->next;
	return r;
}

static struct live_request *live_add(struct dispatch *d, uint32_t number)
{
	struct live_request *r = xcalloc(1, sizeof(*r));

	r->dispatch = d;
	r->number = number;
	r->next = d->live;
	if (r->next)
		r->next->prev = r;
	d->live = r;
	d->live_count++;
	return r;
}

static void live_remove(struct live_request *r)
{
	struct dispatch *d = r->dispatch;

	if (r->prev)
		r->prev->next = r->next;
	else
		d->live = r->next;
	if (r->next)
		r->next->prev = r->prev;
	d->live_count--;
	free(r);
}

/* ---- events of sessions ---- */

static void on_session_started(void *ctx, const struct proto_started *m)
{
	struct live_request *r = ctx;
	size_t len;
	uint8_t *frame;

	if (!r->want_started && !m->background)
		return;
	frame = proto_encode_started(r->number, m, &len);
	dispatch_put(r->dispatch, frame, len);
}

static void on_session_prompt(void *ctx, const struct proto_prompt *m)
{
	struct live_request *r = ctx;
	size_t len;
	uint8_t *frame = proto_encode_prompt(r->number, m, &len);

	dispatch_put(r->dispatch, frame, len);
}

static void on_session_notice(void *ctx, const struct proto_notice *m)
{
	struct live_request *r = ctx;
	size_t len;
	uint8_t *frame = proto_encode_notice(r->number, m, &len);

	dispatch_put(r->dispatch, frame, len);
}

static void on_session_progress(void *ctx, const struct proto_progress *m)
{
	struct live_request *r = ctx;
	size_t len;
	uint8_t *frame = proto_encode_progress(r->number, m, &len);

	dispatch_put(r->dispatch, frame, len);
}

static void on_session_fallback(void *ctx, const char *why)
{
	struct live_request *r = ctx;
	const struct proto_fallback m = {.why = (char *)(uintptr_t)why};
	size_t len;
	uint8_t *frame = proto_encode_fallback(r->number, &m, &len);

	dispatch_put(r->dispatch, frame, len);
	live_remove(r);
}

static void on_session_done(void *ctx, const struct proto_exit *m)
{
	struct live_request *r = ctx;
	size_t len;
	uint8_t *frame = proto_encode_exit(r->number, m, &len);

	if (frame)
		dispatch_put(r->dispatch, frame, len);
	else /* its words were too many; the client must hear of the end all the same */
		dispatch_exit(r->dispatch, r->number,
			      "the request ended, and the reason is too long to be told", NULL,
			      m->ran);
	live_remove(r);
}

static const struct session_events session_events = {
	.started = on_session_started,
	.prompt = on_session_prompt,
	.notice = on_session_notice,
	.progress = on_session_progress,
	.fallback = on_session_fallback,
	.done = on_session_done,
};

/* ---- messages of clients ---- */

/* Gives the descriptors of the call to the streams that name them. */
static bool request_take_fds(struct call *call, struct session_request *request)
{
	size_t taken = 0;

	for (size_t i = 0; i < HW_ARRAY_LEN(request->fds); i++)
		request->fds[i] = -1;
	for (size_t i = 0; i < HW_ARRAY_LEN(request->fds); i++) {
		if (request->words.streams[i] != PROTO_STREAM_FD)
			continue;
		if (taken == call->nfds)
			return false;
		request->fds[i] = call->fds[taken++];
	}
	return taken == call->nfds;
}

static int handle_request(struct dispatch *d, struct call *call)
{
	struct session_request request = {.peer_pid = d->peer_pid};
	uint32_t number = call->message->request;
	struct live_request *r;
	int result = proto_decode_request(call->message, &request.words);

	if (result != HW_OK)
		return result;
	if (!request_take_fds(call, &request) || live_find(d, number)) {
		proto_request_free(&request.words);
		return HW_EPROTO;
	}
	if (d->app->locked) {
		dispatch_locked(d, number, request.words.host);
		proto_request_free(&request.words);
		return HW_OK;
	}
	if (d->app->stopping || d->live_count >= PROTO_REQUESTS_MAX) {
		proto_request_free(&request.words);
		if (d->app->stopping)
			dispatch_exit(d, number, "hawserd is stopping and takes no new requests",
				      "run it again: that starts a new hawserd", false);
		else
			dispatch_exit(d, number,
				      "too many requests at once on one connection to hawserd",
				      "wait for some of them to end", false);
		return HW_OK;
	}
	r = live_add(d, number);
	r->want_started = (request.words.flags & PROTO_WANT_STARTED) != 0;
	call->nfds = 0;
	r->session = session_start(d->app, &request, &session_events, r);
	return HW_OK;
}

static int handle_signal(struct dispatch *d, struct call *call)
{
	struct proto_signal m;
	int result = proto_decode_signal(call->message, &m);

	(void)d;
	if (result == HW_OK) {
		session_signal(call->live->session, m.name);
		proto_signal_free(&m);
	}
	return result;
}

static int handle_resize(struct dispatch *d, struct call *call)
{
	struct proto_winsize m;
	int result = proto_decode_resize(call->message, &m);

	(void)d;
	if (result == HW_OK)
		session_resize(call->live->session, &m);
	return result;
}

static int handle_action(struct dispatch *d, struct call *call)
{
	struct proto_action m;
	int result = proto_decode_action(call->message, &m);

	(void)d;
	if (result == HW_OK) {
		session_action(call->live->session, &m);
		proto_action_free(&m);
	}
	return result;
}

static int handle_answer(struct dispatch *d, struct call *call)
{
	struct proto_answer m;
	int result = proto_decode_answer(call->message, &m);

	(void)d;
	if (result == HW_OK) {
		session_answer(call->live->session, &m);
		proto_answer_free(&m);
	}
	return result;
}

static int handle_cancel(struct dispatch *d, struct call *call)
{
	struct live_request *r = call->live;

	session_abort(r->session);
	dispatch_exit(d, r->number, "the request was cancelled", NULL, true);
	live_remove(r);
	return HW_OK;
}

static int handle_control(struct dispatch *d, struct call *call)
{
	struct proto_control m;
	size_t len;
	uint8_t *frame;
	int result = proto_decode_control(call->message, &m);

	if (result == HW_OK) {
		frame = control_run(d->app, &m, call->message->request, &len);
		dispatch_put(d, frame, len);
		proto_control_free(&m);
	}
	return result;
}

static int handle_ping(struct dispatch *d, struct call *call)
{
	size_t len;
	uint8_t *frame = proto_encode_empty(PROTO_PONG, call->message->request, &len);

	dispatch_put(d, frame, len);
	return HW_OK;
}

static handler dispatch_handler(unsigned type)
{
	switch (type) {
	case PROTO_REQUEST:
		return handle_request;
	case PROTO_SIGNAL:
		return handle_signal;
	case PROTO_RESIZE:
		return handle_resize;
	case PROTO_ACTION:
		return handle_action;
	case PROTO_ANSWER:
		return handle_answer;
	case PROTO_CANCEL:
		return handle_cancel;
	case PROTO_CONTROL:
		return handle_control;
	case PROTO_PING:
		return handle_ping;
	default:
		return NULL;
	}
}

static const struct rule *dispatch_rule(unsigned type)
{
	for (size_t i = 0; i < HW_ARRAY_LEN(rules); i++) {
		if (rules[i].type == type)
			return &rules[i];
	}
	return NULL;
}

/* The only place where direction and phase are judged: no handler can forget it. */
static int dispatch_call(struct dispatch *d, struct call *call)
{
	const struct proto_message *m = call->message;
	const struct rule *rule = dispatch_rule(m->type);
	handler handle = dispatch_handler(m->type);
	int result;

	if (!rule || rule->direction != C2D || !handle) {
		dispatch_error(d, m->request,
			       "message type %u (%s) is not one that this hawserd (%s) takes",
			       m->type, proto_type_name(m->type), HAWSER_VERSION);
		return HW_OK;
	}
	if (call->nfds > 0 && m->type != PROTO_REQUEST) {
		dispatch_error(d, NO_REQUEST, "%s came with descriptors, which only REQUEST may",
			       proto_type_name(m->type));
		return HW_EPROTO;
	}
	if (rule->phase == LIVE) {
		call->live = live_find(d, m->request);
		if (!call->live) {
			dispatch_error(d, m->request, "%s for request %u, which is not live",
				       proto_type_name(m->type), m->request);
			return HW_OK;
		}
	}
	result = handle(d, call);
	if (result != HW_OK)
		dispatch_error(d, NO_REQUEST, "malformed %s message (%s)", proto_type_name(m->type),
			       hw_strerror(result));
	return result == HW_OK ? HW_OK : HW_EPROTO;
}

int dispatch_message(struct dispatch *d, const uint8_t *payload, size_t len, const int *fds,
		     size_t nfds)
{
	struct proto_message m;
	struct call call = {.message = &m, .nfds = nfds};
	int result = proto_parse(payload, len, &m);

	for (size_t i = 0; i < nfds; i++)
		call.fds[i] = fds[i];
	if (result == HW_OK) {
		log_trace("client %ld: %s of request %u", d->peer_pid, proto_type_name(m.type),
			  m.request);
		result = dispatch_call(d, &call);
		proto_message_finish(&m);
	} else {
		dispatch_error(d, NO_REQUEST, "malformed message of %zu bytes (%s)", len,
			       hw_strerror(result));
		result = HW_EPROTO;
	}
	for (size_t i = 0; i < call.nfds; i++)
		close(call.fds[i]);
	return result;
}

struct dispatch *dispatch_create(struct app *app, long peer_pid, dispatch_send send, void *ctx)
{
	struct dispatch *d = xcalloc(1, sizeof(*d));

	d->app = app;
	d->peer_pid = peer_pid;
	d->send = send;
	d->ctx = ctx;
	return d;
}

void dispatch_destroy(struct dispatch *d)
{
	if (!d)
		return;
	while (d->live) {
		session_abort(d->live->session);
		live_remove(d->live);
	}
	free(d);
}

size_t dispatch_live(const struct dispatch *d)
{
	return d->live_count;
}

void dispatch_shutdown(struct dispatch *d)
{
	while (d->live)
		session_stop(d->live->session);
}
