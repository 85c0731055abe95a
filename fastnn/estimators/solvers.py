"""What steps the weights of an estimator: scikit-learn's two solvers by their names, or any optimizer of the catalogue.

`SGDOptimizer` and `AdamOptimizer` have the arguments and arithmetic of scikit-learn's classes of these names,
on the rules of get_opt(name, like="sklearn").
"""
import copy
import inspect
import math

from fastnn.groups import group
from fastnn.optimizers import get_opt
from fastnn.optimizers.base import Optimizer
from fastnn.optimizers.wrappers import Accumulate, ExponentialAverage, Lookahead, SAM
from fastnn.optimizers.wrappers.base import Wrapper
from fastnn.registry import folded

WRAPPERS = {folded(cls.__name__): cls for cls in (Accumulate, ExponentialAverage, Lookahead, SAM)}
NO_COEFS = "b*", "gamma*", "act_*"      # keys, in the mappings that are stepped, of all but the coefficients


class BaseOptimizer:
    """An optimizer of the catalogue, with what scikit-learn's loop asks of its own."""

    adds_penalties = False      # whether the gradients of l2 and l1 penalties are added in the pass of the step

    def __init__(self, learning_rate_init=0.1, optimizer=None):
        self.learning_rate_init = learning_rate_init
        self.optimizer = get_opt("SGD", lr=learning_rate_init) if optimizer is None else optimizer

    @property
    def learning_rate(self):
        return float(_at(self.optimizer.lr, max(self.optimizer.t, 1)))

    def update_params(self, params, grads, **told):
        """A step in place; told: what some rules of the catalogue ask for, the loss f and the number of rows N."""
        self.optimizer.update(params, grads, **told)

    @property
    def ascending(self):
        """The SAM among its wrappers, or None."""
        return self.optimizer._ascending()

    def evaluated(self, params):
        """What has been learnt: params themselves, but for what makes an average of the steps."""
        for each in _nested(self.optimizer):
            if isinstance(each, ExponentialAverage):
                return {key: p.copy() for key, p in each.params.items()}
        return self.optimizer.evaluation_point(params)

    def penalize(self, l2, l1):
        """Have the next steps add the gradients of penalties of the coefficients."""
        opt = self.optimizer
        if opt.l2 != l2:
            opt.l2 = l2
        if opt.l1 != l1:
            opt.l1 = l1

    def iteration_ends(self, time_step):
        """Called at the end of an epoch, with the number of rows so far."""

    def trigger_stopping(self, msg, verbose):
        """Whether training ends where nothing has improved."""
        if verbose:
            print(msg + " Stopping.")
        return True


class _Own(BaseOptimizer):
    """One of scikit-learn's own two, which ask for nothing else."""

    def update_params(self, params, grads, **told):
        self.optimizer.step(params, grads)


class SGDOptimizer(_Own):

    def __init__(self, params=(), learning_rate_init=0.1, lr_schedule="constant", momentum=0.9, nesterov=True,
                 power_t=0.5, **options):
        super().__init__(learning_rate_init, get_opt("sgd", like="sklearn", **{
            "learning_rate_init": learning_rate_init, "momentum": momentum, "nesterovs_momentum": nesterov, **options}))
        self.lr_schedule, self.power_t = lr_schedule, power_t

    def iteration_ends(self, time_step):
        if self.lr_schedule == "invscaling":
            self.optimizer.lr = float(self.learning_rate_init) / (time_step + 1)**self.power_t

    def trigger_stopping(self, msg, verbose):
        if self.lr_schedule != "adaptive":
            return super().trigger_stopping(msg, verbose)
        if self.learning_rate <= 1e-6:
            return super().trigger_stopping(msg + " Learning rate too small.", verbose)
        self.optimizer.lr = self.learning_rate / 5
        if verbose:
            print(f"{msg} Setting learning rate to {self.learning_rate:f}")
        return False


class AdamOptimizer(_Own):

    def __init__(self, params=(), learning_rate_init=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-8, **options):
        super().__init__(learning_rate_init, get_opt("adam", like="sklearn", **{
            "learning_rate_init": learning_rate_init, "beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon,
            **options}))

    @property
    def learning_rate(self):
        opt, t = self.optimizer, self.optimizer.t
        if t == 0:
            return super().learning_rate
        return super().learning_rate * math.sqrt(1 - _at(opt.beta_2, t)**t) / (1 - _at(opt.beta_1, t)**t)


def _at(value, t):
    """A hyperparameter's value at step t, which may be a schedule."""
    return value(t) if callable(value) else value


def solver_of(estimator):
    """A new optimizer for an estimator. Raises ValueError that names the parameter at fault."""
    given = estimator.solver
    options = dict(estimator.solver_args or {})
    own = isinstance(given, (Optimizer, Wrapper))
    if own and (options or estimator.weight_decay or estimator.clip_global_norm is not None):
        raise refused(estimator, "solver", "is an optimizer, which has arguments of its own: solver_args, weight_decay "
                                           "and clip_global_norm are for a name")
    if given not in ("sgd", "adam"):
        for name, default in (("learning_rate_init", 0.001), ("learning_rate", "constant")):
            if getattr(estimator, name) != default:
                raise refused(estimator, name, "is for the solvers 'sgd' and 'adam': solver_args=dict(lr=...) has the "
                                               "rate of others, a number or a schedule")
    if own:
        return BaseOptimizer(given.lr, copy.deepcopy(given))
    if estimator.weight_decay:
        options["weight_decay"] = estimator.weight_decay
    if estimator.clip_global_norm is not None:
        options["clip_global_norm"] = estimator.clip_global_norm
    adds = given in ("sgd", "adam") and options.keys() <= {"lr", "weight_decay"}
    if adds or estimator.weight_decay:
        options["groups"] = [*options.get("groups", ()), group(*NO_COEFS, weight_decay=0, l2=0, l1=0)]
    try:
        solver = _by_name(estimator, given, options)
        solver.adds_penalties = adds
        return solver
    except (TypeError, ValueError) as error:
        name = "solver_args" if estimator.solver_args else "solver"
        raise refused(estimator, name, f"does not fit: {error}") from error


def _nested(optimizer):
    """Wrappers from outside on, then the optimizer."""
    while isinstance(optimizer, Wrapper):
        yield optimizer
        optimizer = optimizer.optimizer
    yield optimizer


def refused(estimator, name, why):
    return ValueError(f"The {name!r} parameter of {type(estimator).__name__} {why}")


def _by_name(estimator, name, options):
    rate = options.pop("lr", estimator.learning_rate_init) if name in ("sgd", "adam") else None
    if name == "sgd":
        return SGDOptimizer((), rate, estimator.learning_rate, estimator.momentum, estimator.nesterovs_momentum,
                            estimator.power_t, **options)
    if name == "adam":
        return AdamOptimizer((), rate, estimator.beta_1, estimator.beta_2, estimator.epsilon, **options)
    wrapper = WRAPPERS.get(folded(name))
    opt = get_opt(name, **options) if wrapper is None else _wrapped(wrapper, options)
    return BaseOptimizer(opt.lr, opt)


def _wrapped(wrapper, options):
    """A wrapper with its own of the options, around what `optimizer` names, by default Adam, with the others."""
    own = {name: options.pop(name) for name in inspect.signature(wrapper).parameters if name in options}
    inner = own.pop("optimizer", "Adam")
    if isinstance(inner, str):
        inner = get_opt(inner, **options)
    elif options:
        raise TypeError(f"an optimizer that is no name has arguments of its own, and {', '.join(options)} are for a name")
    return wrapper(copy.deepcopy(inner), **own)
