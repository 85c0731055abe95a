"""Networks in the manner of "Deep Learning from Scratch" over fastnn's activations and losses."""
from .finite import clip_grad_norm
from .gradient_check import numerical_gradient
from .layers import Activation, Affine, BatchNormalization, Dropout, SoftmaxWithLoss
from .minimize import minimize
from .network import MultiLayerNet
from .trainer import Trainer

__all__ = ["Activation", "Affine", "BatchNormalization", "Dropout", "MultiLayerNet", "SoftmaxWithLoss",
           "Trainer", "clip_grad_norm", "minimize", "numerical_gradient"]
