"""optax 0.2.8 and jax.nn, by their names, arguments and defaults.

A learning rate that is a schedule is called with t from 1, as everywhere here: optax counts from 0. What `mask` leaves
out is a group's, weight_decay=0.
"""
from math import sqrt

from ..activations import _registry as activations
from ..hyperparameters import Choice, Flag, Hyperparameter, one_axis
from ..losses import _registry as losses
from ..losses import classification, probabilities
from ..optimizers.adam import corrected
from ..optimizers.base import decay, epsilon, rate
from .adapted import AlongAnotherAxis, LowerPieceAtZero, OfRows
from .translation import Dialect, Rule, is_zero, pair

GROUPS = "groups have a weight_decay of their own"
DTYPE = "state_dtype says how state is kept"

optax = Dialect("optax", {
    "mask": GROUPS, "weight_decay_mask": GROUPS, "mu_dtype": DTYPE, "accumulator_dtype": DTYPE, "dtype_momentum": DTYPE,
    "trust_ratio_mask": "groups have a rate of their own", "initial_scale": "",
    "bias_correction": "", "safeguard_warmup": "", "adapt_lower_bound": "", "clip_value_fn": "it is t^(1/4)",
    "init_estim_sq_dist": "", "variant": "", "warmup_steps": "fastnn.schedules has warm-ups of the learning rate",
    "where": "", "axis_name": ""})


# Optimizers

@optax.opt("sgd")
def sgd(learning_rate, momentum=None, nesterov=False, accumulator_dtype=None):
    """The rate is no part of what is kept: under a schedule it is another rule than the catalogue's Momentum."""
    if is_zero(momentum):
        return "SGD", dict(eta=learning_rate)
    return "SGDNesterov" if nesterov else "SGDMomentum", dict(eta=learning_rate, momentum=momentum)


class Adam(Rule, kernel="adam"):
    """m, v, mhat and vhat as in Adam; -learning_rate mhat/(sqrt(vhat + eps_root) + eps)."""

    name, like = "adam", "optax"
    _rate_name = "learning_rate"
    learning_rate = rate(1e-3)
    b1 = decay(0.9)
    b2 = decay(0.999)
    eps = epsilon(1e-8)
    eps_root = epsilon(0.0)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}

    @staticmethod
    def constants(h, t):
        correction, root = corrected(as_adam(h), t)
        return {"one_minus_beta1": 1 - h.b1, "one_minus_beta2": 1 - h.b2, "eps": h.eps * root,
                "eps_inside_root": h.eps_root * root**2, "corrected_lr": h.learning_rate * correction}


class NAdam(Adam, kernel="nadam"):
    """As adam, with mhat = b1 m/(1 - b1^(t+1)) + (1 - b1) g/(1 - b1^t)."""

    given = {"nesterov": True}

    @staticmethod
    def constants(h, t):
        return {"one_minus_mu": 1 - h.b1, "one_minus_nu": 1 - h.b2, "eps_inside_root": h.eps_root, "eps": h.eps,
                "m_factor": h.learning_rate * h.b1 / (1 - h.b1**(t + 1)), "v_factor": 1 / (1 - h.b2**t),
                "g_factor": h.learning_rate * (1 - h.b1) / (1 - h.b1**t)}


class AMSGrad(Adam, kernel="amsgrad_corrected"):
    """m, v and mhat as in Adam; vhat = max(vhat, v/(1 - b2^t)); -learning_rate mhat/(sqrt(vhat + eps_root) + eps).

    bias_correction_mu and bias_correction_nu say whether m and v are divided by 1 - b^t.
    """

    name = "amsgrad"
    bias_correction_mu = Flag(True)
    bias_correction_nu = Flag(True)
    slots = {"m": 0, "v": 0, "vhat": 0}
    stored = {}

    @staticmethod
    def constants(h, t):
        lr = h.learning_rate / (1 - h.b1**t) if h.bias_correction_mu else h.learning_rate
        return {"one_minus_beta1": 1 - h.b1, "one_minus_beta2": 1 - h.b2, "corrected_lr": lr, "eps": h.eps,
                "v_factor": 1 / (1 - h.b2**t) if h.bias_correction_nu else 1, "eps_inside_root": h.eps_root}


class as_adam:                  # noqa: N801: a function of h
    """b1 and b2 by the catalogue's names."""

    def __init__(self, h):
        self.beta1, self.beta2 = h.b1, h.b2


def adam_of(learning_rate, b1, b2, eps, eps_root, nesterov, **options):
    if nesterov or not is_zero(eps_root):
        return NAdam if nesterov else Adam, dict(
            learning_rate=learning_rate, b1=b1, b2=b2, eps=eps, eps_root=eps_root, **options)
    return "AdamW" if options else "Adam", dict(alpha=learning_rate, beta1=b1, beta2=b2, eps=eps, **options)


@optax.opt("adam")
def adam(learning_rate, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, mu_dtype=None, *, nesterov=False):
    return adam_of(learning_rate, b1, b2, eps, eps_root, nesterov)


@optax.opt("adamw")
def adamw(learning_rate, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, mu_dtype=None, weight_decay=1e-4, mask=None, *,
          nesterov=False):
    return adam_of(learning_rate, b1, b2, eps, eps_root, nesterov, weight_decay=weight_decay)


@optax.opt("nadam")
def nadam(learning_rate, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, mu_dtype=None, *, nesterov=True):
    return adam_of(learning_rate, b1, b2, eps, eps_root, nesterov)


@optax.opt("nadamw")
def nadamw(learning_rate, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, mu_dtype=None, weight_decay=1e-4, mask=None, *,
           nesterov=True):
    return adam_of(learning_rate, b1, b2, eps, eps_root, nesterov, weight_decay=weight_decay)


@optax.opt("amsgrad")
def amsgrad(learning_rate, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, mu_dtype=None, bias_correction_mu=True,
            bias_correction_nu=True):
    return AMSGrad, dict(learning_rate=learning_rate, b1=b1, b2=b2, eps=eps, eps_root=eps_root,
                         bias_correction_mu=bias_correction_mu, bias_correction_nu=bias_correction_nu)


@optax.opt("adamax")
def adamax(learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    return "AdaMax", dict(alpha=learning_rate, beta1=b1, beta2=b2, eps=eps)


@optax.opt("adamaxw")
def adamaxw(learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=1e-4, mask=None):
    return "AdaMaxW", dict(alpha=learning_rate, beta1=b1, beta2=b2, eps=eps, weight_decay=weight_decay)


class RAdam(Rule, kernel="radam"):
    """As the catalogue's, from r = threshold on, with mhat/(sqrt(vhat) + eps)."""

    name, like = "radam", "optax"
    _rate_name = "learning_rate"
    learning_rate = rate(1e-3)
    b1 = decay(0.9)
    b2 = decay(0.999)
    eps = epsilon(1e-8)
    threshold = Hyperparameter(5.0, at_least=4)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}

    @staticmethod
    def constants(h, t):
        power, longest, lr = h.b2**t, 2 / (1 - h.b2) - 1, h.learning_rate / (1 - h.b1**t)
        length = longest - 2 * t * power / (1 - power)
        adaptive = length >= h.threshold
        if adaptive:
            lr *= sqrt((1 - power) * (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
        return {"one_minus_beta1": 1 - h.b1, "one_minus_beta2": 1 - h.b2, "lr": lr, "adaptive": adaptive,
                "eps": h.eps * sqrt(1 - power)}


@optax.opt("radam")
def radam(learning_rate, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, threshold=5.0, *, nesterov=False):
    plain(eps_root, nesterov)
    return RAdam, dict(learning_rate=learning_rate, b1=b1, b2=b2, eps=eps, threshold=threshold)


def plain(eps_root, nesterov):
    if nesterov or not is_zero(eps_root):
        raise ValueError("fastnn has it without nesterov and eps_root")


class Yogi(Rule, kernel="yogi"):
    """As the catalogue's, with an m from 1e-6, which moves a parameter whose gradients are 0."""

    name, like = "yogi", "optax"
    _rate_name = "learning_rate"
    learning_rate = rate(1e-2)
    b1 = decay(0.9)
    b2 = decay(0.999)
    eps = epsilon(1e-3)
    slots = {"m": 1e-6, "v": 1e-6}

    @staticmethod
    def constants(h, t):
        correction, root = corrected(as_adam(h), t)
        return {"one_minus_beta1": 1 - h.b1, "one_minus_beta2": 1 - h.b2, "eps": h.eps * root,
                "corrected_lr": h.learning_rate * correction}


@optax.opt("yogi")
def yogi(learning_rate, b1=0.9, b2=0.999, eps=1e-3):
    return Yogi, dict(learning_rate=learning_rate, b1=b1, b2=b2, eps=eps)


@optax.opt("adabelief")
def adabelief(learning_rate, b1=0.9, b2=0.999, eps=1e-16, eps_root=1e-16, *, nesterov=False):
    plain(0, nesterov)
    return "AdaBelief", dict(alpha=learning_rate, beta1=b1, beta2=b2, eps=eps, eps_inside_root=eps_root)


class RMSprop(Rule, kernel="rmsprop_buffered"):
    """m, v with decay; s = learning_rate g/sqrt(v + eps), of v - m^2 where centered, with eps_in_sqrt=False
    learning_rate g/(sqrt(v) + eps); buf = momentum buf + s; -buf, with nesterov -(s + momentum buf).
    """

    name, like = "rmsprop", "optax"
    _rate_name = "learning_rate"
    learning_rate = rate(1e-2)
    decay = decay(0.9)
    eps = epsilon(1e-8)
    eps_in_sqrt = Flag(True)
    centered = Flag(False)
    momentum = rate(0.0)
    nesterov = Flag(False)
    slots = {"m": 0, "v": 0, "buf": 0}

    @staticmethod
    def constants(h):
        inside, beside = (h.eps, 0) if h.eps_in_sqrt else (0, h.eps)
        return {"one_minus_rho": 1 - h.decay, "centre": h.centered, "momentum": h.momentum, "lr_in": h.learning_rate,
                "lr_buf": h.momentum if h.nesterov else 1, "lr_step": h.nesterov, "eps_inside_root": inside,
                "eps": beside}


@optax.opt("rmsprop")
def rmsprop(learning_rate, decay=0.9, eps=1e-8, initial_scale=0.0, eps_in_sqrt=True, centered=False, momentum=None,
            nesterov=False, bias_correction=False):
    if is_zero(momentum) and not centered:
        return "RMSprop", dict(eta=learning_rate, rho=decay, eps=0 if eps_in_sqrt else eps,
                               eps_inside_root=eps if eps_in_sqrt else 0)
    return RMSprop, dict(learning_rate=learning_rate, decay=decay, eps=eps, eps_in_sqrt=eps_in_sqrt, centered=centered,
                         momentum=momentum or 0, nesterov=nesterov and not is_zero(momentum))


@optax.opt("adagrad")
def adagrad(learning_rate, initial_accumulator_value=0.1, eps=1e-7):
    """The sums do not contain initial_accumulator_value, which is added under the root as eps is."""
    return "AdaGrad", dict(eta=learning_rate, eps=0, eps_inside_root=initial_accumulator_value + eps)


@optax.opt("adadelta")
def adadelta(learning_rate, rho=0.9, eps=1e-6, weight_decay=0.0, weight_decay_mask=None):
    """weight_decay is L2."""
    return "AdaDelta", dict(rho=rho, eps=eps, lr=learning_rate, l2=weight_decay)


@optax.opt("lion")
def lion(learning_rate, b1=0.9, b2=0.99, mu_dtype=None, weight_decay=1e-3, mask=None):
    return "Lion", dict(lr=learning_rate, beta1=b1, beta2=b2, weight_decay=weight_decay)


@optax.opt("sign_sgd")
def sign_sgd(learning_rate):
    return "signSGD", dict(lr=learning_rate)


@optax.opt("signum")
def signum(learning_rate, beta=0.9, accumulator_dtype=None):
    return "Signum", dict(lr=learning_rate, beta=beta)


@optax.opt("rprop")
def rprop(learning_rate, eta_minus=0.5, eta_plus=1.2, min_step_size=1e-6, max_step_size=50.0):
    """Not optax's numbers: it takes each step one call late."""
    return "Rprop", dict(lr=learning_rate, eta_minus=eta_minus, eta_plus=eta_plus, min_step_size=min_step_size,
                         max_step_size=max_step_size)


@optax.opt("lamb")
def lamb(learning_rate, b1=0.9, b2=0.999, eps=1e-6, eps_root=0.0, weight_decay=0.0, mask=None):
    plain(eps_root, False)
    return "LAMB", dict(alpha=learning_rate, beta1=b1, beta2=b2, eps=eps, weight_decay=weight_decay)


@optax.opt("lars")
def lars(learning_rate, weight_decay=0.0, weight_decay_mask=True, trust_coefficient=0.001, eps=0.0,
         trust_ratio_mask=True, momentum=0.9, nesterov=False):
    """weight_decay is L2."""
    plain(0, nesterov)
    return "LARS", dict(lr=learning_rate, momentum=momentum, trust_coefficient=trust_coefficient, eps=eps,
                        l2=weight_decay)


@optax.opt("novograd")
def novograd(learning_rate, b1=0.9, b2=0.25, eps=1e-6, eps_root=0.0, weight_decay=0.0):
    """weight_decay is within the momentum."""
    plain(eps_root, False)
    return "NovoGrad", dict(lr=learning_rate, beta1=b1, beta2=b2, eps=eps, d=weight_decay)


@optax.opt("fromage")
def fromage(learning_rate, min_norm=1e-6):
    return "Fromage", dict(lr=learning_rate, min_norm=min_norm)


@optax.opt("sm3")
def sm3(learning_rate, momentum=0.9):
    return "SM3", dict(lr=learning_rate, momentum=momentum)


@optax.opt("optimistic_gradient_descent")
def optimistic_gradient_descent(learning_rate, alpha=1.0, beta=1.0):
    return "OptimisticGradientDescent", dict(lr=learning_rate, alpha=alpha, beta=beta)


def without_nesterov(nesterov, eps_root):
    if nesterov:
        raise ValueError("fastnn has it with nesterov=False, which is the paper's and not optax's default")
    plain(eps_root, False)


@optax.opt("optimistic_adam")
def optimistic_adam(learning_rate, optimism=None, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, mu_dtype=None, *,
                    nesterov=True):
    without_nesterov(nesterov, eps_root)
    return "OptimisticAdam", dict(lr=1, alpha=learning_rate, beta=learning_rate if optimism is None else optimism,
                                  beta1=b1, beta2=b2, eps=eps)


@optax.opt("optimistic_adam_v2")
def optimistic_adam_v2(learning_rate, *, alpha=1.0, beta=1.0, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, mu_dtype=None,
                       nesterov=True):
    without_nesterov(nesterov, eps_root)
    return "OptimisticAdam", dict(lr=learning_rate, alpha=alpha, beta=beta, beta1=b1, beta2=b2, eps=eps)


@optax.opt("polyak_sgd")
def polyak_sgd(max_learning_rate=1.0, scaling=1.0, f_min=0.0, eps=0.0, variant="sps"):
    """optax's value= is f= of the step; scaling is a factor of the gradients."""
    return "PolyakSGD", dict(max_lr=max_learning_rate, fstar=f_min, eps=eps, grad_scale=scaling)


# optax.contrib's optimizers

class ACProp(Rule, kernel="acprop"):
    """As the catalogue's, with g less the average before the step in s."""

    name, like = "acprop", "optax"
    _rate_name = "learning_rate"
    learning_rate = rate(1e-3)
    b1 = decay(0.9)
    b2 = decay(0.999)
    eps = epsilon(1e-16)
    eps_root = epsilon(1e-16)
    slots = {"m": 0, "s": 0}

    @staticmethod
    def constants(h, t):
        first = t == 1
        return {"one_minus_beta1": 1 - h.b1, "one_minus_beta2": 1 - h.b2, "beta1": 1, "lr": h.learning_rate,
                "s_factor": 0 if first else 1 / (1 - h.b2**(t - 1)), "first": first, "eps_inside_root": h.eps_root,
                "eps": h.eps}


@optax.opt("acprop")
def acprop(learning_rate, b1=0.9, b2=0.999, eps=1e-16, eps_root=1e-16, weight_decay=0.0, mask=None):
    return ACProp, dict(learning_rate=learning_rate, b1=b1, b2=b2, eps=eps, eps_root=eps_root,
                        weight_decay=weight_decay)


@optax.opt("ademamix")
def ademamix(learning_rate, b1=0.9, b2=0.999, b3=0.9999, alpha=5.0, eps=1e-8, eps_root=0.0, mu_dtype=None,
             weight_decay=0.0, mask=None):
    plain(eps_root, False)
    return "AdEMAMix", dict(lr=learning_rate, beta1=b1, beta2=b2, beta3=b3, alpha=alpha, eps=eps,
                            weight_decay=weight_decay)


@optax.opt("simplified_ademamix")
def simplified_ademamix(learning_rate, b1=0.99, b2=0.95, alpha=0.0, eps=1e-8, eps_root=0.0, weight_decay=0.0,
                        mask=None):
    plain(eps_root, False)
    return "Simplified-AdEMAMix", dict(lr=learning_rate, beta1=b1, beta2=b2, alpha=alpha, eps=eps,
                                       weight_decay=weight_decay)


@optax.opt("adopt")
def adopt(learning_rate, b1=0.9, b2=0.9999, eps=1e-6, mu_dtype=None, *, nesterov=False, use_clipping=True,
          clip_value_fn=None):
    plain(0, nesterov)
    return "ADOPT", dict(alpha=learning_rate, beta1=b1, beta2=b2, eps=eps, clip_power=0.25 if use_clipping else None)


@optax.opt("madgrad")
def madgrad(learning_rate, momentum=0.9, weight_decay=0.0, eps=1e-6):
    """weight_decay is L2. Not all of optax's numbers: it has its weights in float32."""
    return "MADGRAD", dict(lr=learning_rate, momentum=momentum, eps=eps, l2=weight_decay)


@optax.opt("cocob")
def cocob(learning_rate=1.0, alpha=100.0, eps=1e-8, weight_decay=0.0, mask=None):
    """learning_rate is a factor of the gradients."""
    if not is_zero(weight_decay):
        raise ValueError("fastnn has it without weight_decay; l2= is that of its gradients")
    return "COCOB", dict(alpha=alpha, eps=eps, grad_scale=learning_rate)


@optax.opt("dog")
def dog(learning_rate=1.0, init_step=("heuristic", 1e-6), eps=1e-8, weight_decay=None, mask=None):
    """weight_decay is L2."""
    way, reps_rel = pair(init_step, "init_step")
    if way != "heuristic":
        raise ValueError(f"init_step must be ('heuristic', a number), not {init_step!r:.80}")
    return "DoG", dict(lr=learning_rate, reps_rel=reps_rel, eps=eps, l2=weight_decay or 0)


@optax.opt("dowg")
def dowg(learning_rate=1.0, init_estim_sq_dist=None, eps=1e-4, weight_decay=None, mask=None):
    """weight_decay is L2."""
    return "DoWG", dict(lr=learning_rate, eps=eps, l2=weight_decay or 0)


@optax.opt("dadapt_adamw")
def dadapt_adamw(learning_rate=1.0, betas=(0.9, 0.999), eps=1e-8, estim_lr0=1e-6, weight_decay=0.0):
    beta1, beta2 = pair(betas, "betas")
    return "D-Adapt-Adam", dict(alpha=learning_rate, beta1=beta1, beta2=beta2, eps=eps, d0=estim_lr0,
                                weight_decay=weight_decay)


@optax.opt("prodigy")
def prodigy(learning_rate=1.0, betas=(0.9, 0.999), beta3=None, eps=1e-8, estim_lr0=1e-6, estim_lr_coef=1.0,
            weight_decay=0.0, safeguard_warmup=False):
    beta1, beta2 = pair(betas, "betas")
    return "Prodigy", dict(alpha=learning_rate, beta1=beta1, beta2=beta2, beta3=beta3, eps=eps, d0=estim_lr0,
                           d_coef=estim_lr_coef, weight_decay=weight_decay)


@optax.opt("momo")
def momo(learning_rate=1.0, beta=0.9, lower_bound=0.0, weight_decay=0.0, adapt_lower_bound=False):
    """optax's value= is f= of the step."""
    return "MoMo", dict(alpha=learning_rate, beta=beta, fstar=lower_bound, weight_decay=weight_decay)


@optax.opt("schedule_free_sgd")
def schedule_free_sgd(learning_rate=1.0, warmup_steps=None, b1=0.9, weight_decay=None, weight_lr_power=2.0,
                      state_dtype=None):
    return "ScheduleFreeSGD", dict(lr=learning_rate, beta=b1, weight_lr_power=weight_lr_power, l2=weight_decay or 0,
                                   state_dtype=state_dtype or "float32")


@optax.opt("schedule_free_adamw")
def schedule_free_adamw(learning_rate=0.0025, warmup_steps=None, b1=0.9, b2=0.999, eps=1e-8, weight_decay=0.0,
                        weight_lr_power=2.0, state_dtype=None):
    if not is_zero(weight_decay):
        raise ValueError("optax decays z alone; weight_decay without like= takes x, y and z along")
    return "ScheduleFreeAdamW", dict(lr=learning_rate, beta1=b1, beta2=b2, eps=eps, weight_lr_power=weight_lr_power,
                                     state_dtype=state_dtype or "float32")


# Activations: jax.nn's

optax.same(activations, {
    "ReLU": "relu", "ReLU6": "relu6", "identity": "identity", "sigmoid": "sigmoid", "log-sigmoid": "log_sigmoid",
    "tanh": "tanh", "hard-tanh": "hard_tanh", "softplus": "softplus", "softsign": "soft_sign", "Swish": "silu swish",
    "Mish": "mish", "h-sigmoid": "hard_sigmoid", "hard-swish": "hard_silu hard_swish", "sparse-plus": "sparse_plus",
    "sparse-sigmoid": "sparse_sigmoid"})


@optax.act("squareplus")
def squareplus(b=4):
    return "squareplus", dict(b=b)


@optax.act("leaky_relu")
def leaky_relu(negative_slope=0.01):
    return "leaky-ReLU", dict(alpha=negative_slope)


class ELU(LowerPieceAtZero, activations.catalogued("ELU")):
    """f'(0) = alpha."""

    like, called, terms = "optax", "elu", {"alpha": "alpha"}


@optax.act("elu")
def elu(alpha=1.0):
    return ELU, dict(alpha=alpha)


@optax.act("celu")
def celu(alpha=1.0):
    return "CELU", dict(alpha=alpha)


class SELU(LowerPieceAtZero, activations.catalogued("SELU")):
    """f'(0) = lambda_ alpha. JAX's constants have 16 digits."""

    like, called = "optax", "selu"


@optax.act("selu")
def selu():
    return SELU, dict(lambda_=1.0507009873554804934193349852946, alpha=1.6732632423543772848170429916717)


@optax.act("gelu")
def gelu(approximate=True):
    """jax.nn's default is the form with tanh."""
    return "GELU-tanh" if approximate else "GELU", {}


@optax.act("glu")
def glu(axis=-1):
    return "GLU", dict(axis=axis)


@optax.act("softmax")
def softmax(axis=-1, where=None):
    return "softmax", dict(axis=axis)


@optax.act("log_softmax")
def log_softmax(axis=-1, where=None):
    return "log-softmax", dict(axis=axis)


# Losses: of each element or row, and any `reduction`, which is fastnn's

optax.same(losses, {
    "Square": "l2_loss", "sigmoid-binary-cross-entropy": "sigmoid_binary_cross_entropy", "log-cosh": "log_cosh",
    "hinge": "hinge_loss hinge", "sparsemax-loss": "multiclass_sparsemax_loss"})


@optax.err("squared_error", "mse")
def squared_error():
    """(y - t)^2, twice optax's l2_loss."""
    return "squared-error", {}


@optax.err("huber_loss", "Huber")
def huber_loss(delta=1.0):
    return "Huber", dict(delta=delta)


def only_the_last(axis):
    if axis != -1:
        raise ValueError(f"axis must be -1, not {axis!r:.80}")


class SoftmaxCrossEntropy(AlongAnotherAxis, classification.SoftmaxCrossEntropy):
    like, called, terms = "optax", "softmax_cross_entropy", {"axis": "axis"}
    axis = Choice(-1, one_axis)


@optax.err("softmax_cross_entropy", "softmax_cross_entropy_with_integer_labels", "safe_softmax_cross_entropy")
def softmax_cross_entropy(axis=-1, where=None):
    return ("softmax-cross-entropy", {}) if axis == -1 else (SoftmaxCrossEntropy, dict(axis=axis))


class KLDivergence(OfRows, probabilities.KL):
    """Summed along the last axis."""

    like, called, _sums = "optax", "kl_divergence", True


class KLDivergenceOfLogs(KLDivergence):
    called = "kl_divergence_with_log_targets"


@optax.err("kl_divergence", "KL")
def kl_divergence(axis=-1, where=None):
    """Of log-probabilities."""
    only_the_last(axis)
    return KLDivergence, {}


@optax.err("kl_divergence_with_log_targets")
def kl_divergence_with_log_targets(axis=-1, where=None):
    only_the_last(axis)
    return KLDivergenceOfLogs, dict(log_target=True)


@optax.err("sigmoid_focal_loss", "sigmoid-focal")
def sigmoid_focal_loss(alpha=None, gamma=2.0):
    return "sigmoid-focal", dict(alpha=alpha, gamma=gamma)


@optax.err("cosine_distance", "cosine")
def cosine_distance(epsilon=0.0, axis=-1, where=None):
    """epsilon is that of a norm's square. Rows of zeros have a distance here where it is 0, too."""
    only_the_last(axis)
    return "cosine", dict(eps=sqrt(epsilon) or 2.2250738585072014e-308)
