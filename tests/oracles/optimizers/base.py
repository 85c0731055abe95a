"""What the oracles of all optimizers share."""
import numpy as np


def ratio(a, b):
    """a/b with 0/0 = 0: no gradient, no step."""
    return np.where((a == 0) & (b == 0), 0, a/b)


def normal_draws(rng, tensors):
    """The draws of a step, as extras of `delta`, for each (rule, shape, t) of several tensors.

    All of one name before those of the next, as article A draws them. `rng` is a Generator or a RandomState.
    """
    extras = [{} for _ in tensors]
    for name in ("u0", "noise"):
        for extra, (rule, shape, t) in zip(extras, tensors):
            if name in rule.draws(t):
                extra[name] = rng.standard_normal(shape)
    return extras


class Optimizer:
    reads_p = False             # whether `delta` is to be given the parameter, p=
    joint = False               # whether the tensors of a step are one tensor to it
    decays = False              # whether it takes weight_decay= by itself
    output_axis = -1            # of a matrix, to a rule for which that makes a difference
    still = {}                  # hyperparameters with which a gradient of zero is a step of zero, if not by default

    def decay_rate(self, values, g, t):
        """What weight_decay is multiplied by at step t of a tensor like g; None: the learning rate."""
        return None

    def draws(self, t):
        """Which standard normal draws `delta` takes at step t, besides the gradient."""
        return ()

    def delta(self, g, t=None, **extra):
        """The change of a parameter with gradient g (a scalar or an array) at step t."""
        g = np.asarray(g, np.result_type(g, np.float64))
        t = None if t is None else g.dtype.type(t)
        extra = {name: np.asarray(value, g.dtype) for name, value in extra.items()}
        with np.errstate(all="ignore"):
            return self.rule(g, t, **extra)
