"""PAU: coefficients of any degrees, and where its defaults come from."""
import copy
import importlib.util
import pickle
from pathlib import Path

import mpmath
import numpy as np
import pytest

from fastnn import bounds, get_act
from fastnn.accuracy import wide_sample
from oracles.activations import exact

TOOL = Path(__file__).parents[1]/"tools"/"pade.py"
DEGREES = [([0.02, 0.5, 1.6, 1.2], [0.3, 2.4]), ([0.02, 0.5, 1.6, 1.2, -0.3], [0.9, -0.3, 0.7]), ([0.1, 0.5, 0.7], [0.9]),
           ([0.1, 0.5, 0.7], [-0.9]), ([1.0, 0.5, 0.25, 0.1, 2.0], [0.0, 0.0, 1.5])]
LOWER = [([1.0], [0.0, 1.0]), ([0.0, 1.0], [1.0]), ([1.0, 0.5], [0.9, 0.3, 0.1]), ([1.0, -2.0, 0.3], [0.1, 0.2, 0.3, 0.4]),
         ([1.0, 0.5, 0.2, 0.3], [0.9, -0.3, 0.1])]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("numerator", "denominator"), DEGREES + LOWER)
def test_degrees(numerator, denominator, dtype):
    """f, f' and f'' within the bounds; where the quotient falls behind x, from 13 on within twice those
    of f, f/x and f/x^2."""
    act, kind = get_act("PAU", numerator=numerator, denominator=denominator), np.dtype(dtype).name
    values = {name: getattr(act, name) for name in act.hyperparameters}
    full = len(numerator) == len(denominator) + 2
    powers = 10.0**np.arange(-30, 31, 3)
    x = np.concatenate([wide_sample(120), powers, -powers, [15.9, 16.0, 16.1, -15.9, -16.0, -16.1]]).astype(dtype)
    for order, got in enumerate((act(x), act.backward(x), act.d2y(x))):
        for one, y in zip(x, got):
            right = exact("PAU", order, float(one), dtype, **values)
            near = bounds.FLOOR if order and abs(one) < 13 else 0
            if not full and abs(one) >= 13:
                near = 2*float(abs(exact("PAU", 0, float(one), dtype, **values)/mpmath.mpf(float(one))**order))
            unit = bounds.unit(float(right), kind, near)
            assert abs(mpmath.mpf(float(y)) - right) <= bounds.ULPS[kind][order]*unit, (order, one)
    if full:
        top = numerator[-1]/denominator[-1]
        limits = np.array([np.inf, -np.inf], dtype)
        odd = np.array([1, -1 if len(denominator) % 2 else 1])
        np.testing.assert_array_equal(act(limits), np.sign(top)*np.sign(denominator[-1])*odd*limits)
        np.testing.assert_allclose(act.backward(limits), top*np.sign(denominator[-1])*odd, rtol=1e-6)
    assert (np.isnan(act([np.nan])) & np.isnan(act.backward([np.nan])) & np.isnan(act.d2y([np.nan]))).all()


def test_as_the_plain_quotient():
    x = np.linspace(-30, 30, 301)
    for numerator, denominator in DEGREES + LOWER:
        act = get_act("rational", numerator=numerator, denominator=np.array(denominator))
        plain = np.polyval(numerator[::-1], x)/(1 + abs(np.polyval([*denominator[::-1], 0], x)))
        np.testing.assert_allclose(act(x), plain, rtol=1e-12, atol=1e-14)
        for twin in (copy.copy(act), pickle.loads(pickle.dumps(act)), eval(repr(act))):
            np.testing.assert_array_equal(twin(x), act(x))


def test_coefficients_that_are_refused():
    for numerator, denominator, error, text in (
            ([1, 2], [0, 0], ValueError, "^the denominator must have a last coefficient"),
            ([1, 2], [1, 1e-9], ValueError, "^the denominator must have a last coefficient"),
            ([1, 2, 3, 4], [1], ValueError, "degree 1, and the numerator must have 2 at most: a3 must be 0, not 4.0$"),
            ([1]*7, [1]*4, TypeError, "sequence of 6"), ([1], [1]*5, TypeError, "sequence of 4"), ([], [1], TypeError, "sequence of 6")):
        with pytest.raises(error, match=text):
            get_act("PAU", numerator=numerator, denominator=denominator)
    act = get_act("PAU")
    with pytest.raises(ValueError, match="degree 3"):
        act.b4 = 0
    assert act.b4 > 0.3


def test_the_fit_to_leaky_relu():
    """What tools/pade.py prints: neither more nor less of any coefficient is nearer."""
    spec = importlib.util.spec_from_file_location("pade_tool", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    (p0, p1, p2, b2, b4), error = tool.fitted()
    p0, p1, p2, b2, b4 = map(float, (p0, p1, p2, b2, b4))
    found = {"a0": 0.495*p0, "a1": 0.505, "a2": 0.495*p1, "a3": 0.505*b2, "a4": 0.495*p2, "a5": 0.505*b4, "b1": 0, "b2": b2,
             "b3": 0, "b4": b4}
    x = np.linspace(-3, 3, 60001)

    def apart(values):
        return np.mean((get_act("PAU", **values)(x) - np.where(x > 0, x, 0.01*x))**2)
    assert np.sqrt(apart(found)) == pytest.approx(0.495*float(error), rel=1e-4)
    assert apart(found) < apart({}) / 5
    for name in found:
        assert all(apart({**found, name: found[name] + change}) > apart(found) for change in (-1e-3, 1e-3))
