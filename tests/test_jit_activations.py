"""register_act: names, hyperparameters, derivatives, errors; and whatever a built-in activation can do."""
import copy
import math
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import activations, get_act, register_act, unregister
from fastnn.hyperparameters import Choice, Hyperparameter
from fastnn.jit.errors import FormulaError
from fastnn.nn import MultiLayerNet
from helpers import FLOATS, all_orders, assert_same_bits, python, unregistering

pytest.importorskip("numba")

each_float = pytest.mark.parametrize("dtype", FLOATS)


same_catalogue_afterwards = unregistering(activations)


def snake(x, a):
    """x + sin(ax)^2/a."""
    return x + math.sin(a*x)**2/a


def leaky(x, alpha):
    return alpha*x if x < 0 else x


def test_like_any_other():
    formula = register_act("My-Snake", a=1.0)(snake)
    assert activations()[-1] == "My-Snake"
    act = get_act("mysnake", a=2)
    assert repr(act) == "get_act('My-Snake', a=2.0)"
    assert repr(get_act("MY SNAKE", 3)) == "get_act('My-Snake', a=3.0)"
    assert type(act).__doc__ == snake.__doc__ and str(type(act).__signature__) == "(a=1.0)"
    assert act.name == "My-Snake" and act.a == 2.0 and act.update(1, 2) is None
    assert formula.name == "My-Snake" and "My-Snake" in repr(formula)
    x = np.linspace(-3, 3, 50)
    np.testing.assert_allclose(act(x), x + np.sin(2*x)**2/2, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(act.backward(x), 1 + np.sin(4*x), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(act.d2y(x), 4*np.cos(4*x), rtol=1e-13, atol=1e-14)
    act.a = 0.5
    np.testing.assert_allclose(act(x), x + np.sin(x/2)**2*2, rtol=1e-14, atol=1e-15)
    for wrong, error in (("1", TypeError), (math.nan, ValueError), (math.inf, ValueError)):
        with pytest.raises(error, match="a must be"):
            get_act("My-Snake", a=wrong)
    with pytest.raises(TypeError, match="no hyperparameter 'b'"):
        get_act("My-Snake", b=1)


def test_the_function_stays_a_function():
    formula = register_act("our snake", a=1.0)(snake)
    assert formula(0.5, 2.0) == formula(x=0.5, a=2.0) == snake(0.5, 2.0)
    assert formula.__name__ == "snake" and formula.__doc__ == snake.__doc__ and formula.__wrapped__ is snake

    @register_act("twice")
    def twice(x):
        return 2*formula(x, 1.5)
    np.testing.assert_allclose(get_act("twice")(0.3), 2*snake(0.3, 1.5), rtol=1e-15)


def test_no_hyperparameters():
    @register_act("cube")
    def cube(x):
        return x**3
    assert get_act("cube")(2) == 8 and get_act("cube").backward(2) == 12 and get_act("cube").d2y(2) == 12


def test_hyperparameters_in_any_order_and_with_ranges():
    @register_act("a line", b=Hyperparameter(1.0, above=0), a=2)
    def linear(x, a, b):
        return a*x + b
    assert repr(get_act("a line")) == "get_act('a line', b=1.0, a=2.0)"
    assert get_act("a line", 3, 5)(2) == 13
    with pytest.raises(ValueError, match="b must be above 0"):
        get_act("a line", b=0)

    @register_act("needs", t=Hyperparameter())
    def needs(x, t):
        return t*x
    assert get_act("needs", 4)(2) == 8
    with pytest.raises(TypeError, match="missing"):
        get_act("needs")
    for limits in ({"at_least": 5}, {"below": -2}, {"above": 0, "below": 0.5}):
        register_act("needs", replace=True, b=Hyperparameter(**limits))(lambda x, b: b*x)
    with pytest.raises(ValueError, match="b must be above 0 and below 0.5"):
        get_act("needs", 1)


def test_sixteen_numbers_and_no_more():
    names = [f"h{i}" for i in range(17)]
    formulas = [eval(f"lambda x, {', '.join(names[:n])}: {' + '.join(f'x*{name}' for name in names[:n])}") for n in (15, 17)]
    register_act("fifteen", **dict.fromkeys(names[:15], 1.0))(formulas[0])
    assert get_act("fifteen", *range(15))(1) == sum(range(15))
    with pytest.raises(FormulaError, match="16 are possible"):
        register_act("seventeen", **dict.fromkeys(names, 1.0))(formulas[1])


# Derivatives

def test_given_derivatives():
    formula = register_act("our snake", a=1.0)(snake)

    @formula.derivative
    def first(x, a):
        return 1 + math.sin(2*a*x)

    @formula.second_derivative
    def second(x, a):
        return 2*a*math.cos(2*a*x)
    assert first(0, 1) == 1 and second(0, 1) == 2
    x = np.linspace(-9, 9, 100)
    np.testing.assert_allclose(get_act("our snake").d2y(x), 2*np.cos(2*x), rtol=1e-14, atol=1e-15)
    assert "f'  = 1 + sin(v3)" in fastnn.explain("our snake")


def test_the_second_is_derived_from_a_given_first():
    formula = register_act("a line")(lambda x: 3*x)
    assert get_act("a line").d2y(1) == 0
    formula.derivative(lambda x: 3 + (x - x))
    assert get_act("a line").backward(1) == 3 and get_act("a line").backward(np.inf) != 3


@pytest.mark.parametrize(("order", "wrong"), [
    ("derivative", lambda x, a: 1 + math.sin(2.001*a*x)), ("derivative", lambda x, a: 2.0),
    ("second_derivative", lambda x, a: 2*a*math.sin(2*a*x)), ("derivative", lambda x, a: math.gamma(x)),
    ("derivative", lambda x: x), ("derivative", lambda x, a: (x, x))])
def test_wrong_derivatives_change_nothing(order, wrong):
    formula = register_act("our snake", a=1.0)(snake)
    x = np.linspace(-9, 9, 64)
    before = all_orders(get_act("our snake"), x)
    with pytest.raises((FormulaError, TypeError)) as caught:
        getattr(formula, order)(wrong)
    assert f"{__file__}, line {wrong.__code__.co_firstlineno}" in str(caught.value)
    for one, other in zip(all_orders(get_act("our snake"), x), before):
        assert_same_bits(one, other)


def test_a_wrong_derivative_shows_the_point_and_both_values():
    formula = register_act("square")(lambda x: x*x)
    with pytest.raises(ValueError, match=r"at x = \S+ it is \S+, and should be \S+"):
        formula.derivative(lambda x: 3*x)


def test_objects_keep_the_derivatives_they_were_made_with():
    formula = register_act("a line")(lambda x: 3*x)
    act = get_act("a line")
    formula.derivative(lambda x: 3 + (x - x))
    assert act.backward(np.inf) == 3 and np.isnan(get_act("a line").backward(np.inf))


# Names

def test_taken_names():
    register_act("cube")(lambda x: x**3)
    for name in ("cube", "CUBE", "re lu", "softmax", "maxout"):
        with pytest.raises(ValueError, match="is taken"):
            register_act(name)
    register_act("c-u-b-e", replace=True)(lambda x: 3*x)
    assert get_act("cube")(2) == 6 and activations()[-1] == "c-u-b-e" and "cube" not in activations()
    unregister("Cube")
    with pytest.raises(ValueError, match="Unknown activator"):
        get_act("cube")


def test_a_replaced_builtin_comes_back():
    built_in, before = get_act("ReLU"), activations()
    register_act("relu", replace=True)(lambda x: max(x, 0.0) + 1)
    assert get_act("ReLU")(2.0) == 3 and "ReLU" not in activations() and "relu" in activations()
    assert built_in(2.0) == 2
    unregister("RELU")
    assert get_act("ReLU")(2.0) == 2 and activations() == before


def test_unregister():
    register_act("cube")(lambda x: x**3)
    act = get_act("cube")
    unregister("cube")
    assert act(2.0) == 8 and copy.deepcopy(act)(2.0) == 8
    with pytest.raises(ValueError, match="Unknown activator: 'cube'"):
        unregister("cube")
    for name in ("ReLU", "adam"):
        with pytest.raises(ValueError, match="own catalogue"):
            unregister(name)
    with pytest.raises(TypeError, match="must be a string"):
        unregister(None)


@pytest.mark.parametrize(("name", "hyperparameters", "function", "error", "told"), [
    (3, {}, lambda x: x, TypeError, "string"), ("", {}, lambda x: x, ValueError, "no name"),
    ("-_ ", {}, lambda x: x, ValueError, "no name"), ("own", {"a": "1"}, leaky, TypeError, "a must be a number"),
    ("own", {"a": math.nan}, leaky, ValueError, "a must be"), ("own", {"a": True}, leaky, TypeError, "a must be a number"),
    ("own", {"forward": 1}, leaky, ValueError, "use that name"), ("own", {"_a": 1}, leaky, ValueError, "use that name"),
    ("own", {"name": 1}, leaky, ValueError, "use that name"), ("own", {"x": 1}, lambda u, x: u, ValueError, "use that name"),
    ("own", {"alpha": Choice("same", str)}, leaky, TypeError, "alpha must be a number"),
    ("own", {}, leaky, TypeError, r"must take \(x\)"), ("own", {"beta": 1}, leaky, TypeError, r"must take \(x, beta\)"),
    ("own", {"alpha": 1, "b": 1}, leaky, TypeError, r"must take \(x, alpha, b\)"), ("own", {}, lambda: 1, TypeError, "must take"),
    ("own", {}, lambda *x: 1, TypeError, "must take"), ("own", {}, lambda x, *, k: 1, TypeError, "must take"),
    ("own", {}, math.exp, TypeError, "must be a Python function"), ("own", {}, None, TypeError, "must be a Python function"),
    ("own", {}, np.tanh, TypeError, "must be a Python function"), ("own", {}, lambda x: (x, x), FormulaError, "2 numbers"),
    ("own", {}, lambda x: math.gamma(x), FormulaError, "math.gamma"), ("own", {}, lambda x: None, FormulaError, "no number"),
    ("own", {}, lambda x: math.log(-1 - x*x), FormulaError, "finite")])
def test_refused_and_nothing_registered(name, hyperparameters, function, error, told):
    before = activations()
    with pytest.raises(error, match=told):
        register_act(name, **hyperparameters)(function)
    assert activations() == before


def test_errors_have_no_inner_traceback():
    with pytest.raises(FormulaError) as caught:
        register_act("own")(lambda x: math.gamma(x))
    folders = {Path(__file__).parent, Path(fastnn.jit.__file__).parent}
    assert {Path(entry.path).parent for entry in caught.traceback} <= folders and caught.value.__cause__ is None


# Copies

def test_pickled_by_name():
    register_act("our snake", a=1.0)(snake)
    act = get_act("our snake", a=3)
    data = pickle.dumps(act)
    assert repr(pickle.loads(data)) == repr(copy.copy(act)) == repr(copy.deepcopy(act)) == repr(act)
    assert_same_bits(pickle.loads(data)(0.3), act(0.3))
    unregister("our snake")
    with pytest.raises(ValueError, match="no activator is registered as 'our snake'"):
        pickle.loads(data)


# Arrays

def layouts(dtype):
    rng = np.random.default_rng(9)
    big = (4*rng.normal(size=(6, 8, 10))).astype(dtype)
    yield from (big, big[::2], big[:, ::-1], big[..., ::3], np.asfortranarray(big), big.transpose(1, 0, 2), big[0, 0, 0],
                big[:0], big[1, 2], np.broadcast_to(big[0], (3, 8, 10)), big.astype(big.dtype.newbyteorder()), big.ravel()[1:-2])
    unaligned = np.frombuffer(b"\0" + big.tobytes(), np.uint8)[1:].view(big.dtype)
    yield unaligned


@pytest.mark.parametrize("dtype", [np.float16, *FLOATS])
def test_layouts(dtype):
    """As the built-in with the same formula, in every way to ask."""
    register_act("own", alpha=1e-2)(leaky)
    own, built_in = get_act("own"), get_act("leaky-ReLU")
    for x in layouts(dtype):
        for ask in (lambda act, x: act(x), lambda act, x: act.backward(x), lambda act, x: act.d2y(x),
                    lambda act, x: act.backward(x, grad=x), lambda act, x: act.value_and_grad(x)[0],
                    lambda act, x: act.value_and_grad(x)[1]):
            got, wanted = ask(own, x), ask(built_in, x)
            assert_same_bits(got, wanted)
            assert np.ndim(got) == 0 or got.strides == wanted.strides


@each_float
def test_out(dtype):
    register_act("own", alpha=1e-2)(leaky)
    act, x = get_act("own"), np.random.default_rng(1).normal(size=103).astype(dtype)
    wanted, slope = act(x), act.backward(x)
    out = np.empty_like(x)
    assert act(x, out=out) is out
    assert_same_bits(out, wanted)
    in_place = x.copy()
    assert act(in_place, out=in_place) is in_place
    assert_same_bits(in_place, wanted)
    overlapping = np.concatenate([x, x[:1]])
    act(overlapping[:-1], out=overlapping[1:])
    assert_same_bits(overlapping[1:], wanted)
    gradient = x.copy()
    act.backward(x, grad=gradient, out=gradient)
    assert_same_bits(gradient, slope*x)
    with pytest.raises(ValueError, match="out"):
        act(x, out=np.empty(7, dtype))


@pytest.mark.parametrize("size", [1, 15, 16, 17, 511, 513, 4095, 4097, 100_000, 3_000_000])
def test_sizes_and_threads(size):
    register_act("own", a=1.0)(snake)
    act, rng = get_act("own"), np.random.default_rng(4)
    x = rng.normal(size=size).astype(np.float32)
    some = rng.integers(0, size, 300)
    before = fastnn.get_num_threads()
    try:
        for threads in (1, 2):
            fastnn.set_num_threads(threads)
            y = act(x)
            assert_same_bits(y[some], act(x[some]))
    finally:
        fastnn.set_num_threads(before)


def test_a_network():
    register_act("own-relu")(lambda x: x if x > 0 else 0.0)
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(20, 6)).astype(np.float32), np.eye(3, dtype=np.float32)[rng.integers(0, 3, 20)]
    found = []
    for name in ("own-relu", "ReLU"):
        net = MultiLayerNet(6, [8, 8], 3, activation=name, rng=np.random.default_rng(1))
        found.append(net.gradient(x, t))
    for key in found[1]:
        assert_same_bits(found[0][key], found[1][key])


# Threads and processes

def test_first_use_by_many_threads():
    register_act("own", a=1.0)(lambda x, a: math.tanh(a*x)*x + 1.25)
    start, found = threading.Barrier(8), []

    def work():
        start.wait()
        found.append(get_act("own", a=2)(np.arange(5.0)))
    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 8
    for one in found:
        assert_same_bits(one, found[0])


def test_one_name_registered_by_many_threads():
    start, done = threading.Barrier(8), []

    def work():
        start.wait()
        try:
            register_act("own")(lambda x: x*3)
            done.append(True)
        except ValueError:
            done.append(False)
    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(done) == [False]*7 + [True]


def test_importing_fastnn_imports_nothing_of_this():
    done = python("import fastnn, sys; print({'numba', 'llvmlite', 'sympy', 'mpmath', 'fastnn.jit.trace'} & sys.modules.keys())")
    assert done.stdout.strip() == "set()", done.stderr


def test_without_numba():
    done = python("""if True:
        import sys
        sys.modules["numba"] = None
        import fastnn
        from fastnn import explain, register_act, register_opt, unregister, where
        before = fastnn.activations(), fastnn.optimizers()
        for register in (lambda: register_act("own"), lambda: register_opt("own", lr=0.1)):
            try:
                register()
            except ImportError as error:
                assert "pip install 'fastnn[jit]'" in str(error), error
                print("refused")
        assert (fastnn.activations(), fastnn.optimizers()) == before
        assert where(True, 1, 2) == 1""")
    assert done.stdout.split() == ["refused"]*2, done.stderr
