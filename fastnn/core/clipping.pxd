"""What a step has to know of whole tensors before it changes any: norms that clip, means that are taken away."""
from fastnn.core.arrays cimport Kind
from fastnn.core.layouts cimport Layout
from fastnn.core.passes cimport Around, Task
from fastnn.core.reductions cimport Numbers

cdef Around around                          # of the level in use

# whether a cohort has to be reduced
cdef bint wanted(list cohorts) noexcept

cdef Numbers parameter_of(const Task *task) noexcept nogil

# n numbers from `start` on in float32; of halves they are put into the room
cdef const float *in_float(const char *numbers, Kind kind, Py_ssize_t start, Py_ssize_t n, float *room) noexcept nogil

# n numbers of a task's gradient, at most a block, as its rule sees them: in the precision that it computes in
cdef void rule_gradient(const Task *task, Py_ssize_t start, Py_ssize_t n, void *out) noexcept nogil


cdef class Reduced:
    # factors and means in a layout's tasks, for as long as the object lives
    cdef Layout layout
    cdef double *room

    cdef bint clip(self, Layout layout, double global_norm) except -1
    cdef bint by_norms(self, double *norms, double global_norm) except -1
