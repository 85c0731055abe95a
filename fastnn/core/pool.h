/* A small pool of helper threads.

   The caller begins alone and looks how long the first piece takes: what helpers are worth depends on the kernel, the
   dtype and the processor. A helper that is awake takes part in anything that would last FASTNN_WORTH; one that sleeps
   costs a system call and comes late, so it is woken for long calls and for small ones that follow each other.

   The caller then works through the parts of the job from the front; helpers that are awake, or wake in time, take
   parts from the back, so that a loop over the same array leaves each part in the same processor's cache. At
   the end the caller waits for parts that have been begun, never for a thread that has not been scheduled. Where it has
   to wait longer than it was helped, because a helper lost its processor in the middle of a part, it works alone for the
   next few calls, and for twice as many each time that happens again. Idle helpers spin for as long as a loop over small
   calls takes from one to the next, go on looking while they yield the processor, and then sleep.

   OpenMP can do neither: its loops end in a barrier of all threads, and libgomp's idle threads spin for milliseconds on
   the cores that the BLAS between two calls wants, which made a training step ten times slower.

   After a fork the child has no helpers and works alone, until it asks for threads: a pool of processes would make far
   too many, and not every system bears threads that are started there. */

#ifndef FASTNN_POOL_H
#define FASTNN_POOL_H

#include <stddef.h>
#include "watch.h"

#if defined(__unix__) || defined(__APPLE__)

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

enum {
    FASTNN_POOL = 1,
    FASTNN_MOST_HELPERS = 255,
    FASTNN_SPIN = 10000,            /* ns that an idle helper keeps its processor */
    FASTNN_IDLE = 40000,            /* ns until it sleeps; after the spin it yields the processor at each look */
    FASTNN_WORTH = 5000,            /* ns that a job must last for helpers that are awake */
    FASTNN_WAKE = 100000,           /* ns of work, in one call or in close succession, for helpers that sleep */
    FASTNN_PART = 50000,            /* ns that a part of a long job takes */
    FASTNN_LOOK = 32,               /* the piece done first is this part of a job, but at most */
    FASTNN_LONGEST_LOOK = 4,        /* so many grains */
    FASTNN_MOST_PARTS = 1024,
    FASTNN_LONG_WAIT = 100000,      /* ns, several times what a part takes */
    FASTNN_MOST_ALONE = 16          /* calls */
};

static struct {
    atomic_int taken;           /* by a caller; another one at the same time works alone */
    atomic_int open;            /* whether helpers may join */
    atomic_int active;          /* helpers inside the job */
    atomic_uint generation;     /* counts jobs */
    atomic_llong begun;         /* parts */
    atomic_llong from_back;     /* those of them that helpers took */
    fastnn_range body;
    const void *work;
    ptrdiff_t start, stop, size, parts;
    atomic_int wanted;          /* helpers that may join */
    int alone;                  /* calls to be done without helpers; read and written by who has `taken` */
    int alone_next;             /* and how many it will be the next time */
    long long last;             /* when the latest job ended, and how many ns of work have */
    long long busy;             /* come in close succession: as `alone` */
    int helpers;                /* started so far */
    int forks;                  /* between the first process and this one */
    atomic_int single;          /* a fork's child that has not asked for threads */
    atomic_int sleeping;        /* changed under the mutex */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
} fastnn_pool = { .alone_next = 2, .mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };

static void fastnn_pool_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* The number of parts that the caller did. A helper watches nothing. */
static ptrdiff_t fastnn_pool_work(int helper, fastnn_watch *watch)
{
    ptrdiff_t part, from_front = 0, start, stop;
    while (atomic_fetch_add(&fastnn_pool.begun, 1) < fastnn_pool.parts) {
        part = helper ? fastnn_pool.parts - 1 - (ptrdiff_t)atomic_fetch_add(&fastnn_pool.from_back, 1) : from_front++;
        start = fastnn_pool.start + part * fastnn_pool.size;
        stop = start + fastnn_pool.size;
        fastnn_pool.body(fastnn_pool.work, start, stop < fastnn_pool.stop ? stop : fastnn_pool.stop);
        if (watch && fastnn_watch_look(watch, fastnn_now()))
            atomic_store(&fastnn_pool.begun, fastnn_pool.parts);        /* nobody begins another one */
    }
    return from_front;
}

static void *fastnn_pool_help(void *unused)
{
    unsigned seen = 0, now;
    (void)unused;
    for (;;) {
        long long start = fastnn_now();
        while ((now = atomic_load(&fastnn_pool.generation)) == seen && fastnn_now() - start < FASTNN_SPIN)
            fastnn_pool_relax();
        while ((now = atomic_load(&fastnn_pool.generation)) == seen && fastnn_now() - start < FASTNN_IDLE)
            sched_yield();
        if (now == seen) {
            pthread_mutex_lock(&fastnn_pool.mutex);
            fastnn_pool.sleeping++;
            while ((now = atomic_load(&fastnn_pool.generation)) == seen)
                pthread_cond_wait(&fastnn_pool.wake, &fastnn_pool.mutex);
            fastnn_pool.sleeping--;
            pthread_mutex_unlock(&fastnn_pool.mutex);
        }
        seen = now;
        /* First count, then look whether the job is still open: the caller closes it first and then reads the count. */
        if (atomic_fetch_add(&fastnn_pool.active, 1) < atomic_load(&fastnn_pool.wanted)
            && atomic_load(&fastnn_pool.open))
            fastnn_pool_work(1, NULL);
        atomic_fetch_sub(&fastnn_pool.active, 1);
    }
    return NULL;
}

static void fastnn_pool_forget(void)        /* in the child of a fork: the helpers stayed behind */
{
    pthread_mutex_init(&fastnn_pool.mutex, NULL);
    pthread_cond_init(&fastnn_pool.wake, NULL);
    fastnn_pool.helpers = 0;
    fastnn_pool.forks++;
    atomic_store(&fastnn_pool.single, 1);
    atomic_store(&fastnn_pool.sleeping, 0);
    atomic_store(&fastnn_pool.taken, 0);
    atomic_store(&fastnn_pool.open, 0);
    atomic_store(&fastnn_pool.active, 0);
    atomic_store(&fastnn_pool.generation, 0);
}

static void fastnn_pool_prepare(void)       /* once, at import */
{
    pthread_atfork(NULL, NULL, fastnn_pool_forget);
}

static int fastnn_pool_single(void) { return atomic_load_explicit(&fastnn_pool.single, memory_order_relaxed); }

static void fastnn_pool_several(void) { atomic_store(&fastnn_pool.single, 0); }

static void fastnn_pool_start(int helpers)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    if (helpers > FASTNN_MOST_HELPERS)
        helpers = FASTNN_MOST_HELPERS;
    if (fastnn_pool.helpers >= helpers || pthread_attr_init(&attributes) != 0)
        return;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);                       /* signals are for the interpreter's own threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (fastnn_pool.helpers < helpers && pthread_create(&thread, &attributes, fastnn_pool_help, NULL) == 0)
        fastnn_pool.helpers++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

/* The caller did `mine` of the parts in the time since `began`. */
static void fastnn_pool_wait(long long began, ptrdiff_t mine, fastnn_watch *watch)
{
    long long start = fastnn_now(), saved;
    fastnn_pool.last = start;
    if (!atomic_load(&fastnn_pool.active))
        return;
    while (atomic_load(&fastnn_pool.active) && fastnn_now() - start < FASTNN_SPIN)
        fastnn_pool_relax();
    while (atomic_load(&fastnn_pool.active)) {
        sched_yield();
        if (watch)
            fastnn_watch_look(watch, fastnn_now());
    }
    fastnn_pool.last = fastnn_now();
    if (watch && fastnn_flag_get(&watch->over))
        return;
    saved = (long long)((double)(start - began) * (double)(fastnn_pool.parts - mine) / (double)(mine ? mine : 1));
    if (fastnn_pool.last - start > FASTNN_LONG_WAIT && fastnn_pool.last - start > saved) {
        fastnn_pool.alone = fastnn_pool.alone_next;
        if (fastnn_pool.alone_next < FASTNN_MOST_ALONE)
            fastnn_pool.alone_next *= 2;
    } else if (fastnn_pool.alone_next > 2)
        fastnn_pool.alone_next /= 2;
}

/* Whether helpers are worth it for a job that would last `expected` ns from now on. */
static int fastnn_pool_worth(long long now, long long expected)
{
    if (now - fastnn_pool.last > FASTNN_IDLE)
        fastnn_pool.busy = 0;
    fastnn_pool.busy += expected;
    fastnn_pool.last = now + expected;              /* if it is done alone */
    if (expected < FASTNN_WORTH
        || (fastnn_pool.busy < FASTNN_WAKE && atomic_load(&fastnn_pool.sleeping) >= fastnn_pool.helpers))
        return 0;
    if (!fastnn_pool.alone)
        return 1;
    fastnn_pool.alone--;
    return 0;
}

/* body over `start` to `stop`, by the caller and up to threads - 1 helpers, in parts of whole grains. */
static void fastnn_pool_run(fastnn_range body, const void *work, ptrdiff_t start, ptrdiff_t stop, ptrdiff_t grain,
                            int threads, long long expected, fastnn_watch *watch)
{
    ptrdiff_t grains = (stop - start + grain - 1) / grain, parts = (ptrdiff_t)4 * threads, mine;
    long long began = fastnn_now();
    int forks = fastnn_pool.forks;
    if (expected / FASTNN_PART > parts)
        parts = (ptrdiff_t)(expected / FASTNN_PART < FASTNN_MOST_PARTS ? expected / FASTNN_PART : FASTNN_MOST_PARTS);
    if (watch && expected / FASTNN_SLICE > parts)
        parts = (ptrdiff_t)(expected / FASTNN_SLICE);
    fastnn_pool_start(threads - 1);
    fastnn_pool.body = body;
    fastnn_pool.work = work;
    fastnn_pool.start = start;
    fastnn_pool.stop = stop;
    fastnn_pool.size = (grains + parts - 1) / parts * grain;
    fastnn_pool.parts = (stop - start + fastnn_pool.size - 1) / fastnn_pool.size;
    atomic_store(&fastnn_pool.begun, 0);
    atomic_store(&fastnn_pool.from_back, 0);
    atomic_store(&fastnn_pool.wanted, threads - 1);
    atomic_store(&fastnn_pool.open, 1);
    pthread_mutex_lock(&fastnn_pool.mutex);
    atomic_fetch_add(&fastnn_pool.generation, 1);
    if (atomic_load(&fastnn_pool.sleeping))
        pthread_cond_broadcast(&fastnn_pool.wake);
    pthread_mutex_unlock(&fastnn_pool.mutex);
    mine = fastnn_pool_work(0, watch);
    atomic_store(&fastnn_pool.open, 0);
    fastnn_pool_wait(began, mine, watch);
    if (watch && forks != fastnn_pool.forks && !fastnn_flag_get(&watch->over))
        fastnn_flag_set(&watch->over, FASTNN_LOST);
}

/* body over 0 to n, by the caller and, where that is worth it, up to threads - 1 helpers; cut at multiples of grain.
   Without a watch (NULL) it comes to its end. */
static void fastnn_share(fastnn_range body, const void *work, ptrdiff_t n, ptrdiff_t grain, int threads,
                         fastnn_watch *watch)
{
    ptrdiff_t done = 0;
    long long now, start, expected = FASTNN_WAKE;   /* a job of few grains is taken for a long one */
    if (threads > 1 && n > grain) {
        now = start = fastnn_now();
        if (n >= FASTNN_LOOK / 2 * grain) {
            done = n / (FASTNN_LOOK * grain);
            done = (done < 1 ? 1 : done < FASTNN_LONGEST_LOOK ? done : FASTNN_LONGEST_LOOK) * grain;
            body(work, 0, done);
            now = fastnn_now();
            if (watch && fastnn_watch_look(watch, now))
                return;
            expected = (long long)((double)(now - start) * (double)(n - done) / (double)done);
        }
        if (!atomic_exchange(&fastnn_pool.taken, 1)) {
            int worth = fastnn_pool_worth(now, expected);
            if (worth)
                fastnn_pool_run(body, work, done, n, grain, threads, expected, watch);
            atomic_store(&fastnn_pool.taken, 0);
            if (worth)
                return;
        }
    }
    fastnn_alone(body, work, done, n, grain, watch);
}

#else

enum { FASTNN_POOL = 0 };

static void fastnn_pool_prepare(void) {}

static int fastnn_pool_single(void) { return 0; }

static void fastnn_pool_several(void) {}

typedef struct {
    fastnn_range body;
    const void *work;
    ptrdiff_t grain;
    int threads;
} fastnn_loop;

static void fastnn_loop_run(const void *of, ptrdiff_t start, ptrdiff_t stop)
{
    const fastnn_loop *loop = (const fastnn_loop *)of;
    ptrdiff_t parts = loop->threads > 1 ? (ptrdiff_t)4 * loop->threads : 1, n = stop - start, size, i;
    if (n <= 0) {
        loop->body(loop->work, start, stop);
        return;
    }
    size = ((n + loop->grain - 1) / loop->grain + parts - 1) / parts * loop->grain;
    parts = (n + size - 1) / size;
#ifdef _OPENMP
    #pragma omp parallel for num_threads(loop->threads) schedule(static, 1) if(loop->threads > 1)
#endif
    for (i = 0; i < parts; i++)
        loop->body(loop->work, start + i * size, i + 1 < parts ? start + (i + 1) * size : stop);
}

static void fastnn_share(fastnn_range body, const void *work, ptrdiff_t n, ptrdiff_t grain, int threads,
                         fastnn_watch *watch)
{
    fastnn_loop loop;
    loop.body = body;
    loop.work = work;
    loop.grain = grain;
    loop.threads = threads;
    fastnn_alone(fastnn_loop_run, &loop, 0, n, grain, watch);
}

#endif
#endif
