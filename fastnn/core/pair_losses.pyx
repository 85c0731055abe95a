# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Elementwise losses with weights and reductions, in one pass over predictions, targets and, if there is one, a third array.

In blocks that stay in the first cache: a kernel gives value and derivative, the weights multiply both, the values are
summed in double precision or written, the derivatives times the share of an element are written. Sums are those of
fixed blocks, in order, so they do not depend on the number of threads. Weight 0 leaves an element out, whatever it is.

Where targets are classes, a block of them is smoothed first, and its elements have the weights of their classes, too.
"""
import math

import numpy as np

cimport numpy as cnp
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy

from fastnn.core.arrays cimport as_array, checked_out, copied, fill, operand, result_dtype
from fastnn.core.compensated cimport sum_of
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.kernels cimport (BOTH, FIRST, MOST_PARAMETERS, VALUE, block_sums, elementwise_double,
                                  elementwise_float, of_three_double, of_three_float)
from fastnn.core.loops cimport padded
from fastnn.core.losses.targets cimport Targets
from fastnn.core.memory cimport new_result
from fastnn.core.streaming cimport at_line
from fastnn.core.threads cimport share_cancellable, threads_for
from fastnn.core.vecmath cimport real
from fastnn.core.levels import losses, rules

cnp.import_array()

cdef enum:
    BLOCK = 512             # elements: what is summed as one
    ROOM = 528              # and what moves them to the beginning of a cache line
    WITH_GIL = 4096         # below this many elements, letting go of the interpreter costs more than it gives

SHARE = MOST_PARAMETERS - 1                 # the place of what a kernel of losses.pxi multiplies derivatives with

cdef Py_ssize_t STEP = losses.STEP          # a kernel is given a multiple of so many elements

# what is done to a block, compiled for this level, for float or double
ctypedef void (*weigh_float)(float *a, const float *weights, Py_ssize_t n) noexcept nogil
ctypedef void (*weigh_double)(double *a, const double *weights, Py_ssize_t n) noexcept nogil
ctypedef void (*add_weighed_float)(float *a, const float *b, const float *weights, Py_ssize_t n) noexcept nogil
ctypedef void (*add_weighed_double)(double *a, const double *b, const double *weights, Py_ssize_t n) noexcept nogil
ctypedef bint (*targets_float)(const Targets *how, const float *t, float *made, float *negative, float *positive,
                               Py_ssize_t start, Py_ssize_t n) noexcept nogil
ctypedef bint (*targets_double)(const Targets *how, const double *t, double *made, double *negative, double *positive,
                                Py_ssize_t start, Py_ssize_t n) noexcept nogil
ctypedef void (*scale_block)(void *x, Py_ssize_t n, double factor) noexcept nogil

cdef uintptr_t[2] weigh_kernels = losses.WEIGH
cdef uintptr_t[2] add_weighed_kernels = losses.ADD_WEIGHED
cdef uintptr_t[2] targets_kernels = losses.MAKE_TARGETS
cdef uintptr_t[2] sum_kernels = rules.REDUCTIONS["block_sums"]
cdef uintptr_t[2] scale_kernels = rules.REDUCTIONS["scale"]


cdef inline void weigh(real *a, const real *weights, Py_ssize_t n) noexcept nogil:
    if real is float:
        (<weigh_float>weigh_kernels[0])(a, weights, n)
    else:
        (<weigh_double>weigh_kernels[1])(a, weights, n)


cdef inline void add_weighed(real *a, const real *b, const real *weights, Py_ssize_t n) noexcept nogil:
    if real is float:
        (<add_weighed_float>add_weighed_kernels[0])(a, b, weights, n)
    else:
        (<add_weighed_double>add_weighed_kernels[1])(a, b, weights, n)


cdef struct Work:
    uintptr_t kernel
    double parameters[MOST_PARAMETERS]      # or floats
    bint single
    int order
    Py_ssize_t n
    Py_ssize_t step
    const char *y
    const char *t
    const char *v           # a third array, of kernels of three, or NULL
    bint made               # `targets` says how targets become the kernel's
    Targets targets
    const char *weights     # or NULL
    Py_ssize_t each         # elements, one after another, that share a weight
    bint ignoring           # targets that are `ignored`
    double ignored
    double share            # of an element in what is reduced, if the kernel does not multiply with it
    char *values            # or NULL
    char *slopes            # or NULL
    char *slopes_in_v       # or NULL
    double *sums            # of blocks, or NULL


cdef inline const real *weights_at(const Work *work, const real *weights, real *room, Py_ssize_t start,
                                   Py_ssize_t n) noexcept nogil:
    """The weights of n elements: where they lie, or in `room`."""
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t k, many
    cdef Py_ssize_t which = start // work.each
    cdef Py_ssize_t left = work.each - start % work.each
    if work.each == 1:
        return weights + start
    while i < n:
        many = min(left, n - i)
        for k in range(many):
            room[i + k] = weights[which]
        i += many
        which += 1
        left = work.each
    return room


cdef inline void leave_out(real *a, const real *t, real ignored, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        a[i] = <real>0 if t[i] == ignored else a[i]


cdef inline void evaluate(const Work *work, const real *y, const real *t, const real *v, real *first, real *second,
                          real *third, Py_ssize_t n) noexcept nogil:
    if work.v != NULL:
        if real is float:
            (<of_three_float>work.kernel)(work.order, y, t, v, first, second, third, n, <const float *>work.parameters)
        else:
            (<of_three_double>work.kernel)(work.order, y, t, v, first, second, third, n, work.parameters)
    elif real is float:
        (<elementwise_float>work.kernel)(work.order, y, t, first, second, n, <const float *>work.parameters)
    else:
        (<elementwise_double>work.kernel)(work.order, y, t, first, second, n, work.parameters)


cdef inline void fill_with(real *a, real value, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        a[i] = value


cdef void of_classes(const Work *work, const real *y, const real *t, real *first, real *second, Py_ssize_t start,
                     Py_ssize_t n, Py_ssize_t made_up) noexcept nogil:
    """The kernel's results of a block whose targets are classes.

    With weights of its terms a loss is that of target 0 times the one plus that of target 1 times the other: of hard targets
    one of them alone, so that both are computed only in a block with a soft one.
    """
    cdef real[BLOCK] made
    cdef real[BLOCK] negative
    cdef real[BLOCK] positive
    cdef real[ROOM] first_room
    cdef real[ROOM] second_room
    cdef real *more = at_line(&first_room[0])
    cdef real *more_slopes = at_line(&second_room[0])
    cdef Py_ssize_t i
    cdef bint both
    if real is float:
        both = (<targets_float>targets_kernels[0])(&work.targets, t, made, negative, positive, start, n)
    else:
        both = (<targets_double>targets_kernels[1])(&work.targets, t, made, negative, positive, start, n)
    fill_with(&made[0] + n, <real>0, made_up - n)
    if work.targets.negative == NULL or not work.targets.terms:
        evaluate(work, y, made, <const real *>NULL, first, second, <real *>NULL, made_up)
    elif not both:
        for i in range(n):
            made[i] = <real>1 if positive[i] != <real>0 else <real>0
        evaluate(work, y, made, <const real *>NULL, first, second, <real *>NULL, made_up)
    else:
        fill_with(&made[0], <real>0, made_up)
        evaluate(work, y, made, <const real *>NULL, first, second, <real *>NULL, made_up)
        fill_with(&made[0], <real>1, made_up)
        evaluate(work, y, made, <const real *>NULL, more, more_slopes, <real *>NULL, made_up)
        weigh(first, negative, n)
        add_weighed(first, more, positive, n)
        if work.order == BOTH:
            weigh(second, negative, n)
            add_weighed(second, more_slopes, positive, n)
        return
    if work.targets.negative != NULL:
        for i in range(n):
            negative[i] += positive[i]
        weigh(first, negative, n)
        if work.order == BOTH:
            weigh(second, negative, n)


cdef inline void run_block(const Work *work, const real *y, Py_ssize_t block) noexcept nogil:
    cdef real[BLOCK] y_room
    cdef real[BLOCK] t_room
    cdef real[BLOCK] weight_room
    cdef real[ROOM] first_room
    cdef real[ROOM] second_room
    cdef real[BLOCK] v_room
    cdef real[ROOM] third_room
    cdef Py_ssize_t start = block * BLOCK
    cdef Py_ssize_t n = min(<Py_ssize_t>BLOCK, work.n - start)
    cdef Py_ssize_t made_up = (n + work.step - 1) & -work.step
    cdef int kind = 0 if real is float else 1
    cdef const real *t = <const real *>work.t + start
    cdef const real *weights
    cdef real *values = <real *>work.values + start if work.values != NULL else NULL
    cdef real *slopes = <real *>work.slopes + start if work.slopes != NULL else NULL
    cdef real *first = slopes if work.order == FIRST else values
    cdef real *second = slopes
    cdef real *slopes_in_v = <real *>work.slopes_in_v + start if work.slopes_in_v != NULL else NULL
    cdef real *third = slopes_in_v
    if first == NULL or n != made_up:
        first = at_line(&first_room[0])
    if second == NULL or n != made_up:
        second = at_line(&second_room[0])
    if third == NULL or n != made_up:
        third = at_line(&third_room[0])
    y = padded(y + start, y_room, n, work.step)
    t = padded(t, t_room, n, work.step)
    if work.made:
        of_classes(work, y, t, first, second, start, n, made_up)
    elif work.v != NULL:
        evaluate(work, y, t, padded(<const real *>work.v + start, v_room, n, work.step), first, second, third, made_up)
    else:
        evaluate(work, y, t, <const real *>NULL, first, second, third, made_up)
    if work.weights != NULL:
        weights = weights_at(work, <const real *>work.weights, weight_room, start, n)
        weigh(first, weights, n)
        if work.order == BOTH:
            weigh(second, weights, n)
        if slopes_in_v != NULL:
            weigh(third, weights, n)
    if work.ignoring:
        leave_out(first, t, <real>work.ignored, n)
        if work.order == BOTH:
            leave_out(second, t, <real>work.ignored, n)
    if work.sums != NULL:
        (<block_sums>sum_kernels[kind])(first, n, 0, 1, work.sums + block)
    if work.order == FIRST:
        second = first
    if slopes != NULL and work.share != 1:
        (<scale_block>scale_kernels[kind])(second, n, work.share)
    if n != made_up:
        if values != NULL:
            memcpy(values, first, n * sizeof(real))
        if slopes != NULL:
            memcpy(slopes, second, n * sizeof(real))
        if slopes_in_v != NULL:
            memcpy(slopes_in_v, third, n * sizeof(real))


cdef void run_blocks(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef Py_ssize_t block
    for block in range(start, stop):
        if work.single:
            run_block(work, <const float *>work.y, block)
        else:
            run_block(work, <const double *>work.y, block)
    fastnn_fp_leave(state)


cdef inline Py_ssize_t count(const real *t, real ignored, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t found = 0
    for i in range(n):
        found += t[i] != ignored
    return found


def leading(weights, tuple shape, dtype, str name="sample_weight"):
    """(weights of this dtype, row after row; how many elements one after another share one) of an array of that shape.

    Their axes are the array's first ones, of its lengths or 1. Raises TypeError, ValueError for what does not fit.
    """
    cdef cnp.ndarray w = as_array(weights, name)
    result_dtype(w)
    given = (<object>w).shape
    if len(given) > len(shape) or not all([mine in (1, theirs) for mine, theirs in zip(given, shape)]):
        raise ValueError(f"{name} must have shape {shape} or that of its first axes, not {given}")
    kept = len(given)
    while kept and given[kept - 1] == 1:
        kept -= 1
    view = np.broadcast_to((<object>w).reshape(given[:kept]), shape[:kept])
    return copied(view, dtype), math.prod(shape[kept:])


def reduced(bound, y, t, weights, str reduction, bint wants_value, bint wants_slope, ignored=None, out=None,
            int share_at=-1, spread=None, str name=None, classes=None):
    """(losses, or their sum or mean as a float, or None; the gradient of that in y, an array, or None).

    `bound(single)` gives a kernel and its parameters. reduction is "none", "mean" or "sum": the mean is that over all
    elements but those whose target is `ignored`. out is for losses or, where these are not wanted, the gradient. The
    parameter `share_at` is a factor of the kernel's derivatives, if it has one. With a third array, `spread`, called `name`
    and not negative, the gradient is a pair, of y's and of the spread's shape.
    """
    cdef cnp.ndarray a = as_array(y, "y")
    result_dtype(a)
    if weights is not None:
        weights = as_array(weights, "sample_weight")
    if name is not None:
        spread = as_array(spread, name)
    cdef cnp.ndarray b = operand(t, a, "t")
    cdef object dtype = result_dtype(a)             # an operand's __array__ may have done anything, to y as well
    cdef bint single = dtype.itemsize <= 4
    cdef object compute = np.dtype(np.float32 if single else np.float64)
    cdef int kind = cnp.NPY_FLOAT if single else cnp.NPY_DOUBLE
    cdef tuple shape = (<object>a).shape
    cdef Py_ssize_t blocks = (cnp.PyArray_SIZE(a) + BLOCK - 1) // BLOCK
    cdef Py_ssize_t counted = cnp.PyArray_SIZE(a)
    cdef bint by_columns = (cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_F_CONTIGUOUS)
                            and not cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_C_CONTIGUOUS))
    cdef bint turned = by_columns and reduction == "none" and name is None        # sums are in C order, whatever the layout
    cdef cnp.ndarray negative, positive
    cdef cnp.ndarray w
    cdef cnp.ndarray sums
    cdef cnp.ndarray values = None
    cdef cnp.ndarray slopes = None
    cdef cnp.ndarray v = None
    cdef cnp.ndarray slopes_in_v = None
    cdef tuple of_spread = ()
    cdef Work work
    cdef Py_ssize_t each = 1
    cdef int threads
    if out is not None:
        checked_out(out, a, dtype, "out")
    work.weights = NULL
    work.made = classes is not None
    if work.made and name is not None:
        raise TypeError(f"targets that are classes have no {name}")
    work.targets.negative, work.targets.positive, work.targets.columns = NULL, NULL, 1
    if work.made:
        (work.targets.low, work.targets.kept, work.targets.spread, work.targets.terms, of_first, of_second) = classes(b)
        if of_first is not None:
            negative = np.ascontiguousarray(of_first, np.float64)
            positive = np.ascontiguousarray(of_second, np.float64)
            work.targets.columns = cnp.PyArray_SIZE(negative)
            if not 0 < work.targets.columns == cnp.PyArray_SIZE(positive):
                raise ValueError("both classes must have weights")
            work.targets.negative = <const double *>cnp.PyArray_DATA(negative)
            work.targets.positive = <const double *>cnp.PyArray_DATA(positive)
            turned = turned and work.targets.columns == 1
    if weights is not None:
        w, each = leading(weights, shape, compute)
        if turned and each != cnp.PyArray_SIZE(a):
            repeated = (<object>w).reshape((<object>w).shape + (1,) * (len(shape) - cnp.PyArray_NDIM(w)))
            w, each = copied(np.broadcast_to(repeated, shape).T, compute), 1
        work.weights = cnp.PyArray_BYTES(w)
    if name is not None:
        of_spread = spread.shape
        v, repeats = leading(spread, shape, compute, name)
        if repeats > 1:
            v = np.repeat(v.reshape(-1), repeats)
        if v.size and (v < 0).any():
            raise ValueError(f"{name} must be at least 0, not {v.min()}")
    a, b = copied((<object>a).T if turned else a, compute), copied((<object>b).T if turned else b, compute)
    address, parameters = bound(single)
    work.kernel = address
    memcpy(work.parameters, <const char *>parameters, min(<size_t>len(parameters), sizeof(work.parameters)))
    work.single = single
    work.order = BOTH if wants_value and wants_slope else VALUE if wants_value else FIRST
    work.n = cnp.PyArray_SIZE(a)
    work.step = STEP
    work.y = cnp.PyArray_BYTES(a)
    work.t = cnp.PyArray_BYTES(b)
    work.v = NULL if v is None else cnp.PyArray_BYTES(v)
    work.each = max(each, <Py_ssize_t>1)
    work.ignoring = ignored is not None
    work.ignored = ignored if work.ignoring else 0
    if work.ignoring and reduction == "mean":
        counted = (count(<const float *>work.t, <float>work.ignored, work.n) if single
                   else count(<const double *>work.t, work.ignored, work.n))
    work.share = 1.0 / counted if reduction == "mean" and counted else 1
    if 0 <= share_at < MOST_PARAMETERS:
        if single:
            (<float *>work.parameters)[share_at] = <float>work.share
        else:
            work.parameters[share_at] = work.share
        work.share = 1
    sums = np.empty(blocks if wants_value and reduction != "none" else 0)
    if wants_value and reduction == "none":
        values = new_result(a, kind, False)
    if wants_slope:
        slopes = new_result(a, kind, False)
        if v is not None:
            slopes_in_v = new_result(a, kind, False)
    work.slopes_in_v = NULL if slopes_in_v is None else cnp.PyArray_BYTES(slopes_in_v)
    work.sums = <double *>cnp.PyArray_DATA(sums) if cnp.PyArray_SIZE(sums) else NULL
    work.values = NULL if values is None else cnp.PyArray_BYTES(values)
    work.slopes = NULL if slopes is None else cnp.PyArray_BYTES(slopes)
    if work.n < WITH_GIL:
        run_blocks(&work, 0, blocks)
    else:
        threads = threads_for(work.n if single else 2 * work.n)
        with nogil:
            share_cancellable(run_blocks, &work, blocks, 4, threads, work.n)
    gradient = None
    if slopes is not None:
        gradient = (<object>slopes).T if turned else slopes
        if dtype != compute:
            gradient = copied(gradient, dtype)
        if by_columns:
            gradient = np.asfortranarray(gradient)
        if slopes_in_v is not None:
            gradient = gradient, copied(summed_to(slopes_in_v, of_spread), dtype)
    if not wants_value:
        return None, given_back(gradient, out)
    if reduction != "none":
        loss = sum_of(work.sums, blocks)
        return (loss if reduction == "sum" else loss / counted if counted else math.nan), gradient
    found = (<object>values).T if turned else values
    return given_back(found if dtype == compute else copied(found, dtype), out), gradient


cdef cnp.ndarray summed_to(cnp.ndarray gradient, tuple shape):
    """The gradient of what has been repeated along its axes of length 1 and those that it lacks."""
    cdef tuple whole = (<object>gradient).shape
    if shape == whole:
        return gradient
    axes = tuple([axis for axis in range(len(whole)) if axis >= len(shape) or shape[axis] != whole[axis]])
    return np.asarray((<object>gradient).sum(axis=axes, dtype=np.float64)).reshape(shape)


cdef object given_back(object result, object out):
    """In `out`, which has been checked, or a scalar where there are no axes."""
    if out is not None:
        fill(out, result)
        return out
    return result if result.ndim else result[()]
