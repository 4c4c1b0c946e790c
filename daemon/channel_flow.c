/* The receiving side of a channel: what libssh holds back is delivered when the reader has caught
 * up, and the receive window follows bandwidth x round trip.
 *
 * libssh 0.10 keeps its own window between 0.64 and 1.28 MB, which is the speed limit over any
 * distance (12 MB/s at 50 ms). With an empty backlog ssh_channel_read_timeout() grows the window to
 * the size it is asked for; that is the only public way. What is granted may pile up in libssh when
 * the reader stops, so it is granted only while the reader keeps up. */
#include "daemon/transport_priv.h"

#include <string.h>

#include "protocol/log.h"

#define WINDOW_LIBSSH 1280000u /* what libssh grants by itself */
#define WINDOW_MAX    (16u * 1024 * 1024)
#define WINDOW_FIRST  (4u * 1024 * 1024) /* most that is granted before any speed was seen */
/* Below, libssh's own window is no limit, and a larger one only keeps sshd's socket full, which
 * then writes in small pieces. */
#define WINDOW_RTT_MS  5.0
#define FIRST_BYTES_MS (64u * 1024) /* first guess of the path: 64 MB/s */
/* libssh 0.10 may let a backlog pass its window when stdout waits and stderr trickles
 * (its test counts one stream only): a channel that gets here is ended. */
#define BACKLOG_MAX (48 * 1024 * 1024)

/* With so many channels at once each keeps libssh's window: what they may hold back adds up. */
#define CROWD 32

/* Room for the count that ssh_channel_read_timeout() is told; never written in full, so never
 * resident. */
static uint8_t scratch[WINDOW_MAX];

static void grant(struct channel *c, uint32_t window)
{
	int n;

	c->growing = true;
	n = ssh_channel_read_timeout(c->ssh, scratch, window, 0, 0);
	c->growing = false;
	if (n > 0)
		c->events->data(c->ctx, 1, scratch, (size_t)n, true);
	c->window = window;
	c->grant_mark = c->received;
	c->grant_ns = uv_hrtime();
}

static bool is_crowded(const struct transport *t)
{
	unsigned n = 0;

	for (const struct channel *c = t->channels; c != NULL && n < CROWD; c = c->next)
		n++;
	return n == CROWD;
}

void channel_flow_start(struct channel *c)
{
	double rtt = c->t->rtt_ms;
	double first = rtt * FIRST_BYTES_MS;

	if (rtt < WINDOW_RTT_MS || c->t->terminals > 0 || c->terminal || is_crowded(c->t))
		return;
	if (first < WINDOW_LIBSSH)
		first = WINDOW_LIBSSH;
	grant(c, first > WINDOW_FIRST ? WINDOW_FIRST : (uint32_t)first);
}

/* Half the window was used up: grant the next, larger while the speed asks for it. */
static void grow(struct channel *c)
{
	double rtt_s = c->t->rtt_ms / 1e3;
	double elapsed_s = (double)(uv_hrtime() - c->grant_ns) / 1e9;
	double bytes = (double)(c->received - c->grant_mark);
	uint32_t window = c->window;

	if (elapsed_s > 0 && bytes / elapsed_s * rtt_s * 4 > window)
		window = window > WINDOW_MAX / 4 ? WINDOW_MAX : window * 4;
	/* Beside a terminal a large window is a long queue before every keystroke's echo. */
	if (c->t->terminals > 0 || is_crowded(c->t))
		window = WINDOW_LIBSSH;
	grant(c, window);
}

static bool needs_grant(const struct channel *c)
{
	if (c->paused || c->remote_closed || c->t->rtt_ms < WINDOW_RTT_MS || c->window == 0)
		return false;
	if (c->t->terminals > 0 && c->window <= WINDOW_LIBSSH)
		return false; /* libssh keeps this one up by itself */
	return c->received - c->grant_mark >= c->window / 2;
}

/* Offers one stream's backlog. False: it was refused, or some is left. */
static bool drain_stream(struct channel *c, int is_stderr)
{
	int waiting;

	while ((waiting = ssh_channel_poll(c->ssh, is_stderr)) > 0) {
		size_t want = (size_t)waiting < sizeof(scratch) ? (size_t)waiting : sizeof(scratch);
		int n = ssh_channel_read_nonblocking(c->ssh, scratch, (uint32_t)want, is_stderr);

		if (n <= 0)
			break;
		c->received += (uint64_t)n;
		/* Once read it can't be put back; the queue below has room for a whole window. */
		c->events->data(c->ctx, is_stderr ? 2 : 1, scratch, (size_t)n, true);
	}
	return waiting <= 0;
}

static void check_backlog(struct channel *c)
{
	int out = ssh_channel_poll(c->ssh, 0), err = ssh_channel_poll(c->ssh, 1);
	struct cause why;

	if ((out > 0 ? out : 0) + (err > 0 ? err : 0) < BACKLOG_MAX)
		return;
	cause_set(&why, CAUSE_LIMIT,
		  "%s: output that nobody reads passed hawser's limit of %d MB for one session",
		  c->t->dest->label, BACKLOG_MAX / (1024 * 1024));
	cause_hint(&why, "read the output, or send it to a file");
	if (!c->ended && !c->released) {
		struct channel_end e = {.kind = CHANNEL_LOST, .sent = c->sent, .why = why};

		c->ended = true;
		c->events->end(c->ctx, &e);
	}
}

bool channel_flow(struct channel *c)
{
	if (c->paused && c->want_drain) {
		bool out, err;

		/* To look at an empty stream is to receive (ssh_channel_poll): what comes for the
		 * other one meanwhile is for on_data() to take, or to refuse again. Were it held
		 * back as paused and nothing came after it, it would never be delivered. */
		c->want_drain = false;
		c->paused = false;
		out = drain_stream(c, 0);
		err = drain_stream(c, 1);
		c->paused = c->paused || !(out && err);
		return true;
	}
	if (c->paused) {
		check_backlog(c);
		return false;
	}
	if (!needs_grant(c))
		return false;
	grow(c);
	return true;
}

bool channel_drained(struct channel *c)
{
	return !c->paused;
}
