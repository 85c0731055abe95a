"""What becomes of a block of targets that are classes before an elementwise loss sees it, and what its elements weigh."""
from fastnn.core.vecmath cimport fma, real


cdef struct Targets:
    double low              # the target of the first class, for which 0 stands as well; that of the second is 1
    double kept, spread     # label smoothing: t kept + spread
    bint terms              # weights are those of the two terms of a loss that is linear in t, else of its value
    const double *negative  # the weight of the first class, for each column, and of the second; or NULL
    const double *positive
    Py_ssize_t columns      # 1: the same for all


cdef inline void repeat(const double *weights, Py_ssize_t columns, real *room, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t at = start % columns
    for i in range(n):
        room[i] = <real>weights[at]
        at = at + 1 if at + 1 < columns else 0


cdef inline bint made_of(const Targets *how, const real *t, real *made, real *negative, real *positive, Py_ssize_t start,
                         Py_ssize_t n) noexcept nogil:
    """Targets t kept + spread go to `made`, the weights of both classes times the target's shares in them to `negative` and
    `positive`. Returns whether an element has both.
    """
    cdef real low = <real>how.low
    cdef real half = <real>(1 / (1 - how.low))
    cdef real kept = <real>how.kept
    cdef real spread = <real>how.spread
    cdef real side, share
    cdef bint smoothed_shares = how.terms
    cdef bint both = False
    cdef Py_ssize_t i
    for i in range(n):
        side = low if t[i] == <real>0 else t[i]
        made[i] = fma(side, kept, spread)
    if how.negative == NULL:
        return False
    repeat(how.negative, how.columns, negative, start, n)
    repeat(how.positive, how.columns, positive, start, n)
    for i in range(n):
        side = low if t[i] == <real>0 else t[i]
        share = ((made[i] if smoothed_shares else side) - low) * half
        negative[i] = fma(-share, negative[i], negative[i])
        positive[i] = share * positive[i]
        both |= (negative[i] != <real>0) & (positive[i] != <real>0)
    return both
