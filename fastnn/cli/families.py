"""Families of optimizers, which are called after modules of fastnn/optimizers; what a user registered is one, too."""
from fastnn.optimizers import _registry as optimizers
from fastnn.registry import folded, hint, listed, nearest

__all__ = ["ENDING", "by_family", "family_of", "named", "well_known"]

# modules whose rows belong to another's family; every other one has its own
PART_OF = {"adam_variants": "adam", "adamw": "adam", "beliefs": "adam", "mixtures": "adam",
           "momentum": "sgd", "noisy": "sgd", "optimistic": "sgd", "factored": "matrix"}
ENDING, EVERYTHING, REGISTERED = "-family", "all", "registered"
MISSPELLED = 0.8
# What `fastnn compare` trains by default; of a family that has none here it is the first.
WELL_KNOWN = ("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "AdaDelta", "Adam", "AdaMax", "Nadam", "AMSGrad",
              "AdaBound", "Eve", "SantaSSS", "Lion", "AdamW", "RAdam", "LAMB", "Prodigy", "Muon", "FTRL",
              "ScheduleFreeAdamW")


def family_of(name):
    """Such as "adam", of the rows in fastnn.optimizers.adam and adamw, or "registered"."""
    if optimizers.registered(name):
        return REGISTERED
    module = optimizers[name].__module__.split(".")[2]
    return PART_OF.get(module, module)


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
    if likely := nearest(word, [family + ENDING for family in families], MISSPELLED):
        raise ValueError(f"Unknown optimizer or family: {word!r} (did you mean {likely[0]}?)")
    return [optimizers[word].name]          # which says what is near


def well_known():
    """A few of each family, all that are registered among them, in the order of the catalogue."""
    chosen = []
    for family, names in by_family(optimizers.names()).items():
        chosen += names if family == REGISTERED else [name for name in names if name in WELL_KNOWN] or names[:1]
    return chosen
