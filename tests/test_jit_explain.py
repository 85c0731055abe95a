"""explain: what it says of loops that are vectorised, and of those that are not."""
import math
from itertools import count

import pytest

from fastnn import core, explain, get_act, register_act, register_opt, unregister
from fastnn.jit import compiler, graph
from fastnn.jit.functions import FUNCTIONS
from fastnn.jit.kernels import elementwise, rule
from fastnn.jit.symbolic import Symbolic
from fastnn.jit.trace import trace
from helpers import python

pytest.importorskip("numba")
from fastnn.jit import callback       # noqa: E402  imports numba

numbers = count()


@pytest.fixture
def entries():
    names = []
    yield names.append
    for name in names:
        unregister(name)


def test_an_activation(entries):
    @register_act("own", a=1.0)
    def own(x, a):
        return math.tanh(a*x)/(1 + a)
    entries("own")
    report = explain("OWN")
    assert isinstance(report, str) and repr(report) == report
    lines = report.splitlines()
    assert lines[0] == "own: (a=1.0)"
    assert {"v1  = a * x", "v2  = 1 + a", "f   = tanh(v1) / v2"} <= {*lines}, report
    once = lines[lines.index("once a call, in double precision:"):]
    assert any("1 + a" in line for line in once), report
    for dtype in ("float32", "float64"):
        at = next(i for i, line in enumerate(lines) if line.startswith(dtype))
        assert [line.split()[0] for line in lines[at + 1:at + 5]] == ["f", "f'", "f''", "f'"]
        assert all("vectorised, " in line and "not" not in line for line in lines[at + 1:at + 5]), report
    assert get_act("own")(0.0) == 0


def test_a_rule_whose_loop_calls_a_function(entries):
    @register_opt("own", state=("m",), lr=0.1)
    def own(g, m, h):
        m = (m + math.sin(
            g))/2
        return -h.lr*m, m
    entries("own")
    report = explain("own")
    line = own.__code__.co_firstlineno + 2
    assert f"not vectorised:\n    {__file__}, line {line}: sin calls a function" in report, report
    assert "m = (m + math.sin(" in report


def test_a_vectorised_rule(entries):
    @register_opt("own", state=("m",), lr=0.1, beta=0.9)
    def own(g, m, h):
        m = m + (1 - h.beta)*(g - m)
        return -h.lr/(1 - h.beta**h.t)*m, m
    entries("own")
    report = explain("own")
    assert report.count("vectorised, ") == 4 and "not vectorised" not in report, report
    assert "1 - beta" in report and "new m" in report
    assert report.splitlines()[0] == "own: (lr=0.1, beta=0.9)"


def test_a_rule_that_sees_the_parameter(entries):
    register_opt("own", state=("m",), lr=0.1, decay=0.5)(lambda g, p, m, h: (-h.lr*(m + h.decay*p), m + g))
    entries("own")
    report = explain("own")
    assert report.count("vectorised, ") == 4 and "not vectorised" not in report, report
    assert "delta = -lr * (s0 + decay * p)" in report and "new m = s0 + g" in report, report


def test_one_name_for_both(entries):
    register_act("own")(lambda x: x*2)
    register_opt("own", lr=0.1)(lambda g, h: -h.lr*g)
    entries("own")
    report = explain("own")
    assert "f   = x * 2" in report and "delta = -lr * g" in report


@pytest.mark.parametrize("name", ["ReLU", "adam", "softmax"])
def test_the_catalogue(name):
    assert "own catalogue" in explain(name)


def test_unknown_names():
    with pytest.raises(ValueError, match="Unknown activator: 'rellu'.*did you mean"):
        explain("rellu")
    with pytest.raises(TypeError, match="must be a string"):
        explain(None)


# What it rests on: the code itself

# of the C library: functions, and what LLVM makes of an instruction
EXTERNAL = {name + suffix for name in ("fmod", "floor", "ceil", "trunc", "rint", "nearbyint", "fma") for suffix in ("", "f")}


def optimised(kernel, dtype):
    return callback.optimised(compiler.compiled(kernel, dtype, f"fastnn_test_{next(numbers)}"))


def calls(name):
    """A formula that calls one of the functions."""
    arguments = [graph.element("x"), graph.constant(0.75)][:FUNCTIONS[name].arity]
    return graph.node(name, *arguments)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_vectorised_in_activations(name, dtype):
    """And its code calls nothing that a process might not have."""
    node = calls(name)
    code = str(optimised(elementwise(node, graph.element("x"), graph.element("x")), dtype))
    assert "store <" in code
    declared = {line.split("@")[1].split("(")[0] for line in code.splitlines() if line.startswith("declare")}
    assert {each for each in declared if not each.startswith("llvm.")} <= EXTERNAL


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loops_have_no_checks_for_overlap(dtype):
    x, s0, s1, s2 = (Symbolic(graph.element(name)) for name in ("g", "s0", "s1", "s2"))
    roots = trace(lambda g, a, b, c: (g*a + b, a + g, b*g, c - a), x, s0, s1, s2)
    code = str(optimised(rule(roots[0], roots[1:]), dtype))
    assert "store <" in code and "memcheck" not in code and "diff.check" not in code


@pytest.mark.skipif(core.isa() not in ("x86-64-v3", "x86-64-v4"), reason="two levels to choose from")
@pytest.mark.parametrize(("level", "lanes"), [("x86-64-v2", 4), ("x86-64-v3", 8)])
def test_the_level_that_is_forced(level, lanes):
    """Without fused multiply-add the functions go other ways."""
    done = python("""if True:
        import math
        import numpy as np
        import fastnn
        fastnn.register_act("own", a=1.0)(lambda x, a: x*math.tanh(math.log1p(math.exp(x))) + math.sin(a*x)**2/a)
        x = np.linspace(-9, 9, 300)
        wanted = x*np.tanh(np.log1p(np.exp(x))) + np.sin(x)**2
        for dtype in (np.float32, np.float64):
            got = fastnn.get_act("own")(x.astype(dtype))
            np.testing.assert_allclose(got, wanted, rtol=0, atol=20*np.finfo(dtype).eps)
        print(fastnn.explain("own"))""", FASTNN_ISA=level)
    assert f"float32, for {level}:" in done.stdout, done.stderr
    assert done.stdout.count(f"vectorised, {lanes} elements") == 4
