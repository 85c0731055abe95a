"""f' as a function of y = f(x), for the activations whose y determines it: one row each, of mpf.

At a kink that a flat piece shares with a sloping one, y cannot tell which it is: the flat piece counts.
"""
import numpy as np
from mpmath import exp, expm1, fdot, fsum, mpf, sqrt, workprec

from .activations import ORACLES, SPARSE, by_rows, to_float64

BY_VALUE = {
    "step": lambda y: 0,
    "identity": lambda y: 1,
    "hard-shrink": lambda y, lambda_: int(y != 0),
    "soft-shrink": lambda y, lambda_: int(y != 0),
    "threshold": lambda y, threshold, value: int(y > threshold),
    "sigmoid": lambda y: y - y**2,
    "hard-sigmoid": lambda y: mpf(1)/5 if 0 < y < 1 else 0,
    "h-sigmoid": lambda y: mpf(1)/6 if 0 < y < 1 else 0,
    "sparse-sigmoid": lambda y: mpf(1)/2 if 0 < y < 1 else 0,
    "log-sigmoid": lambda y: 1 - exp(y),
    "tanh": lambda y: 1 - y**2,
    "hard-tanh": lambda y: int(-1 < y < 1),
    "ReLU": lambda y: int(y > 0),
    "ReLU6": lambda y: int(0 < y < 6),
    "ReLU-k": lambda y, k: int(0 < y < k),
    "clipped-linear": lambda y, low, high: int(low < y < high),
    "squareplus": lambda y, b: y**2/(y**2 + b/4),
    "exponential": lambda y: y,
    "leaky-ReLU": lambda y, alpha: alpha if y < 0 else 1,
    "ELU": lambda y, alpha: y + alpha if y < 0 else 1,
    "SELU": lambda y, lambda_, alpha: y + lambda_*alpha if y < 0 else lambda_,
    "CELU": lambda y, alpha: 1 + y/alpha if y < 0 else 1,
    "softplus": lambda y: 1 - exp(-y),
    "softsign": lambda y: (1 - abs(y))**2,
}

def _of_weights(weight):
    """Of a Jacobian diag(w) - w w'/sum(w)."""
    def product(y, grad):
        w = [weight(a) for a in y]
        mean = fdot(w, grad)/fsum(w)
        return [a*(g - mean) for a, g in zip(w, grad)]

    def derivative(y):
        w = [weight(a) for a in y]
        return [a - a**2/fsum(w) for a in w]
    return derivative, product


# The softmax family: the derivative of each element, and the vector-Jacobian product of a row.
ROWS_BY_VALUE = {
    "softmax": (lambda y: [a - a**2 for a in y], lambda y, grad: [a*(g - fdot(y, grad)) for a, g in zip(y, grad)]),
    "softmin": (lambda y: [a**2 - a for a in y], lambda y, grad: [-a*(g - fdot(y, grad)) for a, g in zip(y, grad)]),
    "log-softmax": (lambda y: [-expm1(a) for a in y], lambda y, grad: [g - exp(a)*fsum(grad) for a, g in zip(y, grad)]),
    "sparsemax": _of_weights(lambda a: mpf(a > 0)),
    "entmax-1.5": _of_weights(sqrt),
}


def rows_reference(name, y, grad):
    """Correctly rounded float64 values: the derivatives, the products, and the larger of the products' two terms."""
    derivative, product = ROWS_BY_VALUE[name]
    magnitude = np.abs(grad.astype(np.float64))
    if name in SPARSE:
        weights = np.sqrt(y.astype(np.float64)) if name == "entmax-1.5" else (y > 0).astype(np.float64)
        means = (weights*magnitude).sum(axis=-1, keepdims=True)/weights.sum(axis=-1, keepdims=True)
        return (by_rows(lambda row: [derivative(row)], -1, y)[0],
                by_rows(lambda row, g: [product(row, g)], -1, y, grad)[0], weights*np.maximum(magnitude, means))
    weights = np.exp(y.astype(np.float64)) if name == "log-softmax" else y.astype(np.float64)
    sums = (magnitude if name == "log-softmax" else weights*magnitude).sum(axis=-1, keepdims=True)
    terms = np.maximum(magnitude, weights*sums) if name == "log-softmax" else weights*np.maximum(magnitude, sums)
    return (by_rows(lambda row: [derivative(row)], -1, y)[0],
            by_rows(lambda row, g: [product(row, g)], -1, y, grad)[0], terms)


def reference(name, y, **parameters):
    """Correctly rounded float64 values at the finite numbers y; hyperparameters are rounded to the dtype of y."""
    held = {key: mpf(float(np.dtype(y.dtype).type(value)))
            for key, value in (ORACLES[name].parameters | parameters).items()}
    with workprec(1300):                # 1 - exp(y) of the least subnormal number
        return np.array([to_float64(mpf(BY_VALUE[name](mpf(each), **held))) for each in y.tolist()])
