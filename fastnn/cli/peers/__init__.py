"""The sides of ``fastnn bench``: fastnn, and the libraries that it is compared with.

A library is imported when it is asked for and installed, never before.
"""
import importlib
import importlib.util
from dataclasses import dataclass

from ..errors import UserError, describe

__all__ = ["PEERS", "installed", "require_peer", "load", "load_own"]


@dataclass(frozen=True)
class Peer:
    """What is known of a library without importing it."""

    title: str
    module: str             # of this package, with the class `Library`
    needs: tuple            # what has to be importable
    install: str            # what pip is to be asked for
    subjects: tuple         # what it can be compared in

    @property
    def missing(self):
        """The modules of `needs` that cannot be found."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]


PEERS = {
    "numpy": Peer("NumPy", "with_numpy", ("numpy",), "numpy", ("activations", "optimizers", "training")),
    "torch": Peer("PyTorch", "with_torch", ("torch",), "torch", ("activations", "optimizers", "losses", "training")),
    "jax": Peer("JAX", "with_jax", ("jax", "optax"), "jax optax", ("activations", "optimizers", "losses")),
    "sklearn": Peer("scikit-learn", "with_sklearn", ("sklearn",), "scikit-learn", ("training",)),
}


def installed():
    """The names of the peers that can be imported here."""
    return [name for name, peer in PEERS.items() if not peer.missing]


def require_peer(name):
    """Raise UserError, with what to install, if the library is missing."""
    peer = PEERS[name]
    if peer.missing:
        raise UserError(f"{' and '.join(peer.missing)} not found; --peers {name} needs: pip install {peer.install}")


def load(name, threads):
    """The library `name`, imported, on that many threads where it lets itself be told; UserError if it is broken."""
    peer = PEERS[name]
    try:
        module = importlib.import_module(f".{peer.module}", __name__)
    except (ImportError, OSError) as error:     # OSError: a shared library that does not load
        raise UserError(f"{peer.title} is installed and cannot be imported: {describe(error)}") from error
    return module.Library(threads)


def load_own():
    """fastnn, as one more library."""
    from .own import Library
    return Library()
