#include "daemon/resolve.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon/resolve_ask.h"
#include "daemon/resolve_cache.h"
#include "protocol/alloc.h"

/* Runs of ssh -G at once; more wait in order. Those for a hawser that such a run has started (Match
 * exec) have as many places again: what waits for them must not keep them from running. */
#define FLIGHTS_MAX 16

/* Threads of our own ask ssh, since starting a process in a directory that may hang, and looking at
 * files that may, would block the loop, or one of the few threads that names are looked up on. What
 * a thread touches after the resolver may have gone lies in `shared`. */
struct shared {
	pthread_mutex_t lock;
	unsigned refs;	     /* the resolver and each thread; by the lock */
	uv_async_t *wake;    /* NULL once the resolver is gone; by the lock */
	struct flight *done; /* finished, newest first; by the lock */
	struct resolve_ssh *ssh;
};

/* One run of ssh, for all that ask the same at the same time. */
struct flight {
	struct flight *next;	  /* in the resolver's waiting or running */
	struct flight *next_done; /* in shared->done; by the lock */
	struct shared *shared;
	char **args, **env;
	char *host, *cwd;
	int cancel_fd;	/* eventfd: the thread gives up when it is readable */
	unsigned depth; /* below so many other runs */
	bool running;	/* a thread has it */
	bool abandoned; /* nobody waits any more: not to be joined */
	struct resolve_job *jobs;
	struct resolve_answer answer; /* the thread's until it has landed */
};

struct resolve_job {
	struct resolve_job *next;
	struct resolver *resolver;
	struct flight *flight; /* NULL: landed, in resolver->delivering */
	resolve_cb cb;
	void *ctx;
};

struct resolver {
	uv_loop_t *loop;
	struct shared *shared;
	struct resolve_cache *cache;
	struct flight *waiting; /* in order of arrival */
	struct flight *running;
	unsigned nrunning[RESOLVE_DEPTH_MAX + 2];
	struct resolve_job *delivering; /* jobs whose flight has landed; cb not yet called */
};

static void shared_unref(struct shared *s)
{
	bool last;

	pthread_mutex_lock(&s->lock);
	last = --s->refs == 0;
	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	resolve_ssh_unref(s->ssh);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void flight_free(struct flight *f)
{
	strv_free(f->args);
	/* The environment of someone's shell may hold a secret. */
	for (char **e = f->env; *e != NULL; e++)
		free_secret_str(*e);
	free(f->env);
	free(f->host);
	free(f->cwd);
	if (f->cancel_fd >= 0)
		close(f->cancel_fd);
	resolve_answer_finish(&f->answer);
	free(f);
}

static struct resolve_query query_of(const struct flight *f)
{
	return (struct resolve_query){
		.args = f->args, .host = f->host, .client = {.env = f->env, .cwd = f->cwd}};
}

/* Hands a flight to the loop; false when no resolver is there any more. */
static bool land(struct shared *s, struct flight *f)
{
	bool alive;

	pthread_mutex_lock(&s->lock);
	alive = s->wake != NULL;
	if (alive) {
		f->next_done = s->done;
		s->done = f;
		uv_async_send(s->wake);
	}
	pthread_mutex_unlock(&s->lock);
	return alive;
}

static void *fly(void *ctx)
{
	struct flight *f = ctx;
	struct shared *s = f->shared;
	struct resolve_query q = query_of(f);

	resolve_ask(s->ssh, &q, f->cancel_fd, &f->answer);
	if (!land(s, f))
		flight_free(f);
	shared_unref(s);
	return NULL;
}

static void *prepare(void *ctx)
{
	struct shared *s = ctx;

	resolve_ssh_prepare(s->ssh);
	shared_unref(s);
	return NULL;
}

/* A detached thread with all signals blocked, holding a reference to s. */
static bool start_thread(struct shared *s, void *(*fn)(void *), void *ctx)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;
	int r;

	pthread_mutex_lock(&s->lock);
	s->refs++;
	pthread_mutex_unlock(&s->lock);
	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&thread, &attr, fn, ctx);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (r != 0)
		shared_unref(s);
	return r == 0;
}

static void unlink_flight(struct flight **list, struct flight *f)
{
	while (*list != f)
		list = &(*list)->next;
	*list = f->next;
	f->next = NULL;
}

static void unlink_job(struct resolve_job **list, struct resolve_job *job)
{
	while (*list != job)
		list = &(*list)->next;
	*list = job->next;
}

/* Takes the first that there is room for. */
static struct flight *take_waiting(struct resolver *r)
{
	for (struct flight **link = &r->waiting; *link != NULL; link = &(*link)->next) {
		struct flight *f = *link;

		if (r->nrunning[f->depth] < FLIGHTS_MAX) {
			*link = f->next;
			return f;
		}
	}
	return NULL;
}

/* Starts what may start. Only while something is asked does the resolver keep the loop going. */
static void depart(struct resolver *r)
{
	struct flight *f;

	while ((f = take_waiting(r)) != NULL) {
		f->next = r->running;
		r->running = f;
		r->nrunning[f->depth]++;
		f->running = true;
		if (!start_thread(r->shared, fly, f)) {
			cause_set(&f->answer.why, CAUSE_INTERNAL,
				  "No thread could be started to ask ssh about %s", f->host);
			land(r->shared, f);
		}
	}
	if (r->running != NULL)
		uv_ref((uv_handle_t *)r->shared->wake);
	else
		uv_unref((uv_handle_t *)r->shared->wake);
}

static void deliver(struct resolver *r, struct flight *f)
{
	struct resolve_answer *a = &f->answer;

	r->delivering = f->jobs;
	for (struct resolve_job *job = f->jobs; job != NULL; job = job->next)
		job->flight = NULL;
	f->jobs = NULL;
	/* What ssh has to say (an identity file that is missing) is said at each call. */
	if (a->d != NULL && (a->words == NULL || a->words[0] == '\0')) {
		struct resolve_query q = query_of(f);

		resolve_cache_put(r->cache, &q, a->d, &a->files);
	}
	/* A callback may cancel others of the list, so it is looked at anew each time. */
	while (r->delivering != NULL) {
		struct resolve_job *job = r->delivering;

		r->delivering = job->next;
		job->cb(job->ctx, a->d != NULL ? destination_ref(a->d) : NULL,
			a->d != NULL ? NULL : &a->why, a->words);
		free(job);
	}
}

static void on_wake(uv_async_t *wake)
{
	struct resolver *r = wake->data;
	struct flight *done, *f, *in_order = NULL;

	pthread_mutex_lock(&r->shared->lock);
	done = r->shared->done;
	r->shared->done = NULL;
	pthread_mutex_unlock(&r->shared->lock);
	while ((f = done) != NULL) {
		done = f->next_done;
		f->next_done = in_order;
		in_order = f;
	}
	while ((f = in_order) != NULL) {
		in_order = f->next_done;
		unlink_flight(&r->running, f);
		r->nrunning[f->depth]--;
		deliver(r, f);
		flight_free(f);
	}
	depart(r);
}

struct resolver *resolver_create(uv_loop_t *loop, const char *ssh_path)
{
	struct resolver *r = xcalloc(1, sizeof(*r));
	uv_async_t *wake = xcalloc(1, sizeof(*wake));

	if (uv_async_init(loop, wake, on_wake) != 0) {
		free(wake);
		free(r);
		return NULL;
	}
	wake->data = r;
	uv_unref((uv_handle_t *)wake);
	r->loop = loop;
	r->cache = resolve_cache_create();
	r->shared = xcalloc(1, sizeof(*r->shared));
	pthread_mutex_init(&r->shared->lock, NULL);
	r->shared->refs = 1;
	r->shared->wake = wake;
	r->shared->ssh = resolve_ssh_create(ssh_path);
	/* The defaults are there by the time the first client's own question is. */
	start_thread(r->shared, prepare, r->shared);
	return r;
}

static void on_wake_closed(uv_handle_t *wake)
{
	free(wake);
}

static void free_jobs(struct flight *f)
{
	while (f->jobs != NULL) {
		struct resolve_job *job = f->jobs;

		f->jobs = job->next;
		free(job);
	}
}

void resolver_destroy(struct resolver *r)
{
	struct shared *s;
	struct flight *f, *done;
	uv_async_t *wake;

	if (r == NULL)
		return;
	s = r->shared;
	while ((f = r->waiting) != NULL) {
		r->waiting = f->next;
		free_jobs(f);
		flight_free(f);
	}
	/* Under the lock no running flight can be freed by its thread. */
	pthread_mutex_lock(&s->lock);
	for (f = r->running; f != NULL; f = f->next) {
		free_jobs(f);
		if (f->cancel_fd >= 0)
			eventfd_write(f->cancel_fd, 1);
	}
	wake = s->wake;
	s->wake = NULL;
	done = s->done;
	s->done = NULL;
	pthread_mutex_unlock(&s->lock);
	while ((f = done) != NULL) {
		done = f->next_done;
		flight_free(f);
	}
	uv_close((uv_handle_t *)wake, on_wake_closed);
	shared_unref(s);
	resolve_cache_destroy(r->cache);
	free(r);
}

struct destination *resolver_lookup(struct resolver *r, const struct resolve_query *q)
{
	return resolve_cache_get(r->cache, q);
}

static bool same_vector(char *const *a, char *const *b)
{
	if (strv_len(a) != strv_len(b))
		return false;
	for (size_t i = strv_len(a); i-- > 0;) {
		if (strcmp(a[i], b[i]) != 0)
			return false;
	}
	return true;
}

/* A flight in the list that asks exactly the same for the same kind of client. */
static struct flight *find_same(struct flight *list, const struct resolve_query *q)
{
	const char *cwd = q->client.cwd != NULL ? q->client.cwd : "/";

	for (; list != NULL; list = list->next) {
		if (!list->abandoned && strcmp(list->host, q->host) == 0 &&
		    strcmp(list->cwd, cwd) == 0 && same_vector(list->args, q->args) &&
		    same_vector(list->env, q->client.env))
			return list;
	}
	return NULL;
}

static char **copy_vector(char *const *v)
{
	static char *const none[] = {NULL};

	return strv_dup(v != NULL ? v : none);
}

struct resolve_job *resolver_start(struct resolver *r, const struct resolve_query *q, resolve_cb cb,
				   void *ctx)
{
	struct resolve_job *job = xcalloc(1, sizeof(*job)), **tail;
	struct flight *f = find_same(r->running, q);

	if (f == NULL)
		f = find_same(r->waiting, q);
	if (f == NULL) {
		struct flight **end = &r->waiting;

		f = xcalloc(1, sizeof(*f));
		f->shared = r->shared;
		f->args = copy_vector(q->args);
		f->env = copy_vector(q->client.env);
		f->host = xstrdup(q->host);
		f->cwd = xstrdup(q->client.cwd != NULL ? q->client.cwd : "/");
		f->depth = resolve_depth(q->client.env);
		f->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		while (*end != NULL)
			end = &(*end)->next;
		*end = f;
	}
	job->resolver = r;
	job->flight = f;
	job->cb = cb;
	job->ctx = ctx;
	for (tail = &f->jobs; *tail != NULL; tail = &(*tail)->next)
		;
	*tail = job;
	depart(r);
	return job;
}

void resolve_cancel(struct resolve_job *job)
{
	struct resolver *r = job->resolver;
	struct flight *f = job->flight;

	if (f == NULL) {
		unlink_job(&r->delivering, job);
		free(job);
		return;
	}
	unlink_job(&f->jobs, job);
	free(job);
	if (f->jobs != NULL)
		return;
	f->abandoned = true;
	if (f->running) {
		if (f->cancel_fd >= 0)
			eventfd_write(f->cancel_fd, 1);
		return;
	}
	unlink_flight(&r->waiting, f);
	flight_free(f);
}
