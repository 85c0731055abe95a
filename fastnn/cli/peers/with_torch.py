"""PyTorch's side, eager.

Forward runs under no_grad. Backward is the operator that autograd would call, without autograd around it, with what
the forward pass keeps for it; where the activation is a chain of operators, it is autograd over a graph that is kept.
Optimizers are the fused ones, else "foreach".
"""
from functools import partial
from inspect import signature

import torch
import torch.nn.functional as F

from fastnn.cli.catalog import CATALOGUES

from .library import ARGUMENTS, WIDTHS, Call, Side, beginnings, forms, gradients_of, pade
from .torch_losses import LOSSES

__all__ = ["Library"]

aten = torch.ops.aten
LOG_2 = 0.6931471805599453
P1, P2, BETA = 1.0, 0.0, 1.0             # of ACON-C



def gated(function, x):
    a, b = x.chunk(2, dim=-1)
    return a * function(b)


def ranked(x):
    """Each row's elements from the largest to the smallest, and how many they are up to each."""
    return x.sort(-1, descending=True).values, torch.arange(1, x.shape[-1] + 1, dtype=x.dtype)


def sparsemax(x):
    z, k = ranked(x)
    totals = z.cumsum(-1)
    count = (1 + k * z > totals).sum(-1, keepdim=True)
    return (x - (totals.gather(-1, count - 1) - 1) / count).clamp(min=0)


def entmax(x):
    z, k = ranked(x / 2)
    mean = z.cumsum(-1) / k
    left = 1 - ((z * z).cumsum(-1) - k * mean * mean)
    count = (mean - (left / k).clamp(min=0).sqrt() <= z).sum(-1, keepdim=True)
    tau = mean.gather(-1, count - 1) - (left.gather(-1, count - 1) / count).sqrt()
    return torch.square((x / 2 - tau).clamp(min=0))


def prelu_backward(g, x, weight):
    dx, dweight = aten._prelu_kernel_backward.default(g, x, weight)
    return dx, dweight.sum()


FORWARD = {
    "step": lambda x: (x > 0).to(x.dtype), "identity": torch.clone,
    "bent-identity": lambda x: 0.5 * (torch.sqrt(x * x + 1) - 1) + x, "hard-shrink": F.hardshrink,
    "soft-shrink": F.softshrink, "threshold": lambda x: F.threshold(x, *ARGUMENTS["threshold"]),
    "sigmoid": torch.sigmoid, "hard-sigmoid": F.hardsigmoid, "log-sigmoid": F.logsigmoid, "tanh": torch.tanh,
    "tanh-shrink": F.tanhshrink, "hard-tanh": F.hardtanh, "ReLU": torch.relu, "ReLU6": F.relu6,
    "leaky-ReLU": F.leaky_relu, "ELU": F.elu, "SELU": F.selu, "CELU": F.celu, "softplus": F.softplus,
    "softsign": F.softsign, "Swish": F.silu, "Mish": F.mish, "tanhExp": lambda x: x * torch.tanh(torch.exp(x)),
    "h-sigmoid": F.hardsigmoid, "sparse-sigmoid": lambda x: torch.clamp(x * 0.5 + 0.5, 0, 1), "ReLU-k": F.relu6,
    "clipped-linear": F.hardtanh, "squared-ReLU": lambda x: torch.square(torch.relu(x)),
    "StarReLU": lambda x: 0.8944 * torch.square(torch.relu(x)) - 0.4472,
    "sparse-plus": lambda x: torch.where(x >= 1, x, 0.25 * torch.square(torch.relu(x + 1))),
    "squareplus": lambda x: 0.5 * (x + torch.sqrt(x * x + 4)), "ISRU": lambda x: x * torch.rsqrt(1 + x * x),
    "ISRLU": lambda x: torch.where(x >= 0, x, x * torch.rsqrt(1 + x * x)), "exponential": torch.exp,
    "quick-GELU": lambda x: x * torch.sigmoid(1.702 * x), "hard-swish": F.hardswish,
    "Dish": lambda x: 0.5 * x * (1 + x * torch.rsqrt(1 + x * x)),
    "log-cosh": lambda x: torch.logaddexp(x, -x) - LOG_2, "arctan": torch.arctan, "erf": torch.erf,
    "GELU-tanh": lambda x: F.gelu(x, approximate="tanh"),
    "ACON-C": lambda x: (P1 - P2) * x * torch.sigmoid(BETA * (P1 - P2) * x) + P2 * x,
    "PAU": pade, "sinusoid": torch.sin, "snake": lambda x: x + torch.square(torch.sin(x)),
    "GLU": F.glu, "ReGLU": lambda x: gated(F.relu, x), "GEGLU": lambda x: gated(F.gelu, x),
    "SwiGLU": lambda x: gated(F.silu, x), "bilinear": lambda x: gated(lambda b: b, x),
    "CReLU": lambda x: torch.cat([torch.relu(x), torch.relu(-x)]),
    "PReLU": lambda x: F.prelu(x, torch.full((1,), 0.25, dtype=x.dtype)), "RReLU": lambda x: F.rrelu(x, training=True),
    "GELU": F.gelu, "softmax": lambda x: torch.softmax(x, -1), "softmin": lambda x: F.softmin(x, -1),
    "log-softmax": lambda x: torch.log_softmax(x, -1), "sparsemax": sparsemax, "entmax-1.5": entmax,
}


FORMS = forms(torch.sigmoid, torch.expm1, torch.where)


def parameters(name, dtype):
    return [torch.tensor(number, dtype=dtype) for number in beginnings(name).values()]


def optimizer(called, params, arguments):
    """In its fastest form."""
    rule = getattr(torch.optim, called)
    forms = [form for form in ("fused", "foreach") if form in signature(rule).parameters]
    return rule(params, **{**dict.fromkeys(forms[:1], True), **arguments})


def softmin_backward(g, y):
    return torch.neg(aten._softmax_backward_data.default(g, y, -1, y.dtype))


# x and the gradient -> the operator and its arguments, among them what the forward pass has kept
SELU = 1.6732632423543772, 1.0507009873554805
BACKWARD = {
    "identity": lambda x, g: (torch.clone, g),
    "hard-shrink": lambda x, g: (aten.hardshrink_backward.default, g, x, 0.5),
    "soft-shrink": lambda x, g: (aten.softshrink_backward.default, g, x, 0.5),
    "threshold": lambda x, g: (aten.threshold_backward.default, g, x, ARGUMENTS["threshold"][0]),
    "sigmoid": lambda x, g: (aten.sigmoid_backward.default, g, torch.sigmoid(x)),
    "hard-sigmoid": lambda x, g: (aten.hardsigmoid_backward.default, g, x),
    "log-sigmoid": lambda x, g: (aten.log_sigmoid_backward.default, g, x, aten.log_sigmoid_forward(x)[1]),
    "tanh": lambda x, g: (aten.tanh_backward.default, g, torch.tanh(x)),
    "hard-tanh": lambda x, g: (aten.hardtanh_backward.default, g, x, -1, 1),
    "ReLU": lambda x, g: (aten.threshold_backward.default, g, torch.relu(x), 0),
    "ReLU6": lambda x, g: (aten.hardtanh_backward.default, g, x, 0, 6),
    "h-sigmoid": lambda x, g: (aten.hardsigmoid_backward.default, g, x),
    "ReLU-k": lambda x, g: (aten.hardtanh_backward.default, g, x, 0, 6),
    "clipped-linear": lambda x, g: (aten.hardtanh_backward.default, g, x, -1, 1),
    "exponential": lambda x, g: (torch.mul, g, torch.exp(x)),
    "hard-swish": lambda x, g: (aten.hardswish_backward.default, g, x),
    "leaky-ReLU": lambda x, g: (aten.leaky_relu_backward.default, g, x, 0.01, False),
    "ELU": lambda x, g: (aten.elu_backward.default, g, 1, 1, 1, False, x),
    "SELU": lambda x, g: (aten.elu_backward.default, g, *SELU, 1, False, x),
    "CELU": lambda x, g: (aten.elu_backward.default, g, 1, 1, 1, False, x),
    "softplus": lambda x, g: (aten.softplus_backward.default, g, x, 1, 20),
    "Swish": lambda x, g: (aten.silu_backward.default, g, x),
    "Mish": lambda x, g: (aten.mish_backward.default, g, x),
    "GELU": lambda x, g: (aten.gelu_backward.default, g, x),
    "GELU-tanh": lambda x, g: (partial(aten.gelu_backward.default, approximate="tanh"), g, x),
    "GLU": lambda x, g: (aten.glu_backward.default, g, x, -1),
    "PReLU": lambda x, g: (prelu_backward, g, x, torch.full((1,), 0.25, dtype=x.dtype)),
    "RReLU": lambda x, g: (aten.rrelu_with_noise_backward.default, g, x, torch.where(x > 0, 1, 0.25).to(x.dtype), 1 / 8,
                           1 / 3, True, False),
    "softmax": lambda x, g: (aten._softmax_backward_data.default, g, torch.softmax(x, -1), -1, x.dtype),
    "softmin": lambda x, g: (softmin_backward, g, F.softmin(x, -1)),
    "log-softmax": lambda x, g: (aten._log_softmax_backward_data.default, g, torch.log_softmax(x, -1), -1,
                                 x.dtype),
}
OF_MATRICES = ("Muon",)         # its users step all that is no matrix with AdamW
OF_SPARSE = ("SparseAdam",)     # takes no other gradients: they have every element


class Library(Side):
    version = torch.__version__

    def __init__(self, threads):
        torch.set_num_threads(threads)

    def forward(self, name, x):
        if name in FORMS:
            x = torch.from_numpy(x)
            return Call(partial(FORMS[name], x, *parameters(name, x.dtype)), torch.no_grad)
        return Call(partial(FORWARD[name], torch.from_numpy(x)), torch.no_grad) if name in FORWARD else None

    def backward(self, name, x, grad):
        x, grad = torch.from_numpy(x), torch.from_numpy(grad)
        if name in FORMS:
            given = [each.requires_grad_() for each in (x.clone(), *parameters(name, x.dtype))]
            return Call(partial(torch.autograd.grad, FORMS[name](*given), given, grad, retain_graph=True))
        if name in BACKWARD:
            return Call(partial(*BACKWARD[name](x, grad)), torch.no_grad)
        if name in FORWARD and name != "step":              # a chain of operators; a step has no gradient
            x = x.clone().requires_grad_()
            return Call(partial(torch.autograd.grad, FORWARD[name](x), x, grad, retain_graph=True))
        return None

    def step(self, name, params, grads):
        peers = CATALOGUES["optimizers"][name].peers
        if "torch" not in peers:
            return None
        called, arguments = peers["torch"]
        params = [torch.nn.Parameter(torch.tensor(p)) for p in params]
        for p, grad in zip(params, grads):
            p.grad = torch.tensor(grad)
            if called in OF_SPARSE:
                p.grad = p.grad.to_sparse(1).coalesce()
        others = [p for p in params if p.ndim != 2] if called in OF_MATRICES else []
        if not others:
            return Call(optimizer(called, params, arguments).step)
        steps = [optimizer("AdamW", others, {}).step]
        if len(others) < len(params):
            steps.append(optimizer(called, [p for p in params if p.ndim == 2], arguments).step)
        return Call(lambda: [step() for step in steps])

    def loss(self, name, arrays):
        """Autograd over the loss of torch.nn, else over its operations."""
        row = CATALOGUES["losses"][name]
        tensors = [torch.from_numpy(array) for array in arrays]
        wanted = [tensor.requires_grad_() for of, tensor in zip(row.inputs, tensors) if of in gradients_of(row)]
        if "torch" in row.peers:
            called, arguments = row.peers["torch"]
            function = getattr(torch.nn, called)(**arguments)
        elif name in LOSSES:
            def function(*given):
                return LOSSES[name](*given).mean()
        else:
            return None

        def run():
            for tensor in wanted:
                tensor.grad = None
            value = function(*tensors)
            value.backward()
            return value.detach(), tuple(tensor.grad for tensor in wanted)
        return Call(run)

    def train(self, task):
        x, labels = torch.from_numpy(task.x), torch.from_numpy(task.labels)
        layers = []
        for n, m in zip(WIDTHS, WIDTHS[1:]):
            layers += [torch.nn.Linear(n, m, dtype=x.dtype), torch.nn.ReLU()]
        net, loss = torch.nn.Sequential(*layers[:-1]), torch.nn.CrossEntropyLoss()
        opt = torch.optim.Adam(net.parameters(), fused=True)

        def run():
            opt.zero_grad()
            loss(net(x), labels).backward()
            opt.step()
        return Call(run)
