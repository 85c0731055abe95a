"""MNIST and its kin (Fashion-MNIST, KMNIST, ...) from IDX files in a folder."""
import os
from pathlib import Path
from typing import Any

import numpy as np

from .idx import read_idx
from .prepare import CLASSES, prepare

BRIGHTEST = 255


def load_mnist(folder: str | os.PathLike[str], normalize: bool = True, flatten: bool = True,
               one_hot_label: bool = False, dtype: Any = np.float32):
    """Images and labels of ten classes from four IDX files, each plain or gzipped (.gz):
    `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`,
    or the same with `.idx` for `-idx`.

    Parameters
    ----------
    folder : str or path
    normalize : bool
        Scale the pixels from 0..255 to 0..1. False leaves them as they are stored, uint8.
    flatten : bool
        Images as rows of numbers; False gives (n, 1, rows, cols).
    one_hot_label : bool
        Labels as rows (n, 10) of `dtype` with a single one; False gives (n,) uint8.
    dtype : floating-point dtype

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : new arrays
        The numbers of images and their size are those of the files.

    Raises
    ------
    FileNotFoundError
        A file is missing; the message names it.
    ValueError
        A file is damaged, holds something else, or does not match its companion; the message names it.
    TypeError
        `dtype` is not a floating-point type.
    """
    folder = Path(folder)
    form = {"normalize": normalize, "flatten": flatten, "one_hot_label": one_hot_label, "dtype": dtype}
    train, test = (_read_part(folder, part) for part in ("train", "t10k"))
    if train[0].shape[1:] != test[0].shape[1:]:
        raise ValueError(f"{folder}: training images of {_size(train[0])}, test images of {_size(test[0])}")
    return tuple(prepare(*part, BRIGHTEST, **form) for part in (train, test))


def _read_part(folder, part):
    images_path = _find(folder, f"{part}-images", 3)
    labels_path = _find(folder, f"{part}-labels", 1)
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise ValueError(f"{labels_path}: {len(labels)} labels for the {len(images)} of {images_path.name}")
    if labels.max() >= CLASSES:
        raise ValueError(f"{labels_path}: label {labels.max()} is out of range, expected 0 to {CLASSES - 1}")
    return images, labels


def _find(folder, stem, ndim):
    for name in (f"{stem}-idx{ndim}-ubyte", f"{stem}.idx{ndim}-ubyte"):
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    raise FileNotFoundError(f"{folder / f'{stem}-idx{ndim}-ubyte'}: no such file, plain or .gz")


def _size(images):
    return "{} x {}".format(*images.shape[1:])
