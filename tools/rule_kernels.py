"""The loops around optimizer rules, as Cython: written by setup.py into its build folder, from the rows of the catalogue.

A row is a class with `kernel=` in fastnn/optimizers or fastnn/dlfs.py; its formula is the function of that name in
fastnn/core/rules.pxd, whose signature says what state and which constants it has. Rows with `stored` get loops over
state in bfloat16 and int8 as well, which load and store a block around the rule and find each slot's largest magnitude
on the way, while the processor waits for its divisions.
"""
import ast
import re
from itertools import chain
from pathlib import Path
from typing import NamedTuple

SIGNATURE = re.compile(r"^cdef inline real (\w+)\(real g, ([^)]*)\) noexcept nogil:", re.MULTILINE)
SPACINGS = {"bfloat16": {"linear": "state_bfloat16", "logarithmic": "state_bfloat16"},
            "int8": {"linear": "linear", "logarithmic": "log"}}


class Rule(NamedTuple):
    name: str
    reads_p: bool
    slots: tuple
    constants: tuple


def formulas(path):
    """The rules of a .pxd, by name."""
    found = {}
    for name, rest in SIGNATURE.findall(path.read_text()):
        arguments = [argument.split()[1] for argument in rest.replace("\n", " ").split(",")]
        reads_p = arguments[0] == "p"
        arguments = arguments[reads_p:]
        slots = [argument[1:] for argument in arguments if argument[0] == "*"]
        found[name] = Rule(name, reads_p, tuple(slots), tuple(arguments[len(slots):]))
    return found


def rows(paths):
    """The names of rules that classes have as `kernel`, each with how int8 spaces its slots: "" for float32 alone."""
    classes, found = {}, {}
    for node in chain.from_iterable(ast.parse(path.read_text()).body for path in paths):
        if not isinstance(node, ast.ClassDef):
            continue
        inherited = classes.get(ast.unparse(node.bases[0]), ()) if node.bases else ()
        written = [statement.value for statement in node.body if isinstance(statement, ast.Assign)
                   and ast.unparse(statement.targets[0]) == "stored"]
        stored = tuple(ast.literal_eval(written[0]).values()) if written else inherited
        classes[node.name] = stored
        for keyword in node.keywords:
            if keyword.arg == "kernel":
                kernels = ast.literal_eval(keyword.value)
                for kernel in (kernels,) if isinstance(kernels, str) else kernels:
                    found[kernel] = found.get(kernel) or stored
    return found


def kernels(rules_pxd, catalogue):
    """The text of the .pxi."""
    known = formulas(rules_pxd)
    wanted = rows(catalogue)
    if missing := wanted.keys() - known.keys():
        raise SystemExit(f"{rules_pxd} has no rule {', '.join(sorted(missing))}, which a row of the catalogue names")
    rules = {known[name]: stored for name, stored in wanted.items()}
    small = [(rule, stored) for rule, stored in rules.items() if stored]
    table = [f'    "{r.name}": ((<uintptr_t>{r.name}[float], <uintptr_t>{r.name}[double]), {r.constants!r}, '
             f'{len(r.slots)}, {r.reads_p}),' for r in rules]
    fused = [line for dtype in SPACINGS for line in
             (f'    "{dtype}": {{', *(f'        "{r.name}": (<uintptr_t>{r.name}_{dtype},),' for r, _ in small), "    },")]
    return "\n".join([
        "# Written by tools/rule_kernels.py.",
        *(whole(rule) for rule in rules),
        *(quantized(rule, stored, dtype) for rule, stored in small for dtype in SPACINGS),
        "# name: ((address for float, for double), names of the constants, number of slots, whether it reads p)",
        "RULES = {", *table, "}",
        "# by dtype: name: (address,)",
        "STORED_RULES = {", *fused, "}", ""])


def whole(rule):
    """The loops over state in the parameter's precision."""
    return f"""
cdef void {rule.name}(const real *g, const real *p, real *const *s, real *target, Py_ssize_t n, const real *c,
        real scale, real keep, bint add) noexcept nogil:
    cdef Py_ssize_t i
    cdef real t
{declared(f"real {pointer(k)} = s[{k}]" for k in range(len(rule.slots)))}\
{declared(f"real c{k} = c[{k}]" for k in range(len(rule.constants)))}\
    if add:
        for i in range(n & -BLOCK_STEP):
            t = target[i]
            target[i] = keep * t + {call(rule, "t", "real")}
    else:
        for i in range(n & -BLOCK_STEP):
            target[i] = {call(rule, "p[i]", "real")}
"""


def quantized(rule, stored, dtype):
    """The loops over blocks of state in fewer bits."""
    names = [SPACINGS[dtype][spacing] for spacing in stored]
    slots = range(len(rule.slots))
    largest = "".join(f"\n            m{k} = fastnn_larger(m{k}, s{k}[i])" for k in slots)
    return f"""
cdef void {rule.name}_{dtype}(const float *g, const float *p, char *const *codes, float *const *scales,
        float *target, Py_ssize_t n, const float *c, float scale, float keep, bint add,
        const uint32_t *random) noexcept nogil:
    cdef Py_ssize_t i
    cdef float t
{declared(f"float[STORED_BLOCK] s{k}" for k in slots)}\
{declared(f"int32_t m{k} = 0" for k in slots)}\
{declared(f"float c{k} = c[{k}]" for k in range(len(rule.constants)))}\
{statements(f"fastnn_load_{names[k]}(codes[{k}], scales[{k}], s{k}, n)" for k in slots)}\
    if add:
        for i in range(n & -BLOCK_STEP):
            t = target[i]
            target[i] = keep * t + {call(rule, "t", "float")}{largest}
    else:
        for i in range(n & -BLOCK_STEP):
            target[i] = {call(rule, "p[i]", "float")}{largest}
{statements(f"fastnn_store_{names[k]}(s{k}, codes[{k}], scales[{k}], n, random[{k}], m{k})" for k in slots)}"""


def pointer(k):
    return f"*s{k}"


def declared(variables):
    return "".join(f"    cdef {variable}\n" for variable in variables)


def statements(lines):
    return "".join(f"    {line}\n" for line in lines)


def call(rule, p, real):
    arguments = ["scale * g[i]", *([p] if rule.reads_p else []), *(f"s{k} + i" for k in range(len(rule.slots))),
                 *(f"c{k}" for k in range(len(rule.constants)))]
    return f"rules.{rule.name}[{real}]({', '.join(arguments)})"


def write(root, folder, levels):
    """Write `rule_kernels.pxi`, and the modules of each level that include kernels, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    catalogue = [*sorted(Path(root, "fastnn", "optimizers").glob("*.py")), Path(root, "fastnn", "dlfs.py")]
    catalogue.sort(key=lambda path: path.stem != "base")
    text = {"rule_kernels.pxi": kernels(Path(root, "fastnn", "core", "rules.pxd"), catalogue)}
    for level in levels:
        for kind in ("kernels", "rules"):
            text[f"_{kind}_{level}.pyx"] = f'# Compiled for {level}: see setup.py.\ninclude "{kind}.pxi"\n'
    for name, content in text.items():
        path = folder / name
        if not path.exists() or path.read_text() != content:
            path.write_text(content)
