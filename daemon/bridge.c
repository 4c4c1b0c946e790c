#include "daemon/bridge.h"

#include <sys/socket.h>

#include "protocol/log.h"

#define INPUT_CHUNK (64 * 1024)

void bridge_init(struct bridge *b)
{
	*b = (struct bridge){.label = "?"};
	b->in.fd = b->out.fd = b->err.fd = -1;
	bytebuf_init(&b->rest, INPUT_CHUNK);
}

/* Sends input; what the channel did not take (it changes keys) waits in b->rest. */
static void send_input(struct bridge *b, const uint8_t *data, size_t len)
{
	size_t taken = channel_send(b->channel, data, len);

	if (taken < len && bytebuf_append(&b->rest, data + taken, len - taken) != HW_OK)
		log_error("%s: input over its limit: lost", b->label);
}

/* The rest first. True: none is left. */
static bool send_rest(struct bridge *b, size_t room)
{
	size_t len = bytebuf_len(&b->rest);

	if (len == 0)
		return true;
	bytebuf_consume(&b->rest,
			channel_send(b->channel, bytebuf_peek(&b->rest), len < room ? len : room));
	return bytebuf_len(&b->rest) == 0;
}

/* Input as far as the channel has room for it. */
static void feed(struct bridge *b)
{
	static uint8_t chunk[INPUT_CHUNK]; /* of the loop's one thread */
	size_t room;

	if (b->holding) {
		pump_in_pause(&b->in);
		return;
	}
	while ((room = channel_room(b->channel)) > 0 && send_rest(b, room)) {
		size_t len;
		enum pump_in_result r;

		if (room > sizeof(chunk))
			room = sizeof(chunk);
		r = pump_in_read(&b->in, chunk, room, &len);
		if (r == PUMP_IN_EOF)
			channel_eof(b->channel);
		if (r != PUMP_IN_DATA)
			return;
		send_input(b, chunk, len);
		if (bytebuf_len(&b->rest) > 0)
			break;
	}
	pump_in_pause(&b->in);
}

static void read_typed(struct bridge *b)
{
	uint8_t bytes[256];
	size_t len;

	while (pump_in_read(&b->in, bytes, sizeof(bytes), &len) == PUMP_IN_DATA) {
		if (!b->typed(b->ctx, bytes, len))
			return; /* b may be gone */
	}
}

/* At once, not in the transport's next turn: a keystroke is on its way before anything else. */
static void on_input(void *ctx)
{
	struct bridge *b = ctx;

	if (b->channel != NULL)
		feed(b);
	else if (b->typed != NULL)
		read_typed(b);
}

/* Closed, so that what reads behind it sees the end. */
static void end_output(struct bridge *b)
{
	if (!b->ending_output || !pump_out_empty(&b->out) || b->out.fd < 0)
		return;
	if (b->own_socket)
		shutdown(b->out.fd, SHUT_WR);
	pump_out_finish(&b->out);
}

void bridge_end_output(struct bridge *b)
{
	b->ending_output = true;
	end_output(b);
}

static void on_output(void *ctx)
{
	struct bridge *b = ctx;

	end_output(b);
	if (b->channel == NULL) {
		b->drained(b->ctx);
		return;
	}
	if (!pump_out_full(&b->out) && !pump_out_full(&b->err))
		channel_resume(b->channel);
	channel_touch(b->channel);
}

void bridge_start(struct bridge *b, struct watch_set *watches, int fds[3],
		  void (*drained)(void *ctx), void *ctx)
{
	b->drained = drained;
	b->ctx = ctx;
	pump_out_init(&b->out, watches, fds[1], on_output, b);
	pump_out_init(&b->err, watches, fds[2], on_output, b);
	pump_in_init(&b->in, watches, fds[0], on_input, b);
	fds[0] = fds[1] = fds[2] = -1;
}

void bridge_no_input(struct bridge *b)
{
	pump_in_finish(&b->in);
}

void bridge_unused(struct bridge *b)
{
	pump_in_finish(&b->in);
	pump_out_finish(&b->out);
	pump_out_finish(&b->err);
}

void bridge_detach(struct bridge *b, bridge_typed typed)
{
	b->channel = NULL;
	b->typed = typed;
	/* No turn comes any more that would do it. */
	pump_out_flush(&b->out);
	pump_out_flush(&b->err);
	if (typed == NULL)
		pump_in_finish(&b->in);
	else
		read_typed(b);
}

bool bridge_data(struct bridge *b, int stream, const void *data, size_t len, bool must)
{
	if (!must && (pump_out_full(&b->out) || pump_out_full(&b->err)))
		return false;
	pump_out_write(stream == 2 ? &b->err : &b->out, data, len);
	return true;
}

void bridge_let_go(struct bridge *b)
{
	if (!b->holding)
		return;
	b->holding = false;
	channel_touch(b->channel); /* its turn feeds */
}

void bridge_turn(struct bridge *b)
{
	pump_out_flush(&b->out);
	pump_out_flush(&b->err);
	end_output(b);
	/* A flush that took all leaves nobody to wait for: what was refused is asked for here. */
	if (!pump_out_full(&b->out) && !pump_out_full(&b->err))
		channel_resume(b->channel);
	feed(b);
}

bool bridge_flushed(const struct bridge *b)
{
	return pump_out_empty(&b->out) && pump_out_empty(&b->err);
}

void bridge_finish(struct bridge *b)
{
	pump_in_finish(&b->in);
	bytebuf_finish(&b->rest);
	pump_out_finish(&b->out);
	pump_out_finish(&b->err);
}
