"""The names of what users registered and of its hyperparameters: into the catalogue, out of it, and into pickles."""
from importlib import import_module

from ..activations import _registry as activations
from ..hyperparameters import Hyperparameter
from ..losses import _registry as losses
from ..optimizers import _registry as optimizers

REGISTRIES = activations, losses, optimizers


def class_name(name):
    """What the class of an entry is called: "my-act" has MyAct."""
    return "".join(part.capitalize() for part in "".join(c if c.isalnum() else " " for c in name).split())


def declared(name, default, make=Hyperparameter):
    """The hyperparameter of that name: `default` itself if it is one, else `make(default)`. Raises what that raises."""
    if isinstance(default, Hyperparameter):
        return default
    found = make(default)
    found.name = name
    found.checked(default)
    return found


def restored(noun, name, module, *args, **kwds):
    """What pickle makes of an object that was registered."""
    return entry_of(noun, name, module)(*args, **kwds)


def entry_of(noun, name, module):
    """The entry of that name, in any process that registers it: as for every class, the module is imported. Raises
    ValueError where that does not register the name."""
    registry = next(each for each in REGISTRIES if each.noun == noun)
    if not registry.registered(name) and module != "__main__":
        try:
            import_module(module)
        except ImportError:         # it may have been a file that was run, or has moved
            pass
    if not registry.registered(name):
        raise ValueError(f"no {noun} is registered as {name!r} here: what registers it must run before an object of it "
                         f"is unpickled (it was registered in {module})")
    return registry[name]


def blank(noun, name, module):
    """What pickle gives a state: an object of the entry of that name on which no method has been called."""
    cls = entry_of(noun, name, module)
    return cls.__new__(cls)


def unregister(name: str) -> None:
    """Remove what was registered under a name: activation, error function, optimizer.

    Objects made of them go on working, but can no longer be unpickled. An entry of fastnn's own that had been replaced is
    back. Raises ValueError for a name that is not registered, TypeError for one that is no string.
    """
    for registry in registered_in(name) or [catalogue_of(name)]:
        registry.remove(name)


def registered_in(name):
    """The registries where users registered that name. Raises TypeError for what is no string."""
    return [registry for registry in REGISTRIES if registry.registered(name)]


def catalogue_of(name):
    """The registry that has that name, for errors the first one if none has."""
    return next((registry for registry in REGISTRIES if name in registry), activations)
