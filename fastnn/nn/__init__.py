"""Networks in the manner of "Deep Learning from Scratch" over fastnn's activations and losses."""
from .gradient_check import numerical_gradient
from .layers import Activation, Affine, BatchNormalization, Dropout, SoftmaxWithLoss
from .network import MultiLayerNet
from .trainer import Trainer

__all__ = ["Activation", "Affine", "BatchNormalization", "Dropout", "MultiLayerNet", "SoftmaxWithLoss",
           "Trainer", "numerical_gradient"]
