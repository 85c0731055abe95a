"""The compiled core. It imports nothing of the package: addresses of kernels go in, arrays come out."""
from fastnn.core.levels import isa, kernels, losses, rules
from fastnn.core.memory import trim_memory
from fastnn.core.threads import get_num_threads, openmp, set_num_threads

__all__ = ["get_num_threads", "isa", "kernels", "losses", "openmp", "rules", "set_num_threads", "trim_memory"]
