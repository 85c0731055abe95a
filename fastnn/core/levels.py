"""Which build of the kernels this processor runs: the same source, compiled once for each instruction-set level."""
import os
from importlib import import_module
from importlib.util import find_spec

from fastnn.core.processor import supports

# best first; "plain" is built where the others are not
LEVELS = {"x86-64-v4": "x86_64_v4", "x86-64-v3": "x86_64_v3", "x86-64-v2": "x86_64_v2", "plain": "plain"}
# AVX-512 gives rules nothing, so there are none for it
RULES = {**LEVELS, "x86-64-v4": LEVELS["x86-64-v3"]}


def usable():
    """The levels that this build has and this processor runs, best first."""
    return [level for level, suffix in LEVELS.items()
            if find_spec(f"{__package__}._kernels_{suffix}") and supports(level)]


def _choose():
    levels = usable()
    forced = os.environ.get("FASTNN_ISA")
    if forced and forced not in levels:
        raise ImportError(f"FASTNN_ISA={forced}: this build on this processor offers {', '.join(levels) or 'nothing'}")
    if not levels:
        raise ImportError("fastnn's kernels need a processor of the level x86-64-v2 (SSE4.2) or newer")
    return forced or levels[0]


_level = _choose()
kernels = import_module(f"{__package__}._kernels_{LEVELS[_level]}")
pairs = import_module(f"{__package__}._pairs_{LEVELS[_level]}")
losses = import_module(f"{__package__}._losses_{LEVELS[_level]}")
layers = import_module(f"{__package__}._layers_{LEVELS[_level]}")
rules = import_module(f"{__package__}._rules_{RULES[_level]}")


def isa() -> str:
    """The instruction-set level in use: "x86-64-v4" (AVX-512), "x86-64-v3" (AVX2 and FMA), "x86-64-v2"
    (SSE4.2) or "plain".

    The best one that the processor supports; the environment variable FASTNN_ISA, read at import, forces another.
    """
    return _level
