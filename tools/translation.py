"""How Cython makes C of fastnn/core: for setup.py and tools/targets.py."""
from pathlib import Path

# Functions are the interpreter's own kind, a sixth smaller than Cython's. What can be pickled has a __reduce__.
DIRECTIVES = {"language_level": 3, "cdivision": True, "binding": False, "embedsignature": True,
              "embedsignature.format": "clinic", "auto_pickle": False, "freethreading_compatible": True,
              "warn.unreachable": False}
# What Cython would put into every module, once, without what no module needs: memoryviews, functions inside of others.
SHARED = {"shared_utility_qualified_name": "fastnn.core.utilities",
          "shared_utility_features_disabled": ["AutoPickle", "CythonFunction", "MemoryView", "PythonClasses"]}

KINDS = ("kernels", "rules", "losses", "pairs", "layers")       # of kernels, those that take longest first
# Where a level's instructions give nothing, the level whose kernels it runs: fastnn/core/levels.py. Rules have the same
# times with AVX-512 (0.99 of those at v3).
SAME = {("rules", "x86_64_v4"): "x86_64_v3"}


def kernels(levels):
    """The modules of these levels' kernels: {name: (kind, level)}."""
    return {f"_{kind}_{level}": (kind, level) for kind in KINDS
            for level in dict.fromkeys(SAME.get((kind, level), level) for level in levels)}


def write(folder, levels):
    """Write what is made of each kind of kernels into a folder: Cython's source, once, and what compiles its C for a level."""
    folder.mkdir(parents=True, exist_ok=True)
    text = {f"_{kind}.pyx": f'include "{kind}.pxi"\n' for kind in KINDS}
    for name, (kind, level) in kernels(levels).items():
        text[f"{name}.c"] = (f"/* Compiled for {level}: see setup.py. */\n#define PyInit__{kind} PyInit_{name}\n"
                             f'#include "_{kind}.c"\n')
    for name, content in text.items():
        replace(folder / name, content)


def replace(path, content):
    """Write a file unless it has this content: a build compares times."""
    if not Path(path).exists() or Path(path).read_text() != content:
        Path(path).write_text(content)
