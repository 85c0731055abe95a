"""register_loss: values and derivatives by mpmath, names, errors; and whatever a built-in loss can do."""
import copy
import math
import pickle
import re
import threading

import numpy as np
import pytest

pytest.importorskip("numba")
mpmath = pytest.importorskip("mpmath")
pytest.importorskip("sympy")

import fastnn
from fastnn import get_err, losses, register_act, register_loss, unregister, where
from fastnn.hyperparameters import Choice, Hyperparameter
from fastnn.jit.errors import FormulaError
from helpers import FLOATS, assert_same_bits, python, unregistering

each_float = pytest.mark.parametrize("dtype", FLOATS)


same_catalogue_afterwards = unregistering(losses)


def huber(y, t, delta):
    """Huber's."""
    d = abs(y - t)
    return 0.5*d*d if d <= delta else delta*(d - 0.5*delta)


def cauchy(y, t, c):
    return 0.5*c*c*math.log1p(((y - t)/c)**2)


# Numbers. m is math for the formula, and mpmath for what is right.

FORMULAS = {
    "square": lambda m: lambda y, t: 0.5*(y - t)**2,
    "absolute": lambda m: lambda y, t: abs(y - t),
    "charbonnier": lambda m: lambda y, t: m.sqrt((y - t)**2 + 0.125),
    "hypot": lambda m: lambda y, t: m.hypot(y - t, 0.25),
    "cauchy": lambda m: lambda y, t: m.log1p((y - t)**2),
    "Geman-McClure": lambda m: lambda y, t: (y - t)**2/(1 + (y - t)**2),
    "Welsch": lambda m: lambda y, t: -m.expm1(-0.5*(y - t)**2),
    "log-cosh": lambda m: lambda y, t: abs(y - t) + m.log1p(m.exp(-2*abs(y - t))),
    "power": lambda m: lambda y, t: abs(y - t)**1.5,
    "Tukey": lambda m: lambda y, t: 1 - (1 - ((y - t)/4.5)**2)**3 if abs(y - t) < 4.5 else 1.0,
    "quantile": lambda m: lambda y, t: max(0.25*(t - y), 0.75*(y - t)),
    "relative": lambda m: lambda y, t: abs(y - t)/max(abs(t), 0.125),
    "hinge": lambda m: lambda y, t: max(0.0, 1 - t*y)**2,
    "exponential": lambda m: lambda y, t: m.exp(-t*y),
    "logistic": lambda m: lambda y, t: max(-t*y, 0.0) + m.log1p(m.exp(-abs(t*y))),
    "tangent": lambda m: lambda y, t: (2*m.atan(t*y) - 1)**2,
    "Poisson": lambda m: lambda y, t: m.exp(y) - t*y,
    "counts": lambda m: lambda y, t: y - t*m.log(y) if y > 0 else -y,
    "gamma": lambda m: lambda y, t: m.log(abs(y)) + t/y,
    "to the target": lambda m: lambda y, t: (y*y + 0.5)**t,
    "divided": lambda m: lambda y, t: y*y/(t*t + 0.25) + y/(t*t + 0.5),
    "sigmoid": lambda m: lambda y, t: (1/(1 + m.exp(-y)) - t)**2,
    "of y alone": lambda m: lambda y, t: y*m.tanh(y),
    "of t alone": lambda m: lambda y, t: 3*t*t,
}


def operands(dtype):
    """Predictions and targets without points in between where pieces of the formulas meet."""
    y, t = np.meshgrid([-9.6875, -2.34375, -0.40625, -0.03125, 0.0546875, 0.53125, 1.84375, 7.21875],
                       [-3.4375, -1.0, -0.28125, 0.0, 0.390625, 1.0, 5.65625])
    return y.ravel().astype(dtype), t.ravel().astype(dtype)


@each_float
@pytest.mark.parametrize("name", FORMULAS)
def test_value_and_derivative(name, dtype):
    err = register_loss("own", FORMULAS[name](math)).loss()
    mp = mpmath.mp.clone()
    mp.dps = 40
    exact = FORMULAS[name](mp)
    y, t = operands(dtype)
    error, slope = err.value_and_grad(y, t)
    for a, b, one, two in zip(y.tolist(), t.tolist(), error.tolist(), slope.tolist()):
        value = exact(mp.mpf(a), mp.mpf(b))
        right = mp.diff(lambda x: exact(x, mp.mpf(b)), mp.mpf(a), h=mp.mpf(10)**-12)     # noqa: B023
        terms = 1 + abs(a*b) + abs(value)
        allowed = 64*float(np.finfo(dtype).eps)
        assert abs(one - value) <= allowed*terms, (name, a, b)
        assert abs(two - right) <= allowed*(terms + abs(right)), (name, a, b)


@pytest.mark.parametrize(("name", "at", "slope"), [("absolute", (1.5, 1.5), 0), ("power", (0.5, 0.5), 0),
                                                  ("quantile", (2.0, 2.0), -0.25), ("hinge", (0.5, 2.0), 0)])
def test_kinks(name, at, slope):
    assert register_loss("own", FORMULAS[name](math)).loss().backward(*at) == slope


def test_pieces_that_meet_smoothly():
    err = register_loss("own", lambda y, t: max(y - t, 0) + math.log1p(math.exp(-abs(y - t)))).loss()
    assert err.backward(0.75, 0.75) == 0.5
    err = register_loss("own", lambda y, t: where(y == t, 1.0, np.sin(y - t)/(y - t)), replace=True).loss()
    assert err.backward(2.0, 2.0) == 0


def test_nothing_is_divided_before_it_has_to_be():
    """1/t overflows for the smallest t."""
    err = register_loss("own", lambda y, t: y*y/t).loss()
    assert err.backward(1e-310, 1e-310) == 2


def test_a_target_that_is_infinite_or_missing():
    err = register_loss("own", lambda y, t: where(t != t, 0.0, (y - t)**2)).loss()
    error, slope = err.value_and_grad(np.array([1.0, 2.0, np.nan]), np.array([np.nan, 0.5, 0.5]))
    assert error[0] == 0 and slope[0] == 0 and error[1] == 2.25 and slope[1] == 3 and np.isnan(error[2])


# The catalogue

def test_like_any_other():
    formula = register_loss("My-Huber", delta=1.0, aliases=("robust", "own huber"))(huber)
    assert losses()[-1] == "My-Huber" and losses().count("My-Huber") == 1 and "robust" not in losses()
    err = get_err("myhuber", delta=2)
    assert repr(err) == "get_err('My-Huber', delta=2.0)" == repr(get_err("Own_Huber", 2))
    assert repr(get_err("robust", 3, reduction="sum")) == "get_err('My-Huber', delta=3.0, reduction='sum')"
    assert type(err).__doc__ == huber.__doc__ and str(type(err).__signature__) == "(delta=1.0, *, reduction='none')"
    assert formula.loss is type(err) and formula.name == "My-Huber" and "My-Huber" in repr(formula)
    assert formula(3.0, 1.0, 1.0) == huber(3.0, 1.0, 1.0) and formula.__wrapped__ is huber
    err.delta = 0.5
    assert err(3.0, 1.0) == 0.5*(2 - 0.25)
    for wrong, error in (("1", TypeError), (math.nan, ValueError)):
        with pytest.raises(error, match="delta must be"):
            get_err("My-Huber", delta=wrong)
    with pytest.raises(TypeError, match="no hyperparameter 'beta'"):
        get_err("My-Huber", beta=1)
    with pytest.raises(ValueError, match="reduction must be"):
        get_err("My-Huber", reduction="max")


def test_as_a_decorator_and_called_at_once():
    @register_loss("one", c=Hyperparameter(1.0, above=0))
    def one(y, t, c):
        return cauchy(y, t, c)
    two = register_loss("two", cauchy, c=1)
    assert get_err("one", 2)(1.0, 0.5) == get_err("two", 2)(1.0, 0.5) and one(1.0, 0.0, 1.0) == two(1.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="c must be above 0"):
        get_err("one", c=0)


def test_the_names_of_arguments_are_the_users():
    formula = register_loss("own", lambda weight, target, x, h: h*x*(target - weight)**2, x=2.0, h=3.0)
    assert get_err("own")(5.0, 1.0) == 96 and get_err("own").backward(5.0, 1.0) == 48
    assert "df/dweight" in fastnn.explain("own")
    with pytest.raises(FormulaError, match=r"own in weight is wrong: at weight = \S+, target = "):
        formula.derivative(lambda a, b, x, h: h*x*(a - b))


def test_aliases_come_and_go():
    register_loss("own", huber, delta=1.0, aliases=["first", "mse"], replace=True)
    assert get_err("mse").name == "own" == get_err("first").name
    register_loss("OWN", cauchy, c=1.0, aliases=["second"], replace=True)
    assert get_err("own").name == get_err("second").name == "OWN" and get_err("mse").name == "squared-error"
    with pytest.raises(ValueError, match="Unknown error function: 'first'"):
        get_err("first")
    unregister("second")
    with pytest.raises(ValueError, match="Unknown error function: 'own'"):
        get_err("own")
    for wrong in ("abc", [1], 3):
        with pytest.raises(TypeError):
            register_loss("own", huber, delta=1.0, aliases=wrong)


def test_taken_names_and_those_that_come_back():
    built_in, before = get_err("Huber"), losses()
    for taken in ("huber", "HuberLoss", "Square"):
        with pytest.raises(ValueError, match="is taken"):
            register_loss(taken)
        with pytest.raises(ValueError, match="is taken"):
            register_loss("own", aliases=(taken,))
    register_loss("huber", lambda y, t: y - t, replace=True)
    assert get_err("Huber")(3.0, 1.0) == 2 and "Huber" not in losses() and built_in(3.0, 1.0) == 1.5
    unregister("HUBER")
    assert get_err("Huber")(3.0, 1.0) == 1.5 and losses() == before
    with pytest.raises(ValueError, match="own catalogue"):
        unregister("Huber")


def test_one_name_for_all_kinds():
    register_loss("own", lambda y, t: y - t)
    register_act("own", lambda x: 2*x)
    assert "df/dy" in fastnn.explain("own") and "f''" in fastnn.explain("own")
    unregister("own")
    assert "own" not in losses() + fastnn.activations()


@pytest.mark.parametrize(("name", "hyperparameters", "function", "error", "told"), [
    ("own", {}, lambda y_true, y_pred: (y_true - y_pred)**2, ValueError, "is the prediction, the second one its target"),
    (3, {}, lambda y, t: y, TypeError, "string"), ("", {}, lambda y, t: y, ValueError, "no name"),
    ("own", {"c": "1"}, cauchy, TypeError, "c must be a number"), ("own", {"c": math.nan}, cauchy, ValueError, "c must be"),
    ("own", {"reduction": 1}, huber, ValueError, "error functions use that name"),
    ("own", {"forward": 1}, huber, ValueError, "use that name"), ("own", {"_c": 1}, huber, ValueError, "use that name"),
    ("own", {"c": Choice("same", str)}, cauchy, TypeError, "c must be a number"),
    ("own", {}, cauchy, TypeError, r"must take \(y, t\), not \(y, t, c\)"),
    ("own", {"delta": 1}, cauchy, TypeError, r"must take \(y, t, delta\)"), ("own", {}, lambda y: y, TypeError, "must take"),
    ("own", {}, lambda *y: y, TypeError, "must take"), ("own", {}, math.hypot, TypeError, "must be a Python function"),
    ("own", {}, 3, TypeError, "must be a Python function"), ("own", {}, lambda y, t: (y, t), FormulaError, "2 numbers, not one"),
    ("own", {}, lambda y, t: math.gamma(y), FormulaError, "math.gamma"), ("own", {}, lambda y, t: None, FormulaError, "no number"),
    ("own", {}, lambda y, t: math.log(-1 - y*y), FormulaError, "finite and smooth at none"),
    ("own", {}, lambda y, t: np.random.normal()*y, FormulaError, "random"),
    ("own", {}, lambda y, t: y if type(t) is float else t, FormulaError, "what was recorded"),
    ("own", {}, lambda y, t: y if t.is_integer() else 0, FormulaError, "is_integer"),
    ("own", {}, lambda y, t: np.mean((y - t)**2), FormulaError, "numpy.mean")])
def test_refused_and_nothing_registered(name, hyperparameters, function, error, told):
    before = losses()
    with pytest.raises(error, match=told):
        register_loss(name, **hyperparameters)(function)
    assert losses() == before


def test_too_many_numbers():
    names = [f"h{i}" for i in range(17)]
    formula = eval(f"lambda y, t, {', '.join(names)}: {' + '.join(f'y*{name}' for name in names)}")
    with pytest.raises(FormulaError, match="f and df/dy depend on 18 numbers .* 16 are possible"):
        register_loss("own", formula, **dict.fromkeys(names, 1.0))


# Derivatives that are given

def test_a_derivative_that_is_given():
    register_loss("own", cauchy, grad=lambda y, t, c: (y - t)/(1 + (y - t)*(y - t)/(c*c)), c=2.0)
    assert get_err("own").backward(3.0, 1.0) == 1
    assert "df/dy = v1 / (1 + v1 * v1 / (c * c))" in fastnn.explain("own")


@pytest.mark.parametrize(("wrong", "error"), [
    (lambda y, t, c: (t - y)/(1 + (y - t)**2/(c*c)), FormulaError), (lambda y, t, c: y - t, FormulaError),
    (lambda y, t: y - t, TypeError), (lambda y, t, c: (1, 2), FormulaError), (3, TypeError)])
def test_a_wrong_one_changes_nothing(wrong, error):
    with pytest.raises(error):
        register_loss("own", cauchy, grad=wrong, c=1.0)
    assert "own" not in losses()
    formula = register_loss("own", cauchy, c=1.0)
    before = get_err("own").backward(np.arange(9.0), np.ones(9))
    with pytest.raises(error) as raised:
        formula.derivative(wrong)
    if callable(wrong):
        assert f"{__file__}, line {wrong.__code__.co_firstlineno}" in str(raised.value)
    assert_same_bits(get_err("own").backward(np.arange(9.0), np.ones(9)), before)


def test_a_derivative_that_is_right_for_one_target_only():
    with pytest.raises(FormulaError, match="t = "):
        register_loss("own", lambda y, t: y*t*t, grad=lambda y, t: t)


# Whatever a built-in one can do, with the same bits

WAYS = [
    lambda err, y, t: err(y, t), lambda err, y, t: err(y, t, keep=False), lambda err, y, t: err.backward(y, t),
    lambda err, y, t: (err(y, t), err.backward())[1], lambda err, y, t: err(y_true=t, y_pred=y),
    lambda err, y, t: err(y, t, reduction="sum"), lambda err, y, t: err(y, t, reduction="mean"),
    lambda err, y, t: err.value_and_grad(y, t)[0], lambda err, y, t: err.value_and_grad(y, t)[1],
    lambda err, y, t: err.value_and_grad(y, t, reduction="mean")[1],
    lambda err, y, t: err.backward(y, t, reduction="mean"),
    lambda err, y, t: err.value_and_grad(y, t, sample_weight=weights(y))[0],
    lambda err, y, t: err.value_and_grad(y, t, sample_weight=weights(y), reduction="mean")[1],
    lambda err, y, t: (err(y, t), err.total_error())[1]]

MEAN_GRADIENTS = [WAYS[9], WAYS[10], WAYS[12]]


def weights(y):
    return np.linspace(0, 2, y.shape[0]) if np.ndim(y) else 0.5


def layouts(dtype):
    rng = np.random.default_rng(9)
    big, other = ((3*rng.normal(size=(6, 8, 10))).astype(dtype) for _ in range(2))
    for change in (lambda a: a, lambda a: a[::2], lambda a: a[:, ::-1], lambda a: a[..., ::3], np.asfortranarray,
                   lambda a: a.transpose(1, 0, 2), lambda a: a[0, 0, 0], lambda a: a[:0], lambda a: a[1, 2],
                   lambda a: a.astype(a.dtype.newbyteorder()), lambda a: a.ravel()[1:-2]):
        yield change(big), change(other)
    yield big, other[0]                     # broadcast
    yield big, np.float64(0.25)
    yield big.T, other[0].T[..., None]


@pytest.mark.parametrize("dtype", [np.float16, *FLOATS])
def test_every_layout_in_every_way(dtype):
    register_loss("own", huber, delta=1.0)
    own, built_in = get_err("own", delta=0.75), get_err("Huber", delta=0.75)
    for y, t in layouts(dtype):
        for way in WAYS:
            got, wanted = way(own, y, t), way(built_in, y, t)
            if way in MEAN_GRADIENTS:           # a built-in kernel multiplies with an element's share by itself
                np.testing.assert_allclose(got, wanted, rtol=4*np.finfo(dtype).eps, atol=0)
            else:
                assert_same_bits(np.asarray(got), np.asarray(wanted))
            assert np.ndim(got) == 0 or got.strides == wanted.strides


@pytest.mark.parametrize("size", [1, 15, 63, 65, 4097, 300_000])
def test_sizes_and_threads(size):
    register_loss("own", huber, delta=1.0)
    own, rng = get_err("own"), np.random.default_rng(4)
    y, t = (2*rng.normal(size=size).astype(np.float32) for _ in range(2))
    before, found = fastnn.get_num_threads(), []
    try:
        for threads in (1, 2):
            fastnn.set_num_threads(threads)
            found.append((own.value_and_grad(y, t), own.value_and_grad(y, t, reduction="mean")))
    finally:
        fastnn.set_num_threads(before)
    for one, two in zip(*found):
        for a, b in zip(one, two):
            assert_same_bits(np.asarray(a), np.asarray(b))
    assert_same_bits(found[0][0][0], get_err("Huber")(y, t))


def test_what_is_wrong_raises_and_changes_nothing():
    err = register_loss("own", huber, delta=1.0).loss()
    error = err(np.ones(3), np.zeros(3))
    out = np.full(4, 7.0)
    for wrong in (lambda: err(np.ones(3), np.ones(4)), lambda: err(np.ones(3), np.zeros(3), out=out),
                  lambda: err(np.ones(3), np.zeros(3), out=out[:3], reduction="mean"), lambda: err("a", "b"),
                  lambda: err(np.ones(3, complex), np.ones(3)), lambda: err(np.ones(3), np.zeros(3), sample_weight=np.ones(2))):
        with pytest.raises((TypeError, ValueError)):
            wrong()
    assert err.error is error and np.all(out == 7)


def test_copies_and_pickles():
    register_loss("own", huber, delta=1.0)
    err = get_err("own", 3, reduction="mean")
    data = pickle.dumps(err)
    assert repr(pickle.loads(data)) == repr(copy.copy(err)) == repr(copy.deepcopy(err)) == repr(err)
    assert pickle.loads(data)(9.0, 1.0) == err(9.0, 1.0) == copy.copy(err)(9.0, 1.0)
    unregister("own")
    assert copy.deepcopy(err)(9.0, 1.0) == err(9.0, 1.0)
    with pytest.raises(ValueError, match="no error function is registered as 'own'"):
        pickle.loads(data)


def test_gradients_lead_down():
    err = register_loss("own", cauchy, c=1.0).loss(reduction="mean")
    opt, rng = fastnn.get_opt("Adam", lr=0.05), np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    w, true = np.zeros(3), np.array([1.0, -2.0, 0.5])
    t = x @ true
    t[:20] += 50                                    # which a square would follow
    for _ in range(400):
        _, slope = err.value_and_grad(x @ w, t)
        opt.step([w], [x.T @ slope])
    np.testing.assert_allclose(w, true, atol=0.05)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_in_an_estimator():
    pytest.importorskip("sklearn")
    from fastnn.estimators import MLPRegressor
    register_loss("own", huber, delta=1.0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    t = x[:, 0] - x[:, 1]**2
    own, built_in = (MLPRegressor(loss=loss, hidden_layer_sizes=(8,), max_iter=5, random_state=0, tol=0).fit(x, t)
                     for loss in (get_err("own"), "Huber"))
    assert_same_bits(own.predict(x), built_in.predict(x))
    assert_same_bits(MLPRegressor(loss="own", hidden_layer_sizes=(8,), max_iter=5, random_state=0, tol=0).fit(x, t)
                     .predict(x), own.predict(x))


# When it is compiled, and what it says

def test_it_is_compiled_for_the_first_object(tmp_path):
    done = python("""if True:
        import sys
        import numpy as np
        import fastnn
        formula = fastnn.register_loss("own", lambda y, t: (y - t)**4)
        fastnn.register_act("own", lambda a, b: a*b*b)
        fastnn.register_act("learned", lambda x, p: x*p*p, learn="p", p=1.0)
        print("numba" in sys.modules, "llvmlite" in sys.modules)
        err = fastnn.get_err("own")
        print("numba" in sys.modules)
        assert err(3.0, 1.0) == 16 and err.backward(3.0, 1.0) == 32""", FASTNN_CACHE_DIR=str(tmp_path))
    assert done.stdout.split() == ["False", "False", "True"], done.stderr
    done = python("""if True:
        import sys
        import fastnn
        fastnn.register_loss("own", lambda y, t: (y - t)**4)
        assert fastnn.get_err("own")(3.0, 1.0) == 16
        print({"numba", "sympy", "mpmath"} & sys.modules.keys())""", FASTNN_CACHE_DIR=str(tmp_path))
    assert done.stdout.strip() == "set()", done.stderr


def test_first_use_by_many_threads():
    register_loss("own", lambda y, t: math.tanh(y - t)*y + 1.125)
    start, found = threading.Barrier(8), []

    def work():
        start.wait()
        found.append(get_err("own")(np.arange(5.0), np.ones(5)))
    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 8
    for one in found:
        assert_same_bits(one, found[0])


def test_explain():
    register_loss("own", huber, delta=1.0)
    report = fastnn.explain("own")
    lines = report.splitlines()
    assert lines[0] == "own: (delta=1.0)"
    assert report.count("vectorised, ") == 6 and "not vectorised" not in report, report
    assert [line.split()[0] for line in lines if "ULP at" in line] == ["f", "df/dy"]*2
    assert all(float(ulps) < 4 for ulps in re.findall(r"within (\S+) ULP", report)), report
    register_loss("losing", lambda y, t: -t*math.log(1/(1 + math.exp(-y))))
    report = fastnn.explain("losing")
    assert "f  loses digits: " in report and "exp(-y) overflows" in report, report


def test_without_a_derivative_until_it_is_given():
    """The chain rule has none for math.lgamma's like, and gets some wrong."""
    def formula(y, t):
        return where(y == t, 0.0, (y - t)*math.sin(1/(y - t)) if y != t else 0.0)
    made = register_loss("own", formula)
    assert get_err("own")(2.0, 1.0) == math.sin(1.0) and made.name == "own"
