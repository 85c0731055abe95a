"""Losses by other libraries' names and arguments, beside the libraries themselves where they are installed."""
import os
import pickle
from importlib.util import find_spec

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastnn import dialects, get_err
from fastnn.losses import _registry as registry
from fastnn.losses.base import Several

RNG = np.random.default_rng(4)
SHAPE = (40, 7)
SCORES, OTHERS, THIRDS = RNG.normal(size=(3, *SHAPE))*3
SHARES, GIVEN = RNG.dirichlet(np.ones(7), (2, 40))
BITS, COUNTS = RNG.integers(2, size=SHAPE).astype(float), RNG.poisson(2, SHAPE).astype(float)
LABELS, SPREADS, WEIGHTS = RNG.integers(7, size=40), RNG.uniform(0.1, 2, SHAPE), RNG.uniform(0.2, 2, 7)
IGNORING = np.where(np.arange(40) % 3, LABELS, -100)
IMAGES, PLANES = RNG.normal(size=(4, 7, 3, 5))*3, np.where(RNG.random((4, 3, 5)) < 0.2, -100, RNG.integers(7, size=(4, 3, 5)))
SHARES_OF_IMAGES, SIDES = RNG.dirichlet(np.ones(7), (4, 3, 5)).transpose(0, 3, 1, 2).copy(), 2*BITS - 1

TORCH = [
    ("MSELoss", {}, (SCORES, OTHERS)), ("L1Loss", {}, (SCORES, OTHERS)), ("HuberLoss", {"delta": 2.5}, (SCORES, OTHERS)),
    ("SmoothL1Loss", {"beta": 2.5}, (SCORES, OTHERS)), ("KLDivLoss", {}, (np.log(SHARES), GIVEN)),
    ("KLDivLoss", {"log_target": True}, (np.log(SHARES), np.log(GIVEN))),
    ("PoissonNLLLoss", {}, (SCORES, COUNTS)), ("PoissonNLLLoss", {"log_input": False, "full": True, "eps": 1e-3},
                                               (np.exp(SCORES), COUNTS)),
    ("GaussianNLLLoss", {}, (SCORES, OTHERS, SPREADS)), ("GaussianNLLLoss", {"full": True, "eps": 0.5},
                                                         (SCORES, OTHERS, SPREADS)),
    ("TripletMarginLoss", {}, (SCORES, OTHERS, THIRDS)),
    ("TripletMarginLoss", {"margin": 3.0, "p": 1.0, "swap": True, "eps": 1e-3}, (SCORES, OTHERS, THIRDS)),
    ("BCELoss", {}, (SHARES, BITS)), ("BCEWithLogitsLoss", {}, (SCORES, BITS)),
    ("BCEWithLogitsLoss", {"pos_weight": np.array(3.0)}, (SCORES, BITS)),
    ("CrossEntropyLoss", {}, (SCORES, LABELS)), ("CrossEntropyLoss", {}, (SCORES, IGNORING)),
    ("CrossEntropyLoss", {}, (SCORES, GIVEN)), ("CrossEntropyLoss", {"ignore_index": 3}, (SCORES, LABELS)),
    ("CrossEntropyLoss", {"weight": WEIGHTS, "label_smoothing": 0.2}, (SCORES, IGNORING)),
    ("CrossEntropyLoss", {"weight": WEIGHTS, "label_smoothing": 0.2}, (SCORES, GIVEN)),
    ("CrossEntropyLoss", {}, (IMAGES, PLANES)), ("CrossEntropyLoss", {}, (IMAGES, SHARES_OF_IMAGES)),
    ("CrossEntropyLoss", {"weight": WEIGHTS, "label_smoothing": 0.2, "ignore_index": 2}, (IMAGES, abs(PLANES) % 7)),
    ("CrossEntropyLoss", {"weight": WEIGHTS, "label_smoothing": 0.2}, (IMAGES, SHARES_OF_IMAGES)),
    ("CrossEntropyLoss", {}, (IMAGES[:, :, 0], PLANES[:, 0])), ("CrossEntropyLoss", {}, (SCORES[0], np.array(3))),
    ("NLLLoss", {}, (np.log(SHARES), IGNORING)), ("NLLLoss", {"weight": WEIGHTS, "ignore_index": 3}, (np.log(SHARES), LABELS)),
    ("NLLLoss", {"weight": WEIGHTS}, (np.log(SHARES_OF_IMAGES), PLANES)),
    ("SoftMarginLoss", {}, (SCORES, SIDES)), ("HingeEmbeddingLoss", {}, (abs(SCORES), SIDES)),
    ("HingeEmbeddingLoss", {"margin": 2.5}, (abs(SCORES), SIDES)), ("MultiLabelSoftMarginLoss", {}, (SCORES, BITS)),
    ("MarginRankingLoss", {}, (SCORES, OTHERS, SIDES)), ("MarginRankingLoss", {"margin": 0.75}, (SCORES, OTHERS, SIDES)),
    ("CosineEmbeddingLoss", {}, (SCORES, OTHERS, SIDES[:, 0])),
    ("CosineEmbeddingLoss", {"margin": 0.25}, (SCORES, OTHERS, SIDES[:, 0]))]
FUNCTIONS = {                   # of torch.nn.functional, by the module of the same arguments
    "MSELoss": "mse_loss", "L1Loss": "l1_loss", "HuberLoss": "huber_loss", "SmoothL1Loss": "smooth_l1_loss", "KLDivLoss": "kl_div",
    "PoissonNLLLoss": "poisson_nll_loss", "GaussianNLLLoss": "gaussian_nll_loss", "TripletMarginLoss": "triplet_margin_loss",
    "BCELoss": "binary_cross_entropy", "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
    "CrossEntropyLoss": "cross_entropy", "NLLLoss": "nll_loss", "SoftMarginLoss": "soft_margin_loss",
    "HingeEmbeddingLoss": "hinge_embedding_loss", "MultiLabelSoftMarginLoss": "multilabel_soft_margin_loss",
    "MarginRankingLoss": "margin_ranking_loss", "CosineEmbeddingLoss": "cosine_embedding_loss"}


def ids(cases):
    return [f"{i}-{name}-{'-'.join(values)}" for i, (name, values, *_) in enumerate(cases)]


@pytest.mark.parametrize(("name", "values", "arrays"), TORCH, ids=ids(TORCH))
@pytest.mark.parametrize("reduction", [None, "none", "mean", "sum"])
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")
def test_torch(name, values, arrays, reduction):
    torch = pytest.importorskip("torch")
    kwds = {} if reduction is None else {"reduction": reduction}
    err = get_err(name, like="torch", **values, **kwds)
    theirs = getattr(torch.nn, name)(**{key: torch.tensor(value) if isinstance(value, np.ndarray) else value
                                        for key, value in values.items()}, **kwds)
    tensors = [torch.tensor(a) for a in arrays]
    inputs = dict(zip(getattr(err, "inputs", "yt"), tensors))
    of = [inputs[each] for each in err.gradients] if isinstance(err, Several) else tensors[:1]
    for tensor in of:
        tensor.requires_grad_()
    wanted = theirs(*tensors)
    wanted.sum().backward()
    got, gradients = err.value_and_grad(*arrays)
    assert reduction == "none" or type(got) is float
    assert_allclose(got, wanted.detach().numpy(), rtol=1e-12, atol=1e-12)
    for gradient, tensor in zip(gradients if isinstance(gradients, tuple) else [gradients], of, strict=True):
        assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-12, atol=1e-13)
    by_function = get_err(FUNCTIONS[name], like="torch", **values, **kwds)
    assert repr(by_function) == repr(err) == repr(eval(repr(err), {"get_err": get_err, "array": np.array}))
    assert_array_equal(by_function(*arrays), got)
    assert_array_equal(pickle.loads(pickle.dumps(err))(*arrays), got)


@pytest.mark.parametrize("name", ["MSELoss", "cross_entropy", "BCEWithLogitsLoss", "poisson_nll_loss", "CosineEmbeddingLoss"])
def test_torch_s_arguments_of_old(name):
    for kwds, reduction in (({"reduce": False}, "none"), ({"reduce": True}, "mean"), ({"size_average": False}, "sum"),
                            ({"size_average": True}, "mean"), ({"size_average": False, "reduce": False}, "none"),
                            ({"size_average": True, "reduce": True, "reduction": "sum"}, "mean"), ({"reduce": None}, "mean")):
        assert get_err(name, like="torch", **kwds).reduction == reduction
    with pytest.raises(TypeError, match="size_average must be True, False or None, not 'mean'"):
        get_err(name, like="torch", size_average="mean")


def test_every_loss_of_torch_is_there_or_said_why_not():
    torch = pytest.importorskip("torch")
    losses = [name for name in dir(torch.nn) if name.endswith("Loss")]
    there = dialects.of_source(registry, "torch")
    assert {name for name in losses if name not in there} <= {*dialects.OTHER_LOSSES["torch"]}
    assert all(name in there for name in FUNCTIONS.values())


OPTAX = [
    ("l2_loss", {}, (SCORES, OTHERS)), ("squared_error", {}, (SCORES, OTHERS)), ("huber_loss", {"delta": 2.5}, (SCORES, OTHERS)),
    ("log_cosh", {}, (SCORES, OTHERS)), ("hinge_loss", {}, (SCORES, 2*BITS - 1)),
    ("sigmoid_binary_cross_entropy", {}, (SCORES, BITS)), ("sigmoid_focal_loss", {}, (SCORES, BITS)),
    ("sigmoid_focal_loss", {"alpha": 0.25, "gamma": 1.5}, (SCORES, BITS)), ("softmax_cross_entropy", {}, (SCORES, GIVEN)),
    ("safe_softmax_cross_entropy", {}, (SCORES, GIVEN)), ("softmax_cross_entropy_with_integer_labels", {}, (SCORES, LABELS)),
    ("multiclass_sparsemax_loss", {}, (SCORES, LABELS)), ("cosine_distance", {}, (SCORES, OTHERS)),
    ("cosine_distance", {"epsilon": 100.0}, (SCORES, OTHERS))]


@pytest.mark.parametrize(("name", "values", "arrays"), OPTAX, ids=ids(OPTAX))
def test_optax(name, values, arrays):
    if find_spec("optax") is None:
        pytest.skip("no optax here")
    import jax
    import optax.losses
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        function = getattr(optax.losses, name)
        wanted, back = jax.vjp(lambda y: function(y, arrays[1], **values), arrays[0])
        slope, = back(jax.numpy.ones_like(wanted))
        wanted, slope = np.asarray(wanted), np.asarray(slope)
        err = get_err(name, like="optax", **values)
        got, gradient = err.value_and_grad(*arrays)
        assert_allclose(got, wanted, rtol=1e-11, atol=1e-12)
        assert_allclose(gradient, slope, rtol=1e-11, atol=1e-12)
        assert get_err(name, like="optax", reduction="mean", **values)(*arrays) == pytest.approx(np.mean(wanted), rel=1e-11)
    finally:
        jax.config.update("jax_enable_x64", before)


KERAS = [
    ("MeanSquaredError", {}, (SCORES, OTHERS)), ("MeanAbsoluteError", {}, (SCORES, OTHERS)),
    ("MeanAbsolutePercentageError", {}, (SCORES, OTHERS)), ("LogCosh", {}, (SCORES, OTHERS)), ("Hinge", {}, (SCORES, 2*BITS - 1)),
    ("Hinge", {}, (SCORES, BITS)), ("SquaredHinge", {}, (SCORES, BITS)), ("Huber", {"delta": 2.5}, (SCORES, OTHERS)),
    ("Poisson", {}, (np.exp(SCORES), COUNTS)), ("CategoricalHinge", {}, (SCORES, np.eye(7)[LABELS])),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, (SCORES, BITS)),
    ("BinaryFocalCrossentropy", {"from_logits": True, "gamma": 1.5}, (SCORES, BITS)),
    ("BinaryFocalCrossentropy", {"from_logits": True, "apply_class_balancing": True, "alpha": 0.75}, (SCORES, BITS)),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, (SCORES, np.eye(7)[LABELS])),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, (SCORES, LABELS)),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 3}, (SCORES, LABELS))]
OF_ROWS = ("CategoricalHinge", "CategoricalCrossentropy", "SparseCategoricalCrossentropy")


@pytest.mark.parametrize(("name", "values", "arrays"), KERAS, ids=ids(KERAS))
@pytest.mark.parametrize("reduction", [None, "sum_over_batch_size", "mean", "sum", "none"])
def test_keras(name, values, arrays, reduction, monkeypatch):
    if find_spec("keras") is None:
        pytest.skip("no Keras here")
    if "KERAS_BACKEND" not in os.environ and find_spec("tensorflow") is None:
        monkeypatch.setenv("KERAS_BACKEND", "numpy")
    import keras
    kwds = {} if reduction is None else {"reduction": reduction}
    if reduction in ("sum", "none") and name not in OF_ROWS:
        with pytest.raises(ValueError, match="mean along the last axis first"):
            get_err(name, like="keras", **values, **kwds)
        return
    err = get_err(name, like="keras", **values, **kwds)
    wanted = np.asarray(getattr(keras.losses, name)(**values, **kwds)(arrays[1], arrays[0]))
    got = err(y_true=arrays[1], y_pred=arrays[0])
    assert type(got) is float or reduction == "none"
    assert_allclose(got, wanted, rtol=4e-6)             # Keras computes in float32


def test_sklearn():
    metrics = pytest.importorskip("sklearn.metrics")
    for name, values, y, t in (
            ("mean_squared_error", {}, SCORES[0], OTHERS[0]), ("mean_absolute_error", {}, SCORES[0], OTHERS[0]),
            ("mean_absolute_percentage_error", {}, SCORES[0], OTHERS[0]),
            ("mean_squared_log_error", {}, SHARES[0], GIVEN[0]), ("mean_pinball_loss", {"alpha": 0.9}, SCORES[0], OTHERS[0]),
            ("hinge_loss", {}, SCORES[0], 2*BITS[0] - 1), ("log_loss", {}, SHARES.ravel(), BITS.ravel()),
            ("log_loss", {"normalize": False}, SHARES.ravel(), BITS.ravel())):
        got = get_err(name, like="sklearn", **values)(y_true=t, y_pred=y)
        assert type(got) is float
        assert got == pytest.approx(getattr(metrics, name)(t, y, **values), rel=1e-12), name
    assert get_err("epsilon_insensitive", like="sklearn", epsilon=0.25)(1.0, 0.0) == 0.75
    assert get_err("squared_epsilon_insensitive", like="sklearn")(1.0, 0.0) == pytest.approx(0.81)


def test_chainer():
    """As chainer.functions documents them; the library is no longer installed with today's NumPy."""
    labels = np.where(np.arange(40) % 3, LABELS, -1)
    for name, kwds, y, t, own, values in (
            ("mean_squared_error", {}, SCORES, OTHERS, "squared-error", {"reduction": "mean"}),
            ("squared_error", {}, SCORES, OTHERS, "squared-error", {}), ("absolute_error", {}, SCORES, OTHERS, "L1", {}),
            ("mean_absolute_error", {}, SCORES, OTHERS, "L1", {"reduction": "mean"}),
            ("softmax_cross_entropy", {}, SCORES, labels, "softmax-cross-entropy", {"ignore_label": -1, "reduction": "mean"}),
            ("softmax_cross_entropy", {"reduce": "no", "class_weight": WEIGHTS, "ignore_label": 3}, SCORES, LABELS,
             "softmax-cross-entropy", {"ignore_label": 3, "class_weight": WEIGHTS}),
            ("sigmoid_cross_entropy", {}, SCORES, BITS, "sigmoid-binary-cross-entropy",
             {"ignore_label": -1, "reduction": "mean"}),
            ("sigmoid_cross_entropy", {"reduce": "no"}, SCORES, BITS, "sigmoid-binary-cross-entropy", {"ignore_label": -1})):
        got, wanted = get_err(name, like="chainer", **kwds), get_err(own, **values)
        assert repr(got) == repr(wanted)
        assert_allclose(got(y, t), wanted(y, t))


def test_torchvision_s_focal_loss():
    assert repr(get_err("sigmoid_focal_loss", like="torch")) == repr(get_err("focal", gamma=2))
    assert get_err("sigmoid_focal_loss", like="torch", alpha=-1, reduction="mean").alpha is None
