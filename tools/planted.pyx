# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Faults on purpose, compiled as the core is: tools/sanitized.py looks first whether each of them is found.

And NumPy's memory without its cache, which keeps small arrays that have died.
"""
import numpy as np

from cpython.pycapsule cimport PyCapsule_New

cimport numpy as cnp

from fastnn.core.loops cimport MAP_STEP, map_one

cnp.import_array()

cdef extern from *:
    """
    #include <pthread.h>
    #include <stdint.h>
    #include <stdlib.h>
    #include "recycling.h"

    static int fastnn_shared;

    static void *fastnn_count(void *unused)
    {
        (void)unused;
        fastnn_shared++;
        return NULL;
    }

    /* a thread and its maker, who does not wait before it counts, too */
    static int fastnn_race(void)
    {
        pthread_t thread;
        if (pthread_create(&thread, NULL, fastnn_count, NULL))
            return -1;
        fastnn_shared++;
        pthread_join(thread, NULL);
        return fastnn_shared;
    }

    static float fastnn_freed(void)
    {
        float *volatile x = (float *)malloc(64);
        x[3] = 1;
        free(x);
        return x[3];
    }

    /* the byte at `offset` of a result that is in use or not */
    static int fastnn_recycled(size_t size, size_t offset, int dead)
    {
        fastnn_block block = fastnn_memory_get(size);
        volatile char *x = (char *)block.memory;
        int got;
        if (dead)
            fastnn_memory_give(block);
        got = x[offset];
        if (!dead)
            fastnn_memory_give(block);
        return got + (fastnn_memory_trim() == 0);
    }

    static int fastnn_sum(int x, int y) { return x + y; }
    static int fastnn_shifted(int x, int bits) { return x << bits; }
    static int fastnn_whole(double x) { return (int)x; }
    static int fastnn_read(const char *x) { return *(const int *)x; }
    static int fastnn_element(int i) { static volatile int x[4]; return x[i]; }

    static void *fastnn_malloc(void *none, size_t size) { (void)none; return malloc(size ? size : 1); }
    static void *fastnn_calloc(void *none, size_t n, size_t size)
    {
        (void)none;
        return calloc(n ? n : 1, size ? size : 1);
    }
    static void *fastnn_realloc(void *none, void *p, size_t size) { (void)none; return realloc(p, size ? size : 1); }
    static void fastnn_free(void *none, void *p, size_t size) { (void)none; (void)size; free(p); }

    static PyDataMem_Handler fastnn_handler = {
        "fastnn_uncached", 1, {NULL, fastnn_malloc, fastnn_calloc, fastnn_realloc, fastnn_free}};
    """
    int fastnn_race()
    float fastnn_freed()
    int fastnn_recycled(size_t size, size_t offset, int dead)
    int fastnn_sum(int x, int y)
    int fastnn_shifted(int x, int bits)
    int fastnn_whole(double x)
    int fastnn_read(const char *x)
    int fastnn_element(int i)
    void *address_of_handler "&fastnn_handler"
    object PyDataMem_SetHandler(object handler)


def uncached():
    """NumPy's arrays of this context have memory of malloc from now on."""
    PyDataMem_SetHandler(PyCapsule_New(address_of_handler, "mem_handler", NULL))


cdef inline float half(float x, const float *h) noexcept nogil:
    return x * h[0]


cdef float kernel(Py_ssize_t size, Py_ssize_t room, Py_ssize_t n):
    """Over n elements of an array that has `size`, into one that has `room`."""
    cdef float[2] h
    cdef float[::1] x = np.zeros(size, np.float32)
    cdef float[::1] out = np.zeros(room, np.float32)
    h[0], h[1] = 0.5, 0
    map_one[float](half, &x[0], &out[0], n, h, 2)
    return out[0]


cdef float dead():
    """A small array, after its death."""
    cdef float[::1] x
    cdef float *memory
    uncached()
    x = np.zeros(16, np.float32)
    memory = &x[0]
    x = None
    return memory[3]


FAULTS = {
    "read": lambda: kernel(10*MAP_STEP, 20*MAP_STEP, 11*MAP_STEP),
    "write": lambda: kernel(20*MAP_STEP, 10*MAP_STEP, 11*MAP_STEP),
    "freed": lambda: fastnn_freed(),
    "dead": lambda: dead(),
    "recycled": lambda: fastnn_recycled(5 << 20, 1 << 20, True),
    "slack": lambda: fastnn_recycled((5 << 20) - 8, (5 << 20) - 8, False),
    "fence": lambda: fastnn_recycled(5 << 20, 5 << 20, False),
    "overflow": lambda: fastnn_sum(2**31 - 1, 1),
    "shift": lambda: fastnn_shifted(1, 40),
    "float": lambda: fastnn_whole(1e20),
    "unaligned": lambda: fastnn_read((<const char *>b"123456789") + 1),
    "index": lambda: fastnn_element(4),
    "race": lambda: fastnn_race(),
}
