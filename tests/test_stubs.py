"""The stubs of compiled modules say what the modules have, and each of them is read by something that is typed."""
import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import fastnn
from fastnn.dialects import OTHER_WORDS, SOURCES

CORE = Path(fastnn.__file__).parent/"core"
STUBS = sorted(path.stem for path in CORE.glob("*.pyi"))
each_stub = pytest.mark.parametrize("name", STUBS)


def stub(name):
    """(functions, classes, other names) of a stub: name -> its parameters, name -> {member: its definition}."""
    functions, classes, names = {}, {}, set()
    for entry in ast.parse((CORE/f"{name}.pyi").read_text()).body:
        if isinstance(entry, ast.FunctionDef):
            functions[entry.name] = parameters(entry)
        elif isinstance(entry, ast.ClassDef):
            classes[entry.name] = {each.name: each for each in entry.body
                                   if isinstance(each, ast.FunctionDef) and not is_a_setter(each)}
        elif isinstance(entry, ast.AnnAssign):
            names.add(entry.target.id)
    return functions, classes, names


def is_a(decorator, entry):
    return any(isinstance(each, ast.Name) and each.id == decorator for each in entry.decorator_list)


def is_a_setter(entry):
    return any(isinstance(each, ast.Attribute) and each.attr == "setter" for each in entry.decorator_list)


def parameters(entry):
    """(name, whether it may be left out) of each."""
    given = entry.args
    plain = [*given.posonlyargs, *given.args]
    required = len(plain) - len(given.defaults)
    named = zip(given.kwonlyargs, given.kw_defaults)
    return [*((each.arg, i >= required) for i, each in enumerate(plain)), *([(given.vararg.arg, False)] if given.vararg else ()),
            *((each.arg, bool(value)) for each, value in named)]


def of_function(function):
    found = inspect.signature(function).parameters.values()
    return [(each.name, each.default is not each.empty) for each in found if each.name != "self"]


def own(cls):
    """What a class defines in Python's sight: its methods and properties without the machinery of pickles."""
    return {name for name, value in vars(cls).items()
            if not re.fullmatch(r"__\w+__", name) and (callable(value) or inspect.isdatadescriptor(value))}


def compiled(name):
    return import_module(f"fastnn.core.{name}")


@each_stub
def test_functions(name):
    module, (functions, _, names) = compiled(name), stub(name)
    for function, told in functions.items():
        assert of_function(getattr(module, function)) == told, function
    for each in names:
        assert hasattr(module, each), each
    public = {key for key, value in vars(module).items()
              if getattr(value, "__module__", None) == module.__name__ and callable(value) and not isinstance(value, type)
              and not key.startswith("_")}
    assert public <= functions.keys()


@each_stub
def test_classes(name):
    module, (_, classes, _) = compiled(name), stub(name)
    for key, members in classes.items():
        cls = getattr(module, key)
        for member, told in members.items():
            if is_a("property", told):
                assert inspect.isdatadescriptor(inspect.getattr_static(cls, member)), member
            elif is_a("overload", told):
                assert dict(of_function(getattr(cls, member))).keys() == dict(parameters(told)[1:]).keys(), member
            elif not re.fullmatch(r"__\w+__", member):
                assert of_function(getattr(cls, member)) == parameters(told)[1:], member
        assert own(cls) <= members.keys(), key


@each_stub
def test_it_is_read(name):
    """By a module in Python, which a type checker follows, or by another stub."""
    asked = re.compile(rf"^from (?:fastnn\.core|\.\.?core|\.)\.?{name} import|core import .*\b{name}\b", re.MULTILINE)
    readers = [path for path in [*CORE.parent.rglob("*.py"), *CORE.glob("*.pyi"), *Path(__file__).parent.rglob("*.py")]
               if asked.search(path.read_text(encoding="utf-8"))]
    assert readers


def test_names_for_editors():
    """The build's stub has every name of the catalogue, as tools/names.py reads them from the rows."""
    text = (CORE.parent/"_names.pyi").read_text(encoding="utf-8")
    found = {entry.target.id: list(ast.literal_eval(entry.value.slice)) for entry in ast.parse(text).body
             if isinstance(entry, ast.AnnAssign)}
    assert {*found["OptimizerName"]} == {*fastnn.optimizers()} and {*found["LossName"]} == {*fastnn.losses()}
    assert {*fastnn.activations()} <= {*found["ActivationName"]}
    assert found["Source"] == [*SOURCES, *OTHER_WORDS]
    for title, function in (("ActivationName", fastnn.get_act), ("OptimizerName", fastnn.get_opt), ("LossName", fastnn.get_err)):
        assert found[title] == sorted(set(found[title]), key=str.lower)
        assert title in inspect.signature(function).parameters["name"].annotation
        for name in found[title]:
            try:
                function(name)
            except TypeError as error:          # hyperparameters without defaults: the name is known
                assert "missing" in str(error)
