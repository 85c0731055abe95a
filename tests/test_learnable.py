"""Activations with a parameter that is learned: against mpmath, torch, differences, and in every layout."""
import copy
import pickle

import mpmath
import numpy as np
import pytest

import fastnn
from fastnn import bounds, get_act
from fastnn.learnable import learnable
from oracles.activations import exact as reference

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
# shape, channels, axis: one alpha, features, channels of images, axes from behind, whole and broken blocks
CASES = [((7,), 1, 1), ((5, 3), 3, 1), ((6, 100), 100, -1), ((40, 1000), 1000, 1), ((3, 4, 5, 6), 4, 1), ((4, 70, 90), 4, 0),
         ((2, 3, 5), 5, -1), ((130, 127), 1, 5), ((9, 6000), 9, 0), ((2, 3, 700), 3, 1), ((0, 3), 3, 1), ((300, 2), 2, 1)]
each_case = pytest.mark.parametrize(("shape", "channels", "axis"), CASES)


def normal(shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(0, 2, shape).astype(dtype)


def made(channels, axis):
    act = get_act("PReLU", channels, axis=axis)
    act.alpha = normal(channels, seed=9) / 4
    return act


def over_channels(alpha, shape, axis):
    """alpha, to be broadcast with x."""
    if len(alpha) == 1:
        return alpha[0]
    return alpha.reshape([-1 if i == axis % len(shape) else 1 for i in range(len(shape))])


@each_dtype
def test_values_and_gradients_are_exact(dtype):
    act, name = made(1, 1), np.dtype(dtype).name
    alpha = mpmath.mpf(float(dtype(act.alpha[0])))
    tiny, most = float(np.finfo(dtype).smallest_subnormal), float(np.finfo(dtype).max)
    x = np.r_[normal(300, dtype), 0.0, -0.0, tiny, -tiny, most, -most].astype(dtype)
    g = normal(x.size, dtype, 1)
    y, dx = act(x), act.backward(x, grad=g)
    total = mpmath.mpf(0)
    for a, w, value, slope in zip(x, g, y, dx):
        a, w = mpmath.mpf(float(a)), mpmath.mpf(float(w))
        for got, wanted in ((value, a if a > 0 else alpha * a), (slope, w if a > 0 else alpha * w)):
            assert abs(mpmath.mpf(float(got)) - wanted) <= bounds.unit(float(wanted), name)
        total += 0 if a > 0 or a == -mpmath.mpf(most) else w * a
    finite = np.abs(x) < most
    act.backward(x[finite], grad=g[finite])
    assert act.dalpha[0] == pytest.approx(float(total), rel=1e-5 if dtype == np.float32 else 1e-13)


@each_dtype
@each_case
def test_of_channels(shape, channels, axis, dtype):
    act, x, g = made(channels, axis), normal(shape, dtype), normal(shape, dtype, 5)
    alpha = over_channels(act.alpha.astype(dtype), shape, axis)
    np.testing.assert_array_equal(act(x), np.where(x > 0, x, alpha * x))
    np.testing.assert_array_equal(act.backward(x, grad=g), np.where(x > 0, g, alpha * g))
    exact = np.where(x > 0, 0, g * x).astype(np.longdouble)         # each product is rounded
    sums = exact.sum() if channels == 1 else exact.sum(axis=tuple(i for i in range(len(shape)) if i != axis % len(shape)))
    size = np.abs(exact).sum()
    assert act.dalpha.shape == (channels,) and act.dalpha.dtype == np.float64
    assert (np.abs(act.dalpha - sums) <= 1e-14 * size).all()


@each_dtype
@pytest.mark.parametrize(("shape", "channels"), [((40,), 1), ((6, 5), 5), ((3, 4, 5, 6), 4), ((3, 4, 5), 1)])
def test_they_are_torchs(shape, channels, dtype):
    torch = pytest.importorskip("torch")
    act, x, g = made(channels, 1), normal(shape, dtype), normal(shape, dtype, 5)
    x.flat[:3] = 0.0
    theirs, given = torch.nn.PReLU(channels, dtype=getattr(torch, np.dtype(dtype).name)), torch.tensor(x, requires_grad=True)
    assert theirs.weight.detach().numpy().tolist() == get_act("PReLU", channels).alpha.tolist()
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(act.alpha))
    y = theirs(given)
    y.backward(torch.tensor(g))
    close = {"rtol": 1e-12, "atol": 1e-12} if dtype == np.float64 else {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_array_equal(act(x), y.detach().numpy())
    np.testing.assert_array_equal(act.backward(x, grad=g), given.grad.numpy())
    np.testing.assert_allclose(act.dalpha, theirs.weight.grad.numpy(), **close)


def test_gradients_are_those_of_differences():
    act, x, g = made(3, 1), normal((4, 3, 5)), normal((4, 3, 5), seed=1)
    dx = act.backward(x, grad=g)
    dalpha = act.dalpha
    for parameter, gradient in ((x, dx), (act.alpha, dalpha)):
        wanted = fastnn.nn.numerical_gradient(lambda _: (act(x) * g).sum(), parameter)
        np.testing.assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-7)


def test_an_optimizer_learns_alpha():
    """A slope below 0 that it did not have."""
    act, x = get_act("PReLU", 2), normal((200, 2))
    wanted, opt = np.array([0.7, -0.3]), fastnn.get_opt("Adam", lr=0.05)
    for _ in range(300):
        act.backward(x, grad=(act(x) - np.where(x > 0, x, wanted * x)) / len(x))
        act.update(opt)
    np.testing.assert_allclose(act.alpha, wanted, atol=1e-3)


@each_dtype
def test_of_any_layout(dtype):
    act, x, g = made(40, 1), normal((6, 40), dtype), normal((6, 40), dtype, 1)
    y, dx = act(x), act.backward(x, grad=g)
    dalpha = act.dalpha
    for layout in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=-1)[..., ::2], lambda a: a[::-1].copy()[::-1],
                   lambda a: a.astype(a.dtype.newbyteorder())):
        np.testing.assert_array_equal(act(layout(x)), y)
        np.testing.assert_array_equal(act.backward(layout(x), grad=layout(g)), dx)
        np.testing.assert_array_equal(act.dalpha, dalpha)
        out = layout(np.zeros_like(y))
        assert act.forward(layout(x), out=out) is out
        np.testing.assert_array_equal(out, y)
    for which in (0, 1):                    # out may be x, and grad
        operands = [x.copy(), g.copy()]
        assert act.backward(operands[0], grad=operands[1], out=operands[which]) is operands[which]
        np.testing.assert_array_equal(operands[which], dx)
        np.testing.assert_array_equal(act.dalpha, dalpha)
    row = np.zeros(7 * 40, dtype)
    shifted = row[40:].reshape(6, 40)
    row[:-40] = x.ravel()
    np.testing.assert_array_equal(act.forward(row[:-40].reshape(6, 40), out=shifted), y)      # overlapping in part


def test_other_dtypes():
    act, x = made(1, 1), normal((3, 8))
    half = x.astype(np.float16)
    assert act(half).dtype == act.backward(half, grad=half).dtype == np.float16
    np.testing.assert_array_equal(act(half), act(half.astype(np.float32)).astype(np.float16))
    assert act(np.arange(8)).dtype == act([True, False]).dtype == np.float64
    assert isinstance(act(-2.0), np.float64) and act(-2.0) == -2 * act.alpha[0]
    assert act.backward(-2.0, grad=3.0) == 3 * act.alpha[0] and act.dalpha.tolist() == [-6]
    act.alpha = act.alpha.astype(np.float32)
    act.backward(x, grad=x)
    assert act.dalpha.dtype == np.float32
    assert np.isnan(act([np.nan])) and np.isnan(act.backward([np.nan], grad=[1.0]))


# Forms that learn= makes

FORMS = {name: names for name, names in learnable().items() if name != "PReLU"}
each_form = pytest.mark.parametrize(("name", "learn"), FORMS.items())
each_learnable = pytest.mark.parametrize(("name", "learn"), learnable().items())
# what may have been learned, whatever the range of the hyperparameter
VALUES = {"ELU": [{"alpha": a} for a in (1.0, -0.7, 0.0, 30.0, 1e-35, 1e17, 1e20, -3e30)],
          "ACON-C": [{"p1": a, "p2": b, "beta": c} for a, b, c in (
              (1.2, 0.25, 1.5), (0.3, 0.9, -2.0), (1.0, 1.0, 1.0), (-0.5, 0.5, 0.0), (2.0, -1.0, 40.0), (1.0, 0.0, -1e-12),
              (1.0, 0.0, 1e12), (1e15, 0.0, 1.0))],
          "PReLU": [{"alpha": a} for a in (0.25, -2.0, 0.0, 1e35)]}
SWISH = [{"beta": b} for b in (1.0, -1.7, 0.0, 1e-3, 25.0, -1e-12, 1e-33, 9e8, -9e8)]


def largest_slope(name, key, values, x):
    """What f' or f'', or a derivative in a parameter, comes to next to a zero that it crosses."""
    if name == "ACON-C" and key == 2:
        return (values["p1"] - values["p2"])**2 * abs(values["beta"])
    if name == "ACON-C" and key != "beta":
        return max(1, abs(x)) * (max(1, abs(values["p1"])) if key in (0, 1) else 1)
    return abs(values["beta"]) if key == 2 else max(1, abs(x))


@each_dtype
@each_learnable
def test_each_element_is_exact(name, learn, dtype):
    """f, f', f'' and the derivative in each parameter, within what fastnn/bounds.py says, for any parameters."""
    rng, kind = np.random.default_rng(3), np.dtype(dtype).name
    x = np.concatenate([rng.normal(0, 3, 150), rng.uniform(-60, 60, 40), [0.0, -0.0, 1e-20, -1e-3]]).astype(dtype)
    most = bounds.ULPS[kind]
    for values in VALUES.get(name, SWISH):
        act = get_act(name, learn=learn, channels=x.size, axis=0)
        for key, value in values.items():
            setattr(act, key, np.full(x.size, value, dtype))
        found = {0: act.forward(x), 1: act.backward(x, grad=np.ones_like(x)), 2: act.d2y(x)} | act.grads
        for key, got in found.items():
            assert got.dtype == dtype and np.isfinite(got).all()
            bound = bounds.LEARNED_ULPS if isinstance(key, str) else most[key]
            crosses = key == 1 or key in bounds.CROSSING_PARAMETERS or name == "ACON-C" and values["p1"] * values["p2"] < 0
            crosses = (crosses or key == 2) and name not in ("ELU", "PReLU")
            for one, value in zip(x, got):
                exact = reference(name, key, float(one), dtype, **values)
                near = largest_slope(name, key, values, float(one)) / 16 if crosses else 0
                unit = bounds.unit(float(exact), kind, near)
                assert abs(mpmath.mpf(float(value)) - exact) <= bound * unit, (key, values, one)


@each_form
@each_dtype
@pytest.mark.parametrize(("shape", "channels", "axis"), [((5, 3), 3, 1), ((6, 5, 200), 5, 1), ((7, 40), 1, 0)])
def test_forms_are_what_autograd_makes(name, learn, dtype, shape, channels, axis):
    torch = pytest.importorskip("torch")
    act, x, g = get_act(name, learn=learn, channels=channels, axis=axis), normal(shape, dtype), normal(shape, dtype, 1)
    for i, parameter in enumerate(act.params.values()):
        parameter += normal(channels, seed=9 + i) / 4
    along = [-1 if i == axis and channels > 1 else 1 for i in range(len(shape))]
    theirs = {key: torch.tensor(value.astype(dtype), requires_grad=True) for key, value in act.params.items()}
    wide = {key: value.reshape(along) for key, value in theirs.items()}
    given = torch.tensor(x, requires_grad=True)
    if name == "ELU":
        y = torch.where(given >= 0, given, wide["alpha"] * torch.expm1(torch.minimum(given, torch.zeros_like(given))))
    elif name == "ACON-C":
        k = wide["p1"] - wide["p2"]
        y = k * given * torch.sigmoid(wide["beta"] * k * given) + wide["p2"] * given
    else:
        y = given * torch.sigmoid(wide["beta"] * given)
    y.backward(torch.tensor(g))
    close = {"rtol": 1e-12, "atol": 1e-12} if dtype == np.float64 else {"rtol": 2e-5, "atol": 2e-4}
    np.testing.assert_allclose(act(x), y.detach().numpy(), **close)
    np.testing.assert_allclose(act.backward(x, grad=g), given.grad.numpy(), **close)
    for key, gradient in act.grads.items():
        np.testing.assert_allclose(gradient, theirs[key].grad.numpy(), **close)


@each_learnable
@each_dtype
@pytest.mark.parametrize(("shape", "axis"), [((300_001,), None), ((3001, 100), 1), ((30, 3, 5001), 1)])
def test_parameters_beside_each_element_or_once(name, learn, dtype, shape, axis):
    """One channel's block, elements of many channels, and halves of numbers of threads: the same bits."""
    channels = 1 if axis is None else shape[axis]
    act, x, g = get_act(name, learn=learn, channels=channels, axis=axis or 0), normal(shape, dtype), normal(shape, dtype, 1)
    y, dx = act(x), act.backward(x, grad=g)
    grads, turned, before = act.grads, np.moveaxis(x, axis or 0, -1).copy(), fastnn.get_num_threads()
    last = get_act(name, learn=learn, channels=channels, axis=-1)
    np.testing.assert_array_equal(np.moveaxis(last(turned), -1, axis or 0), y)
    try:
        for threads in (1, 3):
            fastnn.set_num_threads(threads)
            np.testing.assert_array_equal(act.backward(x, grad=g), dx)
            for key, gradient in act.grads.items():
                np.testing.assert_array_equal(gradient, grads[key])
    finally:
        fastnn.set_num_threads(before)


@each_learnable
def test_an_optimizer_steps_them_like_any_other(name, learn):
    """By `update`, by position and in a dict with groups; what is learned fits better."""
    x = normal((200, 4))
    wanted = get_act(name, learn=learn, channels=4)
    for i, parameter in enumerate(wanted.params.values()):
        parameter += 0.3 + normal(4, seed=i) / 5
    t = wanted(x)
    act = get_act(name, learn=learn, channels=4)
    begun, opt = np.square(act(x) - t).mean(), fastnn.get_opt("Adam", lr=0.05)
    for _ in range(100):
        act.backward(x, grad=(act(x) - t) / len(x))
        act.update(opt)
    assert np.square(act(x) - t).mean() < begun / 20
    assert set(act.params) == set(act.grads) == set(learn) and all(value.shape == (4,) for value in act.params.values())
    act.backward(x, grad=t)
    before = {key: value.copy() for key, value in act.params.items()}
    frozen, *others = learn
    fastnn.get_opt("SGD", groups=[fastnn.group(frozen, freeze=True)]).step(act.params, act.grads)
    np.testing.assert_array_equal(act.params[frozen], before[frozen])
    assert all((act.params[key] != before[key]).any() for key in others)


@each_form
def test_names_copies_and_pickles_of_forms(name, learn):
    act, x = get_act(name.lower(), learn=learn, channels=3), normal((4, 3))
    act.backward(x, grad=x)
    act.update(fastnn.get_opt("SGD", lr=0.1))
    assert f"learn={(learn[0] if len(learn) == 1 else learn)!r}, channels=3" in repr(act)
    assert repr(eval(repr(act))) == repr(act) and act.kind == "learnable" and act.name == name
    for twin in (copy.copy(act), copy.deepcopy(act), pickle.loads(pickle.dumps(act))):
        assert type(twin) is type(act) and repr(twin) == repr(act)
        np.testing.assert_array_equal(twin(x), act(x))
        for key in learn:
            np.testing.assert_array_equal(twin.grads[key], act.grads[key])


@each_learnable
@each_dtype
def test_training_goes_where_it_goes(name, learn, dtype):
    """What an optimizer has stepped out of the range of a hyperparameter is used, shown, copied, and may be begun with."""
    x = normal((4, 3), dtype)
    for value in (-1.0, 0.0, -1e-12, 1e12, -1e12, 1e-38, 2e18):
        act = get_act(name, learn=learn, channels=3, **dict.fromkeys(learn, value))
        assert all((one == value).all() for one in act.params.values())
        stepped = get_act(name, learn=learn, channels=3)
        for key in learn:
            setattr(stepped, key, np.ones(3))
        fastnn.get_opt("SGD", lr=1.0).step(stepped.params, {key: 1.0 - np.full(3, value) for key in learn})
        for one in (act, stepped, copy.deepcopy(stepped), pickle.loads(pickle.dumps(stepped)), eval(repr(act))):
            y, dx, bend = one(x), one.backward(x, grad=x), one.d2y(x)
            assert not any(np.isnan(each).any() for each in (y, dx, bend, *one.grads.values()))
            assert repr(one).startswith("get_act(")


def test_some_of_the_parameters():
    """Others stay numbers, which may be set."""
    act, x = get_act("ACON-C", p2=0.25, learn=("beta", "p1"), channels=2), normal((5, 2))
    assert act.learned == ("p1", "beta") and act.p2 == 0.25 and repr(act) == (
        "get_act('ACON-C', p1=1.0, p2=0.25, beta=1.0, learn=('p1', 'beta'), channels=2)")
    np.testing.assert_array_equal(act(x), get_act("ACON-C", p2=0.25)(x))
    act.p2 = 0.5
    np.testing.assert_array_equal(act(x), get_act("ACON-C", p2=0.5)(x))
    act.backward(x, grad=x)
    assert set(act.grads) == {"p1", "beta"} and not hasattr(act, "dp2")
    act.p1 = 2.0
    np.testing.assert_array_equal(act.p1, [2.0, 2.0])


def test_what_cannot_be_learned():
    for call, error, text in (
            (lambda: get_act("Swish", learn="alpha"), ValueError, "^Swish learns beta: learn cannot be 'alpha'$"),
            (lambda: get_act("tanh", learn="beta"), ValueError, "^tanh learns nothing: learn cannot be 'beta'$"),
            (lambda: get_act("ACON-C", learn=("p1", "p1")), ValueError, "learn cannot be"),
            (lambda: get_act("Swish", learn=3), TypeError, "^learn must be the name of a hyperparameter or a tuple"),
            (lambda: get_act("Swish", learn=()), TypeError, "^learn must be the name"),
            (lambda: get_act("silu", learn="beta", like="torch"), TypeError, "not with like="),
            (lambda: get_act("Swish", learn="beta", channels=0), ValueError, "channels must be"),
            (lambda: get_act("Swish", learn="beta", beta="x"), TypeError, "beta must be a number"),
            (lambda: get_act("Swish", channels=3), TypeError, "no hyperparameter 'channels'"),
            (lambda: setattr(get_act("Swish", learn="beta"), "channels", 2), ValueError, "cannot be changed"),
            (lambda: setattr(get_act("Swish", learn="beta"), "beta", np.ones(1, int)), TypeError, "float32 or float64")):
        with pytest.raises(error, match=text):
            call()
    x = normal((4, 3))
    act = get_act("Swish", learn="beta")
    y = act.forward(x, out=x)
    with pytest.raises(ValueError, match="has overwritten"):
        act.backward(x, y, grad=x)


# Other libraries' words

def test_words_of_libraries():
    act = get_act("PReLU", 5, 0.1, like="torch")
    assert (act.channels, act.axis) == (5, 1) and (act.alpha == 0.1).all()
    act = get_act("PReLU", like="keras", channels=3)
    assert (act.channels, act.axis) == (3, -1) and (act.alpha == 0).all()
    with pytest.raises(ValueError, match="alpha_initializer must be"):
        get_act("PReLU", like="keras", alpha_initializer="glorot_uniform")
    assert (get_act("PReLU", num_parameters=2, init=0.5).alpha == [0.5, 0.5]).all()


@each_dtype
@pytest.mark.parametrize(("shape", "channels"), [((300_001,), 1), ((3001, 100), 100), ((30, 3, 5001), 3)])
def test_bits_do_not_depend_on_threads(shape, channels, dtype):
    act, x, g = made(channels, 1), normal(shape, dtype), normal(shape, dtype, 1)
    before, found = fastnn.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            fastnn.set_num_threads(threads)
            found.append((act(x), act.backward(x, grad=g), act.dalpha))
    finally:
        fastnn.set_num_threads(before)
    for other in found[1:]:
        for one, two in zip(found[0], other):
            np.testing.assert_array_equal(one, two)


def test_names_copies_and_pickles():
    act, x = made(3, 1), normal((4, 3))
    act.backward(x, grad=x)
    assert repr(act) == "get_act('PReLU', channels=3, alpha=0.25)"
    for twin in (copy.deepcopy(act), pickle.loads(pickle.dumps(act))):
        np.testing.assert_array_equal(twin(x), act(x))
        np.testing.assert_array_equal(twin.dalpha, act.dalpha)
        twin.alpha += 1
        assert (twin.alpha != act.alpha).all()


def test_what_does_not_fit_is_refused():
    act, x = get_act("PReLU", 3), normal((4, 3))
    for call, text in ((lambda: act(x[:, :2]), "^axis 1 of x has 2 channels, the parameter 3$"),
                       (lambda: act(x[0]), "^x has 1 axes, and no axis 1 with a parameter for each channel$"),
                       (lambda: act(x, out=x[:2]), r"^out must have shape \(4, 3\), not \(2, 3\)$"),
                       (lambda: act.backward(x, grad=x[:, :2]), r"^grad must have shape \(4, 3\), not \(4, 2\)$"),
                       (lambda: act.update(fastnn.get_opt("SGD")), "^PReLU: update needs a backward before it$"),
                       (lambda: get_act("PReLU", 0), "^channels must be")):
        with pytest.raises(ValueError, match=text):
            call()
    for call in (lambda: act.backward(x), lambda: act(x.astype(complex)), lambda: act(np.ma.ones((2, 3))),
                 lambda: act(x, out=x.astype(np.float32)), lambda: get_act("PReLU", axis=1.5)):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(ValueError, match=r"^alpha must have shape \(3,\), not \(3, 1\)$"):
        act.alpha = np.zeros((3, 1))
