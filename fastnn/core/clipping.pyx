# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""What a step has to know of whole tensors before it changes any: norms that clip, means that are taken away.

Reads gradients and parameters, and writes to the layout's tasks alone. The sums are those of reductions.pyx: the same
bits for any number of threads.
"""
from libc.math cimport fabs, isfinite, sqrt
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from fastnn.core.arrays cimport DOUBLE, FLOAT16, SINGLE, Kind
from fastnn.core.cohorts cimport Cohort
from fastnn.core.kernels cimport (decayed_double, decayed_float, scaled_double, scaled_float, unit_double, unit_float)
from fastnn.core.layouts cimport Layout
from fastnn.core.passes cimport BLOCK, Around, Task, prepare
from fastnn.core.records cimport Record
from fastnn.core.reductions cimport Numbers, Units, norms_of, unit_means, unit_norms, units_along
from fastnn.core.stored cimport load_half

from fastnn.core.levels import rules

cdef double LEAST_NORM = 1e-3               # of parameters in adaptive clipping, as its paper has it

cdef load_half load_halves[2]
for place, name in enumerate(("float16", "bfloat16")):
    load_halves[place] = <load_half><uintptr_t>rules.HALVES[name][0]

around.scaled_single = <scaled_float><uintptr_t>rules.AROUND["scaled"][0]
around.scaled_double_ = <scaled_double><uintptr_t>rules.AROUND["scaled"][1]
around.decayed_single = <decayed_float><uintptr_t>rules.AROUND["decayed"][0]
around.decayed_double_ = <decayed_double><uintptr_t>rules.AROUND["decayed"][1]
around.unit_scaled_single = <unit_float><uintptr_t>rules.AROUND["unit_scaled"][0]
around.unit_scaled_double = <unit_double><uintptr_t>rules.AROUND["unit_scaled"][1]
around.unit_shifted_single = <unit_float><uintptr_t>rules.AROUND["unit_shifted"][0]
around.unit_shifted_double = <unit_double><uintptr_t>rules.AROUND["unit_shifted"][1]


cdef bint wanted(list cohorts) noexcept:
    cdef Cohort cohort
    for cohort in cohorts:
        if cohort.clip_norm != 0 or cohort.clip_adaptive != 0 or cohort.centralize:
            return True
    return False


cdef inline Numbers gradient_of(const Task *task) noexcept nogil:
    cdef Numbers numbers
    numbers.data, numbers.n, numbers.kind = task.grad, task.n, task.grad_kind
    return numbers


cdef Numbers parameter_of(const Task *task) noexcept nogil:
    cdef Numbers numbers
    numbers.data, numbers.n, numbers.kind = task.target, task.n, task.kind
    if task.parameter != NULL:
        numbers.data = task.parameter
    return numbers


cdef const float *in_float(const char *numbers, Kind kind, Py_ssize_t start, Py_ssize_t n, float *room) noexcept nogil:
    if kind == SINGLE:
        return <const float *>numbers + start
    load_halves[kind - FLOAT16](numbers + 2 * start, room, n)
    return room


cdef inline void prepare_block(const Task *task, Py_ssize_t start, Py_ssize_t n, void *out,
                               bint centred) noexcept nogil:
    cdef float[BLOCK] room
    cdef float[BLOCK] p_room
    cdef Numbers p = parameter_of(task)
    if task.kind == DOUBLE:
        prepare(&around, task, <const double *>task.grad + start, <const double *>p.data + start, <double *>out, start,
                n, centred)
    else:
        prepare(&around, task, in_float(task.grad, task.grad_kind, start, n, room),
                in_float(p.data, p.kind, start, n, p_room), <float *>out, start, n, centred)


cdef void prepared(const void *context, Py_ssize_t start, Py_ssize_t n, void *out) noexcept nogil:
    """Numbers of a task's gradient as its rule will see them, but for the means that are looked for."""
    prepare_block(<const Task *>context, start, n, out, False)


cdef void rule_gradient(const Task *task, Py_ssize_t start, Py_ssize_t n, void *out) noexcept nogil:
    if task.ready:
        if task.kind == DOUBLE:
            memcpy(out, <const double *>task.grad + start, n * sizeof(double))
        else:
            memcpy(out, <const float *>task.grad + start, n * sizeof(float))
    else:
        prepare_block(task, start, n, out, True)


cdef double total_of(const double *norms, Py_ssize_t count) noexcept:
    """The norm of all, which neither overflows nor underflows on the way."""
    cdef Py_ssize_t i
    cdef double largest = 0, squares = 0
    for i in range(count):
        if not isfinite(norms[i]):
            return norms[i]
        largest = max(largest, norms[i])
    if largest == 0:
        return 0
    for i in range(count):
        squares += (norms[i] / largest) * (norms[i] / largest)
    return largest * sqrt(squares)


cdef class Reduced:
    """Factors and means in the tasks of a layout, for as long as the object lives."""

    def __dealloc__(self):
        cdef Py_ssize_t i
        if self.layout is not None:
            for i in range(self.layout.count):
                self.layout.tasks[i].scale = 1
                self.layout.tasks[i].factors = self.layout.tasks[i].means = NULL
        free(self.room)

    cdef bint clip(self, Layout layout, double global_norm) except -1:
        """Find them. False if a norm that clips is not finite."""
        cdef Py_ssize_t i
        cdef Py_ssize_t needed = 2 * layout.count
        cdef Task *task
        cdef Cohort cohort
        cdef Record record
        cdef double *norms
        cdef double *free_room
        cdef Numbers numbers
        cdef Units units
        cdef bint by_norm = global_norm != 0
        self.layout = layout
        for i in range(layout.count):
            task, cohort, record = &layout.tasks[i], <Cohort>layout.cohorts[i], <Record>layout.records[i]
            task.units = task.inner = 1
            by_norm = by_norm or cohort.clip_norm != 0
            if task.n == 0 or cohort.clip_adaptive == 0 and not cohort.centralize:
                continue
            if record.ndim >= 2:
                units = units_along(record.dims, record.ndim, axis_of(cohort.output_axis, record, layout.keys[i]),
                                    record.fortran)
                task.units, task.inner = units.units, units.inner
            else:
                task.inner = task.n
            needed += 3 * task.units
        self.room = <double *>calloc(needed, sizeof(double))
        if self.room == NULL:
            raise MemoryError
        norms, free_room = self.room, self.room + 2 * layout.count
        if by_norm and not self.by_norms(norms, global_norm):
            return False
        for i in range(layout.count):
            task, cohort, record = &layout.tasks[i], <Cohort>layout.cohorts[i], <Record>layout.records[i]
            if task.n == 0:
                continue
            units.units, units.inner = task.units, task.inner
            units.outer = task.n // (task.units * task.inner)
            if cohort.clip_adaptive != 0:
                if not adapt(task, cohort, units, is_flat(record), free_room):
                    return False
                task.factors = free_room
                free_room += 2 * task.units
            if cohort.centralize and record.ndim >= 2:
                numbers = gradient_of(task)
                numbers.kind = DOUBLE if task.kind == DOUBLE else SINGLE
                unit_means(&numbers, &units, prepared, task, free_room)
                task.means = free_room
                free_room += task.units
        return True

    cdef bint by_norms(self, double *norms, double global_norm) except -1:
        """Clip each tensor's norm, or that of all together."""
        cdef Layout layout = self.layout
        cdef Py_ssize_t i
        cdef double total, most
        cdef Numbers *gradients = <Numbers *>calloc(layout.count + 1, sizeof(Numbers))
        if gradients == NULL:
            raise MemoryError
        try:
            for i in range(layout.count):
                gradients[i] = gradient_of(&layout.tasks[i])
            norms_of(gradients, layout.count, norms, NULL)
        finally:
            free(gradients)
        for i in range(layout.count):
            norms[i] *= fabs((<Cohort>layout.cohorts[i]).constants.scale)
        if global_norm != 0:
            total = total_of(norms, layout.count)
            if not isfinite(total):
                return False
            if total > global_norm:
                for i in range(layout.count):
                    layout.tasks[i].scale = global_norm / total
            return True
        for i in range(layout.count):
            most = (<Cohort>layout.cohorts[i]).clip_norm
            if most != 0:
                if not isfinite(norms[i]):
                    return False
                if norms[i] > most:
                    layout.tasks[i].scale = most / norms[i]
        return True


cdef int axis_of(int axis, Record record, object key) except -1:
    """The axis, from 0."""
    if not -record.ndim <= axis < record.ndim:
        raise ValueError(f"output_axis is {axis}, but parameter {key!r} has {record.ndim} axes")
    return axis + record.ndim if axis < 0 else axis


cdef bint is_flat(Record record) noexcept:
    """Whether at most one axis is longer than 1."""
    cdef int axis
    cdef int longer = 0
    for axis in range(record.ndim):
        longer += record.dims[axis] != 1
    return longer <= 1


cdef bint adapt(const Task *task, Cohort cohort, Units units, bint flat, double *factors) except -1:
    """The factors of units; behind them there is room for as many numbers. False if a norm is not finite."""
    cdef Py_ssize_t i
    cdef double most
    cdef double scale = fabs(task.constants.scale)
    cdef double *norms = factors + task.units
    cdef Numbers gradient = gradient_of(task)
    cdef Numbers parameter = parameter_of(task)
    if flat:
        units.units = 1
        norms_of(&parameter, 1, norms, NULL)
        norms_of(&gradient, 1, factors, NULL)
    else:
        unit_norms(&parameter, &units, norms)
        unit_norms(&gradient, &units, factors)
    for i in range(units.units):
        most = cohort.clip_adaptive * max(norms[i], LEAST_NORM)
        norms[i] = factors[i] * scale
        if not isfinite(norms[i]):
            return False
        factors[i] = most / norms[i] if norms[i] > most else 1
    for i in range(units.units, task.units):
        factors[i] = factors[0]
    return True
