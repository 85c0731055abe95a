"""What `fastnn catalog` tells of one entry, read from its row."""
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field

from fastnn import bounds
from fastnn.dialects import SOURCES, of_source
from fastnn.hyperparameters import REQUIRED
from fastnn.registry import folded
from fastnn.schedules import catalogue as schedules

from . import samples
from .catalog import CATALOGUES, shown
from .families import family_of

__all__ = ["KINDS", "Entry", "entries"]

KINDS = ("activations", "optimizers", "losses", "schedules")


@dataclass
class Entry:
    """One page.

    Attributes
    ----------
    call : str
        How it is made.
    formula : str
        The first paragraph of its docstring.
    text : str
        The rest of it, numpydoc's sections included.
    parameters : list of (name, default, range)
    facts : list of (label, value)
    elsewhere : list of (library, names)
    values : list of rows of numbers, the first one the heads of the columns
    draw : function or None
        Of a binary file, which it writes the picture to.
    """

    kind: str
    name: str
    call: str
    formula: str
    text: str
    parameters: list = field(default_factory=list)
    facts: list = field(default_factory=list)
    elsewhere: list = field(default_factory=list)
    values: list = field(default_factory=list)
    caption: str = ""
    draw: Callable | None = None


def entries(kind):
    """The entries of a catalogue, in its order."""
    if kind == "schedules":
        return [of_schedule(name) for name in schedules]
    registry = CATALOGUES[kind]
    there = names_elsewhere(registry)
    make = {"activations": of_activation, "optimizers": of_optimizer, "losses": of_loss}[kind]
    return [make(name, registry[name], there.get(name, [])) for name in registry.names()]


def documented(cls):
    """(formula, text) of a docstring, which `python -OO` has not; without the sentence about accuracy."""
    doc = inspect.cleandoc(cls.__doc__ or "")
    for said in {bounds.ELEMENTWISE, bounds.ROWS, getattr(cls, "accuracy", ""), bounds.of_loss(cls.name or "")} - {""}:
        doc = doc.replace(said, "")
    formula, _, text = doc.partition("\n\n")
    formula, source, more = formula.partition(".  ")        # two spaces stand before a source
    return " ".join(formula.split()), (f"{more}\n\n{text}" if source else text).strip()


def declared(cls):
    """(name, default, range) of the hyperparameters."""
    found = []
    for name in cls.hyperparameters:
        each = getattr(cls, name)
        default = "" if each.default is REQUIRED else f"{getattr(each.default, '__name__', each.default)}"
        found.append((name, default, limits(each)))
    return found


def limits(each):
    """The range of a hyperparameter in words."""
    low = f"at least {each.at_least:g}" if each.at_least > -float("inf") else \
        f"above {each.above:g}" if each.above > -float("inf") else ""
    high = f"below {each.below:g}" if each.below < float("inf") else ""
    return ", ".join(filter(None, ("integer" if each.integer else "", low, high)))


def aliases(registry, cls, name):
    """Other names of the same entry, without capitals, spaces, - and _."""
    return ", ".join(f"`{key}`" for key, (known, other) in registry._catalogue.copy().items()
                  if other is cls and known == name and key != folded(name))


def names_elsewhere(registry):
    """{name: [(library, names there)]} of a catalogue: what `like=` makes with that library's defaults."""
    found = {}
    for source, title in SOURCES.items():
        rows = of_source(registry, source)
        for theirs in rows.names():
            name, same = counterpart(registry, rows[theirs], theirs)
            if name in registry:
                of_entry = found.setdefault(registry[name].name or name, {})
                of_entry.setdefault(title, []).append(theirs if same else f"{theirs} (with its own arithmetic)")
    return {name: list(sources.items()) for name, sources in found.items()}


def counterpart(registry, row, theirs):
    """(name in the catalogue, whether it is the same rule) of what a library's row makes by default."""
    catalogued = {registry[name]: name for name in registry.names()}
    if isinstance(row, type):
        made = row
    else:
        required = [each.name for each in row.__signature__.parameters.values() if each.default is each.empty]
        try:
            made = type(row(**dict.fromkeys(required, 0.01)))
        except ValueError:              # a row that refuses the library's own defaults has no counterpart by default
            return "", False
    if made in catalogued:
        return catalogued[made], True
    if theirs in registry:
        return theirs, False
    return next((catalogued[cls] for cls in made.__mro__ if cls in catalogued), made.name or theirs), False


def of_activation(name, cls, elsewhere):
    note, values, draw = samples.activation(name)
    formula, text = documented(cls)
    facts = [("Kind", cls.kind), ("Other names", aliases(CATALOGUES["activations"], cls, name))]
    if cls.kind == "elementwise" and not CATALOGUES["activations"].registered(name):
        facts += [(f"{dtype}: largest error of f, f', f''", "{}, {} and {} ULP".format(*ulps))
                  for dtype, ulps in bounds.ULPS.items()]
        if found := bounds.CROSSINGS.get(name):
            facts.append(("Zeros of f' and f''", f"for |x| below {found:g} a ULP is at least that of 1/16"))
    else:
        facts.append(("Accuracy", getattr(cls, "accuracy", "")))
    facts.append(("f' from y alone", "yes" if samples.by_value(name) else "no"))
    return Entry("activations", name, call("get_act", cls, name), formula, text, declared(cls), facts, elsewhere,
                 values, note, draw)


def of_optimizer(name, cls, elsewhere):
    caption, draw = samples.optimizer(name)
    formula, text = documented(cls)
    state = [*cls.slots, *(f"{scalar} (a number)" for scalar in cls.scalars)]
    facts = [("Family", family_of(name)), ("Other names", aliases(CATALOGUES["optimizers"], cls, name)),
             ("State of a parameter", ", ".join(state) or "none"),
             ("state_dtype", "float32, bfloat16, int8" if cls.stored else "float32"),
             ("Gradients may be `Rows`", "yes" if cls.lazy else "no")]
    known = {source for source, _ in elsewhere}
    titles = {"torch": "PyTorch", "optax": "optax"}
    elsewhere = elsewhere + [(titles.get(library, library), [names[0]]) for library, names in cls.peers.items()
                             if titles.get(library, library) not in known]
    return Entry("optimizers", name, call("get_opt", cls, name), formula, text, declared(cls), facts, elsewhere,
                 caption=caption, draw=draw)


def of_loss(name, cls, elsewhere):
    caption, draw = samples.loss(name)
    formula, text = documented(cls)
    facts = [("Other names", aliases(CATALOGUES["losses"], cls, name)), ("Accuracy", bounds.of_loss(name))]
    return Entry("losses", name, call("get_err", cls, name), formula, text, declared(cls), facts, elsewhere,
                 caption=caption, draw=draw)


def of_schedule(name):
    cls = schedules[name]
    caption, draw = samples.schedule(name)
    first, _, text = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")
    given = cls.__signature__.parameters.values()
    return Entry("schedules", name, f"schedules.{name}({', '.join(map(shown, given))})", " ".join(first.split()), text,
                 caption=caption, draw=draw)


def call(maker, cls, name):
    """Such as get_act("ELU", alpha=1.0), with the hyperparameters that have a default worth showing."""
    given = [each for each in cls.__signature__.parameters.values() if each.name in cls.hyperparameters]
    return f"{maker}({', '.join([repr(name).replace(chr(39), chr(34)), *map(shown, given)])})"
