"""Losses against PyTorch's, value and gradient, where it is installed; other libraries' by their formulas in the docs."""
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastnn import get_err

torch = pytest.importorskip("torch")
F = torch.nn.functional

RNG = np.random.default_rng(3)
SHAPE = (40, 7)
SCORES, OTHERS = RNG.normal(size=(2, *SHAPE))*3
SHARES, GIVEN = RNG.dirichlet(np.ones(7), (2, 40))
BITS, COUNTS = RNG.integers(2, size=SHAPE).astype(float), RNG.poisson(2, SHAPE).astype(float)
LABELS, IGNORING = RNG.integers(7, size=40), RNG.integers(7, size=40)
IGNORING[::3] = -100
WEIGHTS = RNG.uniform(0.2, 2, 7)


def tensor(a):
    return torch.tensor(a)


def focal(x, t, alpha, gamma, reduction):
    """torchvision.ops.sigmoid_focal_loss, line by line."""
    p = torch.sigmoid(x)
    ce_loss = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    p_t = p*t + (1 - p)*(1 - t)
    loss = ce_loss*((1 - p_t)**gamma)
    if alpha is not None:
        loss = (alpha*t + (1 - alpha)*(1 - t))*loss
    return {"none": loss, "mean": loss.mean(), "sum": loss.sum()}[reduction]


CASES = [
    ("squared-error", {}, F.mse_loss, SCORES, OTHERS),
    ("L1", {}, F.l1_loss, SCORES, OTHERS),
    ("Huber", {}, F.huber_loss, SCORES, OTHERS),
    ("Huber", {"delta": 2.5}, partial(F.huber_loss, delta=2.5), SCORES, OTHERS),
    ("smooth-L1", {}, F.smooth_l1_loss, SCORES, OTHERS),
    ("smooth-L1", {"beta": 2.5}, partial(F.smooth_l1_loss, beta=2.5), SCORES, OTHERS),
    ("smooth-L1", {"beta": 0}, partial(F.smooth_l1_loss, beta=0.0), SCORES, OTHERS),
    ("Binary", {}, F.binary_cross_entropy, SHARES, BITS),
    ("KL", {}, F.kl_div, np.log(SHARES), GIVEN),
    ("KL", {"log_target": True}, partial(F.kl_div, log_target=True), np.log(SHARES), np.log(GIVEN)),
    ("Poisson", {}, F.poisson_nll_loss, SCORES, COUNTS),
    ("Poisson", {"log_input": False}, partial(F.poisson_nll_loss, log_input=False), np.exp(SCORES), COUNTS),
    ("sigmoid-binary-cross-entropy", {}, F.binary_cross_entropy_with_logits, SCORES, BITS),
    ("sigmoid-binary-cross-entropy", {"class_weight": (1, 3)},
     partial(F.binary_cross_entropy_with_logits, pos_weight=torch.tensor(3.0, dtype=torch.float64)), SCORES, SHARES),
    ("sigmoid-focal", {}, partial(focal, alpha=0.25, gamma=2), SCORES, BITS),
    ("sigmoid-focal", {"alpha": None, "gamma": 1.5}, partial(focal, alpha=None, gamma=1.5), SCORES, SHARES),
    ("softmax-cross-entropy", {}, F.cross_entropy, SCORES, LABELS),
    ("softmax-cross-entropy", {}, F.cross_entropy, SCORES, GIVEN),
    ("softmax-cross-entropy", {"label_smoothing": 0.1}, partial(F.cross_entropy, label_smoothing=0.1), SCORES, LABELS),
    ("softmax-cross-entropy", {"label_smoothing": 0.1}, partial(F.cross_entropy, label_smoothing=0.1), SCORES, GIVEN),
    ("softmax-cross-entropy", {"class_weight": WEIGHTS}, partial(F.cross_entropy, weight=tensor(WEIGHTS)), SCORES, LABELS),
    ("softmax-cross-entropy", {"class_weight": WEIGHTS}, partial(F.cross_entropy, weight=tensor(WEIGHTS)), SCORES, GIVEN),
    ("softmax-cross-entropy", {"ignore_label": -100}, F.cross_entropy, SCORES, IGNORING),
    ("softmax-cross-entropy", {"ignore_label": 3}, partial(F.cross_entropy, ignore_index=3), SCORES, LABELS),
    ("softmax-cross-entropy", {"ignore_label": -100, "class_weight": WEIGHTS, "label_smoothing": 0.2},
     partial(F.cross_entropy, weight=tensor(WEIGHTS), label_smoothing=0.2), SCORES, IGNORING),
    ("softmax-cross-entropy", {"class_weight": WEIGHTS, "label_smoothing": 0.2},
     partial(F.cross_entropy, weight=tensor(WEIGHTS), label_smoothing=0.2), SCORES, GIVEN),
]


@pytest.mark.parametrize(("name", "values", "theirs", "y", "t"), CASES,
                         ids=[f"{i}-{name}-{'-'.join(values)}" for i, (name, values, *_) in enumerate(CASES)])
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_values_and_gradients(name, values, theirs, y, t, reduction):
    err, x = get_err(name, **values, reduction=reduction), tensor(y).requires_grad_()
    wanted = theirs(x, tensor(t), reduction=reduction)
    wanted.sum().backward()
    got, gradient = err.value_and_grad(y, t)
    assert_allclose(got, wanted.detach().numpy(), rtol=1e-12, atol=1e-13)
    assert_allclose(gradient, x.grad.numpy(), rtol=1e-12, atol=1e-14)
