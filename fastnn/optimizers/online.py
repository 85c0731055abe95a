"""Rules from online convex optimization."""
from ..hyperparameters import Hyperparameter
from .base import AlphaOptimizer, rate


class FTRL(AlphaOptimizer, name="FTRL", kernel="ftrl", aliases=("FTRL-Proximal",)):
    """n += g^2; rate = alpha/(beta + sqrt(initial_n + n)); p becomes the minimum over w of
    (residual + g) w + lambda1 |w| + (1/rate + lambda2)(w - p)^2/2, and is left alone where g = 0.

    McMahan et al. 2013, "Ad click prediction: a view from the trenches", algorithm 1 (FTRL-Proximal), for parameters that
    begin anywhere: its proximal terms have their centres where the parameters were, from the first on, so that without
    lambda1 it is AdaGrad with beta as eps. `residual` is z + (1/rate + lambda2) w of the paper, from which the delta
    comes without cancellation. The paper names no alpha.

    Keras and TensorFlow begin with z = 0, which throws parameters that are not 0 there at the first step, and have
    initial_n = 0.1, beta = 0, and twice their l2_regularization_strength as lambda2. A change of their learning rate
    rescales the parameters, as z has the rates of the steps before; here it does not.
    """

    alpha = rate(0.1)
    beta = Hyperparameter(1.0, at_least=0)
    lambda1 = Hyperparameter(0.0, at_least=0)
    lambda2 = Hyperparameter(0.0, at_least=0)
    initial_n = Hyperparameter(0.0, at_least=0)
    slots = {"n": 0, "residual": 0}

    @staticmethod
    def constants(h):
        return {"lr": h.alpha, "inverse_lr": 1 / h.alpha if h.alpha else 0, "beta": h.beta, "n_start": h.initial_n,
                "l1": h.lambda1, "l2_of_lr": h.alpha * h.lambda2}
