/* Setting up forwards in ssh's order: local ones one after the other, then those at the server. */
#include "daemon/forward_priv.h"

#include <stdlib.h>

#include "protocol/alloc.h"

struct forward_batch {
	struct forward_batch *next;
	struct forward_set *set;
	struct forward_spec *specs;
	size_t count, begun, pending;
	size_t locals, local_failed, remote_failed;
	enum forward_words words;
	bool once, again, locals_done;
	struct destination *dest;
	forward_done done; /* NULL: nobody wants to know */
	void *ctx;
	struct defer step;
};

static void free_batch(struct forward_batch *b)
{
	struct forward_batch **link = &b->set->batches;

	while (*link != b)
		link = &(*link)->next;
	*link = b->next;
	defer_cancel(&b->step);
	forward_specs_free(b->specs, b->count);
	destination_unref(b->dest);
	free(b);
}

void forward_batches_free(struct forward_set *set)
{
	while (set->batches != NULL)
		free_batch(set->batches);
}

static void post(struct forward_batch *b)
{
	defer_post(pools_defer(b->set->app->pools), &b->step);
}

/* What ssh -v says: people search for it, and tools wait for it. */
static void say_begin(struct forward *f)
{
	const struct forward_spec *s = &f->spec;
	bool local = s->kind == FORWARD_LOCAL;
	const char *here = s->listen.path != NULL ? s->listen.path : s->listen.host;

	if (here == NULL)
		here = f->dest->gateway_ports && local ? "*" : "LOCALHOST";
	forward_notice(
		f->set, 1, "debug1: %s connections %s %.200s:%d forwarded to %s address %.200s:%d",
		local ? "Local" : "Remote", local ? "to" : "from", here, forward_port(&s->listen),
		local ? "remote" : "local", forward_target(s), forward_port(&s->connect));
}

static void begin(struct forward_batch *b, struct forward_spec *spec)
{
	struct forward *f = xcalloc(1, sizeof(*f));
	struct forward **link = &b->set->forwards;

	f->set = b->set;
	f->batch = b;
	f->quiet = b->words == FORWARD_QUIET;
	f->again = b->again;
	f->dest = destination_ref(b->dest);
	forward_spec_copy(&f->spec, spec);
	while (*link != NULL)
		link = &(*link)->next;
	*link = f;
	b->pending++;
	say_begin(f);
	if (++b->set->nforwards > FORWARDS_MAX) {
		forward_notice(b->set, -1, "hawser: more than %d forwards of one call",
			       FORWARDS_MAX);
		forward_settle(f, false);
	} else if (spec->kind == FORWARD_LOCAL)
		forward_listen_start(f);
	else
		forward_remote_start(f);
}

/* ssh's verdict on the local ones. False: the others need not be tried. */
static bool judge_locals(struct forward_batch *b)
{
	b->locals_done = true;
	if (b->local_failed == 0)
		return true;
	if (b->words == FORWARD_FATAL)
		forward_notice(b->set, -2, "Could not request local forwarding.");
	else if (b->words == FORWARD_WARN && b->local_failed == b->locals)
		forward_notice(b->set, -1, "Could not request local forwarding.");
	return b->words != FORWARD_FATAL;
}

static void finish(struct forward_batch *b)
{
	forward_done done = b->done;
	void *ctx = b->ctx;
	size_t failed = b->local_failed + b->remote_failed + (b->count - b->begun);

	free_batch(b);
	if (done != NULL)
		done(ctx, failed);
}

static void on_step(void *ctx)
{
	struct forward_batch *b = ctx;
	const struct forward *same;

	/* Remote ones are asked for all together: that is one round trip. */
	while (b->begun < b->count) {
		struct forward_spec *spec = &b->specs[b->begun];

		if (spec->kind == FORWARD_LOCAL && b->pending > 0)
			return;
		if (spec->kind == FORWARD_REMOTE && !b->locals_done) {
			if (b->pending > 0)
				return;
			if (!judge_locals(b))
				break;
		}
		same = b->once ? forward_find(b->set, spec, "/", true) : NULL;
		if (same != NULL && same->batch != NULL)
			return; /* forward_settle() comes back to it */
		b->begun++;
		b->locals += spec->kind == FORWARD_LOCAL;
		if (same == NULL)
			begin(b, spec);
	}
	if (b->pending > 0)
		return;
	if (!b->locals_done)
		judge_locals(b);
	finish(b);
}

static void remote_failed(struct forward_batch *b, uint16_t port)
{
	if (b->words == FORWARD_WARN)
		forward_notice(b->set, 0,
			       "Warning: remote port forwarding failed for listen port %u", port);
	else if (b->words == FORWARD_FATAL && b->remote_failed == 0)
		forward_notice(b->set, -2,
			       "Error: remote port forwarding failed for listen port %u", port);
	b->remote_failed++;
}

void forward_settle(struct forward *f, bool ok)
{
	struct forward_batch *b = f->batch;

	f->batch = NULL;
	b->pending--;
	if (!ok) {
		if (f->spec.kind == FORWARD_LOCAL)
			b->local_failed++;
		else
			remote_failed(b, f->spec.listen.port);
		forward_free(f);
	}
	/* Others may have waited for this one. */
	for (struct forward_batch *other = b->set->batches; other != NULL; other = other->next)
		post(other);
}

void forward_set_add(struct forward_set *set, const struct forward_want *want, forward_done done,
		     void *ctx)
{
	struct forward_batch *b = xcalloc(1, sizeof(*b));

	b->set = set;
	b->count = want->count;
	b->specs = xcalloc(want->count > 0 ? want->count : 1, sizeof(*b->specs));
	for (size_t i = 0; i < want->count; i++) {
		forward_spec_copy(&b->specs[i], &want->specs[i]);
		forward_make_absolute(&b->specs[i], want->cwd);
	}
	b->dest = destination_ref(want->dest);
	b->words = want->words;
	b->once = want->once;
	b->again = want->again;
	b->done = done;
	b->ctx = ctx;
	defer_init(&b->step, on_step, b);
	b->next = set->batches;
	set->batches = b;
	post(b);
}

void forward_set_forget(struct forward_set *set, const void *ctx)
{
	for (struct forward_batch *b = set->batches; b != NULL; b = b->next) {
		if (b->ctx == ctx)
			b->done = NULL;
	}
}
