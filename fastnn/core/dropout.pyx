# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Dropout: a random mask and x times it in one pass. masks.h says which numbers, a function of key and position alone."""
cimport numpy as cnp
from libc.stdint cimport uint32_t, uint64_t, uintptr_t

from fastnn.core.levels import layers

from fastnn.core.arrays cimport apart, contiguous
from fastnn.core.columns cimport WORD_BLOCK, floating_array, itemsize, mask_loop, masked_loop, random_words
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.threads cimport share_cancellable, threads_for
from fastnn.core.vecmath cimport real

cnp.import_array()

cdef enum:
    GRAIN = 512             # elements, whole blocks of a mask
    IN_CACHE = 2048         # elements that are scaled while they are in the first-level cache; whole blocks of a mask
    WITH_GIL = 2048         # below this many elements, letting go of the interpreter costs more than it gives

cdef int place
cdef mask_loop[2] mask_loops        # for double, for float
cdef masked_loop[2] masked_loops
for place in range(2):
    mask_loops[place] = <mask_loop><uintptr_t>layers.MASKS["mask"][1 - place]
    masked_loops[place] = <masked_loop><uintptr_t>layers.MASKS["masked"][1 - place]
cdef random_words words_of = <random_words><uintptr_t>layers.RANDOM_WORDS

cdef struct Work:
    bint single
    bint drawn              # the mask is; or it is there
    uint64_t key
    uint64_t least
    double factor           # of what stays on
    const char *x
    unsigned char *mask
    char *out


cdef inline void scale(real *a, real factor, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        a[i] *= factor


cdef void run(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef Py_ssize_t at, n
    while start < stop:
        n = stop - start if work.factor == 1 else min(<Py_ssize_t>IN_CACHE, stop - start)
        at = start * itemsize(work.single)
        if work.drawn:
            mask_loops[work.single](work.key, work.least, start, work.x + at, work.mask + start, work.out + at, n)
        else:
            masked_loops[work.single](work.x + at, work.mask + start, work.out + at, n)
        if work.factor != 1 and work.single:
            scale(<float *>(work.out + at), <float>work.factor, n)
        elif work.factor != 1:
            scale(<double *>(work.out + at), work.factor, n)
        start += n
    fastnn_fp_leave(state)


cdef cnp.ndarray run_over(Work *work, object x, cnp.ndarray a, cnp.ndarray mask, object out):
    """a times the mask, in `out` or a new array."""
    cdef Py_ssize_t n = cnp.PyArray_SIZE(a)
    cdef int kind = cnp.PyArray_TYPE(a)
    cdef int threads
    cdef cnp.ndarray result
    if out is None:
        result = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), kind, 0)
    elif not (contiguous(out, kind, cnp.NPY_ARRAY_WRITEABLE) and cnp.PyArray_SAMESHAPE(<cnp.ndarray>out, a)
              and (out is x or apart(<cnp.ndarray>out, a)) and apart(<cnp.ndarray>out, mask)):
        raise ValueError(f"out must be x, or a contiguous, writable {a.dtype} array of shape {(<object>a).shape} apart "
                         "from it")
    else:
        result = <cnp.ndarray>out
    work.single = kind == cnp.NPY_FLOAT
    work.x, work.out = cnp.PyArray_BYTES(a), cnp.PyArray_BYTES(result)
    work.mask = <unsigned char *>cnp.PyArray_DATA(mask)
    if n < WITH_GIL:
        run(work, 0, n)
    else:
        threads = threads_for(2 * n if work.drawn else n)
        with nogil:
            share_cancellable(run, work, n, GRAIN, threads, n)
    return result


def drop(x, double ratio, key, out=None, double factor=1.0):
    """(y, mask): x times the factor where a new mask is True, times 0 elsewhere, and the mask, of x's shape.

    Each element is off with probability `ratio`, from 0 to below 1, to 2^-49; whether it is hangs on the key, a whole
    number below 2^64, and on its place in the array alone. `out` may be x. Raises ValueError or TypeError for what does
    not fit.
    """
    cdef Work work
    cdef cnp.ndarray a = floating_array(x, "x")
    cdef cnp.ndarray mask = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.NPY_BOOL, 0)
    if not 0 <= ratio < 1:
        raise ValueError(f"the ratio must be at least 0 and below 1, not {ratio!r}")
    work.drawn, work.factor = True, factor
    work.key = key
    work.least = min(<uint64_t>(ratio * <double>(<uint64_t>1 << 48) + 0.5), (<uint64_t>1 << 48) - 1)
    return run_over(&work, x, a, mask, out), mask


def masked(x, mask, out=None, double factor=1.0):
    """x times a mask of its shape and a factor. `out` may be x. Raises ValueError or TypeError for what does not fit."""
    cdef Work work
    cdef cnp.ndarray a = floating_array(x, "x")
    if not contiguous(mask, cnp.NPY_BOOL, 0):
        raise TypeError("the mask must be a contiguous array of bool")
    if not cnp.PyArray_SAMESHAPE(a, <cnp.ndarray>mask):
        raise ValueError(f"x must have the mask's shape {mask.shape}, not {(<object>a).shape}")
    work.drawn, work.factor = False, factor
    return run_over(&work, x, a, <cnp.ndarray>mask, out)


def philox(key, counter, uint32_t stream=0):
    """64 words of Philox4x32-10, four of each of 16 counters (`counter` + i, stream): what masks are made of."""
    cdef cnp.npy_intp n = WORD_BLOCK
    cdef cnp.ndarray words = cnp.PyArray_EMPTY(1, &n, cnp.NPY_UINT32, 0)
    words_of(key, counter, stream, <uint32_t *>cnp.PyArray_DATA(words))
    return words
