#include "daemon/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/dial_priv.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

#define DIAL_STAGGER_MS	     250  /* RFC 8305 section 5 */
#define DIAL_RETRY_MS	     1000 /* between ConnectionAttempts, as ssh_config(5) says */
#define DIAL_USER_TIMEOUT_MS 60000
/* The kernel repeats a SYN after 1 s, then ever more seldom: a path that comes back would be found
 * late. So from here on a fresh one goes out, at this interval. */
#define DIAL_FRESH_FIRST_MS 4000
#define DIAL_FRESH_MS	    2000
/* Unacknowledged bytes are sent again after twice the time at each try. At most this: what runs on
 * the connection goes on so soon after the path is back, not up to half as long as it was away. */
#define DIAL_RESEND_MOST_MS 2000
#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44 /* Linux 6.15 */
#endif
#define DIAL_UNSENT_LOW (128 * 1024)

static void start_next(struct dial *d);

static void release(struct dial *d)
{
	if (d->open_handles > 0 || d->looking_up)
		return;
	free((char *)(uintptr_t)d->want.host);
	free((char *)(uintptr_t)d->want.bind_address);
	free((char *)(uintptr_t)d->want.bind_interface);
	free(d);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct dial *d = handle->data;

	d->open_handles--;
	if (d->finished)
		release(d);
}

static void close_handle(struct dial *d, uv_handle_t *handle)
{
	handle->data = d;
	uv_close(handle, on_handle_closed);
}

static int stop_knock(struct knock *k)
{
	int fd = k->fd;

	if (k->polling) {
		uv_poll_stop(&k->poll);
		close_handle(k->attempt->dial, (uv_handle_t *)&k->poll);
		k->polling = false;
	}
	k->fd = -1;
	return fd;
}

static void drop_knock(struct knock *k)
{
	int fd = stop_knock(k);

	if (fd >= 0)
		close(fd);
}

static void stop_attempt(struct attempt *a)
{
	if (a->knocks[0].fd >= 0)
		a->dial->running--;
	for (size_t i = 0; i < DIAL_KNOCKS; i++)
		drop_knock(&a->knocks[i]);
}

static void finish(struct dial *d, int fd, const char *peer, const struct cause *why)
{
	if (d->finished)
		return;
	d->finished = true;
	for (size_t i = 0; i < d->started; i++)
		stop_attempt(&d->attempts[i]);
	if (d->looking_up)
		uv_cancel((uv_req_t *)&d->lookup);
	close_handle(d, (uv_handle_t *)&d->stagger);
	close_handle(d, (uv_handle_t *)&d->deadline);
	close_handle(d, (uv_handle_t *)&d->fresh);
	if (d->cb != NULL)
		d->cb(d->ctx, fd, peer, why);
	else if (fd >= 0)
		close(fd);
}

static void on_retry(uv_timer_t *timer)
{
	struct dial *d = timer->data;

	d->started = 0;
	start_next(d);
}

static void all_failed(struct dial *d)
{
	struct cause why;

	if (++d->round < d->want.attempts) {
		uv_timer_start(&d->stagger, on_retry, DIAL_RETRY_MS, 0);
		return;
	}
	dial_explain_failure(d, &why);
	finish(d, -1, "", &why);
}

static void attempt_failed(struct attempt *a, int error)
{
	struct dial *d = a->dial;

	stop_attempt(a);
	a->error = error;
	log_debug("%s: connect to %s: %s", d->want.host, a->text, strerror(error));
	if (d->started < d->count)
		start_next(d);
	else if (d->running == 0)
		all_failed(d);
}

static void connected(struct knock *k)
{
	struct attempt *a = k->attempt;
	int again = DIAL_RESEND_MOST_MS;

	if (k == &a->knocks[0])
		a->dial->running--;
	/* Older kernels have no such option. Not earlier: SYNs are limited in number. */
	if (a->dial->want.eager)
		setsockopt(k->fd, IPPROTO_TCP, TCP_RTO_MAX_MS, &again, sizeof(again));
	finish(a->dial, stop_knock(k), a->text, NULL);
}

static void on_knock_ready(uv_poll_t *poll, int status, int events)
{
	struct knock *k = hw_container_of(poll, struct knock, poll);
	int error = 0;
	socklen_t len = sizeof(error);

	(void)events;
	/* libuv says EBADF for any POLLERR: the socket itself knows why. */
	if (getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error == 0 && status < 0)
		error = -status;
	if (error != 0)
		attempt_failed(k->attempt, error);
	else
		connected(k);
}

static void set_option(int fd, int level, int name, int value)
{
	/* None of these is worth failing a connection for. */
	if (setsockopt(fd, level, name, &value, sizeof(value)) != 0)
		log_debug("setsockopt %d/%d: %s", level, name, strerror(errno));
}

static void set_socket_options(const struct dial *d, int fd)
{
	const struct dial_want *want = &d->want;

	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, DIAL_USER_TIMEOUT_MS);
	/* Unsent bytes wait with us, where a keystroke can pass them, not in the kernel. */
	set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, DIAL_UNSENT_LOW);
	if (want->keepalive)
		set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

/* Returns connect(2)'s error, 0 when it is connected at once. The socket is there unless there
 * could be none. */
static int open_knock(struct knock *k)
{
	struct attempt *a = k->attempt;
	struct dial *d = a->dial;
	int family = a->addr.ss_family;
	int error;

	k->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (k->fd < 0)
		return errno;
	if (k == &a->knocks[0])
		d->running++;
	if (d->want.bind_address != NULL || d->want.bind_interface != NULL) {
		error = dial_source_bind(&d->source, k->fd, family);
		if (error != 0) {
			if (k == &a->knocks[0])
				d->bind_error = error;
			return error;
		}
	}
	set_socket_options(d, k->fd);
	if (connect(k->fd, (struct sockaddr *)&a->addr, a->addr_len) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return errno;
	uv_poll_init(d->loop, &k->poll, k->fd);
	d->open_handles++;
	k->polling = true;
	uv_poll_start(&k->poll, UV_WRITABLE, on_knock_ready);
	return EINPROGRESS;
}

/* Beside the first one, which stays: a path that is slow, not dead, is answered there. */
static void knock_afresh(struct attempt *a)
{
	struct knock *k = &a->knocks[a->next_fresh];
	int error;

	a->next_fresh = a->next_fresh == 1 ? 2 : 1;
	drop_knock(&a->knocks[a->next_fresh]);
	error = open_knock(k);
	if (error == 0)
		connected(k);
	else if (error != EINPROGRESS)
		drop_knock(k); /* the first one will hear why */
}

static void on_fresh(uv_timer_t *timer)
{
	struct dial *d = timer->data;

	for (size_t i = 0; i < d->started && !d->finished; i++) {
		if (d->attempts[i].knocks[0].fd >= 0)
			knock_afresh(&d->attempts[i]);
	}
}

static void on_stagger(uv_timer_t *timer)
{
	start_next(timer->data);
}

static void start_next(struct dial *d)
{
	struct attempt *a = &d->attempts[d->started++];
	int error;

	a->dial = d;
	a->error = 0;
	a->next_fresh = 1;
	uv_timer_stop(&d->stagger);
	if (d->started == 1 && d->want.eager)
		uv_timer_start(&d->fresh, on_fresh, DIAL_FRESH_FIRST_MS, DIAL_FRESH_MS);
	if (d->started < d->count)
		uv_timer_start(&d->stagger, on_stagger, DIAL_STAGGER_MS, 0);
	error = open_knock(&a->knocks[0]);
	if (error == 0)
		connected(&a->knocks[0]);
	else if (error != EINPROGRESS)
		attempt_failed(a, error);
}

static bool add_address(struct dial *d, const struct addrinfo *ai)
{
	struct attempt *a = &d->attempts[d->count];

	if (d->count == DIAL_MAX_ADDRESSES || ai->ai_addrlen > sizeof(a->addr))
		return false;
	memcpy(&a->addr, ai->ai_addr, ai->ai_addrlen);
	a->addr_len = ai->ai_addrlen;
	for (size_t i = 0; i < DIAL_KNOCKS; i++)
		a->knocks[i] = (struct knock){.attempt = a, .fd = -1};
	if (getnameinfo(ai->ai_addr, ai->ai_addrlen, a->text, sizeof(a->text), NULL, 0,
			NI_NUMERICHOST) != 0)
		snprintf(a->text, sizeof(a->text), "?");
	d->count++;
	return true;
}

/* The resolver's order, but with the families taking turns (RFC 8305 section 4). */
static void take_addresses(struct dial *d, const struct addrinfo *list)
{
	const struct addrinfo *first = list, *second = list;
	int family = list != NULL ? list->ai_family : 0;

	while (first != NULL || second != NULL) {
		while (first != NULL && first->ai_family != family)
			first = first->ai_next;
		if (first != NULL) {
			add_address(d, first);
			first = first->ai_next;
		}
		while (second != NULL && second->ai_family == family)
			second = second->ai_next;
		if (second != NULL) {
			add_address(d, second);
			second = second->ai_next;
		}
	}
}

static void lookup_failed(struct dial *d, int error)
{
	struct cause why;

	dial_explain_lookup(d, error, &why);
	finish(d, -1, "", &why);
}

int dial_eai(int status)
{
	switch (status) {
	case UV_EAI_AGAIN:
		return EAI_AGAIN;
	case UV_EAI_FAIL:
		return EAI_FAIL;
	case UV_EAI_FAMILY:
		return EAI_FAMILY;
	case UV_EAI_MEMORY:
		return EAI_MEMORY;
	default:
		return EAI_NONAME;
	}
}

static void on_lookup(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
	struct dial *d = req->data;

	d->looking_up = false;
	if (d->finished) {
		uv_freeaddrinfo(list);
		release(d);
		return;
	}
	if (status == 0)
		take_addresses(d, list);
	uv_freeaddrinfo(list);
	if (status != 0 || d->count == 0)
		lookup_failed(d, status != 0 ? dial_eai(status) : EAI_NONAME);
	else
		start_next(d);
}

static void on_numeric(uv_timer_t *timer)
{
	start_next(timer->data);
}

static void on_lookup_refused(uv_timer_t *timer)
{
	lookup_failed(timer->data, EAI_FAIL);
}

static void on_deadline(uv_timer_t *timer)
{
	struct dial *d = timer->data;
	struct cause why;

	dial_explain_deadline(d, &why);
	finish(d, -1, "", &why);
}

/* A numeric address needs no look-up, and this call does none. */
static bool try_numeric(struct dial *d, const char *port)
{
	struct addrinfo hints = {.ai_family = d->want.family,
				 .ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *list;

	if (getaddrinfo(d->want.host, port, &hints, &list) != 0)
		return false;
	take_addresses(d, list);
	freeaddrinfo(list);
	return d->count > 0;
}

static void look_up(struct dial *d, uv_getaddrinfo_cb cb, const char *name, const char *port,
		    int flags)
{
	struct addrinfo hints = {
		.ai_family = d->want.family, .ai_socktype = SOCK_STREAM, .ai_flags = flags};

	d->lookup.data = d;
	d->looking_up = uv_getaddrinfo(d->loop, &d->lookup, cb, name, port, &hints) == 0;
	if (!d->looking_up)
		uv_timer_start(&d->stagger, on_lookup_refused, 0, 0);
}

static void reach_host(struct dial *d)
{
	char port[8];

	snprintf(port, sizeof(port), "%u", d->want.port);
	if (try_numeric(d, port))
		uv_timer_start(&d->stagger, on_numeric, 0, 0);
	else
		look_up(d, on_lookup, d->want.host, port, AI_NUMERICSERV);
}

static void source_failed(struct dial *d, const char *said)
{
	struct cause why;

	dial_explain_source(d, said, &why);
	finish(d, -1, "", &why);
}

static void on_source(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
	struct dial *d = req->data;

	d->looking_up = false;
	if (d->finished) {
		uv_freeaddrinfo(list);
		release(d);
		return;
	}
	if (status == 0)
		dial_source_take(&d->source, list);
	uv_freeaddrinfo(list);
	if (status != 0)
		source_failed(d, gai_strerror(dial_eai(status)));
	else
		reach_host(d);
}

static void on_no_interface(uv_timer_t *timer)
{
	source_failed(timer->data, "no suitable addresses");
}

/* BindInterface wins, as in ssh. */
static void find_source(struct dial *d)
{
	const struct dial_want *want = &d->want;

	if (want->bind_interface != NULL) {
		if (dial_source_interface(&d->source, want->bind_interface))
			reach_host(d);
		else
			uv_timer_start(&d->stagger, on_no_interface, 0, 0);
	} else if (want->bind_address == NULL ||
		   dial_source_numeric(&d->source, want->bind_address)) {
		reach_host(d);
	} else {
		look_up(d, on_source, want->bind_address, NULL, AI_PASSIVE);
	}
}

struct dial *dial_to(uv_loop_t *loop, const struct dial_want *want, dial_cb cb, void *ctx)
{
	struct dial *d = xcalloc(1, sizeof(*d));

	d->loop = loop;
	d->want = *want;
	d->want.host = xstrdup(want->host);
	d->want.bind_address = want->bind_address != NULL ? xstrdup(want->bind_address) : NULL;
	d->want.bind_interface =
		want->bind_interface != NULL ? xstrdup(want->bind_interface) : NULL;
	d->cb = cb;
	d->ctx = ctx;
	uv_timer_init(loop, &d->stagger);
	uv_timer_init(loop, &d->deadline);
	uv_timer_init(loop, &d->fresh);
	d->open_handles = 3;
	d->stagger.data = d->deadline.data = d->fresh.data = d;
	if (want->timeout_s > 0)
		uv_timer_start(&d->deadline, on_deadline, want->timeout_s * 1000ull, 0);
	find_source(d);
	return d;
}

struct dial *dial_start(uv_loop_t *loop, const struct destination *dest, dial_cb cb, void *ctx)
{
	struct dial_want want = {.host = dest->hostname,
				 .port = dest->port,
				 .family = dest->family,
				 .bind_address = dest->bind_address,
				 .bind_interface = dest->bind_interface,
				 .timeout_s = dest->connect_timeout,
				 .attempts = dest->connection_attempts,
				 .keepalive = dest->tcp_keepalive,
				 .eager = true};

	return dial_to(loop, &want, cb, ctx);
}

void dial_cancel(struct dial *d)
{
	if (d == NULL)
		return;
	d->cb = NULL;
	finish(d, -1, "", NULL);
}
