# cython: cdivision=True
"""Every elementwise and row kernel, one line each, as a C function over contiguous blocks, and their addresses.

Compiled once per instruction-set level (tools/translation.py). The signatures are those of kernels.pxd.
"""
from libc.stdint cimport uint32_t, uintptr_t
from libc.string cimport memmove

from fastnn.core cimport algebraic, gated, periodic, piecewise, quadratic, rational, sigmoidal, transcendental
from fastnn.core.kernels cimport VALUE
from fastnn.core.loops cimport MAP_STEP, map_orders, map_orders_by_value, map_orders_of, map_orders_of_constant
from fastnn.core.periodic cimport map_orders_with_far, reach_of
from fastnn.core.vecmath cimport fma, log, real

include "softmax_along.pxi"
include "softmax_across.pxi"
include "sparsemax.pxi"
include "softmax_rows.pxi"


# Activations: what `order` asks for (kernels.pxd); h holds the hyperparameters.

cdef void step(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
               const real *h) noexcept nogil:
    map_orders_of_constant(piecewise.step[real], piecewise.zero[real], piecewise.zero[real], <real>0,
                           order, x, y, out, second, n, h)

cdef void identity(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                   const real *h) noexcept nogil:
    if order == VALUE:
        memmove(out, x, n * sizeof(real))       # libc's copy is a quarter faster than a loop; out may be x
        return
    map_orders_of_constant(piecewise.identity[real], piecewise.one[real], piecewise.zero[real], <real>1,
                           order, x, y, out, second, n, h)

cdef void bent_identity(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                        const real *h) noexcept nogil:
    map_orders(sigmoidal.bent_identity[real], sigmoidal.bent_identity_d1[real], sigmoidal.bent_identity_d2[real],
               order, x, y, out, second, n, h)

cdef void hard_shrink(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                      const real *h) noexcept nogil:
    map_orders_by_value(piecewise.hard_shrink[real], piecewise.shrink_d1[real],
                        piecewise.zero[real], piecewise.nonzero[real],
                        order, x, y, out, second, n, h)

cdef void soft_shrink(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                      const real *h) noexcept nogil:
    map_orders_by_value(piecewise.soft_shrink[real], piecewise.shrink_d1[real],
                        piecewise.zero[real], piecewise.nonzero[real],
                        order, x, y, out, second, n, h)

cdef void threshold(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                    const real *h) noexcept nogil:
    map_orders_by_value(piecewise.threshold[real], piecewise.threshold_d1[real],
                        piecewise.zero[real], piecewise.threshold_d1[real],
                        order, x, y, out, second, n, h)

cdef void sigmoid(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                  const real *h) noexcept nogil:
    map_orders_by_value(sigmoidal.sigmoid[real], sigmoidal.sigmoid_d1[real],
                        sigmoidal.sigmoid_d2[real], sigmoidal.sigmoid_by_value[real],
                        order, x, y, out, second, n, h)

cdef void hard_sigmoid(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                       const real *h) noexcept nogil:
    map_orders_by_value(piecewise.hard_sigmoid[real], piecewise.hard_sigmoid_d1[real],
                        piecewise.zero[real], piecewise.hard_sigmoid_by_value[real],
                        order, x, y, out, second, n, h)

cdef void ramp(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
               const real *h) noexcept nogil:
    map_orders_by_value(piecewise.ramp[real], piecewise.ramp_d1[real],
                        piecewise.zero[real], piecewise.ramp_by_value[real],
                        order, x, y, out, second, n, h)

cdef void log_sigmoid(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                      const real *h) noexcept nogil:
    map_orders_by_value(sigmoidal.log_sigmoid[real], sigmoidal.log_sigmoid_d1[real],
                        sigmoidal.log_sigmoid_d2[real], sigmoidal.log_sigmoid_by_value[real],
                        order, x, y, out, second, n, h)

cdef void tanh(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
               const real *h) noexcept nogil:
    map_orders_by_value(sigmoidal.tanh[real], sigmoidal.tanh_d1[real],
                        sigmoidal.tanh_d2[real], sigmoidal.tanh_by_value[real],
                        order, x, y, out, second, n, h)

cdef void tanh_shrink(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                      const real *h) noexcept nogil:
    map_orders(sigmoidal.tanh_shrink[real], sigmoidal.tanh_shrink_d1[real], sigmoidal.tanh_shrink_d2[real],
               order, x, y, out, second, n, h)

cdef void hard_tanh(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                    const real *h) noexcept nogil:
    map_orders_by_value(piecewise.hard_tanh[real], piecewise.hard_tanh_d1[real],
                        piecewise.zero[real], piecewise.hard_tanh_by_value[real],
                        order, x, y, out, second, n, h)

cdef void relu(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
               const real *h) noexcept nogil:
    map_orders_by_value(piecewise.relu[real], piecewise.step[real], piecewise.zero[real], piecewise.step[real],
                        order, x, y, out, second, n, h)

cdef void clipped(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                  const real *h) noexcept nogil:
    map_orders_by_value(piecewise.clipped[real], piecewise.clipped_d1[real],
                        piecewise.zero[real], piecewise.clipped_d1[real],
                        order, x, y, out, second, n, h)

cdef void leaky_relu(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                     const real *h) noexcept nogil:
    map_orders_by_value(piecewise.leaky_relu[real], piecewise.leaky_relu_d1[real],
                        piecewise.zero[real], piecewise.leaky_relu_d1[real],
                        order, x, y, out, second, n, h)

cdef void elu(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
              const real *h) noexcept nogil:
    map_orders_by_value(sigmoidal.elu[real], sigmoidal.elu_d1[real],
                        sigmoidal.elu_d2[real], sigmoidal.elu_by_value[real],
                        order, x, y, out, second, n, h)

cdef void selu(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
               const real *h) noexcept nogil:
    map_orders_by_value(sigmoidal.selu[real], sigmoidal.selu_d1[real],
                        sigmoidal.selu_d2[real], sigmoidal.selu_by_value[real],
                        order, x, y, out, second, n, h)

cdef void celu(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
               const real *h) noexcept nogil:
    map_orders_by_value(sigmoidal.celu[real], sigmoidal.celu_d1[real],
                        sigmoidal.celu_d2[real], sigmoidal.celu_by_value[real],
                        order, x, y, out, second, n, h)

cdef void softplus(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                   const real *h) noexcept nogil:
    map_orders_by_value(sigmoidal.softplus[real], sigmoidal.sigmoid[real],
                        sigmoidal.sigmoid_d1[real], sigmoidal.softplus_by_value[real],
                        order, x, y, out, second, n, h)

cdef void softsign(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                   const real *h) noexcept nogil:
    map_orders_by_value(sigmoidal.softsign[real], sigmoidal.softsign_d1[real],
                        sigmoidal.softsign_d2[real], sigmoidal.softsign_by_value[real],
                        order, x, y, out, second, n, h)

cdef void swish(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                const real *h) noexcept nogil:
    map_orders(gated.swish[real], gated.swish_d1[real], gated.swish_d2[real], order, x, y, out, second, n, h)

cdef void mish(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
               const real *h) noexcept nogil:
    map_orders(gated.mish[real], gated.mish_d1[real], gated.mish_d2[real], order, x, y, out, second, n, h)

cdef void tanhexp(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                  const real *h) noexcept nogil:
    map_orders(gated.tanhexp[real], gated.tanhexp_d1[real], gated.tanhexp_d2[real], order, x, y, out, second, n, h)

cdef void gelu(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
               const real *h) noexcept nogil:
    map_orders(gated.gelu[real], gated.gelu_d1[real], gated.gelu_d2[real], order, x, y, out, second, n, h)

cdef void hard_swish(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                     const real *h) noexcept nogil:
    map_orders(quadratic.hard_swish[real], quadratic.hard_swish_d1[real], quadratic.hard_swish_d2[real],
               order, x, y, out, second, n, h)

cdef void sparse_plus(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                      const real *h) noexcept nogil:
    map_orders(quadratic.sparse_plus[real], quadratic.sparse_plus_d1[real], quadratic.sparse_plus_d2[real],
               order, x, y, out, second, n, h)

cdef void star_relu(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                    const real *h) noexcept nogil:
    map_orders(quadratic.star_relu[real], quadratic.star_relu_d1[real], quadratic.star_relu_d2[real],
               order, x, y, out, second, n, h)

cdef void squareplus(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                     const real *h) noexcept nogil:
    map_orders_by_value(algebraic.squareplus[real], algebraic.squareplus_d1[real],
                        algebraic.squareplus_d2[real], algebraic.squareplus_by_value[real],
                        order, x, y, out, second, n, h)

cdef void isru(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
               const real *h) noexcept nogil:
    map_orders(algebraic.isru[real], algebraic.isru_d1[real], algebraic.isru_d2[real],
               order, x, y, out, second, n, h)

cdef void dish(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
               const real *h) noexcept nogil:
    map_orders(algebraic.dish[real], algebraic.dish_d1[real], algebraic.dish_d2[real],
               order, x, y, out, second, n, h)

cdef void exponential(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                      const real *h) noexcept nogil:
    map_orders_by_value(transcendental.exponential[real], transcendental.exponential[real],
                        transcendental.exponential[real], transcendental.exponential_by_value[real],
                        order, x, y, out, second, n, h)

cdef void arctan(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                 const real *h) noexcept nogil:
    map_orders(algebraic.arctan[real], algebraic.arctan_d1[real], algebraic.arctan_d2[real],
               order, x, y, out, second, n, h)

cdef void log_cosh(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                   const real *h) noexcept nogil:
    map_orders(transcendental.log_cosh[real], sigmoidal.tanh[real], sigmoidal.tanh_d1[real],
               order, x, y, out, second, n, h)

cdef void erf(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
              const real *h) noexcept nogil:
    map_orders(transcendental.erf[real], transcendental.erf_d1[real], transcendental.erf_d2[real],
               order, x, y, out, second, n, h)

cdef void sinusoid(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                   const real *h) noexcept nogil:
    map_orders_with_far(periodic.sinusoid[real], periodic.sinusoid_d1[real], periodic.sinusoid_d2[real],
                        periodic.far_sinusoid, reach_of(<real>0, real is float), order, x, y, out, second, n, h)

cdef void snake(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                const real *h) noexcept nogil:
    map_orders_with_far(periodic.snake[real], periodic.snake_d1[real], periodic.snake_d2[real],
                        periodic.far_snake, reach_of(<real>0, False) / h[0], order, x, y, out, second, n, h)

cdef void gelu_tanh(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                    const real *h) noexcept nogil:
    map_orders(gated.gelu_tanh[real], gated.gelu_tanh_d1[real], gated.gelu_tanh_d2[real],
               order, x, y, out, second, n, h)

cdef void pau(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
              const real *h) noexcept nogil:
    cdef real numbers[rational.NUMBERS]
    rational.laid_out(h, numbers)
    map_orders_of(rational.NUMBERS, rational.pau[real], rational.pau_d1[real], rational.pau_d2[real],
                  order, x, y, out, second, n, numbers)

cdef void acon(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
               const real *h) noexcept nogil:
    map_orders_of(3, gated.acon[real], gated.acon_d1[real], gated.acon_d2[real],
                  order, x, y, out, second, n, h)


# Row functions.

cdef void softmax(int order, const real *x, const real *g, real *out, Py_ssize_t n, Py_ssize_t step,
                  Py_ssize_t count, const double *h) noexcept nogil:
    rows(SOFTMAX, <real>1, h[0], order, x, g, out, n, step, count)

cdef void softmin(int order, const real *x, const real *g, real *out, Py_ssize_t n, Py_ssize_t step,
                  Py_ssize_t count, const double *h) noexcept nogil:
    rows(SOFTMAX, <real>-1, h[0], order, x, g, out, n, step, count)

cdef void log_softmax(int order, const real *x, const real *g, real *out, Py_ssize_t n, Py_ssize_t step,
                      Py_ssize_t count, const double *h) noexcept nogil:
    rows(LOG_SOFTMAX, <real>1, h[0], order, x, g, out, n, step, count)

cdef void entmax(int order, const real *x, const real *g, real *out, Py_ssize_t n, Py_ssize_t step,
                 Py_ssize_t count, const double *h) noexcept nogil:
    # one kernel, told by alpha: with a constant kind a compiler would make two of everything
    rows(SPARSEMAX if h[0] == 2 else ENTMAX, <real>1, h[1], order, x, g, out, n, step, count)

cdef void hard_max(int order, const real *x, const real *g, real *out, Py_ssize_t n, Py_ssize_t step,
                   Py_ssize_t count, const double *h) noexcept nogil:
    one_hot_rows(x, out, n, step, count)

cdef void softmax_cross_entropy(const real *x, const real *t, const Py_ssize_t *labels, real *grad, double *losses,
                                Py_ssize_t n, Py_ssize_t count, const double *h) noexcept nogil:
    losses_of_rows(x, t, labels, grad, losses, n, count)


# Noise: -log(-log(u)) of u between 0 and 1, where a word is 32 random bits.

cdef void gumbel(const uint32_t *words, const real *x, real *out, Py_ssize_t n) noexcept nogil:
    cdef double u
    cdef Py_ssize_t i
    for i in range(n):
        if real is float:
            u = (<double>words[i] + 0.5) * 2.3283064365386963e-10           # 2^-32
        else:
            u = (<double>(words[2 * i] >> 6) * 67108864.0 + (<double>(words[2 * i + 1] >> 6) + 0.5)) \
                * 2.220446049250313e-16                                     # 2^-52
        out[i] = x[i] - <real>log(-log(u))


STEP = MAP_STEP             # of elementwise kernels

# name: (address for float, address for double)

ELEMENTWISE = {
    "step": (<uintptr_t>step[float], <uintptr_t>step[double]),
    "identity": (<uintptr_t>identity[float], <uintptr_t>identity[double]),
    "bent_identity": (<uintptr_t>bent_identity[float], <uintptr_t>bent_identity[double]),
    "hard_shrink": (<uintptr_t>hard_shrink[float], <uintptr_t>hard_shrink[double]),
    "soft_shrink": (<uintptr_t>soft_shrink[float], <uintptr_t>soft_shrink[double]),
    "threshold": (<uintptr_t>threshold[float], <uintptr_t>threshold[double]),
    "sigmoid": (<uintptr_t>sigmoid[float], <uintptr_t>sigmoid[double]),
    "hard_sigmoid": (<uintptr_t>hard_sigmoid[float], <uintptr_t>hard_sigmoid[double]),
    "ramp": (<uintptr_t>ramp[float], <uintptr_t>ramp[double]),
    "log_sigmoid": (<uintptr_t>log_sigmoid[float], <uintptr_t>log_sigmoid[double]),
    "tanh": (<uintptr_t>tanh[float], <uintptr_t>tanh[double]),
    "tanh_shrink": (<uintptr_t>tanh_shrink[float], <uintptr_t>tanh_shrink[double]),
    "hard_tanh": (<uintptr_t>hard_tanh[float], <uintptr_t>hard_tanh[double]),
    "relu": (<uintptr_t>relu[float], <uintptr_t>relu[double]),
    "clipped": (<uintptr_t>clipped[float], <uintptr_t>clipped[double]),
    "leaky_relu": (<uintptr_t>leaky_relu[float], <uintptr_t>leaky_relu[double]),
    "elu": (<uintptr_t>elu[float], <uintptr_t>elu[double]),
    "selu": (<uintptr_t>selu[float], <uintptr_t>selu[double]),
    "celu": (<uintptr_t>celu[float], <uintptr_t>celu[double]),
    "softplus": (<uintptr_t>softplus[float], <uintptr_t>softplus[double]),
    "softsign": (<uintptr_t>softsign[float], <uintptr_t>softsign[double]),
    "swish": (<uintptr_t>swish[float], <uintptr_t>swish[double]),
    "mish": (<uintptr_t>mish[float], <uintptr_t>mish[double]),
    "tanhexp": (<uintptr_t>tanhexp[float], <uintptr_t>tanhexp[double]),
    "gelu": (<uintptr_t>gelu[float], <uintptr_t>gelu[double]),
    "hard_swish": (<uintptr_t>hard_swish[float], <uintptr_t>hard_swish[double]),
    "sparse_plus": (<uintptr_t>sparse_plus[float], <uintptr_t>sparse_plus[double]),
    "star_relu": (<uintptr_t>star_relu[float], <uintptr_t>star_relu[double]),
    "squareplus": (<uintptr_t>squareplus[float], <uintptr_t>squareplus[double]),
    "isru": (<uintptr_t>isru[float], <uintptr_t>isru[double]),
    "dish": (<uintptr_t>dish[float], <uintptr_t>dish[double]),
    "exponential": (<uintptr_t>exponential[float], <uintptr_t>exponential[double]),
    "arctan": (<uintptr_t>arctan[float], <uintptr_t>arctan[double]),
    "log_cosh": (<uintptr_t>log_cosh[float], <uintptr_t>log_cosh[double]),
    "erf": (<uintptr_t>erf[float], <uintptr_t>erf[double]),
    "sinusoid": (<uintptr_t>sinusoid[float], <uintptr_t>sinusoid[double]),
    "snake": (<uintptr_t>snake[float], <uintptr_t>snake[double]),
    "gelu_tanh": (<uintptr_t>gelu_tanh[float], <uintptr_t>gelu_tanh[double]),
    "pau": (<uintptr_t>pau[float], <uintptr_t>pau[double]),
    "acon": (<uintptr_t>acon[float], <uintptr_t>acon[double]),
}

ROWS = {
    "softmax": (<uintptr_t>softmax[float], <uintptr_t>softmax[double]),
    "softmin": (<uintptr_t>softmin[float], <uintptr_t>softmin[double]),
    "log_softmax": (<uintptr_t>log_softmax[float], <uintptr_t>log_softmax[double]),
    "entmax": (<uintptr_t>entmax[float], <uintptr_t>entmax[double]),
    "hard_max": (<uintptr_t>hard_max[float], <uintptr_t>hard_max[double]),
}

NOISE = {
    "gumbel": (<uintptr_t>gumbel[float], <uintptr_t>gumbel[double]),
}

ROW_LOSSES = {
    "softmax_cross_entropy": (<uintptr_t>softmax_cross_entropy[float], <uintptr_t>softmax_cross_entropy[double]),
}
