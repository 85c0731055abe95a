"""Rules without a learning rate, which they make of the distance from the first parameter or of the loss."""
from math import sqrt

from ..hyperparameters import Hyperparameter
from .adam import Eve
from .base import AlphaOptimizer, decay, epsilon, rate
from .measured import Joint, total


class FromStart(Joint):
    """lr times a rate that is made of the distance from the first parameter p0."""

    lr = rate(1.0)
    slots = {"p0": None}

    @classmethod
    def constants(cls, h, t, *scalars):
        return {"lr": h.lr * cls.decayed(h, t, scalars)}


class DoG(FromStart, name="DoG", kernel=("from_start", "distance")):
    """r = max(r, ||p - p0||) with r = reps_rel (1 + ||p0||) at first; G += ||g||^2; -lr r/sqrt(G + eps) g.

    Ivgi, Hinder and Carmon 2023, arXiv 2302.12022, algorithm 1, and eps as in their code; optax. p0 is the parameter
    before its first step. Norms are of all parameters of a call together, and each is decayed by the rate that it moves
    with. The authors average parameters on top of it: ExponentialAverage.
    """

    reps_rel = Hyperparameter(1e-6, above=0)
    eps = epsilon(1e-8)
    scalars = {"r": 0.0, "G": 0.0}
    pairs = (("p", "p"), ("update", "update"), ("g", "g"))
    peers = {"optax": ("contrib.dog", dict())}

    @staticmethod
    def measured(found, scalars, told):
        r, G = scalars
        r = r or found[0][0].reps_rel * (1 + sqrt(total(found, 0)))
        return max(r, sqrt(total(found, 1))), G + total(found, 2)

    @staticmethod
    def decayed(h, t, scalars):
        r, G = scalars
        return r / sqrt(G + h.eps) if G + h.eps else 0


class DoWG(FromStart, name="DoWG", kernel=("from_start", "distance")):
    """R = max(R, ||p - p0||^2) with R = eps at first; G += R ||g||^2; -lr R/(sqrt(G) + eps) g.

    Khaled, Mishchenko and Jin 2023, arXiv 2305.16284, algorithm 1, with eps as in their code; optax. The rest is as in
    DoG.
    """

    eps = Hyperparameter(1e-4, above=0)
    scalars = {"R": 0.0, "G": 0.0}
    pairs = (("update", "update"), ("g", "g"))
    peers = {"optax": ("contrib.dowg", dict())}

    @staticmethod
    def measured(found, scalars, told):
        R, G = scalars
        R = max(R or found[0][0].eps, total(found, 0))
        return R, G + R * total(found, 1)

    @staticmethod
    def decayed(h, t, scalars):
        R, G = scalars
        return R / (sqrt(G) + h.eps)


class DAdaptAdam(Joint, AlphaOptimizer, name="D-Adapt-Adam", kernel=("dadapt", "dadapt_ahead"), aliases=("D-Adapt",)):
    """c = d alpha sqrt(1 - beta2^t)/(1 - beta1^t), b = sqrt(beta2); q = b q + (1 - b) c <g, s/(sqrt(v) + eps)>;
    m += (1 - beta1)(c g - m); v += (1 - beta2)(g^2 - v); s = b s + (1 - b) c g; d = max(d, q/((1 - b) ||s||_1));
    -m/(sqrt(v) + eps).

    Defazio and Mishchenko 2023, arXiv 2301.07733, algorithm 5 with Adam's corrections, as their code and optax's
    dadapt_adamw have it. d, at first d0, is one for all parameters of a call; weight_decay is multiplied by it and by
    the corrections, too. alpha is a factor of d, for schedules.
    """

    alpha = rate(1.0)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    eps = epsilon(1e-8)
    d0 = Hyperparameter(1e-6, above=0)
    slots = {"m": 0, "v": 0, "s": 0}
    scalars = {"d": 0.0, "used": 0.0, "q": 0.0}         # used: the d of the step
    pairs = (("g", "update"), ("next s", "sign"))
    signed = ("q",)
    peers = {"optax": ("contrib.dadapt_adamw", dict())}

    @staticmethod
    def begun(h, scalars):
        d = scalars[0] or h.d0
        return d, d, scalars[2]

    @staticmethod
    def decayed(h, t, scalars):
        return scalars[1] * sqrt(1 - h.beta2**t) / (1 - h.beta1**t)

    @classmethod
    def measured(cls, found, scalars, told):
        h = found[0][0]
        root = sqrt(h.beta2)
        d, used, q = scalars
        q = root * q + (1 - root) * sum(h.alpha * cls.decayed(h, t, scalars) * sums[0] for h, t, sums in found)
        length = (1 - root) * total(found, 1)
        return max(d, q / length) if length else d, used, q

    @classmethod
    def constants(cls, h, t, *scalars):
        c, root = h.alpha * cls.decayed(h, t, scalars), sqrt(h.beta2)
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "root_beta2": root, "eps": h.eps,
                "m_lr": (1 - h.beta1) * c, "s_lr": (1 - root) * c}


class Prodigy(DAdaptAdam, name="Prodigy", kernel=("prodigy", "prodigy_ahead")):
    """c = d alpha sqrt(1 - beta2^t)/(1 - beta1^t); q = beta3 q + d c/d0 <g, p0 - p>; m = beta1 m + (1 - beta1) d g;
    v += (1 - beta2)(d^2 g^2 - v); s = beta3 s + d c/d0 g; d_next = max(d, d_coef q/||s||_1);
    -c m/(sqrt(v) + d_next eps).

    Mishchenko and Defazio 2023, arXiv 2306.06101, algorithm 4, with Adam's corrections and beta3 = sqrt(beta2) as their
    code and optax have them; None stands for that. p0 is the parameter before its first step; the rest is as in
    D-Adapt-Adam. The authors recommend a schedule that ends at 0 and beta2 = 0.99 for the last digits.
    """

    beta3 = Hyperparameter(None, at_least=0, below=1, optional=True)
    d_coef = Hyperparameter(1.0, above=0)
    slots = {"m": 0, "v": 0, "s": 0, "p0": None}
    peers = {"optax": ("contrib.prodigy", dict())}

    @staticmethod
    def beta3_of(h):
        return sqrt(h.beta2) if h.beta3 is None else h.beta3

    @classmethod
    def measured(cls, found, scalars, told):
        h = found[0][0]
        d, used, q = scalars
        q = cls.beta3_of(h) * q + d / h.d0 * sum(h.alpha * cls.decayed(h, t, scalars) * sums[0] for h, t, sums in found)
        length = total(found, 1)
        return max(d, h.d_coef * q / length) if length else d, used, q

    @classmethod
    def constants(cls, h, t, d, used, q):
        c = h.alpha * cls.decayed(h, t, (d, used, q))
        return {"beta1": h.beta1, "one_minus_beta2": 1 - h.beta2, "beta3": cls.beta3_of(h), "d": used,
                "m_factor": (1 - h.beta1) * used, "s_factor": c * used / h.d0, "lr": c, "eps": d * h.eps}


class PolyakSGD(Joint, name="PolyakSGD", kernel="sgd"):
    """-lr min(max(f - fstar, 0)/(||g||^2 + eps), max_lr) g.

    Loizou et al. 2021, arXiv 2002.10542, equation 3 with c = 1; optax's polyak_sgd, which steps back where f is below
    fstar and not at all where ||g||^2 + eps is below 2.2e-16. ``step(..., f=loss)``; without f the rate is lr max_lr.
    ||g|| is the norm of all gradients of a call together. Raises ValueError if f is not finite.
    """

    lr = rate(1.0)
    max_lr = rate(1.0)
    fstar = Hyperparameter(0.0)
    eps = epsilon(0.0)
    signed = ("f",)
    scalars = {"rate": 0.0, "f": 0.0, "told": 0.0}      # told: whether there is an f in this step
    peers = {"optax": ("polyak_sgd", dict())}
    _positional = ("t", "f")

    @staticmethod
    def advanced(h, t, scalars, extra):
        return (scalars[0], Eve.checked_loss(extra["f"]), 1.0) if "f" in extra else (scalars[0], 0.0, 0.0)

    @staticmethod
    def measured(found, scalars, told):
        h, squares = found[0][0], total(found, 0)
        if not told[2]:
            return h.max_lr, 0.0, 0.0
        gap, divisor = max(told[1] - h.fstar, 0.0), squares + h.eps
        return min(gap / divisor, h.max_lr) if divisor else 0.0, told[1], 1.0

    @staticmethod
    def decayed(h, t, scalars):
        return scalars[0]

    @staticmethod
    def constants(h, t, rate, *loss):
        return {"lr": h.lr * rate}


class MoMo(Joint, AlphaOptimizer, name="MoMo", kernel="momo"):
    """m += (1 - beta)(g - m), and likewise F of the losses f and G of <g, p>, m, F and G being g, f and <g, p> at first;
    w = 1 + alpha weight_decay; tau = min(alpha, max(w (F - fstar - G) + <m, p>, 0)/||m||^2); p = p/w - tau m.

    Schaipp et al. 2023, arXiv 2305.07583, algorithm 1; optax, which takes no step where ||m||^2 is below 2.2e-16.
    ``step(..., f=loss)``; without f F stays as it is, and before the first one tau is alpha. Norms and products are of
    all parameters of a call together. Raises ValueError if f is not finite.
    """

    alpha = rate(1.0)
    beta = decay(0.9)
    fstar = Hyperparameter(0.0)
    slots = {"m": 0}
    scalars = {"tau": 0.0, "F": 0.0, "G": 0.0, "known": 0.0, "f": 0.0, "told": 0.0}     # known: whether there is an F
    pairs = (("g", "p"), ("next m", "p"), ("next m", "next m"))
    signed = ("F", "G", "f")
    peers = {"optax": ("contrib.momo", dict())}
    _positional = ("t", "f")

    @staticmethod
    def advanced(h, t, scalars, extra):
        return (*scalars[:4], *((Eve.checked_loss(extra["f"]), 1.0) if "f" in extra else (0.0, 0.0)))

    @staticmethod
    def measured(found, scalars, told):
        h, t, _ = found[0]
        _, F, G, known, _, _ = scalars
        f, is_told = told[4:]
        slope, along, squares = (total(found, i) for i in range(3))
        G = slope if t == 1 else h.beta * G + (1 - h.beta) * slope
        if is_told:
            F = h.beta * F + (1 - h.beta) * f if known else f
        known = max(known, is_told)
        tau = h.alpha
        if known:
            gap = max((1 + h.alpha * h.weight_decay) * (F - h.fstar - G) + along, 0.0)
            tau = min(h.alpha, gap / squares) if squares else 0.0
        return tau, F, G, known, f, is_told

    @staticmethod
    def decayed(h, t, scalars):
        return 1 / (1 + h.alpha * h.weight_decay)

    @staticmethod
    def constants(h, t, tau, *others):
        return {"one_minus_beta": 1 if t == 1 else 1 - h.beta, "lr": tau}
