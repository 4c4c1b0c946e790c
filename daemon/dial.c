#include "daemon/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/dial_bind.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

#define DIAL_MAX_ADDRESSES   16
#define DIAL_STAGGER_MS	     250  /* RFC 8305 section 5 */
#define DIAL_RETRY_MS	     1000 /* between ConnectionAttempts, as ssh_config(5) says */
#define DIAL_USER_TIMEOUT_MS 60000
#define DIAL_UNSENT_LOW	     (128 * 1024)

struct attempt {
	struct dial *dial;
	uv_poll_t poll;
	int fd; /* -1: not running */
	bool polling;
	int error;
	struct sockaddr_storage addr;
	socklen_t addr_len;
	char text[64];
};

struct dial {
	uv_loop_t *loop;
	struct dial_want want; /* strings owned */
	dial_cb cb;
	void *ctx;
	struct dial_source source; /* none: the kernel chooses */
	int bind_error;		   /* of the last bind(2) that failed */
	uv_getaddrinfo_t lookup;   /* of the source's name, then of the host's */
	bool looking_up;
	uv_timer_t stagger, deadline;
	struct attempt attempts[DIAL_MAX_ADDRESSES];
	size_t count, started, running;
	unsigned round; /* of ConnectionAttempts */
	bool finished;
	unsigned open_handles; /* uv handles whose close callback has not come */
};

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

/* Ends one attempt; returns its descriptor, which is the caller's now. */
static int stop_attempt(struct attempt *a)
{
	int fd = a->fd;

	if (fd < 0)
		return -1;
	if (a->polling) {
		uv_poll_stop(&a->poll);
		close_handle(a->dial, (uv_handle_t *)&a->poll);
		a->polling = false;
	}
	a->fd = -1;
	a->dial->running--;
	return fd;
}

static void finish(struct dial *d, int fd, const char *peer, const struct cause *why)
{
	if (d->finished)
		return;
	d->finished = true;
	for (size_t i = 0; i < d->started; i++) {
		int other = stop_attempt(&d->attempts[i]);

		if (other >= 0)
			close(other);
	}
	if (d->looking_up)
		uv_cancel((uv_req_t *)&d->lookup);
	close_handle(d, (uv_handle_t *)&d->stagger);
	close_handle(d, (uv_handle_t *)&d->deadline);
	if (d->cb != NULL)
		d->cb(d->ctx, fd, peer, why);
	else if (fd >= 0)
		close(fd);
}

/* "10.0.0.5, 10.0.0.6" */
static void list_addresses(const struct dial *d, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < d->started && used + 1 < size; i++) {
		int n = snprintf(out + used, size - used, "%s%s", i > 0 ? ", " : "",
				 d->attempts[i].text);

		if (n < 0)
			break;
		used += (size_t)n;
	}
}

static void explain_failure(struct dial *d, struct cause *why)
{
	const struct dial_want *want = &d->want;
	char tried[256];
	int error = d->started > 0 ? d->attempts[d->started - 1].error : 0;

	list_addresses(d, tried, sizeof(tried));
	if (d->bind_error != 0 && d->bind_error == error) {
		cause_set(why, CAUSE_UNREACHABLE, "connect to %s (%s) port %u: bind %s: %s",
			  want->host, tried, want->port,
			  want->bind_interface != NULL ? want->bind_interface : want->bind_address,
			  strerror(error));
		cause_hint(why, "that address is not one of this machine's for such a connection: "
				"check BindAddress (-b) and BindInterface (-B)");
	} else if (error == ECONNREFUSED) {
		cause_set(why, CAUSE_REFUSED, "connect to %s (%s) port %u: Connection refused",
			  want->host, tried, want->port);
		cause_hint(
			why,
			"no SSH server listens there, or a firewall rejects: check the port (-p) "
			"and that sshd runs");
	} else if (error == ETIMEDOUT) {
		cause_set(why, CAUSE_CONNECT_TIMEOUT,
			  "connect to %s (%s) port %u: Connection timed out", want->host, tried,
			  want->port);
		cause_hint(why, "the host is down, or a firewall drops the packets silently: try "
				"another network, or ping it");
	} else {
		cause_set(why, CAUSE_UNREACHABLE, "connect to %s (%s) port %u: %s", want->host,
			  tried, want->port, strerror(error));
		cause_hint(why, "check this machine's network, VPN and routes");
	}
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
	explain_failure(d, &why);
	finish(d, -1, "", &why);
}

static void attempt_failed(struct attempt *a, int error)
{
	struct dial *d = a->dial;
	int fd = stop_attempt(a);

	if (fd >= 0)
		close(fd);
	a->error = error;
	log_debug("%s: connect to %s: %s", d->want.host, a->text, strerror(error));
	if (d->started < d->count)
		start_next(d);
	else if (d->running == 0)
		all_failed(d);
}

static void attempt_connected(struct attempt *a)
{
	int fd = stop_attempt(a);

	finish(a->dial, fd, a->text, NULL);
}

static void on_attempt_ready(uv_poll_t *poll, int status, int events)
{
	struct attempt *a = hw_container_of(poll, struct attempt, poll);
	int error = 0;
	socklen_t len = sizeof(error);

	(void)events;
	/* libuv says EBADF for any POLLERR: the socket itself knows why. */
	if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error == 0 && status < 0)
		error = -status;
	if (error != 0)
		attempt_failed(a, error);
	else
		attempt_connected(a);
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

static int open_attempt(struct attempt *a)
{
	struct dial *d = a->dial;
	int family = a->addr.ss_family;
	int error;

	a->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->fd < 0)
		return errno;
	d->running++;
	if (d->want.bind_address != NULL || d->want.bind_interface != NULL) {
		error = dial_source_bind(&d->source, a->fd, family);
		if (error != 0) {
			d->bind_error = error;
			return error;
		}
	}
	set_socket_options(d, a->fd);
	if (connect(a->fd, (struct sockaddr *)&a->addr, a->addr_len) == 0)
		return 0;
	return errno;
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
	uv_timer_stop(&d->stagger);
	if (d->started < d->count)
		uv_timer_start(&d->stagger, on_stagger, DIAL_STAGGER_MS, 0);
	error = open_attempt(a);
	if (error == 0) {
		attempt_connected(a);
	} else if (error != EINPROGRESS) {
		attempt_failed(a, error);
	} else {
		uv_poll_init(d->loop, &a->poll, a->fd);
		d->open_handles++;
		a->polling = true;
		uv_poll_start(&a->poll, UV_WRITABLE, on_attempt_ready);
	}
}

static bool add_address(struct dial *d, const struct addrinfo *ai)
{
	struct attempt *a = &d->attempts[d->count];

	if (d->count == DIAL_MAX_ADDRESSES || ai->ai_addrlen > sizeof(a->addr))
		return false;
	memcpy(&a->addr, ai->ai_addr, ai->ai_addrlen);
	a->addr_len = ai->ai_addrlen;
	a->fd = -1;
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

	cause_set(&why, CAUSE_RESOLVE, "Could not resolve hostname %s: %s", d->want.host,
		  gai_strerror(error));
	cause_hint(&why, error == EAI_AGAIN
				 ? "the name server did not answer: check this machine's network"
				 : "check the spelling, or add a Host entry to ~/.ssh/config");
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
	char tried[256];

	list_addresses(d, tried, sizeof(tried));
	cause_set(&why, CAUSE_CONNECT_TIMEOUT,
		  "connect to %s (%s) port %u: no answer within ConnectTimeout of %u s",
		  d->want.host, tried[0] != '\0' ? tried : "name not resolved yet", d->want.port,
		  d->want.timeout_s);
	cause_hint(&why, "the host is down, or a firewall drops the packets silently");
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

	cause_set(&why, CAUSE_UNREACHABLE, "connect to %s port %u: %s %s: %s", d->want.host,
		  d->want.port, d->want.bind_interface != NULL ? "BindInterface" : "BindAddress",
		  d->want.bind_interface != NULL ? d->want.bind_interface : d->want.bind_address,
		  said);
	cause_hint(&why, "check BindAddress (-b) and BindInterface (-B)");
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
	d->open_handles = 2;
	d->stagger.data = d->deadline.data = d;
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
				 .keepalive = dest->tcp_keepalive};

	return dial_to(loop, &want, cb, ctx);
}

void dial_cancel(struct dial *d)
{
	if (d == NULL)
		return;
	d->cb = NULL;
	finish(d, -1, "", NULL);
}
