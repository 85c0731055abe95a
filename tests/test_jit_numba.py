"""fastnn's functions in numba-compiled code."""
import math

import numpy as np
import pytest

pytest.importorskip("numba")

import numba
from numba import carray, types

from emitted import evaluate, host_has_fma
from fastnn.jit import vecmath
from fastnn.jit.formulas import FORMULAS
from fastnn.jit.functions import FUNCTIONS
from helpers import assert_same_bits

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def numbers(dtype):
    """Both signs, within reach of all functions but for the last three."""
    sizes = np.concatenate([np.linspace(0, 3, 60), np.geomspace(1e-30, 1e4, 60), [np.inf, 1e30, 1e12]])
    return np.concatenate([sizes, -sizes]).astype(dtype)


def test_every_function_is_there():
    assert set(vecmath.functions()) == set(FUNCTIONS)
    assert set(vecmath.near()) == {name for name, formula in FORMULAS.items() if formula.near}


@each_dtype
def test_numba_compiles_every_function(dtype):
    """One kernel with a loop for each, and the bits that LLVM's own compilation gives."""
    names = list(FUNCTIONS)
    lines = ["def kernel(px, py, pout, n):",
             f"    x, y, out = carray(px, n), carray(py, n), carray(pout, ({len(names)}, n))"]
    for k, name in enumerate(names):
        given = ", ".join(["x[i]", "y[i]"][:FUNCTIONS[name].arity])
        lines += ["    for i in range(n):", f"        out[{k}, i] = f_{name}({given})"]
    scope = {"carray": carray, **{f"f_{name}": function for name, function in vecmath.functions().items()}}
    exec("\n".join(lines), scope)
    pointer = types.CPointer(types.float32 if dtype == "float32" else types.float64)
    kernel = numba.cfunc(types.void(pointer, pointer, pointer, types.intp), error_model="numpy")(scope["kernel"])
    x = numbers(dtype)
    y = np.random.default_rng(5).permutation(x)
    out = np.empty((len(names), x.size), dtype)
    kernel.ctypes(*(a.ctypes.data_as(t) for a, t in zip((x, y, out), kernel.ctypes.argtypes)), x.size)
    for name, row in zip(names, out):
        given = (x, y)[:FUNCTIONS[name].arity]
        assert_same_bits(row, evaluate(name, dtype, host_has_fma(), *given, form="complete"), name)


@each_dtype
def test_numba_runs_a_near_loop(dtype):
    """The loop of vecmath's docstring."""
    sine, sin, zero = vecmath.near()["sin"], vecmath.functions()["sin"], np.dtype(dtype.replace("float", "int")).type(0)
    near_function, beyond = sine

    def kernel(px, pout, n):
        x, out = carray(px, n), carray(pout, n)
        far = zero
        for i in range(n):
            out[i] = near_function(x[i])
            far = beyond(x[i], far)
        if far != 0:
            for i in range(n):
                out[i] = sin(x[i])

    pointer = types.CPointer(types.float32 if dtype == "float32" else types.float64)
    kernel = numba.cfunc(types.void(pointer, pointer, types.intp), error_model="numpy")(kernel)
    for x in (numbers(dtype), np.linspace(-50, 50, 45).astype(dtype)):
        out = np.empty_like(x)
        kernel.ctypes(*(a.ctypes.data_as(t) for a, t in zip((x, out), kernel.ctypes.argtypes)), x.size)
        assert_same_bits(out, evaluate("sin", dtype, host_has_fma(), x))


def test_arguments_of_other_types():
    """Integers and mixed types are computed in float64; what is no real number is refused."""
    f = vecmath.functions()
    exp, atan2 = f["exp"], f["atan2"]

    @numba.njit
    def mixed(i, x, y):
        return exp(i), exp(x), atan2(x, y)

    of_integer, of_float32, of_both = mixed(3, np.float32(0.5), 0.25)
    [signature] = mixed.nopython_signatures
    assert list(signature.return_type) == [types.float64, types.float32, types.float64]
    assert math.isclose(of_integer, math.exp(3)) and math.isclose(of_both, math.atan2(0.5, 0.25))
    assert math.isclose(of_float32, math.exp(0.5), rel_tol=1e-7)
    with pytest.raises(numba.TypingError):
        numba.njit(lambda z: exp(z))(1j)
