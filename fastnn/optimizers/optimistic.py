"""Optimistic steps, for games between losses: Daskalakis et al. 2018, arXiv 1711.00141."""
from ..hyperparameters import Hyperparameter
from .adam import corrected
from .base import Optimizer, decay, epsilon, rate


def shares(h, t):
    """What the new direction and the last one are multiplied by: in step 1 the last one is the new one."""
    back = 0 if t == 1 else h.lr * h.beta
    return {"ahead": h.lr * h.alpha + back, "back": back}


class OptimisticGradientDescent(Optimizer, name="OptimisticGradientDescent", kernel="optimistic"):
    """-lr ((alpha + beta) g - beta g_prev); g_prev is the g of the step before, g itself in step 1.

    Daskalakis et al. 2018, arXiv 1711.00141, with alpha = beta = 1; Mokhtari et al. 2019, arXiv 1901.08511, for others.
    optax's optimistic_gradient_descent.
    """

    lr = rate(1e-2)
    alpha = Hyperparameter(1.0)
    beta = Hyperparameter(1.0)
    slots = {"last": 0}
    peers = {"optax": ("optimistic_gradient_descent", dict(learning_rate=0.01))}

    @staticmethod
    def constants(h, t):
        return shares(h, t)


class OptimisticAdam(Optimizer, name="OptimisticAdam", kernel="optimistic_adam", aliases=("optimistic_adam_v2",)):
    """r = mhat/(sqrt(vhat) + eps), mhat and vhat as in Adam; -lr ((alpha + beta) r - beta r_prev), with the r of the step
    before, in step 1 r itself.

    Daskalakis et al. 2018, arXiv 1711.00141, algorithm 1. optax's optimistic_adam_v2(nesterov=False): by default it has
    Nesterov's mhat, which the paper has not. Its optimistic_adam, with lr in place of alpha and an optimism in place of
    lr beta, is going to be dropped.
    """

    lr = rate(1e-3)
    alpha = Hyperparameter(1.0)
    beta = Hyperparameter(1.0)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    eps = epsilon(1e-8)
    slots = {"m": 0, "v": 0, "last": 0}
    peers = {"optax": ("optimistic_adam_v2", dict(learning_rate=0.001, nesterov=False))}

    @staticmethod
    def constants(h, t):
        correction, root = corrected(h, t)
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "correction": correction,
                "eps": h.eps * root, **shares(h, t)}
