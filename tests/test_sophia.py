"""Sophia's Hessian: where it is given, what of it is refused."""
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastnn import Rows, get_opt, group
from helpers import assert_same_bits
from oracles.optimizers import Sophia

SHAPES = {"W": (3, 4), "b": (5,)}


def arrays(seed, dtype=np.float64):
    return {key: np.random.default_rng((seed, i)).standard_normal(shape).astype(dtype)
            for i, (key, shape) in enumerate(SHAPES.items())}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_other_step_has_one(dtype):
    values = {"lr": 0.1, "gamma": 0.5, "beta1": 0.5}
    opt, oracles, params = get_opt("Sophia", **values), {key: Sophia(**values) for key in SHAPES}, arrays(0, dtype)
    for t in range(1, 12):
        grads, before = arrays(t, dtype), {key: p.copy() for key, p in params.items()}
        hessian = {"W": np.asfortranarray(abs(arrays(-t % 99)["W"])), "b": None if t % 3 else 3*arrays(-t % 99)["b"]}
        opt.step(params, grads, hessian=hessian if t % 2 else None)
        for key, oracle in oracles.items():
            given = {"hessian": hessian[key]} if t % 2 and hessian[key] is not None else {}
            wanted = oracle.delta(grads[key], t, **given)
            assert_allclose(params[key] - before[key], wanted, rtol=1e-9 if dtype == np.float64 else 1e-4, atol=1e-6)
            assert_allclose(opt.state[key]["h"], oracle.h*np.ones(SHAPES[key]), rtol=1e-5, atol=1e-7)


def test_structures():
    opts = [get_opt("Sophia", gamma=1.0) for _ in range(4)]
    g, h = np.linspace(-1, 1, 4), np.linspace(0.5, 3, 4)
    single, listed, named, nested = np.zeros(4), [np.zeros(4)], {("a", 0): np.zeros(4)}, {"a": [np.zeros(4), 0.5]}
    for _ in range(3):
        opts[0].step(single, g, hessian=h)
        opts[1].update(listed, [g], hessian=[h])
        opts[2].step(named, {("a", 0): g}, hessian={("a", 0): h})
        opts[3].step(nested, {"a": [g, 1.0]}, hessian={"a": (h, None)})
    for p in (listed[0], named["a", 0], nested["a"][0]):
        assert_same_bits(p, single)
    one, other = get_opt("Sophia"), get_opt("Sophia")
    assert_array_equal(one.update(g, hessian=h), other.update(g, g, hessian=(h, None))[0])


def test_a_function_that_is_maximized_has_the_hessian_of_its_negative():
    one, other, p, q = get_opt("Sophia", maximize=True, grad_scale=0.5), get_opt("Sophia"), np.ones(3), np.ones(3)
    one.step(p, np.arange(3.0), hessian=np.array([-8.0, 2.0, -1.0]))
    other.step(q, -np.arange(3.0)/2, hessian=np.array([4.0, -1.0, 0.5]))
    assert_same_bits(p, q)


@pytest.mark.parametrize(("hessian", "error"), [
    ({"W": np.ones((3, 4))}, KeyError), ({"W": np.ones((3, 4)), "b": np.ones(4)}, ValueError),
    ({"W": np.ones((3, 4)), "b": 1j*np.ones(5)}, TypeError), ([np.ones((3, 4)), np.ones(5)], ValueError),
    (np.ones((3, 4)), TypeError), ({"W": Rows([1], np.ones((1, 4))), "b": None}, (TypeError, ValueError)),
    ({"W": np.ones((3, 4)), "b": "steep"}, (TypeError, ValueError)), ("steep", TypeError)])
def test_a_hessian_that_does_not_fit_changes_nothing(hessian, error):
    opt, params = get_opt("Sophia"), arrays(0)
    opt.step(params, arrays(1), hessian=arrays(2))
    before = pickle.dumps((opt.state_dict(), params))
    with pytest.raises(error):
        opt.step(params, arrays(3), hessian=hessian)
    assert pickle.dumps((opt.state_dict(), params)) == before


def test_parameters_that_are_left_alone_need_none():
    opt, params = get_opt("Sophia", groups=[group("b", freeze=True)]), arrays(0)
    opt.step(params, arrays(1), hessian={"W": np.ones((3, 4))})
    opt.step(params, {"W": None, "b": np.ones(5)}, hessian={})
    assert opt.t == 1 and (opt.state["W"]["h"] != 0).all()


def test_a_step_that_is_skipped_leaves_h_alone():
    opt, p = get_opt("Sophia", clip_norm=1.0), np.ones(3)
    opt.step(p, p.copy(), hessian=p.copy())
    h = opt.state[0]["h"].copy()
    with pytest.warns(RuntimeWarning, match="skipped"):
        opt.step(p, np.array([1, np.nan, 2]), hessian=5*p)
    assert_array_equal(opt.state[0]["h"], h)
