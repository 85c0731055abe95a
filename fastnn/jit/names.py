"""The names of what users registered."""
from ..activations import _registry as activations
from ..optimizers import _registry as optimizers


def unregister(name: str) -> None:
    """Remove the activation and the optimizer that were registered under a name.

    Objects made of them go on working, but can no longer be pickled. An entry of fastnn's own that had been replaced is
    back. Raises ValueError for a name that nobody registered, TypeError for one that is no string.
    """
    found = [registry for registry in (activations, optimizers) if registry.registered(name)]
    for registry in found or [optimizers if name in optimizers else activations]:
        registry.remove(name)
