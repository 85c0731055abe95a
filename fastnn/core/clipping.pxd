"""What a step has to know of whole tensors before it changes any: norms that clip, means that are taken away."""
from fastnn.core.layouts cimport Layout
from fastnn.core.passes cimport Around

cdef Around around                          # of the level in use

# whether a cohort has to be reduced
cdef bint wanted(list cohorts) noexcept

cdef class Reduced:
    # factors and means in a layout's tasks, for as long as the object lives
    cdef Layout layout
    cdef double *room

    cdef bint clip(self, Layout layout, double global_norm) except -1
    cdef bint by_norms(self, double *norms, double global_norm) except -1
