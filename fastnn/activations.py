"""The catalogue of activations: one class each, with its hyperparameters and the kernel that computes it.

The formulas - f, f' and f'' side by side - stand in fastnn/core: piecewise.pxd, quadratic.pxd, algebraic.pxd,
transcendental.pxd, periodic.pxd, sigmoidal.pxd, gated.pxd, softmax.pxd.
"""
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from . import bounds
from .core import kernels
from .core.elementwise import ElementwiseActivation
from .core.rows import RowActivation
from .dialects import row
from .hyperparameters import Choice, Configurable, Hyperparameter
from .registry import Registry

if TYPE_CHECKING:                   # written by the build: tools/names.py
    from ._names import ActivationName, Source

_registry = Registry("activator")
# What an entry is. The elementwise ones are functions of a number, with f' and f''; those of rows work along axes; gated
# units halve an axis or take two arrays, concatenated ones double it; learnable ones have parameters; random ones draw in
# training; a layer has weights.
KINDS = ("elementwise", "rows", "gated", "concatenated", "learnable", "random", "layer")


def get_act(name: "ActivationName | str", *args: Any, like: "Source | None" = None, learn: Any = None,
            **kwds: Any) -> "Activation | _AlongAxis | Any":
    """Make the activation of that name.

    Parameters
    ----------
    name : str
        One of `activations()`; case, spaces, - and _ do not count.
    *args, **kwds : float
        Its hyperparameters, by position or name; `help(get_act(name))` shows them.
    like : {"torch", "optax", "jax", "keras", "chainer", "sklearn", "dlfs", "article"}, optional
        Whose name it is: that library's arguments and defaults are taken. "optax" means jax.nn, as "jax" does, "dlfs" the
        book "Deep Learning from Scratch", "article" article A (`help(fastnn.articles)`).
    learn : str or tuple of str, optional
        Hyperparameters that become parameters, which are learned: get_act("Swish", learn="beta", channels=64, axis=1).

    Returns
    -------
    Activation
        With `forward(x)`, `backward(x, grad=g)`, `d2y(x)` and `value_and_grad(x)`, for arrays of any shape; float32 and
        float64 are kept, float16 is computed in float32, integers in float64.

    Raises
    ------
    ValueError
        For an unknown name or source, with the nearest name, and for a hyperparameter out of its range.
    TypeError
        For an unknown hyperparameter, with the nearest name.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import get_act
    >>> act = get_act("leaky-ReLU", alpha=0.1)
    >>> x = np.array([-2.0, 3.0])
    >>> act.forward(x)
    array([-0.2,  3. ])
    >>> act.backward(x, grad=np.array([10.0, 10.0]))
    array([ 1., 10.])
    """
    found = row(_registry, name, like)
    if learn is not None:
        if like is not None:
            raise TypeError("learn= goes with the catalogue's own names, not with like=")
        from .learnable import learned_form
        found = learned_form(found, learn)
    return found(*args, **kwds)


def activations(kind: str | None = None) -> list[str]:
    """The names of all activations, or of those of one kind: "elementwise", "rows", "gated", "concatenated", "learnable",
    "random", "layer".

    Raises ValueError for another kind.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, KINDS))}, not {kind!r:.80}")
    return [name for name in _registry.names() if kind in (None, _registry[name].kind)]


class CataloguedActivation(Configurable):
    """What all activations share, maxout included: a name, hyperparameters, a place in the registry, a kind."""

    maker = "get_act"
    kind = None                 # one of KINDS
    learns = ()                 # the hyperparameters that get_act(learn=...) makes parameters of
    catalogue = _registry
    accuracy = ""               # a sentence for the docstring of each catalogue row

    def __init_subclass__(cls, name=None, kernel=None, aliases=(), like=None, **kwds):
        super().__init_subclass__(**kwds)
        if name:
            cls.name, cls.kernel, cls.like = name, kernel or cls.kernel, like
            if cls.__doc__ and cls.accuracy:            # python -OO has no docstrings
                cls.__doc__ = f"{cls.__doc__.rstrip()}\n\n    {cls.accuracy}\n    "
            (cls.catalogue.dialect(like) if like else cls.catalogue).add(name, cls, aliases)

    def update(self, *args: Any, **kwds: Any) -> None:
        """Nothing: an activation without weights has nothing to learn (the articles call this on every layer)."""


class Activation(CataloguedActivation, ElementwiseActivation):
    __doc__ = ElementwiseActivation.__doc__
    kind = "elementwise"
    accuracy = bounds.ELEMENTWISE

    _alike_at_value = False             # whether f'(f(x)) is f'(x) for every x: then x may have become f(x) in place
    _by_value = False                   # whether f' is a function of f(x), which the kernel has then

    def _hyperparameter_set(self):
        self._bind(kernels.ELEMENTWISE[self.kernel], self._kernel_parameters())
        self._known_by_value(self._alike_at_value, self._by_value)

    def _kernel_parameters(self):
        return tuple(self.__dict__[k] for k in self.hyperparameters)

    def __reduce__(self):
        return type(self), tuple(self.__dict__[k] for k in self.hyperparameters)


class Step(Activation, name="step", kernel="step"):
    """1 above 0, else 0. f' = f'' = 0."""

    _alike_at_value = _by_value = True


class Identity(Activation, name="identity", kernel="identity", aliases=("linear",)):
    """x."""

    _alike_at_value = _by_value = True


class BentIdentity(Activation, name="bent-identity", kernel="bent_identity"):
    """(sqrt(x^2 + 1) - 1)/2 + x."""


class HardShrink(Activation, name="hard-shrink", kernel="hard_shrink"):
    """0 for |x| <= lambda_, else x."""

    _alike_at_value = _by_value = True

    lambda_ = Hyperparameter(0.5, at_least=0)


class SoftShrink(Activation, name="soft-shrink", kernel="soft_shrink"):
    """0 for |x| <= lambda_, else x moved by lambda_ towards 0."""

    _by_value = True

    lambda_ = Hyperparameter(0.5, at_least=0)


class Threshold(Activation, name="threshold", kernel="threshold"):
    """x above `threshold`, else `value`."""

    threshold = Hyperparameter()
    value = Hyperparameter()

    @property
    def _by_value(self):
        return self.value <= self.threshold


class Sigmoid(Activation, name="sigmoid", kernel="sigmoid", aliases=("logistic",)):
    """1/(1 + exp(-x))."""

    _by_value = True


class HardSigmoid(Activation, name="hard-sigmoid", kernel="hard_sigmoid"):
    """x/5 + 1/2, clipped to [0, 1] (article A, Keras 2, Chainer; PyTorch, JAX and Keras 3 have h-sigmoid)."""

    _by_value = True


class HSigmoid(Activation, name="h-sigmoid", kernel="ramp"):
    """(x + 3)/6, clipped to [0, 1]; f'(-3) = f'(3) = 0.  Howard et al. 2019, arXiv 1905.02244."""

    _by_value = True

    def _kernel_parameters(self):
        return (3,)


class SparseSigmoid(Activation, name="sparse-sigmoid", kernel="ramp"):
    """(x + 1)/2, clipped to [0, 1], the derivative of sparse-plus; f'(-1) = f'(1) = 0."""

    _by_value = True

    def _kernel_parameters(self):
        return (1,)


class LogSigmoid(Activation, name="log-sigmoid", kernel="log_sigmoid"):
    """-log(1 + exp(-x))."""

    _by_value = True


class Tanh(Activation, name="tanh", kernel="tanh"):
    """tanh(x)."""

    _by_value = True


class TanhShrink(Activation, name="tanh-shrink", kernel="tanh_shrink"):
    """x - tanh(x)."""


class HardTanh(Activation, name="hard-tanh", kernel="hard_tanh"):
    """x, clipped to [-1, 1]; f'(-1) = f'(1) = 1."""

    _by_value = True


class ReLU(Activation, name="ReLU", kernel="relu"):
    """max(x, 0); f'(0) = 0."""

    hints = {**dict.fromkeys(("negative_slope", "alpha"), "leaky-ReLU has a slope below 0"),
             "max_value": "ReLU-k has k for it"}

    _alike_at_value = _by_value = True


class ReLU6(Activation, name="ReLU6", kernel="clipped"):
    """x, clipped to [0, 6]; f'(0) = f'(6) = 0."""

    _alike_at_value = _by_value = True

    def _kernel_parameters(self):
        return 0, 6


class ReLUk(Activation, name="ReLU-k", kernel="clipped", aliases=("clipped-ReLU",)):
    """x, clipped to [0, k]; f'(0) = f'(k) = 0."""

    _alike_at_value = _by_value = True

    k = Hyperparameter(6.0, at_least=1e-30, below=1e30)

    def _kernel_parameters(self):
        return 0, self.k


class ClippedLinear(Activation, name="clipped-linear", kernel="clipped"):
    """x, clipped to [low, high]; f'(low) = f'(high) = 0 (PyTorch's Hardtanh)."""

    _alike_at_value = _by_value = True

    low = Hyperparameter(-1.0, above=-1e30, below=1e30)
    high = Hyperparameter(1.0, above=-1e30, below=1e30)

    def _check_together(self, values):
        found = {**self.__dict__, **values}
        if found["low"] > found["high"]:
            raise ValueError(f"low must be at most high, not {found['low']!r} with {found['high']!r}")


class SquaredReLU(Activation, name="squared-ReLU", kernel="star_relu", aliases=("ReLU2", "ReLU-squared")):
    """max(x, 0)^2; f''(0) = 0.  So et al. 2021, arXiv 2109.08668."""

    def _kernel_parameters(self):
        return 1, 0


class StarReLU(Activation, name="StarReLU", kernel="star_relu"):
    """scale max(x, 0)^2 + bias; f''(0) = 0.  Yu et al. 2022, arXiv 2210.13452."""

    scale = Hyperparameter(0.8944, at_least=1e-6, below=1e6)
    bias = Hyperparameter(-0.4472, above=-1e6, below=1e6)


class _Kinked(Activation):
    """Two pieces that meet at 0, where f' is that of the upper one, 1 or lambda_, unless `_lower_at_zero`."""

    _lower_at_zero = False

    def _kernel_parameters(self):
        return *super()._kernel_parameters(), self._lower_at_zero


class LeakyReLU(_Kinked, name="leaky-ReLU", kernel="leaky_relu"):
    """x, below 0 alpha x; f'(0) = 1.  alpha may be 0, which is ReLU but for f'(0), or negative."""

    alpha = Hyperparameter(1e-2, above=-1e30, below=1e30)       # as in those that follow: with room in float32's range

    @property
    def _by_value(self):
        return self.alpha > 0                                   # but where alpha x vanishes

    _alike_at_value = _by_value


class ELU(_Kinked, name="ELU", kernel="elu"):
    """x, below 0 alpha (exp(x) - 1); f'(0) = 1, f''(0) = 0.  Clevert et al. 2015, arXiv 1511.07289."""

    learns = ("alpha",)
    alpha = Hyperparameter(1.0, above=-1e12, below=1e12)

    @property
    def _by_value(self):
        return self.alpha > 0


class SELU(_Kinked, name="SELU", kernel="selu"):
    """lambda_ x, below 0 lambda_ alpha (exp(x) - 1); f'(0) = lambda_.  Klambauer et al. 2017, arXiv 1706.02515."""

    _by_value = True

    lambda_ = Hyperparameter(1.0507, at_least=1e-6, below=1e6)
    alpha = Hyperparameter(1.67326, at_least=1e-6, below=1e6)


class CELU(Activation, name="CELU", kernel="celu"):
    """x, below 0 alpha (exp(x/alpha) - 1).  Barron 2017, arXiv 1704.07483."""

    _by_value = True

    alpha = Hyperparameter(1.0, at_least=1e-12, below=1e12)


class Softplus(Activation, name="softplus", kernel="softplus"):
    """log(1 + exp(x))."""

    _by_value = True


class SparsePlus(Activation, name="sparse-plus", kernel="sparse_plus"):
    """(x + 1)^2/4 between -1 and 1, 0 below, x above; f''(-1) = f''(1) = 0 (jax.nn's)."""


class Squareplus(Activation, name="squareplus", kernel="squareplus"):
    """(x + sqrt(x^2 + b))/2.  Barron 2021, arXiv 2112.11687."""

    _by_value = True

    b = Hyperparameter(4.0, at_least=1e-12, below=1e12)


class ISRU(Activation, name="ISRU", kernel="isru"):
    """x/sqrt(1 + alpha x^2).  Carlile et al. 2017, arXiv 1710.09967."""

    alpha = Hyperparameter(1.0, at_least=1e-6, below=1e6)

    def _kernel_parameters(self):
        return self.alpha, self.alpha


class ISRLU(Activation, name="ISRLU", kernel="isru"):
    """x, below 0 x/sqrt(1 + alpha x^2).  Carlile et al. 2017, arXiv 1710.09967."""

    alpha = Hyperparameter(1.0, at_least=1e-6, below=1e6)

    def _kernel_parameters(self):
        return self.alpha, 0


class LogCosh(Activation, name="log-cosh", kernel="log_cosh"):
    """log(cosh(x)), whose derivative is tanh."""


class Arctan(Activation, name="arctan", kernel="arctan", aliases=("atan",)):
    """arctan(x)."""


class Erf(Activation, name="erf", kernel="erf"):
    """2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""


class Exponential(Activation, name="exponential", kernel="exponential", aliases=("exp",)):
    """exp(x)."""

    _by_value = True


class Softsign(Activation, name="softsign", kernel="softsign"):
    """x/(1 + |x|); f''(0) = 0."""

    _by_value = True


class Swish(Activation, name="Swish", kernel="swish", aliases=("SiLU",)):
    """x sigmoid(beta x); with beta = 1 the SiLU.  Ramachandran et al. 2017, arXiv 1710.05941."""

    learns = ("beta",)
    beta = Hyperparameter(1.0, at_least=1e-9, below=1e9)        # beyond, scaled exponentials leave float32's range


class QuickGELU(Swish, name="quick-GELU", kernel="swish"):
    """x sigmoid(beta x), beta = 1.702: an approximation of GELU.  Hendrycks and Gimpel 2016, arXiv 1606.08415."""

    learns = Swish.learns
    beta = Hyperparameter(1.702, at_least=1e-9, below=1e9)


class HardSwish(Activation, name="hard-swish", kernel="hard_swish", aliases=("h-swish", "hard-SiLU")):
    """x (x + 3)/6 between -3 and 3, 0 below, x above; f'(-3) = 0, f'(3) = 1, f''(-3) = f''(3) = 0.

    Howard et al. 2019, arXiv 1905.02244.
    """


class Dish(Activation, name="Dish", kernel="dish"):
    """x (1 + x/sqrt(1 + x^2))/2: much like Mish, without exponentials (Thinc's)."""


class Mish(Activation, name="Mish", kernel="mish"):
    """x tanh(log(1 + exp(x))).  Misra 2019, arXiv 1908.08681."""


class TanhExp(Activation, name="tanhExp", kernel="tanhexp"):
    """x tanh(exp(x)).  Liu and Di 2020, arXiv 2003.09855."""


class GELU(Activation, name="GELU", kernel="gelu"):
    """x Phi(x), Phi the normal distribution function: the exact form.  Hendrycks and Gimpel 2016, arXiv 1606.08415."""

    hints = {"approximate": "GELU-tanh is the form with tanh, this one is exact"}


class GELUTanh(Activation, name="GELU-tanh", kernel="gelu_tanh"):
    """x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))/2: an approximation of GELU.

    Hendrycks and Gimpel 2016, arXiv 1606.08415.
    """


class ACONC(Activation, name="ACON-C", kernel="acon", aliases=("ACON",)):
    """(p1 - p2) x sigmoid(beta (p1 - p2) x) + p2 x: smoothly between p1 x and p2 x.  Ma et al. 2020, arXiv 2009.04759.

    Where p1 and p2 have opposite signs it crosses zero, and is exact to the bounds of its larger summand there.
    """

    learns = ("p1", "p2", "beta")
    p1 = Hyperparameter(1.0, above=-1e6, below=1e6)
    p2 = Hyperparameter(0.0, above=-1e6, below=1e6)
    beta = Hyperparameter(1.0, at_least=1e-9, below=1e9)


class Sinusoid(Activation, name="sinusoid", kernel="sinusoid", aliases=("sine", "sin")):
    """sin(x); NaN at infinity.

    Parascandolo et al. 2017, "Taming the waves: sine as activation function in deep neural networks".
    """


class Snake(Activation, name="snake", kernel="snake"):
    """x + sin(a x)^2/a; f' and f'' are NaN at infinity.  Ziyin et al. 2020, arXiv 2006.08195."""

    words = {"alpha": ("a",)}
    a = Hyperparameter(1.0, at_least=1e-6, below=1e6)


class PAU(Activation, name="PAU", kernel="pau", aliases=("rational",)):
    """(a0 + a1 x + ... + a5 x^5)/(1 + |b1 x + ... + b4 x^4|).  Molina et al. 2019, arXiv 1907.06732 ("safe PAU").

    The default approximates leaky ReLU (alpha = 0.01) from -3 to 3: the authors' coefficients, for 1 + |b1 x| + ... +
    |b4 x^4|. tools/pade.py prints the fit of the formula here. Coefficients may be given as lists,
    numerator=[a0, ..., am], denominator=[b1, ..., bn], with n from 1 to 4 and m up to n + 1. Where the polynomial
    between the bars is 0 its derivative counts as 0. f keeps its bounds where the numerator crosses zero; with
    coefficients of very different sizes they are relative to the largest term. With m below n + 1, f grows slower than
    x, and from |x| = 13 on errors are within twice the bounds, relative to f, f/x and f/x^2.
    """

    words = {"numerator": ("a0", "a1", "a2", "a3", "a4", "a5"), "denominator": ("b1", "b2", "b3", "b4")}

    a0 = Hyperparameter(0.02979246, above=-1e6, below=1e6)
    a1 = Hyperparameter(0.61837738, above=-1e6, below=1e6)
    a2 = Hyperparameter(2.32335207, above=-1e6, below=1e6)
    a3 = Hyperparameter(3.05202660, above=-1e6, below=1e6)
    a4 = Hyperparameter(1.48548002, above=-1e6, below=1e6)
    a5 = Hyperparameter(0.25103717, above=-1e6, below=1e6)
    b1 = Hyperparameter(1.14201226, above=-1e6, below=1e6)
    b2 = Hyperparameter(4.39322834, above=-1e6, below=1e6)
    b3 = Hyperparameter(0.87154450, above=-1e6, below=1e6)
    b4 = Hyperparameter(0.34720652, above=-1e6, below=1e6)

    def __init__(self, *args: Any, **kwds: Any) -> None:
        for word, names in self.words.items():
            value = kwds.get(word)
            if isinstance(value, (tuple, list, np.ndarray)) and 0 < len(value) < len(names):
                kwds[word] = [*value, *(0,)*(len(names) - len(value))]
        super().__init__(*args, **kwds)

    def _check_together(self, values):
        found = {**self.__dict__, **values}
        degree, above = _degree(found), [name for name in self.words["numerator"][_degree(found) + 2:] if found[name]]
        if not degree or abs(found[f"b{degree}"]) < 1e-6:
            raise ValueError("the denominator must have a last coefficient that is at least 1e-6 in size, one of b1 to b4")
        if above:
            raise ValueError(f"the denominator has degree {degree}, and the numerator must have {degree + 1} at most: "
                             f"{above[0]} must be 0, not {found[above[0]]!r}")


def _degree(coefficients):
    """Of the denominator, 0 where it is 1."""
    return max((k for k in range(1, 5) if coefficients[f"b{k}"]), default=0)


def checked_axis(value):
    """None, an integer, or a tuple of two integers and more. Raises TypeError, ValueError for an axis named twice."""
    if isinstance(value, (tuple, list)) and len(value):
        axes = tuple(map(checked_axis, value))
        if None in axes or any(isinstance(axis, tuple) for axis in axes):
            raise TypeError(f"axis must be an integer, a tuple of them or None, not {value!r}")
        if len(set(axes)) < len(axes):
            raise ValueError(f"axis names one twice: {value!r}")
        return axes if len(axes) > 1 else axes[0]
    try:
        return None if value is None else index(value)
    except TypeError:
        raise TypeError(f"axis must be an integer, a tuple of them or None, not {value!r}") from None


class _AlongAxis(CataloguedActivation, RowActivation):
    __doc__ = RowActivation.__doc__
    kind = "rows"
    accuracy = bounds.ROWS

    axis = Choice(-1, checked_axis)
    product_by_value = True                 # y (g - sum(g y)) keeps its digits with a rounded y

    def _hyperparameter_set(self):
        self._bind(kernels.ROWS[self.kernel], self.axis, self.product_by_value, self._kernel_parameters())

    def _kernel_parameters(self):
        return ()

    __reduce__ = Activation.__reduce__


class _Tempered(_AlongAxis):
    __doc__ = RowActivation.__doc__

    temperature = Hyperparameter(1.0, at_least=1e-12, below=1e12)

    def _kernel_parameters(self):
        return (self.temperature,)


class Softmax(_Tempered, name="softmax", kernel="softmax"):
    """exp(x_i/T) / sum_j exp(x_j/T) along `axis` (a tuple: along these together; None: over the whole array).

    T is the `temperature`: the smaller, the more the largest elements have.
    """


class Softmin(_Tempered, name="softmin", kernel="softmin"):
    """exp(-x_i/T) / sum_j exp(-x_j/T) along `axis` (a tuple: along these together; None: over the whole array).

    T is the `temperature`.
    """


class LogSoftmax(_Tempered, name="log-softmax", kernel="log_softmax"):
    """x_i/T - log(sum_j exp(x_j/T)) along `axis` (a tuple: along these together; None: over the whole array).

    T is the `temperature`.
    """

    product_by_value = False                # exp(y) would multiply y's rounding by |y|: only where x is not given


class Sparsemax(_Tempered, name="sparsemax", kernel="entmax"):
    """max(x_i/T - tau, 0) along `axis`, with tau such that these sum to one.  Martins and Astudillo 2016, arXiv 1602.02068.

    T is the `temperature`: the smaller, the fewer elements are above 0. The result is the distribution nearest to x/T.
    Its support is where it is above 0. The derivative there is that of x/T minus its mean over the support, and 0
    elsewhere, also at the support's border; gradients where y is 0 have no effect. Rows with NaN are NaN; several
    infinite maxima get equal shares.
    """

    accuracy = bounds.SPARSE_ROWS

    def _kernel_parameters(self):
        return 2, self.temperature          # alpha of alpha-entmax


class Entmax15(_Tempered, name="entmax-1.5", kernel="entmax", aliases=("entmax", "entmax15")):
    """max(x_i/(2 T) - tau, 0)^2 along `axis`, with tau such that these sum to one: between softmax and sparsemax.

    T is the `temperature`. Exact alpha-entmax of alpha = 1.5. Peters, Niculae and Martins 2019, arXiv
    1905.05702. Support, NaN and infinities as in sparsemax.
    """

    accuracy = bounds.SPARSE_ROWS

    def _kernel_parameters(self):
        return 1.5, self.temperature
