"""Schedules: hyperparameters that change with t, the number of the step, counted from 1.

    opt = get_opt("Adam", lr=schedules.cosine(1e-3, 10_000, warmup=500))

Lengths are in steps. Step t has the value that optax's schedules give at count t - 1, and that PyTorch's schedulers
give the t-th `optimizer.step()`. A plain function of t is a schedule, too. `catalogue` has all of these by name.

Any number among an optimizer's or a group's hyperparameters and options may be one. Each parameter has its own t: one
that joins at step 51 begins the schedule anew. What it gives is checked at each step as if it had been set. Where it
fails (by a KeyError, say), a ValueError or TypeError is raised from that, which names the hyperparameter, the schedule
and t; nothing has changed then. A state knows functions by their names; a lambda, which has none, by its file and line,
so that it cannot be loaded once it has moved: give one that is to be saved a name, with def.
"""
import math
from bisect import bisect_right
from collections.abc import Callable
from typing import Annotated, Any

from .schedule_state import checked_state, from_state, to_state
from .scheduling import (
    Boundaries, Count, Flag, NotNegative, Number, Numbers, Positive, Schedule, Steps, Warmed, a_schedule, as_number,
    catalogue, descent, is_schedule, number, one_of, row, scaled, several, value_at, whole)

__all__ = ["Schedule", "catalogue", "checked_state", "constant", "cosine", "cosine_restarts", "exponential",
           "from_state", "inverse_sqrt", "is_schedule", "join", "linear", "multistep", "noam", "one_cycle", "piecewise",
           "polynomial", "reduce_on_plateau", "step", "to_state", "value_at", "warmup", "warmup_stable_decay"]

OptionalNumber = Annotated[float | None, number(optional=True)]


@row(1.0, warmup=200)
class constant(Warmed):
    """`value`, always; with a warm-up, what optax calls warmup_constant_schedule."""

    value: Number

    def _at(self, count):
        return self.value


class _Lasting(Warmed):
    """With a length, the warm-up included."""

    def _check(self):
        if self.warmup >= self.steps:
            self._refuse(f"warmup must be below steps = {self.steps}, not {self.warmup}")

    @property
    def _length(self):
        return self.steps - self.warmup


@row(1.0, 1000, warmup=100)
class linear(_Lasting):
    """In a straight line from `value` to `end_value`, which step steps + 1 and all later ones have.

    value + (end_value - value) c/T, c = t - 1 - warmup, T = steps - warmup. optax: linear_schedule. PyTorch: LinearLR.
    """

    value: Number
    steps: Steps
    end_value: Number = 0.0

    def _at(self, count):
        return descent(self.value, self.end_value, count, self._length)


@row(1.0, 1000, power=2.0, end_value=0.1)
class polynomial(_Lasting):
    """From `value` to `end_value`, which step steps + 1 and all later ones have, by a power of the way that is left.

    end_value + (value - end_value) (1 - c/T)^power, c = t - 1 - warmup, T = steps - warmup. optax: polynomial_schedule.
    PyTorch: PolynomialLR.
    """

    value: Number
    steps: Steps
    power: Positive
    end_value: Number = 0.0

    _by_keyword = ("power",)

    def _at(self, count):
        return descent(self.value, self.end_value, count, self._length, self.power)


class _Geometric(Warmed):
    """value gamma^(number of times), kept from passing `end_value`."""

    def _times(self, times):
        value = scaled(self.value, self.gamma, times)
        if self.end_value is None:
            return value
        return max(value, self.end_value) if self.gamma < 1 else min(value, self.end_value)


@row(1.0, gamma=0.1, step_size=400, end_value=0.02)
class exponential(_Geometric):
    """value gamma^(c/step_size), c = t - 1 - warmup: `gamma` times as much every `step_size` steps, smoothly.

    `end_value` bounds it, from below where gamma is below 1, otherwise from above. optax: exponential_decay (decay_rate
    is gamma, transition_steps is step_size). PyTorch: ExponentialLR.
    """

    value: Number
    gamma: Positive
    step_size: Steps = 1
    end_value: OptionalNumber = None

    _by_keyword = ("gamma",)

    def _at(self, count):
        return self._times(count/self.step_size)


@row(1.0, 250, gamma=0.5)
class step(_Geometric):
    """value gamma^floor(c/step_size), c = t - 1 - warmup: a step down every `step_size` steps.

    `end_value` bounds it, from below where gamma is below 1, otherwise from above. optax: exponential_decay with
    staircase=True. PyTorch: StepLR.
    """

    value: Number
    step_size: Steps
    gamma: Positive = 0.1
    end_value: OptionalNumber = None

    def _at(self, count):
        return self._times(count//self.step_size)


class _Bounded(Warmed):
    """With boundaries, behind the warm-up."""

    _boundaries = "boundaries"

    def _check(self):
        if self.warmup >= getattr(self, self._boundaries)[0]:
            self._refuse(f"{self._boundaries} must lie behind the warm-up of {self.warmup} steps")

    def _passed(self, count):
        """The number of boundaries passed, where they are counted from step 1 on."""
        return bisect_right(getattr(self, self._boundaries), count + self.warmup)


@row(1.0, [500, 750], gamma=0.3, warmup=50)
class multistep(_Bounded):
    """value gamma^(number of milestones m with m < t): after m steps, `gamma` times as much.

    Milestones increase, and are counted from step 1 on, the warm-up included. optax: piecewise_constant_schedule.
    PyTorch: MultiStepLR.
    """

    value: Number
    milestones: Boundaries
    gamma: Positive = 0.1

    _boundaries = "milestones"

    def _at(self, count):
        return scaled(self.value, self.gamma, self._passed(count))


@row([0.1, 1.0, 0.2], [300, 1000], interpolate="linear")
class piecewise(_Bounded):
    """Given values: values[0] for the first boundaries[0] steps, then values[1], ..., the last one from then on.

    With interpolate="linear" or "cosine" (half a cosine) the value does not jump from values[i] to values[i + 1], which
    step boundaries[i] + 1 has, but goes there all the way. Boundaries increase, and are counted from step 1 on, the
    warm-up included; there is one fewer than values. optax: piecewise_constant_schedule and
    piecewise_interpolate_schedule, which have factors in place of values.
    """

    values: Numbers
    boundaries: Boundaries
    interpolate: Annotated[str | None, one_of(None, "linear", "cosine")] = None

    def _check(self):
        if len(self.values) != len(self.boundaries) + 1:
            self._refuse(f"there must be one value more than boundaries, not {len(self.values)} and "
                         f"{len(self.boundaries)}")
        super()._check()

    def _at(self, count):
        i = self._passed(count)
        if self.interpolate is None or i == len(self.boundaries):
            return self.values[i]
        begin = self.boundaries[i - 1] if i else self.warmup
        return descent(self.values[i], self.values[i + 1], count + self.warmup - begin, self.boundaries[i] - begin,
                       shape=self.interpolate)


@row(1.0, 1000, warmup=100, end_value=0.05)
class cosine(_Lasting):
    """Half a cosine from `value` to `end_value`, which step steps + 1 and all later ones have.

    end_value + (value - end_value) ((1 + cos(pi c/T))/2)^exponent, c = t - 1 - warmup, T = steps - warmup.
    Loshchilov, Hutter: SGDR, arXiv 1608.03983, equation 5, without restarts. optax: cosine_decay_schedule (its alpha is
    end_value/value), warmup_cosine_decay_schedule. PyTorch: CosineAnnealingLR, which rises again after T_max.
    """

    value: Number
    steps: Steps
    end_value: Number = 0.0
    exponent: Positive = 1.0

    def _at(self, count):
        return descent(self.value, self.end_value, count, self._length, self.exponent, "cosine")


@row(1.0, 140, T_mult=2, gamma=0.8)
class cosine_restarts(Warmed):
    """Half a cosine from `value` to `end_value`, again and again (SGDR).

    The first cycle has T_0 steps, each later one T_mult times as many as that before it, and `gamma` times its highest
    value. In a cycle: end_value + (highest - end_value) (1 + cos(pi c/T))/2, c and T its steps made and all its steps.
    A warm-up comes before the first cycle. Loshchilov, Hutter, arXiv 1608.03983, equation 5. PyTorch:
    CosineAnnealingWarmRestarts (gamma = 1). optax: sgdr_schedule.
    """

    value: Number
    T_0: Steps
    T_mult: Steps = 1
    end_value: Number = 0.0
    gamma: Positive = 1.0

    def _at(self, count):
        cycle, length = 0, self.T_0
        if self.T_mult == 1:
            cycle, count = divmod(count, length)
        else:
            while count >= length:
                cycle, count, length = cycle + 1, count - length, length*self.T_mult
        return descent(scaled(self.value, self.gamma, cycle), self.end_value, count, length, shape="cosine")


@row(1.0, 1000)
class one_cycle(Schedule):
    """Up from value/div_factor to `value`, which it has reached after `pct_start` of the steps, and down to
    value/(div_factor final_div_factor), which step `steps` and all later ones have.

    The count t - 1 goes from 0 to pct_start steps - 1, maybe no integer, and from there to steps - 1, in half a cosine
    each, or with anneal_strategy="linear" in a straight line. With three_phase=True the way down is as long as the way
    up, to 2 pct_start steps - 2 and value/div_factor, and a third phase leads on to the end.

    Smith, Topin: Super-Convergence, arXiv 1708.07120. PyTorch: OneCycleLR. Its momentum, from `high` to `low` and back,
    is one_cycle(low, steps, div_factor=low/high, final_div_factor=1). optax's onecycle schedules end a step later and
    round their boundaries: `piecewise` says them.
    """

    value: Number
    steps: Steps
    pct_start: Annotated[float, number(above=0, below=1)] = 0.3
    anneal_strategy: Annotated[str, one_of("cos", "linear")] = "cos"
    div_factor: Positive = 25.0
    final_div_factor: Positive = 1e4
    three_phase: Flag = False

    def _phases(self):
        """(first step, last step, first value, last value) of each."""
        low, top, end = self.value/self.div_factor, self.pct_start*self.steps - 1, self.steps - 1
        last = low/self.final_div_factor
        if self.three_phase:
            middle = 2*self.pct_start*self.steps - 2
            return (0, top, low, self.value), (top, middle, self.value, low), (middle, end, low, last)
        return (0, top, low, self.value), (top, end, self.value, last)

    def _check(self):
        if not all(begin < end for begin, end, _, _ in self._phases()):
            self._refuse(f"a phase has no steps with steps = {self.steps} and pct_start = {self.pct_start}")

    def _at(self, count):
        begin, end, first, last = next((phase for phase in self._phases() if count <= phase[1]), self._phases()[-1])
        shape = "cosine" if self.anneal_strategy == "cos" else "linear"
        return descent(first, last, count - begin, end - begin, shape=shape)


@row(1.0, warmup=100)
class inverse_sqrt(Warmed):
    """value sqrt(timescale/(timescale + c)), c = t - 1 - warmup: falls with the root of the step count without end.

    timescale=None is `warmup`, so that it is value sqrt(warmup/(t - 1)) as in T5 (Raffel et al., arXiv 1910.10683,
    section 3.1.2) and transformers' get_inverse_sqrt_schedule, and 1 where there is no warm-up: value/sqrt(t).
    """

    value: Number
    timescale: Annotated[float | None, number(above=0, optional=True)] = None

    def _at(self, count):
        timescale = self.timescale or self.warmup or 1
        return self.value*math.sqrt(timescale/(timescale + count))


@row(512, 200)
class noam(Schedule):
    """factor d_model^(-1/2) min(t^(-1/2), t warmup^(-3/2)): up in a straight line, then as the inverse square root.

    It is highest at t = warmup: factor/sqrt(d_model warmup). Vaswani et al., arXiv 1706.03762, equation 3, whose steps
    count from 1 as these do.
    """

    d_model: Steps
    warmup: Steps
    factor: Number = 1.0

    def _at(self, count):
        t = count + 1
        return self.factor/math.sqrt(self.d_model)*min(1/math.sqrt(t), t/self.warmup/math.sqrt(self.warmup))


@row(1.0, 1000, 250, warmup=100)
class warmup_stable_decay(_Lasting):
    """`value` until the last `decay_steps` of all `steps`, then down to `end_value`, which step steps + 1 and all later
    ones have (WSD, a trapezoid).

    end_value + (value - end_value) s(c/decay_steps), c = t - 1 - (steps - decay_steps); s(x) is 1 - x, or with
    shape="cosine" (1 + cos(pi x))/2, or with "sqrt" 1 - sqrt(x). Hu et al.: MiniCPM, arXiv 2404.06395; the shapes:
    Haegele et al., arXiv 2405.18392.
    """

    value: Number
    steps: Steps
    decay_steps: Steps
    shape: Annotated[str, one_of("linear", "cosine", "sqrt")] = "linear"
    end_value: Number = 0.0

    def _check(self):
        if self.warmup + self.decay_steps > self.steps:
            self._refuse(f"warmup + decay_steps must be at most steps = {self.steps}, not "
                         f"{self.warmup + self.decay_steps}")

    def _at(self, count):
        count -= self._length - self.decay_steps
        return descent(self.value, self.end_value, max(count, 0), self.decay_steps, shape=self.shape)


@row(1.0, factor=0.5, patience=150)
class reduce_on_plateau(Warmed):
    """`value`, multiplied with `factor` whenever a metric has stopped getting better; `observe(metric)` tells it.

    Parameters
    ----------
    value : float
        The first value.
    mode : "min" or "max"
        Whether a better metric is a smaller or a larger one.
    factor : float
        Above 0 and below 1.
    patience : int
        How many observations in a row may be no better than the best and still do nothing.
    threshold, threshold_mode : float, "rel" or "abs"
        Better is below best (1 - threshold) with "rel", below best - threshold with "abs"; in mode "max" above
        best (1 + threshold) and above best + threshold.
    cooldown : int
        How many observations after a reduction do not count as bad.
    min_lr : float
        No reduction goes below it.
    eps : float
        A reduction by no more than this is left out.

    Attributes
    ----------
    current : float
        The value now, without the warm-up.
    best : float or None
        The best metric observed.

    What it has observed is part of its state. A copy goes its own way: `observe` is called on the object that the
    optimizer has. PyTorch: ReduceLROnPlateau.
    """

    value: Number
    mode: Annotated[str, one_of("min", "max")] = "min"
    factor: Annotated[float, number(above=0, below=1)] = 0.1
    patience: Count = 10
    threshold: NotNegative = 1e-4
    threshold_mode: Annotated[str, one_of("rel", "abs")] = "rel"
    cooldown: Count = 0
    min_lr: Number = 0.0
    eps: NotNegative = 1e-8

    __eq__, __hash__ = object.__eq__, object.__hash__

    def __init__(self, *args: Any, **kwds: Any) -> None:
        super().__init__(*args, **kwds)
        self.__dict__["_observed"] = {"current": self.value, "best": None, "bad": 0, "cooldown_left": 0}

    current = property(lambda self: self._observed["current"])
    best = property(lambda self: self._observed["best"])

    def _at(self, count):
        return self.current

    def observe(self, metric: Any) -> float:
        """Take note of a metric, of a validation set for instance, and return the value from now on.

        A NaN is no better than anything. Raises TypeError for what is no number.
        """
        metric, (current, best, bad, cooldown_left) = as_number(metric, "metric"), self._observed.values()
        if self._better(metric, best):
            best, bad = metric, 0
        else:
            bad += 1
        if cooldown_left:
            cooldown_left, bad = cooldown_left - 1, 0
        if bad > self.patience:
            cooldown_left, bad = self.cooldown, 0
            lower = max(current*self.factor, self.min_lr)
            current = lower if current - lower > self.eps else current
        self.__dict__["_observed"] = {"current": current, "best": best, "bad": bad, "cooldown_left": cooldown_left}
        return current

    def _better(self, metric, best):
        sign = 1 if self.mode == "max" else -1
        if best is None:
            return sign*metric > -math.inf
        return sign*metric > sign*(best*(1 + sign*self.threshold) if self.threshold_mode == "rel"
                                   else best + sign*self.threshold)

    def _checked_observed(self, observed):
        best = observed["best"]
        if best is not None and math.isnan(best := as_number(best, "best")):
            raise ValueError("best must be a number, not nan")
        return {"current": number()(observed["current"], "current"), "best": best,
                "bad": whole(0, self.patience)(observed["bad"], "bad"),
                "cooldown_left": whole(0, self.cooldown)(observed["cooldown_left"], "cooldown_left")}


@row([linear(0.2, 300, end_value=1.0), constant(1.0), step(1.0, 100, gamma=0.6)], [300, 600])
class join(Schedule):
    """One schedule after another: schedules[0] for boundaries[0] steps, then schedules[1], ..., the last one from then
    on.

    Each counts its own steps: for boundaries[i - 1] < t <= boundaries[i] it is schedules[i](t - boundaries[i - 1]).
    Parts may be plain functions of t. Boundaries increase; there is one fewer than schedules. `observe` tells a metric
    to every part that takes one (`reduce_on_plateau`). optax: join_schedules. PyTorch: SequentialLR.
    """

    schedules: Annotated[tuple[Callable[[int], Any], ...], several(a_schedule, least=2)]
    boundaries: Boundaries

    def _check(self):
        if len(self.schedules) != len(self.boundaries) + 1:
            self._refuse(f"there must be one schedule more than boundaries, not {len(self.schedules)} and "
                         f"{len(self.boundaries)}")

    def _at(self, count):
        i = bisect_right(self.boundaries, count)
        return value_at(self.schedules[i], count + 1 - (self.boundaries[i - 1] if i else 0))

    @property
    def observe(self) -> Callable[[Any], Any]:
        """A function that tells a metric to each part that takes one, and returns what the last of them returns.

        AttributeError where there is none.
        """
        parts = [part.observe for part in self.schedules if hasattr(part, "observe")]
        if not parts:
            raise AttributeError("join: none of the schedules has `observe`")
        return lambda metric: [observe(metric) for observe in parts][-1]


def warmup(schedule: Callable[[int], Any], steps: int, *, warmup_value: float = 0.0) -> join:
    """Any schedule, or function of t, after a warm-up: a `join`.

    `steps` steps in a straight line from `warmup_value` towards schedule(1), then the schedule from its own step 1 on.
    The join's `observe` is that of a `reduce_on_plateau`; what is observed during the warm-up counts.
    Raises TypeError and ValueError as `join` does, and as `value_at` for what schedule(1) is.
    """
    first = value_at(a_schedule(schedule, "schedule"), 1)
    return join([linear(warmup_value, steps, end_value=first), schedule], [steps])
