"""A user's own formula, compiled by LLVM to the kernels that the engine runs."""
