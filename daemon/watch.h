/* Readiness of descriptors that come and go with requests: client connections and the descriptors
 * that clients hand over.
 *
 * uv_poll_init() sets O_NONBLOCK on the open file description, which for a handed-over socket is
 * shared with the user's other processes. So these descriptors live in one epoll set of ours, and
 * only that set's own descriptor is known to libuv. Removal is immediate: no callback comes for a
 * watch after watch_remove() has returned, even one that was already reported in the same turn. */
#ifndef HAWSER_DAEMON_WATCH_H
#define HAWSER_DAEMON_WATCH_H

#include <uv.h>
#include "protocol/base.h"

#define WATCH_READ  0x1u
#define WATCH_WRITE 0x2u /* also reported: error and hang-up, with whatever was asked for */

struct watch_set; /* one per loop */
struct watch;

/* events: WATCH_* bits that are ready. HUP and ERR are reported as all the bits that were asked. */
typedef void (*watch_cb)(void *ctx, unsigned events);

/* NULL with errno when the kernel refuses. The caller owns the set; destroy after the last watch
 * was removed (asserted), before the loop is closed; the loop must run once more. */
struct watch_set *watch_set_create(uv_loop_t *loop);
void watch_set_destroy(struct watch_set *set);

/* fd is borrowed: remove the watch before closing it. NULL with errno when the kernel refuses it
 * (a regular file: EPERM). Level-triggered. events may be 0: then only kept for watch_change(). */
struct watch *watch_add(struct watch_set *set, int fd, unsigned events, watch_cb cb, void *ctx);
void watch_change(struct watch *w, unsigned events); /* no system call when nothing changes */
void watch_remove(struct watch *w);		     /* NULL ok */

#endif
