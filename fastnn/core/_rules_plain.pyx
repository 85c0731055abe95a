# Compiled for plain: see setup.py.
include "rules.pxi"
include "stored_rules.pxi"
