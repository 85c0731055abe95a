/* A non-blocking lock: one atomic word holds the owner's thread id, or 0 if it is free. */

#ifndef FASTNN_GATE_H
#define FASTNN_GATE_H

#if defined(_MSC_VER) && !defined(__clang__)

#include <intrin.h>

typedef struct { volatile long owner; } fastnn_gate;        /* identifiers have 32 bits on Windows */

/* 0 if the gate is now the caller's, else who has it. */
static inline unsigned long fastnn_gate_enter(fastnn_gate *gate, unsigned long self)
{
    return (unsigned long)_InterlockedCompareExchange(&gate->owner, (long)self, 0);
}

static inline void fastnn_gate_leave(fastnn_gate *gate)
{
    _InterlockedExchange(&gate->owner, 0);
}

#else

#include <stdatomic.h>

typedef struct { atomic_ulong owner; } fastnn_gate;

static inline unsigned long fastnn_gate_enter(fastnn_gate *gate, unsigned long self)
{
    unsigned long found = 0;
    atomic_compare_exchange_strong_explicit(&gate->owner, &found, self, memory_order_acquire, memory_order_relaxed);
    return found;
}

static inline void fastnn_gate_leave(fastnn_gate *gate)
{
    atomic_store_explicit(&gate->owner, 0, memory_order_release);
}

#endif
#endif
