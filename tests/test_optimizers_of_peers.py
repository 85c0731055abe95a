"""Every row beside what its `peers` name: 60 steps in float64 as they are, with decay, and uphill.

As in test_steps_of_peers.py, the libraries run in an interpreter of their own. What each has is asked there.
"""
import warnings
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from inspect import signature
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import pytest

import fastnn
from helpers import python
from test_steps_of_peers import Case, compare, walk_optax, walk_torch

DECAY = 0.1
# Where weight_decay stands beside the rule: of PyTorch's in these alone, of optax's in all but those.
DECOUPLED = ("AdamW", "Adafactor", "Muon")
COUPLED = ("adadelta", "lars", "contrib.dog", "contrib.dowg", "contrib.madgrad", "contrib.schedule_free_sgd")
# rows whose own decay is not that of optax
OTHER_DECAY = {"COCOB": "of the gradient that bets, not of the parameter", "ScheduleFreeAdamW": "of z alone"}


class Difference(NamedTuple):
    """Of a library's rule by that name; `said`, given a decay, says the library's to fastnn, None: nothing does."""
    reason: str
    said: Callable | None = None


def rectified_eps(t):
    return 1e-8*np.sqrt(1 - 0.999**t)


def after_the_first(first, later):
    return lambda t: first if t == 1 else later


DIFFERENCES = {
    ("torch", "MSGD"): Difference("the first gradient is not damped"),
    ("torch", "NAG"): Difference("the gradient is taken where the parameter is"),
    ("optax", "NAG"): Difference("the gradient is taken where the parameter is"),
    ("optax", "NoisySGD"): Difference("other noise"),
    ("optax", "AdaGrad"): Difference("squares start at 0.1, eps is under the root"),
    ("optax", "RMSprop"): Difference("eps is under the root", lambda decay: {"eps": 0, "eps_inside_root": 1e-8}),
    ("torch", "RMSpropGraves"): Difference("eps is beside the root"),
    ("torch", "Muon"): Difference("products in bfloat16, of the transposed"),
    ("optax", "Muon"): Difference("m and g are corrected as Adam's"),
    ("optax", "Adafactor"): Difference("factors the two longest axes"),
    ("optax", "Rprop"): Difference("each step is taken one call late"),
    ("optax", "Nadam"): Difference("mu is constant"),
    ("optax", "NAdamW"): Difference("mu is constant"),
    ("optax", "MADGRAD"): Difference("the root of the count is a float32"),
    ("optax", "AMSGrad"): Difference("the largest of corrected averages"),
    ("optax", "RAdam"): Difference("eps is beside the root of the corrected average",
                                   lambda decay: {"eps": rectified_eps}),
    ("optax", "Yogi"): Difference("m starts at 1e-6: parameters move without a gradient"),
    ("optax", "Adan"): Difference("1 - beta2 for beta2 in the average of squares, against the paper"),
    ("optax", "ACProp"): Difference("deviations from the old mean, against the paper", lambda decay: {
        "lr": after_the_first(1e-3, 0.9e-3), "eps": after_the_first(1e-8, 0.9e-8), "eps_inside_root": 0.81e-8,
        "weight_decay": after_the_first(decay, decay/0.9)}),
}


def torch_case(name, arguments, **said):
    return lambda torch, params: getattr(torch.optim, name)(params.values(), **{**arguments, **said})


def optax_case(name, arguments, **said):
    return lambda optax: attrgetter(name)(optax)(**{**arguments, **said})


def warmed_up(optax):
    """AdEMAMix with the schedules of its paper; optax counts from 0."""
    from jax import numpy as jnp

    def share(count):
        return jnp.minimum((count.astype(float) + 1)/40, 1)         # in 32 bits it would be divided in float32

    return optax.contrib.ademamix(
        0.02, alpha=lambda count: 5*share(count),
        b3=lambda count: jnp.exp(1/((1 - share(count))/np.log(0.9) + share(count)/np.log(0.999))))


# Other numbers than the defaults.
MORE = {
    ("torch", "RAdam, betas, eps"): Case("RAdam", torch_case("RAdam", {"betas": (0.8, 0.95), "eps": 1e-2, "lr": 0.02}),
                                         {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-2}),
    ("torch", "RAdam, decoupled, maximize"): Case(
        "RAdam", torch_case("RAdam", {"weight_decay": 0.3, "decoupled_weight_decay": True, "maximize": True}),
        {"weight_decay": 0.3, "maximize": True}),
    ("torch", "AdamW, no decay"): Case("AdamW", torch_case("AdamW", {"weight_decay": 0}), {"weight_decay": 0}),
    ("torch", "NAdamW, l2"): Case("NAdamW", torch_case("NAdam", {"weight_decay": 0.3}), {"weight_decay": 0, "l2": 0.3}),
    ("optax", "AdaBelief, eps"): Case("AdaBelief", optax_case("adabelief", {
        "learning_rate": 0.02, "b1": 0.7, "b2": 0.95, "eps": 1e-2, "eps_root": 1e-4}),
        {"lr": 0.02, "betas": (0.7, 0.95), "eps": 1e-2, "eps_inside_root": 1e-4}),
    ("optax", "ADOPT, no clipping"): Case("ADOPT", optax_case("contrib.adopt", {
        "learning_rate": 0.02, "use_clipping": False, "b2": 0.95, "eps": 0.3}),
        {"lr": 0.02, "clip_power": None, "beta2": 0.95, "eps": 0.3}),
    ("optax", "AdEMAMix, warmups"): Case("AdEMAMix", warmed_up, {
        "lr": 0.02, "beta3": 0.999, "alpha_warmup": 40, "beta3_warmup": 40}),
    ("optax", "Simplified-AdEMAMix, alpha"): Case("Simplified-AdEMAMix", optax_case("contrib.simplified_ademamix", {
        "learning_rate": 0.02, "alpha": 3.0, "b1": 0.9, "eps": 1e-2}),
        {"lr": 0.02, "alpha": 3, "beta1": 0.9, "eps": 1e-2}),
    ("optax", "Nadam as QHAdam"): Case("QHAdam", optax_case("nadam", {"learning_rate": 0.02}), {
        "lr": lambda t: 0.02*nadam(t)[0], "nu1": lambda t: nadam(t)[1], "beta1": 0.9,
        "eps": 1e-8}),
}


def nadam(t):
    """(factor of the rate, nu1) by which QHAdam is optax's nadam at step t."""
    of_m, of_g = 0.9*(1 - 0.9**t)/(1 - 0.9**(t + 1)), 0.1/(1 - 0.9**t)
    return of_m + of_g, of_m/(of_m + of_g)


def peers_of(name):
    return type(fastnn.get_opt(name)).peers


VARIATIONS = ("as it is", "decay", "uphill")
# What takes other calls than the walk's; test_bench.py compares the first.
OTHER_CALLS = {("torch", "SparseAdam"): "takes no arrays as gradients", ("torch", "Muon"): "steps nothing but matrices",
               ("optax", "Sophia"): "asks for the objective", ("optax", "PolyakSGD"): "asks for the loss",
               ("optax", "MoMo"): "asks for the loss", ("optax", "SM3"): "takes no arrays without axes"}
PAIRS = [(peer, name) for name in fastnn.optimizers() for peer in peers_of(name) if (peer, name) not in OTHER_CALLS]


def varied(peer, name, variation):
    """The case of a row; None where the library has no such argument. Imports the library."""
    library = __import__(peer)
    called, arguments = peers_of(name)[peer]
    known = signature(attrgetter(called)(library.optim if peer == "torch" else library)).parameters
    said = {"as it is": {}, "decay": {"weight_decay": DECAY}, "uphill": {"maximize": True}}[variation]
    if not said.keys() <= known.keys() or variation == "decay" and peer == "optax" and name in OTHER_DECAY:
        return None
    return Case(name, {"torch": torch_case, "optax": optax_case}[peer](called, arguments, **said))


def values(peer, name, variation):
    """What says the variation to fastnn."""
    called, arguments = peers_of(name)[peer]
    if name == "NovoGrad" and variation == "decay":
        return {"d": DECAY}
    decoupled = called not in COUPLED if peer == "optax" else (
        called in DECOUPLED or arguments.get("decoupled_weight_decay"))
    return {"as it is": {}, "decay": {"weight_decay" if decoupled else "l2": DECAY},
            "uphill": {"maximize": True}}[variation]


def walk_all(peer, file):
    """For a child process: every case of one library, into an .npz."""
    warnings.simplefilter("default")
    if peer == "optax":
        import jax
        jax.config.update("jax_enable_x64", True)
    cases = {title: case for (of, title), case in MORE.items() if of == peer}
    cases |= {f"{name}, {variation}": varied(peer, name, variation)
              for of, name in PAIRS if of == peer for variation in VARIATIONS}
    walk, found = {"torch": walk_torch, "optax": walk_optax}[peer], {}
    for title, case in cases.items():
        if case is not None:
            found |= {f"{title}: {key}": steps for key, steps in walk(case)[0].items()}
    np.savez(file, **found)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """What a library's parameters were at each step; it runs when it is first asked for."""
    @cache
    def of(peer):
        if find_spec(peer) is None:
            pytest.skip(f"no {peer}")
        file = tmp_path_factory.mktemp("peers")/f"{peer}.npz"
        done = python("import warnings; warnings.resetwarnings(); from test_optimizers_of_peers import walk_all; "
                      "import sys; walk_all(*sys.argv[1:])", peer, file)
        assert done.returncode == 0, done.stderr
        return dict(np.load(file))
    return of


@pytest.mark.parametrize(("peer", "name"), PAIRS)
def test_rows(peer, name, paths, record_property):
    found, difference = paths(peer), DIFFERENCES.get((peer, name))
    there = [variation for variation in VARIATIONS if f"{name}, {variation}: W" in found]
    assert "as it is" in there
    for variation in there:
        case, title, said = Case(name, None), f"{name}, {variation}", values(peer, name, variation)
        if difference is not None:
            with pytest.raises(AssertionError):
                compare(case, title, found, fastnn.get_opt(name, **said).update)
            if difference.said is None:
                continue
            said |= difference.said(said.get("weight_decay", 0))
        record_property(variation, compare(case, title, found, fastnn.get_opt(name, **said).update))


@pytest.mark.parametrize(("peer", "title"), MORE)
def test_other_numbers(peer, title, paths, record_property):
    case = MORE[peer, title]
    opt = fastnn.get_opt(case.rule, **case.values)
    record_property("difference", compare(case, title, paths(peer), opt.update))


def test_differences_are_of_rows():
    assert set(DIFFERENCES) <= set(PAIRS) | set(OTHER_CALLS)
    assert all(peer in peers_of(name) for peer, name in OTHER_CALLS)


def test_variations_are_found(paths):
    """If a library's signature were not read right, tests would look at fewer."""
    for peer, wanted in (("torch", ("Adam, decay", "Adam, uphill", "SGD, decay")),
                         ("optax", ("AdamW, decay", "Lion, decay"))):
        assert all(f"{title}: W" in paths(peer) for title in wanted)
