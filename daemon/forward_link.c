/* A connection through a forward: a socket and a channel, with SOCKS before them where the forward
 * has no target. */
#include "daemon/forward_priv.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/alloc.h"
#include "protocol/log.h"

/* A SOCKS client that has not said where to by then has nothing to say. */
#define SOCKS_DEADLINE_MS 60000u
/* Behind a SOCKS request on a channel, before the connection stands; libssh holds back the rest. */
#define EARLY_MAX (2u * 1024 * 1024)

struct peer_text {
	char host[NI_MAXHOST];
	uint16_t port;
};

static void describe_peer(const struct sockaddr_storage *peer, struct peer_text *out)
{
	char port[NI_MAXSERV];

	*out = (struct peer_text){.host = "127.0.0.1"};
	if ((peer->ss_family != AF_INET && peer->ss_family != AF_INET6) ||
	    getnameinfo((const struct sockaddr *)peer, sizeof(*peer), out->host, sizeof(out->host),
			port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return;
	out->port = (uint16_t)strtoul(port, NULL, 10);
}

static struct forward_link *create(struct forward *f)
{
	struct forward_set *set = f->set;
	struct forward_link *l = xcalloc(1, sizeof(*l));

	l->set = set;
	l->dest = destination_ref(f->dest);
	l->fd = -1;
	l->number = forward_number(set);
	bytebuf_init(&l->early, EARLY_MAX);
	forward_end_copy(&l->target, &f->spec.connect);
	l->next = set->links;
	set->links = l;
	set->nlinks++;
	forward_changed(set);
	return l;
}

void forward_link_end(struct forward_link *l)
{
	struct forward_set *set = l->set;
	struct forward_link **link = &set->links;

	while (*link != l)
		link = &(*link)->next;
	*link = l->next;
	set->nlinks--;
	tunnel_destroy(l->tunnel);
	watch_remove(l->watch);
	if (l->fd >= 0)
		close(l->fd);
	dial_cancel(l->dial);
	forward_path_cancel(l->connecting);
	if (l->channel != NULL)
		channel_release(l->channel);
	bytebuf_finish(&l->early);
	forward_end_finish(&l->target);
	destination_unref(l->dest);
	free(l->text);
	free(l);
	forward_changed(set);
}

bool forward_link_waits(const struct forward_link *l)
{
	return l->tunnel != NULL && (l->peer.ss_family == AF_UNSPEC ||
				     pools_use_of(l->set->app->pools, &l->peer) != POOLS_IDLE);
}

/* --- the tunnel --- */

static void on_ended(void *ctx, struct tunnel *t, bool refused, const struct cause *why)
{
	struct forward_link *l = ctx;

	(void)t;
	l->tunnel = NULL; /* it goes by itself */
	if (refused)
		forward_notice(l->set, 0, "channel %d: open failed: %s", l->number, why->text);
	forward_link_end(l);
}

static const struct tunnel_events tunnel_events = {.ended = on_ended};

/* False: there is no descriptor left, and l is gone. */
static bool open_tunnel(struct forward_link *l, int fd)
{
	struct peer_text peer;
	struct channel_target target = {
		.path = l->target.path, .host = l->target.host, .port = l->target.port};

	describe_peer(&l->peer, &peer);
	target.origin = peer.host;
	target.origin_port = peer.port;
	l->tunnel = tunnel_open(l->set->app->watches, l->set->transport, fd, &target, l->set->label,
				&tunnel_events, l);
	if (l->tunnel != NULL)
		return true;
	forward_link_end(l);
	return false;
}

/* --- SOCKS on a socket of ours --- */

static void set_target(struct forward_link *l)
{
	forward_end_finish(&l->target);
	l->target.host = xstrdup(l->socks.host);
	l->target.port = l->socks.port;
	l->negotiating = false;
}

static void send_reply(struct forward_link *l)
{
	/* A few bytes into a fresh socket: they fit, or the peer is gone. */
	if (l->socks.reply_len > 0)
		(void)send(l->fd, l->socks.reply, l->socks.reply_len, MSG_DONTWAIT | MSG_NOSIGNAL);
	l->socks.reply_len = 0;
}

static void negotiated(struct forward_link *l)
{
	int fd = l->fd;

	watch_remove(l->watch);
	l->watch = NULL;
	l->fd = -1;
	set_target(l);
	if (open_tunnel(l, fd))
		tunnel_greet_socket(l->tunnel, l->socks.reply, l->socks.reply_len);
}

static void on_negotiable(void *ctx, unsigned events)
{
	struct forward_link *l = ctx;
	uint8_t bytes[512];

	(void)events;
	for (;;) {
		size_t want = socks_want(&l->socks);
		ssize_t n = recv(l->fd, bytes, want < sizeof(bytes) ? want : sizeof(bytes),
				 MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			forward_link_end(l);
			return;
		}
		switch (socks_feed(&l->socks, bytes, (size_t)n)) {
		case SOCKS_MORE:
			send_reply(l);
			break;
		case SOCKS_DONE:
			negotiated(l);
			return;
		case SOCKS_BAD:
			send_reply(l);
			forward_link_end(l);
			return;
		}
	}
}

static void begin_negotiation(struct forward_link *l)
{
	l->negotiating = true;
	l->deadline = uv_now(l->set->app->loop) + SOCKS_DEADLINE_MS;
	socks_init(&l->socks);
	forward_timer_arm(l->set, SOCKS_DEADLINE_MS);
}

uint64_t forward_links_expire(struct forward_set *set)
{
	uint64_t now = uv_now(set->app->loop), next = 0;
	struct forward_link *l = set->links;

	while (l != NULL) {
		struct forward_link *after = l->next;

		if (l->negotiating && l->deadline <= now)
			forward_link_end(l);
		else if (l->negotiating && (next == 0 || l->deadline - now < next))
			next = l->deadline - now;
		l = after;
	}
	return next;
}

/* As ssh names such a channel. */
static char *describe(const struct forward *f, int fd, const struct sockaddr_storage *peer)
{
	const struct forward_spec *s = &f->spec;
	struct sockaddr_storage own = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(own);
	struct peer_text from, to;

	describe_peer(peer, &from);
	getsockname(fd, (struct sockaddr *)&own, &len);
	describe_peer(&own, &to);
	return xasprintf("%s: listening port %d for %.100s port %d, "
			 "connect from %.200s port %u to %.100s port %u",
			 s->socks		   ? "dynamic-tcpip"
			 : s->connect.path != NULL ? "direct-streamlocal@openssh.com"
						   : "direct-tcpip",
			 forward_port(&s->listen), forward_target(s), forward_port(&s->connect),
			 from.host, from.port, to.host, to.port);
}

void forward_link_local(struct forward *f, int fd, const struct sockaddr_storage *peer)
{
	struct forward_link *l = create(f);
	int one = 1;

	l->text = describe(f, fd, peer);
	forward_notice(l->set, 1,
		       "debug1: Connection to port %d forwarding to %.100s port %d requested.",
		       forward_port(&f->spec.listen), forward_target(&f->spec),
		       forward_port(&f->spec.connect));
	if (f->spec.listen.path == NULL) {
		l->peer = *peer;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	if (!f->spec.socks) {
		(void)open_tunnel(l, fd);
		return;
	}
	l->fd = fd;
	begin_negotiation(l);
	l->watch = watch_add(l->set->app->watches, fd, WATCH_READ, on_negotiable, l);
	if (l->watch == NULL)
		forward_link_end(l);
}

/* --- a channel of the server's --- */

static void join(struct forward_link *l, int fd)
{
	struct channel *c = l->channel;

	l->channel = NULL;
	l->tunnel = tunnel_join(l->set->app->watches, c, fd, l->set->label, &tunnel_events, l);
	if (l->tunnel == NULL) {
		forward_link_end(l);
		return;
	}
	if (l->socks.reply_len > 0)
		tunnel_greet_channel(l->tunnel, l->socks.reply, l->socks.reply_len);
	if (bytebuf_len(&l->early) > 0)
		tunnel_greet_socket(l->tunnel, bytebuf_peek(&l->early), bytebuf_len(&l->early));
}

static void on_dialled(void *ctx, int fd, const char *peer, const struct cause *why)
{
	struct forward_link *l = ctx;
	const char *reason;

	(void)peer;
	l->dial = NULL;
	if (fd >= 0) {
		join(l, fd);
		return;
	}
	reason = why->cls == CAUSE_RESOLVE ? strrchr(why->text, ':') : NULL;
	if (reason != NULL)
		forward_notice(l->set, -1, "connect_to %.100s: unknown host (%s)", l->target.host,
			       reason + 2);
	else
		forward_notice(l->set, -1, "connect_to %.100s port %u: failed.", l->target.host,
			       l->target.port);
	forward_link_end(l);
}

static void on_path(void *ctx, int fd, const char *words)
{
	struct forward_link *l = ctx;

	l->connecting = NULL;
	if (fd >= 0) {
		join(l, fd);
		return;
	}
	forward_notice(l->set, -1, "%s", words);
	forward_link_end(l);
}

static void connect_here(struct forward_link *l)
{
	struct dial_want want = {.host = l->target.host,
				 .port = l->target.port,
				 .family = l->dest->family,
				 .attempts = 1};

	if (l->target.path != NULL)
		l->connecting = forward_path_connect(l->set->app, l->target.path, on_path, l);
	else
		l->dial = dial_to(l->set->app->loop, &want, on_dialled, l);
}

/* PermitRemoteOpen: "host:port", either of which may be "*". Names are compared as they are. */
static bool matches_permission(const char *entry, const char *host, uint16_t port)
{
	const char *colon = strrchr(entry, ':');
	size_t len;

	if (colon == NULL || (strcmp(colon + 1, "*") != 0 && strtoul(colon + 1, NULL, 10) != port))
		return false;
	len = (size_t)(colon - entry);
	if (len >= 2 && entry[0] == '[' && colon[-1] == ']') {
		entry++;
		len -= 2;
	}
	return (len == 1 && entry[0] == '*') ||
	       (strlen(host) == len && strncmp(entry, host, len) == 0);
}

static bool permitted(const struct destination *d, const char *host, uint16_t port)
{
	if (d->permit_remote_open == NULL || d->permit_remote_open[0] == NULL)
		return true;
	for (char *const *entry = d->permit_remote_open; *entry != NULL; entry++) {
		if (matches_permission(*entry, host, port))
			return true;
	}
	return false;
}

/* --- SOCKS on a channel --- */

static void on_running(void *ctx, bool tty)
{
	(void)ctx;
	(void)tty;
}

static void queue_answer(struct forward_link *l)
{
	size_t len = l->socks.reply_len;

	if (l->answer_len + len <= sizeof(l->answer)) {
		memcpy(l->answer + l->answer_len, l->socks.reply, len);
		l->answer_len += len;
	}
	l->socks.reply_len = 0;
}

/* Within libssh: only takes note. */
static bool on_data(void *ctx, int stream, const void *data, size_t len, bool must)
{
	struct forward_link *l = ctx;
	const uint8_t *bytes = data;

	if (stream == 2 || l->refused)
		return true;
	if (!l->negotiating && !must)
		return false; /* the tunnel will have it */
	while (l->negotiating && len > 0) {
		size_t want = socks_want(&l->socks), n = len < want ? len : want;
		enum socks_result result = socks_feed(&l->socks, bytes, n);

		bytes += n;
		len -= n;
		l->negotiating = result == SOCKS_MORE;
		l->refused = result == SOCKS_BAD;
		if (result != SOCKS_DONE)
			queue_answer(l); /* that it is granted is said when it stands */
	}
	if (!l->refused && len > 0 && bytebuf_append(&l->early, bytes, len) != HW_OK)
		l->refused = true;
	channel_touch(l->channel);
	return true;
}

static void on_turn(void *ctx)
{
	struct forward_link *l = ctx;

	if (l->answer_len > 0 && channel_room(l->channel) >= l->answer_len) {
		channel_send(l->channel, l->answer, l->answer_len);
		l->answer_len = 0;
	}
	if (l->refused) {
		forward_link_end(l);
		return;
	}
	if (l->negotiating || l->answer_len > 0 || l->dial != NULL || l->connecting != NULL)
		return;
	set_target(l);
	if (!permitted(l->dest, l->target.host, l->target.port)) {
		log_info("%s: PermitRemoteOpen does not allow %s port %u", l->set->label,
			 l->target.host, l->target.port);
		forward_link_end(l);
		return;
	}
	connect_here(l);
}

static void on_end(void *ctx, const struct channel_end *end)
{
	(void)end;
	forward_link_end(ctx);
}

static const struct channel_events socks_events = {
	.running = on_running,
	.data = on_data,
	.turn = on_turn,
	.end = on_end,
};

void forward_link_remote(struct forward *f, struct channel *c, const struct incoming *in)
{
	struct forward_link *l;

	if (f->set->nlinks >= FORWARD_LINKS_MAX) {
		log_warn("%s: %u connections through one forward: a further one is refused",
			 f->set->label, FORWARD_LINKS_MAX);
		channel_release(c);
		return;
	}
	l = create(f);
	l->channel = c;
	l->text = xasprintf("forwarded-tcpip: listening %s port %u, connect from %s port %u",
			    in->address, in->port, in->originator, in->originator_port);
	if (f->spec.socks) {
		begin_negotiation(l);
		channel_adopt(c, &socks_events, l);
	} else {
		connect_here(l);
	}
}
