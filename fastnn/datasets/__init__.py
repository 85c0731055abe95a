"""Handwritten digits: a small set inside the package, and MNIST-style files from a folder."""
from .digits import load_digits
from .mnist import load_mnist

__all__ = ["load_digits", "load_mnist"]
