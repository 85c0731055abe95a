# Compiled for plain: see setup.py.
include "rules.pxi"
