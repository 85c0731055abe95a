"""The operations of graphs on mpmath's numbers, for `graph.evaluate`, with as many digits as one likes."""
import operator

from .functions import FUNCTIONS
from .graph import ARITHMETIC, LOGIC

FAR = 1e100                         # arguments beyond which exponentials are at their limits, and
HUGE = 1e40                         # beyond which others have no digits: mpmath would need all that the number has


def precise(digits):
    """mpmath with so many digits; the user's own precision stays as it is."""
    import mpmath
    mp = mpmath.mp.clone()
    mp.dps = digits
    return mp


def arithmetic(mp):
    """As IEEE has it where it matters: what is not defined is NaN, and nothing raises."""
    def real(function):
        def call(*args):
            try:
                found = function(*args)
            except (ValueError, ZeroDivisionError, OverflowError, TypeError):
                return mp.nan
            return found if isinstance(found, mp.mpf) else mp.nan
        return call

    limits = {"exp": (mp.zero, mp.inf), "exp2": (mp.zero, mp.inf), "expm1": (-mp.one, mp.inf),
              "expit": (mp.zero, mp.one), "sinh": (-mp.inf, mp.inf), "cosh": (mp.inf, mp.inf),
              "tanh": (-mp.one, mp.one)}

    def safe(row):
        function = real(lambda *args: row.mpmath(mp, *args))
        if row.name in limits:
            low, high = limits[row.name]
            return lambda x: function(x) if abs(x) < FAR else high if x > 0 else low if x < 0 else x
        if row.name in ("sin", "cos", "tan", "fmod"):
            return lambda *args: function(*args) if abs(args[0]) < HUGE else mp.nan
        if row.name in ("floor", "ceil", "trunc", "rint"):
            return lambda x: function(x) if abs(x) < HUGE else x
        if row.name == "pow":
            return lambda x, y: mp.inf if x == 0 and y < 0 else function(x, y) if x >= 0 or mp.isint(y) else mp.nan
        if row.name in ("minimum", "maximum"):
            return lambda x, y: function(x, y) if x == x and y == y else mp.nan
        return function

    return {**ARITHMETIC, **LOGIC, "constant": mp.mpf, "div": real(operator.truediv),
            **{row.name: safe(row) for row in FUNCTIONS.values()},
            "copysign": lambda x, y: abs(x) if y >= 0 else -abs(x)}         # the table's has the digits of a double
