"""How exact the elementwise kernels are, in one place: docstrings state it, fastnn.accuracy measures it, tests hold it.

The unit in the last place (ULP) is the distance of neighbouring floats at the exact value: 2^(e-23) for float32 and
2^(e-52) for float64 where 2^e <= |exact| < 2^(e+1), at least that of the subnormal numbers.
"""
import math

# The largest errors of f, f' and f'', on the whole line, with hyperparameters as the dtype holds them.
ULPS = {"float32": (2, 4, 16), "float64": (3, 6, 16)}

# f' and f'' of these cross zero away from the origin. Up to this |x| (Swish, ACON-C, quick-GELU: |beta x|) the unit is that of
# max(|exact|, FLOOR); in the tails nothing is spared, but for tanhExp's between its last zero and 6, where
# exp(-2 exp(x)) multiplies the rounding of exp(x).
CROSSINGS = {"Swish": 3.5, "ACON-C": 3.5, "Dish": 3.5, "Mish": 3.5, "tanhExp": 6.0, "GELU": 3.5, "GELU-tanh": 3.5,
             "quick-GELU": 3.5, "GEGLU": 3.5, "SwiGLU": 3.5, "PAU": 13.0}
FLOOR = 1/16

# The largest errors of derivatives in parameters that are learned, of each element, before they are summed. These cross
# zero as f' does.
LEARNED_ULPS = 8
CROSSING_PARAMETERS = ("p1", "p2")

# The largest errors along rows, and of losses, in units of the largest term of the formula.
TERM_ULPS = 4
SPARSE_ULPS = 6                 # of sparsemax and entmax, on processors without FMA, too

# Of losses that have more: value and derivative.
LOSS_ULPS = {"sigmoid-focal": (12, 16), "MSLE": (8, 8)}

# What docstrings say.
ELEMENTWISE = ("float32 is within 2 ULP of the exact value, its first derivative within 4, the second within 16; "
               "float64 within 3, 6 and 16 (fastnn/bounds.py).")
ROWS = ("Within 4 ULP of the exact value, derivatives and vector-Jacobian products of the largest term of their formula "
        "(fastnn/core/softmax.pxd), for rows of any length.")
SPARSE_ROWS = ("Values, derivatives and products are within 6 ULP of the largest term of their formula "
               "(fastnn/core/sparsemax.pxd), for rows of any length.")
LOSSES = "Value and derivative are within 4 ULP of the largest term of the formula, in float32 and float64."


def loss_ulps(name: str) -> tuple[int, int]:
    """The largest errors of a loss and its derivative, in units of the largest term of the formula."""
    return LOSS_ULPS.get(name, (TERM_ULPS, TERM_ULPS))


def of_loss(name: str) -> str:
    """What the docstring of a loss says."""
    if name not in LOSS_ULPS:
        return LOSSES
    return "Value and derivative are within {} and {} ULP of the largest term of the formula.".format(*loss_ulps(name))


def crossing(name: str, order: int | str, beta: float = 1.0) -> float:
    """The |x| below which the unit of that derivative of `name` is at least FLOOR's; 0 where it crosses no zero. `order` may
    be the name of a parameter.
    """
    crosses = order in CROSSING_PARAMETERS if isinstance(order, str) else order
    return CROSSINGS.get(name, 0.0)/beta if crosses else 0.0


def unit(exact: float, dtype: str, floor: float = 0.0) -> float:
    """One ULP of `dtype` at `exact`, but at least that at `floor`. NaN and infinities have the largest number's."""
    digits, lowest, highest = {"float32": (23, -126, 127), "float64": (52, -1022, 1023)}[dtype]
    size = max(abs(exact), floor)
    e = math.frexp(size)[1] - 1 if 0 < size < math.inf else lowest if size == 0 else highest
    return math.ldexp(1.0, min(max(e, lowest), highest) - digits)
