"""scikit-learn's side: training only. A step is `partial_fit` of its classifier on one batch."""
from functools import partial

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier

from .library import WIDTHS, Call, Side

__all__ = ["Library"]


class Library(Side):
    version = sklearn.__version__

    def __init__(self, threads):
        pass        # its products are NumPy's

    def train(self, task):
        net = MLPClassifier(hidden_layer_sizes=WIDTHS[1:-1], activation="relu", solver="adam", alpha=0,
                            batch_size=len(task.x), shuffle=False, random_state=0)
        net.partial_fit(task.x, task.labels, classes=np.arange(WIDTHS[-1]))
        return Call(partial(net.partial_fit, task.x, task.labels))
