/* A small pool of helper threads.

   The caller works through the parts of a job itself; helpers that are awake, or wake in time, take parts from it. At
   the end the caller waits for parts that have been begun, never for a thread that has not been scheduled. Where it has
   to wait long all the same, because a helper lost its processor in the middle of a part, it works alone for the next
   few calls, and for twice as many each time that happens again. Idle helpers spin for as long as a loop over small
   calls takes from one to the next, go on looking while they yield the processor, and then sleep.

   OpenMP can do neither: its loops end in a barrier of all threads, and libgomp's idle threads spin for milliseconds on
   the cores that the BLAS between two calls wants, which made a training step ten times slower.

   After a fork the child starts with no helpers and makes its own. */

#ifndef FASTNN_POOL_H
#define FASTNN_POOL_H

#include <stddef.h>

typedef void (*fastnn_body)(void *context, ptrdiff_t part);

#if defined(__unix__) || defined(__APPLE__)

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

enum {
    FASTNN_MOST_HELPERS = 255,
    FASTNN_SPIN = 10000,            /* ns that an idle helper keeps its processor */
    FASTNN_IDLE = 40000,            /* ns until it sleeps; after the spin it yields the processor at each look */
    FASTNN_LONG_WAIT = 100000,      /* ns, several times what a part takes */
    FASTNN_MOST_ALONE = 16          /* calls */
};

static struct {
    atomic_int taken;           /* by a caller; another one at the same time works alone */
    atomic_int open;            /* whether helpers may join */
    atomic_int active;          /* helpers inside the job */
    atomic_uint generation;     /* counts jobs */
    atomic_llong next;          /* the next part */
    fastnn_body body;
    void *context;
    ptrdiff_t parts;
    atomic_int wanted;          /* helpers that may join */
    int alone;                  /* calls to be done without helpers; read and written by who has `taken` */
    int alone_next;             /* and how many it will be the next time */
    int helpers;                /* started so far */
    int sleeping;               /* under the mutex */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
} fastnn_pool = { .alone_next = 2, .mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };

static long long fastnn_pool_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fastnn_pool_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static void fastnn_pool_work(void)
{
    long long part;
    while ((part = atomic_fetch_add(&fastnn_pool.next, 1)) < fastnn_pool.parts)
        fastnn_pool.body(fastnn_pool.context, (ptrdiff_t)part);
}

static void *fastnn_pool_help(void *unused)
{
    unsigned seen = 0, now;
    (void)unused;
    for (;;) {
        long long start = fastnn_pool_now();
        while ((now = atomic_load(&fastnn_pool.generation)) == seen && fastnn_pool_now() - start < FASTNN_SPIN)
            fastnn_pool_relax();
        while ((now = atomic_load(&fastnn_pool.generation)) == seen && fastnn_pool_now() - start < FASTNN_IDLE)
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
            fastnn_pool_work();
        atomic_fetch_sub(&fastnn_pool.active, 1);
    }
    return NULL;
}

static void fastnn_pool_forget(void)        /* in the child of a fork: the helpers stayed behind */
{
    pthread_mutex_init(&fastnn_pool.mutex, NULL);
    pthread_cond_init(&fastnn_pool.wake, NULL);
    fastnn_pool.helpers = fastnn_pool.sleeping = 0;
    atomic_store(&fastnn_pool.taken, 0);
    atomic_store(&fastnn_pool.open, 0);
    atomic_store(&fastnn_pool.active, 0);
    atomic_store(&fastnn_pool.generation, 0);
}

static void fastnn_pool_prepare(void)       /* once, at import */
{
    pthread_atfork(NULL, NULL, fastnn_pool_forget);
}

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

static void fastnn_pool_wait(void)
{
    long long start;
    if (!atomic_load(&fastnn_pool.active))
        return;
    start = fastnn_pool_now();
    while (atomic_load(&fastnn_pool.active) && fastnn_pool_now() - start < FASTNN_SPIN)
        fastnn_pool_relax();
    while (atomic_load(&fastnn_pool.active))
        sched_yield();
    if (fastnn_pool_now() - start > FASTNN_LONG_WAIT) {
        fastnn_pool.alone = fastnn_pool.alone_next;
        if (fastnn_pool.alone_next < FASTNN_MOST_ALONE)
            fastnn_pool.alone_next *= 2;
    } else if (fastnn_pool.alone_next > 2)
        fastnn_pool.alone_next /= 2;
}

/* body(context, part) for each part from 0 to parts, by the caller and up to threads - 1 helpers. */
static void fastnn_parallel(fastnn_body body, void *context, ptrdiff_t parts, int threads)
{
    int taken = threads > 1 && parts > 1 && !atomic_exchange(&fastnn_pool.taken, 1);
    if (!taken || fastnn_pool.alone) {
        if (taken) {
            fastnn_pool.alone--;
            atomic_store(&fastnn_pool.taken, 0);
        }
        for (ptrdiff_t part = 0; part < parts; part++)
            body(context, part);
        return;
    }
    fastnn_pool_start(threads - 1);
    fastnn_pool.body = body;
    fastnn_pool.context = context;
    fastnn_pool.parts = parts;
    atomic_store(&fastnn_pool.next, 0);
    atomic_store(&fastnn_pool.wanted, threads - 1);
    atomic_store(&fastnn_pool.open, 1);
    pthread_mutex_lock(&fastnn_pool.mutex);
    atomic_fetch_add(&fastnn_pool.generation, 1);
    if (fastnn_pool.sleeping)
        pthread_cond_broadcast(&fastnn_pool.wake);
    pthread_mutex_unlock(&fastnn_pool.mutex);
    fastnn_pool_work();
    atomic_store(&fastnn_pool.open, 0);
    fastnn_pool_wait();
    atomic_store(&fastnn_pool.taken, 0);
}

#else

static void fastnn_pool_prepare(void) {}

static void fastnn_parallel(fastnn_body body, void *context, ptrdiff_t parts, int threads)
{
    ptrdiff_t part;
    (void)threads;
#ifdef _OPENMP
    #pragma omp parallel for num_threads(threads) schedule(static, 1)
#endif
    for (part = 0; part < parts; part++)
        body(context, part);
}

#endif
#endif
