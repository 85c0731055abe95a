"""Exact gated units, by name: the activation of the gate, as a row of `ORACLES`, and its hyperparameters."""
from mpmath import mpf

from .activations import ORACLES, Oracle

BILINEAR = Oracle(lambda x: x, lambda x: mpf(1), lambda x: mpf(0))

# name: (the gate's oracle, the name whose error bounds it has)
GATES = {"GLU": (ORACLES["sigmoid"], "sigmoid"), "ReGLU": (ORACLES["ReLU"], "ReLU"), "GEGLU": (ORACLES["GELU"], "GELU"),
         "SwiGLU": (ORACLES["Swish"], "Swish"), "bilinear": (BILINEAR, "identity")}
