"""The loops that the build writes around the rules of optimizers, from their signatures and the catalogue's rows."""
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

from fastnn import dlfs
from fastnn.core import rules
from fastnn.dialects import SOURCES
from fastnn.dialects.translation import Rule
from fastnn.optimizers.along import PARTS
from fastnn.optimizers.wrappers.engines import Approach
from helpers import RULES, optimizer

ROOT = Path(__file__).parents[1]
if not (ROOT / "setup.py").is_file():
    pytest.skip("no sources beside the tests", allow_module_level=True)
sys.path.insert(0, str(ROOT / "tools"))
import rule_kernels  # noqa: E402

for source in SOURCES:
    import_module(f"fastnn.dialects.{source}")


def derived(cls):
    return [each for below in cls.__subclasses__() for each in (below, *derived(below))]


ROWS = [*(type(optimizer(title)) for title in RULES), *(getattr(dlfs, name) for name in dlfs.__all__), Approach,
        *derived(Rule), *PARTS]
MOST = {"MOST_CONSTANTS": 16, "MOST_SLOTS": 8, "MOST_STORED_SLOTS": 4}
PLAIN = "cdef inline real plain(real g, real lr) noexcept nogil:\n    return -lr * g\n"


@pytest.fixture
def generate(tmp_path):
    """What is generated for a .pxd and some files of rows."""
    def generate(formulas, *files):
        paths = [tmp_path / name for name in ("rules.pxd", *(f"rows{i}.py" for i in range(len(files))))]
        for path, text in zip(paths, (formulas, *files)):
            path.write_text(text)
        return rule_kernels.kernels(paths[:1], paths[1:], MOST)
    return generate


def rule(name, slots=0, constants=1):
    arguments = [*(f"real *s{k}" for k in range(slots)), *(f"real c{k}" for k in range(constants))]
    return f"cdef inline real {name}(real g, {', '.join(arguments)}) noexcept nogil:\n    return g\n"


def table(text, name="RULES"):
    """A table of the generated text, its addresses as strings."""
    start = text.index(f"\n{name} = {{") + len(name) + 4
    return eval(re.sub(r"<uintptr_t>([\w\[\]]+)", r"'\1'", text[start:text.index("\n}", start) + 2]))


def test_a_rule_without_state(generate):
    text = generate(PLAIN, 'class Plain(Optimizer, name="Plain", kernel="plain"):\n    pass\n')
    assert table(text) == {"plain": (("plain[float]", "plain[double]"), ("lr",), 0, False)}
    assert table(text, "STORED_RULES") == {"bfloat16": {}, "int8": {}}
    assert text.count("= keep * t + plain_rule[real](scale * g[i], c0)") == text.count(" = target[i]") == 1
    assert " s0" not in text and "plain_int8" not in text


def test_signatures_of_several_lines_and_rules_that_read_p(generate):
    text = generate('''
cdef inline real wide(real g, real p, real *m, real* v,
                      real lr,
                      real eps) noexcept nogil:
    return g
''', 'class Wide(Optimizer, kernel="wide"):\n    pass\n')
    assert table(text) == {"wide": (("wide[float]", "wide[double]"), ("lr", "eps"), 2, True)}
    for p in ("t", "p[i]"):
        assert f"target[i] = keep * t + wide_rule[real](scale * g[i], {p}, s0 + i, s1 + i, c0, c1)" in text
    assert text.count("cdef real *s") == 2 and text.count("cdef real c") == 2


def test_stored_rows(generate):
    text = generate(rule("two", slots=2), 'class Two(Optimizer, kernel="two"):\n'
                                          '    stored = {"m": "linear", "v": "logarithmic"}\n')
    assert table(text, "STORED_RULES") == {"bfloat16": {"two": ("two_bfloat16",)}, "int8": {"two": ("two_int8",)}}
    bfloat16, int8 = (text[text.index(f"cdef void two_{dtype}("):] for dtype in ("bfloat16", "int8"))
    bfloat16 = bfloat16[:bfloat16.index("cdef void two_int8(")]
    for k, (name, whole) in enumerate((("linear", int8), ("log", int8), ("state_bfloat16", bfloat16))):
        k %= 2
        assert f"fastnn_load_{name}(codes[{k}], scales[{k}], s{k}, n)" in whole
        assert f"m{k} = fastnn_larger(m{k}, s{k}[i])" in whole
        assert f"fastnn_store_{name}(s{k}, codes[{k}], scales[{k}], n, random[{k}], m{k})" in whole


def test_rows_inherit_how_slots_are_stored(generate):
    """From files that come later, too; a class of that name in the row's own file comes first."""
    one = ('class Child(Parent, kernel="a"):\n    pass\n'
           'class Taken(Parent, kernel="b"):\n    stored = {}\n'
           'class Same(Both, kernel="c"):\n    pass\n'
           'class Both(Optimizer):\n    stored = {"x": "linear"}\n')
    other = ('class Parent(Optimizer):\n    stored = {"x": "logarithmic"}\n'
             'class Both(Optimizer):\n    stored = {"x": "logarithmic"}\n')
    text = generate("".join(rule(name, slots=1) for name in "abc"), one, other)
    assert set(table(text, "STORED_RULES")["int8"]) == {"a", "c"}
    assert "fastnn_load_log(" in text[text.index("a_int8("):text.index("c_int8(")]
    assert "fastnn_load_linear(" in text[text.index("c_int8("):]


def test_several_kernels_of_a_row_and_several_rows_of_a_kernel(generate):
    text = generate(rule("early", slots=1) + rule("late", slots=1),
                    'class Bare(Optimizer, kernel="early"):\n    pass\n'
                    'class Both(Optimizer, kernel=("early", "late")):\n    stored = {"m": "linear"}\n')
    assert set(table(text)) == set(table(text, "STORED_RULES")["int8"]) == {"early", "late"}
    assert text.count("cdef void early(") == 1


@pytest.mark.parametrize(("formulas", "stored", "says"), [
    (PLAIN, {}, "no rule made_up"),
    ("cdef inline real made_up(real g, real lr) nogil:\n    return g\n", {}, "no rule made_up"),
    ("cdef inline double made_up(double g, double lr) noexcept nogil:\n    return g\n", {}, "no rule made_up"),
    (rule("made_up", constants=17), {}, "made_up has 17 constants: .* room for 16"),
    (rule("made_up", slots=9), {}, "made_up has 9 slots: .* room for 8"),
    (rule("made_up", slots=5), dict.fromkeys("abcde", "linear"), "made_up has 5 slots with reduced precision.* room for 4"),
    (rule("made_up", slots=2), {"a": "linear"}, "made_up has 2 slots, 1 in `stored`"),
    (rule("made_up", slots=1), {"a": "cubic"}, "made_up has slots stored as cubic: there is linear, logarithmic"),
    ("cdef inline real made_up(real g, real lr, real *m) noexcept nogil:\n    return g\n", {}, "arguments of made_up"),
    ("cdef inline real made_up(real g, real *m, real p) noexcept nogil:\n    return g\n", {}, "arguments of made_up"),
], ids=lambda value: value.split(":")[0] if isinstance(value, str) and "\n" not in value else "")
def test_what_does_not_fit_ends_the_build(generate, formulas, stored, says):
    with pytest.raises(SystemExit, match=says):
        generate(formulas, f'class Row(Optimizer, kernel="made_up"):\n    stored = {stored}\n')


def test_the_most_that_fits(generate):
    text = generate(rule("most", slots=8, constants=16) + rule("stored", slots=4, constants=16),
                    'class Most(Optimizer, kernel="most"):\n    pass\n'
                    f'class Stored(Optimizer, kernel="stored"):\n    stored = {dict.fromkeys("abcd", "linear")}\n')
    assert {name: (len(names), slots) for name, (_, names, slots, _) in table(text).items()} == \
        {"most": (16, 8), "stored": (16, 4)}


def test_rows_that_disagree_on_a_rules_state(generate):
    with pytest.raises(SystemExit, match="Other: the rule one has other spacings in another row"):
        generate(rule("one", slots=1), 'class One(Optimizer, kernel="one"):\n    stored = {"m": "linear"}\n'
                                       'class Other(Optimizer, kernel="one"):\n    stored = {"m": "logarithmic"}\n')


def test_every_kernel_of_the_catalogue_is_written(tmp_path):
    """From this tree, and so it is compiled."""
    rule_kernels.write(ROOT, tmp_path)
    text = (tmp_path / "rule_kernels.pxi").read_text()
    whole, fused = table(text), table(text, "STORED_RULES")
    for row in ROWS:
        assert row.kernels
        for name in row.kernels:
            addresses, constants, slots, reads_p = whole[name]
            assert addresses == (f"{name}[float]", f"{name}[double]") and f"cdef void {name}(" in text
            assert (constants, slots, reads_p) == rules.RULES[name][1:] and slots == len(row.slots)
            for dtype in ("bfloat16", "int8"):
                assert not row.stored or f"cdef void {name}_{dtype}(" in text and name in fused[dtype]
    assert whole.keys() == rules.RULES.keys() == {name for row in ROWS for name in row.kernels}
    assert {dtype: names.keys() for dtype, names in fused.items()} == \
        {dtype: names.keys() for dtype, names in rules.STORED_RULES.items()}


def test_what_has_not_changed_is_not_written_again(tmp_path):
    """A build compares times."""
    rule_kernels.write(ROOT, tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    rule_kernels.write(ROOT, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written


def test_the_limits_are_the_engines():
    assert rule_kernels.limits(ROOT / "fastnn" / "core" / "passes.pxd").keys() == MOST.keys()
