"""Optimizers of other libraries, 60 steps of each in float64: what get_opt(name, like=library) must compute.

A case is what is given to the library and to fastnn alike. `write` runs a library that is installed, which is what
tools/record_peers.py does; its files are in tests/data/peers.
"""
import json
import os
import warnings
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version
from inspect import signature
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent/"data"/"peers"
STEPS = 60
KEPT = (2, 60)                                  # the steps whose parameters are compared
SHAPES = {"W": (3, 2), "b": (3,)}
PACKAGES = {"torch": "torch", "optax": "optax", "keras": "keras", "chainer": "chainer", "sklearn": "scikit-learn"}
OPTIMIZERS = {"torch": "torch.optim", "optax": "optax", "keras": "keras.optimizers", "chainer": "chainer.optimizers"}


@dataclass
class Case:
    """`arguments` are the library's and those of `like=`; `options` fastnn's alone, for what the library does outside.

    `scheduled` names the argument that is a schedule, its value times `falling`.
    """
    name: str
    arguments: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)
    scheduled: str | None = None

    @property
    def title(self):
        given = [f"{key}={value}" for key, value in {**self.arguments, **self.options}.items()]
        return " ".join([self.name, *given, *(["falling " + self.scheduled] if self.scheduled else [])])

    def value(self, t):
        return self.arguments[self.scheduled]*falling(t)


def falling(t):
    """Twice a step up, then down."""
    return (0.25 if t < 5 else 1.0 if t < 20 else 0.5)/(1 + t/100)


def start():
    return {key: spread(7 + len(key)*np.arange(np.prod(shape, dtype=int))).reshape(shape)
            for key, shape in SHAPES.items()}


def spread(number):
    """From integers numbers between -2 and 2, exactly, on every machine."""
    return (np.asarray(number)*2654435761 % 2**32)/2**30 - 2


def gradient(key, p, t):
    """Of a bowl, seen through noise: between a tenth and 1.5 times of its usual size."""
    noise = spread(1000*t + 31*len(key) + np.arange(p.size)).reshape(p.shape)
    return (0.1 + 1.4*(37*t % 60)/60)*(0.3*p + noise)


def run(step):
    """The parameters at the steps that are kept, one row each; step(parameters, gradients, t) changes them in place."""
    params, kept = start(), []
    for t in range(1, STEPS + 1):
        step(params, {key: gradient(key, p, t) for key, p in params.items()}, t)
        if t in KEPT:
            kept.append(np.concatenate([p.ravel() for p in params.values()]))
    return np.array(kept)


def told(case, params):
    """What a step is told besides gradients."""
    return {"f": 1 + sum(float((p*p).sum()) for p in params.values())} if case.name in ("polyak_sgd", "momo") else {}


# The libraries: each a function of a case, which returns what `run` takes

def torch(case):
    import torch
    torch.set_default_dtype(torch.float64)          # NAdam keeps the product of its momenta in it

    tensors = {key: torch.tensor(p) for key, p in start().items()}
    opt = getattr(torch.optim, case.name)(tensors.values(), **case.arguments)

    def step(params, grads, t):
        if case.scheduled:
            opt.param_groups[0][case.scheduled] = case.value(t)
        for key, p in tensors.items():
            p.grad = torch.tensor(grads[key])
        if case.options.get("clip_value"):
            torch.nn.utils.clip_grad_value_(list(tensors.values()), case.options["clip_value"])
        opt.step()
        for key, p in tensors.items():
            params[key][...] = p.numpy()
    return step


def optax(case):
    import jax
    jax.config.update("jax_enable_x64", True)
    import optax

    arguments = dict(case.arguments)
    if case.scheduled:
        arguments[case.scheduled] = lambda count: case.arguments[case.scheduled]*falling_of_array(count + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)         # optimistic_adam, which optax still has
        opt = (getattr(optax, case.name, None) or getattr(optax.contrib, case.name))(**arguments)
    if "clip_global_norm" in case.options:
        opt = optax.chain(optax.clip_by_global_norm(case.options["clip_global_norm"]), opt)
    elif "clip_value" in case.options:
        opt = optax.chain(optax.clip(case.options["clip_value"]), opt)
    state = opt.init(start())

    def step(params, grads, t):
        nonlocal state
        value = {"value": f for f in told(case, params).values()}
        updates, state = opt.update(grads, state, params, **value)
        for key, update in updates.items():
            params[key] += np.asarray(update)
    return step


def falling_of_array(t):
    import jax.numpy as jnp
    return jnp.where(t < 5, 0.25, jnp.where(t < 20, 1.0, 0.5))/(1 + jnp.asarray(t, "float64")/100)


def keras(case):
    os.environ["KERAS_BACKEND"] = "jax"             # on PyTorch, ops.maximum of a number rounds to float32
    import jax
    jax.config.update("jax_enable_x64", True)
    import keras
    keras.config.set_floatx("float64")

    class Falling(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, count):
            return keras.ops.cast(case.value(int(count) + 1), "float64")

    arguments = dict(case.arguments)
    if case.scheduled:
        arguments[case.scheduled] = Falling()
    opt = getattr(keras.optimizers, case.name)(**arguments)
    variables = {key: keras.Variable(p, dtype="float64") for key, p in start().items()}
    opt.build(list(variables.values()))

    def step(params, grads, t):
        opt.apply([keras.ops.convert_to_tensor(grad) for grad in grads.values()], list(variables.values()))
        for key, variable in variables.items():
            params[key][...] = keras.ops.convert_to_numpy(variable.value)
    return step


def chainer(case):
    import chainer
    chainer.config.dtype = np.dtype("float64")

    class Model(chainer.Chain):
        def __init__(self):
            super().__init__()
            with self.init_scope():
                for key, p in start().items():
                    setattr(self, key, chainer.Parameter(p))

    model = Model()
    first = {case.scheduled: case.value(1)} if case.scheduled else {}
    opt = getattr(chainer.optimizers, case.name)(**case.arguments | first).setup(model)
    hooks = chainer.optimizer_hooks
    for option, hook in {"l2": hooks.WeightDecay, "l1": hooks.Lasso, "clip_global_norm": hooks.GradientClipping,
                         "clip_value": lambda c: hooks.GradientHardClipping(-c, c)}.items():
        if option in case.options:
            opt.add_hook(hook(case.options[option]))

    def step(params, grads, t):
        if case.scheduled:
            setattr(opt, case.scheduled, case.value(t))
        for key, grad in grads.items():
            getattr(model, key).grad = grad.copy()
        opt.update()
        for key in params:
            params[key][...] = getattr(model, key).data
    return step


def sklearn(case):
    from sklearn.neural_network import _stochastic_optimizers as solvers

    arguments = dict(case.arguments)
    if "nesterovs_momentum" in arguments:           # MLPClassifier's word
        arguments["nesterov"] = arguments.pop("nesterovs_momentum")
    made = start()
    opt = {"sgd": solvers.SGDOptimizer, "adam": solvers.AdamOptimizer}[case.name](list(made.values()), **arguments)

    def step(params, grads, t):
        if case.scheduled:
            opt.learning_rate = opt.learning_rate_init = case.value(t)
        opt.update_params(list(params.values()), list(grads.values()))
    return step


def arguments_of(library):
    """Name -> {argument: default as text} of the library's optimizers, but for parameters and **kwargs."""
    made = {}
    for name in dict.fromkeys(case.name for case in CASES[library]):
        home = import_module(OPTIMIZERS[library])
        parameters = signature(getattr(home, name, None) or getattr(home.contrib, name)).parameters.values()
        made[name] = {each.name: "" if each.default is each.empty else repr(each.default) for each in parameters
                      if each.name != "params" and each.kind is not each.VAR_KEYWORD}
    return made


def write(library, path):
    """What the library computes, case by case, and how its optimizers are called, into a file."""
    path.parent.mkdir(exist_ok=True)
    values = [run(globals()[library](case)) for case in CASES[library]]
    np.savez_compressed(path, titles=[case.title for case in CASES[library]], values=values,
                        version=version(PACKAGES[library]),
                        arguments=json.dumps(arguments_of(library) if library in OPTIMIZERS else {}))


def read(path):
    """({title: values}, {name: arguments}) of such a file."""
    with np.load(path) as file:
        return dict(zip(file["titles"].tolist(), file["values"])), json.loads(str(file["arguments"]))


def several(names, *arguments, options=(), scheduled=None, **common):
    """A case of each name with each of the arguments, and one each with the option or the schedule."""
    found = []
    for name in names.split():
        found += [Case(name, {**common, **each}) for each in ({}, *arguments)]
        found += [Case(name, common, option) for option in options]
        found += [Case(name, common, scheduled=scheduled)] if scheduled else []
    return found


CASES = {
    "torch": [
        *several("SGD", {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.25}, {"momentum": 0.8, "nesterov": True},
                 {"momentum": 0.9, "weight_decay": 0.1, "maximize": True}, lr=0.05,
                 options=[{"clip_value": 0.5}], scheduled="lr"),
        Case("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.5}, scheduled="lr"),
        Case("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True}, scheduled="lr"),
        *several("Adam AdamW", {"weight_decay": 0.1}, {"amsgrad": True, "betas": (0.8, 0.95)}, {"maximize": True},
                 {"eps": 1e-3}, lr=0.02, options=[{"clip_value": 0.5}], scheduled="lr"),
        Case("Adam", {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True}, scheduled="lr"),
        *several("Adamax NAdam RAdam", {"weight_decay": 0.1}, {"eps": 1e-3, "betas": (0.8, 0.95)}, {"maximize": True},
                 lr=0.02, scheduled="lr"),
        Case("NAdam", {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True, "momentum_decay": 0.1}),
        *several("RMSprop", {"weight_decay": 0.1, "alpha": 0.8}, {"momentum": 0.9}, {"centered": True, "eps": 1e-3},
                 {"momentum": 0.8, "centered": True, "maximize": True}, lr=0.02, scheduled="lr"),
        Case("RMSprop", {"lr": 0.02, "momentum": 0.8, "centered": True}, scheduled="lr"),
        Case("RMSprop"),
        *several("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1}, {"initial_accumulator_value": 0.5},
                 {"initial_accumulator_value": 0.5, "lr_decay": 0.1, "eps": 1e-3}, {"maximize": True}, lr=0.1,
                 scheduled="lr"),
        *several("Adadelta", {"weight_decay": 0.1}, {"rho": 0.8, "eps": 1e-3}, {"maximize": True}, lr=0.5,
                 scheduled="lr"),
        *several("Rprop", {"etas": (0.25, 1.5), "step_sizes": (1e-4, 0.1)}, {"maximize": True}, lr=0.02,
                 scheduled="lr"),
        *several("ASGD", {"lambd": 0.1, "alpha": 0.5, "weight_decay": 0.1}, {"t0": 10.0, "maximize": True}, lr=0.02),
        *(Case(name) for name in ("SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "Rprop",
                                  "ASGD")),
    ],
    "optax": [
        *several("sgd", {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, learning_rate=0.05,
                 options=[{"clip_value": 0.5}, {"clip_global_norm": 1.0}], scheduled="learning_rate"),
        Case("sgd", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}, scheduled="learning_rate"),
        *several("adam adamw nadam nadamw amsgrad", {"b1": 0.8, "b2": 0.95, "eps": 1e-3, "eps_root": 1e-2},
                 learning_rate=0.02, options=[{"clip_global_norm": 1.0}], scheduled="learning_rate"),
        Case("adam", {"learning_rate": 0.02, "nesterov": True}),
        Case("adamw", {"learning_rate": 0.02, "weight_decay": 0.2}, scheduled="learning_rate"),
        Case("amsgrad", {"learning_rate": 0.02, "bias_correction_mu": False}),
        Case("amsgrad", {"learning_rate": 0.02, "bias_correction_nu": False, "b2": 0.9}),
        *several("adamax adamaxw", {"b1": 0.8, "b2": 0.95, "eps": 1e-3}, learning_rate=0.02,
                 scheduled="learning_rate"),
        *several("adagrad", {"initial_accumulator_value": 0.5, "eps": 1e-3}, learning_rate=0.1,
                 scheduled="learning_rate"),
        *several("adadelta", {"rho": 0.8, "eps": 1e-3, "weight_decay": 0.1}, learning_rate=0.5,
                 scheduled="learning_rate"),
        *several("rmsprop", {"decay": 0.8, "eps": 1e-3}, {"eps_in_sqrt": False}, {"centered": True, "eps": 1e-3},
                 {"momentum": 0.9}, {"momentum": 0.8, "nesterov": True, "centered": True, "eps_in_sqrt": False},
                 learning_rate=0.02, scheduled="learning_rate"),
        Case("rmsprop", {"learning_rate": 0.02, "momentum": 0.8, "nesterov": True}, scheduled="learning_rate"),
        *several("radam yogi adabelief", {"b1": 0.8, "b2": 0.9, "eps": 1e-2}, learning_rate=0.02,
                 scheduled="learning_rate"),
        *several("lion", {"b1": 0.8, "b2": 0.9, "weight_decay": 0.1}, learning_rate=0.01, scheduled="learning_rate"),
        *several("sign_sgd", learning_rate=0.01, scheduled="learning_rate"),
        *several("signum", {"beta": 0.5}, learning_rate=0.01, scheduled="learning_rate"),
        *several("lamb", {"b1": 0.8, "b2": 0.95, "eps": 1e-3, "weight_decay": 0.1}, learning_rate=0.02,
                 options=[{"clip_global_norm": 1.0}], scheduled="learning_rate"),
        *several("lars", {"momentum": 0.5, "eps": 1e-2, "weight_decay": 0.1, "trust_coefficient": 0.01},
                 learning_rate=1.0, scheduled="learning_rate"),
        *several("novograd", {"b1": 0.8, "b2": 0.95, "eps": 1e-3, "weight_decay": 0.1}, learning_rate=0.02,
                 scheduled="learning_rate"),
        *several("fromage", {"min_norm": 0.5}, learning_rate=0.02, scheduled="learning_rate"),
        *several("sm3", {"momentum": 0.5}, learning_rate=0.1),
        *several("optimistic_gradient_descent", {"alpha": 0.5, "beta": 0.25}, learning_rate=0.02,
                 scheduled="learning_rate"),
        *several("optimistic_adam", {"optimism": 0.01, "b1": 0.8, "eps": 1e-3}, learning_rate=0.02, nesterov=False),
        *several("optimistic_adam_v2", {"alpha": 0.5, "beta": 0.25, "b2": 0.9}, learning_rate=0.02, nesterov=False,
                 scheduled="learning_rate"),
        *several("polyak_sgd", {"scaling": 0.5, "f_min": 0.5, "eps": 1e-2}, {"max_learning_rate": 0.01}),
        *several("acprop", {"b1": 0.8, "b2": 0.9, "eps": 1e-2, "eps_root": 1e-3, "weight_decay": 0.1},
                 learning_rate=0.02, scheduled="learning_rate"),
        *several("ademamix", {"b1": 0.8, "b3": 0.99, "alpha": 2.0, "weight_decay": 0.1}, learning_rate=0.02,
                 scheduled="learning_rate"),
        *several("simplified_ademamix", {"b1": 0.8, "alpha": 2.0, "weight_decay": 0.1}, learning_rate=0.002,
                 scheduled="learning_rate"),
        *several("adopt", {"b1": 0.8, "b2": 0.9, "eps": 1e-2}, {"use_clipping": False}, learning_rate=0.02,
                 scheduled="learning_rate"),
        *several("cocob", {"alpha": 10.0, "learning_rate": 0.5}),
        *several("dog", {"init_step": ("heuristic", 1e-3), "eps": 1e-4, "weight_decay": 0.1}, learning_rate=0.5),
        *several("dowg", {"eps": 1e-2, "weight_decay": 0.1}, learning_rate=0.5),
        *several("dadapt_adamw", {"betas": (0.8, 0.95), "estim_lr0": 1e-3, "weight_decay": 0.1}, learning_rate=0.5),
        *several("prodigy", {"betas": (0.8, 0.95), "beta3": 0.9, "estim_lr0": 1e-3, "estim_lr_coef": 0.5,
                             "weight_decay": 0.1}, learning_rate=0.5),
        *several("momo", {"beta": 0.5, "lower_bound": 0.5, "weight_decay": 0.1}, learning_rate=0.05),
        *several("schedule_free_sgd", {"b1": 0.8, "weight_lr_power": 1.0, "weight_decay": 0.1}, learning_rate=0.05),
        *several("schedule_free_adamw", {"b1": 0.8, "b2": 0.9, "weight_lr_power": 1.0}, learning_rate=0.02),
    ],
    "keras": [
        *several("SGD", {"momentum": 0.9, "clipvalue": 0.5}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
                 learning_rate=0.05, scheduled="learning_rate"),
        Case("SGD", {"learning_rate": 0.05, "momentum": 0.9}, scheduled="learning_rate"),
        Case("SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}, scheduled="learning_rate"),
        *several("Adam AdamW", {"weight_decay": 0.2}, {"amsgrad": True, "beta_1": 0.8, "beta_2": 0.95},
                 {"epsilon": 1e-3}, {"clipnorm": 0.75}, {"global_clipnorm": 1.0}, {"loss_scale_factor": 4.0},
                 learning_rate=0.02, scheduled="learning_rate"),
        *several("Adamax Nadam", {"weight_decay": 0.2}, {"epsilon": 1e-3, "beta_1": 0.8, "beta_2": 0.95},
                 learning_rate=0.02, scheduled="learning_rate"),
        *several("Adagrad", {"initial_accumulator_value": 0.5, "epsilon": 1e-3}, {"weight_decay": 0.2},
                 learning_rate=0.1, scheduled="learning_rate"),
        *several("RMSprop", {"rho": 0.8, "epsilon": 1e-3}, {"centered": True}, {"momentum": 0.9, "weight_decay": 0.2},
                 {"momentum": 0.8, "centered": True}, learning_rate=0.02, scheduled="learning_rate"),
        Case("RMSprop", {"learning_rate": 0.02, "momentum": 0.8, "centered": True}, scheduled="learning_rate"),
        Case("RMSprop"),
        *several("Adadelta", {"rho": 0.8, "epsilon": 1e-3}, {"weight_decay": 0.2}, learning_rate=0.5,
                 scheduled="learning_rate"),
        *several("Lion", {"weight_decay": 0.2, "beta_1": 0.8, "beta_2": 0.9}, learning_rate=0.01,
                 scheduled="learning_rate"),
        *several("Lamb", {"epsilon": 1e-3, "beta_1": 0.8, "beta_2": 0.95, "clipnorm": 0.75}, learning_rate=0.02,
                 scheduled="learning_rate"),
        *(Case(name) for name in ("SGD", "Adam", "AdamW", "Adamax", "Nadam", "Adagrad", "Adadelta", "Lion", "Lamb")),
        *several("ScheduleFreeAdamW", {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}, learning_rate=0.02,
                 scheduled="learning_rate"),
    ],
    "chainer": [
        *several("SGD MomentumSGD CorrectedMomentumSGD", lr=0.05, options=[
            {"l2": 0.1}, {"l1": 0.1}, {"clip_value": 0.5}, {"clip_global_norm": 1.0}], scheduled="lr"),
        *several("AdaGrad", {"eps": 1e-3}, lr=0.1, scheduled="lr"),
        *several("AdaDelta", {"rho": 0.8, "eps": 1e-3}),
        *several("RMSprop", {"alpha": 0.8, "eps": 1e-3}, {"eps_inside_sqrt": True, "eps": 1e-3}, lr=0.02,
                 scheduled="lr"),
        *several("RMSpropGraves", {"momentum": 0.5, "eps": 1e-3}, lr=0.02, scheduled="lr"),
        Case("RMSpropGraves"),
        *several("MSVAG", {"beta": 0.8}, lr=0.02, scheduled="lr"),
        *several("SMORMS3", {"eps": 1e-3}, lr=0.02, scheduled="lr"),
        *several("Adam AMSGrad", {"eta": 0.5, "eps": 1e-3, "beta1": 0.8, "beta2": 0.95}, alpha=0.02,
                 scheduled="alpha"),
        *(Case(name, {"alpha": 0.02, "weight_decay_rate": 0.01, "eta": 0.5}) for name in ("Adam", "AdamW")),
        Case("AdamW", {"alpha": 0.02, "weight_decay_rate": 0.01}, scheduled="alpha"),
        Case("AdamW", {"alpha": 0.02, "weight_decay_rate": 0.01, "eta": 1.0}, scheduled="eta"),
        *several("AdaBound AMSBound", {"final_lr": 0.05, "gamma": 0.1, "eps": 1e-3}, alpha=0.02, scheduled="alpha"),
        *(Case(name) for name in ("SGD", "MomentumSGD", "CorrectedMomentumSGD", "AdaGrad", "RMSprop", "SMORMS3",
                                  "Adam", "AdamW", "AMSGrad", "AdaBound", "AMSBound")),
    ],
    "sklearn": [
        *several("sgd", {"nesterovs_momentum": False}, {"momentum": 0.5}, {"momentum": 0.0},
                 learning_rate_init=0.05, scheduled="learning_rate_init"),
        Case("sgd", {"learning_rate_init": 0.05, "nesterovs_momentum": False}, scheduled="learning_rate_init"),
        *several("adam", {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}, learning_rate_init=0.02,
                 scheduled="learning_rate_init"),
        Case("adam"),
    ],
}
