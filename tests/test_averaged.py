"""Rules whose result is an average of the steps: where they are evaluated."""
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastnn import Lookahead, get_opt, group

START = {"W": np.arange(6.0).reshape(2, 3), "b": np.ones(2, np.float32)}


def gradient(params, t):
    return {key: np.cos(p + t) + p for key, p in params.items()}


def walk(opt, steps=20):
    params = {key: p.copy() for key, p in START.items()}
    for t in range(1, steps + 1):
        grads = gradient(params, t)
        yield params, grads
        opt.step(params, grads)


@pytest.mark.parametrize("values", [{}, {"r": 1.0, "weight_lr_power": 0.5}, {"lr": lambda t: 0.1*min(t, 5)}])
def test_schedule_free_is_evaluated_at_x(values):
    """Equations 3 to 5 of Defazio et al. 2024, with weights."""
    opt = get_opt("ScheduleFreeSGD", **{"lr": 0.1, "beta": 0.8} | values)
    rate = values.get("lr", lambda t: 0.1)
    x, z, total = dict(START), dict(START), 0
    for t, (params, grads) in enumerate(walk(opt), 1):
        for key, p in params.items():
            assert_allclose(p, 0.2*z[key] + 0.8*x[key], rtol=1e-5)
            if t > 1:
                assert_allclose(opt.evaluation_point(params)[key], x[key], rtol=1e-5)
        weight = t**values.get("r", 0)*rate(t)**values.get("weight_lr_power", 2)
        total += weight
        z = {key: z[key] - rate(t)*grads[key] for key in z}
        x = {key: x[key] + weight/total*(z[key] - x[key]) for key in x}


def test_asgd_is_evaluated_at_the_mean():
    opt, seen = get_opt("ASGD", lr=0.1, t0=5), []
    for params, _ in walk(opt):
        seen.append(params["W"].copy())
        if 1 < len(seen) <= 8:
            assert_array_equal(opt.evaluation_point(params)["W"], seen[-1])
    assert_allclose(opt.evaluation_point(params)["W"], np.mean([*seen[7:], params["W"]], axis=0), rtol=1e-12)


@pytest.mark.parametrize("name", ["ASGD", "ScheduleFreeSGD", "ScheduleFreeAdamW"])
def test_evaluation_in_the_structure_of_the_parameters(name):
    opt, other = (get_opt(name, lr=0.1, groups=[group("*", lr=0.2)]) for _ in range(2))
    nested, flat = {"a": [np.ones(3), [0.5, np.ones(2)]]}, [np.ones(3), 0.5, np.ones(2)]
    assert opt.evaluation_point(nested)["a"][1][0] == 0.5               # before the first step
    for t in (1, 2, 3):
        opt.step(nested, {"a": [np.full(3, 1.0*t), [2.0, np.ones(2)]]})
        other.step(flat, [np.full(3, 1.0*t), 2.0, np.ones(2)])
    [first, [second, third]] = opt.evaluation_point(nested)["a"]
    for one, two in zip((first, second, third), other.evaluation_point(flat), strict=True):
        assert_array_equal(one, two)
    assert (first != nested["a"][0]).any() or name == "ASGD"
    assert_array_equal(Lookahead(other).evaluation_point(flat)[0], first)
    alone = get_opt(name, lr=0.1)
    p = np.ones(3)
    alone.step(p, p.copy())
    alone.step(p, p.copy())
    assert (alone.evaluation_point(p) - p != 0).any() or name == "ASGD"


def test_others_are_evaluated_where_they_are():
    params = [np.ones(2)]
    assert get_opt("Adam").evaluation_point(params) is params
