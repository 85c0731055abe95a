# Compiled for x86_64_v3: see setup.py.
include "rules.pxi"
