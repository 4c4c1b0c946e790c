#include "daemon/transport_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/alloc.h"
#include "protocol/log.h"

/* One dopoll reads 4 kB at most: 128 of them, 512 kB, is what one transport may take per turn of
 * the loop before the others have theirs; its own channels have theirs after each 128 kB. */
#define TURN_ROUNDS	4
#define POLLS_PER_ROUND 32
/* What libssh reads at a time (0.10 to 0.12). */
#define LIBSSH_READ_SIZE 4096
/* A channel that moved data so lately makes the connection a bulk one for now. */
#define BULK_WINDOW_MS 1000
/* A download is read when so much has come (SO_RCVLOWAT), or at this interval: woken at every
 * packet, the daemon and sshd would spend more time on waking than on bytes. Not beside a terminal.
 */
#define GATHER_BYTES (256 * 1024)
#define GATHER_MS    1
/* A download that has paused so long is read at every packet again. */
#define GATHER_END_MS 3

static const char *state_name(enum transport_state s)
{
	switch (s) {
	case TRANSPORT_DIALLING:
		return "dialling";
	case TRANSPORT_LOGIN:
		return "login";
	case TRANSPORT_READY:
		return "ready";
	case TRANSPORT_CLOSED:
		return "closed";
	}
	return "?";
}

static const char *ready_name(enum transport_doubt doubt)
{
	return doubt == TRANSPORT_SURE	    ? "ready"
	       : doubt == TRANSPORT_SUSPECT ? "suspect"
					    : "silent";
}

void transport_set_state(struct transport *t, enum transport_state s)
{
	log_debug("%s transport %u: %s -> %s", t->dest->label, t->id, state_name(t->state),
		  state_name(s));
	t->state = s;
}

bool transport_session_dead(struct transport *t)
{
	return (ssh_get_status(t->session) & (SSH_CLOSED | SSH_CLOSED_ERROR)) != 0 ||
	       ssh_get_fd(t->session) == SSH_INVALID_SOCKET;
}

void transport_touch(struct transport *t)
{
	if (t->state == TRANSPORT_READY)
		defer_post(t->env->defer, &t->progress);
}

/* Lets libssh read and write what the socket has room for. True: there may be more. */
static bool pump(struct transport *t)
{
	for (int n = 0; n < POLLS_PER_ROUND; n++) {
		uint64_t before = t->socket.in_bytes;

		if (ssh_event_dopoll(t->event, 0) != SSH_OK)
			return false;
		/* A read that was not filled has emptied the socket: no poll to hear it said,
		 * unless libssh still wants to hear that it may write (it takes one event at a
		 * time). */
		if (t->socket.in_bytes - before < LIBSSH_READ_SIZE &&
		    !(ssh_get_poll_flags(t->session) & SSH_WRITE_PENDING))
			return false;
		/* An answer to it is to be looked at before the next packet comes. */
		if (transport_global_busy(t))
			return true;
	}
	return true;
}

static bool step_channels(struct transport *t)
{
	bool worked = false;

	/* Terminals first: a keystroke does not wait behind a copy's chunk. */
	for (int pass = t->terminals > 0 ? 0 : 1; pass < 2; pass++) {
		for (struct channel *c = t->channels; c != NULL; c = c->next) {
			if (t->terminals > 0 && c->terminal != (pass == 0))
				continue;
			if (channel_step(c))
				worked = true;
			if (transport_session_dead(t))
				return false;
		}
	}
	return worked;
}

/* Frees the channels that are through. Returns whether there were any. */
static bool sweep_channels(struct transport *t)
{
	struct channel **link = &t->channels;
	bool any = false;

	while (*link != NULL) {
		struct channel *c = *link;

		if (c->state != CHANNEL_DEAD || !c->released) {
			link = &c->next;
			continue;
		}
		*link = c->next;
		channel_destroy(c);
		any = true;
	}
	return any;
}

static void on_poll(uv_poll_t *handle, int status, int events);
static void on_gather(uv_timer_t *timer);

static bool receiving_bulk(const struct transport *t)
{
	return t->last_bulk_in_ms != 0 &&
	       uv_now(t->env->loop) - t->last_bulk_in_ms <= GATHER_END_MS;
}

static void set_low_water(struct transport *t, int bytes)
{
	if (t->low_water == bytes || !t->tcp)
		return;
	t->low_water = bytes;
	setsockopt(t->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

static void update_mask(struct transport *t)
{
	int mask = UV_READABLE;

	if (t->tcp && receiving_bulk(t) && t->terminals == 0) {
		set_low_water(t, GATHER_BYTES);
		if (!uv_is_active((uv_handle_t *)&t->gather))
			uv_timer_start(&t->gather, on_gather, GATHER_MS, 0);
	}
	if (ssh_get_poll_flags(t->session) & SSH_WRITE_PENDING)
		mask |= UV_WRITABLE;
	if (mask == t->mask)
		return;
	t->mask = mask;
	uv_poll_start(&t->poll, mask, on_poll);
}

static void turn(struct transport *t)
{
	bool more = true;

	/* libssh's own poll(2) goes by it too: whatever is there is to be read now. */
	set_low_water(t, 1);
	for (int round = 0; more && round < TURN_ROUNDS; round++) {
		transport_global_step(t);
		more = pump(t);
		transport_note_life(t);
		transport_note_answers(t);
		if (transport_session_dead(t) || t->state != TRANSPORT_READY)
			break;
		transport_incoming_hand_over(t);
		if (transport_global_step(t))
			more = true;
		if (step_channels(t))
			more = true;
		if (transport_session_dead(t) || t->state != TRANSPORT_READY)
			break;
	}
	if (t->state != TRANSPORT_READY)
		return;
	if (transport_session_dead(t)) {
		transport_fail_by_session(t);
		return;
	}
	if (sweep_channels(t) && t->events != NULL)
		t->events->changed(t->ctx);
	if (t->state != TRANSPORT_READY)
		return;
	if (more)
		transport_touch(t);
	transport_note_life(t); /* what the channels sent */
	transport_expect(t);
	update_mask(t);
}

static void on_progress(void *ctx)
{
	struct transport *t = ctx;

	if (t->state == TRANSPORT_READY)
		turn(t);
}

static void on_gather(uv_timer_t *timer)
{
	struct transport *t = timer->data;

	if (t->state == TRANSPORT_READY)
		turn(t);
}

/* sshd's Nagle waits for our delayed ACK: 40 ms on a fresh connection, until sshd switches it off
 * as the first session starts (never where there are tunnels only), and uploads through a jump at a
 * fifth of their speed. The option is not sticky, so it is set at every event, but only where it
 * helps. */
static bool wants_quick_ack(const struct transport *t)
{
	return !receiving_bulk(t) && (!t->started || transport_busy_bulk(t));
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
	struct transport *t = hw_container_of(handle, struct transport, poll);
	int one = 1;

	/* libuv stops the handle at POLLERR. libssh's own read meets the error, but behind what
	 * came before it: update_mask() is to start the handle again. */
	if (status < 0)
		t->mask = 0;
	(void)events;
	if (t->state != TRANSPORT_READY)
		return;
	if (t->tcp && wants_quick_ack(t))
		setsockopt(t->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
	turn(t);
}

/* ssh_config(5) IPQoS: the first class while a terminal is on the connection, else the second. */
static void set_tos(struct transport *t)
{
	int tos = t->terminals > 0 ? t->dest->tos_interactive : t->dest->tos_bulk;
	bool v6 = strchr(t->peer, ':') != NULL;

	if (tos < 0 || !t->tcp)
		return;
	if (setsockopt(t->fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TCLASS : IP_TOS, &tos,
		       sizeof(tos)) != 0)
		log_debug("%s: IPQoS: %s", t->dest->label, strerror(errno));
}

void transport_terminal(struct transport *t, int change)
{
	bool had = t->terminals > 0;

	t->terminals += (unsigned)change;
	if (had != (t->terminals > 0))
		set_tos(t);
}

static void become_ready(struct transport *t, struct login_result *r)
{
	const char *text;

	t->session = r->session;
	t->hint = r->hint;
	t->untrusted = r->untrusted;
	t->kex_ms = r->kex_ms;
	t->auth_ms = r->auth_ms;
	t->event = ssh_event_new();
	ssh_set_blocking(t->session, 0);
	ssh_set_counters(t->session, &t->socket, &t->packets);
	ssh_event_add_session(t->event, t->session);
	transport_incoming_start(t);
	uv_poll_init(t->env->loop, &t->poll, t->fd);
	uv_timer_init(t->env->loop, &t->gather);
	t->gather.data = t;
	uv_timer_init(t->env->loop, &t->probe);
	t->probe.data = t;
	t->open_handles = 3;
	t->polling = true;
	t->ready_ms = t->last_in_ms = t->last_out_ms = uv_now(t->env->loop);
	text = ssh_get_serverbanner(t->session);
	snprintf(t->server, sizeof(t->server), "%s", text != NULL ? text : "");
	text = ssh_get_cipher_in(t->session);
	snprintf(t->cipher, sizeof(t->cipher), "%s", text != NULL ? text : "");
	text = ssh_get_kex_algo(t->session);
	snprintf(t->kex, sizeof(t->kex), "%s", text != NULL ? text : "");
	set_tos(t);
	transport_set_state(t, TRANSPORT_READY);
	log_info("%s transport %u: ready (%s, key exchange %u ms, authentication %u ms)",
		 t->dest->label, t->id, t->peer[0] != '\0' ? t->peer : t->via, r->kex_ms,
		 r->auth_ms);
	transport_touch(t);
	journal_add(t->env->journal, &(struct journal_entry){.kind = JOURNAL_OPENED,
							     .host = t->dest->label,
							     .typed = t->dest->typed,
							     .transport = t->id,
							     .text = t->where});
	learn_opened(t->env->learn, t->dest->label);
	origin_unref(t->origin);
	t->origin = NULL;
	t->events->ready(t->ctx, r);
}

static void on_login_done(void *ctx, struct login_result *r)
{
	struct transport *t = ctx;

	t->login = NULL;
	if (r->session == NULL) {
		t->handover = r->handover;
		transport_fail_on_way(t, &r->why);
		return;
	}
	become_ready(t, r);
}

static void on_login_prompt(void *ctx, const struct proto_prompt *p)
{
	struct transport *t = ctx;

	t->events->prompt(t->ctx, p);
}

void transport_progress(struct transport *t)
{
	char text[512];

	/* Where it is known: the address; where it is not: the name that is looked up. */
	if (t->peer[0] != '\0')
		snprintf(text, sizeof(text), "connecting to %s (%s:%u): %s", t->dest->typed,
			 t->peer, t->dest->port, t->phase);
	else if (t->via[0] != '\0')
		snprintf(text, sizeof(text), "connecting to %s (through %s): %s", t->dest->typed,
			 t->via, t->phase);
	else
		snprintf(text, sizeof(text), "connecting to %s: %s", t->dest->typed, t->phase);
	t->events->progress(t->ctx, text);
}

static void on_login_phase(void *ctx, const char *phase)
{
	struct transport *t = ctx;

	log_debug("%s transport %u: %s", t->dest->label, t->id, phase);
	snprintf(t->phase, sizeof(t->phase), "%s", phase);
	transport_progress(t);
}

static void on_login_notice(void *ctx, const char *text, bool raw)
{
	struct transport *t = ctx;

	t->events->notice(t->ctx, text, raw);
}

static const struct login_events login_events = {
	.prompt = on_login_prompt,
	.notice = on_login_notice,
	.phase = on_login_phase,
	.done = on_login_done,
};

void transport_connected(struct transport *t, int fd)
{
	struct login_params params = {
		.dest = t->dest, .origin = t->origin, .fd = fd, .hint = t->hint};

	t->fd = fd;
	snprintf(params.peer, sizeof(params.peer), "%s", t->peer);
	if (t->dest->connect_timeout > 0)
		params.timeout_ms = t->dest->connect_timeout * 1000;
	transport_set_state(t, TRANSPORT_LOGIN);
	t->login = login_start(t->env->workers, &params, &login_events, t);
}

static void free_transport(struct transport *t)
{
	if (t->fd >= 0)
		close(t->fd);
	destination_unref(t->dest);
	origin_unref(t->origin);
	free(t);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct transport *t = handle->data;

	if (--t->open_handles == 0)
		free_transport(t);
}

static void close_handle(struct transport *t, uv_handle_t *handle)
{
	handle->data = t;
	uv_close(handle, on_handle_closed);
}

static void end_session(struct transport *t)
{
	if (t->session == NULL)
		return;
	ssh_event_remove_session(t->event, t->session);
	ssh_event_free(t->event);
	login_end_session(t->session);
	t->session = NULL;
}

/* Runs from the top of the loop: nothing of this transport is on the stack. */
static void on_ending(void *ctx)
{
	struct transport *t = ctx;
	struct channel *c = t->channels;

	defer_cancel(&t->progress);
	if (t->login != NULL)
		login_cancel(t->login);
	t->login = NULL;
	t->channels = NULL;
	while (c != NULL) {
		struct channel *next = c->next;

		channel_lost(c, &t->why);
		c = next;
	}
	transport_global_finish(t);
	end_session(t);
	transport_reach_end(t);
	t->events->ended(t->ctx, &t->why, t->handover);
	if (!t->polling) {
		free_transport(t);
		return;
	}
	close_handle(t, (uv_handle_t *)&t->poll);
	close_handle(t, (uv_handle_t *)&t->gather);
	close_handle(t, (uv_handle_t *)&t->probe);
}

struct transport *transport_open(const struct transport_env *env, struct destination *dest,
				 struct origin *origin, const struct login_hint *hint,
				 const struct transport_events *events, void *ctx)
{
	static unsigned last_id;
	struct transport *t = xcalloc(1, sizeof(*t));

	t->env = env;
	t->dest = destination_ref(dest);
	t->origin = origin_ref(origin);
	t->events = events;
	t->ctx = ctx;
	t->id = ++last_id;
	t->fd = -1;
	t->low_water = 1;
	t->rtt_ms = -1;
	if (hint != NULL)
		t->hint = *hint;
	defer_init(&t->progress, on_progress, t);
	defer_init(&t->ending, on_ending, t);
	snprintf(t->phase, sizeof(t->phase), "connecting");
	transport_reach(t);
	return t;
}

void transport_close(struct transport *t, const struct cause *why)
{
	transport_fail(t, why);
}

bool transport_untrusted(const struct transport *t)
{
	return t->untrusted;
}

enum transport_state transport_state(const struct transport *t)
{
	return t->state;
}

unsigned transport_id(const struct transport *t)
{
	return t->id;
}

void transport_rtt_sample(struct transport *t, double ms)
{
	if (t->rtt_ms < 0 || ms < t->rtt_ms)
		t->rtt_ms = ms;
}

/* Of one that is being opened: since it was begun. */
static double age_s(const struct transport *t)
{
	uint64_t since = t->ready_ms > 0 ? t->ready_ms : t->begun_ms;

	return since > 0 ? (double)(uv_now(t->env->loop) - since) / 1e3 : 0;
}

void transport_stats(const struct transport *t, struct transport_stats *out)
{
	*out = (struct transport_stats){
		.state = t->state == TRANSPORT_READY ? ready_name(t->doubt) : state_name(t->state),
		.address = t->peer,
		.via = t->via,
		.server = t->server,
		.cipher = t->cipher,
		.kex = t->kex,
		.age_s = age_s(t),
		.rtt_ms = t->rtt_ms,
		.kex_ms = t->kex_ms,
		.auth_ms = t->auth_ms,
		.heard_s =
			t->ready_ms > 0 ? (double)(uv_now(t->env->loop) - t->last_in_ms) / 1e3 : -1,
		.bytes_in = t->socket.in_bytes,
		.bytes_out = t->socket.out_bytes,
	};
}

unsigned transport_channels(const struct transport *t)
{
	unsigned n = 0;

	for (const struct channel *c = t->channels; c != NULL; c = c->next)
		n += c->role == ROLE_SESSION && c->state != CHANNEL_DEAD;
	return n;
}

unsigned transport_tunnels(const struct transport *t)
{
	unsigned n = 0;

	for (const struct channel *c = t->channels; c != NULL; c = c->next)
		n += c->role != ROLE_SESSION && c->state != CHANNEL_DEAD;
	return n;
}

bool transport_take_refusal(struct transport *t, unsigned *live, bool *settling)
{
	if (!t->refused)
		return false;
	t->refused = false;
	*live = t->refused_at;
	*settling = t->refused_settling;
	return true;
}

unsigned transport_confirmed(const struct transport *t)
{
	unsigned n = 0;

	for (const struct channel *c = t->channels; c != NULL; c = c->next)
		n += c->role == ROLE_SESSION && c->state != CHANNEL_DEAD &&
		     c->state != CHANNEL_OPENING;
	return n;
}

bool transport_starting(const struct transport *t)
{
	for (const struct channel *c = t->channels; c != NULL; c = c->next) {
		if (c->role == ROLE_SESSION && c->claimed && c->state < CHANNEL_RUNNING)
			return true;
	}
	return false;
}

bool transport_busy_bulk(const struct transport *t)
{
	return t->last_bulk_ms != 0 && uv_now(t->env->loop) - t->last_bulk_ms < BULK_WINDOW_MS;
}

unsigned transport_terminals(const struct transport *t)
{
	return t->terminals;
}
