"""f' as a function of y = f(x), for the activations whose y determines it: one row each, of mpf.

At a kink that a flat piece shares with a sloping one, y cannot tell which it is: the flat piece counts.
"""
import numpy as np
from mpmath import exp, mpf, workprec

from .activations import ORACLES, to_float64

BY_VALUE = {
    "step": lambda y: 0,
    "identity": lambda y: 1,
    "hard-shrink": lambda y, lambda_: int(y != 0),
    "soft-shrink": lambda y, lambda_: int(y != 0),
    "threshold": lambda y, threshold, value: int(y > threshold),
    "sigmoid": lambda y: y - y**2,
    "hard-sigmoid": lambda y: mpf(1)/5 if 0 < y < 1 else 0,
    "log-sigmoid": lambda y: 1 - exp(y),
    "tanh": lambda y: 1 - y**2,
    "hard-tanh": lambda y: int(-1 < y < 1),
    "ReLU": lambda y: int(y > 0),
    "ReLU6": lambda y: int(0 < y < 6),
    "leaky-ReLU": lambda y, alpha: alpha if y < 0 else 1,
    "ELU": lambda y, alpha: y + alpha if y < 0 else 1,
    "SELU": lambda y, lambda_, alpha: y + lambda_*alpha if y < 0 else lambda_,
    "CELU": lambda y, alpha: 1 + y/alpha if y < 0 else 1,
    "softplus": lambda y: 1 - exp(-y),
    "softsign": lambda y: (1 - abs(y))**2,
}


def reference(name, y, **parameters):
    """Correctly rounded float64 values at the finite numbers y; hyperparameters are rounded to the dtype of y."""
    held = {key: mpf(float(np.dtype(y.dtype).type(value)))
            for key, value in (ORACLES[name].parameters | parameters).items()}
    with workprec(1300):                # 1 - exp(y) of the least subnormal number
        return np.array([to_float64(mpf(BY_VALUE[name](mpf(each), **held))) for each in y.tolist()])
