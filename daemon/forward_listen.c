/* Listeners of this side, bound as ssh binds them: localhost and no address at all are both
 * families' loopback, "*" and "" (or no address with GatewayPorts) all addresses of both. */
#include "daemon/forward_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/alloc.h"
#include "protocol/log.h"

#define LISTEN_BACKLOG 128
/* So many are accepted before others have their turn. */
#define ACCEPTS_PER_EVENT 32

/* A name to listen at is looked up off the loop; this outlives a forward that has gone. */
struct forward_lookup {
	uv_getaddrinfo_t request;
	struct forward *forward; /* NULL: gone */
};

static bool no_descriptors(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* A connection, or -1 with errno. A tunnel takes two descriptors: without the second one it is left
 * in the queue, where it can wait. */
static int accept_one(int fd, struct sockaddr_storage *peer)
{
	socklen_t len = sizeof(*peer);
	int conn, error, spare = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (spare < 0)
		return -1;
	conn = accept4(fd, (struct sockaddr *)peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	error = errno;
	close(spare);
	errno = error;
	return conn;
}

static void on_acceptable(void *ctx, unsigned events)
{
	struct forward_socket *s = ctx;
	struct forward *f = s->forward;
	struct forward_set *set = f->set;

	(void)events;
	for (int n = 0; n < ACCEPTS_PER_EVENT; n++) {
		struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
		int fd;

		if (set->nlinks >= FORWARD_LINKS_MAX) {
			forward_changed(set);
			return;
		}
		fd = accept_one(s->fd, &peer);
		if (fd >= 0) {
			forward_link_local(f, fd, &peer);
			continue;
		}
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
			set->exhausted = set->exhausted || no_descriptors(errno);
			forward_notice(set, -1, "accept: %s", strerror(errno));
			forward_changed(set);
		}
		return;
	}
}

void forward_listen_watch(struct forward *f)
{
	unsigned events = f->set->full || f->set->exhausted ? 0 : WATCH_READ;

	for (size_t i = 0; i < f->nsockets; i++)
		watch_change(f->sockets[i].watch, events);
}

/* Takes fd, which listens. */
static bool add_socket(struct forward *f, int fd)
{
	struct forward_socket *s = &f->sockets[f->nsockets];
	struct watch *watch;

	if (f->nsockets == FORWARD_SOCKETS_MAX) {
		close(fd);
		return false;
	}
	watch = watch_add(f->set->app->watches, fd, WATCH_READ, on_acceptable, s);
	if (watch == NULL) {
		log_warn("%s: a listener cannot be watched: %s", f->set->label, strerror(errno));
		close(fd);
		return false;
	}
	*s = (struct forward_socket){
		.forward = f, .fd = fd, .watch = watch, .number = forward_number(f->set)};
	f->nsockets++;
	return true;
}

static int why_level(const struct forward *f)
{
	return f->quiet ? 1 : -1;
}

/* last: there is no further address, so this one's failure is said. */
static bool listen_at(struct forward *f, const struct addrinfo *ai, bool last)
{
	char host[NI_MAXHOST] = "", port[NI_MAXSERV] = "";
	int one = 1, fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	getnameinfo(ai->ai_addr, ai->ai_addrlen, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV);
	if (fd < 0) {
		/* No error: the kernel may have no IPv6. */
		forward_notice(f->set, 1, "socket [%s]:%s: %s", host, port, strerror(errno));
		return false;
	}
	forward_notice(f->set, 1, "debug1: Local forwarding listening on %s port %s.", host, port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0)
		forward_notice(f->set, last ? why_level(f) : 1, "bind [%s]:%s: %s", host, port,
			       strerror(errno));
	else if (listen(fd, LISTEN_BACKLOG) != 0)
		forward_notice(f->set, why_level(f), "listen [%s]:%s: %s", host, port,
			       strerror(errno));
	else
		return add_socket(f, fd);
	close(fd);
	return false;
}

static void listen_everywhere(struct forward *f, const struct addrinfo *list)
{
	for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
		if (ai->ai_family == AF_INET || ai->ai_family == AF_INET6)
			listen_at(f, ai, ai->ai_next == NULL);
	}
	if (f->nsockets == 0)
		forward_notice(f->set, why_level(f),
			       "channel_setup_fwd_listener_tcpip: cannot listen to port: %u",
			       f->spec.listen.port);
	forward_settle(f, f->nsockets > 0);
}

static void look_up_failed(struct forward *f, int error)
{
	forward_notice(f->set, why_level(f),
		       "channel_setup_fwd_listener_tcpip: getaddrinfo(%.64s): %s",
		       f->spec.listen.host, gai_strerror(error));
	forward_settle(f, false);
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
	struct forward_lookup *l = hw_container_of(request, struct forward_lookup, request);
	struct forward *f = l->forward;

	free(l);
	if (f != NULL) {
		f->lookup = NULL;
		if (status == 0)
			listen_everywhere(f, list);
		else
			look_up_failed(f, dial_eai(status));
	}
	uv_freeaddrinfo(list);
}

static void look_up(struct forward *f, const char *port, const struct addrinfo *hints)
{
	int rc;

	f->lookup = xcalloc(1, sizeof(*f->lookup));
	f->lookup->forward = f;
	rc = uv_getaddrinfo(f->set->app->loop, &f->lookup->request, on_looked_up,
			    f->spec.listen.host, port, hints);
	if (rc == 0)
		return;
	free(f->lookup);
	f->lookup = NULL;
	look_up_failed(f, EAI_FAIL);
}

/* What to bind to. NULL: the loopback, or with *wildcard all addresses. */
static const char *bind_host(const struct forward *f, bool *wildcard)
{
	const char *host = f->spec.listen.host;

	*wildcard =
		host == NULL ? f->dest->gateway_ports : host[0] == '\0' || strcmp(host, "*") == 0;
	if (host == NULL || *wildcard || strcmp(host, "localhost") == 0)
		return NULL;
	return host;
}

static void listen_tcp(struct forward *f)
{
	bool wildcard;
	const char *host = bind_host(f, &wildcard);
	struct addrinfo *list, hints = {.ai_family = f->dest->family,
					.ai_socktype = SOCK_STREAM,
					.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	char port[8];

	if (wildcard)
		hints.ai_flags |= AI_PASSIVE;
	snprintf(port, sizeof(port), "%u", f->spec.listen.port);
	/* No name: no look-up, nothing that blocks. */
	if (getaddrinfo(host, port, &hints, &list) == 0) {
		listen_everywhere(f, list);
		freeaddrinfo(list);
		return;
	}
	hints.ai_flags &= ~AI_NUMERICHOST;
	if (host != NULL)
		look_up(f, port, &hints);
	else
		forward_settle(f, false);
}

static void on_bound(void *ctx, int fd, const char *words)
{
	struct forward *f = ctx;

	f->binding = NULL;
	if (words != NULL)
		forward_notice(f->set, why_level(f), "%s", words);
	else
		forward_notice(f->set, 1, "debug1: Local forwarding listening on path %s.",
			       f->spec.listen.path);
	forward_settle(f, fd >= 0 && add_socket(f, fd));
}

static enum path_over over(const struct forward *f)
{
	return f->dest->stream_local_unlink ? PATH_OVER_ALL
	       : f->again		    ? PATH_OVER_DEAD
					    : PATH_OVER_NOTHING;
}

void forward_listen_start(struct forward *f)
{
	if (f->spec.listen.path != NULL)
		f->binding = forward_path_listen(f->set->app, f->spec.listen.path,
						 f->dest->stream_local_mask, over(f), on_bound, f);
	else
		listen_tcp(f);
}

void forward_listen_stop(struct forward *f)
{
	if (f->lookup != NULL) {
		f->lookup->forward = NULL;
		uv_cancel((uv_req_t *)&f->lookup->request);
		f->lookup = NULL;
	}
	forward_path_cancel(f->binding);
	f->binding = NULL;
	for (size_t i = 0; i < f->nsockets; i++) {
		watch_remove(f->sockets[i].watch);
		close(f->sockets[i].fd);
	}
	f->nsockets = 0;
}
