/* A non-blocking lock: one atomic word holds the owner's thread id, or 0 if it is free. */

#ifndef FASTNN_LOCK_H
#define FASTNN_LOCK_H

#if defined(_MSC_VER) && !defined(__clang__)

#include <intrin.h>

typedef struct { volatile long owner; } fastnn_lock;        /* identifiers have 32 bits on Windows */

/* 0 if the lock is now the caller's, else who has it. */
static inline unsigned long fastnn_lock_acquire(fastnn_lock *lock, unsigned long self)
{
    return (unsigned long)_InterlockedCompareExchange(&lock->owner, (long)self, 0);
}

static inline void fastnn_lock_release(fastnn_lock *lock)
{
    _InterlockedExchange(&lock->owner, 0);
}

#else

#include <stdatomic.h>

typedef struct { atomic_ulong owner; } fastnn_lock;

static inline unsigned long fastnn_lock_acquire(fastnn_lock *lock, unsigned long self)
{
    unsigned long found = 0;
    atomic_compare_exchange_strong_explicit(&lock->owner, &found, self, memory_order_acquire, memory_order_relaxed);
    return found;
}

static inline void fastnn_lock_release(fastnn_lock *lock)
{
    atomic_store_explicit(&lock->owner, 0, memory_order_release);
}

#endif
#endif
