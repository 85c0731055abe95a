"""Rows beside PyTorch's sparse gradients: 60 steps in float64, gradients from 1e-1 to 1e-8, rows named repeatedly.

PyTorch runs in an interpreter of its own, once. Its Adam steps the table of some rows alone.
"""
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest

from fastnn import Rows, dlfs, get_opt
from helpers import python

STEPS = 60
CLOSE = 1e-12               # of the table's largest element
SHAPE = (30, 6)
SCALES = [1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8]
DENSE = [4, 7, 11, 29]      # the rows that Adam's dense step has
CASES = {
    "SGD": (lambda torch, p: torch.optim.SGD([p], lr=0.1), lambda: get_opt("SGD", lr=0.1)),
    "SGD, maximize": (lambda torch, p: torch.optim.SGD([p], lr=0.1, maximize=True),
                      lambda: get_opt("SGD", lr=0.1, maximize=True)),
    "Adagrad": (lambda torch, p: torch.optim.Adagrad([p], lr=0.01), lambda: get_opt("AdaGrad", lr=0.01)),
    "SparseAdam": (lambda torch, p: torch.optim.SparseAdam([p], lr=0.01), lambda: get_opt("SparseAdam", lr=0.01)),
    "SparseAdam, betas": (lambda torch, p: torch.optim.SparseAdam([p], lr=0.01, betas=(0.7, 0.95), eps=1e-6),
                          lambda: get_opt("SparseAdam", lr=0.01, betas=(0.7, 0.95), eps=1e-6)),
    "SparseAdam of the book": (lambda torch, p: torch.optim.SparseAdam([p], lr=0.01),
                               lambda: dlfs.Adam(lr=0.01, eps=1e-8)),
    "SparseAdam by eps": (lambda torch, p: torch.optim.SparseAdam([p], lr=0.01),
                          lambda: get_opt("Adam", lr=0.01, eps=lambda t: 1e-8 / np.sqrt(1 - 0.999**t))),
    "Adam": (lambda torch, p: torch.optim.Adam([p], lr=0.01), lambda: get_opt("Adam", lr=0.01)),
}


def start():
    """From zeros: no digit of a small step is lost."""
    return np.zeros(SHAPE)


def rows_at(name, t, scale):
    """(indices, values) of a step; no gradient depends on the table."""
    rng = np.random.default_rng((t, 5))
    indices = rng.permutation(DENSE + DENSE[:2]) if name == "Adam" else rng.integers(0, SHAPE[0], t % 13)
    return indices, scale * (0.1 + np.sin(t)**2) * rng.standard_normal((len(indices), SHAPE[1]))


def walk_torch(name, scale):
    import torch
    table = start()
    p = torch.tensor(table[DENSE] if name == "Adam" else table, requires_grad=True)
    opt, path = CASES[name][0](torch, p), []
    for t in range(1, STEPS + 1):
        indices, values = rows_at(name, t, scale)
        if name == "Adam":
            indices = np.searchsorted(DENSE, indices)
        p.grad = torch.sparse_coo_tensor(indices[None], torch.tensor(values), p.shape, dtype=torch.float64)
        if name == "Adam":
            p.grad = p.grad.to_dense()
        opt.step()
        path.append(p.detach().numpy().copy())
    return np.array(path)


def walk_all(file):
    np.savez(file, **{f"{name} {scale}": walk_torch(name, scale) for name in CASES for scale in SCALES})


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    @cache
    def found():
        if find_spec("torch") is None:
            pytest.skip("no torch")
        file = tmp_path_factory.mktemp("sparse")/"torch.npz"
        done = python("import warnings; warnings.resetwarnings(); from test_sparse_of_peers import walk_all; "
                      "import sys; walk_all(*sys.argv[1:])", file)
        assert done.returncode == 0, done.stderr
        return dict(np.load(file))
    return found


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", CASES)
def test_torch(name, scale, paths, record_property):
    found = paths()[f"{name} {scale}"]
    W, opt, worst = start(), CASES[name][1](), 0
    for t in range(1, STEPS + 1):
        opt.step({"W": W}, {"W": Rows(*rows_at(name, t, scale))})
        worst = max(worst, abs((W[DENSE] if name == "Adam" else W) - found[t - 1]).max())
    record_property("difference", worst / abs(found).max())
    assert worst <= CLOSE * abs(found).max()
