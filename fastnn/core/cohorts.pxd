"""What parameters of one group and age share in a step: its constants."""
from fastnn.core.passes cimport Constants


cdef class Cohort:
    cdef readonly object group              # their group, or None
    cdef readonly long long t               # steps that they have taken
    cdef readonly tuple scalars             # what the rule keeps of each besides arrays
    cdef readonly long long next_t          # both after the step that is prepared
    cdef readonly tuple next_scalars
    cdef readonly object version            # of the hyperparameters that the constants were made of
    cdef readonly object numbers            # those hyperparameters
    cdef double decay                       # of the parameter, by what goes around the rule
    cdef tuple names                        # of the constants, None: in order
    cdef Constants constants
    # what is clipped and centred by reductions; 0: not
    cdef double clip_norm
    cdef double clip_adaptive
    cdef bint centralize
    cdef int output_axis
    cdef bint needs_parameter               # whether the deltas depend on the parameter

    cdef int put_constants(self, object constants) except -1
    cdef void done(self) noexcept
