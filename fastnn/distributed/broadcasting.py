"""What ranks begin with: the same parameters, and streams of random numbers of their own."""
from typing import Any

import numpy as np

from ..trees import NESTED, arrays_of_gradients
from .ranks import communicator, ranks_of


def broadcast(params: Any, comm: Any = None, root: int = 0) -> None:
    """Give all ranks one rank's parameters, in place: a mapping, list or tuple of arrays, nested ones, or one array.

    For all ranks. Raises, on all of them, DisagreementError where keys, shapes or dtypes are not alike.
    """
    if not isinstance(params, (np.ndarray, *NESTED)):
        raise TypeError(f"params must be arrays in a mapping, list or tuple, not {type(params).__name__}")
    ranks = ranks_of(comm)
    if not 0 <= root < ranks.size:
        raise ValueError(f"root must be a rank, 0 to {ranks.size - 1}, not {root!r}")
    keys, arrays = ([0], [params]) if isinstance(params, np.ndarray) else arrays_of_gradients(params)
    alike = {f"parameter {key!r:.80}": f"{p.dtype} of shape {p.shape}" for key, p in zip(keys, arrays)}
    frozen = [key for key, p in zip(keys, arrays) if not p.flags.writeable]
    error = ValueError(f"parameter {frozen[0]!r} is read-only") if frozen else None
    ranks.agree("a broadcast", alike, error)
    for p in arrays:
        copy = np.ascontiguousarray(p)
        ranks.broadcast(copy, "a broadcast", root)
        if copy is not p:
            np.copyto(p, copy)


def generator(seed: Any = None, comm: Any = None) -> np.random.Generator:
    """A generator of this rank's own: the same seed gives each rank its stream, in every run; None: seeds from the
    system.

    Streams are those of NumPy's SeedSequence, which are independent of each other; rank 2's is the same among 3 ranks
    and among 64.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(communicator(comm).rank,)))
