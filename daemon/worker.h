/* Blocking work (key exchange, agent, bcrypt, file systems that may hang) on threads of our own:
 * libuv's four are left to name look-ups, and a key that waits for a touch may hold a thread for
 * half a minute. Threads are made on demand up to a maximum and leave when idle for a while. */
#ifndef HAWSER_DAEMON_WORKER_H
#define HAWSER_DAEMON_WORKER_H

#include <uv.h>
#include "protocol/base.h"

struct worker_pool;

/* run is called on a worker thread, done afterwards on the loop thread, exactly once each. */
typedef void (*worker_run)(void *ctx);
typedef void (*worker_done)(void *ctx);

struct worker_pool *worker_pool_create(uv_loop_t *loop, unsigned max_threads);
/* Queues a job; jobs beyond max_threads wait in order. ctx is owned by the job until done. */
void worker_submit(struct worker_pool *p, worker_run run, worker_done done, void *ctx);
/* Runs fn(ctx) on the loop thread soon. May be called from any thread: this is how a job that
 * runs tells the loop something on the way (a prompt). Order of calls is kept. */
void worker_post(struct worker_pool *p, void (*fn)(void *ctx), void *ctx);
/* Jobs queued or running. */
size_t worker_pool_busy(const struct worker_pool *p);
/* Stops taking jobs, joins the idle threads. Threads still blocked after grace_ms (their job was
 * cancelled but hangs in a system call) are left behind, which is only right at process exit;
 * returns how many. Call on the loop thread, with the loop still open; the loop must run once more.
 */
size_t worker_pool_destroy(struct worker_pool *p, unsigned grace_ms);

#endif
