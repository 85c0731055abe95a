"""Numbers that are not finite: where training ceases to be, what follows, and gradients that are clipped."""
import copy
import math
import pickle
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.lib.stride_tricks import as_strided

from fastnn import get_opt
from fastnn.nn import BatchNormalization, Dropout, MultiLayerNet, Trainer, clip_grad_norm
from fastnn.nn.trainer import ON_NONFINITE

try:
    from ml_dtypes import bfloat16
except ImportError:                     # no wheels for musl
    bfloat16 = np.float16

LAYERS = list(MultiLayerNet(3, [4, 4], 3, use_batchnorm=True, use_dropout=True).layers)
X, T = np.random.default_rng(0).standard_normal((32, 3)), np.random.default_rng(1).integers(0, 3, 32)

each_reaction = pytest.mark.parametrize("reaction", ON_NONFINITE)


def trainer(reaction="stop", opt="Adam", dtype=np.float64, **options):
    options = {"use_batchnorm": True, "use_dropout": True, **options}
    net = MultiLayerNet(3, [4, 4], 3, "tanh", rng=0, dtype=dtype, **options)
    return Trainer(net, get_opt(opt), X, T, 8, rng=0, on_nonfinite=reaction)


def spoil(layer, when, method, value=np.nan):
    """Let one element of what a layer gives be NaN, in the calls from `when` on; also in its copies."""
    class Spoilt(type(layer)):
        pass

    def call(self, x, *args, **kwds):
        self.calls += 1
        y = getattr(super(Spoilt, self), method)(x, *args, **kwds)
        if self.calls >= when:
            y = np.array(y)
            y.flat[1] = value
        return y

    setattr(Spoilt, method, call)
    layer.__class__ = Spoilt
    layer.calls = 0


def everything(trainer):
    running = [(layer.running_mean, layer.running_var) for layer in trainer.network.layers.values()
               if isinstance(layer, BatchNormalization)]
    return pickle.dumps((trainer.network.params, running, trainer.optimizer.state_dict()))


def take(trainer, reaction):
    if reaction == "raise":
        with pytest.raises(FloatingPointError) as caught:
            trainer.step()
        assert str(caught.value) == str(trainer.nonfinite[-1])
    else:
        trainer.step()


@each_reaction
@pytest.mark.parametrize("method", ["forward", "backward"])
@pytest.mark.parametrize("name", LAYERS)
def test_step_and_layer_are_said_and_nothing_changes(name, method, reaction):
    if (name, method) == (LAYERS[0], "backward"):
        return                                          # nobody needs the gradient of the input
    one = trainer(reaction)
    spoil(one.network.layers[name], 3, method)
    one.step()
    one.step()
    assert one.nonfinite == [] and not one.diverged
    before = everything(one)
    take(one, reaction)
    assert everything(one) == before and one.optimizer.t == 2
    place = "output" if method == "forward" else "gradient"
    found, = one.nonfinite
    assert (found.step, found.layer, found.place) == (3, name, place) and one.diverged
    assert str(found).startswith("step 3: ") and str(found).endswith(f"is the {place} of layer {name!r}")
    assert math.isfinite(found.loss) == (method == "backward") and len(one.losses) == 3


@pytest.mark.parametrize(("key", "value"), [       # an infinite beta is not seen: tanh makes 1 of it
    *((key, np.nan) for key in ("W1", "b1", "gamma1", "beta2", "W3", "b3")),
    *((key, np.inf) for key in ("W1", "b1", "gamma1", "W3", "b3"))])
def test_parameters_that_are_not_finite(key, value):
    one = trainer()
    one.network.params[key].flat[0] = value
    one.step()
    layer = {"W": "Affine", "b": "Affine", "gamma": "BatchNorm", "beta": "BatchNorm"}[key[:-1]] + key[-1]
    assert [tuple(found)[2:] for found in one.nonfinite] == [(layer, "output")]


def test_rows_that_are_not_finite():
    one = trainer()
    one.x = np.full_like(X, np.inf)
    one.step()
    assert str(one.nonfinite[0]) == "step 1: the loss is nan; the first to be infinite or NaN is the input"


def test_a_gradient_alone():
    """The loss is finite, since hidden values of 0 meet the large weights; the gradient of the first weights is not."""
    net = MultiLayerNet(3, [4], 3, "identity", rng=0, dtype=np.float32)
    net.params["W1"][...] = 0
    net.params["W2"][...] = np.array([1, -1, 1]) * np.float32(3e38)
    one = Trainer(net, get_opt("SGD"), np.full_like(X, 1e3, np.float32), T, 8, rng=0)
    before = everything(one)
    one.step()
    assert one.nonfinite[0][2:] == ("Affine1", "gradient") and math.isfinite(one.losses[0])
    assert everything(one) == before


def test_weight_decay_that_is_not_finite():
    net = MultiLayerNet(3, [], 3, rng=0, weight_decay_lambda=1e300)
    net.params["W1"][...] = 1e-3
    net.params["W1"][0, 0] = 1e10
    one = Trainer(net, get_opt("SGD"), X * 0, T, 8, rng=0)
    one.step()
    assert one.nonfinite[0][2:] == (None, "weight decay")


@pytest.mark.parametrize("reaction", ["stop", "skip"])
def test_what_train_does(reaction):
    one = trainer(reaction)
    one.x = X.copy()
    rows = np.random.default_rng(0)
    first, second, third = (set(rows.choice(32, 8)) for _ in range(3))
    one.x[min(third - first - second)] = np.nan         # in the third batch, and in some of those after it
    one.train(12)
    bad = [found.step for found in one.nonfinite]
    assert 3 in bad
    if reaction == "stop":
        assert bad == [len(one.losses)] and one.diverged
    else:
        assert len(one.losses) == 12 and one.optimizer.t == 12 - len(bad) == len(one.update_seconds)
        assert all(np.isfinite(p).all() for p in one.network.params.values())
        assert [i + 1 for i, loss in enumerate(one.losses) if not math.isfinite(loss)] == bad


def test_skipped_steps_are_as_if_they_had_not_been():
    """Apart from the random numbers that they drew."""
    one, other = trainer("skip", use_dropout=False), trainer("skip", use_dropout=False)
    other.x = X.copy()
    for step in range(6):
        if step == 3:
            other.x, clean = np.full_like(X, np.nan), other.x
            other.step()
            other.x = clean
            one.rng.choice(32, 8)
        one.step()
        other.step()
    assert everything(one) == everything(other)


def test_lookahead_is_looked_at():
    one = trainer(opt="NAG")
    one.step()
    one.optimizer.state["W2"]["delta"][...] = np.inf
    one.step()
    assert one.nonfinite[0][2:] == ("Affine2", "output") and np.isfinite(one.network.params["W2"]).all()


def test_other_networks():
    class Net:
        params = {"w": np.ones(2)}

        def loss_and_gradient(self, x, t):
            return 1.0, {"w": np.array([1.0, np.nan])}

    one = Trainer(Net(), get_opt("SGD"), X, T, on_nonfinite="raise")
    with pytest.raises(FloatingPointError, match="^step 1: a gradient is not finite$"):
        one.step()
    assert (Net.params["w"] == 1).all()


def test_large_gradients_are_finite():
    class Net:
        params = {"w": np.ones(2, np.float32)}

        def loss_and_gradient(self, x, t):
            return 1.0, {"w": np.full(2, 3e38, np.float32)}

    one = Trainer(Net(), get_opt("SGD", lr=0), X, T)
    one.step()
    assert not one.diverged


def test_the_network_tells_without_a_trainer():
    net = MultiLayerNet(3, [4, 4], 3, use_batchnorm=True, use_dropout=True, rng=0)
    assert net.nonfinite(X, T) is None
    net.gradient(X, T)
    net.params["W2"][0, 0] = np.nan
    masks = [layer.mask.copy() for layer in net.layers.values() if isinstance(layer, Dropout)]
    before = copy.deepcopy(net.params)
    assert net.nonfinite(X, T) == ("Affine2", "output")
    assert all((a == layer.mask).all() for a, layer in zip(masks, (net.layers["Dropout1"], net.layers["Dropout2"])))
    for key, p in net.params.items():
        np.testing.assert_array_equal(p, before[key])


@pytest.mark.parametrize("bad", ["", "STOP", None, "ignore", 1])
def test_unknown_reactions(bad):
    with pytest.raises(ValueError, match="stop, raise, skip"):
        trainer(bad)


# Clipping.

def exact_norm(arrays):
    return math.sqrt(math.fsum(float(x) ** 2 for a in arrays for x in np.asarray(a, np.float64).flat))


FORMS = {"mapping": lambda a: {i: x for i, x in enumerate(a)}, "list": list, "tuple": tuple}
LAYOUTS = [np.array, np.asfortranarray, lambda a: np.repeat(a, 2, axis=-1)[..., ::2], lambda a: a[::-1].copy()[::-1]]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("dtype", [np.float16, bfloat16, np.float32, np.float64])
def test_clipping(dtype, form):
    rng = np.random.default_rng(0)
    shapes = [(30, 40), (9000,), (7, 3), (5000,), (1,), (0, 3), (2, 0), (2, 3, 4)]
    arrays = [layout(rng.standard_normal(shape).astype(dtype)) for layout, shape in zip(LAYOUTS * 2, shapes)]
    arrays.append(np.array(2, dtype))
    before = [a.astype(np.float64) for a in arrays]
    norm = exact_norm(arrays)
    assert clip_grad_norm(form(arrays), 1e6) == pytest.approx(norm, rel=1e-6)
    for a, old in zip(arrays, before):
        np.testing.assert_array_equal(a.astype(np.float64), old)
    assert clip_grad_norm(form(arrays), 10.0) == pytest.approx(norm, rel=1e-6)
    eps = {np.float16: 1e-3, bfloat16: 8e-3}.get(dtype, 1e-6)
    for a, old in zip(arrays, before):
        assert a.dtype == dtype
        np.testing.assert_allclose(a.astype(np.float64), old * (10 / norm), rtol=eps, atol=1e-7)
    assert exact_norm(arrays) == pytest.approx(10, rel=eps)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("size", ["max", "smallest_normal", "smallest_subnormal"])
def test_the_norm_neither_overflows_nor_underflows(dtype, size):
    unit = float(getattr(np.finfo(dtype), size))
    if size == "max":
        unit /= 8
    arrays, norm = [(np.array([3, 4]) * unit).astype(dtype), np.zeros(3, dtype)], 5 * unit
    assert clip_grad_norm(arrays, math.inf) == pytest.approx(norm, rel=1e-3 if dtype == np.float16 else 1e-6)
    clip_grad_norm(arrays, norm / 2)
    if size != "smallest_subnormal":
        np.testing.assert_allclose(arrays[0][1] / arrays[0][0], 4 / 3, rtol=2e-3)
        assert exact_norm([arrays[0].astype(float) / norm]) == pytest.approx(0.5, rel=2e-3)


@settings(max_examples=150)
@given(st.lists(st.lists(st.floats(width=32), max_size=5), max_size=4), st.floats(min_value=0, allow_nan=False))
def test_any_numbers(values, most):
    arrays = [np.array(row, np.float32) for row in values]
    before = [a.tobytes() for a in arrays]
    wanted = float(np.sqrt(sum(np.sum(a.astype(np.float64) ** 2) for a in arrays)))
    norm = clip_grad_norm(arrays, most)
    assert math.isnan(norm) == math.isnan(wanted) and (math.isnan(norm) or norm == pytest.approx(wanted, rel=1e-5))
    if not math.isfinite(norm) or norm <= most:
        assert [a.tobytes() for a in arrays] == before
    else:
        assert exact_norm(arrays) <= most * (1 + 1e-5) + 1e-44


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_norm_that_is_not_finite_changes_nothing(bad):
    arrays = [np.ones(5000, np.float32), np.array([1, bad, 2])]
    before = [a.tobytes() for a in arrays]
    assert np.array_equal(clip_grad_norm(arrays, 1.0), abs(bad), equal_nan=True)
    assert [a.tobytes() for a in arrays] == before
    arrays[0][7] = -np.inf
    assert np.array_equal(clip_grad_norm(arrays, 0), abs(bad), equal_nan=True)


def shut(a):
    a.flags.writeable = False
    return a


ROOM = np.ones(20)


@pytest.mark.parametrize(("grads", "most", "error"), [
    ([np.ones(3), shut(np.ones(3))], 1, ValueError), ([np.ones(3), np.arange(3)], 1, TypeError),
    ([np.ones(3), [1.0]], 1, TypeError), ([np.ones(3), 1.0], 1, TypeError),
    ([np.ones(3), np.ones(3, complex)], 1, TypeError), ([np.ones(3)], -1, ValueError),
    ([np.ones(3)], math.nan, ValueError), ([np.ones(3)], "1", TypeError), ([np.ones(3)], None, TypeError),
    ([ROOM, np.ones(3), ROOM[3:5]], 1, ValueError), ([ROOM[:5], ROOM[4:]], 1, ValueError),
    ([ROOM, ROOM], 1, ValueError),
], ids=range(12))
def test_what_cannot_be_clipped_changes_nothing(grads, most, error):
    before = [np.array(g).tobytes() for g in grads]
    with pytest.raises(error):
        clip_grad_norm(grads, most)
    assert [np.array(g).tobytes() for g in grads] == before


def test_interleaved_gradients_may_be_clipped():
    room = np.ones((4, 6))
    clip_grad_norm([room[:, ::2], room[:, 1::2]], math.sqrt(6))
    np.testing.assert_allclose(room, 0.5)
    single = np.array([3.0, 4.0])
    assert clip_grad_norm(single, 1) == 5.0
    np.testing.assert_allclose(single, [0.6, 0.8])
    assert clip_grad_norm({}, 1) == clip_grad_norm([np.zeros(0)], 1) == clip_grad_norm([None, (None, {})], 1) == 0.0


NESTS = {"pairs": lambda a, b, c: [(a, b), (c, None)], "dicts": lambda a, b, c: {"1": {"W": a, "b": b}, "2": {"W": c}},
         "both": lambda a, b, c: {"layers": [{"W": a}, (None, [b])], "none": None, ("a", "tuple"): c}}


@pytest.mark.parametrize("nest", NESTS.values(), ids=NESTS)
def test_nested_gradients_are_clipped_as_flat_ones(nest):
    flat = [np.arange(6.0).reshape(2, 3), np.array(-2.0), np.array([5, 7], np.float32)]
    nested = [a.copy() for a in flat]
    assert clip_grad_norm(nest(*nested), 2.5) == clip_grad_norm(flat, 2.5) > 2.5
    for a, b in zip(flat, nested):
        np.testing.assert_array_equal(a, b)


def in_itself():
    grads = {}
    grads["a"] = grads
    return grads


@pytest.mark.parametrize(("grads", "error", "text"), [
    ({"W": np.ones(3), "b": shut(np.ones(3))}, ValueError, "gradient 'b' is read-only"),
    ([(np.ones(3), shut(np.ones(3)))], ValueError, "gradient (0, 1) is read-only"),
    (shut(np.ones(3)), ValueError, "gradient 0 is read-only"),
    ({"a": {"W": np.ones(3), "n": np.arange(3)}}, TypeError,
     "gradient ('a', 'n') must be an array of floating-point numbers, not of int64"),
    ({"W": ROOM[:5], "b": np.ones(3), "V": ROOM[4:]}, ValueError, "gradients 'W' and 'V' share memory"),
    ([(np.ones(3), ROOM), [ROOM]], ValueError, "gradients (0, 1) and (1, 0) share memory"),
    ([[ROOM]] * 2, ValueError, "gradients (0, 0) and (1, 0) share memory"),
    ([np.ones(3), as_strided(ROOM, (5,), (0,))], ValueError, "elements of gradient 1 share memory"),
    ({"W": np.ones(3), "c": 1.0}, TypeError, "gradient 'c' is a plain number, which cannot be scaled in place"),
    ([(np.ones(3), np.float32(2))], TypeError, "gradient (0, 1) is a plain number, which cannot be scaled in place"),
    (({"k": 3},), TypeError, "gradient (0, 'k') is a plain number"), ([np.ones(3), 2j], TypeError, "gradient 1 is a"),
    ({"W": "ones"}, TypeError, "gradient 'W' must be a NumPy array, or a mapping, list or tuple of them, not str"),
    (3.0, TypeError, "grads must be an array of floating-point numbers, or a mapping, list or tuple of them, not f"),
    (None, TypeError, "not NoneType"), ({"W": ROOM}.values(), TypeError, "not dict_values"),
    (in_itself(), ValueError, "gradients are nested more than 64 levels deep, or in themselves"),
], ids=range(17))
def test_errors_name_the_gradient(grads, error, text):
    with pytest.raises(error, match=re.escape(text)):
        clip_grad_norm(grads, 0.5)
    assert (ROOM == 1).all()


@pytest.mark.parametrize("most", ["x", None, np.array([1.0]), [1.0], 1j, True, np.array("1")], ids=repr)
def test_max_norm_must_be_a_number(most):
    with pytest.raises(TypeError, match=f"^{re.escape(f'max_norm must be a number, not {most!r}')}$"):
        clip_grad_norm([ROOM], most)
    assert (ROOM == 1).all()


@pytest.mark.parametrize("most", [1, np.float32(1), np.int8(1), np.array(1.0), np.array(1), Fraction(1), bfloat16(1)],
                         ids=repr)
def test_max_norm_may_be_any_number(most):
    grads = np.array([3.0, 4.0])
    assert clip_grad_norm(grads, most) == 5.0
    np.testing.assert_allclose(grads, [0.6, 0.8])
    assert clip_grad_norm(grads, 10**400) == pytest.approx(1.0)
