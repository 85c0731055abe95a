"""The loops around optimizer rules, as Cython: written by setup.py into its build folder, from the catalogue's rows.

A row is a class with `kernel=` in fastnn/optimizers, fastnn/dialects or fastnn/dlfs.py; its formula is the function of
that name in fastnn/core/formulas, whose signature says what state and which constants it has. Rows with `stored` get
loops over state in bfloat16 and int8 as well, which load and store a block around the rule and find each slot's largest
magnitude on the way, while the processor waits for its divisions.

One loop serves deltas that are added and deltas that are written: the engine has these added to -0.0, which changes no
bit. A rule that reads the parameter has a second one, for a parameter that is not the target.
"""
import ast
import re
from pathlib import Path
from typing import NamedTuple

from translation import replace

SIGNATURE = re.compile(r"^cdef inline real (\w+)\(real g, ([^)]*)\) noexcept nogil:", re.MULTILINE)
SPACINGS = {"bfloat16": {"linear": "state_bfloat16", "logarithmic": "state_bfloat16"},
            "int8": {"linear": "linear", "logarithmic": "log"}}


class Rule(NamedTuple):
    family: str
    name: str
    reads_p: bool
    slots: tuple
    constants: tuple


def formulas(paths):
    """The rules of .pxd files, by name. SystemExit for one whose arguments have another order, or that stands twice."""
    found = {}
    for path, name, rest in [(path, *match) for path in paths for match in SIGNATURE.findall(path.read_text())]:
        if name in found:
            raise SystemExit(f"{path}: the rule {name} stands in {found[name].family}.pxd, too")
        arguments = ["".join(argument.split()).removeprefix("real") for argument in rest.split(",")]
        reads_p = arguments[0] == "p"
        arguments = arguments[reads_p:]
        slots = [argument[1:] for argument in arguments if argument[0] == "*"]
        constants = arguments[len(slots):]
        if any(argument[0] == "*" for argument in constants) or "p" in constants:
            raise SystemExit(f"{path}: the arguments of {name} are g, p for rules that read it, slots, constants")
        found[name] = Rule(path.stem, name, reads_p, tuple(slots), tuple(constants))
    return found


def limits(path):
    """How much room the engine has for a rule: {name: number} of the MOST_ constants in fastnn/core/passes.pxd."""
    found = re.findall(r"^    (MOST_\w+) = (\d+)", path.read_text(), re.MULTILINE)
    return {name: int(number) for name, number in found}


def rows(paths):
    """The names of rules that classes have as `kernel`, each with how int8 spaces its slots: () for float32 alone."""
    classes = {(path, node.name): node for path in paths for node in ast.parse(path.read_text()).body
               if isinstance(node, ast.ClassDef)}
    found = {}
    for (path, row), node in classes.items():
        for keyword in node.keywords:
            if keyword.arg == "kernel":
                names, spacings = ast.literal_eval(keyword.value), stored(path, row, classes)
                for name in (names,) if isinstance(names, str) else names:
                    if spacings and found.get(name, spacings) not in (spacings, ()):
                        raise SystemExit(f"{row}: the rule {name} has other spacings in another row")
                    found[name] = found.get(name) or spacings
    return found


def stored(path, row, classes):
    """The spacings that a class writes down or inherits, from one in its file before one in another."""
    node = classes[path, row]
    for statement in node.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "stored":
            return tuple(ast.literal_eval(statement.value).values())
    for base in map(ast.unparse, node.bases):
        above = [other for other in sorted(classes, key=lambda other: other[0] != path) if other[1] == base != row]
        if above and (inherited := stored(*above[0], classes)):
            return inherited
    return ()


def check(rule, spacings, most):
    """SystemExit with the name of a rule that the engine has no room for, or whose row does not fit it."""
    for what, number, limit in (("constants", len(rule.constants), most["MOST_CONSTANTS"]),
                                ("slots", len(rule.slots), most["MOST_SLOTS"]),
                                ("slots with reduced precision", len(spacings), most["MOST_STORED_SLOTS"])):
        if number > limit:
            raise SystemExit(f"the rule {rule.name} has {number} {what}: fastnn/core/passes.pxd has room for {limit}")
    if spacings and len(spacings) != len(rule.slots):
        raise SystemExit(f"the rule {rule.name} has {len(rule.slots)} slots, {len(spacings)} in `stored` of its row")
    if unknown := set(spacings) - SPACINGS["int8"].keys():
        raise SystemExit(f"the rule {rule.name} has slots stored as {', '.join(map(str, unknown))}: there is "
                         f"{', '.join(SPACINGS['int8'])}")


def kernels(families, catalogue, most):
    """The text of the .pxi."""
    known = formulas(families)
    wanted = rows(catalogue)
    if missing := wanted.keys() - known.keys():
        raise SystemExit(f"fastnn/core/formulas has no rule {', '.join(sorted(missing))} of the form that its "
                         "__init__.pxd describes, which a row of the catalogue names")
    for name, spacings in wanted.items():
        check(known[name], spacings, most)
    rules = {known[name]: spacings for name, spacings in wanted.items()}
    small = [(rule, spacings) for rule, spacings in rules.items() if spacings]
    table = [f'    "{r.name}": ((<uintptr_t>{r.name}[float], <uintptr_t>{r.name}[double]), {r.constants!r}, '
             f'{len(r.slots)}, {r.reads_p}),' for r in rules]
    fused = []
    for dtype in SPACINGS:
        lines = [f'        "{r.name}": (<uintptr_t>{r.name}_{dtype},),' for r, _ in small]
        fused += [f'    "{dtype}": {{', *lines, "    },"]
    return "\n".join([
        "# Written by tools/rule_kernels.py.",
        *(f"from fastnn.core.formulas.{r.family} cimport {r.name} as {r.name}_rule" for r in rules),
        *(whole(rule) for rule in rules),
        *(quantized(rule, spacings, dtype) for rule, spacings in small for dtype in SPACINGS),
        "# name: ((address for float, for double), names of the constants, number of slots, whether it reads p)",
        "RULES = {", *table, "}",
        "# by dtype: name: (address,)",
        "STORED_RULES = {", *fused, "}", ""])


def whole(rule):
    """The loops over state in the parameter's precision."""
    return f"""
cdef void {rule.name}(const real *g, const real *p, real *const *s, real *target, Py_ssize_t n, const real *c,
        real scale, real keep, bint in_place) noexcept nogil:
    cdef Py_ssize_t i
    cdef real t
{declared(f"real *s{k} = s[{k}]" for k in range(len(rule.slots)))}\
{declared(f"real c{k} = c[{k}]" for k in range(len(rule.constants)))}\
{loops(rule, "real")}"""


def quantized(rule, spacings, dtype):
    """The loops over blocks of reduced-precision state."""
    names = [SPACINGS[dtype][spacing] for spacing in spacings]
    slots = range(len(rule.slots))
    largest = [f"m{k} = fastnn_larger(m{k}, s{k}[i])" for k in slots]
    return f"""
cdef void {rule.name}_{dtype}(const float *g, const float *p, char *const *codes, float *const *scales,
        float *target, Py_ssize_t n, const float *c, float scale, float keep, bint in_place,
        const uint32_t *random) noexcept nogil:
    cdef Py_ssize_t i
    cdef float t
{declared(f"float[STORED_BLOCK] s{k}" for k in slots)}\
{declared(f"int32_t m{k} = 0" for k in slots)}\
{declared(f"float c{k} = c[{k}]" for k in range(len(rule.constants)))}\
{statements(f"fastnn_load_{names[k]}(codes[{k}], scales[{k}], s{k}, n)" for k in slots)}\
{loops(rule, "float", largest)}\
{statements(f"fastnn_store_{names[k]}(s{k}, codes[{k}], scales[{k}], n, random[{k}], m{k})" for k in slots)}"""


def loops(rule, real, largest=()):
    """One loop, or one for each place that the parameter may have."""
    def loop(p, indent):
        body = ["t = target[i]", f"target[i] = keep * t + {call(rule, p, real)}", *largest]
        lines = ["for i in range(n & -BLOCK_STEP):", *("    " + line for line in body)]
        return "".join(f"{indent}{line}\n" for line in lines)

    if not rule.reads_p:
        return loop("t", "    ")
    return f"    if in_place:\n{loop('t', '        ')}    else:\n{loop('p[i]', '        ')}"


def declared(variables):
    return "".join(f"    cdef {variable}\n" for variable in variables)


def statements(lines):
    return "".join(f"    {line}\n" for line in lines)


def call(rule, p, real):
    arguments = ["scale * g[i]", *([p] if rule.reads_p else []), *(f"s{k} + i" for k in range(len(rule.slots))),
                 *(f"c{k}" for k in range(len(rule.constants)))]
    return f"{rule.name}_rule[{real}]({', '.join(arguments)})"


def write(root, folder):
    """Write `rule_kernels.pxi` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    core = Path(root, "fastnn", "core")
    catalogue = [*sorted(Path(root, "fastnn", "optimizers").rglob("*.py")),
                 *sorted(Path(root, "fastnn", "dialects").glob("*.py")), Path(root, "fastnn", "dlfs.py")]
    families = sorted((core / "formulas").glob("*.pxd"))
    replace(folder / "rule_kernels.pxi", kernels(families, catalogue, limits(core / "passes.pxd")))
