"""Exact activations with two derivatives: mpmath as the judge, a plain NumPy line as the second opinion.

``ORACLES`` holds one row an elementwise activation. Its three functions take an mpf and the hyperparameters
as keywords, and are written so that the only cancellation left is a zero of the function itself, and that of
x - tanh(x), for which `exact` raises the precision. At a kink they return the project's convention.
"""
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate

import numpy as np
from mpmath import (
    atan, cos, erf, erfc, exp, expm1, fdot, fsum, inf, isfinite, isnan, log, log1p, mag, mpf, nan, ncdf, npdf, pi, sin, sqrt,
    tanh, workprec)
from mpmath.libmp import to_rational

# The limit at infinity is the value so far out that rounding to float64 has long reached it.
FAR = 10**400
# From here on float64 rounds to infinity: half a unit above its largest number.
OVERFLOW = 2**1024 - 2**970


@dataclass(frozen=True)
class Oracle:
    """f, f', f'' and the default hyperparameters."""

    f: Callable
    df: Callable
    d2f: Callable
    parameters: dict = field(default_factory=dict)

    def __getitem__(self, order):
        return (self.f, self.df, self.d2f)[order]


def _zero(x, **parameters):
    return 0


def _sigmoid(x):
    return 1/(1 + exp(-x))


def _dsigmoid(x):
    return _sigmoid(x)*_sigmoid(-x)


def _d2sigmoid(x):
    return -_dsigmoid(x)*tanh(x/2)


def _sech2(x):
    e = exp(-2*abs(x))
    return 4*e/(1 + e)**2


def _gated(g, dg, d2g, **parameters):
    """The row of x g(x)."""
    return Oracle(
        lambda x, **p: x*g(x, **p),
        lambda x, **p: g(x, **p) + x*dg(x, **p),
        lambda x, **p: 2*dg(x, **p) + x*d2g(x, **p),
        parameters)


def _swish(beta):
    return _gated(
        lambda x, beta: _sigmoid(beta*x),
        lambda x, beta: beta*_dsigmoid(beta*x),
        lambda x, beta: beta**2*_d2sigmoid(beta*x),
        beta=beta)


def _isru(bent):
    return Oracle(
        lambda x, alpha: x/sqrt(1 + alpha*x**2) if bent(x) else x,
        lambda x, alpha: 1/sqrt(1 + alpha*x**2)**3 if bent(x) else 1,
        lambda x, alpha: -3*alpha*x/sqrt(1 + alpha*x**2)**5 if bent(x) else 0,
        {"alpha": 1.0})


def _mish():
    # tanh(log(1 + e^x)) = 1 - 2/D with D = e^2x + 2 e^x + 2, and 1 - 2/D = N/D has no cancellation.
    def terms(x):
        e = exp(x)
        return e*(e + 2), e*(e + 2) + 2, 2*e*(e + 1), 2*e*(2*e + 1)  # N, D, D', D''

    def g(x):
        N, D, _, _ = terms(x)
        return N/D

    def dg(x):
        _, D, dD, _ = terms(x)
        return 2*dD/D**2

    def d2g(x):
        _, D, dD, d2D = terms(x)
        return 2*(d2D*D - 2*dD**2)/D**3

    return _gated(g, dg, d2g)


def _tanh_exp():
    def inner(x):
        # From x = 100 on, 1 - g and the derivatives of g are below exp(-exp(100)): no float knows the
        # difference, and exp(exp(x)) would soon need more digits than there is memory.
        return exp(min(x, 100))

    def dg(x):
        return inner(x)*_sech2(inner(x))

    return _gated(lambda x: tanh(inner(x)), dg, lambda x: dg(x)*(1 - 2*inner(x)*tanh(inner(x))))


def _gelu():
    def near(x):
        # Beyond 10^6 the tails are under 10^(-10^11) at any rate, and mpmath's erfc stops at 10^154.
        return min(max(x, -10**6), 10**6)

    return _gated(
        lambda x: ncdf(near(x)),
        lambda x: npdf(near(x)),
        lambda x: -near(x)*npdf(near(x)))


def _ramp(half):
    return Oracle(
        lambda x: min(max((x + half)/(2*half), 0), 1),
        lambda x: mpf(1)/(2*half) if abs(x) < half else 0,
        _zero)


def _gelu_tanh():
    # x s(u) with u = 2 sqrt(2/pi) (x + 0.044715 x^3), s the sigmoid
    def parts(x):
        c, d = 2*sqrt(2/pi), 2*sqrt(2/pi)*mpf(44715)/10**6
        return c*x + d*x**3, c + 3*d*x**2, 6*d*x

    def dg(x):
        u, du, _ = parts(x)
        return du*_dsigmoid(u)

    def d2g(x):
        u, du, d2u = parts(x)
        return d2u*_dsigmoid(u) + du**2*_d2sigmoid(u)

    def near(h):
        # Beyond 10^6 the exponentials have long vanished, and would have exponents of that many digits.
        return lambda x: h(min(max(x, -10**6), 10**6))

    return _gated(near(lambda x: _sigmoid(parts(x)[0])), near(dg), near(d2g))


def _acon():
    def z(x, p1, p2, beta):
        return beta*(p1 - p2)*x

    return Oracle(
        lambda x, p1, p2, beta: (p1 - p2)*x*_sigmoid(z(x, p1, p2, beta)) + p2*x,
        lambda x, p1, p2, beta: (p1 - p2)*(_sigmoid(z(x, p1, p2, beta))
                                           + z(x, p1, p2, beta)*_dsigmoid(z(x, p1, p2, beta))) + p2,
        lambda x, p1, p2, beta: (p1 - p2)**2*beta*(2*_dsigmoid(z(x, p1, p2, beta))
                                                   + z(x, p1, p2, beta)*_d2sigmoid(z(x, p1, p2, beta))),
        {"p1": 1.0, "p2": 0.0, "beta": 1.0})


def _erf():
    def bell(x):
        return 2/sqrt(pi)*exp(-min(abs(x), 10**6)**2)

    return Oracle(
        lambda x: erf(x) if abs(x) < 1 else (1 if x > 0 else -1)*(1 - erfc(min(abs(x), 10**6))),
        bell, lambda x: -2*x*bell(x))


def _log_cosh(x):
    # 2 sinh(x/2)^2, which is cosh(x) - 1
    e = expm1(-abs(x))
    return log1p(e**2/(2*(1 + e))) if abs(x) < 1 else abs(x) + log1p(exp(-2*abs(x))) - log(2)


def _periodic(f):
    """A periodic function has no limit at infinity."""
    return lambda x, **parameters: nan if abs(x) > OVERFLOW else f(x, **parameters)


PAU_0_01 = dict(a0=0.02979246, a1=0.61837738, a2=2.32335207, a3=3.05202660, a4=1.48548002, a5=0.25103717,
                b1=1.14201226, b2=4.39322834, b3=0.87154450, b4=0.34720652)


def _pau():
    # The leading terms of f'' cancel at infinity, where it is x^-3.
    def parts(x, values):
        a, b = [values[f"a{k}"] for k in range(6)], [0, *(values[f"b{k}"] for k in range(1, 5))]
        P, B = ([sum(c*math.perm(k, order)*x**(k - order) for k, c in enumerate(row) if k >= order) for order in range(3)]
                for row in (a, b))
        side = (B[0] > 0) - (B[0] < 0)
        return P, [1 + abs(B[0]), side*B[1], side*B[2]]

    def precise(f):
        def call(x, **values):
            with workprec(400 + 5*abs(int(mag(x)) if x else 0)):
                return f(*parts(mpf(x), values))
        return call

    def df(P, Q):
        return (P[1]*Q[0] - P[0]*Q[1])/Q[0]**2

    return Oracle(
        precise(lambda P, Q: P[0]/Q[0]), precise(df),
        precise(lambda P, Q: (P[2]*Q[0] - P[0]*Q[2] - 2*df(P, Q)*Q[0]*Q[1])/Q[0]**2), PAU_0_01)


def _plain_pau(order):
    def call(x, **values):
        P = np.polynomial.Polynomial([values[f"a{k}"] for k in range(6)])
        B = np.polynomial.Polynomial([0.0, *(values[f"b{k}"] for k in range(1, 5))])
        p, q = [P(x), P.deriv()(x), P.deriv(2)(x)], [1 + abs(B(x)), np.sign(B(x))*B.deriv()(x), np.sign(B(x))*B.deriv(2)(x)]
        f = p[0]/q[0]
        slope = p[1]/q[0] - f*q[1]/q[0]
        return (f, slope, (p[2] - 2*slope*q[1] - f*q[2])/q[0])[order]
    return call


def _dish():
    # 1 + x/s = 1/(s (s + |x|)) below 0.
    def g(x):
        s = sqrt(1 + x**2)
        return (1 + x/s)/2 if x > 0 else 1/(2*s*(s - x))

    return _gated(g, lambda x: 1/(2*sqrt(1 + x**2)**3), lambda x: -3*x/(2*sqrt(1 + x**2)**5))


ORACLES = {
    "step": Oracle(lambda x: int(x > 0), _zero, _zero),
    "identity": Oracle(lambda x: x, lambda x: 1, _zero),
    "bent-identity": Oracle(
        lambda x: x + x**2/(sqrt(x**2 + 1) + 1)/2,
        lambda x: 1 + x/sqrt(x**2 + 1)/2,
        lambda x: 1/(x**2 + 1)/sqrt(x**2 + 1)/2),
    "hard-shrink": Oracle(
        lambda x, lambda_: x if abs(x) > lambda_ else 0,
        lambda x, lambda_: int(abs(x) > lambda_),
        _zero, {"lambda_": 0.5}),
    "soft-shrink": Oracle(
        lambda x, lambda_: x - lambda_ if x > lambda_ else x + lambda_ if x < -lambda_ else 0,
        lambda x, lambda_: int(abs(x) > lambda_),
        _zero, {"lambda_": 0.5}),
    "threshold": Oracle(  # has no defaults: these are the values the tests use
        lambda x, threshold, value: x if x > threshold else value,
        lambda x, threshold, value: int(x > threshold),
        _zero, {"threshold": 0.5, "value": -0.25}),
    "sigmoid": Oracle(_sigmoid, _dsigmoid, _d2sigmoid),
    "hard-sigmoid": Oracle(  # 0.2 x + 0.5 with the real number 1/5
        lambda x: min(max((x + 2.5)/5, 0), 1),
        lambda x: mpf(1)/5 if abs(x) <= 2.5 else 0,
        _zero),
    "h-sigmoid": _ramp(3),
    "sparse-sigmoid": _ramp(1),
    "log-sigmoid": Oracle(
        lambda x: -log1p(exp(-x)),
        lambda x: _sigmoid(-x),
        lambda x: -_dsigmoid(x)),
    "tanh": Oracle(tanh, _sech2, lambda x: -2*tanh(x)*_sech2(x)),
    "tanh-shrink": Oracle(
        lambda x: x - tanh(x),
        lambda x: tanh(x)**2,
        lambda x: 2*tanh(x)*_sech2(x)),
    "hard-tanh": Oracle(
        lambda x: min(max(x, -1), 1),
        lambda x: int(abs(x) <= 1),
        _zero),
    "ReLU": Oracle(lambda x: max(x, 0), lambda x: int(x > 0), _zero),
    "ReLU6": Oracle(lambda x: min(max(x, 0), 6), lambda x: int(0 < x < 6), _zero),
    "ReLU-k": Oracle(lambda x, k: min(max(x, 0), k), lambda x, k: int(0 < x < k), _zero, {"k": 6.0}),
    "clipped-linear": Oracle(
        lambda x, low, high: min(max(x, low), high),
        lambda x, low, high: int(low < x < high),
        _zero, {"low": -1.0, "high": 1.0}),
    "squared-ReLU": Oracle(lambda x: max(x, 0)**2, lambda x: 2*max(x, 0), lambda x: 2*int(x > 0)),
    "StarReLU": Oracle(
        lambda x, scale, bias: scale*max(x, 0)**2 + bias,
        lambda x, scale, bias: 2*scale*max(x, 0),
        lambda x, scale, bias: 2*scale*int(x > 0),
        {"scale": 0.8944, "bias": -0.4472}),
    "sparse-plus": Oracle(
        lambda x: 0 if x <= -1 else x if x >= 1 else (x + 1)**2/4,
        lambda x: min(max((x + 1)/2, 0), 1),
        lambda x: mpf(1)/2 if abs(x) < 1 else 0),
    "hard-swish": Oracle(
        lambda x: 0 if x <= -3 else x if x >= 3 else x*(x + 3)/6,
        lambda x: 0 if x <= -3 else 1 if x >= 3 else (2*x + 3)/6,
        lambda x: mpf(1)/3 if abs(x) < 3 else 0),
    "leaky-ReLU": Oracle(
        lambda x, alpha: x if x >= 0 else alpha*x,
        lambda x, alpha: 1 if x >= 0 else alpha,
        _zero, {"alpha": 0.01}),
    "ELU": Oracle(
        lambda x, alpha: x if x >= 0 else alpha*expm1(x),
        lambda x, alpha: 1 if x >= 0 else alpha*exp(x),
        lambda x, alpha: 0 if x >= 0 else alpha*exp(x),
        {"alpha": 1.0}),
    "SELU": Oracle(
        lambda x, lambda_, alpha: lambda_*(x if x >= 0 else alpha*expm1(x)),
        lambda x, lambda_, alpha: lambda_*(1 if x >= 0 else alpha*exp(x)),
        lambda x, lambda_, alpha: lambda_*(0 if x >= 0 else alpha*exp(x)),
        {"lambda_": 1.0507, "alpha": 1.67326}),
    "CELU": Oracle(
        lambda x, alpha: x if x >= 0 else alpha*expm1(x/alpha),
        lambda x, alpha: 1 if x >= 0 else exp(x/alpha),
        lambda x, alpha: 0 if x >= 0 else exp(x/alpha)/alpha,
        {"alpha": 1.0}),
    "softplus": Oracle(lambda x: log1p(exp(x)), _sigmoid, _dsigmoid),
    "softsign": Oracle(
        lambda x: x/(1 + abs(x)),
        lambda x: 1/(1 + abs(x))**2,
        lambda x: ((x < 0) - (x > 0))*2/(1 + abs(x))**3),
    "squareplus": Oracle(
        lambda x, b: (x + sqrt(x**2 + b))/2 if x > 0 else b/(sqrt(x**2 + b) - x)/2,
        lambda x, b: (1 + x/sqrt(x**2 + b))/2 if x > 0 else b/(sqrt(x**2 + b) - x)/sqrt(x**2 + b)/2,
        lambda x, b: b/(2*sqrt(x**2 + b)**3), {"b": 4.0}),
    "ISRU": _isru(lambda x: True),
    "ISRLU": _isru(lambda x: x < 0),
    "log-cosh": Oracle(_log_cosh, tanh, _sech2),
    "arctan": Oracle(atan, lambda x: 1/(1 + x**2), lambda x: -2*x/(1 + x**2)**2),
    "erf": _erf(),
    "exponential": Oracle(exp, exp, exp),
    "Swish": _swish(1.0),
    "quick-GELU": _swish(1.702),
    "Dish": _dish(),
    "Mish": _mish(),
    "tanhExp": _tanh_exp(),
    "GELU": _gelu(),
    "GELU-tanh": _gelu_tanh(),
    "ACON-C": _acon(),
    "PAU": _pau(),
    "sinusoid": Oracle(_periodic(sin), _periodic(cos), _periodic(lambda x: -sin(x))),
    "snake": Oracle(
        lambda x, a: x + sin(a*x)**2/a,
        _periodic(lambda x, a: 1 + sin(2*a*x)),
        _periodic(lambda x, a: 2*a*cos(2*a*x)), {"a": 1.0}),
}


# Gated units, by name: the activation of the gate.
GATES = {"GLU": "sigmoid", "ReGLU": "ReLU", "GEGLU": "GELU", "SwiGLU": "Swish", "bilinear": "identity"}


@dataclass(frozen=True)
class Learned:
    """What may be learned: f and f', and the derivative in each parameter."""

    of: Oracle
    in_parameters: dict


def _slope(z):
    """Of x sigmoid(x), at z."""
    return _sigmoid(z) + z*_dsigmoid(z)


# By name; a limit at infinity is taken of numbers `FAR` away.
LEARNED = {
    "PReLU": Learned(
        Oracle(lambda x, alpha: x if x > 0 else alpha*x, lambda x, alpha: 1 if x > 0 else alpha, _zero, {"alpha": 0.25}),
        {"alpha": lambda x, alpha: 0 if x > 0 else x}),
    "ELU": Learned(ORACLES["ELU"], {"alpha": lambda x, alpha: 0 if x >= 0 else expm1(x)}),
    "Swish": Learned(ORACLES["Swish"], {"beta": lambda x, beta: x**2*_dsigmoid(beta*x)}),
    "quick-GELU": Learned(ORACLES["quick-GELU"], {"beta": lambda x, beta: x**2*_dsigmoid(beta*x)}),
    "ACON-C": Learned(ORACLES["ACON-C"], {
        "p1": lambda x, p1, p2, beta: x*_slope(beta*(p1 - p2)*x),
        "p2": lambda x, p1, p2, beta: x*_slope(-beta*(p1 - p2)*x),
        "beta": lambda x, p1, p2, beta: ((p1 - p2)*x)**2*_dsigmoid(beta*(p1 - p2)*x)}),
}


def _formula(name, order):
    """(the function, the default hyperparameters): `order` is 0, 1, 2 or the name of a learned parameter."""
    name = GATES.get(name, name)
    if name in LEARNED and (order in LEARNED[name].in_parameters or name not in ORACLES):
        learned = LEARNED[name]
        return learned.in_parameters[order] if isinstance(order, str) else learned.of[order], learned.of.parameters
    return ORACLES[name][order], ORACLES[name].parameters


def exact(name, order, x, dtype=np.float64, *, guard=256, **parameters):
    """Derivative number `order` (0, 1, 2) of activation `name`, or of a gate, at the finite number x, as an mpf; or the
    derivative in the parameter of that name.

    x and the hyperparameters (those given, and the defaults of the others) are first rounded to `dtype`, as
    a kernel of that dtype holds them; x = +-`FAR` is taken as it is. Of the `guard` bits at least 100 are
    right wherever x is a float, less those that a zero of the function nearby costs.
    """
    def rounded(value):
        return mpf(float(np.dtype(dtype).type(value)))

    function, defaults = _formula(name, order)
    if unknown := parameters.keys() - defaults.keys():
        raise TypeError(f"{name} takes no {', '.join(sorted(unknown))}")
    x = mpf(x) if abs(x) == FAR else rounded(x)
    # x - tanh(x) ~ x^3/3 cancels twice the bits by which x lies below 1.
    with workprec(guard + (2*max(0, -mag(x)) if x else 0)):
        return +mpf(function(x, **{key: rounded(value) for key, value in (defaults | parameters).items()}))


def to_float64(y):
    """The float64 nearest to the mpf y, ties to even, subnormals rounded once."""
    if not isfinite(y) or not y:
        return float(y)
    sign = 1.0 if y > 0 else -1.0
    size = mag(y)
    if size < -1080:    # spares the quotient below a power of two with 10^38 bits
        return sign*0.0
    if size > 1023 and abs(y) >= OVERFLOW:
        return sign*np.inf
    numerator, denominator = to_rational(y._mpf_)
    return numerator/denominator  # Python rounds a quotient of integers correctly


def reference(name, order, x, **parameters):
    """Correctly rounded float64 values of a derivative at every element of the array x.

    Hyperparameters are rounded to the dtype of x (float32 for half precision). NaN stays NaN, an infinity
    gives the limit. -0.0 gives -0.0 where the function goes through the origin with a slope; the sign of
    any other zero says only from which side a result has underflowed.
    """
    x = np.asarray(x)
    dtype = np.float64 if x.dtype.kind in "biu" else np.result_type(x, np.float32)

    def at(value):
        if np.isnan(value):
            return np.nan
        if np.isinf(value):
            value = FAR if value > 0 else -FAR
        y = to_float64(exact(name, order, value, dtype, **parameters))
        if order == value == y == 0 and exact(name, 1, value, dtype, **parameters) != 0:
            return value
        return y

    return np.array([at(value) for value in x.ravel().tolist()], np.float64).reshape(x.shape)


_erf_of = np.vectorize(math.erf, otypes=[float])


def _plain_sigmoid(x):
    return 1/(1 + np.exp(-x))


def _nought(x, **parameters):
    return np.zeros_like(x)


def _turn(x):
    return np.sqrt(2/np.pi)*(x + 0.044715*x**3)


def _dturn(x):
    return np.sqrt(2/np.pi)*(1 + 3*0.044715*x**2)


_PLAIN_SWISH = (
    lambda x, beta: x*_plain_sigmoid(beta*x),
    lambda x, beta: _plain_sigmoid(beta*x)*(1 + beta*x*(1 - _plain_sigmoid(beta*x))),
    lambda x, beta: beta*(2 - beta*x*np.tanh(beta*x/2))/(4*np.cosh(beta*x/2)**2))

# The same activations as on a blackboard, in other forms than above where there are any.
PLAIN = {
    "step": (lambda x: np.where(x > 0, 1.0, 0.0), _nought, _nought),
    "identity": (lambda x: x, np.ones_like, _nought),
    "bent-identity": (
        lambda x: (np.sqrt(x**2 + 1) - 1)/2 + x,
        lambda x: x/(2*np.sqrt(x**2 + 1)) + 1,
        lambda x: 0.5*(x**2 + 1)**-1.5),
    "hard-shrink": (
        lambda x, lambda_: np.where((x < -lambda_) | (x > lambda_), x, 0.0),
        lambda x, lambda_: np.where((x < -lambda_) | (x > lambda_), 1.0, 0.0),
        _nought),
    "soft-shrink": (
        lambda x, lambda_: np.sign(x)*np.maximum(np.abs(x) - lambda_, 0.0),
        lambda x, lambda_: np.where((x < -lambda_) | (x > lambda_), 1.0, 0.0),
        _nought),
    "threshold": (
        lambda x, threshold, value: np.where(x > threshold, x, value),
        lambda x, threshold, value: np.where(x > threshold, 1.0, 0.0),
        _nought),
    "sigmoid": (
        _plain_sigmoid,
        lambda x: _plain_sigmoid(x)*(1 - _plain_sigmoid(x)),
        lambda x: _plain_sigmoid(x)*(1 - _plain_sigmoid(x))*(1 - 2*_plain_sigmoid(x))),
    "hard-sigmoid": (
        lambda x: np.clip(0.2*x + 0.5, 0, 1),
        lambda x: np.where((x < -2.5) | (x > 2.5), 0.0, 0.2),
        _nought),
    "h-sigmoid": (
        lambda x: np.clip(x/6 + 0.5, 0, 1),
        lambda x: np.where((x > -3) & (x < 3), 1/6, 0.0),
        _nought),
    "sparse-sigmoid": (
        lambda x: np.clip(x/2 + 0.5, 0, 1),
        lambda x: np.where((x > -1) & (x < 1), 0.5, 0.0),
        _nought),
    "log-sigmoid": (
        lambda x: -np.log(1 + np.exp(-x)),
        lambda x: 1/(1 + np.exp(x)),
        lambda x: -np.exp(x)/(1 + np.exp(x))**2),
    "tanh": (
        np.tanh,
        lambda x: 1 - np.tanh(x)**2,
        lambda x: -2*np.tanh(x)*(1 - np.tanh(x)**2)),
    "tanh-shrink": (
        lambda x: x - np.tanh(x),
        lambda x: np.tanh(x)**2,
        lambda x: 2*np.tanh(x)*(1 - np.tanh(x)**2)),
    "hard-tanh": (
        lambda x: np.clip(x, -1, 1),
        lambda x: np.where((x < -1) | (x > 1), 0.0, 1.0),
        _nought),
    "ReLU": (lambda x: np.maximum(x, 0.0), lambda x: np.where(x > 0, 1.0, 0.0), _nought),
    "ReLU6": (
        lambda x: np.clip(x, 0, 6),
        lambda x: np.where((x > 0) & (x < 6), 1.0, 0.0),
        _nought),
    "ReLU-k": (
        lambda x, k: np.clip(x, 0, k),
        lambda x, k: np.where((x > 0) & (x < k), 1.0, 0.0),
        _nought),
    "clipped-linear": (
        lambda x, low, high: np.minimum(np.maximum(x, low), high),
        lambda x, low, high: np.where((x > low) & (x < high), 1.0, 0.0),
        _nought),
    "squared-ReLU": (
        lambda x: np.where(x > 0, x*x, 0.0),
        lambda x: np.where(x > 0, 2*x, 0.0),
        lambda x: np.where(x > 0, 2.0, 0.0)),
    "StarReLU": (
        lambda x, scale, bias: np.where(x > 0, scale*x*x, 0.0) + bias,
        lambda x, scale, bias: np.where(x > 0, 2*scale*x, 0.0),
        lambda x, scale, bias: np.where(x > 0, 2*scale, 0.0)),
    "sparse-plus": (
        lambda x: np.where(x < -1, 0.0, np.where(x > 1, x, 0.25*x*x + 0.5*x + 0.25)),
        lambda x: np.clip(0.5*x + 0.5, 0, 1),
        lambda x: np.where((x > -1) & (x < 1), 0.5, 0.0)),
    "hard-swish": (
        lambda x: x*np.clip(x + 3, 0, 6)/6,
        lambda x: np.where(x <= -3, 0.0, np.where(x >= 3, 1.0, x/3 + 0.5)),
        lambda x: np.where((x > -3) & (x < 3), 1/3, 0.0)),
    "leaky-ReLU": (
        lambda x, alpha: np.where(x < 0, alpha*x, x),
        lambda x, alpha: np.where(x < 0, alpha, 1.0),
        _nought),
    "ELU": (
        lambda x, alpha: np.where(x < 0, alpha*(np.exp(x) - 1), x),
        lambda x, alpha: np.where(x < 0, alpha*np.exp(x), 1.0),
        lambda x, alpha: np.where(x < 0, alpha*np.exp(x), 0.0)),
    "SELU": (
        lambda x, lambda_, alpha: np.where(x < 0, lambda_*alpha*(np.exp(x) - 1), lambda_*x),
        lambda x, lambda_, alpha: np.where(x < 0, lambda_*alpha*np.exp(x), lambda_),
        lambda x, lambda_, alpha: np.where(x < 0, lambda_*alpha*np.exp(x), 0.0)),
    "CELU": (
        lambda x, alpha: np.where(x < 0, alpha*(np.exp(x/alpha) - 1), x),
        lambda x, alpha: np.where(x < 0, np.exp(x/alpha), 1.0),
        lambda x, alpha: np.where(x < 0, np.exp(x/alpha)/alpha, 0.0)),
    "softplus": (
        lambda x: np.log(1 + np.exp(x)),
        lambda x: np.exp(x)/(1 + np.exp(x)),
        lambda x: np.exp(x)/(1 + np.exp(x))**2),
    "softsign": (
        lambda x: x/(1 + np.abs(x)),
        lambda x: (1 + np.abs(x))**-2.0,
        lambda x: -2*np.sign(x)*(1 + np.abs(x))**-3.0),
    "squareplus": (
        lambda x, b: 0.5*(x + np.sqrt(x*x + b)),
        lambda x, b: 0.5 + 0.5*x*(x*x + b)**-0.5,
        lambda x, b: 0.5*b*(x*x + b)**-1.5),
    "ISRU": (
        lambda x, alpha: x*(1 + alpha*x*x)**-0.5,
        lambda x, alpha: (1 + alpha*x*x)**-1.5,
        lambda x, alpha: -3*alpha*x*(1 + alpha*x*x)**-2.5),
    "ISRLU": (
        lambda x, alpha: np.where(x < 0, x*(1 + alpha*x*x)**-0.5, x),
        lambda x, alpha: np.where(x < 0, (1 + alpha*x*x)**-1.5, 1.0),
        lambda x, alpha: np.where(x < 0, -3*alpha*x*(1 + alpha*x*x)**-2.5, 0.0)),
    "log-cosh": (
        lambda x: np.logaddexp(x, -x) - np.log(2),
        np.tanh,
        lambda x: 1 - np.tanh(x)**2),
    "arctan": (
        np.arctan,
        lambda x: 1/(x*x + 1),
        lambda x: -2*x/(x*x + 1)**2),
    "erf": (
        _erf_of,
        lambda x: 2*np.exp(-x*x)/np.sqrt(np.pi),
        lambda x: -4*x*np.exp(-x*x)/np.sqrt(np.pi)),
    "exponential": (np.exp, np.exp, np.exp),
    "Swish": _PLAIN_SWISH,
    "quick-GELU": _PLAIN_SWISH,
    "Dish": (
        lambda x: 0.5*x*(1 + x/np.sqrt(1 + x*x)),
        lambda x: 0.5 + (x**3 + 2*x)/(2*(1 + x*x)**1.5),
        lambda x: (2 - x*x)/(2*(1 + x*x)**2.5)),
    "Mish": (
        lambda x: x*np.tanh(np.log(1 + np.exp(x))),
        lambda x: (np.tanh(np.log(1 + np.exp(x)))
                   + x*_plain_sigmoid(x)/np.cosh(np.log(1 + np.exp(x)))**2),
        lambda x: ((2*_plain_sigmoid(x) + x*_plain_sigmoid(x)*(1 - _plain_sigmoid(x))
                    - 2*x*_plain_sigmoid(x)**2*np.tanh(np.log(1 + np.exp(x))))
                   /np.cosh(np.log(1 + np.exp(x)))**2)),
    "tanhExp": (
        lambda x: x*np.tanh(np.exp(x)),
        lambda x: np.tanh(np.exp(x)) + x*np.exp(x)*(1 - np.tanh(np.exp(x))**2),
        lambda x: (np.exp(x)*(1 - np.tanh(np.exp(x))**2)
                   *(2 + x - 2*x*np.exp(x)*np.tanh(np.exp(x))))),
    "GELU": (
        lambda x: x*(1 + _erf_of(x/np.sqrt(2)))/2,
        lambda x: (1 + _erf_of(x/np.sqrt(2)))/2 + x*np.exp(-x**2/2)/np.sqrt(2*np.pi),
        lambda x: (2 - x**2)*np.exp(-x**2/2)/np.sqrt(2*np.pi)),
    "GELU-tanh": (
        lambda x: 0.5*x*(1 + np.tanh(_turn(x))),
        lambda x: 0.5*(1 + np.tanh(_turn(x))) + 0.5*x*_dturn(x)/np.cosh(_turn(x))**2,
        lambda x: (_dturn(x) + 0.5*x*np.sqrt(2/np.pi)*6*0.044715*x
                   - x*_dturn(x)**2*np.tanh(_turn(x)))/np.cosh(_turn(x))**2),
    "ACON-C": (
        lambda x, p1, p2, beta: (p1 - p2)*x*_plain_sigmoid(beta*(p1 - p2)*x) + p2*x,
        lambda x, p1, p2, beta: p2 + (p1 - p2)*_PLAIN_SWISH[1](x, beta*(p1 - p2)),
        lambda x, p1, p2, beta: (p1 - p2)*_PLAIN_SWISH[2](x, beta*(p1 - p2))),
    "PAU": tuple(_plain_pau(order) for order in range(3)),
    "sinusoid": (np.sin, np.cos, lambda x: -np.sin(x)),
    "snake": (
        lambda x, a: x + (1 - np.cos(2*a*x))/(2*a),
        lambda x, a: 1 + np.sin(2*a*x),
        lambda x, a: 2*a*(np.cos(a*x)**2 - np.sin(a*x)**2)),
}


def plain(name, order, x, **parameters):
    """The blackboard formula in float64: good to about 1e-13 absolutely for |x| <= 15, and no further."""
    return PLAIN[name][order](np.asarray(x, np.float64), **(ORACLES[name].parameters | parameters))


# softmax and its kin mix the elements along an axis: p is the share of one, q = 1 - p that of the rest.

def _sums_of_others(terms):
    """Of all terms but the i-th; no term of the same sign cancels."""
    before = [0, *accumulate(terms[:-1])]
    behind = [0, *accumulate(terms[:0:-1])][::-1]
    return [a + b for a, b in zip(before, behind)]


@cache
def _shares(x):
    """p and q = 1 - p of a row of mpf, a tuple, each to full relative precision; what was the last row's is kept.

    A single +inf takes everything, as in the limit; several, or nothing but -inf, have none and give NaN.
    """
    if any(map(isnan, x)):
        return [nan]*len(x), [nan]*len(x)
    top = max(x)
    if top == inf and x.count(top) == 1:
        weights = [mpf(value == top) for value in x]
    else:
        weights = [exp(value - top) for value in x]
    rest, total = _sums_of_others(weights), fsum(weights)
    return [w/total for w in weights], [r/total for r in rest]


def _softmax_row(x):
    p, q = _shares(x)
    return p, [a*b for a, b in zip(p, q)], [a*b*(b - a) for a, b in zip(p, q)]


def _softmin_row(x):
    y, dy, d2y = _softmax_row(tuple(-value for value in x))
    return y, [-value for value in dy], d2y


def _log_softmax_row(x):
    p, q = _shares(x)
    log_p = [-log1p(b/a) if a else -inf for a, b in zip(p, q)]
    return log_p, q, [-a*b for a, b in zip(p, q)]


def _softmax_vjp(x, grad):
    p, _ = _shares(x)
    h = [g - grad[x.index(max(x))] for g in grad]       # exact, and 0 where the share may be all but 1
    mean = fdot(p, h)
    return [a*(b - mean) for a, b in zip(p, h)]


def _softmin_vjp(x, grad):
    return [-value for value in _softmax_vjp(tuple(-value for value in x), grad)]


def _log_softmax_vjp(x, grad):
    p, q = _shares(x)
    return [b*g - a*others for a, b, g, others in zip(p, q, grad, _sums_of_others(grad))]


# sparsemax and entmax 1.5: thresholds as their authors find them, of the sorted row.

def _shifted(x):
    """x less its largest; an infinite one has the limit 0, and all others -inf."""
    top = max(x)
    return [mpf(0) if value == top else value - top for value in x]


@cache
def _sparsemax_threshold(x):
    """Algorithm 1 of Martins and Astudillo 2016: (the shifted row, tau); NaN where the row has NaN."""
    if any(map(isnan, x)):
        return [nan]*len(x), nan
    z = _shifted(x)
    total, tau = mpf(0), None
    for k, value in enumerate(sorted(z, reverse=True), 1):
        if value == -inf or 1 + k*value <= total + value:
            break
        total += value
        tau = (total - 1)/k
    return z, tau


@cache
def _entmax_threshold(x):
    """Algorithm 2 of Peters, Niculae and Martins 2019: (half the shifted row, tau); NaN where the row has NaN."""
    if any(map(isnan, x)):
        return [nan]*len(x), nan
    z = [value/2 for value in _shifted(x)]
    ordered, tau = sorted(z, reverse=True), None
    for k in range(1, len(z) + 1):
        if ordered[k - 1] == -inf:
            break
        mean = fsum(ordered[:k])/k
        spread = fsum((value - mean)**2 for value in ordered[:k])
        if spread > 1:
            break
        candidate = mean - sqrt((1 - spread)/k)
        if candidate >= ordered[k - 1]:
            break
        tau = candidate
    return z, tau


def _excess(x, threshold):
    z, tau = threshold(tuple(x))
    return [value - tau if not value <= tau else mpf(0) for value in z]


def _sparsemax_row(x):
    s = _excess(x, _sparsemax_threshold)
    share = 1/fsum(value > 0 for value in s) if not any(map(isnan, s)) else nan
    return s, [(1 - share)*(value > 0) if not isnan(value) else nan for value in s], [0*value for value in s]


def _entmax_row(x):
    s = _excess(x, _entmax_threshold)
    p = [value/fsum(s) for value in s]
    k = fsum(value > 0 for value in s)
    return ([value**2 for value in s], [a*(1 - b) for a, b in zip(s, p)],
            [(1 - 3*b + 3*b**2 - k*b**3)/2 if not a == 0 else mpf(0) for a, b in zip(s, p)])


def _vjp_of_weights(w, grad):
    grad = [g if not a == 0 else mpf(0) for a, g in zip(w, grad)]
    mean = fdot(w, grad)/fsum(w)
    return [a*(g - mean) for a, g in zip(w, grad)]


def _sparsemax_vjp(x, grad):
    return _vjp_of_weights([mpf(value > 0) if not isnan(value) else nan for value in _excess(x, _sparsemax_threshold)],
                           grad)


def _entmax_vjp(x, grad):
    return _vjp_of_weights(_excess(x, _entmax_threshold), grad)


SOFTMAX_ROWS = {"softmax": _softmax_row, "softmin": _softmin_row, "log-softmax": _log_softmax_row,
                "sparsemax": _sparsemax_row, "entmax-1.5": _entmax_row}
SOFTMAX_VJPS = {"softmax": _softmax_vjp, "softmin": _softmin_vjp, "log-softmax": _log_softmax_vjp,
                "sparsemax": _sparsemax_vjp, "entmax-1.5": _entmax_vjp}
SPARSE = {"sparsemax": _sparsemax_threshold, "entmax-1.5": _entmax_threshold}


def by_rows(rule, axis, *arrays):
    """Apply a rule on rows of mpf along `axis` of non-empty arrays of one shape (None: over all in C order).

    `rule` returns several rows; each becomes a float64 array of the input's shape.
    """
    arrays = [np.asarray(array) for array in arrays]
    turned = [array.reshape(1, -1) if axis is None else np.moveaxis(array, axis, -1) for array in arrays]
    shape = turned[0].shape
    rows = zip(*(array.reshape(-1, shape[-1]).tolist() for array in turned))
    with workprec(512):
        results = np.array([[[to_float64(value) for value in result]
                             for result in rule(*(tuple(map(mpf, one)) for one in row))]
                            for row in rows])
    folded = (results[:, k].reshape(shape) for k in range(results.shape[1]))
    return [array.reshape(arrays[0].shape) if axis is None else np.moveaxis(array, -1, axis)
            for array in folded]


def softmax_reference(name, x, axis=-1, temperature=1):
    """y, dy_i/dx_i and d2y_i/dx_i^2 of an activation of rows, correctly rounded to float64."""
    def row(x):
        y, d, d2 = SOFTMAX_ROWS[name](tuple(value/temperature for value in x))
        return y, [value/temperature for value in d], [value/mpf(temperature)**2 for value in d2]
    return by_rows(row, axis, x)


def vjp(name, x, grad, axis=-1, temperature=1):
    """sum_j grad_j dy_j/dx_i of an activation of rows, correctly rounded to float64."""
    def row(x, grad):
        return [[value/temperature for value in SOFTMAX_VJPS[name](tuple(value/temperature for value in x), grad)]]
    return by_rows(row, axis, x, grad)[0]


def sparse_terms(name, x, grad, temperature=1):
    """The same of sparsemax and entmax 1.5: with tau, s and w as in fastnn/core/sparsemax.pxd, of y that is |tau|, times s
    for a square; of w, as of s, |tau|, or of sparsemax's 1. k elements are in the support. z, of which these are, is
    divided by the temperature."""
    def row(x, grad):
        x = tuple(value/temperature for value in x)
        z, tau = SPARSE[name](x)
        s = _excess(x, SPARSE[name])
        size, k = abs(tau), max(fsum(value > 0 for value in s), 1)
        if name == "sparsemax":
            among = [mpf(value > 0) for value in s]
            mean = fdot(among, map(abs, grad))/k
            return [size]*len(x), [mpf(1)]*len(x), [mpf(0)]*len(x), [a*max(abs(g), mean) for a, g in zip(among, grad)]
        whole, most = fsum(s), max(abs(g) for g, value in zip(grad, s) if value > 0)
        return ([max(value, mpf(1e-16))*size for value in s], [size]*len(x),
                [max(mpf(1), k*(value/whole)**2*size/whole) for value in s],
                [size*max(abs(g), fdot(s, map(abs, grad))/whole) + value*k*size*most/whole if value else mpf(0)
                 for g, value in zip(grad, s)])
    value, first, second, product = by_rows(row, -1, x, grad)
    factor = float(1/temperature)
    return value, first*factor, second*factor**2, product*factor


def softmax_terms(name, x, grad, temperature=1):
    """The largest term of each result of rows: of y, dy, d2y (in `softmax_reference`'s order) and the product, float64.

    With y the shares, q = 1 - y and c the gradient at the first largest element, that is of y, of y q (log-softmax: q), of
    y q, and of y ((g - c) - sum(y (g - c))) (log-softmax: q g - y (sum(g) - g)). A sum counts as that of its terms'
    magnitudes, a share below the normal numbers as the least of these.
    """
    if name in SPARSE:
        return sparse_terms(name, x, grad, temperature)
    x, grad = np.asarray(x), np.asarray(grad, np.float64)
    y, q = by_rows(lambda row: _shares(tuple(value/temperature for value in row)), -1, -x if name == "softmin" else x)
    tiny, factor = float(np.finfo(x.dtype).smallest_normal), float(1/temperature)
    normal = np.maximum(y, tiny)
    if name == "log-softmax":
        magnitude = np.abs(grad)
        others = magnitude @ (1 - np.eye(x.shape[-1]))
        product = np.maximum(np.maximum(q, tiny)*magnitude, normal*others)
        return np.zeros_like(y), q*factor, y*q*factor**2, product*factor
    h = np.abs(grad - np.take_along_axis(grad, y.argmax(axis=-1)[..., None], -1))
    return y, y*q*factor, y*q*factor**2, normal*np.maximum(h, (normal*h).sum(axis=-1, keepdims=True))*factor
