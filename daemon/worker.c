#include "daemon/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "protocol/alloc.h"
#include "protocol/log.h"

/* A thread without work leaves after this long: logins come in bursts. */
#define IDLE_SECONDS 10
#define NSEC_PER_SEC 1000000000L

struct job {
	struct job *next;
	worker_run run;
	worker_done done;
	void *ctx;
};

/* Something for the loop thread: a post on the way, or the end of a job. */
struct post {
	struct post *next;
	void (*fn)(void *ctx);
	void *ctx;
	bool ends_job;
};

struct thread {
	struct thread *next;
	pthread_t id;
	struct worker_pool *pool;
};

struct worker_pool {
	uv_async_t async;
	unsigned max_threads;
	size_t busy; /* loop thread only: jobs whose done has not been called */

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t work;  /* a job was queued, or stopping */
	pthread_cond_t left;  /* a thread has left */
	struct job *jobs, **jobs_tail;
	struct post *posts, **posts_tail;
	struct thread *finished; /* have left, wait to be joined */
	size_t queued;		 /* jobs that nobody has taken */
	unsigned live, idle;	 /* threads; those of them that wait for work */
	bool stopping;
};

/* Called with the lock held. */
static void push_post(struct worker_pool *p, void (*fn)(void *ctx), void *ctx, bool ends_job)
{
	struct post *post = xcalloc(1, sizeof(*post));

	post->fn = fn;
	post->ctx = ctx;
	post->ends_job = ends_job;
	*p->posts_tail = post;
	p->posts_tail = &post->next;
	/* Under the lock, so that the pool's end cannot close the handle in between. */
	(void)uv_async_send(&p->async);
}

static void deadline_in(struct timespec *ts, long ms)
{
	clock_gettime(CLOCK_MONOTONIC, ts);
	ts->tv_sec += ms / 1000;
	ts->tv_nsec += (ms % 1000) * 1000000L;
	if (ts->tv_nsec >= NSEC_PER_SEC) {
		ts->tv_sec++;
		ts->tv_nsec -= NSEC_PER_SEC;
	}
}

/* Waits for a job; NULL when the thread should leave. Called with the lock held. */
static struct job *next_job(struct worker_pool *p)
{
	struct timespec until;
	struct job *job;

	deadline_in(&until, IDLE_SECONDS * 1000L);
	while (p->jobs == NULL) {
		int rc;

		if (p->stopping)
			return NULL;
		p->idle++;
		rc = pthread_cond_timedwait(&p->work, &p->lock, &until);
		p->idle--;
		if (rc == ETIMEDOUT && p->jobs == NULL)
			return NULL;
	}
	job = p->jobs;
	p->jobs = job->next;
	if (p->jobs == NULL)
		p->jobs_tail = &p->jobs;
	p->queued--;
	return job;
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;
	struct worker_pool *p = t->pool;
	struct job *job;

	pthread_mutex_lock(&p->lock);
	while ((job = next_job(p)) != NULL) {
		pthread_mutex_unlock(&p->lock);
		job->run(job->ctx);
		pthread_mutex_lock(&p->lock);
		push_post(p, job->done, job->ctx, true);
		free(job);
	}
	p->live--;
	t->next = p->finished;
	p->finished = t;
	pthread_cond_signal(&p->left);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void join_finished(struct worker_pool *p)
{
	struct thread *t, *next;

	pthread_mutex_lock(&p->lock);
	t = p->finished;
	p->finished = NULL;
	pthread_mutex_unlock(&p->lock);
	for (; t != NULL; t = next) {
		next = t->next;
		pthread_join(t->id, NULL);
		free(t);
	}
}

/* Called with the lock held. Signals stay with the loop's thread. */
static void start_thread(struct worker_pool *p)
{
	struct thread *t = xcalloc(1, sizeof(*t));
	sigset_t all, before;
	int rc;

	t->pool = p;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&t->id, NULL, thread_main, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0) {
		p->live++;
		return;
	}
	free(t);
	/* With a thread alive the job waits its turn; with none it would wait for ever. */
	log_error("workers: cannot start a thread: %s (%u are running)", uv_strerror(-rc), p->live);
}

static void run_posts(struct worker_pool *p)
{
	struct post *post, *next;

	pthread_mutex_lock(&p->lock);
	post = p->posts;
	p->posts = NULL;
	p->posts_tail = &p->posts;
	pthread_mutex_unlock(&p->lock);
	for (; post != NULL; post = next) {
		next = post->next;
		if (post->ends_job && --p->busy == 0)
			uv_unref((uv_handle_t *)&p->async);
		post->fn(post->ctx);
		free(post);
	}
}

static void on_async(uv_async_t *async)
{
	struct worker_pool *p = hw_container_of(async, struct worker_pool, async);

	run_posts(p);
	join_finished(p);
}

struct worker_pool *worker_pool_create(uv_loop_t *loop, unsigned max_threads)
{
	struct worker_pool *p = xcalloc(1, sizeof(*p));
	pthread_condattr_t attr;

	if (uv_async_init(loop, &p->async, on_async) != 0) {
		free(p);
		return NULL;
	}
	/* Only jobs keep the loop alive, not the chance of one. */
	uv_unref((uv_handle_t *)&p->async);
	p->max_threads = max_threads > 0 ? max_threads : 1;
	p->jobs_tail = &p->jobs;
	p->posts_tail = &p->posts;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->work, &attr);
	pthread_cond_init(&p->left, &attr);
	pthread_condattr_destroy(&attr);
	return p;
}

void worker_submit(struct worker_pool *p, worker_run run, worker_done done, void *ctx)
{
	struct job *job = xcalloc(1, sizeof(*job));

	job->run = run;
	job->done = done;
	job->ctx = ctx;
	if (p->busy++ == 0)
		uv_ref((uv_handle_t *)&p->async);
	pthread_mutex_lock(&p->lock);
	*p->jobs_tail = job;
	p->jobs_tail = &job->next;
	p->queued++;
	/* idle counts threads that were woken but have not taken their job yet, too. */
	if (p->queued > p->idle && p->live < p->max_threads)
		start_thread(p);
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

void worker_post(struct worker_pool *p, void (*fn)(void *ctx), void *ctx)
{
	pthread_mutex_lock(&p->lock);
	push_post(p, fn, ctx, false);
	pthread_mutex_unlock(&p->lock);
}

size_t worker_pool_busy(const struct worker_pool *p)
{
	return p->busy;
}

static void on_closed(uv_handle_t *handle)
{
	struct worker_pool *p = handle->data;

	if (p == NULL)
		return; /* left to the threads that still use it */
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->left);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

size_t worker_pool_destroy(struct worker_pool *p, unsigned grace_ms)
{
	struct timespec until;
	size_t behind;

	if (p == NULL)
		return 0;
	deadline_in(&until, (long)grace_ms);
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->work);
	/* Queued jobs are run out: their owners have cancelled them, so they end at once. */
	while (p->live > 0)
		if (pthread_cond_timedwait(&p->left, &p->lock, &until) == ETIMEDOUT)
			break;
	behind = p->live;
	pthread_mutex_unlock(&p->lock);
	join_finished(p);
	run_posts(p);
	if (behind > 0) {
		log_warn("workers: %zu threads still blocked, left behind", behind);
		return behind; /* a late thread may yet use the handle: it stays */
	}
	p->async.data = p;
	uv_close((uv_handle_t *)&p->async, on_closed);
	return 0;
}
