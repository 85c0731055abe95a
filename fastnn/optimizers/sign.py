"""Steps by the sign of a gradient or of its average."""
from ..hyperparameters import Hyperparameter
from .base import Optimizer, decay, rate


class SignSGD(Optimizer, name="signSGD", kernel="sign_sgd"):
    """-lr sign(g); sign(0) is 0.  Bernstein et al. 2018, arXiv 1802.04434, algorithm 1.

    optax's sign_sgd, without a default of lr.
    """

    lr = rate(1e-3)
    peers = {"optax": ("sign_sgd", dict(learning_rate=0.001))}

    @staticmethod
    def constants(h):
        return {"lr": h.lr}


class Lion(Optimizer, name="Lion", kernel="lion"):
    """-lr sign(beta1 m + (1 - beta1) g); then m += (1 - beta2)(g - m).  Chen et al. 2023, arXiv 2302.06675.

    The paper's decoupled decay is `weight_decay`, off by default as in Keras; optax has 1e-3. sign(0) is 0.
    """

    lr = rate(1e-4)
    beta1 = decay(0.9)
    beta2 = decay(0.99)
    slots = {"m": 0}
    stored = {"m": "linear"}
    peers = {"optax": ("lion", dict(learning_rate=1e-4, weight_decay=0))}

    @staticmethod
    def constants(h):
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "lr": h.lr}


class Signum(Optimizer, name="Signum", kernel="lion"):
    """m += (1 - beta)(g - m); -lr sign(m), sign(0) being 0.  Bernstein et al. 2018, arXiv 1802.04434, algorithm 2.

    optax's signum, without a default of lr; MXNet has lr = 0.01. Lion with beta1 = beta2.
    """

    lr = rate(1e-3)
    beta = decay(0.9)
    slots = {"m": 0}
    stored = {"m": "linear"}
    peers = {"optax": ("signum", dict(learning_rate=0.001))}

    @staticmethod
    def constants(h):
        return {"one_minus_beta1": 1 - h.beta, "one_minus_beta2": 1 - h.beta, "lr": h.lr}


class Tiger(Signum, name="Tiger", kernel="lion"):
    """m += (1 - beta)(g - m); -lr sign(m).  Su 2023, "Tiger: a tight-fisted optimizer" (github.com/bojone/tiger).

    Signum with another beta and decoupled decay, which is `weight_decay` here, off by default; Su's program has 0.01,
    none of it for biases and norms. It scales lr by the root mean square of each matrix, and halves that of vectors:
    groups with their own lr.
    """

    beta = decay(0.965)


class Rprop(Optimizer, name="Rprop", kernel="rprop"):
    """size *= eta_plus where g has the sign of the last g, eta_minus where the other one, from lr and clamped between
    min_step_size and max_step_size; -size sign(g), but 0 where the sign has changed, and there g counts as 0 next time.

    Riedmiller and Braun 1993, "A direct adaptive method for faster backpropagation learning", without the step back
    that it takes where a sign changes: PyTorch's Rprop, and iRprop- of Igel and Huesken 2003. For gradients of all rows:
    those of batches change sign by chance. lr is the first size of each element; later ones do not depend on it.
    optax 0.2.8 takes each step one call late.
    """

    lr = rate(1e-2)
    eta_minus = Hyperparameter(0.5, above=0, below=1)
    eta_plus = Hyperparameter(1.2, above=1)
    min_step_size = Hyperparameter(1e-6, above=0)
    max_step_size = Hyperparameter(50.0, above=0)
    slots = {"last": 0, "size": 0}
    compared_with = {"max_step_size": 0.01}         # fastnn compare has batches
    words = {"etas": ("eta_minus", "eta_plus"), "step_sizes": ("min_step_size", "max_step_size")}
    peers = {"torch": ("Rprop", dict(lr=0.01)), "optax": ("rprop", dict(learning_rate=0.01))}

    @staticmethod
    def constants(h):
        if h.min_step_size > h.max_step_size:
            raise ValueError(f"Rprop's min_step_size is {h.min_step_size}, above its max_step_size, {h.max_step_size}")
        return {"lr": h.lr, "eta_minus": h.eta_minus, "eta_plus": h.eta_plus, "smallest": h.min_step_size,
                "largest": h.max_step_size}
