/* How a signal ends a long call.

   The calling thread polls for signals every FASTNN_EVERY. If its handler raises, the call is over: all
   who take part stop at the end of the piece they are at. A call without it always comes to its end. */

#ifndef FASTNN_CANCELLATION_H
#define FASTNN_CANCELLATION_H

#include <stddef.h>
#include "clock.h"

#ifdef _WIN32
#include <windows.h>
typedef DWORD fastnn_thread;
static inline int fastnn_is_this(fastnn_thread thread) { return thread == GetCurrentThreadId(); }
static inline fastnn_thread fastnn_this_thread(void) { return GetCurrentThreadId(); }
#else
#include <pthread.h>
typedef pthread_t fastnn_thread;
static inline int fastnn_is_this(fastnn_thread thread) { return pthread_equal(thread, pthread_self()); }
static inline fastnn_thread fastnn_this_thread(void) { return pthread_self(); }
#endif

#ifdef _MSC_VER
typedef volatile int fastnn_flag;
static inline int fastnn_flag_get(fastnn_flag *flag) { return *flag; }
static inline void fastnn_flag_set(fastnn_flag *flag, int value) { *flag = value; }
#else
#include <stdatomic.h>
typedef atomic_int fastnn_flag;
static inline int fastnn_flag_get(fastnn_flag *flag) { return atomic_load_explicit(flag, memory_order_relaxed); }
static inline void fastnn_flag_set(fastnn_flag *flag, int value) { atomic_store_explicit(flag, value, memory_order_relaxed); }
#endif

enum {
    FASTNN_EVERY = 100000000,       /* ns from one poll for signals to the next */
    FASTNN_SLICE = 10000000,        /* ns, about, that a thread works before it reads the clock */
    FASTNN_FIRST_SLICE = 16,        /* grains */
    FASTNN_GOES_ON = 0,
    FASTNN_RAISED,                  /* a handler has */
    FASTNN_LOST                     /* a handler forked: in the child, parts that helpers had begun are missing */
};

typedef struct {
    int (*signalled)(void);         /* runs handlers; not 0 if one of them raised */
    fastnn_thread caller;
    long long polled;
    fastnn_flag over;
} fastnn_cancellation;

/* start to stop of what is counted */
typedef void (*fastnn_range)(const void *work, ptrdiff_t start, ptrdiff_t stop);

static inline void fastnn_cancellation_begin(fastnn_cancellation *cancellation, int (*signalled)(void))
{
    cancellation->signalled = signalled;
    cancellation->caller = fastnn_this_thread();
    cancellation->polled = fastnn_now();
    fastnn_flag_set(&cancellation->over, FASTNN_GOES_ON);
}

/* Whether the call is over; for the thread that calls. */
static inline int fastnn_poll(fastnn_cancellation *cancellation, long long now)
{
    if (now - cancellation->polled >= FASTNN_EVERY && !fastnn_flag_get(&cancellation->over)) {
        cancellation->polled = now;
        if (cancellation->signalled())
            fastnn_flag_set(&cancellation->over, FASTNN_RAISED);
    }
    return fastnn_flag_get(&cancellation->over);
}

/* Whether the call is over; for any thread, between pieces of a long part. */
static inline int fastnn_cancelled(fastnn_cancellation *cancellation)
{
    return fastnn_is_this(cancellation->caller) ? fastnn_poll(cancellation, fastnn_now()) : fastnn_flag_get(&cancellation->over);
}

/* body over start to stop, on this thread; in slices of whole grains if it can be cancelled. */
static inline void fastnn_alone(fastnn_range body, const void *work, ptrdiff_t start, ptrdiff_t stop, ptrdiff_t grain,
                         fastnn_cancellation *cancellation)
{
    ptrdiff_t size = FASTNN_FIRST_SLICE * grain;
    long long before, now;
    if (cancellation) {
        now = fastnn_now();
        while (stop - start > size) {
            body(work, start, start + size);
            start += size;
            before = now;
            now = fastnn_now();
            if (fastnn_poll(cancellation, now))
                return;
            if (now - before < FASTNN_SLICE / 2)
                size *= 2;
            else if (now - before > 2 * FASTNN_SLICE && size > grain)
                size /= 2;
        }
    }
    body(work, start, stop);
}

#endif
