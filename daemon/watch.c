#include "daemon/watch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "protocol/alloc.h"
#include "protocol/log.h"

/* Events taken per turn of the loop: what is left stays ready (level-triggered) and comes in the
 * next turn, after libuv's own descriptors and timers had theirs. */
#define WATCH_BATCH 64

struct watch {
	struct watch_set *set;
	int fd;
	unsigned events; /* WATCH_* asked for */
	watch_cb cb;	 /* NULL: removed during the turn that still has its event in hand */
	void *ctx;
	struct watch *next_dead;
};

struct watch_set {
	int epfd;
	uv_poll_t poll;
	size_t count;
	bool dispatching;
	struct watch *dead; /* removed while dispatching: freed at the end of the turn */
};

static uint32_t watch_epoll_mask(unsigned events)
{
	/* The kernel reports HUP and ERR even to a mask of 0, and level-triggered that would turn
	 * the loop into a spin. Edge-triggered it comes once and is dropped; re-arming by
	 * EPOLL_CTL_MOD polls anew, so nothing is missed. (EPOLL_CTL_DEL would do too, but then
	 * the ADD to come may fail.) */
	if (events == 0)
		return EPOLLET;
	return (events & WATCH_READ ? (uint32_t)EPOLLIN : 0) |
	       (events & WATCH_WRITE ? (uint32_t)EPOLLOUT : 0);
}

static unsigned watch_ready_events(const struct watch *w, uint32_t epoll_events)
{
	unsigned ready = 0;

	if (epoll_events & (EPOLLHUP | EPOLLERR))
		return w->events;
	if (epoll_events & EPOLLIN)
		ready |= WATCH_READ;
	if (epoll_events & EPOLLOUT)
		ready |= WATCH_WRITE;
	/* The mask may have changed since the kernel made its report. */
	return ready & w->events;
}

static void watch_free_dead(struct watch_set *set)
{
	while (set->dead) {
		struct watch *w = set->dead;

		set->dead = w->next_dead;
		free(w);
	}
}

static void on_watch_set_ready(uv_poll_t *poll, int status, int uv_events)
{
	struct watch_set *set = poll->data;
	struct epoll_event events[WATCH_BATCH];
	int count;

	(void)uv_events;
	if (status < 0) {
		log_error("watch: polling the descriptor set failed: %s", uv_strerror(status));
		return;
	}
	count = epoll_wait(set->epfd, events, WATCH_BATCH, 0);
	set->dispatching = true;
	for (int i = 0; i < count; i++) {
		struct watch *w = events[i].data.ptr;
		unsigned ready;

		if (!w->cb)
			continue;
		ready = watch_ready_events(w, events[i].events);
		if (ready != 0)
			w->cb(w->ctx, ready);
	}
	set->dispatching = false;
	watch_free_dead(set);
}

struct watch_set *watch_set_create(uv_loop_t *loop)
{
	struct watch_set *set;
	int error, epfd = epoll_create1(EPOLL_CLOEXEC);

	if (epfd < 0)
		return NULL;
	set = xcalloc(1, sizeof(*set));
	set->epfd = epfd;
	set->poll.data = set;
	error = uv_poll_init(loop, &set->poll, epfd);
	if (error != 0) {
		close(epfd);
		free(set);
		errno = -error;
		return NULL;
	}
	uv_poll_start(&set->poll, UV_READABLE, on_watch_set_ready);
	return set;
}

static void on_watch_set_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void watch_set_destroy(struct watch_set *set)
{
	assert(set->count == 0 && !set->dispatching);
	uv_close((uv_handle_t *)&set->poll, on_watch_set_closed);
	close(set->epfd);
}

struct watch *watch_add(struct watch_set *set, int fd, unsigned events, watch_cb cb, void *ctx)
{
	struct watch *w = xcalloc(1, sizeof(*w));
	struct epoll_event event = {.events = watch_epoll_mask(events), .data.ptr = w};

	if (epoll_ctl(set->epfd, EPOLL_CTL_ADD, fd, &event) < 0) {
		int saved = errno;

		free(w);
		errno = saved;
		return NULL;
	}
	w->set = set;
	w->fd = fd;
	w->events = events;
	w->cb = cb;
	w->ctx = ctx;
	set->count++;
	return w;
}

void watch_change(struct watch *w, unsigned events)
{
	struct epoll_event event = {.events = watch_epoll_mask(events), .data.ptr = w};

	if (events == w->events)
		return;
	w->events = events;
	if (epoll_ctl(w->set->epfd, EPOLL_CTL_MOD, w->fd, &event) < 0)
		log_error("watch: descriptor %d was closed before its watch was removed: %m",
			  w->fd);
}

void watch_remove(struct watch *w)
{
	struct watch_set *set;

	if (!w)
		return;
	set = w->set;
	if (epoll_ctl(set->epfd, EPOLL_CTL_DEL, w->fd, NULL) < 0)
		log_error("watch: descriptor %d was closed before its watch was removed: %m",
			  w->fd);
	set->count--;
	if (!set->dispatching) {
		free(w);
		return;
	}
	w->cb = NULL;
	w->next_dead = set->dead;
	set->dead = w;
}
