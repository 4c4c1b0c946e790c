#include "daemon/forward_missing.h"

#include <stdlib.h>

#include "protocol/alloc.h"

/* Relative paths are none any more. */
#define CWD "/"

struct missing *missing_find(struct missing *list, const struct forward_spec *spec, const char *cwd)
{
	struct forward_spec wanted;
	struct missing *m = list;

	forward_spec_copy(&wanted, spec);
	forward_make_absolute(&wanted, cwd);
	while (m != NULL && !forward_spec_same(&m->spec, &wanted))
		m = m->next;
	forward_spec_finish(&wanted);
	return m;
}

void missing_add(struct missing **list, const struct forward_spec *spec, struct destination *dest)
{
	struct missing *m;

	if (missing_find(*list, spec, CWD) != NULL)
		return;
	m = xcalloc(1, sizeof(*m));
	forward_spec_copy(&m->spec, spec);
	m->dest = destination_ref(dest);
	while (*list != NULL)
		list = &(*list)->next;
	*list = m;
}

void missing_drop(struct missing **list, struct missing *m)
{
	while (*list != m)
		list = &(*list)->next;
	*list = m->next;
	forward_spec_finish(&m->spec);
	destination_unref(m->dest);
	free(m);
}

void missing_clear(struct missing **list)
{
	while (*list != NULL)
		missing_drop(list, *list);
}

static void on_standing(void *ctx, const struct forward_spec *spec, struct destination *dest)
{
	missing_add(ctx, spec, dest);
}

void missing_add_standing(struct missing **list, const struct forward_set *set)
{
	forward_set_each(set, on_standing, list);
}

void missing_drop_standing(struct missing **list, const struct forward_set *set)
{
	struct missing *m, *next;

	for (m = *list; m != NULL; m = next) {
		next = m->next;
		if (forward_set_stands(set, &m->spec))
			missing_drop(list, m);
	}
}

/* One batch has the options of one destination. */
static void try_those_of(struct missing *first, struct forward_set *set, enum forward_words words,
			 forward_done done, void *ctx)
{
	struct forward_want want = {
		.words = words, .once = true, .again = true, .dest = first->dest, .cwd = CWD};
	struct forward_spec *specs;
	size_t most = 0;

	for (const struct missing *m = first; m != NULL; m = m->next)
		most++;
	specs = xcalloc(most, sizeof(*specs));
	for (struct missing *m = first; m != NULL; m = m->next) {
		if (m->dest != first->dest)
			continue;
		specs[want.count++] = m->spec;
		m->trying = true;
	}
	want.specs = specs;
	forward_set_add(set, &want, done, ctx);
	free(specs); /* what is in them is the list's */
}

size_t missing_try(struct missing *list, struct forward_set *set, enum forward_words words,
		   forward_done done, void *ctx)
{
	size_t batches = 0;

	for (struct missing *m = list; m != NULL; m = m->next)
		m->trying = false;
	for (struct missing *m = list; m != NULL; m = m->next) {
		if (m->trying)
			continue;
		try_those_of(m, set, words, done, ctx);
		batches++;
	}
	return batches;
}

void missing_tried(struct missing **list, struct forward_set *set)
{
	struct missing *m, *next;

	for (m = *list; m != NULL; m = next) {
		next = m->next;
		m->trying = false;
		if (!m->cancelled)
			continue;
		forward_set_cancel(set, &m->spec, CWD, true);
		missing_drop(list, m);
	}
	missing_drop_standing(list, set);
}
