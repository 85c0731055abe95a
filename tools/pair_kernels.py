"""The loops around gated units and activations with learned parameters, as Cython: written by setup.py into its build
folder.

A gated unit is a row of fastnn/gated.py; its `kernel` names the gate's formula in fastnn/core, whose derivative stands
beside it as `name_d1`. What can be learned has derivatives in its parameters in fastnn/core/learnable.pxd,
`name_in_parameter`; f, f' and f'' are the formulas of that name there, else those of the activation.
"""
import ast
import re
from pathlib import Path
from typing import NamedTuple

from translation import replace

FORMULA = re.compile(r"^cdef inline lane (\w+)\(lane x, const lane \*h\) noexcept nogil:", re.MULTILINE)
FAMILIES = ("piecewise", "quadratic", "algebraic", "transcendental", "sigmoidal", "gated")      # of activations
LEARNABLE = "learnable"
MOST_LEARNED = 8                # of fastnn/core/pair_kernels.pxd


class Kernel(NamedTuple):
    name: str
    family: str                 # of f
    slope: str                  # of f'
    parameters: tuple = ()      # those that are learned
    bend: str = ""              # of f'', which has a loop of its own


def formulas(core):
    """Where each formula stands: {name: [families]}."""
    found = {}
    for family in (*FAMILIES, LEARNABLE):
        for name in FORMULA.findall((core / f"{family}.pxd").read_text()):
            found.setdefault(name, []).append(family)
    return found


def gates(path, found):
    """The gates that the rows of gated.py name. SystemExit for one without a formula or derivative."""
    kernels = []
    for node in ast.parse(path.read_text()).body:
        for keyword in node.keywords if isinstance(node, ast.ClassDef) else ():
            if keyword.arg == "kernel":
                name = ast.literal_eval(keyword.value)
                places = [[family for family in found.get(wanted, ()) if family != LEARNABLE]
                          for wanted in (name, f"{name}_d1")]
                if not all(places):
                    raise SystemExit(f"{node.name}: there is no formula {name} with {name}_d1 in fastnn/core")
                kernels.append(Kernel(name, places[0][0], places[1][0]))
    return list(dict.fromkeys(kernels))


def learned(text, found):
    """What has derivatives in parameters. SystemExit for one whose f, f' or f'' is nowhere."""
    derivatives = {}
    for name in FORMULA.findall(text):
        of, _, parameter = name.partition("_in_")
        if parameter:
            derivatives.setdefault(of, []).append(parameter)
    kernels = []
    for name, parameters in derivatives.items():
        places = {}
        for wanted in (name, f"{name}_d1", f"{name}_d2"):
            if wanted not in found:
                raise SystemExit(f"learnable.pxd: there is no formula {wanted} beside {name}_in_{parameters[0]}")
            places[wanted] = found[wanted][-1]
        if len(parameters) > MOST_LEARNED:
            raise SystemExit(f"learnable.pxd: {name} has more than {MOST_LEARNED} parameters")
        value, slope, bend = places.values()
        kernels.append(Kernel(name, value, slope, tuple(parameters), bend))
    return kernels


def kernels(core, rows):
    """The text of the .pxi."""
    found = formulas(core)
    of_gates, of_learned = gates(rows, found), learned((core / f"{LEARNABLE}.pxd").read_text(), found)
    lines = ["# Written by tools/pair_kernels.py."]
    for family in (*FAMILIES, LEARNABLE):
        lines += [f"from fastnn.core cimport {family}"]
    lines += [*map(gate_loop, of_gates), *map(learned_loop, of_learned), *map(bent_loop, of_learned),
              "# name of the gate: (address for float, for double)", "GATES = {",
              *(f'    "{each.name}": {addresses(f"{each.name}_gate")},' for each in of_gates), "}",
              "# name: ((address for float, for double), names of the parameters)", "LEARNED = {",
              *(f'    "{each.name}": ({addresses(f"{each.name}_learned")}, {each.parameters!r}),'
                for each in of_learned), "}",
              "# of f'', with parameters beside each element: name -> (address for float, for double)", "LEARNED_BENDS = {",
              *(f'    "{each.name}": {addresses(f"{each.name}_bent")},' for each in of_learned), "}", ""]
    return "\n".join(lines)


def addresses(function):
    return f"(<uintptr_t>{function}[float], <uintptr_t>{function}[double])"


def gate_loop(gate):
    return f"""
cdef void {gate.name}_gate(bint back, const real *a, const real *b, const real *g, real *out, real *second, Py_ssize_t n,
                           const real *h) noexcept nogil:
    map_gate({gate.family}.{gate.name}[real], {gate.slope}.{gate.name}_d1[real], back, a, b, g, out, second, n, h)
"""


def learned_loop(kernel):
    """Four loops: forward and back, with a number for each parameter and with one for each element."""
    count = len(kernel.parameters)
    value = f"out[i] = {kernel.family}.{kernel.name}[real](a, h)"
    gradients = ["w = g[i]", f"out[i] = w * {kernel.slope}.{kernel.name}_d1[real](a, h)",
                 *(f"dp[{k} * LEARNED_BLOCK + i] = w * {LEARNABLE}.{kernel.name}_in_{parameter}[real](a, h)"
                   for k, parameter in enumerate(kernel.parameters))]
    own = [f"h[{k}] = p[{k} * LEARNED_BLOCK + i]" for k in range(count)]

    def loop(*lines):
        return "".join(f"            {line}\n" for line in (
            "for i in range(n & -MAP_STEP):", "    see(&seen, x, i)", "    a = x[i]", *(f"    {line}" for line in lines)))

    return f"""
cdef void {kernel.name}_learned(bint back, bint each, const real *x, const real *p, const real *g, real *out, real *dp,
                                Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef Seen seen = Seen(0, 0)
    cdef real a, w
    cdef real h[{max(2, count)}]
    if each:
        if back:
{loop(*own, *gradients)}\
        else:
{loop(*own, value)}\
    else:
{"".join(f"        h[{k}] = p[{k}]" + chr(10) for k in range(count))}\
        if back:
{loop(*gradients)}\
        else:
{loop(value)}\
    seen_all(seen.quarters | seen.quarters_of_double)
"""


def bent_loop(kernel):
    """f'', of the same signature; with parameters beside each element alone."""
    own = "".join(f"        h[{k}] = p[{k} * LEARNED_BLOCK + i]\n" for k in range(len(kernel.parameters)))
    return f"""
cdef void {kernel.name}_bent(bint back, bint each, const real *x, const real *p, const real *g, real *out, real *dp,
                             Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real h[{max(2, len(kernel.parameters))}]
    for i in range(n & -MAP_STEP):
{own}\
        out[i] = {kernel.bend}.{kernel.name}_d2[real](x[i], h)
"""


def write(root, folder):
    """Write `pair_kernels.pxi` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    replace(folder / "pair_kernels.pxi", kernels(Path(root, "fastnn", "core"), Path(root, "fastnn", "gated.py")))
