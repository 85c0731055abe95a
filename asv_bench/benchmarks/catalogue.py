"""The names of the catalogue, read from the source beside this suite, not from the version that is under test.

asv hands a case by its number to the process that times an old version: with that version's own lists the numbers
could mean other entries than those whose names are reported.
"""
import ast
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "fastnn"


def names(*modules):
    """What the classes of these modules are entered as: the keyword `name` of their class statements."""
    return [keyword.value.value
            for module in modules
            for path in sorted(SOURCE.glob(module))
            for statement in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(statement, ast.ClassDef)
            for keyword in statement.keywords if keyword.arg == "name"]


def learning(module):
    """Which of a module's classes have parameters that `learn=` makes, `learns` in their bodies."""
    return [keyword.value.value
            for statement in ast.parse((SOURCE / module).read_text(encoding="utf-8")).body
            if isinstance(statement, ast.ClassDef)
            and any(isinstance(each, ast.Assign) and each.targets[0].id == "learns" for each in statement.body)
            for keyword in statement.keywords if keyword.arg == "name"]


WITH_WEIGHTS = names("maxout.py")       # layers: their backward takes nothing but the gradient
ACTIVATIONS = names("activations.py")   # elementwise and of rows
GATED = names("gated.py")
LEARNABLE = names("learnable.py")
RANDOM = names("gumbel.py", "rrelu.py")
CONCATENATED = names("concatenated.py")         # whose results are twice as long
FORMS = learning("activations.py")      # activations of which there are learnable forms
OPTIMIZERS = names("optimizers/*.py")
LOSSES = names("losses/*.py")
