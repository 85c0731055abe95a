"""Steps that measure whole tensors before anything is written: inner products, gradients in the place of gradients, and
the rules that are made of them."""
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import ExponentialAverage, SAM, get_opt, group
from fastnn.core.measuring import Products
from fastnn.optimizers import _registry
from fastnn.optimizers.base import Optimizer, rate
from helpers import FLOATS, assert_same_bits, beside
from oracles.optimizers import ORACLES

JOINT = [name for name in fastnn.optimizers() if ORACLES[name].joint]
MEASURED = [name for name in fastnn.optimizers() if _registry[name].measures and "scalars" in vars(_registry[name])]
OPTIONS = {"l2": 0.5, "grad_scale": 2.0, "clip_value": 1.0, "centralize": True, "weight_decay": 0.125}
EPS = {np.float16: 2e-3, np.float32: 1e-6, np.float64: 1e-14}

each_joint = pytest.mark.parametrize("name", JOINT)
each_measured = pytest.mark.parametrize("name", MEASURED)


class Probe(Optimizer, kernel="momentum"):
    """What a step finds out, and half of the gradient in its place."""

    lr = rate(1.0)
    slots = {"v": 0}
    measures, measures_p, elementwise, lazy = True, True, False, False
    pairs = ("g", "g"), ("p", "g"), ("g", "sign"), ("v", "v"), ("next v", "v"), ("update", "p"), ("update", "sign")
    replaces = True

    @staticmethod
    def constants(h):
        return {"momentum": 0.5, "lr": h.lr}

    def _measure(self, plan):
        self.__dict__["sums"] = plan.dots(Products(self.pairs, self.slots))
        self.__dict__["seen"] = [plan.gradient(i) for i in range(len(plan.records))]
        if self.replaces:
            for i, g in enumerate(map(np.copy, self.seen)):
                plan.replace_gradient(i, np.multiply(g, 0.5, out=g))
        return True


class Plain(Probe, kernel="momentum"):
    replaces = False


def numbers(shape, dtype=np.float64, seed=0):
    return np.asarray(np.random.default_rng((seed, *shape)).standard_normal(shape)).astype(dtype)


def wanted(g, p):
    """The gradient under OPTIONS."""
    g = np.clip(2*g.astype(float), -1, 1) + 0.5*p
    return g - g.mean(axis=0) if g.ndim > 1 and g.size else g


@pytest.mark.parametrize("dtype", [*FLOATS, np.float16])
@pytest.mark.parametrize("shape", [(), (7,), (513,), (0, 4), (300, 200)], ids=str)
def test_what_is_measured(dtype, shape):
    p, opt, v = numbers(shape, dtype), Probe(**OPTIONS), 0
    for t in range(3):
        before, g = p.astype(float), numbers(shape, dtype, 1 + t)
        opt.step([p], [g])
        seen, = opt.seen
        assert seen.dtype == (np.float64 if dtype is np.float64 else np.float32)
        assert_allclose(seen, wanted(g, before), atol=8*EPS[dtype])
        seen, v = seen.astype(float), np.zeros(shape) + v
        ahead = 0.5*v - seen
        update = ahead - 0.125*before
        assert_allclose(opt.sums[0], [(seen*seen).sum(), (before*seen).sum(), abs(seen).sum(), (v*v).sum(),
                                      (ahead*v).sum(), (update*before).sum(), abs(update).sum()],
                        rtol=1e-5 if dtype is not np.float64 else 1e-12, atol=1e-3 if dtype is not np.float64 else 1e-10)
        assert_allclose(p.astype(float), before*0.875 + 0.5*v - 0.5*seen, atol=8*EPS[dtype])
        v = opt.state[0]["v"].astype(float)


def test_gradients_lie_as_their_parameters_do():
    params = [np.asfortranarray(numbers((13, 9))), np.repeat(numbers((5, 6)), 2, axis=0)[::2], numbers((4, 4))]
    before, grads = [p.copy() for p in params], [numbers(p.shape, seed=1) for p in params]
    opt = Probe()
    for _ in range(2):
        opt.step(params, grads)
    assert [g.flags.f_contiguous and not g.flags.c_contiguous for g in opt.seen] == [True, False, False]
    for p, first, g in zip(params, before, grads):
        assert_allclose(p, first - 0.5*g - 0.75*g, rtol=1e-14, atol=1e-14)
    assert_allclose(Probe().update(grads[0], w=params[0]), -0.5*grads[0])


def test_a_gradient_that_was_replaced_stands_where_it_stood():
    """The next step has the caller's array again, also where nothing else has changed."""
    p, g, same = numbers((600,)), numbers((600,), seed=1), Probe()
    for _ in range(3):
        same.step([p], [g])
        assert_array_equal(same.seen[0], g)


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros(4, np.float32), np.zeros(8)[::2], [0.0]*4])
def test_what_takes_the_place_of_a_gradient_must_be_like_it(bad):
    class Bad(Probe, kernel="momentum"):
        def _measure(self, plan):
            plan.replace_gradient(0, bad)
            return True

    p, opt = np.ones(4), Bad()
    with pytest.raises((TypeError, ValueError)):
        opt.step([p], [np.ones(4)])
    assert_array_equal(p, 1)
    assert not opt.state and opt.t == 0


def test_plans_are_measured_in_a_step_alone():
    class Keeps(Probe, kernel="momentum"):
        def _measure(self, plan):
            self.__dict__["plan"] = plan
            with pytest.raises(IndexError):
                plan.gradient(1)
            with pytest.raises(ValueError, match="for a slot"):
                plan.fill(plan.records[0].slot(0), np.zeros(3))
            plan.fill(plan.records[0].slot(0), np.full(4, 8.0))
            return True

    opt, p = Keeps(), np.zeros(4)
    opt.step([p], [np.zeros(4)])
    assert_array_equal(p, 4)                        # half of what the slot was filled with
    for call in (lambda: opt.plan.gradient(0), lambda: opt.plan.dots(Products([("g", "g")], ["v"]))):
        with pytest.raises(RuntimeError, match="being taken"):
            call()
    with pytest.raises(KeyError):
        Products([("g", "w")], ["v"])


@pytest.mark.parametrize("dtype", FLOATS)
def test_sums_are_the_same_for_any_number_of_threads(dtype):
    found = []
    for threads in (1, 2, 3, 5):
        fastnn.set_num_threads(threads)
        try:
            opt, p = Plain(**OPTIONS), [numbers((300, 700), dtype), numbers((100_001,), dtype), numbers((3,), dtype)]
            for t in range(2):
                opt.step(p, [numbers(one.shape, dtype, 1 + t) for one in p])
            found.append((opt.sums, [one.tobytes() for one in p]))
        finally:
            fastnn.set_num_threads(None)
    assert all(one == found[0] for one in found)


# The rules

@each_measured
def test_what_raises_while_measuring_changes_nothing(name):
    row = _registry[name]
    opt, params = get_opt(name, lr=0.1), {"a": numbers((30,)), "b": numbers((7, 5))}
    opt.step(params, {key: numbers(p.shape, seed=1) for key, p in params.items()})
    before, state = {key: p.copy() for key, p in params.items()}, opt.state_dict()

    class Broken(row):
        @staticmethod
        def measured(*args):
            raise ZeroDivisionError

    broken = Broken(lr=0.1)
    for key, p in params.items():                   # a state of its own
        broken._restore(*opt._records, 0, {}, [])
    with pytest.raises(ZeroDivisionError):
        broken.step(params, {key: numbers(p.shape, seed=2) for key, p in params.items()})
    for key, p in params.items():
        assert_array_equal(p, before[key])
    assert broken.t == 1
    assert str(opt.state_dict()) == str(state)


@each_measured
@pytest.mark.parametrize("where", ["gradient", "parameter", "squares"])
def test_sums_that_are_not_finite_skip_the_step(name, where):
    opt, params = get_opt(name, lr=0.1), [numbers((30,)), numbers((7, 5))]
    opt.step(params, [numbers(p.shape, seed=1) for p in params])
    grads = [numbers(p.shape, seed=2) for p in params]
    if where == "parameter":
        params[1][3, 3] = np.nan
    else:
        grads[1][3, 3] = np.inf if where == "gradient" else 1e200
    before, slots = [p.copy() for p in params], {key: {slot: a.copy() for slot, a in one.items()}
                                                 for key, one in opt.state.items()}
    if where == "parameter" and name in ("D-Adapt-Adam", "NovoGrad", "PolyakSGD"):     # which do not measure it
        opt.step(params, grads)
        assert opt.skipped == 0
        return
    if where == "squares" and name in ("D-Adapt-Adam", "LAMB", "MoMo", "Prodigy"):     # of other things than the gradient
        return
    with pytest.warns(RuntimeWarning, match="skipped"):
        opt.step(params, grads)
    for p, first in zip(params, before):
        assert_array_equal(p, first)
    for key, one in slots.items():
        for slot, a in one.items():
            assert_array_equal(opt.state[key][slot], a)
    assert (opt.skipped, opt.t) == (1, 1)


@each_measured
def test_deltas_need_the_parameter_where_it_is_measured(name):
    opt = get_opt(name)
    if beside(opt, 1.0):
        with pytest.raises(TypeError, match="give w="):
            opt.update(np.ones(3))
        assert opt.t == 0
    opt.update(np.ones(3), **beside(opt, np.ones(3)))


@each_measured
def test_rows_are_refused_by_name(name):
    W = np.ones((4, 2))
    with pytest.raises(TypeError, match=name):
        get_opt(name).step(W, fastnn.Rows([1], np.ones((1, 2))))
    assert_array_equal(W, 1)


@each_joint
def test_all_parameters_count_as_one(name):
    """Frozen ones and gradients of None have no part; who joins has the scalars that the others have."""
    params = {"a": numbers((30,)), "b": numbers((7, 5)), "c": numbers((9,)), "frozen": numbers((4,))}
    opt = get_opt(name, groups=[group("frozen", freeze=True)])
    whole, oracle = np.concatenate([params["a"], params["b"].ravel()]), ORACLES[name]()
    for t in range(1, 5):
        grads = {key: numbers(p.shape, seed=t) for key, p in params.items()} | {"c": None}
        opt.step(params, grads)
        delta = oracle.delta(np.concatenate([grads["a"], grads["b"].ravel()]), t, p=whole)
        whole = whole + delta
        assert_allclose(np.concatenate([params["a"], params["b"].ravel()]), whole, rtol=1e-12, atol=1e-12)
    scalars = opt._record("a").scalars
    assert opt._record("b").scalars == scalars == opt._newest() and opt._record("frozen") is None
    opt.step(params, {"a": None, "b": None, "c": 1e-9*numbers((9,)), "frozen": None})
    first = {"DoG": "r", "DoWG": "R", "D-Adapt-Adam": "d", "Prodigy": "d"}.get(name)
    if first:                                       # it never falls
        at = list(opt.scalars).index(first)
        assert opt._record("c").scalars[at] >= scalars[at]


@each_joint
def test_an_explicit_first_step_begins_anew(name):
    opt, fresh = get_opt(name), get_opt(name)
    p, g = numbers((20,)), numbers((20,), seed=1)
    for t in range(3):
        opt.update(g, **beside(opt, p))
    opt.update(g, t=1, **beside(opt, p))
    fresh.update(g, **beside(fresh, p))
    assert opt._newest() == fresh._newest() or name in ("D-Adapt-Adam", "MoMo", "Prodigy")  # whose slots go on
    assert opt.t == 1


@pytest.mark.parametrize(("name", "values"), [
    ("PolyakSGD", {}), ("PolyakSGD", {"lr": 0.5, "max_lr": 0.02, "fstar": -1.0, "eps": 0.1}), ("MoMo", {}),
    ("MoMo", {"lr": 0.05, "beta": 0.5, "fstar": 0.3, "weight_decay": 0.1})])
def test_losses(name, values):
    """Told, not told, and below fstar."""
    values = {("alpha" if name == "MoMo" and key == "lr" else key): value for key, value in values.items()}
    opt, p = get_opt(name, **values), numbers((40,))
    oracle = ORACLES[name](**{key: value for key, value in values.items() if key != "weight_decay"})
    seen = p.copy()
    for t, f in enumerate([2.0, 1.5, None, 0.2, -3.0, 1.0, 50.0, None], 1):
        g, told = numbers((40,), seed=t), {} if f is None else {"f": f}
        opt.step(p, g, **told)
        seen = seen + oracle.delta(g, t, p=seen, weight_decay=values.get("weight_decay", 0), **told)
        assert_allclose(p, seen, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["PolyakSGD", "MoMo"])
@pytest.mark.parametrize("f", [np.nan, np.inf, "low", None, [1, 2]])
def test_losses_that_are_none(name, f):
    opt, p = get_opt(name), np.ones(3)
    with pytest.raises((TypeError, ValueError)):
        opt.step(p, np.ones(3), f=f)
    assert_array_equal(p, 1)
    assert opt.t == 0


@pytest.mark.parametrize("name", ["DoG", "DoWG", "Prodigy"])
def test_the_first_parameter_is_kept(name):
    params = {"half": numbers((30,), np.float16), "F": np.asfortranarray(numbers((4, 5))), "gaps": numbers((20,))[::2]}
    first, opt = {key: p.copy() for key, p in params.items()}, get_opt(name, weight_decay=0.1)
    for t in range(4):
        opt.step(params, {key: numbers(p.shape, np.float32, t) for key, p in params.items()})
    for key, p in params.items():
        assert_array_equal(opt.state[key]["p0"], first[key])
        assert (p != first[key]).any() or key == "half"
    deltas = get_opt(name)
    deltas.update(np.ones(30), w=first["half"])
    assert_array_equal(deltas.state[0]["p0"], first["half"])


@each_measured
def test_wrapped(name):
    """A transaction measures as a step does, and a step that is skipped leaves averages alone."""
    average, sam = ExponentialAverage(get_opt(name, lr=0.01)), SAM(get_opt(name, lr=0.01))
    params, others = {"w": numbers((50,))}, {"w": numbers((50,))}
    plain = {"w": numbers((50,))}
    opt = get_opt(name, lr=0.01)
    for t in range(3):
        g = {"w": numbers((50,), seed=t)}
        average.step(params, g)
        opt.step(plain, g)
        sam.ascend(others, g)
        sam.step(others, g)
    assert_same_bits(params["w"], plain["w"])
    kept = average.params["w"].copy()
    with pytest.warns(RuntimeWarning):
        average.step(params, {"w": np.full(50, np.nan)})
    assert_array_equal(average.params["w"], kept)
    assert average.optimizer.skipped == 1 and average.t == 3


def test_trust_ratios_where_a_norm_is_zero():
    """1, so that parameters of zeros move."""
    for name in ("LARS", "LAMB", "Fromage"):
        p = np.zeros(4)
        get_opt(name, lr=0.1).step(p, np.ones(4))
        assert_allclose(p, -0.1/(np.sqrt(1.01) if name == "Fromage" else 1), rtol=1e-5)
        get_opt(name, lr=0.1).step(p, np.zeros(4))
        assert np.isfinite(p).all()
