"""The losses that torch.nn has no class of, in PyTorch's operations: of each element or row, with the catalogue's defaults."""
import torch
import torch.nn.functional as F

__all__ = ["LOSSES"]


def sigmoid_focal(x, t):
    """torchvision.ops.sigmoid_focal_loss."""
    p = torch.sigmoid(x)
    wrong = p + t - 2 * p * t
    return (0.25 * t + 0.75 * (1 - t)) * wrong * wrong * F.binary_cross_entropy_with_logits(x, t, reduction="none")


def softmax_focal(x, labels):
    log_p = F.log_softmax(x, -1).gather(-1, labels[:, None])[:, 0]
    return -((1 - log_p.exp()) ** 2) * log_p


def sparsemax(x, labels):
    """By sorting, as in the paper."""
    ranked = x.sort(-1, descending=True).values
    sums, k = ranked.cumsum(-1), torch.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    count = (1 + k * ranked > sums).sum(-1, keepdim=True)
    tau = (sums.gather(-1, count - 1) - 1) / count
    return (torch.where(x > tau, x * x - tau * tau, 0).sum(-1) + 1) / 2 - x.gather(-1, labels[:, None])[:, 0]


def categorical_hinge(x, labels):
    t = F.one_hot(labels, x.shape[-1]).to(x.dtype)
    return (1 + ((1 - t) * x).amax(-1) - (t * x).sum(-1)).clamp(min=0)


def tversky(x, t):
    inner = (x * t).sum(-1)
    return 1 - (inner + 1e-7) / (inner + 0.5 * ((1 - t) * x).sum(-1) + 0.5 * (t * (1 - x)).sum(-1) + 1e-7)


def jensen_shannon(y, t):
    m = (y + t) / 2
    return (torch.xlogy(t, t) - torch.xlogy(t, m) + torch.xlogy(y, y) - torch.xlogy(y, m)) / 2


def quantile(y, t):
    return torch.maximum(0.5 * (t - y), 0.5 * (y - t))


LOSSES = {
    "Square": lambda y, t: 0.5 * torch.square(y - t), "log-cosh": lambda y, t: torch.log(torch.cosh(y - t)),
    "quantile": quantile, "epsilon-insensitive": lambda y, t: (abs(y - t) - 0.1).clamp(min=0),
    "squared-epsilon-insensitive": lambda y, t: torch.square((abs(y - t) - 0.1).clamp(min=0)),
    "MAPE": lambda y, t: 100 * abs(y - t) / abs(t).clamp(min=1e-7),
    "MSLE": lambda y, t: torch.square(torch.log1p(y) - torch.log1p(t)),
    "contrastive": lambda y, t: t * y * y + (1 - t) * torch.square((1 - y).clamp(min=0)),
    "Cross": lambda y, t: -t * torch.log(y), "Jensen-Shannon": jensen_shannon, "sigmoid-focal": sigmoid_focal,
    "hinge": lambda y, t: (1 - (2 * t - 1) * y).clamp(min=0),
    "squared-hinge": lambda y, t: torch.square((1 - (2 * t - 1) * y).clamp(min=0)), "softmax-focal": softmax_focal,
    "sparsemax-loss": sparsemax, "categorical-hinge": categorical_hinge,
    "cosine": lambda x, t: 1 - F.cosine_similarity(x, t, dim=-1), "Tversky": tversky,
    "dice": lambda x, t: 1 - (2 * (x * t).sum(-1) + 1e-7) / (x.sum(-1) + t.sum(-1) + 1e-7),
    "Laplace-NLL": lambda y, t, scale: torch.log(scale) + abs(y - t) / scale,
    "InfoNCE": lambda queries, keys: F.cross_entropy(queries @ keys.T, torch.arange(len(queries)), reduction="none"),
}
