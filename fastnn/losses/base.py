"""What all error functions share: predictions and targets by name, reductions, weights, what is kept for `backward`."""
import math
from operator import index
from typing import Any

import numpy as np

from .. import bounds
from ..core import kernels
from ..core import losses as compiled
from ..core.elementwise import ElementwiseLoss
from ..core.pair_losses import SHARE, reduced
from ..core.row_losses import RowLoss
from ..hyperparameters import Configurable, Option
from ..registry import Registry, hint

registry = Registry("error function")
REDUCTIONS = ("none", "mean", "sum")
MISUNDERSTOOD = {           # arguments of a call that users know -> what is said of them
    **dict.fromkeys(("weight", "weights", "sample_weights", "w"), " (those of samples are sample_weight=)"),
    **dict.fromkeys(("axis", "dim"), " (rows lie along the last axis)"), "reduce": " (did you mean reduction?)"}
OF_A_CALL = "weights of samples are given to a call: sample_weight="
WEIGHTS = ("weight", "weights", "sample_weight", "sample_weights", "w")
CALL = ("y", "t", "x", "out", "keep", "sample_weight", "reduction", "y_pred", "y_true")         # arguments of calls


def checked_reduction(value):
    """Raises TypeError or ValueError for anything but one of `REDUCTIONS`."""
    if not isinstance(value, str):
        raise TypeError(f"reduction must be one of {', '.join(map(repr, REDUCTIONS))}, not {value!r:.80}")
    if value not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(map(repr, REDUCTIONS))}, "
                         f"not {value!r:.80}{hint(value, REDUCTIONS)}")
    return value


def checked_flag(name):
    """A check of a hyperparameter that is True or False."""
    def checked(value):
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{name} must be True or False, not {value!r:.80}")
        return bool(value)
    return checked


def checked_ignored_label(value):
    """None or an integer. Raises TypeError."""
    if value is None:
        return None
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise TypeError(f"ignore_label must be an integer or None, not {value!r:.80}")
    return index(value)


class Reduction(Option):
    """What a call returns if it does not say itself: the error of each element or row, their mean, or their sum."""

    def checked(self, value):
        return checked_reduction(value)

    def example(self):
        return self.default


def made(cls, values):
    """What a pickle stands for."""
    return cls(**values)


class Loss(Configurable):
    """What all error functions share.

    Predictions come first, as in PyTorch and optax; Keras and scikit-learn have it the other way round, so
    `err(y_true=t, y_pred=y)` takes their names in any order. `err(y, t, ...)` is `forward`.

    `forward(y, t)` and `backward(y, t)` may be called in several threads at once; what `forward` keeps, for `total_error`
    and `backward` without arguments, is the latest thread's. That is the gradient, computed in the same pass: y and t
    may change afterwards.

    Parameters
    ----------
    reduction : {"none", "mean", "sum"}
        What is returned of the errors: each, their mean or their sum, a float, summed in double precision. Gradients are
        those of what is returned. Every call takes it, too.

    Attributes
    ----------
    error : ndarray or scalar
        What `forward` returned last; 0 before that.
    """

    maker = "get_err"
    hints = dict.fromkeys(WEIGHTS, OF_A_CALL)
    inputs: tuple[str, ...] = ("y", "t")        # the arrays of a call, in order
    peers: dict[str, tuple[str, dict[str, Any]]] = {}       # library -> what its name is there, and its arguments
    error: Any = 0
    _attributes = ("error",)
    _gradient = None            # of the last forward, handed out as copies
    reduction = Reduction("none", "What a call returns: each error, or their \"mean\" or \"sum\".")

    def __init_subclass__(cls, name=None, kernel=None, aliases=(), **kwds):
        super().__init_subclass__(**kwds)
        if name:
            cls.name, cls.kernel = name, kernel
            if cls.__doc__:                             # python -OO has no docstrings
                cls.__doc__ = f"{cls.__doc__.rstrip()}\n\n    {bounds.of_loss(name)}\n    "
            registry.add(name, cls, aliases)

    def _kernel_constants(self, names):
        """The values of these constants of the formula."""
        values = self.constants(self)
        return tuple(float(values[name]) for name in names)

    @staticmethod
    def constants(h):
        """The formula's constants by name: by default the hyperparameters of these names."""
        return {name: getattr(h, name) for name in h.hyperparameters}

    def total_error(self) -> float:
        """The mean of `error`, a float, summed in double precision; NaN where there are no elements."""
        return float(np.mean(self.error, dtype=np.float64)) if np.size(self.error) else math.nan

    def __reduce__(self):
        cls = type(self)
        return made, (cls, {name: self.__dict__[name] for name in (*cls.hyperparameters, *cls.options)})

    def _operands(self, y, t, y_pred, y_true, unknown):
        """Predictions and targets, given by position or by the names that Keras and scikit-learn have."""
        if unknown:
            self._refuse(unknown, CALL)
        if y_pred is None and y_true is None:
            missing = [what for what, each in zip(("predictions", "targets"), (y, t)) if each is None]
            if missing:
                raise TypeError(f"{self.name} takes {' and '.join(self.inputs)}, predictions and targets: "
                                f"{' and '.join(missing)} are missing")
            return y, t
        if y is not None or t is not None:
            raise TypeError(f"{self.name}: give predictions and targets by position, or both by name: y_pred=, y_true=")
        if y_pred is None or y_true is None:
            raise TypeError(f"{self.name}: give predictions and targets, y_pred= and y_true=: "
                            f"{'y_pred' if y_pred is None else 'y_true'} is missing")
        return y_pred, y_true

    def _refuse(self, arguments, known):
        """Raises TypeError for arguments that a call does not have."""
        cls = type(self)
        for word in arguments:
            if word in (*cls.hyperparameters, *cls.options, *cls._synonyms):
                raise TypeError(f"{self.name}: {word} is an argument of get_err, not of a call: "
                                f"get_err({self.name!r}, {word}=...)")
            said = MISUNDERSTOOD.get(word) or hint(word, known, 0.6)
            if "weight" in word and "class_weight" in cls.hyperparameters:
                said = " (those of samples are sample_weight=, those of classes class_weight= of get_err)"
            raise TypeError(f"{self.name}: a call has no argument {word!r}{said}")

    def _reduction_of(self, reduction):
        return self.__dict__.get("reduction", "none") if reduction is None else checked_reduction(reduction)

    def _kept(self, y, t, others=()):
        """The gradient of the last `forward` if neither y nor t is given, else None."""
        if (y is None) != (t is None):
            raise TypeError(f"{self.name}: give predictions and targets, or neither: "
                            f"{'predictions' if y is None else 'targets'} are missing")
        if y is not None:
            return None
        if any(other is not None for other in others):
            raise TypeError(f"{self.name}: backward() without predictions and targets takes no weights and no reduction; "
                            "it is at the last forward, and of what that returned")
        gradient = self._gradient
        if gradient is None:
            raise ValueError(f"{self.name}: backward() without arguments needs a forward before it, without keep=False")
        return gradient


class Elementwise(Loss, ElementwiseLoss):

    _ignored = None             # a target that counts for nothing
    _classes = None             # of targets that are classes: what becomes of them before the kernel (classes.py)
    _plain = True               # neither of the two
    _share_at = -1              # the place of the share of an element among the kernel's constants, if it is one

    def _hyperparameter_set(self):
        addresses, names = compiled.LOSSES[self._formula()]
        constants = self._kernel_constants(names)
        self._bind(addresses, (*constants, *[0.0] * (SHARE - len(constants)), 1.0))
        self.__dict__["_share_at"] = SHARE

    def _formula(self):
        """The kernel, where hyperparameters choose it."""
        return self.kernel

    def forward(self, y: Any = None, t: Any = None, out: np.ndarray | None = None, *, keep: bool = True,
                sample_weight: Any = None, reduction: str | None = None, y_pred: Any = None, y_true: Any = None,
                **unknown: Any) -> Any:
        """The error of each element, of y's shape and dtype, or their mean or sum; also kept as `error`.

        keep=False computes no gradient beside it: that is faster for large arrays, and `backward` then needs y and t.
        sample_weight multiplies errors and gradients: of y's shape, or that of its first axes, one weight a sample. Weight
        0 leaves an element out, even if it is NaN; the mean is over all elements, as in PyTorch and Keras. y_pred and
        y_true are other names of y and t.
        """
        if unknown or y_pred is not None or y_true is not None or y is None or t is None:
            y, t = self._operands(y, t, y_pred, y_true, unknown)
        error, gradient = self._both(y, t, out, keep, sample_weight, reduction)
        self.__dict__.update(error=error, _gradient=gradient)   # faster than checked attributes
        return error                            # another thread may have set self.error meanwhile

    def __call__(self, y: Any = None, t: Any = None, out: np.ndarray | None = None, **kwds: Any) -> Any:
        """`forward`."""
        return self.forward(y, t, out, **kwds)

    def value_and_grad(self, y: Any = None, t: Any = None, *, sample_weight: Any = None, reduction: str | None = None,
                       y_pred: Any = None, y_true: Any = None, **unknown: Any) -> Any:
        """(what `forward` returns, its derivative in y), from one pass that keeps nothing."""
        if unknown or y_pred is not None or y_true is not None or y is None or t is None:
            y, t = self._operands(y, t, y_pred, y_true, unknown)
        error, gradient = self._both(y, t, None, True, sample_weight, reduction)
        return error, gradient if gradient.ndim else gradient[()]

    def backward(self, y: Any = None, t: Any = None, out: np.ndarray | None = None, *, sample_weight: Any = None,
                 reduction: str | None = None, y_pred: Any = None, y_true: Any = None, **unknown: Any) -> Any:
        """Its derivative in y, element by element; without arguments at the last `forward`, whatever has become of its
        y and t since."""
        if unknown or y_pred is not None or y_true is not None:
            y, t = self._operands(y, t, y_pred, y_true, unknown)
        kept = self._kept(y, t, (sample_weight, reduction))
        if kept is not None:
            return self._copy(kept, out)
        reduction = self._reduction_of(reduction)
        if sample_weight is None and reduction == "none" and self._plain:
            return self._derivative(y, t, out)
        return reduced(self._bound, y, t, sample_weight, reduction, False, True, self._ignored, out, self._share_at,
                       classes=self._classes)[1]

    def _both(self, y, t, out, keep, sample_weight, reduction):
        reduction = self._reduction_of(reduction)
        if sample_weight is None and reduction == "none" and self._plain:
            return self._value_and_derivative(y, t, out, keep)
        if out is not None and reduction != "none":
            raise TypeError(f"{self.name}: out is for the error of each element, and reduction={reduction!r} gives "
                            "a number")
        return reduced(self._bound, y, t, sample_weight, reduction, True, bool(keep), self._ignored, out, self._share_at,
                       classes=self._classes)


class Rows(Loss, RowLoss):

    _takes_labels = True
    _classes = None             # a function of targets and their number: a weight for each class
    _of_terms = True            # weights of classes multiply terms, not rows
    _smoothing = 0.0
    _ignored = None             # a label that counts for nothing

    def _hyperparameter_set(self):
        addresses, names = compiled.ROW_LOSSES.get(self.kernel) or (kernels.ROW_LOSSES[self.kernel], ())
        self._bind(addresses, self._kernel_constants(names), self._takes_labels)

    def forward(self, x: Any = None, t: Any = None, *, keep: bool = True, sample_weight: Any = None,
                reduction: str | None = None, y_pred: Any = None, y_true: Any = None, **unknown: Any) -> Any:
        """The loss of each row, of shape x.shape[:-1], or their mean or sum; also kept as `error`.

        keep=False computes no gradient beside it: it reads x and writes nothing of its size, and `backward` then needs x
        and t. sample_weight has a weight for each row, the shape of the losses or that of their first axes; weight 0
        leaves a row out, even if it is NaN. y_pred and y_true are other names of x and t.
        Raises TypeError for labels that are no integers, ValueError for shapes or labels that do not fit.
        """
        if unknown or y_pred is not None or y_true is not None or x is None or t is None:
            x, t = self._operands(x, t, y_pred, y_true, unknown)
        error, gradient = self._both(x, t, keep, sample_weight, reduction)
        self.__dict__.update(error=error, _gradient=gradient)
        return error

    def __call__(self, x: Any = None, t: Any = None, **kwds: Any) -> Any:
        """`forward`."""
        return self.forward(x, t, **kwds)

    def value_and_grad(self, x: Any = None, t: Any = None, *, sample_weight: Any = None, reduction: str | None = None,
                       y_pred: Any = None, y_true: Any = None, **unknown: Any) -> Any:
        """(what `forward` returns, its derivative in x), from one pass that keeps nothing."""
        if unknown or y_pred is not None or y_true is not None or x is None or t is None:
            x, t = self._operands(x, t, y_pred, y_true, unknown)
        return self._both(x, t, True, sample_weight, reduction)

    def backward(self, x: Any = None, t: Any = None, *, sample_weight: Any = None, reduction: str | None = None,
                 y_pred: Any = None, y_true: Any = None, **unknown: Any) -> Any:
        """The derivative in x, of x's shape; without arguments at the last `forward`, whatever has become of its x and t.

        It is that of what `forward` returns: not divided by the number of rows unless reduction="mean".
        """
        if unknown or y_pred is not None or y_true is not None:
            x, t = self._operands(x, t, y_pred, y_true, unknown)
        kept = self._kept(x, t, (sample_weight, reduction))
        return self._both(x, t, True, sample_weight, reduction)[1] if kept is None else self._copy(kept)

    def _both(self, x, t, keep, sample_weight, reduction):
        return self._value_and_gradient(x, t, bool(keep), self._reduction_of(reduction), sample_weight, self._classes,
                                        self._smoothing, self._ignored, self._of_terms)


class Several(Loss):
    """Of other arrays than predictions and targets: `inputs` names them, `gradients` those with a derivative.

    They are given in that order, or by name. `backward` and `value_and_grad` have a tuple of gradients, one for each
    of `gradients`.
    """

    gradients: tuple[str, ...] = ()
    _kept_gradients = None

    def _both(self, arrays, keep, sample_weight, reduction):
        """(the losses or what they are reduced to, the tuple of gradients or None)."""
        raise NotImplementedError

    def forward(self, *arrays: Any, keep: bool = True, sample_weight: Any = None, reduction: str | None = None,
                **named: Any) -> Any:
        """The losses, or their mean or sum; also kept as `error`.

        keep=False computes no gradients beside them. sample_weight multiplies losses and gradients: of the losses' shape,
        or that of their first axes. Weight 0 leaves a loss out, even if it is NaN.
        """
        error, gradients = self._both(self._arrays(arrays, named), bool(keep), sample_weight,
                                      self._reduction_of(reduction))
        self.__dict__.update(error=error, _kept_gradients=gradients)
        return error

    def __call__(self, *arrays: Any, **kwds: Any) -> Any:
        """`forward`."""
        return self.forward(*arrays, **kwds)

    def value_and_grad(self, *arrays: Any, sample_weight: Any = None, reduction: str | None = None,
                       **named: Any) -> tuple[Any, tuple[Any, ...]]:
        """(what `forward` returns, its gradients), from one pass that keeps nothing."""
        return self._both(self._arrays(arrays, named), True, sample_weight, self._reduction_of(reduction))

    def backward(self, *arrays: Any, sample_weight: Any = None, reduction: str | None = None,
                 **named: Any) -> tuple[Any, ...]:
        """The gradients of what `forward` returns; without arrays at the last `forward`, whatever has become of its
        arrays since."""
        if arrays or named:
            return self.value_and_grad(*arrays, sample_weight=sample_weight, reduction=reduction, **named)[1]
        if sample_weight is not None or reduction is not None:
            raise TypeError(f"{self.name}: backward() without arrays takes no weights and no reduction; it is at the last "
                            "forward, and of what that returned")
        if self._kept_gradients is None:
            raise ValueError(f"{self.name}: backward() without arguments needs a forward before it, without keep=False")
        return tuple(gradient.copy() for gradient in self._kept_gradients)

    def _arrays(self, arrays, named):
        """The arrays in the order of `inputs`."""
        if len(arrays) > len(self.inputs):
            raise TypeError(f"{self.name} takes {', '.join(self.inputs)}, not {len(arrays)} arrays")
        given = dict(zip(self.inputs, arrays))
        for name, value in named.items():
            if name not in self.inputs:
                self._refuse([name], (*self.inputs, *CALL[3:6]))
            if name in given:
                raise TypeError(f"{self.name}: {name} is given twice")
            given[name] = value
        if missing := [name for name in self.inputs if name not in given]:
            raise TypeError(f"{self.name} takes {', '.join(self.inputs)}: {' and '.join(missing)} "
                            f"{'is' if len(missing) == 1 else 'are'} missing")
        return [given[name] for name in self.inputs]
