"""What every optimizer takes besides the hyperparameters of its rule: options by keyword, and groups of parameters."""
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .groups import Group, bound
from .hyperparameters import Configurable, Flag, Hyperparameter, Option
from .synonyms import Synonym

CLIPS = ("clip_value", "clip_norm", "clip_global_norm", "clip_adaptive")
FLOATS = float, np.float64


def weight(doc):
    return Option(0.0, doc, at_least=0)


def limit(doc, shared=""):
    return Option(None, doc, above=0, optional=True, shared=shared)


NO_CHANGE = object(), None, {}      # follows no version


class Adjustable(Configurable):
    """An object with a learning rate, options and groups, whose numbers may be schedules."""

    _scheduled = True
    _other_arguments = ("groups",)
    _last_change = NO_CHANGE    # (version before, version after, values) of the last one, if they were numbers
    _groups = ()
    _resolved = None            # of groups.numbers_at
    _plain = {}                 # word -> the hyperparameter of which a float in its range may be taken at once

    # g: the gradient, p: the parameter before the step. The order of the step: Optimizer.__init__, docs/steps.md.
    weight_decay = weight("""Decoupled weight decay: p -= lr weight_decay p, beside the rule's delta.

        At least 0; the part of p that goes in a step, in units of lr. PyTorch's AdamW and optax's add_decayed_weights.
        Loshchilov and Hutter 2019, arXiv 1711.05101.""")
    l2 = weight("""Decay as part of the loss, l2 p^2/2: g += l2 p, which the rule sees.

        At least 0; gradient by parameter. PyTorch's weight_decay in all but its AdamW and the like.""")
    l1 = weight("""Decay as part of the loss, l1 |p|: g += l1 sign(p), which the rule sees; sign(0) is 0.

        At least 0, in units of the gradient.""")
    clip_value = limit("""Elements are clipped: g = min(max(g, -clip_value), clip_value).

        Above 0, in units of the gradient; None for no clipping. At most one of the four ways to clip may be set.""")
    clip_norm = limit("""Each tensor's gradient whose Euclidean norm is larger gets that norm: g *= clip_norm/||g||.

        Above 0, in units of the gradient; None for no clipping. A norm that is NaN or infinite skips the step.
        Pascanu et al. 2013, arXiv 1211.5063.""")
    clip_global_norm = limit("""As clip_norm, with one norm of all gradients of the call, the root of all squares.

        Above 0, in units of the gradient; None for no clipping. Frozen parameters and gradients of None have no part in
        it. Of the optimizer, never a group's; a schedule is called with the t of the oldest parameter in the call.
        optax's clip_by_global_norm; PyTorch's clip_grad_norm_ adds 1e-6 to the norm.""",
                             "it is one norm over all parameters of a step")
    clip_adaptive = limit("""Adaptive gradient clipping (AGC): g *= clip_adaptive max(||p||, 1e-3)/||g||, unit by unit,
        where that factor is below 1.

        Above 0, a ratio; None for no clipping. A unit is all elements with the same index on output_axis; a tensor with
        fewer than two axes longer than 1 is one unit. A norm of g that is NaN or infinite skips the step. Brock et al.
        2021, arXiv 2102.06171, equation 3; optax's adaptive_grad_clip.""")
    maximize = Flag(doc="Whether the steps go up: g = -g, before everything else.")
    grad_scale = Option(1.0, """A factor of gradients, before everything else but the sign: g *= grad_scale.

        Any finite number, without a unit: 1/loss_scale, or 1/n for gradients that are sums of n.""")
    centralize = Flag(doc="""Whether gradients are centralised: g -= its mean over all axes but output_axis.

        Tensors with fewer than two axes stay as they are. Yong et al. 2020, arXiv 2004.01461, equation 1; optax's
        centralize.""")
    output_axis = Option(-1, """The axis of a layer's outputs in its weights, which clip_adaptive and centralize go by.

        An integer: -1 for x @ W with W of shape (in, out), as in fastnn.nn, Flax and Keras; 0 for PyTorch's (out, in).
        A step raises ValueError for a parameter of two axes or more without that axis.""",
                         at_least=-64, below=64, integer=True, scheduled=False)     # NumPy has 64 axes at most

    def __init_subclass__(cls, **kwds):
        super().__init_subclass__(**kwds)
        if cls._set is not Adjustable._set or cls._hyperparameter_set is not Configurable._hyperparameter_set:
            cls._plain = {}
            return
        found = {name: getattr(cls, name) for name in cls.hyperparameters}
        found |= {word: found.get(names[0]) for word, names in cls._synonyms.items()
                  if len(names) == 1 and isinstance(getattr(cls, word), Synonym)}
        cls._plain = {word: declared for word, declared in found.items()
                      if type(declared) is Hyperparameter and not declared.integer}

    def __init__(self, *args: Any, groups: Sequence[Group] = (), **kwds: Any) -> None:
        self._groups = ()
        if args and (isinstance(args[0], (Mapping, list, tuple)) or getattr(args[0], "ndim", 0)):
            raise TypeError(f"{self._title()} takes no parameters at construction: pass them to each step, "
                            "opt.step(params, grads)")
        super().__init__(*args, **kwds)
        self._groups = bound(groups, self)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups given at construction, in order: the optimizer's own copies, whose values may be set."""
        return self._groups

    if not TYPE_CHECKING:
        def __setattr__(self, name, value):
            """As ever; but programs that lower a rate by hand do it at every step, and one frame is faster than ten."""
            declared = self._plain.get(name)
            if declared is not None and type(value) in FLOATS:
                number = float(value)
                if declared.above < number < declared.below and number >= declared.at_least:
                    version = object()          # with the number: Ctrl-C may come between two calls
                    self.__dict__.update({declared.name: number, "_version": version, "_last_change": (
                        self._version, version, {declared.name: number})})
                    return
            super().__setattr__(name, value)

    def _set(self, values):
        before = self._version
        super()._set(values)
        plain = not any(map(callable, values.values()))
        self.__dict__["_last_change"] = (before, self._version, values) if plain else NO_CHANGE

    def _check_together(self, values):
        if not values.keys().isdisjoint(CLIPS):
            values = {**self.__dict__, **values}
            self._check_clips(values, self._title())
            for group in self._groups:
                self._check_together_with(group, group.values(), values)

    def _check_together_with(self, group, own, values=None):
        """Raises ValueError where a group's own values do not go with one another, or with the optimizer's."""
        self._check_clips({**(self.__dict__ if values is None else values), **own}, repr(group))

    def _check_clips(self, values, title):
        given = [name for name in CLIPS if values.get(name) is not None]
        if len(given) > 1:
            raise ValueError(f"{title}: gradients are clipped by one of {' and '.join(given)}, set the others to None")

    def _shown_values(self):
        shown = super()._shown_values()
        return [*shown, f"groups={list(self._groups)!r}"] if self._groups else shown

    def _refused(self, name, done=None):
        if name == "groups":
            return (f"groups of {self._title()} cannot be {done}: they are given at construction, groups=[...]; their "
                    "values can be set, as in opt.groups[0].lr = 0.1")
        if name == "t":
            return ("t cannot be set: the number of steps is counted per parameter; update(..., t=t) takes another for "
                    "that step, and load_state_dict sets them all")
        if name in getattr(self, "slots", ()):
            return f"{name} is state of each parameter: see opt.state, opt.forget and opt.load_state_dict"
        return super()._refused(name, done)
