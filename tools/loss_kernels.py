"""The loops around elementwise losses, as Cython: written by setup.py into its build folder, from the formulas in
fastnn/core/losses. A formula is a function of that form whose derivative stands beside it, as `name_d1`, and that in a third
array, its first constant, as `name_dv`. The loop of value and derivative works on four vectors at a time
(fastnn/core/loops.pxd) where these call exp or tanh and, in double, log: others gain nothing by it.
"""
import re
from pathlib import Path
from typing import NamedTuple

from translation import replace

SIGNATURE = re.compile(r"^cdef inline real (\w+)\(real y, real t((?:,\s*real \w+)*)\) noexcept nogil:", re.MULTILINE)
FUNCTION = re.compile(r"^cdef inline real (\w+)\((.*?)(?=^cdef|\Z)", re.MULTILINE | re.DOTALL)
SMOOTH = re.compile(r"\b((exp|log|tanh)\w*)\(")
MOST_CONSTANTS = 15             # MOST_PARAMETERS of fastnn/core/kernels.pxd, one for the share


class Loss(NamedTuple):
    family: str
    name: str
    constants: tuple
    of_three: bool              # arrays
    calls: frozenset            # of exp, log, tanh


def formulas(paths):
    """The losses of .pxd files. SystemExit for one that stands twice, or whose derivative has other constants."""
    found = {}
    for path in paths:
        bodies = dict(FUNCTION.findall(path.read_text()))
        for name, rest in SIGNATURE.findall(path.read_text()):
            if name in found:
                raise SystemExit(f"{path}: the loss {name} stands in {found[name].family}.pxd, too")
            found[name] = Loss(path.stem, name, tuple(re.findall(r"real (\w+)", rest)), False, calls(name, bodies))
    losses = [loss for name, loss in found.items() if f"{name}_d1" in found]
    for loss in losses:
        for of in ("_d1", "_dv"):
            derivative = found.get(loss.name + of, loss)
            if (derivative.family, derivative.constants) != (loss.family, loss.constants):
                raise SystemExit(f"the loss {loss.name} and its derivative have other constants")
        if len(loss.constants) > MOST_CONSTANTS:
            raise SystemExit(f"the loss {loss.name} has {len(loss.constants)} constants, more than {MOST_CONSTANTS}")
    return [loss._replace(constants=loss.constants[1:], of_three=True) if f"{loss.name}_dv" in found else loss
            for loss in losses]


def calls(name, bodies):
    """Which of exp, log and tanh a function calls, itself or by others of its file."""
    found = {kind for called, kind in SMOOTH.findall(bodies[name]) if called not in bodies}
    others = {called for called in re.findall(r"\b(\w+)\(", bodies[name]) if called in bodies} - {name}
    return frozenset(found.union(*(calls(called, bodies) for called in others)))


def kernels(paths):
    """The text of the .pxi."""
    losses = formulas(paths)
    tables = [[f'    "{each.name}": ((<uintptr_t>{each.name}[float], <uintptr_t>{each.name}[double]), '
               f'{each.constants!r}),' for each in losses if each.of_three == of_three] for of_three in (False, True)]
    return "\n".join([
        "# Written by tools/loss_kernels.py.",
        *(f"from fastnn.core.losses.{each.family} cimport ({each.name} as {each.name}_value, "
          f"{each.name}_d1 as {each.name}_slope{f', {each.name}_dv as {each.name}_of_v' if each.of_three else ''})"
          for each in losses),
        *(loops_of_three(each) if each.of_three else loops(each) for each in losses),
        "# name: ((address for float, for double), names of the constants); then those of three arrays",
        "LOSSES = {", *tables[0], "}", "OF_THREE = {", *tables[1], "}", ""])


def loops(loss):
    """Value, derivative times a share, the last number of h, or both in one loop."""
    count = len(loss.constants)
    rest = "".join(f", c{k}" for k in range(count))
    value, slope = f"{loss.name}_value[real](a, b{rest})", f"share * {loss.name}_slope[real](a, b{rest})"

    def loop(*results):
        several = "    see(&seen, x, i)" if loss.calls - {"log"} else "    if real is double: see(&seen, x, i)"
        seen = [several] if loss.calls and len(results) > 1 else []
        return "".join(f"        {line}\n" for line in (
            "for i in range(n & -MAP_STEP):", *seen, "    a, b = x[i], y[i]", *(f"    {result}" for result in results)))

    return f"""
cdef void {loss.name}(int order, const real *x, const real *y, real *out, real *second, Py_ssize_t n,
        const real *h) noexcept nogil:
    cdef Py_ssize_t i
    cdef Seen seen = Seen(0, 0)
    cdef real a, b
    cdef real share = h[MOST_PARAMETERS - 1]
{"".join(f"    cdef real c{k} = h[{k}]" + chr(10) for k in range(count))}\
    if order == BOTH:
{loop(f"out[i] = {value}", f"second[i] = {slope}")}\
    elif order == VALUE:
{loop(f"out[i] = {value}")}\
    else:
{loop(f"out[i] = {slope}")}\
    seen_all(seen.quarters | seen.quarters_of_double)
"""


def loops_of_three(loss):
    """The value, or value and derivatives in y and v times a share."""
    rest = "".join(f", h[{k}]" for k in range(len(loss.constants)))
    value, of_y, of_v = (f"{loss.name}_{what}[real](a, b, c{rest})" for what in ("value", "slope", "of_v"))
    return f"""
cdef void {loss.name}(int order, const real *y, const real *t, const real *v, real *out, real *second, real *third,
        Py_ssize_t n, const real *constants) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a, b, c
    cdef real[{len(loss.constants)}] h
    cdef real share = constants[MOST_PARAMETERS - 1]
    for i in range({len(loss.constants)}):
        h[i] = constants[i]
    if order == VALUE:
        for i in range(n & -MAP_STEP):
            a, b, c = y[i], t[i], v[i]
            out[i] = {value}
    else:
        for i in range(n & -MAP_STEP):
            a, b, c = y[i], t[i], v[i]
            out[i] = {value}
            second[i] = share * {of_y}
            third[i] = share * {of_v}
"""


def write(root, folder):
    """Write `loss_kernels.pxi` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    replace(folder / "loss_kernels.pxi", kernels(sorted(Path(root, "fastnn", "core", "losses").glob("*.pxd"))))
