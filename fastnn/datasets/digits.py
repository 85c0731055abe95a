"""The digits that come with fastnn; see ATTRIBUTION.md beside this file."""
from importlib.resources import files
from typing import Any

import numpy as np

from .prepare import CLASSES, prepare

BRIGHTEST = 16


def load_digits(normalize: bool = True, flatten: bool = True, one_hot_label: bool = False,
                dtype: Any = np.float32):
    """1,797 real handwritten digits of 8 x 8 pixels: 1,442 to train on, 355 to test.

    Of each digit, every fifth image is in the test set, so each writer's hand is in both parts.

    Parameters
    ----------
    normalize : bool
        Scale the pixels from 0..16 to 0..1. False leaves them as they are stored, uint8.
    flatten : bool
        Images as rows of 64 numbers; False gives (n, 1, 8, 8).
    one_hot_label : bool
        Labels as rows (n, 10) of `dtype` with a single one; False gives (n,) uint8.
    dtype : floating-point dtype

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : new arrays

    Raises
    ------
    TypeError
        `dtype` is not a floating-point type.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits,
    doi:10.24432/C50P49, CC BY 4.0.
    """
    with (files(__package__) / "digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
        images, labels = stored["images"], stored["labels"]
    form = {"normalize": normalize, "flatten": flatten, "one_hot_label": one_hot_label, "dtype": dtype}
    test = _every_fifth_of_each_class(labels)
    return tuple(prepare(images[part], labels[part], BRIGHTEST, **form) for part in (~test, test))


def _every_fifth_of_each_class(labels):
    # Every fifth of the whole file would not do: its digits follow a repeating form, and would give 52 threes
    # but 27 zeros.
    chosen = np.zeros(len(labels), bool)
    for digit in range(CLASSES):
        chosen[np.flatnonzero(labels == digit)[4::5]] = True
    return chosen
