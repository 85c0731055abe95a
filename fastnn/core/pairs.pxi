# cython: cdivision=True
"""Every gated unit and every activation with learned parameters as a C function over contiguous blocks, and their
addresses: written by the build from the formulas (tools/pair_kernels.py). The signatures are those of pair_kernels.pxd.

Compiled once per instruction-set level (tools/translation.py).
"""
from libc.stdint cimport uintptr_t

from fastnn.core.loops cimport MAP_STEP, Seen, see, seen_all
from fastnn.core.pair_kernels cimport LEARNED_BLOCK, map_gate
from fastnn.core.vecmath cimport real

include "pair_kernels.pxi"

STEP = MAP_STEP
