"""A user's own formula, compiled by numba to the kernels that the engine runs."""
