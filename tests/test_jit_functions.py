"""fastnn.jit's functions against mpmath, on the whole line, with and without fused multiply-add, and as vector code."""
import math
import platform
import re
import sys
from functools import cache

import numpy as np
import pytest

pytest.importorskip("numba")

import mpmath

from emitted import assembly, evaluate, host_has_fma
from fastnn import get_act, register_act, unregister
from fastnn.jit.coefficients import COEFFICIENTS
from fastnn.jit.formulas import BESIDE, FORMULAS
from fastnn.jit.functions import CHAINS, EXACT, FUNCTIONS, find
from fastnn.jit.trigonometric import TWO_OVER_PI_BITS
from helpers import assert_same_bits, python

ROWS = FUNCTIONS | {row.name: row for row in CHAINS.values()}
DTYPES = ["float32", "float64"]
FMA = [True, False] if host_has_fma() else [False]
each_function = pytest.mark.parametrize("name", ROWS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_mode = pytest.mark.parametrize("fma", FMA)

# Where a formula changes over to another, and where results leave the format: the neighbours of these are sampled.
SWITCHES = [
    0.5, 0.6, 0.7, 0.85, 1.0, 2.0, math.sqrt(0.5), math.sqrt(2), math.sqrt(2) - 1, math.sqrt(2) + 1, math.log(2)/2,
    math.pi/4, math.pi/2, math.pi, 2*math.pi, 0.7*math.sqrt(2), 2.0**17, 2.0**20, 2.0**30, 4.0, 6.0, 10.1, 27.3, 14.3,
    38.6, 40.0, 60.0, 88.02969, 88.72284, 87.33655, 103.97208, 125.5, 126.5, 127.5, 149.5, 500.0, 708.396419,
    709.782712893384, 710.4758600739439, 745.1332191019412, 1021.5, 1023.5, 1074.5]
# The floats nearest to a multiple of pi/2 (Muller, Elementary Functions)
NEAREST = {"float32": math.ldexp(16367173, 72), "float64": math.ldexp(6381956970095103, 797)}
SPECIAL = [0.0, math.inf, math.nan, 0.5, 1.0, 2.0, 3.0, 1e-20, 1e10]


def neighbours(number, dtype, count):
    """Consecutive numbers around one."""
    whole = np.dtype(dtype.replace("float", "int"))
    return (np.array(number, dtype).view(whole) + np.arange(-count, count + 1, dtype=whole)).view(dtype)


@cache
def numbers(dtype, count):
    """Of both signs: every exponent, the usual sizes, the switches and their neighbours."""
    rng = np.random.default_rng(754)
    limits = np.finfo(dtype)
    lowest, highest = int(np.log2(limits.smallest_subnormal)), limits.maxexp
    exponents = rng.integers(lowest, highest, 2*count)
    sizes = np.concatenate([
        np.ldexp(rng.uniform(1, 2, exponents.size), exponents).clip(max=float(limits.max)),
        rng.uniform(0, 1.2, count), rng.uniform(0, 8, count), rng.exponential(40, count),
        np.exp(rng.normal(0, 0.1, count)), rng.uniform(0, 110 if dtype == "float32" else 760, count)]).astype(dtype)
    sizes *= np.where(rng.random(sizes.size) < 0.5, dtype_of(dtype)(-1), dtype_of(dtype)(1))
    near = np.concatenate([neighbours(s, dtype, 3) for s in [*SWITCHES, NEAREST[dtype]]])
    ends = neighbours(limits.smallest_normal, dtype, 2), [limits.smallest_subnormal, limits.max]
    return np.concatenate([sizes, near, -near, *ends, *specials(1, dtype)]).astype(dtype)


def dtype_of(dtype):
    return np.dtype(dtype).type


@cache
def arguments(name, dtype, count):
    """Samples; of a function of two arguments also such as have a result of usual size."""
    x = numbers(dtype, count)
    if ROWS[name].arity == 1:
        return x,
    rng = np.random.default_rng(86)
    y = rng.permutation(x)
    with np.errstate(all="ignore"):
        close = x.astype(np.float64)*rng.choice([-1, 1], x.size)*np.exp(rng.normal(0, 2, x.size))
        fitting = rng.uniform(-1, 1, x.size)*(105 if dtype == "float32" else 746)/np.log(np.abs(x.astype(np.float64)))
    if name == "pow":
        whole = rng.integers(-9, 10, x.size)
        x = np.concatenate([x, x, np.abs(x)])
        y = np.concatenate([y, whole, np.where(np.isfinite(fitting), fitting, 1.5)])
    else:
        limit = float(np.finfo(dtype).max)
        x, y = np.concatenate([x, x]), np.concatenate([y, close.clip(-limit, limit)])
    return x.astype(dtype), y.astype(dtype)


def specials(arity, dtype):
    limits = np.finfo(dtype)
    line = np.array([*SPECIAL, limits.smallest_subnormal, limits.smallest_normal, limits.max], dtype)
    line = np.concatenate([line, -line])
    return [line] if arity == 1 else [a.ravel() for a in np.meshgrid(line, line)]


@cache
def exact_float64(name):
    """float64 samples, results rounded to float64 and what that rounding lost."""
    row = ROWS[name]
    samples = arguments(name, "float64", 60)
    rounded = np.array(row.evaluate(*samples))
    lost = np.zeros(rounded.size)
    if row.ulps is not EXACT:
        with mpmath.workprec(160):
            usual = np.all([np.isfinite(s) & (s != 0) for s in samples], axis=0)
            for i in np.flatnonzero(usual & np.isfinite(rounded) & (rounded != 0)):
                exact = row.mpmath(mpmath, *(mpmath.mpf(float(s[i])) for s in samples))
                rounded[i] = float(exact)
                lost[i] = float(exact - mpmath.mpf(rounded[i]))
    return samples, rounded, lost


def test_every_function_has_a_formula():
    assert set(FORMULAS) == set(ROWS)
    assert all((formula.near is None) == (formula.beyond is None) for formula in FORMULAS.values())


@each_function
def test_both_oracles_agree(name):
    row = ROWS[name]
    for x in (1.25, 0.375, -2.625, 17.0):
        values = (x, 0.75)[:row.arity]
        wanted = float(row.evaluate(*values))
        if math.isfinite(wanted):
            exact = row.mpmath(mpmath, *map(mpmath.mpf, values))
            assert math.isclose(wanted, float(exact), rel_tol=1e-13), values


def test_chains_are_what_they_replace():
    x = np.concatenate([np.linspace(-800, 800, 999), [np.inf, -np.inf, np.nan, 0.0]])
    for chain, row in CHAINS.items():
        y = x
        for name in reversed(chain):
            y = FUNCTIONS[name].evaluate(y)
        np.testing.assert_allclose(row.evaluate(x), y, rtol=1e-13)


def test_python_callables_are_found():
    special = pytest.importorskip("scipy.special")
    for row in FUNCTIONS.values():
        for qualified in row.callables:
            module, _, attribute = qualified.rpartition(".")
            function = getattr(sys.modules[module], attribute, None)
            if function is not None:                # math.exp2 and numpy.asin are not in every version
                assert find(function) is row
    assert find(special.erf).name == "erf"
    assert find(np.add) is None and find(None) is None and find(math) is None


def test_table_needs_no_numba():
    done = python("import sys, fastnn, fastnn.jit.functions; print('numba' in sys.modules, 'llvmlite' in sys.modules)")
    assert done.stdout.split() == ["False", "False"], done.stderr


def errors(got, exact, lost, dtype):
    """|got - (exact + lost)| in units in the last place; NaN and infinities must be those of `exact` in dtype."""
    limits = np.finfo(dtype)
    got = got.astype(np.float64)
    with np.errstate(all="ignore"):
        rounded = exact.astype(dtype).astype(np.float64)
        size = np.clip(np.abs(exact), float(limits.smallest_normal), float(limits.max))
        error = np.abs((got - exact) - lost)/np.ldexp(float(limits.eps), np.frexp(size)[1] - 1)
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    return np.where(np.isfinite(rounded) & np.isfinite(got), error, np.where(same, 0, np.inf))


def assert_within(bound, samples, got, exact, lost, dtype):
    error = errors(got, exact, lost, dtype)
    i = np.argmax(error)
    assert error[i] <= bound, f"{error[i]:.2f} ULP at {[s[i] for s in samples]}: {got[i]!r} for {exact[i]!r}"


@each_dtype
@each_mode
@each_function
def test_accuracy(name, dtype, fma):
    """float32 is judged by the C library's float64."""
    row = ROWS[name]
    samples = arguments(name, dtype, 4000) if dtype == "float32" else exact_float64(name)[0]
    got = evaluate(name, dtype, fma, *samples)
    exact, lost = (np.array(row.evaluate(*samples)), 0) if dtype == "float32" else exact_float64(name)[1:]
    assert_within(row.ulps[dtype] + (1e-6 if row.ulps[dtype] else 0), samples, got, exact, lost, dtype)


@each_dtype
@each_mode
@each_function
def test_specials(name, dtype, fma):
    """NaN, infinities and the signs of zeros are Python's and NumPy's, of all pairs of such arguments."""
    row = ROWS[name]
    samples = specials(row.arity, dtype)
    got, exact = evaluate(name, dtype, fma, *samples), np.array(row.evaluate(*samples))
    assert_within(16 if row.ulps[dtype] else 0, samples, got, exact, 0, dtype)      # how exact is another test's matter
    if name not in ("minimum", "maximum"):          # either zero will do
        zero = (got == 0) & (exact == 0)
        wrong = zero & (np.signbit(got) != np.signbit(exact))
        assert not wrong.any(), [s[wrong] for s in samples]


@each_dtype
@pytest.mark.parametrize(("one", "other"), BESIDE)
def test_forms_beside_another_function(one, other, dtype):
    """The forms of functions in loops that compute both."""
    function, partner = getattr(math, one), getattr(math, other)

    def both(x):
        return function(x) + 0*partner(x)

    rng = np.random.default_rng(64)
    x = np.concatenate([rng.normal(0, 2, 500), rng.uniform(-80, 80, 500),
                        10.0**rng.uniform(-44, 0, 200)*rng.choice([-1, 1], 200)]).astype(dtype)
    register_act("beside", replace=True)(both)
    try:
        got = get_act("beside").forward(x)
    finally:
        unregister("beside")
    row = FUNCTIONS[one]
    with mpmath.workprec(160):
        exact = [row.mpmath(mpmath, mpmath.mpf(float(value))) for value in x]
        rounded = np.array([float(value) for value in exact])
        lost = np.array([float(value - mpmath.mpf(float(value))) for value in exact])
    assert_within(row.ulps[dtype] + 1e-6, [x], got, rounded, lost, dtype)


@each_dtype
@each_mode
def test_ranges_are_kept(dtype, fma):
    """Rounding never carries a result past its limit."""
    x = numbers(dtype, 20000)
    x = x[np.isfinite(x)]
    pi = dtype_of(dtype)(math.pi)
    for name, low, high in (
            ("tanh", -1, 1), ("erf", -1, 1), ("sin", -1, 1), ("cos", -1, 1), ("expit", 0, 1), ("ndtr", 0, 1),
            ("erfc", 0, 2), ("gauss", 0, 1), ("exp", 0, np.inf), ("exp2", 0, np.inf), ("expm1", -1, np.inf),
            ("cosh", 1, np.inf), ("log_expit", -np.inf, 0), ("log1p_exp", 0, np.inf), ("tanh_log1p_exp", 0, 1),
            ("atan", -pi/2, pi/2), ("sqrt", 0, np.inf)):
        y = evaluate(name, dtype, fma, np.abs(x) if name == "sqrt" else x)
        assert (y >= low).all() and (y <= high).all(), name


@each_dtype
@each_mode
@each_function
def test_an_element_has_the_same_bits_wherever_it_stands(name, dtype, fma):
    samples = [s[:45] for s in arguments(name, dtype, 4000)]
    together = evaluate(name, dtype, fma, *samples)
    alone = [evaluate(name, dtype, fma, *(s[i:i + 1] for s in samples))[0] for i in range(together.size)]
    assert_same_bits(together, np.array(alone, dtype))


@each_dtype
@each_mode
@pytest.mark.parametrize("name", [name for name, formula in FORMULAS.items() if formula.near])
def test_near_and_complete_forms_agree(name, dtype, fma):
    """Where nothing is out of reach; and a kernel notices what is."""
    samples = arguments(name, dtype, 4000)
    complete = evaluate(name, dtype, fma, *samples, form="complete")
    assert_same_bits(evaluate(name, dtype, fma, *samples, form="any"), complete)
    with np.errstate(all="ignore"):
        size = np.abs(samples[0].astype(np.float64)/samples[1] if name == "fmod" else samples[0])
    within = size < (100 if name == "fmod" else 1e5)
    samples = [s[within] for s in samples]
    assert_same_bits(evaluate(name, dtype, fma, *samples, form="near"), complete[within])


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="reads x86-64 assembly")
@each_dtype
@each_mode
@each_function
def test_loops_are_vectorised(name, dtype, fma):
    code = assembly(name, "near" if FORMULAS[name].near else "complete", dtype, fma)
    assert not re.search(r"\bcall", code)
    assert re.search(r"\sv?mov(up[sd]|dqu(8|16|32|64)?)\s.*mm\d+, ?\S*\(", code), "no vector is stored"


def test_table_of_two_over_pi():
    with mpmath.workprec(2000):
        bits = int(mpmath.floor(2/mpmath.pi*mpmath.mpf(2)**(64*(len(TWO_OVER_PI_BITS) - 1))))
    assert bits == sum(word << 64*i for i, word in enumerate(reversed(TWO_OVER_PI_BITS)))


def test_coefficients_are_used():
    """A polynomial that no function evaluates would be a leftover."""
    import inspect

    from fastnn.jit import exponential, hyperbolic, normal, trigonometric
    text = "".join(map(inspect.getsource, (exponential, hyperbolic, normal, trigonometric)))
    assert all(f'"{name}"' in text for name, _kind in COEFFICIENTS)
