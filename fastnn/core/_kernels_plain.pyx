# Compiled for plain: see setup.py.
include "kernels.pxi"
