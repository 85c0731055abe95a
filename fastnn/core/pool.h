/* A small pool of helper threads.

   The caller begins alone and measures how long the first piece takes: what helpers are worth depends on the kernel, the
   dtype and the processor. A helper that is awake takes part in anything that would last FASTNN_WORTH; one that sleeps
   costs a system call and comes late, so it is woken for long calls and for shorter ones that follow each other.

   The caller then works through the parts of the job from the front; helpers that are awake, or wake in time, take
   parts from the back, so that a loop over the same array leaves each part in the same processor's cache. At
   the end the caller waits for parts that have been begun, never for a thread that has not been scheduled. Where it has
   to wait longer than it was helped, because a helper lost its processor in the middle of a part, it works alone for
   several times as long as it waited, and longer each time that soon happens again.

   Idle helpers spin for as long as a loop over small calls takes from one to the next, go on polling while they yield
   the processor, and then sleep: after 40 us, later if the jobs before came later, at once if another thread works on
   their processor.

   OpenMP can do neither: its loops end in a barrier of all threads, and libgomp's idle threads spin for milliseconds on
   the cores that the BLAS between two calls wants, which made a training step ten times slower.

   After a fork the child has no helpers and works alone, until it asks for threads: a pool of processes would make far
   too many, and not every system bears threads that are started there. */

#ifndef FASTNN_POOL_H
#define FASTNN_POOL_H

#include <stddef.h>
#include "cancellation.h"

#if defined(__unix__) || defined(__APPLE__)

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

enum {
    FASTNN_POOL = 1,
    FASTNN_MOST_HELPERS = 255,
    FASTNN_SPIN = 10000,            /* ns that an idle helper keeps its processor */
    FASTNN_IDLE = 40000,            /* ns until it sleeps; after the spin it yields the processor at each poll */
    FASTNN_LONGEST_IDLE = 200000,   /* the same, where jobs come at such distances */
    FASTNN_CROWDED = 10000,         /* ns that a yield takes where another thread works on this processor */
    FASTNN_WORTH = 5000,            /* ns that a job must last for each helper that is awake */
    FASTNN_WAKE = 100000,           /* ns of work in one call for which a helper that sleeps is woken; */
    FASTNN_WAKE_AGAIN = 50000,      /* the same, in calls that follow one another; */
    FASTNN_WAKE_NEXT = 25000,       /* and for each further helper */
    FASTNN_PART = 50000,            /* ns that a part of a long job takes */
    FASTNN_FIRST_PIECE = 32,        /* the piece done first is this part of a job, but at most */
    FASTNN_LONGEST_FIRST = 4,       /* so many grains */
    FASTNN_MOST_PARTS = 1024,
    FASTNN_LONG_WAIT = 100000,      /* ns, several times what a part takes */
    FASTNN_ALONE = 4,               /* times such a wait, in which the caller then works alone */
    FASTNN_LONGEST_ALONE = 250000000,   /* ns */
    FASTNN_APART = 64               /* bytes between what different threads write */
};

static struct {
    /* The job. The caller writes it, then opens it, then counts it. */
    atomic_uint generation;     /* of jobs */
    atomic_int open;            /* whether helpers may join */
    atomic_int wanted;          /* so many of them */
    fastnn_range body;
    const void *work;
    ptrdiff_t start, stop, size, parts;
    _Alignas(FASTNN_APART)
    atomic_llong begun;         /* parts */
    atomic_llong from_back;     /* those of them that helpers took */
    _Alignas(FASTNN_APART)
    atomic_int active;          /* helpers inside the job */
    _Alignas(FASTNN_APART)
    atomic_int taken;           /* by a caller; another one at the same time works alone. Who has it, has the rest: */
    long long alone_until;      /* when helpers may take part again */
    long long alone_for;        /* and for how many ns they could not */
    long long last;             /* when the latest job ended */
    long long busy;             /* ns of work that have come lately, less half the time between them */
    int helpers;                /* started so far */
    int forks;                  /* between the first process and this one */
    atomic_int processor;       /* where the caller was when it asked for more helpers */
    atomic_int single;          /* a fork's child that has not asked for threads */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    atomic_int sleeping;        /* helpers that have not been called; changed under the mutex */
    int called;                 /* those that have not come yet; under the mutex */
} fastnn_pool = { .mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };

static void fastnn_pool_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* The number of parts that this thread did. A helper polls for no signals. */
static ptrdiff_t fastnn_pool_work(int helper, fastnn_cancellation *cancellation)
{
    ptrdiff_t part, done, start, stop;
    for (done = 0; atomic_fetch_add(&fastnn_pool.begun, 1) < fastnn_pool.parts; done++) {
        part = helper ? fastnn_pool.parts - 1 - (ptrdiff_t)atomic_fetch_add(&fastnn_pool.from_back, 1) : done;
        start = fastnn_pool.start + part * fastnn_pool.size;
        stop = start + fastnn_pool.size;
        fastnn_pool.body(fastnn_pool.work, start, stop < fastnn_pool.stop ? stop : fastnn_pool.stop);
        if (cancellation && fastnn_poll(cancellation, fastnn_now()))
            atomic_store(&fastnn_pool.begun, fastnn_pool.parts);        /* no thread begins another one */
    }
    return done;
}

static int fastnn_pool_processor(void)
{
#if defined(__linux__) && defined(CPU_CLR)
    return sched_getcpu();
#else
    return -1;
#endif
}

/* A thread is woken where it last ran unless another processor is seen idle. Behind its caller it would wait until the
   loop is over, each time. A helper that finds itself there moves away, and is woken where it is then the next time. */
static void fastnn_pool_move(void)
{
#if defined(__linux__) && defined(CPU_CLR)
    int processor = sched_getcpu();
    cpu_set_t all, others;
    if (processor < 0 || processor != atomic_load(&fastnn_pool.processor) || sched_getaffinity(0, sizeof all, &all) != 0)
        return;
    others = all;
    CPU_CLR(processor, &others);
    if (CPU_COUNT(&others) && sched_setaffinity(0, sizeof others, &others) == 0)
        sched_setaffinity(0, sizeof all, &all);
#endif
}

static void fastnn_pool_sleep(unsigned seen)
{
    pthread_mutex_lock(&fastnn_pool.mutex);
    if (atomic_load(&fastnn_pool.generation) == seen) {
        atomic_fetch_add(&fastnn_pool.sleeping, 1);
        while (!fastnn_pool.called)
            pthread_cond_wait(&fastnn_pool.wake, &fastnn_pool.mutex);
        fastnn_pool.called--;
    }
    pthread_mutex_unlock(&fastnn_pool.mutex);
    fastnn_pool_move();
}

/* Whether a job has come behind `seen`, until `idle` ns have passed since `start` or the processor is wanted. */
static int fastnn_pool_look_out(unsigned seen, long long start, long long idle)
{
    long long now = fastnn_now(), before;
    while (atomic_load(&fastnn_pool.generation) == seen) {
        before = now;
        if (now - start > idle)
            return 0;
        if (now - start < FASTNN_SPIN)
            fastnn_pool_relax();
        else
            sched_yield();
        now = fastnn_now();
        if (now - before > FASTNN_CROWDED)
            return 0;
    }
    return 1;
}

/* How long a helper polls for the next job, if the latest came `gap` ns behind the one before. */
static long long fastnn_pool_idle(long long gap)
{
    if (gap < FASTNN_IDLE / 2 || gap > FASTNN_LONGEST_IDLE)
        return FASTNN_IDLE;
    return gap < FASTNN_LONGEST_IDLE / 2 ? 2 * gap : FASTNN_LONGEST_IDLE;
}

static void *fastnn_pool_help(void *unused)
{
    unsigned seen = 0;
    long long last = fastnn_now(), start = last, idle = FASTNN_IDLE, gap;
    (void)unused;
    fastnn_pool_move();
    for (;;) {
        if (!fastnn_pool_look_out(seen, start, idle)) {
            fastnn_pool_sleep(seen);
            start = fastnn_now();
        }
        seen = atomic_load(&fastnn_pool.generation);
        gap = fastnn_now() - last;
        /* First count, then check whether the job is still open: the caller closes it first and then reads the count. */
        if (atomic_fetch_add(&fastnn_pool.active, 1) < atomic_load(&fastnn_pool.wanted)
            && atomic_load(&fastnn_pool.open) && fastnn_pool_work(1, NULL)) {
            idle = fastnn_pool_idle(gap);
            start = last = fastnn_now();
        }
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
    fastnn_pool.called = 0;
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

/* The caller did `mine` of the parts in the time since `began`. It keeps its processor for as long as two parts take: a
   yield, where others want it, may cost milliseconds. */
static void fastnn_pool_wait(long long began, ptrdiff_t mine, fastnn_cancellation *cancellation)
{
    long long start = fastnn_now(), part = (start - began) / (mine ? mine : 1), spin = 2 * part, waited;
    fastnn_pool.last = start;
    if (!atomic_load(&fastnn_pool.active))
        return;
    spin = spin < FASTNN_SPIN ? FASTNN_SPIN : spin < FASTNN_LONG_WAIT ? spin : FASTNN_LONG_WAIT;
    while (atomic_load(&fastnn_pool.active) && fastnn_now() - start < spin)
        fastnn_pool_relax();
    while (atomic_load(&fastnn_pool.active)) {
        sched_yield();
        if (cancellation)
            fastnn_poll(cancellation, fastnn_now());
    }
    fastnn_pool.last = fastnn_now();
    if (cancellation && fastnn_flag_get(&cancellation->over))
        return;
    waited = fastnn_pool.last - start;
    if (waited > FASTNN_LONG_WAIT && waited > part * (fastnn_pool.parts - mine)) {
        fastnn_pool.alone_for *= 2 * (fastnn_pool.last - fastnn_pool.alone_until < fastnn_pool.alone_for);
        if (fastnn_pool.alone_for < FASTNN_ALONE * waited)
            fastnn_pool.alone_for = FASTNN_ALONE * waited;
        if (fastnn_pool.alone_for > FASTNN_LONGEST_ALONE)
            fastnn_pool.alone_for = FASTNN_LONGEST_ALONE;
        fastnn_pool.alone_until = fastnn_pool.last + fastnn_pool.alone_for;
    }
}

/* How many helpers are worth it, `most` at most, for a job that would last `expected` ns from now on. */
static int fastnn_pool_worth(long long now, long long expected, int most)
{
    long long wanted, awake = fastnn_pool.helpers - atomic_load(&fastnn_pool.sleeping), wake = FASTNN_WAKE_AGAIN;
    if (most > FASTNN_MOST_HELPERS)
        most = FASTNN_MOST_HELPERS;
    if (now > fastnn_pool.last)
        fastnn_pool.busy -= (now - fastnn_pool.last) / 2;
    if (fastnn_pool.busy <= 0) {
        fastnn_pool.busy = 0;
        wake = FASTNN_WAKE;
    }
    fastnn_pool.busy += expected;
    fastnn_pool.last = now + expected;              /* if it is done alone */
    wanted = fastnn_pool.busy < wake ? 0 : 1 + (fastnn_pool.busy - wake) / FASTNN_WAKE_NEXT;
    if (wanted > most) {
        wanted = most;
        fastnn_pool.busy = FASTNN_WAKE + (long long)FASTNN_WAKE_NEXT * most;
    }
    if (wanted < awake)
        wanted = awake < most ? awake : most;
    if (wanted > expected / FASTNN_WORTH)
        wanted = expected / FASTNN_WORTH;
    return now < fastnn_pool.alone_until ? 0 : (int)wanted;
}

/* Starts and wakes as many helpers as it takes until `wanted` are awake. */
static void fastnn_pool_call(int wanted)
{
    int n, i;
    if (fastnn_pool.helpers - atomic_load(&fastnn_pool.sleeping) >= wanted)
        return;
    atomic_store(&fastnn_pool.processor, fastnn_pool_processor());
    fastnn_pool_start(wanted);
    pthread_mutex_lock(&fastnn_pool.mutex);
    n = wanted - (fastnn_pool.helpers - atomic_load(&fastnn_pool.sleeping));
    n = n < 0 ? 0 : n < atomic_load(&fastnn_pool.sleeping) ? n : atomic_load(&fastnn_pool.sleeping);
    atomic_fetch_sub(&fastnn_pool.sleeping, n);
    fastnn_pool.called += n;
    pthread_mutex_unlock(&fastnn_pool.mutex);
    for (i = 0; i < n; i++)
        pthread_cond_signal(&fastnn_pool.wake);
}

/* body over `start` to `stop`, by the caller and up to `wanted` helpers, in parts of whole grains. */
static void fastnn_pool_run(fastnn_range body, const void *work, ptrdiff_t start, ptrdiff_t stop, ptrdiff_t grain,
                            int wanted, long long expected, fastnn_cancellation *cancellation)
{
    ptrdiff_t grains = (stop - start + grain - 1) / grain, parts = (ptrdiff_t)4 * (wanted + 1), mine;
    long long began = fastnn_now();
    int forks = fastnn_pool.forks;
    if (expected / FASTNN_PART > parts)
        parts = (ptrdiff_t)(expected / FASTNN_PART < FASTNN_MOST_PARTS ? expected / FASTNN_PART : FASTNN_MOST_PARTS);
    if (cancellation && expected / FASTNN_SLICE > parts)
        parts = (ptrdiff_t)(expected / FASTNN_SLICE);
    fastnn_pool.body = body;
    fastnn_pool.work = work;
    fastnn_pool.start = start;
    fastnn_pool.stop = stop;
    fastnn_pool.size = (grains + parts - 1) / parts * grain;
    fastnn_pool.parts = (stop - start + fastnn_pool.size - 1) / fastnn_pool.size;
    atomic_store(&fastnn_pool.begun, 0);
    atomic_store(&fastnn_pool.from_back, 0);
    atomic_store(&fastnn_pool.wanted, wanted);
    atomic_store(&fastnn_pool.open, 1);
    atomic_fetch_add(&fastnn_pool.generation, 1);
    fastnn_pool_call(wanted);
    mine = fastnn_pool_work(0, cancellation);
    atomic_store(&fastnn_pool.open, 0);
    fastnn_pool_wait(began, mine, cancellation);
    if (cancellation && forks != fastnn_pool.forks && !fastnn_flag_get(&cancellation->over))
        fastnn_flag_set(&cancellation->over, FASTNN_LOST);
}

/* body over 0 to n, by the caller and, where that is worth it, up to threads - 1 helpers; cut at multiples of grain.
   Where cancellation is NULL it comes to its end. */
static void fastnn_share(fastnn_range body, const void *work, ptrdiff_t n, ptrdiff_t grain, int threads,
                         fastnn_cancellation *cancellation)
{
    ptrdiff_t done = 0;
    long long now, start, expected;
    int wanted;
    if (threads > 1 && n > grain) {
        expected = (long long)FASTNN_WAKE * (threads - 1);      /* a job of few grains is taken for a long one */
        now = start = fastnn_now();
        if (n >= FASTNN_FIRST_PIECE / 2 * grain) {
            done = n / (FASTNN_FIRST_PIECE * grain);
            done = (done < 1 ? 1 : done < FASTNN_LONGEST_FIRST ? done : FASTNN_LONGEST_FIRST) * grain;
            body(work, 0, done);
            now = fastnn_now();
            if (cancellation && fastnn_poll(cancellation, now))
                return;
            expected = (long long)((double)(now - start) * (double)(n - done) / (double)done);
        }
        if (!atomic_exchange(&fastnn_pool.taken, 1)) {
            wanted = fastnn_pool_worth(now, expected, threads - 1);
            if (wanted)
                fastnn_pool_run(body, work, done, n, grain, wanted, expected, cancellation);
            atomic_store(&fastnn_pool.taken, 0);
            if (wanted)
                return;
        }
    }
    fastnn_alone(body, work, done, n, grain, cancellation);
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
                         fastnn_cancellation *cancellation)
{
    fastnn_loop loop;
    loop.body = body;
    loop.work = work;
    loop.grain = grain;
    loop.threads = threads;
    fastnn_alone(fastnn_loop_run, &loop, 0, n, grain, cancellation);
}

#endif
#endif
