"""Optimizers as scalar rules: what one element's gradient, parameter and state become. One file a family.

    cdef inline real name(real g[, real p], real *slot..., real constant...) noexcept nogil

returns the delta that is added to the parameter. g is the gradient; p the parameter, for rules that read it; state is
updated through its pointers; what follows are the step's constants, which the optimizer's `constants` computes in
double precision under the same names (fastnn/optimizers). tools/rule_kernels.py writes the loops around them.
"""
