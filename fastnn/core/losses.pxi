# cython: cdivision=True
"""The loops of elementwise losses and, in `LOSSES`, their addresses.

`_losses_<level>.pyx` includes this file once per instruction-set level. The signatures are those of kernels.pxd.
"""
from libc.stdint cimport uintptr_t

from fastnn.core.kernels cimport BOTH, VALUE
from fastnn.core.loops cimport MAP_STEP
from fastnn.core.vecmath cimport real

include "loss_kernels.pxi"

STEP = MAP_STEP             # as of elementwise kernels
