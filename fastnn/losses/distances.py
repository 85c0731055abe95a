"""Losses of the difference between a prediction and a target."""
from .base import Elementwise


class Square(Elementwise, name="Square", kernel="square_error"):
    """(y - t)^2 / 2."""

    also_known = dict.fromkeys(("mse", "mean squared error", "MSELoss", "squared error"),
                               'get_err("mse", like="torch"), of which Square is half')
