# Compiled for x86_64_v2: see setup.py.
include "rules.pxi"
