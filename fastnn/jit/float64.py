"""The operations of graphs on float64 arrays, for `graph.evaluate`: nothing raises."""
import numpy as np

from .functions import FUNCTIONS
from .graph import ARITHMETIC

IN_FLOAT64 = {**ARITHMETIC, "constant": np.float64, "div": np.true_divide, "select": np.where,
              "and": np.logical_and, "or": np.logical_or, "not": np.logical_not,
              **{row.name: row.evaluate for row in FUNCTIONS.values()}}
