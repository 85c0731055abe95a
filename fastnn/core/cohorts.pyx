# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""What parameters of one group and age share in a step: its constants."""
cimport cython
from libc.stdint cimport uintptr_t

from fastnn.core.passes cimport MOST_CONSTANTS


cdef long long number_of_step(t) except -1:
    if t >= 2**63:
        raise ValueError("t must be below 2^63")
    return t


@cython.final
cdef class Cohort:
    """Parameters of one group that have taken equally many steps, and so share a step's constants."""

    def __cinit__(self, group, long long t, tuple scalars):
        self.group, self.t, self.scalars = group, t, scalars
        self.next_t, self.next_scalars = t, scalars
        self.constants.scale = 1

    def put(self, tuple kernels, constants, tuple names, bint reads_p, bint measures_p, t, tuple scalars, numbers, version):
        """Prepare step t: the rule's addresses, its constants (by name, or in order where names is None), whether it or
        what is measured for it reads the parameter, and what is kept of each parameter after it. They are made of hyperparameters of that version: `numbers` at step t."""
        cdef Py_ssize_t i
        cdef Constants *c = &self.constants
        self.next_t = number_of_step(t)
        if len(kernels) not in (1, 2):
            raise ValueError("kernels for float and double, or a fused one for stored state")
        self.version = None
        self.names = names
        self.put_constants(constants)
        c.fused = len(kernels) == 1
        for i in range(len(kernels)):
            c.kernels[i] = <uintptr_t>kernels[i]
        c.reads_p = reads_p
        self.needs_parameter = reads_p or measures_p or c.decay != 0 or c.l2 != 0 or c.l1 != 0 or self.clip_adaptive != 0
        self.next_scalars, self.numbers, self.version = scalars, numbers, version

    cdef int put_constants(self, object constants) except -1:
        cdef Py_ssize_t i
        cdef Py_ssize_t count = len(constants)
        cdef Constants *c = &self.constants
        if count > MOST_CONSTANTS:
            raise ValueError("too many constants")
        if self.names is None:
            for i in range(count):
                c.double_[i] = constants[i]
        else:
            if len(<dict?>constants) != len(self.names):
                raise TypeError(f"constants gave {', '.join(constants)}; the rule has {', '.join(self.names)}")
            for i in range(count):
                c.double_[i] = (<dict>constants)[self.names[i]]
        for i in range(count):
            c.single[i] = <float>c.double_[i]
        c.decay = self.decay
        return 0

    def measured(self, constants, tuple scalars, double decayed):
        """Other constants and scalars, made of sums over whole tensors. The parameter's decay is `decayed` times what it
        would be."""
        self.put_constants(constants)
        self.constants.decay = self.decay * decayed
        self.next_scalars = scalars

    def around(self, double scale, double decay, double clip_value, double l2, double l1, double clip_norm,
               double clip_adaptive, bint centralize, int output_axis):
        """What is done around the rule. Comes before `put`."""
        cdef Constants *c = &self.constants
        c.scale, self.decay, c.clip_value, c.l2, c.l1 = scale, decay, clip_value, l2, l1
        self.clip_norm, self.clip_adaptive = clip_norm, clip_adaptive
        self.centralize, self.output_axis = centralize, output_axis

    cdef void done(self) noexcept:
        self.t, self.scalars = self.next_t, self.next_scalars
