"""PyTorch 2.14.1: torch.optim, torch.nn's activations and losses, by its names, arguments and defaults.

weight_decay is L2, `l2` of what is made, but in AdamW and with decoupled_weight_decay.
"""
from ..activations import _registry as activations
from ..optimizers.base import epsilon, rate
from . import torch_losses      # noqa: F401: a part of this dialect in a file of its own
from .adapted import LowerPieceAtZero
from .translation import Dialect, Rule, is_zero, pair


catalogued = activations.catalogued


def shared(*, maximize=False, foreach=None, capturable=False, differentiable=False, fused=None):
    return {"maximize": maximize}


torch = Dialect("torch", {
    "foreach": "", "fused": "", "device": "", "dtype": "", "capturable": "", "differentiable": "",
    "inplace": "forward(x, out=x) is in place"}, shared)


# Optimizers

@torch.opt("SGD")
def sgd(lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False):
    """The rate is no part of what is kept: under a schedule it is another rule than the catalogue's Momentum."""
    if nesterov and (is_zero(momentum) or not is_zero(dampening)):
        raise ValueError("nesterov needs a momentum and no dampening")
    if is_zero(momentum):
        return "SGD", dict(eta=lr, l2=weight_decay)
    if nesterov:
        return "SGDNesterov", dict(eta=lr, momentum=momentum, l2=weight_decay)
    return "SGDMomentum", dict(eta=lr, momentum=momentum, dampening=dampening, l2=weight_decay)


def adam_values(lr, betas, eps, weight_decay, decoupled):
    beta1, beta2 = pair(betas, "betas")
    return dict(alpha=lr, beta1=beta1, beta2=beta2, eps=eps, **decayed(weight_decay, decoupled))


def decayed(weight_decay, decoupled):
    return {"weight_decay" if decoupled else "l2": weight_decay}


@torch.opt("Adam")
def adam(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False, *, decoupled_weight_decay=False):
    return "AMSGrad" if amsgrad else "Adam", adam_values(lr, betas, eps, weight_decay, decoupled_weight_decay)


@torch.opt("AdamW")
def adamw(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False):
    return "AMSGrad" if amsgrad else "AdamW", adam_values(lr, betas, eps, weight_decay, True)


@torch.opt("SparseAdam")
def sparse_adam(lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    return "SparseAdam", adam_values(lr, betas, eps, 0, False)


@torch.opt("Adamax")
def adamax(lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0):
    return "AdaMax", adam_values(lr, betas, eps, weight_decay, False)


@torch.opt("NAdam")
def nadam(lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, momentum_decay=4e-3, decoupled_weight_decay=False):
    mu, nu = pair(betas, "betas")
    return "Nadam", dict(alpha=lr, mu=mu, nu=nu, eps=eps, momentum_decay=momentum_decay,
                         **decayed(weight_decay, decoupled_weight_decay))


@torch.opt("RAdam")
def radam(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, decoupled_weight_decay=False):
    return "RAdam", adam_values(lr, betas, eps, weight_decay, decoupled_weight_decay)


@torch.opt("RMSprop")
def rmsprop(lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False):
    name = "RMSpropCentered" if centered else "RMSprop"
    values = dict(eta=lr, rho=alpha, eps=eps, l2=weight_decay)
    if is_zero(momentum):
        return name, values
    return f"{name}Momentum", dict(momentum=momentum, **values)


class Adagrad(Rule, kernel="adagrad"):
    """G += g^2, from initial_accumulator_value; -lr/(1 + (t - 1) lr_decay) g/(sqrt(G) + eps)."""

    name, like = "Adagrad", "torch"
    lr = rate(1e-2)
    lr_decay = rate(0.0)
    initial_accumulator_value = rate(0.0)
    eps = epsilon(1e-10)
    slots = {"G": 0}

    @staticmethod
    def constants(h, t):
        return {"lr": h.lr / (1 + (t - 1) * h.lr_decay), "eps_inside_root": h.initial_accumulator_value, "eps": h.eps}


@torch.opt("Adagrad")
def adagrad(lr=1e-2, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10):
    """The sums do not contain initial_accumulator_value, which is added under the root."""
    if is_zero(lr_decay):
        return "AdaGrad", dict(eta=lr, eps=eps, eps_inside_root=initial_accumulator_value, l2=weight_decay)
    return Adagrad, dict(lr=lr, lr_decay=lr_decay, initial_accumulator_value=initial_accumulator_value, eps=eps,
                         l2=weight_decay)


@torch.opt("Adadelta")
def adadelta(lr=1.0, rho=0.9, eps=1e-6, weight_decay=0):
    return "AdaDelta", dict(rho=rho, eps=eps, lr=lr, l2=weight_decay)


@torch.opt("Rprop")
def rprop(lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50)):
    eta_minus, eta_plus = pair(etas, "etas")
    smallest, largest = pair(step_sizes, "step_sizes")
    return "Rprop", dict(lr=lr, eta_minus=eta_minus, eta_plus=eta_plus, min_step_size=smallest, max_step_size=largest)


@torch.opt("ASGD")
def asgd(lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0):
    """PyTorch's step has the lr of the step before, which is another one under a schedule."""
    return "ASGD", dict(lr=lr, lambd=lambd, alpha=alpha, t0=t0, l2=weight_decay)


# Activations

@torch.act("Hardsigmoid")
def hardsigmoid(inplace=False):
    return "h-sigmoid", {}


@torch.act("Hardswish")
def hardswish(inplace=False):
    return "hard-swish", {}


torch.same(activations, {
    "identity": "Identity", "sigmoid": "Sigmoid", "log-sigmoid": "LogSigmoid", "tanh": "Tanh",
    "tanh-shrink": "Tanhshrink", "softsign": "Softsign"})


@torch.act("ReLU")
def relu(inplace=False):
    return "ReLU", {}


@torch.act("ReLU6")
def relu6(inplace=False):
    return "ReLU6", {}


class SELU(LowerPieceAtZero, catalogued("SELU")):
    """f'(0) = lambda_ alpha. PyTorch's constants have 16 digits."""

    like, called = "torch", "SELU"


@torch.act("SELU")
def selu(inplace=False):
    return SELU, dict(lambda_=1.0507009873554804934193349852946, alpha=1.6732632423543772848170429916717)


@torch.act("SiLU", "Swish")
def silu(inplace=False):
    return "Swish", {}


@torch.act("Mish")
def mish(inplace=False):
    return "Mish", {}


@torch.act("Hardtanh")
def hardtanh(min_val=-1.0, max_val=1.0, inplace=False):
    """f'(min_val) = f'(max_val) = 0, where the catalogue's hard-tanh has 1."""
    return "clipped-linear", dict(low=min_val, high=max_val)


class LeakyReLU(LowerPieceAtZero, catalogued("leaky-ReLU")):
    """f'(0) = negative_slope."""

    like, called, terms = "torch", "LeakyReLU", {"negative_slope": "alpha"}


@torch.act("LeakyReLU")
def leaky_relu(negative_slope=0.01, inplace=False):
    return LeakyReLU, dict(alpha=negative_slope)


class ELU(LowerPieceAtZero, catalogued("ELU")):
    """f'(0) = alpha."""

    like, called, terms = "torch", "ELU", {"alpha": "alpha"}


@torch.act("ELU")
def elu(alpha=1.0, inplace=False):
    return ELU, dict(alpha=alpha)


@torch.act("CELU")
def celu(alpha=1.0, inplace=False):
    return "CELU", dict(alpha=alpha)


@torch.act("GELU")
def gelu(approximate="none"):
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate must be 'none' or 'tanh', not {approximate!r:.80}")
    return "GELU" if approximate == "none" else "GELU-tanh", {}


@torch.act("Softplus")
def softplus(beta=1.0, threshold=20.0):
    """Exact beyond the threshold, too, where PyTorch returns x: at 20 they differ by 2e-9."""
    if beta != 1:
        raise ValueError(f"beta must be 1, not {beta!r:.80}")
    if not threshold >= 20:
        raise ValueError(f"threshold must be at least 20, not {threshold!r:.80}: fastnn's is exact beyond it, too")
    return "softplus", {}


@torch.act("Hardshrink")
def hardshrink(lambd=0.5):
    return "hard-shrink", dict(lambda_=lambd)


@torch.act("Softshrink")
def softshrink(lambd=0.5):
    return "soft-shrink", dict(lambda_=lambd)


@torch.act("Threshold")
def threshold(threshold, value, inplace=False):
    return "threshold", dict(threshold=threshold, value=value)


@torch.act("Softmax")
def softmax(dim=-1):
    """PyTorch wants dim to be given."""
    return "softmax", dict(axis=dim)


@torch.act("Softmax2d")
def softmax_2d():
    """Over the channels of images, (N, C, H, W) or (C, H, W)."""
    return "softmax", dict(axis=-3)


@torch.act("Softmin")
def softmin(dim=-1):
    return "softmin", dict(axis=dim)


@torch.act("LogSoftmax")
def log_softmax(dim=-1):
    return "log-softmax", dict(axis=dim)


@torch.act("GLU")
def glu(dim=-1):
    return "GLU", dict(axis=dim)


@torch.act("PReLU")
def prelu(num_parameters=1, init=0.25, device=None, dtype=None):
    """Channels lie along axis 1, as in PyTorch."""
    return "PReLU", dict(channels=num_parameters, alpha=init)


@torch.act("RReLU")
def rrelu(lower=1/8, upper=1/3, inplace=False):
    """PyTorch's generator draws other slopes."""
    return "RReLU", dict(lower=lower, upper=upper)


@torch.act("gumbel_softmax")
def gumbel_softmax(tau=1, hard=False, eps=1e-10, dim=-1):
    """eps does nothing in PyTorch, either; the noise is another one."""
    return "gumbel-softmax", dict(temperature=tau, hard=hard, axis=dim)
