# cython: cdivision=True
"""Rules whose parameters are evaluated at an average of the steps."""
from fastnn.core.formulas.quotient cimport ratio
from fastnn.core.vecmath cimport real, square_root


cdef inline real asgd(real g, real p, real *ax, real lr, real decay, real averaged) noexcept nogil:
    cdef real delta = -lr * g - decay * p
    cdef real after = p + delta
    ax[0] = after if averaged == <real>1 else ax[0] + averaged * (after - ax[0])
    return delta


# Schedule-free: parameters are y of the paper, and lead is z - y, from which x follows, too

cdef inline real schedule_free_sgd(real g, real *lead, real averaged, real kept, real lr_of_lead,
                                   real lr_of_y) noexcept nogil:
    cdef real delta = averaged * lead[0] - lr_of_y * g
    lead[0] = kept * (lead[0] - lr_of_lead * g)
    return delta


cdef inline real schedule_free_adamw(real g, real *lead, real *v, real averaged, real kept, real lr_of_lead,
                                     real lr_of_y, real one_minus_beta2, real root, real eps_of_root) noexcept nogil:
    v[0] = v[0] + one_minus_beta2 * (g * g - v[0])
    cdef real scaled = ratio(root * g, square_root(v[0]) + eps_of_root)
    cdef real delta = averaged * lead[0] - lr_of_y * scaled
    lead[0] = kept * (lead[0] - lr_of_lead * scaled)
    return delta
