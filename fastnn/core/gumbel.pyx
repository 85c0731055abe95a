# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Gumbel noise -log(-log(u)) added to an array in one pass.

u are random numbers of masks.h, a function of key and place in C order alone: element i of float32 has word i, of float64
words 2i and 2i + 1, of the stream GUMBEL_STREAM.
"""
import numpy as np

cimport numpy as cnp
from libc.stdint cimport uint32_t, uint64_t, uintptr_t

from fastnn.core.arrays cimport as_array, fill, result_dtype
from fastnn.core.columns cimport WORD_BLOCK, random_words
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.threads cimport share_cancellable, threads_for
from fastnn.core.levels import kernels, layers

cnp.import_array()

ctypedef void (*noisy_loop)(const uint32_t *words, const void *x, void *out, Py_ssize_t n) noexcept nogil

cdef enum:
    GUMBEL_STREAM = 3
    WITH_GIL = 2048         # below this many elements, letting go of the interpreter costs more than it gives

cdef random_words words_of = <random_words><uintptr_t>layers.RANDOM_WORDS
cdef noisy_loop[2] loops            # for float, for double
loops[0] = <noisy_loop><uintptr_t>kernels.NOISE["gumbel"][0]
loops[1] = <noisy_loop><uintptr_t>kernels.NOISE["gumbel"][1]

cdef struct Work:
    bint single
    uint64_t key
    const char *x
    char *out


cdef void run(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Elements from a multiple of WORD_BLOCK on."""
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef uint32_t[WORD_BLOCK] words
    cdef Py_ssize_t size = 4 if work.single else 8
    cdef Py_ssize_t some = WORD_BLOCK if work.single else WORD_BLOCK // 2       # elements that these words are for
    cdef Py_ssize_t n
    while start < stop:
        n = min(some, stop - start)
        words_of(work.key, <uint64_t>(start // some) * (WORD_BLOCK // 4), GUMBEL_STREAM, words)
        loops[0 if work.single else 1](words, work.x + start * size, work.out + start * size, n)
        start += n
    fastnn_fp_leave(state)


def with_gumbel_noise(x, key):
    """x plus noise, a new array in C order, of float32 or float64; the key is a whole number below 2^64."""
    cdef Work work
    cdef cnp.ndarray a = as_array(x, "x")
    cdef object dtype = np.dtype(np.float32 if result_dtype(a).itemsize <= 4 else np.float64)
    cdef cnp.ndarray made = np.empty((<object>a).shape, dtype)
    cdef Py_ssize_t n = cnp.PyArray_SIZE(made)
    cdef int threads
    fill(made, a)
    work.single = dtype == np.float32
    work.key = key
    work.x = work.out = cnp.PyArray_BYTES(made)
    if n < WITH_GIL:
        run(&work, 0, n)
    else:
        threads = threads_for(4 * n)
        with nogil:
            share_cancellable(run, &work, n, WORD_BLOCK, threads, n)
    return made

