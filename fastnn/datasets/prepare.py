"""From stored bytes to the arrays that a network trains on."""
import numpy as np

CLASSES = 10


def prepare(images, labels, brightest, *, normalize, flatten, one_hot_label, dtype):
    """(n, rows, cols) images and (n,) labels, both uint8, in the form that the caller asked for."""
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(f"dtype must be a floating-point type, not {dtype}")
    if normalize:
        images = np.divide(images, brightest, dtype=dtype)
    images = images.reshape(len(images), -1) if flatten else images[:, np.newaxis]
    if one_hot_label:
        labels = np.eye(CLASSES, dtype=dtype)[labels]
    return images, labels
