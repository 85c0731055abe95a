"""Elementwise losses as scalar formulas of a prediction y (or a logit) and a target t, one file a family.

    cdef inline real name(real y, real t[, real constant...]) noexcept nogil
    cdef inline real name_d1(real y, real t[, real constant...]) noexcept nogil

are the value and its derivative in y, side by side; the constants are a row's hyperparameters, or what its `constants`
computes in double precision under these names (fastnn/losses). Where there is a `name_dv`, too, the first of them is a
third array v, and that is the derivative in it. tools/loss_kernels.py writes the loops around them.
"""
