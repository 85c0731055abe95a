"""Families of optimizers: those whose rows stand in one module of fastnn/optimizers, and those that a user registered."""
from fastnn.optimizers import _registry as optimizers
from fastnn.registry import folded, hint, listed

__all__ = ["ENDING", "by_family", "family_of", "named", "well_known"]

ENDING, EVERYTHING, REGISTERED = "-family", "all", "registered"
# What `fastnn compare` trains unless told otherwise; of a family that has none here it is the first.
WELL_KNOWN = ("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "AdaDelta", "Adam", "AdaMax", "Nadam", "AMSGrad",
              "AdaBound", "Eve", "SantaSSS", "Lion")


def family_of(name):
    """The last word of fastnn.optimizers.adam, or "registered"."""
    return REGISTERED if optimizers.registered(name) else optimizers[name].__module__.split(".")[2]


def by_family(entries, family=family_of):
    """{family: its entries}, the families in the order of the catalogue; `family` tells that of an entry."""
    found = {family_of(name): [] for name in optimizers.names()}
    for entry in entries:
        found.setdefault(family(entry), []).append(entry)
    return {family: members for family, members in found.items() if members}


def named(words):
    """The optimizers that words mean, each once: names, families such as "adam-family", and "all".

    Raises ValueError for any other word.
    """
    return list(dict.fromkeys(name for word in words for name in _meant(word)))


def _meant(word):
    if word in optimizers:
        return [optimizers[word].name]
    families = by_family(optimizers.names())
    families[EVERYTHING] = optimizers.names()
    family = folded(word).removesuffix(folded(ENDING))
    if family in families:
        return families[family]
    if folded(word).endswith(folded(ENDING)):
        raise ValueError(f"Unknown family: {word!r}{hint(family, families) or listed(families)}")
    return [optimizers[word].name]          # which says what is near


def well_known():
    """A few of each family, all that are registered among them, in the order of the catalogue."""
    chosen = []
    for family, names in by_family(optimizers.names()).items():
        chosen += names if family == REGISTERED else [name for name in names if name in WELL_KNOWN] or names[:1]
    return chosen
