"""Five activations and an optimizer that fastnn's catalogue lacks, each written down as in its paper.

    fastnn plot --import examples/gallery.py GCU Serf SmeLU ELiSH Logish
    fastnn compare --import examples/gallery.py --optimizers Adam,diffGrad

train_gallery.py trains a network with each of them.
"""
import math

from fastnn import register_act, register_opt

ACTIVATIONS = ["GCU", "Serf", "SmeLU", "ELiSH", "Logish"]
OPTIMIZERS = ["diffGrad"]


# Noel et al. 2021, "Growing Cosine Unit: A Novel Oscillatory Activation Function That Can Speedup Training and Reduce
# Parameters in Convolutional Neural Networks", arXiv 2108.12943.
@register_act("GCU")
def gcu(x):
    """x cos(x)."""
    return x*math.cos(x)


# Nag and Bhattacharyya 2021, "SERF: Towards better training of deep neural networks using log-Softplus ERror activation
# Function", arXiv 2108.09598.
@register_act("Serf")
def serf(x):
    """x erf(log(1 + exp(x)))."""
    return x*math.erf(math.log1p(math.exp(x)))


# Shamir and Lin 2022, "Real World Large Scale Recommendation Systems Reproducibility and Smooth Activations",
# arXiv 2202.06499: a parabola joins the two lines of ReLU.
@register_act("SmeLU", beta=1.0)
def smelu(x, beta):
    """0 below -beta, x above beta, (x + beta)^2/(4 beta) between."""
    if x <= -beta:
        return 0.0
    if x < beta:
        return (x + beta)**2/(4*beta)
    return x


# A derivative may be given, where one is known that is shorter; fastnn checks it.
@smelu.derivative
def _(x, beta):
    return min(max((x + beta)/(2*beta), 0.0), 1.0)


# Basirat and Roth 2018, "The Quest for the Golden Activation Function", arXiv 1808.00783.
@register_act("ELiSH")
def elish(x):
    """x sigmoid(x), below 0 (exp(x) - 1) sigmoid(x)."""
    return (x if x >= 0 else math.expm1(x))/(1 + math.exp(-x))


# Zhu et al. 2021, "Logish: A new nonlinear nonmonotonic activation function for convolutional neural network",
# Neurocomputing 458.
@register_act("Logish")
def logish(x):
    """x log(1 + sigmoid(x))."""
    return x*math.log1p(1/(1 + math.exp(-x)))


# Dubey et al. 2019, "diffGrad: An Optimization Method for Convolutional Neural Networks", arXiv 1909.11015.
@register_opt("diffGrad", state=("m", "v", "before"), lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8)
def diffgrad(g, m, v, before, h):
    """Adam, slowed down to half where the gradient does not change."""
    m += (1 - h.beta1)*(g - m)
    v += (1 - h.beta2)*(g*g - v)
    friction = 1/(1 + math.exp(-abs(before - g)))
    step = h.lr/(1 - h.beta1**h.t)
    return -step*friction*m/(math.sqrt(v/(1 - h.beta2**h.t)) + h.eps), m, v, g
