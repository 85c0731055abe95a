"""The commands ``fastnn list`` and ``fastnn info``: what there is, and what it runs on."""
from fastnn.activations import _registry as activations
from fastnn.dialects import of_source
from fastnn.losses import _registry as losses
from fastnn.optimizers import _registry as optimizers

from .environment import environment
from .families import ENDING, by_family

__all__ = ["CATALOGUES", "resolve", "show_list", "show_info"]

CATALOGUES = {"activations": activations, "optimizers": optimizers, "losses": losses}


def resolve(catalogue, name):
    """The name as the catalogue spells it; ValueError with the nearest ones if it has none."""
    return CATALOGUES[catalogue][name].name


def show_list(options):
    """Print the names of the catalogues asked for, each with its hyperparameters and their defaults, optimizers by
    family, and what all entries of a catalogue take besides once, in its last line."""
    registries = {catalogue: CATALOGUES[catalogue] if options.like is None else
                  of_source(CATALOGUES[catalogue], options.like) for catalogue in options.catalogues or CATALOGUES}
    width = max(len(name) for registry in registries.values() for name in registry.names())
    for catalogue, registry in registries.items():
        names = registry.names()
        own = sum(map(registry.registered, names))
        print(f"{catalogue} ({len(names)}{f', {own} of them registered' if own else ''})")
        shared = {}
        families = by_family(names) if registry is optimizers else {None: names}
        for family, name in ((family, name) for family, members in families.items() for name in members):
            if family and name == families[family][0]:
                print(f"{family}{ENDING} ({len(families[family])})")
            entry = registry[name]
            parameters = entry.__signature__.parameters.values()
            options_of = {each.name: each for each in parameters if each.name in entry.options}
            shared = shared or options_of           # of the first; another default is told with its row
            told = ", ".join(shown(each) for each in parameters
                             if each.name not in shared or each.default != shared[each.name].default)
            if registry.registered(name):
                told = f"{told}  (registered)" if told else "(registered)"
            print(f"  {name:{width}}  {told}".rstrip())
        if shared:
            print(f"and, for all {catalogue}: {', '.join(map(shown, shared.values()))}")
    return 0


def shown(parameter):
    """A hyperparameter and its default, if it has one, as in a call."""
    if parameter.default is parameter.empty:
        return parameter.name
    return f"{parameter.name}={getattr(parameter.default, '__name__', parameter.default)}"


def show_info(options):
    """Print versions, instruction set, threads and machine."""
    facts = environment()
    width = max(map(len, facts))
    for name, value in facts.items():
        if isinstance(value, bool):
            value = "yes" if value else "no"
        print(f"{name.replace('_', ' '):{width}}  {value}")
    return 0
