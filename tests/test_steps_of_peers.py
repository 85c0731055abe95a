"""Rules and what happens around them, beside PyTorch and optax: 60 steps in float64, both of the oracle and of fastnn.

The libraries run in an interpreter of their own, once each: JAX's 64-bit mode, its objection to any later fork and
PyTorch's threads concern no other test.
"""
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest

import fastnn
from helpers import optimizer, python
from oracles import optimizers, steps
from oracles.rules import ORACLES

STEPS = 60
CLOSE = 1e-12               # of the largest element that a parameter has had: "gain" is one, and passes through 0
SHAPES = {"W": (4, 3), "b": (3,), "conv": (2, 3, 2, 4), "gain": (), "row": (1, 5), "heads": (3, 2, 4)}
FEW = ["b", "gain"]


@dataclass
class HeavyBall(optimizers.Optimizer):
    """PyTorch's and optax's momentum: the rate is no part of what is kept, which shows where it changes."""
    lr: float = 0.01
    momentum: float = 0.9
    v = 0

    def rule(self, g, t):
        self.v = self.momentum*self.v + g
        return -self.lr*self.v


RULES = ORACLES | {"HeavyBall": HeavyBall}


@dataclass
class Case:
    """`build` makes the peer's optimizer; `values` and `groups` are what says the same to fastnn and to the oracle.

    Where `limits` names the limit of a clipping by norm, the peer's is c/(norm + 1e-6) by the norm instead of c/norm:
    `values` and `groups` are then functions of limits that say the same, by parameter. Gradients and the parameters at
    the start are of the size of `scale`.
    """
    rule: str
    build: Callable
    values: dict | Callable = field(default_factory=dict)
    groups: tuple | Callable = ()
    before_step: Callable | None = None                 # of (torch, parameters), which returns norms
    limits: float | None = None
    schedulers: Callable | None = None
    has_gradient: Callable = lambda key, t: True
    joins: dict = field(default_factory=dict)           # {key: at step}
    scale: float = 1

    def start(self):
        rng = np.random.default_rng(12)
        return {key: np.asarray(self.scale*rng.standard_normal(shape)) for key, shape in SHAPES.items()}

    def gradient(self, key, p, t):
        """Of a bowl, seen through noise: between a hundredth and three times of its usual size."""
        return self.scale*(0.1 + 1.4*np.sin(t)**2)*(0.3*p + noise(key)[t])


@cache
def noise(key):
    return np.random.default_rng((3, *map(ord, key))).standard_normal((STEPS + 1, *SHAPES[key]))


# PyTorch

def clip_value(torch, params):
    torch.nn.utils.clip_grad_value_(list(params.values()), 0.5)


def clip_global_norm(torch, params):
    return {key: float(torch.nn.utils.clip_grad_norm_(list(params.values()), 2.0)) for key in list(params)[:1]}


def clip_each_norm(torch, params):
    return {key: float(torch.nn.utils.clip_grad_norm_([p], 0.8)) for key, p in params.items()}


def of_all(limits):
    return {"clip_global_norm": limits["W"]}


def of_each(limits):
    return tuple(steps.group(key, clip_norm=limit) for key, limit in limits.items())


def biases(**values):
    return (steps.group(*FEW, **values),)


def torch_sgd(**options):
    return lambda torch, params: torch.optim.SGD(params.values(), lr=0.05, **options)


def torch_adam(kind="Adam", **options):
    return lambda torch, params: getattr(torch.optim, kind)(params.values(), lr=0.02, **options)


def torch_groups(kind, of_biases, **options):
    def build(torch, params):
        few, many = ([p for key, p in params.items() if (key in FEW) == wanted] for wanted in (True, False))
        return getattr(torch.optim, kind)([{"params": few, **of_biases}, {"params": many}], **options)
    return build


def halved(t):
    return 0.5**((t - 1)//20)


def falling(t):
    return 1/(1 + 0.1*(t - 1))


def warmed_up(t):
    return min(t, 10)/10*(0.6 + 0.4*np.cos(np.pi*(t - 1)/STEPS))


def lambdas(*functions):
    return lambda torch, opt: torch.optim.lr_scheduler.LambdaLR(
        opt, [lambda epoch, function=function: function(epoch + 1) for function in functions])


TORCH = {
    "SGD": Case("SGD", torch_sgd(), {"lr": 0.05}),
    "SGD, l2": Case("SGD", torch_sgd(weight_decay=0.1), {"lr": 0.05, "l2": 0.1}),
    "SGD, maximize": Case("SGD", torch_sgd(maximize=True), {"lr": 0.05, "maximize": True}),
    "SGD, l2 and maximize": Case("SGD", torch_sgd(maximize=True, weight_decay=0.1),
                                 {"lr": 0.05, "maximize": True, "l2": 0.1}),
    "SGD, clip_value": Case("SGD", torch_sgd(), {"lr": 0.05, "clip_value": 0.5}, before_step=clip_value),
    "SGD, clip_norm": Case("SGD", torch_sgd(), {"lr": 0.05}, of_each, clip_each_norm, 0.8),
    "SGD, clip_global_norm": Case("SGD", torch_sgd(), lambda limits: {"lr": 0.05, **of_all(limits)}, (),
                                  clip_global_norm, 2.0),
    "SGD, schedule": Case("SGD", torch_sgd(), {"lr": lambda t: 0.05*falling(t)}, schedulers=lambdas(falling)),
    "SGD, StepLR": Case("SGD", torch_sgd(), {"lr": lambda t: 0.05*halved(t)},
                        schedulers=lambda torch, opt: torch.optim.lr_scheduler.StepLR(opt, 20, 0.5)),
    "SGD, schedule, l2, clip_global_norm": Case(
        "SGD", torch_sgd(weight_decay=0.1),
        lambda limits: {"lr": lambda t: 0.05*falling(t), "l2": 0.1, **of_all(limits)}, (), clip_global_norm, 2.0,
        lambdas(falling)),
    "Momentum": Case("Momentum", torch_sgd(momentum=0.9), {"lr": 0.05}),
    "Momentum, l2, clip_global_norm": Case("Momentum", torch_sgd(momentum=0.9, weight_decay=0.1),
                                           lambda limits: {"lr": 0.05, "l2": 0.1, **of_all(limits)}, (),
                                           clip_global_norm, 2.0),
    "Momentum, groups": Case("Momentum", torch_groups("SGD", {"lr": 0.01, "weight_decay": 0, "momentum": 0.5}, lr=0.05,
                                                      weight_decay=0.1, momentum=0.9),
                             {"lr": 0.05, "l2": 0.1}, biases(lr=0.01, l2=0, momentum=0.5)),
    "momentum, schedule": Case("HeavyBall", torch_sgd(momentum=0.9), {"lr": lambda t: 0.05*warmed_up(t)},
                               schedulers=lambdas(warmed_up)),
    "Nesterov": Case("Nesterov", torch_sgd(momentum=0.8, nesterov=True), {"lr": 0.05, "momentum": 0.8}),
    "Nesterov, l2, maximize, clip_value": Case(
        "Nesterov", torch_sgd(momentum=0.8, nesterov=True, weight_decay=0.05, maximize=True),
        {"lr": 0.05, "momentum": 0.8, "l2": 0.05, "maximize": True, "clip_value": 0.5}, before_step=clip_value),
    "AdaGrad": Case("AdaGrad", torch_adam("Adagrad"), {"lr": 0.02}),
    "AdaGrad, l2, schedule": Case("AdaGrad", torch_adam("Adagrad", weight_decay=0.1),
                                  {"lr": lambda t: 0.02*warmed_up(t), "l2": 0.1}, schedulers=lambdas(warmed_up)),
    "AdaGrad, groups": Case("AdaGrad", torch_groups("Adagrad", {"lr": 0.1}, lr=0.02, weight_decay=0.1),
                            {"lr": 0.02, "l2": 0.1}, biases(lr=0.1)),
    "RMSprop": Case("RMSprop", torch_adam("RMSprop"), {"lr": 0.02}),
    "RMSprop, eps": Case("RMSprop", torch_adam("RMSprop", eps=1e-2, alpha=0.9), {"lr": 0.02, "eps": 1e-2, "rho": 0.9}),
    "RMSprop, l2, clip_norm": Case("RMSprop", torch_adam("RMSprop", weight_decay=0.1),
                                   {"lr": 0.02, "l2": 0.1}, of_each, clip_each_norm, 0.8),
    "AdaDelta": Case("AdaDelta", torch_adam("Adadelta", rho=0.95), {"lr": 0.02}),
    "AdaDelta, l2, maximize": Case("AdaDelta", torch_adam("Adadelta", rho=0.95, weight_decay=0.1, maximize=True),
                                   {"lr": 0.02, "l2": 0.1, "maximize": True}),
    "AdaMax": Case("AdaMax", torch_adam("Adamax"), {"lr": 0.02}),
    "AdaMax, l2, schedule": Case("AdaMax", torch_adam("Adamax", weight_decay=0.1),
                                 {"lr": lambda t: 0.02*falling(t), "l2": 0.1}, schedulers=lambdas(falling)),
    "Adam": Case("Adam", torch_adam(), {"lr": 0.02}),
    "Adam, betas": Case("Adam", torch_adam(betas=(0.7, 0.95)), {"lr": 0.02, "beta1": 0.7, "beta2": 0.95}),
    "Adam, l2": Case("Adam", torch_adam(weight_decay=0.1), {"lr": 0.02, "l2": 0.1}),
    "Adam, maximize": Case("Adam", torch_adam(maximize=True), {"lr": 0.02, "maximize": True}),
    "Adam, eps": Case("Adam", torch_adam(eps=1e-2), {"lr": 0.02, "eps": 1e-2}),
    "Adam, eps, l2, maximize": Case("Adam", torch_adam(eps=1e-2, weight_decay=0.1, maximize=True),
                                    {"lr": 0.02, "eps": 1e-2, "l2": 0.1, "maximize": True}),
    "Adam, clip_value": Case("Adam", torch_adam(), {"lr": 0.02, "clip_value": 0.5}, before_step=clip_value),
    "Adam, clip_norm": Case("Adam", torch_adam(), {"lr": 0.02}, of_each, clip_each_norm, 0.8),
    "Adam, clip_global_norm": Case("Adam", torch_adam(), lambda limits: {"lr": 0.02, **of_all(limits)}, (),
                                   clip_global_norm, 2.0),
    "Adam, schedule": Case("Adam", torch_adam(), {"lr": lambda t: 0.02*warmed_up(t)}, schedulers=lambdas(warmed_up)),
    "Adam, no gradient at times": Case("Adam", torch_adam(), {"lr": 0.02},
                                       has_gradient=lambda key, t: key == "W" or (t + len(key)) % 3 > 0),
    "Adam, a late parameter": Case("Adam", torch_adam(), {"lr": 0.02}, joins={"b": 51, "gain": 20}),
    "Adam, frozen": Case("Adam", torch_groups("Adam", {"lr": 0}, lr=0.02), {"lr": 0.02},
                         biases(freeze=True)),
    "AdamW": Case("Adam", torch_adam("AdamW", weight_decay=0.3), {"lr": 0.02, "weight_decay": 0.3}),
    "AdamW, eps": Case("Adam", torch_adam("AdamW", eps=1e-2, weight_decay=0.3),
                       {"lr": 0.02, "eps": 1e-2, "weight_decay": 0.3}),
    "AdamW, maximize, schedule": Case(
        "Adam", torch_adam("AdamW", weight_decay=0.3, maximize=True),
        {"lr": lambda t: 0.02*warmed_up(t), "weight_decay": 0.3, "maximize": True}, schedulers=lambdas(warmed_up)),
    "AdamW, groups": Case("Adam", torch_groups("AdamW", {"weight_decay": 0, "betas": (0.8, 0.99)}, lr=0.02,
                                               weight_decay=0.3),
                          {"lr": 0.02, "weight_decay": 0.3}, biases(weight_decay=0, beta1=0.8, beta2=0.99)),
    "AdamW, groups, two schedules, clip_global_norm": Case(
        "Adam", torch_groups("AdamW", {"lr": 0.05, "weight_decay": 0}, lr=0.02, eps=1e-2, weight_decay=0.3),
        lambda limits: {"lr": lambda t: 0.02*warmed_up(t), "eps": 1e-2, "weight_decay": 0.3, **of_all(limits)},
        biases(lr=lambda t: 0.05*falling(t), weight_decay=0), clip_global_norm, 2.0, lambdas(falling, warmed_up)),
    "AMSGrad": Case("AMSGrad", torch_adam(amsgrad=True), {"lr": 0.02}),
    "AMSGrad, l2, clip_value": Case("AMSGrad", torch_adam(amsgrad=True, weight_decay=0.1),
                                    {"lr": 0.02, "l2": 0.1, "clip_value": 0.5}, before_step=clip_value),
    "AMSGrad, weight_decay, eps, maximize": Case(
        "AMSGrad", torch_adam("AdamW", amsgrad=True, weight_decay=0.3, eps=1e-2, maximize=True),
        {"lr": 0.02, "weight_decay": 0.3, "eps": 1e-2, "maximize": True}),
    "Nadam": Case("Nadam", torch_adam("NAdam"), {"lr": 0.02}),
    "Nadam, betas": Case("Nadam", torch_adam("NAdam", betas=(0.7, 0.95), eps=1e-2, momentum_decay=0.3),
                         {"lr": 0.02, "mu": 0.7, "nu": 0.95, "eps": 1e-2, "momentum_decay": 0.3}),
    "Nadam, weight_decay, clip_value, schedule": Case(
        "Nadam", torch_adam("NAdam", weight_decay=0.3, decoupled_weight_decay=True),
        {"lr": lambda t: 0.02*warmed_up(t), "weight_decay": 0.3, "clip_value": 0.5}, before_step=clip_value,
        schedulers=lambdas(warmed_up)),
    "Nadam, l2, maximize": Case("Nadam", torch_adam("NAdam", weight_decay=0.1, maximize=True),
                                {"lr": 0.02, "l2": 0.1, "maximize": True}),
    "Nadam, groups, no gradient at times": Case(
        "Nadam", torch_groups("NAdam", {"betas": (0.5, 0.99), "momentum_decay": 0.1}, lr=0.02), {"lr": 0.02},
        biases(mu=0.5, nu=0.99, momentum_decay=0.1), has_gradient=lambda key, t: key == "W" or (t + len(key)) % 3 > 0),
}

# What each rule's own eps does, from gradients that hide it to those that it hides.
TORCH |= {f"{name}, gradients of {scale:g}": Case(rule, build, values, scale=scale)
          for scale in 10.0**np.arange(-1, -9, -1) for name, rule, build, values in (
              ("SGD", "SGD", torch_sgd(), {"lr": 0.05}),
              ("Momentum", "Momentum", torch_sgd(momentum=0.9), {"lr": 0.05}),
              ("Nesterov", "Nesterov", torch_sgd(momentum=0.8, nesterov=True), {"lr": 0.05, "momentum": 0.8}),
              ("AdaGrad", "AdaGrad", torch_adam("Adagrad"), {"lr": 0.02}),
              ("RMSprop", "RMSprop", torch_adam("RMSprop"), {"lr": 0.02}),
              ("AdaDelta", "AdaDelta", torch_adam("Adadelta", rho=0.95), {"lr": 0.02}),
              ("Adam", "Adam", torch_adam(), {"lr": 0.02}),
              ("AdamW", "Adam", torch_adam("AdamW", weight_decay=0.3), {"lr": 0.02, "weight_decay": 0.3}),
              ("AMSGrad", "AMSGrad", torch_adam(amsgrad=True), {"lr": 0.02}),
              ("Nadam", "Nadam", torch_adam("NAdam"), {"lr": 0.02}),
              ("AdaMax", "AdaMax", torch_adam("Adamax"), {"lr": 0.02}))}


def walk_torch(case):
    """(parameters at all steps, norms at all steps)."""
    import torch
    torch.set_default_dtype(torch.float64)              # NAdam's product of momenta is of that dtype
    params = {key: torch.tensor(p, requires_grad=True) for key, p in case.start().items()}
    opt = case.build(torch, {key: p for key, p in params.items() if key not in case.joins})
    scheduler = case.schedulers and case.schedulers(torch, opt)
    path, norms = {key: [p.detach().numpy().copy()] for key, p in params.items()}, {key: [] for key in params}
    for t in range(1, STEPS + 1):
        for key in params:
            if case.joins.get(key) == t:
                opt.add_param_group({"params": [params[key]]})
            given = t >= case.joins.get(key, 0) and case.has_gradient(key, t)
            p = params[key].detach().numpy()
            params[key].grad = torch.tensor(case.gradient(key, p, t)) if given else None
        for key, norm in (case.before_step and case.before_step(torch, params) or {}).items():
            norms[key].append(norm)
        opt.step()
        if scheduler:
            scheduler.step()
        for key, p in params.items():
            path[key].append(p.detach().numpy().copy())
    return path, norms


# optax

def made(name, *arguments, **values):
    return lambda optax: getattr(optax, name)(*arguments, **values)


def l1(strength):
    def build(optax):
        from jax import numpy as jnp
        return optax.stateless(lambda updates, params: {key: g + strength*jnp.sign(params[key])
                                                        for key, g in updates.items()})
    return build


def in_turn(*builds):
    return lambda optax: optax.chain(*(build(optax) for build in builds))


def partition(of_biases, of_others):
    """Rules of the biases and of the others, whose state and count are their own."""
    return lambda optax: optax.partition({"few": of_biases(optax), "many": of_others(optax)},
                                         {key: "few" if key in FEW else "many" for key in SHAPES})


def clip_adaptive(limit, **axes):
    """optax takes a parameter of three axes for heads, each with its rows: a unit there needs naming."""
    return lambda optax: optax.partition(
        {key: optax.adaptive_grad_clip(limit, axis=axes.get(key)) for key in SHAPES}, {key: key for key in SHAPES})


def each(build):
    return lambda optax: optax.partition({key: build(optax) for key in SHAPES}, {key: key for key in SHAPES})


AGC = clip_adaptive(0.3, heads=(0, 1))
ADAM = made("scale_by_adam")
FAST = made("scale", -0.02)


def cosine(t):
    return 0.05*(0.9*0.5*(1 + np.cos(np.pi*min(t - 1, 40)/40)) + 0.1)


def optax_cosine(optax):
    return optax.cosine_decay_schedule(0.05, 40, 0.1)


def scheduled(optax):
    return optax.scale_by_learning_rate(optax_cosine(optax))


def linear(t):
    return 0.9 - 0.4*min(t - 1, 30)/30


def optax_linear(optax):
    """A count in 32 bits, as optax hands it over, is divided in float32."""
    schedule = optax.linear_schedule(0.9, 0.5, 30)
    return lambda count: schedule(count.astype(float))


# Nadam like article A has a constant mu, too; optax leaves out Dozat's factor nu of the corrected average of squares.
NADAM = {"mu": 0.95, "nu": 0.99, "eps": 0.99*1e-2}
OPTAX_NADAM = {"b1": 0.95, "b2": 0.99, "eps": 0.0, "eps_root": 1e-2}
ROOT_NU = np.sqrt(0.99)


OPTAX = {
    "SGD": Case("SGD", made("sgd", 0.05), {"lr": 0.05}),
    "SGD, weight_decay": Case("SGD", in_turn(made("add_decayed_weights", 0.5), made("scale", -0.05)),
                              {"lr": 0.05, "weight_decay": 0.5}),
    "SGD, l1": Case("SGD", in_turn(l1(0.1), made("scale", -0.05)), {"lr": 0.05, "l1": 0.1}),
    "SGD, clip_value": Case("SGD", in_turn(made("clip", 0.5), made("scale", -0.05)), {"lr": 0.05, "clip_value": 0.5}),
    "SGD, clip_norm": Case("SGD", in_turn(each(made("clip_by_global_norm", 0.8)), made("scale", -0.05)),
                           {"lr": 0.05, "clip_norm": 0.8}),
    "SGD, clip_global_norm": Case("SGD", in_turn(made("clip_by_global_norm", 2.0), made("scale", -0.05)),
                                  {"lr": 0.05, "clip_global_norm": 2.0}),
    "SGD, clip_adaptive": Case("SGD", in_turn(AGC, made("scale", -0.05)),
                               {"lr": 0.05, "clip_adaptive": 0.3}),
    "SGD, clip_adaptive, PyTorch's layout": Case(
        "SGD", in_turn(clip_adaptive(0.3, W=1, conv=(1, 2, 3), heads=(1, 2)), made("scale", -0.05)),
        {"lr": 0.05, "clip_adaptive": 0.3, "output_axis": 0}),
    "SGD, centralize": Case("SGD", in_turn(made("centralize"), made("scale", -0.05)),
                            {"lr": 0.05, "centralize": True, "output_axis": 0}),
    "SGD, grad_scale, maximize": Case("SGD", in_turn(made("scale", -1/128), made("scale", -0.05)),
                                      {"lr": 0.05, "grad_scale": 1/128, "maximize": True}),
    "SGD, grad_scale, clip_global_norm": Case(
        "SGD", in_turn(made("scale", 3.0), made("clip_by_global_norm", 2.0), made("scale", -0.05)),
        {"lr": 0.05, "grad_scale": 3.0, "clip_global_norm": 2.0}),
    "SGD, schedule": Case("SGD", lambda optax: optax.sgd(optax_cosine(optax)), {"lr": cosine}),
    "SGD, all": Case("SGD", in_turn(
        made("scale", -2.0), made("clip_by_global_norm", 2.0), made("add_decayed_weights", 0.1), l1(0.05),
        made("centralize"), made("add_decayed_weights", 0.3), scheduled),
        {"lr": cosine, "grad_scale": 2.0, "maximize": True, "clip_global_norm": 2.0, "l2": 0.1, "l1": 0.05,
         "centralize": True, "output_axis": 0, "weight_decay": 0.3}),
    "Momentum": Case("Momentum", made("sgd", 0.05, momentum=0.9), {"lr": 0.05}),
    "momentum, schedule": Case("HeavyBall", lambda optax: optax.sgd(optax_cosine(optax), momentum=0.9), {"lr": cosine}),
    "Nesterov, weight_decay": Case(
        "Nesterov", in_turn(made("trace", 0.9, nesterov=True), made("add_decayed_weights", 0.5), made("scale", -0.05)),
        {"lr": 0.05, "weight_decay": 0.5}),
    "MSGD, clip_adaptive, l1": Case(
        "MSGD", in_turn(AGC, l1(0.05), made("ema", 0.9, debias=False), made("scale", -0.05)),
        {"lr": 0.05, "clip_adaptive": 0.3, "l1": 0.05}),
    "NAG, centralize, weight_decay": Case(
        "NAG", in_turn(made("centralize"), made("ema", 0.9, debias=False), made("add_decayed_weights", 0.5),
                       made("scale", -0.05)),
        {"lr": 0.05, "centralize": True, "output_axis": 0, "weight_decay": 0.5}),
    "AdaGrad, weight_decay": Case("AdaGrad", in_turn(
        made("scale_by_rss", initial_accumulator_value=0.0, eps=1e-2), made("add_decayed_weights", 0.5), FAST),
        {"lr": 0.02, "eps": 0, "eps_inside_root": 1e-2, "weight_decay": 0.5}),
    "RMSprop": Case("RMSprop", made("rmsprop", 0.02, decay=0.95, eps=1e-2),
                    {"lr": 0.02, "rho": 0.95, "eps": 0, "eps_inside_root": 1e-2}),
    "RMSprop, eps outside": Case("RMSprop", made("rmsprop", 0.02, decay=0.95, eps=1e-2, eps_in_sqrt=False),
                                 {"lr": 0.02, "rho": 0.95, "eps": 1e-2}),
    "RMSprop like article": Case("RMSprop like article", made("rmsprop", 0.02, decay=0.95, eps=1e-2),
                                 {"lr": 0.02, "rho": 0.95, "eps": 1e-2}),
    "RMSprop, clip_global_norm, weight_decay": Case("RMSprop", in_turn(
        made("clip_by_global_norm", 2.0), made("scale_by_rms", decay=0.95, eps=1e-2), made("add_decayed_weights", 0.5),
        FAST), {"lr": 0.02, "rho": 0.95, "eps": 0, "eps_inside_root": 1e-2, "clip_global_norm": 2.0,
                "weight_decay": 0.5}),
    "RMSpropGraves, clip_value": Case("RMSpropGraves", in_turn(
        made("clip", 0.5), made("scale_by_stddev", decay=0.95, eps=1e-2), FAST),
        {"lr": 0.02, "eps": 1e-2, "clip_value": 0.5}),
    "AdaDelta, weight_decay": Case("AdaDelta", in_turn(
        made("scale_by_adadelta", rho=0.95, eps=1e-6), made("add_decayed_weights", 0.01), made("scale", -0.5)),
        {"lr": 0.5, "weight_decay": 0.01}),
    "AdaMax, clip_global_norm": Case("AdaMax", in_turn(
        made("clip_by_global_norm", 2.0), made("scale_by_adamax", eps=1e-2), FAST),
        {"lr": 0.02, "eps": 1e-2, "clip_global_norm": 2.0}),
    "Nadam": Case("Nadam like article", made("nadam", 0.02, **OPTAX_NADAM), {"lr": 0.02*ROOT_NU, **NADAM}),
    "Nadam, weight_decay, schedule": Case(
        "Nadam like article", lambda optax: optax.nadamw(optax_cosine(optax), **OPTAX_NADAM, weight_decay=0.3),
        {"lr": lambda t: ROOT_NU*cosine(t), "weight_decay": 0.3/ROOT_NU, **NADAM}),
    "Adam": Case("Adam", made("adam", 0.02), {"lr": 0.02}),
    "Adam, eps": Case("Adam", made("adam", 0.02, eps=1e-2), {"lr": 0.02, "eps": 1e-2}),
    "Adam, clip_norm": Case("Adam", in_turn(each(made("clip_by_global_norm", 0.8)), ADAM, FAST),
                            {"lr": 0.02, "clip_norm": 0.8}),
    "Adam, clip_global_norm": Case("Adam", in_turn(made("clip_by_global_norm", 2.0), ADAM, FAST),
                                   {"lr": 0.02, "clip_global_norm": 2.0}),
    "Adam, clip_adaptive": Case("Adam", in_turn(AGC, ADAM, FAST), {"lr": 0.02, "clip_adaptive": 0.3}),
    "Adam, centralize": Case("Adam", in_turn(made("centralize"), ADAM, FAST),
                             {"lr": 0.02, "centralize": True, "output_axis": 0}),
    "Adam, l1, l2": Case("Adam", in_turn(l1(0.05), made("add_decayed_weights", 0.1), ADAM, FAST),
                         {"lr": 0.02, "l1": 0.05, "l2": 0.1}),
    "Adam, schedules": Case("Adam", lambda optax: optax.inject_hyperparams(optax.adam)(
        optax_cosine(optax), b1=optax_linear(optax)), {"lr": cosine, "beta1": linear}),
    "AdamW, eps": Case("Adam", made("adamw", 0.02, eps=1e-2, weight_decay=0.3),
                               {"lr": 0.02, "eps": 1e-2, "weight_decay": 0.3}),
    "AdamW, schedule, mask": Case("Adam", lambda optax: optax.adamw(
        optax_cosine(optax), weight_decay=0.3, mask={key: key not in FEW for key in SHAPES}),
        {"lr": cosine, "weight_decay": 0.3}, biases(weight_decay=0)),
    "AdamW, groups, schedules, clip_global_norm": Case("Adam", in_turn(
        made("clip_by_global_norm", 2.0), partition(
            made("adam", 0.05, b1=0.7),
            lambda optax: optax.adamw(optax_cosine(optax), weight_decay=0.3))),
        {"lr": cosine, "weight_decay": 0.3, "clip_global_norm": 2.0},
        biases(lr=0.05, beta1=0.7, weight_decay=0)),
    "Adam, groups, clip_adaptive of one": Case("Adam", partition(
        made("adam", 0.05), in_turn(AGC, ADAM, FAST)),
        {"lr": 0.02, "clip_adaptive": 0.3}, biases(lr=0.05, clip_adaptive=None)),
    "Adam, frozen": Case("Adam", partition(made("set_to_zero"), made("adam", 0.02)), {"lr": 0.02},
                         biases(freeze=True)),
    "Adam, all": Case("Adam", in_turn(
        made("scale", -2.0), AGC, made("add_decayed_weights", 0.1), l1(0.05), ADAM,
        made("add_decayed_weights", 0.3), scheduled),
        {"lr": cosine, "grad_scale": 2.0, "maximize": True, "clip_adaptive": 0.3, "l2": 0.1, "l1": 0.05,
         "weight_decay": 0.3}),
    "AMSGrad, clip_adaptive, weight_decay": Case("AMSGrad like article", in_turn(
        AGC,
        made("scale_by_amsgrad", eps=0.0, bias_correction_mu=False, bias_correction_nu=False),
        made("add_decayed_weights", 0.5), FAST),
        {"lr": lambda t: 0.02*np.sqrt(t), "eps": 0, "clip_adaptive": 0.3, "weight_decay": lambda t: 0.5/np.sqrt(t)}),
}

# optax has eps under the roots of AdaGrad and RMSprop.
OPTAX |= {f"{rule}, gradients of {scale:g}": Case(rule, build, {"lr": 0.02, **values}, scale=scale)
          for scale in 10.0**np.arange(-1, -9, -1) for rule, build, values in (
              ("AdaGrad", made("adagrad", 0.02, initial_accumulator_value=0.0), {"eps": 0, "eps_inside_root": 1e-7}),
              ("RMSprop", made("rmsprop", 0.02, decay=0.99), {"eps": 0, "eps_inside_root": 1e-8}),
              ("Adam", made("adam", 0.02), {}), ("AdaMax", made("adamax", 0.02), {}))}


def walk_optax(case):
    import jax
    import optax
    params = {key: jax.numpy.asarray(p) for key, p in case.start().items()}
    rule = case.build(optax)
    state = rule.init(params)
    path = {key: [np.array(p)] for key, p in params.items()}

    @jax.jit
    def step(params, state, grads):
        updates, state = rule.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    for t in range(1, STEPS + 1):
        grads = {key: jax.numpy.asarray(case.gradient(key, np.asarray(p), t)) for key, p in params.items()}
        params, state = step(params, state, grads)
        for key, p in params.items():
            path[key].append(np.array(p))
    return path, {}


# Both

CASES = {"torch": TORCH, "optax": OPTAX}
PAIRS = [(peer, name) for peer in CASES for name in CASES[peer]]


def walk_all(peer, file):
    """For a child process: every case of one library, into an .npz."""
    warnings.simplefilter("default")
    if peer == "optax":
        import jax
        jax.config.update("jax_enable_x64", True)
    walk, found = {"torch": walk_torch, "optax": walk_optax}[peer], {}
    for name, case in CASES[peer].items():
        path, norms = walk(case)
        found |= {f"{name}: {key}": values for key, values in path.items()}
        found |= {f"{name}: norm of {key}": values for key, values in norms.items()}
    np.savez(file, **found)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """What a library's parameters were at each step; it runs when it is first asked for."""
    @cache
    def of(peer):
        if find_spec(peer) is None:
            pytest.skip(f"no {peer}")
        file = tmp_path_factory.mktemp("peers")/f"{peer}.npz"
        done = python("import warnings; warnings.resetwarnings(); from test_steps_of_peers import walk_all; "
                      "import sys; walk_all(*sys.argv[1:])", peer, file)
        assert done.returncode == 0, done.stderr
        return dict(np.load(file))
    return of


def said(case, name, found):
    """(values, groups) for fastnn and the oracle."""
    values, groups = case.values, case.groups
    if case.limits:
        limits = {}
        for key in SHAPES:
            norms = found[f"{name}: norm of {key}"]
            limits[key] = lambda t, norms=norms: case.limits*norms[t - 1]/(norms[t - 1] + 1e-6)
        values = values(limits) if callable(values) else values
        groups = groups(limits) if callable(groups) else groups
    return values, groups


def compare(case, name, found, step):
    """`step` takes parameters and gradients, and changes the mapping of parameters or the arrays in it."""
    params, worst = {key: p.copy() for key, p in case.start().items()}, 0
    for t in range(1, STEPS + 1):
        present = [key for key in params if t >= case.joins.get(key, 0)]
        now = {key: params[key] for key in present}
        step(now, {key: case.gradient(key, now[key], t) if case.has_gradient(key, t) else None for key in present})
        params |= now
        for key, p in params.items():
            wanted = found[f"{name}: {key}"][:t + 1]
            worst = max(worst, abs(p - wanted[t]).max()/abs(wanted).max())
    assert worst <= CLOSE
    return worst


@pytest.mark.parametrize(("peer", "name"), PAIRS)
def test_the_oracle(peer, name, paths, record_property):
    case, found = CASES[peer][name], paths(peer)
    values, groups = said(case, name, found)
    loop = steps.Loop(RULES[case.rule], groups, **values)
    record_property("difference", compare(case, name, found, loop.step))
    assert loop.skipped == 0


@pytest.mark.parametrize(("peer", "name"), [
    (peer, name) for peer, name in PAIRS if CASES[peer][name].rule in ORACLES])
def test_fastnn(peer, name, paths, record_property):
    case, found = CASES[peer][name], paths(peer)
    values, groups = said(case, name, found)
    own = [fastnn.group(*one.which, **({"freeze": True} if one.freeze else {}), **one.values) for one in groups]
    opt = optimizer(case.rule, **values, **({"groups": own} if own else {}))
    record_property("difference", compare(case, name, found, opt.update))
