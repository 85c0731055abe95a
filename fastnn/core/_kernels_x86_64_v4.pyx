# Compiled for x86_64_v4: see setup.py.
include "kernels.pxi"
