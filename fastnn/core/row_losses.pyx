# cython: boundscheck=False, initializedcheck=False
# (with `binding`, off in tools/translation.py, a method that is called on an object of another class crashes)
"""Losses of rows along the last axis: one loss a row and its gradient, weighted and reduced in the same pass.

Targets are labels or rows. Smoothing makes other target rows, a few at a time, in the first cache, and so do weights of
classes where they are those of a loss's terms; a label's weight, a row's by its classes and a sample's multiply what the
kernel has made of the row while it lies there. Weight 0 leaves a row out, whatever it is. A row belongs to one thread, so results do not depend on the number of threads.
"""
import math

import numpy as np

cimport cython
cimport numpy as cnp
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy

from fastnn.core.arrays cimport as_array, copied, must_be_bound, result_dtype
from fastnn.core.compensated cimport sum_of
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.kernels cimport row_loss_double, row_loss_float
from fastnn.core.memory cimport copy_of, new_result
from fastnn.core.threads cimport share_cancellable, threads_for
from fastnn.core.vecmath cimport real

from fastnn.core.pair_losses import leading

cnp.import_array()

cdef enum:
    WITH_GIL = 2048         # below this many elements, letting go of the interpreter costs more than it gives
    TOGETHER = 32           # rows that a kernel takes at once where they are short
    SHORT = 32              # elements
    ROOM = 2048             # elements of target rows that are made in the first cache
    MOST_CONSTANTS = 4      # of a kernel

cdef struct Work:
    uintptr_t kernel
    double constants[MOST_CONSTANTS]
    bint single
    Py_ssize_t columns
    const char *x
    const char *t           # rows, or NULL
    const Py_ssize_t *labels
    char *gradient          # or NULL
    double *losses
    const double *weights   # of rows, or NULL
    const double *classes   # weights of classes that are part of target rows, or NULL
    const double *shares    # and those of which a row has its shares, or NULL
    double smoothing
    bint made               # target rows are made
    char *room              # for them, where they are longer than ROOM
    double share            # of a row in what is reduced


cdef inline void make_targets(const Work *work, const real *t, real *room, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    cdef Py_ssize_t r, i
    cdef Py_ssize_t n = work.columns
    cdef real kept = <real>(1 - work.smoothing)
    cdef real spread = <real>(work.smoothing / n)
    for r in range(rows):
        if work.labels != NULL:
            for i in range(n):
                room[r * n + i] = spread
            room[r * n + work.labels[row + r]] += kept
        else:
            for i in range(n):
                room[r * n + i] = kept * t[(row + r) * n + i] + spread
        if work.classes != NULL:
            for i in range(n):
                room[r * n + i] *= <real>work.classes[i]


cdef inline double weight_of(const double *classes, const real *t, Py_ssize_t n) noexcept nogil:
    cdef double weight = 0
    cdef Py_ssize_t i
    for i in range(n):
        weight += classes[i] * <double>t[i]
    return weight


cdef inline void weigh(const Work *work, const real *t, real *gradient, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    """t holds the target rows as they were given, where they have shares."""
    cdef Py_ssize_t r, i
    cdef Py_ssize_t n = work.columns
    cdef double factor = work.share
    cdef double weight
    for r in range(rows):
        if work.weights != NULL or work.shares != NULL:
            weight = work.weights[row + r] if work.weights != NULL else 1
            if weight != 0 and work.shares != NULL:
                weight *= weight_of(work.shares, t + r * n, n)
            work.losses[row + r] = 0 if weight == 0 else weight * work.losses[row + r]
            factor = work.share * weight
        if gradient == NULL or factor == 1:
            continue
        if factor == 0:
            for i in range(n):
                gradient[r * n + i] = <real>0
        else:
            for i in range(n):
                gradient[r * n + i] *= <real>factor


cdef inline void run_some(const Work *work, const real *x, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    cdef real[ROOM] near
    cdef Py_ssize_t at = row * work.columns
    cdef const real *t = NULL
    cdef const Py_ssize_t *labels = work.labels + row if work.labels != NULL else NULL
    cdef real *gradient = <real *>work.gradient + at if work.gradient != NULL else NULL
    cdef real *room
    if work.t != NULL:
        t = <const real *>work.t + at
    if work.made:
        room = near
        if work.room != NULL:
            room = <real *>work.room + at
        make_targets(work, <const real *>work.t, room, row, rows)
        t = room
        labels = NULL
    if real is float:
        (<row_loss_float>work.kernel)(x + at, t, labels, gradient, work.losses + row, work.columns, rows, work.constants)
    else:
        (<row_loss_double>work.kernel)(x + at, t, labels, gradient, work.losses + row, work.columns, rows, work.constants)
    if work.weights != NULL or work.shares != NULL or work.share != 1:
        weigh(work, <const real *>work.t + at if work.shares != NULL else NULL, gradient, row, rows)


cdef void run_rows(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef Py_ssize_t most = stop - start
    cdef Py_ssize_t rows
    if work.made or work.weights != NULL or work.shares != NULL or work.share != 1:
        most = max(<Py_ssize_t>1, ROOM // work.columns)
    while start < stop:
        rows = min(most, stop - start)
        if work.single:
            run_some(work, <const float *>work.x, start, rows)
        else:
            run_some(work, <const double *>work.x, start, rows)
        start += rows
    fastnn_fp_leave(state)


cdef double weights_of_rows(Py_ssize_t *labels, bint ignoring, Py_ssize_t ignored, const double *classes, bint folded,
                            const double *samples, Py_ssize_t each, double *weights, Py_ssize_t rows) noexcept nogil:
    """The weight of each row: its sample's, times that of its label's class if `folded`; 0 where the label is `ignored`,
    which becomes 0. Returns by what a mean divides: labels that count, each by the weight of its class."""
    cdef Py_ssize_t i
    cdef double weight, of_class
    cdef double counted = 0
    for i in range(rows):
        weight, of_class = 1, 1
        if labels != NULL:
            if ignoring and labels[i] == ignored:
                labels[i] = 0
                weights[i] = 0
                continue
            if classes != NULL:
                of_class = classes[labels[i]]
        counted += of_class
        if samples != NULL:
            weight = samples[i // each]
        weights[i] = weight * of_class if folded else weight
    return counted


cdef class RowLoss:
    """A loss of rows along the last axis: one loss a row, and its gradient."""

    cdef uintptr_t kernels[2]
    cdef double constants[MOST_CONSTANTS]
    cdef bint takes_labels

    def _bind(self, tuple kernels, tuple constants=(), bint takes_labels=True):
        cdef double[MOST_CONSTANTS] values
        cdef uintptr_t[2] addresses
        cdef int i
        addresses = kernels
        for i in range(MOST_CONSTANTS):
            values[i] = constants[i] if i < len(constants) else 0
        with cython.critical_section(self):
            memcpy(self.kernels, addresses, sizeof(addresses))
            memcpy(self.constants, values, sizeof(values))
            self.takes_labels = takes_labels

    def _value_and_gradient(self, x, t, bint wanted=True, str reduction="none", weights=None, classes=None,
                            double smoothing=0, ignored=None, bint of_terms=True):
        """(losses of shape x.shape[:-1], or their sum or mean; the gradient of that in x, or None unless it is wanted).

        t holds integer labels, shape x.shape[:-1] or one more of 1, or one row each, shape x.shape; `ignored` is a label that
        counts for nothing. weights are those of rows; classes(t, n) gives one for each of n classes, which multiply the
        terms of the loss, or with of_terms=False a row's loss by its shares in them.
        Raises TypeError for labels that are no integers, ValueError for shapes or labels that do not fit.
        """
        cdef cnp.ndarray a = as_array(x, "x")
        cdef cnp.ndarray target = as_array(t, "t")
        if weights is not None:
            weights = as_array(weights, "sample_weight")        # now: its __array__ may do anything, to x and t as well
        cdef object dtype = result_dtype(a)
        cdef bint single = dtype.itemsize <= 4
        cdef object compute = np.dtype(np.float32 if single else np.float64)
        cdef cnp.ndarray rows, losses, row_weights, of_samples, of_classes, room
        cdef cnp.ndarray gradient = None
        cdef Py_ssize_t count
        cdef Py_ssize_t each = 1
        cdef Py_ssize_t grain = 1
        cdef Py_ssize_t none_of_them = 0
        cdef double counted
        cdef const double *class_weights = NULL
        cdef const double *sample_weights = NULL
        cdef Work work
        cdef int threads
        must_be_bound(self.kernels[0])
        if a.ndim == 0:
            raise ValueError("logits must have at least one axis")
        shape = (<object>a).shape
        if shape[-1] == 0:
            raise ValueError("logits must have at least one class")
        by_label = (<object>target).shape != shape
        if by_label:
            if not self.takes_labels:
                raise ValueError(f"targets must have shape {shape}, not {(<object>target).shape}")
            target = checked_labels(target, shape, ignored)
        else:
            result_dtype(target)
            if ignored is not None and ignored >= 0:
                raise ValueError(f"ignore_label={ignored} is that of labels, and these targets are a row each: "
                                 "sample_weight=0 leaves rows out")
            target = copied(target, compute)
        rows = copied(a, compute)
        if wanted:
            gradient = new_result(a, cnp.NPY_FLOAT if single else cnp.NPY_DOUBLE, False)
        losses = np.empty(shape[:-1], np.float64)
        count = cnp.PyArray_SIZE(losses)
        counted = count
        with cython.critical_section(self):
            work.kernel = self.kernels[0 if single else 1]
            memcpy(work.constants, self.constants, sizeof(work.constants))
        work.single = single
        work.columns = shape[-1]
        work.x = cnp.PyArray_BYTES(rows)
        work.t = NULL if by_label else cnp.PyArray_BYTES(target)
        work.labels = <const Py_ssize_t *>cnp.PyArray_DATA(target) if by_label else NULL
        work.gradient = NULL if gradient is None else cnp.PyArray_BYTES(gradient)
        work.losses = <double *>cnp.PyArray_DATA(losses)
        work.weights, work.classes, work.shares, work.room = NULL, NULL, NULL, NULL
        work.smoothing = smoothing
        work.made = smoothing != 0 or of_terms and classes is not None and not by_label
        if classes is not None:
            of_classes = np.ascontiguousarray(classes(target, shape[-1]), np.float64)
            if (<object>of_classes).shape != (shape[-1],):
                raise ValueError(f"class_weight must have {shape[-1]} numbers, one a class, "
                                 f"not {(<object>of_classes).size}")
            class_weights = <const double *>cnp.PyArray_DATA(of_classes)
            if of_terms and work.made:
                work.classes = class_weights
            elif not by_label:
                work.shares = class_weights
        if weights is not None:
            of_samples, each = leading(weights, shape[:-1], np.dtype(np.float64))
            each = max(each, <Py_ssize_t>1)
            sample_weights = <const double *>cnp.PyArray_DATA(of_samples)
        if weights is not None or by_label and (classes is not None or ignored is not None):
            row_weights = np.empty(count, np.float64)
            if by_label and ignored is not None:
                target = target.copy()          # for what is ignored becomes 0
                work.labels = <const Py_ssize_t *>cnp.PyArray_DATA(target)
                none_of_them = ignored
            counted = weights_of_rows(<Py_ssize_t *>work.labels, ignored is not None, none_of_them, class_weights,
                                      work.classes == NULL, sample_weights, each, <double *>cnp.PyArray_DATA(row_weights), count)
            work.weights = <const double *>cnp.PyArray_DATA(row_weights)
        work.share = 1 / counted if reduction == "mean" and counted else 1
        if work.made and work.columns > ROOM:
            room = np.empty(cnp.PyArray_SIZE(rows), compute)
            work.room = cnp.PyArray_BYTES(room)
        if cnp.PyArray_SIZE(rows):
            if cnp.PyArray_SIZE(rows) < WITH_GIL:
                run_rows(&work, 0, count)
            else:
                grain = TOGETHER if work.columns <= SHORT and count > 4 * TOGETHER else 1
                threads = threads_for(cnp.PyArray_SIZE(rows) * (1 if single else 2))
                with nogil:
                    share_cancellable(run_rows, &work, count, grain, threads, work.columns * count)
        if wanted and dtype != compute:
            gradient = copied(gradient, dtype)
        if reduction == "none":
            return copied(losses, dtype)[()], gradient
        loss = sum_of(work.losses, count)
        return (loss if reduction == "sum" else loss / counted if counted else math.nan), gradient

    def _copy(self, gradient):
        """What is handed out of a gradient that is kept."""
        return copy_of(gradient, None)


cdef cnp.ndarray checked_labels(cnp.ndarray labels, tuple shape, ignored):
    if (<object>labels).shape == (*shape[:-1], 1):
        labels = labels.reshape(shape[:-1])
    if (<object>labels).shape != shape[:-1]:
        raise ValueError(f"targets must have shape {shape[:-1]} (labels) or {shape} (one-hot), "
                         f"not {(<object>labels).shape}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, not {labels.dtype}")
    if labels.size and not fit(labels, shape[-1], ignored):
        raise ValueError(f"labels must be from 0 to {shape[-1] - 1}, not {int(labels.min())} to {int(labels.max())}")
    return np.require(labels, dtype=np.intp, requirements=["C", "A"])


cdef bint fit(cnp.ndarray labels, Py_ssize_t classes, ignored) except -1:
    """Whether all labels are from 0 to classes - 1, or the one that is ignored."""
    cdef cnp.ndarray known
    cdef const cnp.npy_intp *p
    cdef Py_ssize_t i, other
    cdef bint found = True
    if ignored is None or 0 <= ignored < classes:
        return 0 <= int(labels.min()) and int(labels.max()) < classes
    if labels.dtype == np.uint64 and int(labels.max()) > np.iinfo(np.intp).max:
        return False
    known = np.require(labels, dtype=np.intp, requirements=["C", "A"])
    p = <const cnp.npy_intp *>cnp.PyArray_DATA(known)
    other = ignored
    for i in range(cnp.PyArray_SIZE(known)):
        found = found and (0 <= p[i] < classes or p[i] == other)
    return found
