"""Error functions and their gradients, exact in mpmath and rounded once to float64.

``ORACLES[name](y, t)`` takes two arrays of one shape and returns (loss, gradient). Square, Binary and Cross
are elementwise. The fused pairs take logits: sigmoid-binary-cross-entropy is elementwise too;
softmax-cross-entropy has its classes on the last axis, targets that sum to one there, and one loss a sample.
"""
from mpmath import exp, fsum, isnan, log, log1p, mpf, nan

from .activations import FAR, SOFTMAX_ROWS, by_rows

# Where the logarithm and the gradient's denominator are held.
LOG_FLOOR = -100
DENOMINATOR_FLOOR = mpf("1e-12", prec=512)


def _log(y):
    if isnan(y) or y < 0:
        return nan
    return max(log(y), LOG_FLOOR) if y else LOG_FLOOR


def _square(y, t):
    return (y - t)**2/2, y - t


def _binary(y, t):
    loss = -t*_log(y) - (1 - t)*_log(1 - y)
    return loss, (y - t)/max(y*(1 - y), DENOMINATOR_FLOOR)


def _cross(y, t):
    return -t*_log(y), -t/max(y, DENOMINATOR_FLOOR)


def _sigmoid_binary(x, t):
    x = max(min(x, FAR), -FAR)
    p, q = 1/(1 + exp(-x)), 1/(1 + exp(x))
    return t*log1p(exp(-x)) + (1 - t)*log1p(exp(x)), (1 - t)*p - t*q  # p - t without cancellation


def _softmax_cross_row(x, t):
    log_p, q, _ = SOFTMAX_ROWS["log-softmax"](x)
    p, _, _ = SOFTMAX_ROWS["softmax"](x)
    loss = -fsum(a*b for a, b in zip(t, log_p) if a)  # a class of target 0 costs nothing, however unlikely
    return [loss]*len(x), [(1 - c)*a - c*b for a, b, c in zip(p, q, t)]  # p - t without cancellation


def _elementwise(rule):
    def oracle(y, t):
        return by_rows(lambda y, t: list(zip(*map(rule, y, t))), None, y, t)
    return oracle


def _softmax_cross(x, t):
    loss, grad = by_rows(_softmax_cross_row, -1, x, t)
    return loss[..., 0], grad


ORACLES = {
    "Square": _elementwise(_square),
    "Binary": _elementwise(_binary),
    "Cross": _elementwise(_cross),
    "softmax-cross-entropy": _softmax_cross,
    "sigmoid-binary-cross-entropy": _elementwise(_sigmoid_binary),
}

ROWS = ["softmax-cross-entropy"]          # one loss a row; all others are elementwise
