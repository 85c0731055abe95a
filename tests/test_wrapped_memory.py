"""Wrappers, and what happens to arrays in the middle of their steps: nothing is written then, or all of it."""
import gc
import warnings

import numpy as np
import pytest

from fastnn import SAM, Accumulate, ExponentialAverage, Lookahead, Rows, StateError, get_opt
from fuzz.hooks import Key
from helpers import assert_same_bits

MAKES = {"alone": lambda: get_opt("Adam"), "Lookahead": lambda: Lookahead(get_opt("Adam"), 1),
         "ExponentialAverage": lambda: ExponentialAverage(get_opt("Adam"), 0.5),
         "Accumulate": lambda: Accumulate(get_opt("Adam"), 2),
         "all": lambda: ExponentialAverage(Lookahead(Accumulate(get_opt("Adam", clip_global_norm=1.0), 1), 1), 0.5)}


# What runs by itself

class Finalized(np.ndarray):
    act = None

    def __del__(self):
        if self.act is not None:
            self.act()


class Garbage:
    def __init__(self, act):
        self.act, self.cycle = act, self

    def __del__(self):
        self.act()


def test_parameters_of_a_former_step_that_die():
    """What they do when they die comes before a step or behind it."""
    sam, g = SAM(get_opt("SGD")), np.ones(10**5)
    old, new = {"w": np.ones(10**5).view(Finalized)}, {"w": np.ones(10**5)}
    sam.ascend(old, {"w": g})
    sam.step(old, {"w": g})
    old["w"].act = lambda: new["w"].resize(10**7, refcheck=False)
    del old
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError):
            sam.ascend(new, {"w": g})
    assert (new["w"][:10**5] == 1).all()


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
@pytest.mark.parametrize("new", [False, True])
def test_garbage_that_changes_a_parameter(new, make):
    """Collection may set in wherever something is allocated."""
    n = 3000
    try:
        for threshold in range(1, 60):
            gc.disable()
            opt, params, grads = make(), {"a": np.ones(n), "b": np.ones(n)}, {"a": np.ones(n), "b": np.ones(n)}
            for _ in range(2):
                opt.step(params, grads)
            if new:
                params, grads = {"c": np.ones(n), **params}, {"c": np.ones(n), **grads}
            before = params["a"].copy(), opt.t
            Garbage(lambda b=params["b"]: b.resize(1, refcheck=False))
            gc.set_threshold(threshold, 10**6, 10**6)
            gc.enable()
            try:
                opt.step(params, grads)
            except ValueError:
                gc.disable()
                assert opt.t == before[1]
                assert_same_bits(params["a"], before[0])
    finally:
        gc.set_threshold(700, 10, 10)
        gc.enable()
        gc.collect()


def test_a_key_that_exchanges_keys():
    """Where keys are compared to those of the last call."""
    opt, g = Lookahead(get_opt("SGD"), 1), np.ones(3)
    params = {"a": np.ones(3), "b": np.ones(3)}
    for _ in range(2):
        opt.step(params, {"a": g, "b": g})

    def exchange():
        params.pop("a", None)
        params["c"] = np.ones(3)
    with pytest.raises((KeyError, RuntimeError)):
        opt.step(params, {"a": g, Key("b", exchange): g})
    assert opt.t == 2


# Numbers that are rounded, with NumPy's errors raised

@pytest.mark.parametrize("make", [*MAKES.values(), lambda: Lookahead(get_opt("SGD", eta=1.0), 1)], ids=[*MAKES, "SGD"])
@pytest.mark.parametrize("dtype", ["f2", "f4"])
def test_numbers_that_are_rounded_raise_nothing(dtype, make):
    found = []
    for how in ("ignore", "raise"):
        opt = make()
        params = {"a": np.array([6e-8, 1, 6e4], dtype), "b": np.ones((3, 2), dtype)[:, ::-1]}
        with np.errstate(all=how):
            for _ in range(4):
                opt.step(params, {"a": np.array([3e-8, 1e-300, -1.0]), "b": np.full((3, 2), 1e-9)})
        found.append([params["a"].tobytes(), params["b"].tobytes(), opt.t])
    assert found[0] == found[1]


def test_a_gradient_that_overflows_beside_one_that_is_due():
    opt, params = Accumulate(get_opt("SGD", eta=1.0), 2), {"a": np.zeros(3, "f4"), "b": np.zeros(3, "f4")}
    opt.step({"a": params["a"]}, {"a": np.ones(3)})
    with np.errstate(all="raise"):
        opt.step(params, {"a": np.ones(3), "b": np.full(3, 1e300)})
        opt.step({"b": params["b"]}, {"b": np.ones(3)})
    assert params["a"].tolist() == [-1] * 3 and params["b"].tolist() == [-np.inf] * 3


@pytest.mark.parametrize("dtype", ["i8", "u1", ">f4", "f2"])
def test_gradients_of_any_dtype_are_added(dtype):
    opt, p = Accumulate(get_opt("SGD", eta=1.0), 2), np.zeros(3, "f4")
    for numbers in ([1, 2, 3], [3, 4, 5]):
        opt.step([p], [np.array(numbers, dtype)])
    assert p.tolist() == [-2, -3, -4]


# SAM

def test_the_average_of_a_parameter_that_only_went_to_and_fro():
    opt = ExponentialAverage(SAM(get_opt("SGD", lr=0.1), rho=10.0))
    params, g = {"a": np.ones(3), "b": np.ones(3)}, np.ones(3)
    opt.ascend(params, {"a": g, "b": g})
    opt.step(params, {"a": g, "b": None})
    assert opt.params["b"].tolist() == params["b"].tolist() == [1] * 3


def test_a_parameter_that_a_step_makes_read_only():
    """It is back then, and stays."""
    armed = []

    def rate(t):
        if armed:
            params["a"].flags.writeable = False
        return 0.1
    sam, params, grads = SAM(get_opt("SGD", lr=rate)), {"a": np.ones(3)}, {"a": np.ones(3)}
    sam.ascend(params, grads)
    armed.append(True)
    with pytest.raises(ValueError):
        sam.step(params, grads)
    armed.clear()
    params["a"].flags.writeable = True
    sam.restore(params)
    assert params["a"].tolist() == [1] * 3
    sam.ascend(params, grads)
    sam.step(params, grads)
    assert_same_bits(params["a"], np.ones(3) - 0.1)


def test_nothing_of_a_step_is_held():
    died = []
    for make in (*MAKES.values(), lambda: SAM(get_opt("SGD"))):
        opt, params, grads = make(), {"a": np.ones(4).view(Finalized)}, {"a": np.ones(4)}
        for _ in range(2):
            if opt._ascending() is not None:
                opt.ascend(params, grads)
            opt.step(params, grads)
        params["a"].act = lambda: died.append(True)
        del params
    assert len(died) == len(MAKES) + 1


# What is inside is in use

def test_forget_while_a_wrapper_inside_is_in_use():
    tried = []

    def rate(t):
        if t == 2:
            with pytest.raises(RuntimeError, match="in use"):
                opt.forget("a")
            tried.append(True)
        return 0.1
    inside = ExponentialAverage(get_opt("SGD", lr=rate), 0.5)
    opt, p = Lookahead(inside, 1), {"a": np.ones(3)}
    opt.step(p, p)
    inside.step(p, p)
    assert tried and opt._slow[0].keys() == inside.params.keys() == {"a"}
    opt.forget("a")
    assert not opt._slow[0] and not opt.state


def test_more_gradients_than_a_step_has_in_a_state():
    opt, p = Accumulate(get_opt("SGD"), 3), np.ones(3)
    opt.step([p], [p])
    opt.step([p], [Rows([1], np.ones(1))])
    state = opt.state_dict()
    for k in (1, 2):
        with pytest.raises(StateError, match="count"):
            opt.load_state_dict({**state, "hyperparameters": {"k": k}})
    opt.load_state_dict(state)
