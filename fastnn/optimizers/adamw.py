"""Rules of Adam's family by the names that they have with decoupled weight decay."""
from ..hyperparameters import Option
from ..options import Adjustable
from .adam import Adam, AdaMax, Nadam


def decoupled(default):
    """The option weight_decay with another default."""
    return Option(default, Adjustable.weight_decay.__doc__, at_least=0)


class AdamW(Adam, name="AdamW", kernel="adam"):
    """-alpha mhat/(sqrt(vhat) + eps) - alpha weight_decay p, mhat and vhat as in Adam.

    Loshchilov and Hutter 2019, arXiv 1711.05101, with a decay in units of alpha, as PyTorch has it; the paper's is in
    units of the schedule alone. weight_decay is 0.01 in PyTorch, 1e-4 in optax and 0.004 in Keras.
    """

    weight_decay = decoupled(1e-2)
    peers = {"torch": ("AdamW", dict(lr=0.001)), "optax": ("adamw", dict(learning_rate=0.001, weight_decay=0.01))}


class AdaMaxW(AdaMax, name="AdaMaxW", kernel="adamax"):
    """AdaMax with decoupled weight decay: -alpha/(1 - beta1^t) m/u - alpha weight_decay p.

    optax's adamaxw, which has no paper of its own; after Loshchilov and Hutter 2019, arXiv 1711.05101.
    """

    weight_decay = decoupled(1e-4)
    peers = {"optax": ("adamaxw", dict(learning_rate=0.002))}


class NAdamW(Nadam, name="NAdamW", kernel="nadam"):
    """Nadam with decoupled weight decay: its delta - alpha weight_decay p.

    PyTorch's NAdam(decoupled_weight_decay=True), with AdamW's decay as the default where PyTorch has 0. optax's nadamw
    has 1e-4, and no schedule of mu.
    """

    weight_decay = decoupled(1e-2)
    peers = {"torch": ("NAdam", dict(lr=0.002, weight_decay=0.01, decoupled_weight_decay=True)),
             "optax": ("nadamw", dict(learning_rate=0.002, weight_decay=0.01))}
