"""What the oracles of all optimizers share."""
import numpy as np


def ratio(a, b):
    """a/b with 0/0 = 0: no gradient, no step."""
    return np.where((a == 0) & (b == 0), 0, a/b)


class Optimizer:
    reads_p = False             # whether `delta` is to be given the parameter, p=
    still = {}                  # hyperparameters with which a gradient of zero is a step of zero, if not by default

    def delta(self, g, t=None, **extra):
        """The change of a parameter with gradient g (a scalar or an array) at step t."""
        g = np.asarray(g, np.result_type(g, np.float64))
        t = None if t is None else g.dtype.type(t)
        extra = {name: np.asarray(value, g.dtype) for name, value in extra.items()}
        with np.errstate(all="ignore"):
            return self.rule(g, t, **extra)
