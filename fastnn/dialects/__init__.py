"""What other sources mean by a name: their arguments, arithmetic and defaults, as rows on the same rules and kernels.

What documentation calls article A is "Localization and Loss Function"; help(fastnn) has all letters.
Each source is a module here, imported when it is first asked for: ``get_opt(name, like=source)``.
"""
from importlib import import_module

from ..registry import folded, hint

SOURCES = {                     # module -> what messages call it
    "article": "article A", "torch": "PyTorch", "optax": "optax", "keras": "Keras", "chainer": "Chainer",
    "sklearn": "scikit-learn", "dlfs": "the book"}


def row(registry, name, like):
    """The class of that name in a registry's catalogue, or the row of a source's dialect, which is called as a class is.

    Raises TypeError where name or source is no string, ValueError where it is not known.
    """
    if like is None:
        return registry[name]
    if not isinstance(like, str):
        raise TypeError(f"like must be a string, one of {', '.join(map(repr, SOURCES))}, not {like!r:.80}")
    if folded(like) not in SOURCES:
        raise ValueError(f"like must be one of {', '.join(map(repr, SOURCES))}, not {like!r:.80}{hint(like, SOURCES)}")
    like = folded(like)
    rows = of_source(registry, like)
    if isinstance(name, str) and name in registry and name not in rows:
        raise ValueError(f"Unknown {registry.noun}: {SOURCES[like]} has no {name!r}; without like= there is one")
    return rows[name]


def of_source(registry, like):
    """The registry of a source's names."""
    import_module(f".{like}", __name__)
    return registry.dialect(like)
