"""Networks in the manner of "Deep Learning from Scratch" over fastnn's activations and losses."""
from . import initializers, metrics
from .callbacks import Callback
from .early_stopping import EarlyStopping
from .embedding import Embedding
from .finite import clip_grad_norm
from .gradient_check import numerical_gradient
from .layers import Activation, Affine, BatchNormalization, Dropout, SoftmaxWithLoss
from .lr_range import lr_range_test
from .minimize import minimize
from .network import MultiLayerNet
from .objectives import Objective
from .progress import ProgressBar
from .row_norms import LayerNorm, RMSNorm
from .trainer import Trainer

__all__ = ["Activation", "Affine", "BatchNormalization", "Callback", "Dropout", "EarlyStopping", "Embedding", "LayerNorm",
           "MultiLayerNet", "Objective", "ProgressBar", "RMSNorm", "SoftmaxWithLoss", "Trainer", "clip_grad_norm",
           "initializers", "lr_range_test", "metrics", "minimize", "numerical_gradient"]
