"""Santa: optimizers that draw noise (Chen et al. 2016, arXiv 1512.07962)."""
from math import inf, isfinite, sqrt

from ..groups import numbers_at
from ..hyperparameters import Choice, Hyperparameter, as_float
from .base import EtaOptimizer, decay, epsilon, rate
from .noisy import Noisy, generator_of_noise


def santa_cooling(t, rate):
    """1000 t^rate, the inverse temperature beta of step t by default."""
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


class Santa(Noisy, EtaOptimizer):
    """What the schemes share: their first values, their noise and the constants of a step."""

    eta = Hyperparameter(1e-3, above=0)
    sigma = decay(0.95)
    lambda_ = epsilon(1e-2)
    anne_func = Choice(santa_cooling, annealing)
    anne_rate = Hyperparameter(0.5)
    burnin = Hyperparameter(100, at_least=0, integer=True)
    C = rate(5.0)
    N = Hyperparameter(1000, at_least=1, integer=True)
    rng = generator_of_noise()
    slots = {"v": 0, "preconditioner": 0, "u": 0, "alpha": 0, "noise": 0}
    timed_with = {"burnin": 10**9, "rng": 0}        # noise is drawn before the burn-in's end alone
    _rows = None                # the N of this step, where one was handed over

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

    def _prepare(self, plan, extra):
        given = extra.get("N")
        self.__dict__["_rows"] = None if given is None else type(self).N.number(given)
        super()._prepare(plan, extra)

    def _filled(self, plan, noise, given):
        """First values and noise."""
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
        return filled + [(record.slot(4), z) for record, z in zip(exploring, drawn)]


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
    """Santa with the symmetric splitting scheme; parameters as in SantaE.

    Exploration: alpha += (u^2 - eta/(N beta))/2; u = exp(-alpha/2) u - eta q g + sqrt(2 eta/(N beta) q_prev) z;
    u = exp(-alpha/2) u; alpha += (u^2 - eta/(N beta))/2. Refinement: the same without noise and without changing alpha.
    The delta is q (u_prev + u)/2.
    """
