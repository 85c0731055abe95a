"""Momenta of other libraries and papers: several averages, or parts of one, beside those of sgd.py."""
from ..hyperparameters import Hyperparameter
from .base import Optimizer, decay, rate
from .sgd import SGD


class SGDMomentum(SGD, name="SGDMomentum", kernel="sgd_momentum", aliases=("SGDM",)):
    """buf = momentum buf + (1 - dampening) g, in step 1 undamped; -eta buf.  get_opt("SGD", momentum=0.9).

    PyTorch's SGD(momentum=) and optax's sgd, which has no dampening. Momentum has eta inside of buf, as Keras and
    scikit-learn have it: the two part where eta changes.
    """

    momentum = decay(0.9)
    dampening = Hyperparameter(0.0)
    slots = {"buf": 0}
    stored = {"buf": "linear"}
    peers = {"torch": ("SGD", dict(lr=0.01, momentum=0.9)), "optax": ("sgd", dict(learning_rate=0.01, momentum=0.9))}

    @staticmethod
    def constants(h, t):
        return {"momentum": h.momentum, "gain": 1 if t == 1 else 1 - h.dampening, "lr": h.eta}


class SGDNesterov(SGD, name="SGDNesterov", kernel="sgd_nesterov"):
    """buf = momentum buf + g; -eta (g + momentum buf).  get_opt("SGD", momentum=0.9, nesterov=True).

    PyTorch's SGD(nesterov=True) and optax's sgd. Nesterov has eta inside of buf, as Keras has it: the two part where
    eta changes.
    """

    momentum = decay(0.9)
    slots = {"buf": 0}
    stored = {"buf": "linear"}
    peers = {"torch": ("SGD", dict(lr=0.01, momentum=0.9, nesterov=True)),
             "optax": ("sgd", dict(learning_rate=0.01, momentum=0.9, nesterov=True))}

    @staticmethod
    def constants(h):
        return {"momentum": h.momentum, "lr": h.eta}


class QHM(Optimizer, name="QHM", kernel="qhm"):
    """m += (1 - beta)(g - m); -lr ((1 - nu) g + nu m).  Ma and Yarats 2019, arXiv 1810.06801, their nu and beta.

    An lr of momentum without (1 - beta) is this one times 1 - beta: Momentum's 0.01 with beta = 0.9 is 0.1 here. The
    authors' qhoptim has no default of lr and calls beta momentum. nu = 0 is SGD, nu = 1 MSGD, nu = beta Nesterov.
    """

    lr = rate(1e-1)
    beta = decay(0.999)
    nu = Hyperparameter(0.7)
    slots = {"m": 0}
    stored = {"m": "linear"}

    @staticmethod
    def constants(h):
        return {"one_minus_beta": 1 - h.beta, "g_factor": h.lr * (1 - h.nu), "m_factor": h.lr * h.nu}


class AggMo(Optimizer, name="AggMo", kernel="aggmo"):
    """v_i = beta_i v_i + g for three beta_i; -lr (v_1 + v_2 + v_3)/3.  Lucas et al. 2019, arXiv 1804.00325.

    The authors' program takes any number of betas, these three by default, and no default of lr.
    """

    lr = rate(1e-2)
    beta1 = Hyperparameter(0.0, above=-1, below=1)
    beta2 = Hyperparameter(0.9, above=-1, below=1)
    beta3 = Hyperparameter(0.99, above=-1, below=1)
    slots = {"v1": 0, "v2": 0, "v3": 0}
    stored = {"v1": "linear", "v2": "linear", "v3": "linear"}
    words = {"betas": ("beta1", "beta2", "beta3")}

    @staticmethod
    def constants(h):
        return {"beta1": h.beta1, "beta2": h.beta2, "beta3": h.beta3, "lr_share": h.lr / 3}
