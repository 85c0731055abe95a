"""What the program runs on."""
import os
import platform

import numpy as np

import fastnn

__all__ = ["environment", "physical_memory"]


def environment():
    """Versions, instruction set, threads and machine, as plain values for a table or a JSON file."""
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    return {
        "fastnn": fastnn.__version__,
        "instruction_set": fastnn.core.isa(),
        "openmp": bool(fastnn.core.openmp),
        "threads": fastnn.get_num_threads(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": np.__version__,
        "blas": " ".join(str(blas[key]) for key in ("name", "version") if key in blas) or "unknown",
        "platform": platform.platform(),
        "machine": platform.machine(),
    }


def physical_memory():
    """Bytes of memory that this machine has."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):       # Windows; NumPy's MemoryError has the say there
        return 2**63
