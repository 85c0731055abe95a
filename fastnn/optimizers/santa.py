"""Santa: optimizers that draw noise (Chen et al. 2016, arXiv 1512.07962)."""
from functools import partial
from math import inf, isfinite, sqrt

import numpy as np

from ..generators import generator, generator_state, position, same_kind, set_position, setter
from ..groups import numbers_at
from ..hyperparameters import Choice, Hyperparameter, as_float
from .base import EtaOptimizer, decay, epsilon, rate


def santa_cooling(t, rate):
    """1000 t^rate, the inverse temperature beta of step t unless told otherwise."""
    return 1000 * t**rate


def annealing(value):
    if not callable(value):
        raise TypeError(f"anne_func must be a function of t and anne_rate, not {value!r}")
    return value


def inverse_temperature(h, t):
    """beta of step t. Raises ValueError if it is no positive number."""
    try:
        beta = float(h.anne_func(t, h.anne_rate))
    except OverflowError:
        beta = inf
    if not (beta > 0 and isfinite(beta)):
        raise ValueError(f"anne_func must give a positive number, not {beta} at t = {t}")
    return beta


def _source_of_noise(value):
    if isinstance(value, (np.random.Generator, np.random.RandomState)):
        return value
    return np.random.default_rng(value)


def _seed(value):
    """value as it was given, if it can be a source of noise."""
    _source_of_noise(value)
    return value


class Santa(EtaOptimizer):
    """What the schemes share: noise, its generator, and the constants of a step."""

    eta = Hyperparameter(1e-3, above=0)
    sigma = decay(0.95)
    lambda_ = epsilon(1e-2)
    anne_func = Choice(santa_cooling, annealing)
    anne_rate = Hyperparameter(0.5)
    burnin = Hyperparameter(100, at_least=0, integer=True)
    C = rate(5.0)
    N = Hyperparameter(1000, at_least=1, integer=True)
    rng = Choice(None, _seed, shared="all parameters draw from one generator")
    slots = {"v": 0, "preconditioner": 0, "u": 0, "alpha": 0, "noise": 0}
    lazy = False                # noise moves every row
    timed_with = {"burnin": 10**9, "rng": 0}        # noise is drawn before the burn-in's end alone
    _drawn_from = _noise = None
    _rows = None                # the N of this step, where one was handed over

    def _hyperparameter_set(self):
        if self._drawn_from is not self.rng or self._noise is None:
            self._drawn_from, self._noise = self.rng, _source_of_noise(self.rng)

    def constants(self, h, t):
        warmth = self._warmth(h, t)
        return {"sigma": h.sigma, "square_factor": 1 - h.sigma, "lambda_": h.lambda_, "lr": h.eta, "warmth": warmth,
                "noise_factor": sqrt(2 * warmth)}

    def _warmth(self, h, t):
        """The mean of u^2 that friction aims at."""
        return h.eta / (inverse_temperature(h, t) * as_float(h.N if self._rows is None else self._rows))

    def _beginning(self, h, t):
        """What the first velocities have as their standard deviation."""
        return sqrt(self._warmth(h, t))

    @staticmethod
    def rule_at(h, t):
        return 0 if t < h.burnin else 1

    def _advance(self, plan, extra):
        given = extra.get("N")
        self.__dict__["_rows"] = None if given is None else type(self).N.number(given)
        self._prepare(plan, extra)
        noise = self._noise                     # rng may be set meanwhile
        before, passes = position(noise), self._passes
        done = False
        try:
            done = self._run(plan, self._filled(plan, noise, extra.get("t")), setter(noise, before))
        finally:
            if not done and self._passes == passes:         # skipped, or something failed before the step
                set_position(noise, before)

    def _filled(self, plan, noise, given):
        """First values and noise: pairs of a slot and what it is filled with."""
        steps = [(record, numbers_at(cohort.group or self, t), t)
                 for record, cohort in zip(plan.records, plan.cohort_of)
                 for t in [cohort.t + 1 if given is None else self._time(given)]]
        starting = [(record, h, t) for record, h, t in steps if t == 1 or not record.used]
        exploring = [record for record, h, t in steps if self.rule_at(h, t) == 0]
        # article A's order: all first velocities, then all noise
        velocities, drawn = self._drawn(noise, [record for record, _, _ in starting], exploring)
        for record, h, _ in starting:
            if not record.used:
                record.slot(3)[...] = sqrt(h.eta) * h.C
        filled = [(record.slot(2), self._beginning(h, t) * velocity)
                  for (record, h, t), velocity in zip(starting, velocities)]
        filled += [(record.slot(4), z) for record, z in zip(exploring, drawn)]
        return [(slot, np.asarray(values, slot.dtype)) for slot, values in filled]

    def _drawn(self, noise, *groups):
        """Normal noise for each record of each group."""
        return [[self._normal(noise, record.shape) for record in group] for group in groups]

    def _normal(self, noise, shape):
        z = np.array(noise.standard_normal(shape), np.float64)             # our own, whoever keeps the other
        if z.shape != shape:
            raise ValueError(f"the generator gave noise of shape {z.shape} instead of {shape}")
        return z

    def _remembered(self):
        return {"generator": generator_state(self._noise)}

    def _recalled(self, remembered):
        new = generator(remembered["generator"])
        if same_kind(self._noise, new):
            return setter(self._noise, position(new))
        return partial(self.__dict__.update, rng=new, _drawn_from=new, _noise=new)


class SantaE(Santa, name="SantaE", kernel=("santa_e_explore", "santa_e_refine")):
    """Santa with the Euler scheme (Chen et al. 2016, arXiv 1512.07962).

    v = sigma v + (1 - sigma) g^2; q = 1/sqrt(lambda_ + sqrt(v)). Before `burnin` (exploration), with
    beta = anne_func(t, anne_rate) and z standard normal: alpha += u^2 - eta/(N beta);
    u = max(1 - alpha, 0) u - eta q g + sqrt(2 eta/(N beta) q_prev) z; after it (refinement)
    u = max(1 - alpha, 0) u - eta q g. The delta is q u. At first u is sqrt(eta/(N beta)) z, alpha is sqrt(eta) C, and
    q_prev is 0.

    g is the mean gradient, as networks give it, and N the number of rows in the data: ``update(..., N=rows)``, which a
    Trainer hands over; else the hyperparameter. The paper's f is the gradient of the sum, N g; eta is N times the
    paper's, C is the paper's over sqrt(N), and with these it is the paper's rule for any N, which decides on the noise
    alone. For a function that is no mean of rows, N = 1 is the paper's word; a larger one is a colder start.

    Two things differ. The paper's eta/(N beta) (1 - q_prev/q)/u is left out, as in its authors' own programs: where u
    is next to 0 it throws an element far away. Friction beyond 1 stops u and does not turn it round, so that no eta
    lets it grow.

    rng is None, an integer, a Generator or a RandomState.
    """


class SantaSSS(Santa, name="SantaSSS", kernel=("santa_sss_explore", "santa_sss_refine")):
    """Santa with the symmetric splitting scheme; parameters and what is said of them as in SantaE.

    Exploration: alpha += (u^2 - eta/(N beta))/2; u = exp(-alpha/2) u - eta q g + sqrt(2 eta/(N beta) q_prev) z;
    u = exp(-alpha/2) u; alpha += (u^2 - eta/(N beta))/2. Refinement: the same without noise and without changing alpha.
    The delta is q (u_prev + u)/2.
    """
