"""Networks in the manner of "Deep Learning from Scratch" over fastnn's activations and losses."""
from . import initializers
from .embedding import Embedding
from .finite import clip_grad_norm
from .gradient_check import numerical_gradient
from .layers import Activation, Affine, BatchNormalization, Dropout, SoftmaxWithLoss
from .minimize import minimize
from .network import MultiLayerNet
from .row_norms import LayerNorm, RMSNorm
from .trainer import Trainer

__all__ = ["Activation", "Affine", "BatchNormalization", "Dropout", "Embedding", "LayerNorm", "MultiLayerNet", "RMSNorm",
           "SoftmaxWithLoss", "Trainer", "clip_grad_norm", "initializers", "minimize", "numerical_gradient"]
