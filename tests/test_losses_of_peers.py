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


def by_formula(loss):
    """A row loss in PyTorch's operations."""
    def reduced(x, t, reduction):
        losses = loss(x, F.one_hot(t, x.shape[-1]).to(x.dtype) if t.ndim < x.ndim else t)
        return {"none": losses, "mean": losses.mean(), "sum": losses.sum()}[reduction]
    return reduced


def softmax_focal(x, t):
    """kornia.losses.focal_loss without alpha, of distributions."""
    log_p = F.log_softmax(x, -1)
    return -(t*(1 - log_p.exp())**2*log_p).sum(-1)


def categorical_hinge(x, t):
    """keras.losses.categorical_hinge."""
    return (1 + ((1 - t)*x).amax(-1) - (t*x).sum(-1)).clamp(min=0)


def tversky(x, t):
    """keras.losses.tversky of each row."""
    inner = (x*t).sum(-1)
    return 1 - (inner + 1e-7)/(inner + 0.5*((1 - t)*x).sum(-1) + 0.5*(t*(1 - x)).sum(-1) + 1e-7)


def dice(x, t):
    return 1 - (2*(x*t).sum(-1) + 1e-7)/(x.sum(-1) + t.sum(-1) + 1e-7)


CASES = [
    ("cosine", {}, by_formula(lambda x, t: 1 - F.cosine_similarity(x, t, dim=-1)), SCORES, OTHERS),
    ("softmax-focal", {}, by_formula(softmax_focal), SCORES, LABELS),
    ("softmax-focal", {}, by_formula(softmax_focal), SCORES, GIVEN),
    ("categorical-hinge", {}, by_formula(categorical_hinge), SCORES, LABELS),
    ("Tversky", {}, by_formula(tversky), SHARES, BITS),
    ("dice", {}, by_formula(dice), SHARES, BITS),
    ("Jensen-Shannon", {}, lambda y, t, reduction: (F.kl_div(((y + t)/2).log(), t, reduction=reduction)
                                                    + F.kl_div(((y + t)/2).log(), y, reduction=reduction))/2, SHARES, GIVEN),
    ("quantile", {"q": 0.9}, lambda y, t, reduction: by_formula(
        lambda y, t: torch.maximum(0.9*(t - y), -0.1*(t - y)))(y, t, reduction), SCORES, OTHERS),
    ("hinge", {}, by_formula(lambda y, t: (1 - (2*t - 1)*y).clamp(min=0)), SCORES, BITS),
    ("log-cosh", {}, by_formula(lambda y, t: (y - t).cosh().log()), SCORES, OTHERS),
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
    ("Poisson", {"full": True}, partial(F.poisson_nll_loss, full=True), SCORES, COUNTS),
    ("Poisson", {"full": True, "log_input": False}, partial(F.poisson_nll_loss, full=True, log_input=False), np.exp(SCORES),
     COUNTS),
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


SPREADS, THIRDS = RNG.uniform(0.1, 2, SHAPE), RNG.normal(size=SHAPE)*3
SPREADS[0, 0] = 0


def reduced(losses):
    return lambda *arrays, reduction: {"none": lambda x: x, "mean": torch.mean, "sum": torch.sum}[reduction](losses(*arrays))


def laplace(y, t, scale):
    return -torch.distributions.Laplace(y, scale).log_prob(t)


def info_nce(queries, keys, temperature=1.0, normalize=False):
    if normalize:
        queries, keys = F.normalize(queries, dim=-1), F.normalize(keys, dim=-1)
    return F.cross_entropy(queries @ keys.T/temperature, torch.arange(len(queries)), reduction="none")


def clip(queries, keys):
    return (info_nce(queries, keys) + info_nce(keys, queries))/2


OF_SEVERAL = [
    ("Gaussian-NLL", {}, F.gaussian_nll_loss, (SCORES, OTHERS, SPREADS)),
    ("Gaussian-NLL", {"full": True, "eps": 0.25}, partial(F.gaussian_nll_loss, full=True, eps=0.25), (SCORES, OTHERS, SPREADS)),
    ("Gaussian-NLL", {}, F.gaussian_nll_loss, (SCORES, OTHERS, SPREADS[:, 1])),
    ("Gaussian-NLL", {}, F.gaussian_nll_loss, (SCORES, OTHERS, SPREADS[:, 1:2])),
    ("Laplace-NLL", {"full": True}, reduced(laplace), (SCORES, OTHERS, SPREADS + 0.1)),
    *(("triplet", values, partial(F.triplet_margin_loss, **values), arrays)
      for arrays in ((SCORES, OTHERS, THIRDS), (SCORES, SCORES.copy(), THIRDS))
      for values in ({}, {"margin": 5.0}, {"p": 1.0}, {"p": 3.5}, {"p": float("inf")}, {"swap": True}, {"eps": 0.25},
                     {"swap": True, "margin": 5.0, "p": 1.0}, {"swap": True, "p": float("inf")})),
    ("InfoNCE", {}, reduced(info_nce), (SCORES, OTHERS)),
    ("InfoNCE", {"temperature": 0.07, "normalize": True}, reduced(partial(info_nce, temperature=0.07, normalize=True)),
     (SCORES, OTHERS)),
    ("InfoNCE", {"symmetric": True}, reduced(clip), (SCORES, OTHERS)),
]


@pytest.mark.parametrize(("name", "values", "theirs", "arrays"), OF_SEVERAL,
                         ids=[f"{i}-{name}-{'-'.join(values)}" for i, (name, values, *_) in enumerate(OF_SEVERAL)])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_losses_of_several_arrays(name, values, theirs, arrays, reduction):
    err, tensors = get_err(name, **values, reduction=reduction), [tensor(a).requires_grad_() for a in arrays]
    wanted = theirs(*tensors, reduction=reduction)
    wanted.sum().backward()
    got, gradients = err.value_and_grad(*arrays)
    assert_allclose(got, wanted.detach().numpy(), rtol=1e-12, atol=1e-12)
    found = dict(zip(err.gradients, gradients))
    for of, each in zip(err.inputs, tensors):
        if of in found:
            assert_allclose(found[of], each.grad.numpy(), rtol=1e-12, atol=1e-12)


def test_a_predicted_variance_that_torch_refuses_is_refused():
    for var in (-SPREADS, SPREADS[:5], SPREADS[0], SPREADS[:, :3]):
        with pytest.raises(ValueError):
            F.gaussian_nll_loss(*map(tensor, (SCORES, OTHERS, var)))
        with pytest.raises(ValueError):
            get_err("Gaussian-NLL")(SCORES, OTHERS, var)
