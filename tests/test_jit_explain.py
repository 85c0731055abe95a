"""explain: what it says of loops that are vectorised, and of those that are not."""
import math
from itertools import count, takewhile

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
from fastnn.jit.explain import _digits       # noqa: E402

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
    assert report.count("vectorised, ") == 2 and "not vectorised" not in report, report
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
    assert done.stdout.count(f"vectorised, {lanes} elements") == 5


LOSING = {
    "sigmoid": (lambda x: 1/(1 + math.exp(-x)), "exp(-x) overflows", "expit(x) in place of 1 / (1 + exp(-x))"),
    "sigmoid from the right": (lambda x: math.exp(x)/(1 + math.exp(x)), "exp(x) overflows", "expit(x) in place of"),
    "Swish": (lambda x: x/(1 + math.exp(-x)), "exp(-x) overflows", "x*expit(x) in place of"),
    "softplus": (lambda x: math.log(1 + math.exp(x)), "exp(x) overflows", "logaddexp(x, 0) in place of"),
    "half of softplus": (lambda x: math.log1p(math.exp(x)), "exp(x) overflows", "logaddexp(x, 0) in place of"),
    "ELU": (lambda x: x if x > 0 else math.exp(x) - 1, "exp(x) - 1 cancels", "expm1(x) in place of exp(x) - 1"),
    "tanh": (lambda x: (math.exp(x) - math.exp(-x))/(math.exp(x) + math.exp(-x)), "overflows", "tanh(x) in place of"),
    "tanh of one": (lambda x: (1 - math.exp(-2*x))/(1 + math.exp(-2*x)), "overflows", "tanh(x) in place of"),
    "bent": (lambda x: (math.sqrt(x*x + 1) - 1)/2 + x, "sqrt(x * x + 1) - 1 cancels",
             "(x * x)/(sqrt(x * x + 1) + 1) in place of sqrt(x * x + 1) - 1"),
    "GELU": (lambda x: 0.5*x*(1 + math.erf(x/math.sqrt(2))), "cancels", "erfc(-(x / 1.4142135623730951)) in place of"),
    "log-sigmoid": (lambda x: math.log(1/(1 + math.exp(-x))), "exp(-x) overflows", "log_expit(x) in place of"),
    "tanh-shrink": (lambda x: x - math.tanh(x), "x - tanh(x) cancels", "")}
KEEPING = {
    "tanh": lambda x: math.tanh(x), "softplus": lambda x: max(x, 0) + math.log1p(math.exp(-abs(x))),
    "ELU": lambda x: x if x > 0 else math.expm1(x), "snake": lambda x: x + math.sin(x)**2,
    "square": lambda x: x*x - 2, "bell": lambda x: math.exp(-x*x/2), "GELU": lambda x: 0.5*x*math.erfc(-x/math.sqrt(2)),
    "bent": lambda x: x*x/(2*(math.sqrt(x*x + 1) + 1)) + x}


def told(formula):
    """What explain says of f's digits, a list of lines for each dtype."""
    cls = register_act("told")(formula).activation
    try:
        found = [_digits(cls, dtype) for dtype in ("float32", "float64")]
    finally:
        unregister("told")
    return [[lines[0], *takewhile(lambda line: line.startswith("   "), lines[1:])] for lines in found]


@pytest.mark.parametrize("case", LOSING)
def test_a_formula_that_loses_digits_is_told_so(case):
    formula, cause, better = LOSING[case]
    for first, *more in told(formula):
        assert "loses digits: " in first, first
        assert cause in more[0], more
        assert more[1:] == [] if not better else better in more[1], more


@pytest.mark.parametrize("case", KEEPING)
def test_a_formula_that_keeps_them_is_not_blamed(case):
    found = told(KEEPING[case])
    assert len(found) == 2
    for (line,) in found:
        ulps = float(line.removeprefix("f  is within ").partition(" ULP")[0])
        assert ulps < 8 or case == "bell", line


def test_the_report_tells_where(entries):
    register_act("own")(LOSING["sigmoid"][0])
    entries("own")
    lines = explain("own").splitlines()
    for number, right in (("-88.7228", "2.939e-39"), ("-709.783", "5.562e-309")):
        assert f"f  loses digits: 0 at x = {number} is {right}" in lines, lines
