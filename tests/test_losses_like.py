"""Losses by other libraries' names and arguments, beside the libraries themselves where they are installed."""
import inspect
import os
import pickle
from importlib.util import find_spec

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastnn import dialects, get_err
from fastnn.dialects.adapted import OfRows
from fastnn.losses import _registry as registry
from fastnn.losses.base import Several

RNG = np.random.default_rng(4)
SHAPE = (40, 7)
SCORES, OTHERS, THIRDS = RNG.normal(size=(3, *SHAPE))*3
SHARES, GIVEN = RNG.dirichlet(np.ones(7), (2, 40))
BITS, COUNTS = RNG.integers(2, size=SHAPE).astype(float), RNG.poisson(2, SHAPE).astype(float)
LABELS, SPREADS, WEIGHTS = RNG.integers(7, size=40), RNG.uniform(0.1, 2, SHAPE), RNG.uniform(0.2, 2, 7)
IGNORING = np.where(np.arange(40) % 3, LABELS, -100)
IMAGES = RNG.normal(size=(4, 7, 3, 5))*3
PLANES = np.where(RNG.random((4, 3, 5)) < 0.2, -100, RNG.integers(7, size=(4, 3, 5)))
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
    ("BCEWithLogitsLoss", {"pos_weight": WEIGHTS}, (SCORES, BITS)), ("BCEWithLogitsLoss", {"pos_weight": WEIGHTS}, (SCORES[0], BITS[0])),
    ("BCEWithLogitsLoss", {"pos_weight": WEIGHTS[:5]}, (IMAGES, (IMAGES > 1).astype(float))),
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
    "MSELoss": "mse_loss", "L1Loss": "l1_loss", "HuberLoss": "huber_loss", "SmoothL1Loss": "smooth_l1_loss",
    "KLDivLoss": "kl_div", "PoissonNLLLoss": "poisson_nll_loss", "GaussianNLLLoss": "gaussian_nll_loss",
    "TripletMarginLoss": "triplet_margin_loss",
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
    ("softmax_cross_entropy", {"axis": 0}, (SCORES, GIVEN)), ("kl_divergence", {}, (np.log(SHARES), GIVEN)),
    ("kl_divergence_with_log_targets", {}, (np.log(SHARES), np.log(GIVEN))),
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
        assert repr(get_err(name, like="jax", **values)) == repr(err) == repr(eval(repr(err)))
        assert get_err(name, like="optax", reduction="mean", **values)(*arrays) == pytest.approx(np.mean(wanted), rel=1e-11)
    finally:
        jax.config.update("jax_enable_x64", before)


BATCH, MARKED = RNG.random((3, 4, 5, 2)), RNG.integers(2, size=(3, 4, 5, 2)).astype(float)
ONE_HOT = np.eye(7)[LABELS]
ELEMENTWISE = ("MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "LogCosh", "Hinge", "SquaredHinge", "Huber",
               "Poisson", "BinaryCrossentropy", "BinaryFocalCrossentropy")
WITH_ENDS = np.where(RNG.random(SHAPE) < 0.1, 0.0, SHARES)


def test_every_loss_of_optax_is_there_or_said_why_not():
    losses = pytest.importorskip("optax").losses
    there = dialects.of_source(registry, "optax")
    functions = {name for name, each in vars(losses).items() if inspect.isfunction(each)} - {"smooth_labels"}
    assert {name for name in functions if name not in there} == {*dialects.OTHER_LOSSES["optax"]}


KERAS = [
    ("MeanSquaredError", {}, (SCORES, OTHERS)), ("MeanAbsoluteError", {}, (SCORES, OTHERS)),
    ("MeanAbsolutePercentageError", {}, (SCORES, OTHERS)), ("LogCosh", {}, (SCORES, OTHERS)), ("Hinge", {}, (SCORES, SIDES)),
    ("Hinge", {}, (SCORES, BITS)), ("SquaredHinge", {}, (SCORES, BITS)), ("Huber", {"delta": 2.5}, (SCORES, OTHERS)),
    ("Poisson", {}, (np.exp(SCORES), COUNTS)), ("CategoricalHinge", {}, (SCORES, ONE_HOT)),
    ("MeanSquaredLogarithmicError", {}, (SCORES, abs(OTHERS))), ("KLDivergence", {}, (WITH_ENDS, GIVEN)),
    ("BinaryCrossentropy", {}, (WITH_ENDS, BITS)), ("BinaryCrossentropy", {"label_smoothing": 0.2}, (SHARES, BITS)),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, (SCORES, BITS)),
    ("BinaryFocalCrossentropy", {"from_logits": True, "gamma": 1.5}, (SCORES, BITS)),
    ("BinaryFocalCrossentropy", {"from_logits": True, "apply_class_balancing": True, "alpha": 0.75}, (SCORES, BITS)),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, (SCORES, ONE_HOT)),
    ("CategoricalCrossentropy", {"from_logits": True, "axis": 0}, (SCORES, ONE_HOT)),
    ("CategoricalCrossentropy", {}, (2*WITH_ENDS, ONE_HOT)),
    ("CategoricalCrossentropy", {"label_smoothing": 0.2}, (SHARES, GIVEN)),
    ("CategoricalCrossentropy", {"axis": 0}, (SHARES, ONE_HOT)),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, (SCORES, LABELS)),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 3}, (SCORES, LABELS)),
    ("SparseCategoricalCrossentropy", {}, (WITH_ENDS, LABELS)),
    ("SparseCategoricalCrossentropy", {"ignore_class": 3}, (SHARES, LABELS)),
    ("CosineSimilarity", {}, (SCORES, OTHERS)), ("CosineSimilarity", {"axis": 0}, (SCORES, OTHERS)),
    ("Dice", {}, (BATCH, MARKED)), ("Dice", {"axis": -1}, (BATCH, MARKED)), ("Dice", {"axis": (1, 2, 3)}, (BATCH, MARKED)),
    ("Tversky", {}, (BATCH, MARKED)), ("Tversky", {"alpha": 0.3, "beta": 0.9, "axis": (1, 2)}, (BATCH, MARKED))]


@pytest.fixture
def keras(monkeypatch):
    """Keras in double precision, if it is installed: with gradients where its backend is JAX."""
    if find_spec("keras") is None:
        pytest.skip("no Keras here")
    if "KERAS_BACKEND" not in os.environ and find_spec("tensorflow") is None:
        monkeypatch.setenv("KERAS_BACKEND", "jax" if find_spec("jax") else "numpy")
    import keras
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    if keras.backend.backend() == "jax":
        import jax
        doubles = jax.config.jax_enable_x64
        jax.config.update("jax_enable_x64", True)
    yield keras
    keras.config.set_floatx(before)
    if keras.backend.backend() == "jax":
        jax.config.update("jax_enable_x64", doubles)


@pytest.mark.parametrize(("name", "values", "arrays"), KERAS, ids=ids(KERAS))
@pytest.mark.parametrize(("reduction", "weighted"), [("sum_over_batch_size", False), ("mean", True), ("sum", True),
                                                     ("none", True), (None, False)])
def test_keras(name, values, arrays, reduction, weighted, keras):
    y, t = arrays
    kwds = {**values, "reduction": reduction}
    err = get_err(name, like="keras", **kwds)
    shape = np.shape(get_err(name, like="keras", **{**kwds, "reduction": "none"})(y, t))
    weights = {"sample_weight": np.random.default_rng(5).integers(4, size=shape)/2.0} if weighted and shape else {}
    theirs = getattr(keras.losses, name)(**kwds)
    got, gradient = err.value_and_grad(y_true=t, y_pred=y, **weights)
    assert type(got) is float or reduction in (None, "none")
    singly = isinstance(err, OfRows) and not err._sums or name in ELEMENTWISE       # Keras's mean is one of float32
    near = dict(rtol=1e-6, atol=1e-6) if singly else dict(rtol=1e-11, atol=1e-13)
    assert_allclose(got, np.asarray(theirs(t, y, **weights)), **near)
    for other in (err, eval(repr(err)), pickle.loads(pickle.dumps(err))):
        assert repr(other) == repr(err)
        assert_array_equal(other.forward(y, t, **weights), got)
        assert_array_equal(other.backward(), gradient)
        assert_array_equal(other.backward(y, t, **weights), gradient)
    if keras.backend.backend() == "jax" and reduction in ("mean", "none"):
        import jax
        slope = jax.grad(lambda y: theirs(jax.numpy.asarray(t), y, **weights).sum())(jax.numpy.asarray(y))
        assert_allclose(gradient, np.asarray(slope), **near)


def test_keras_s_default_is_the_mean_and_its_name_says_nothing():
    for name, values, (y, t) in KERAS:
        err = get_err(name, like="keras", **values)
        assert err.reduction == "mean" and type(err(y, t)) is float
        assert err(y, t) == get_err(name.lower(), like="keras", **values)(y, t)
    assert repr(get_err("MeanSquaredError", "sum", "a name", like="keras")) == (
        "get_err('MeanSquaredError', reduction='sum', like='keras')")


def test_every_loss_of_keras_is_there_or_said_why_not(keras):
    names = [name for name, each in vars(keras.losses).items() if isinstance(each, type) and name != "Loss"]
    there = dialects.of_source(registry, "keras")
    assert {name for name in names if name not in there} == {*dialects.OTHER_LOSSES["keras"]}
    functions = {name for name, each in vars(keras.losses).items() if inspect.isfunction(each)}
    functions -= {"deserialize", "get", "serialize"}
    others = [name.lower() for name in dialects.OTHER_LOSSES["keras"]]
    assert {name for name in functions if name not in there} == {name for name in functions
                                                                 if name.replace("_", "") in others}


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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.filterwarnings("ignore:.y_pred. was renamed", "ignore:The y_prob values do not sum")
def test_sklearn_s_log_loss(dtype):
    """Held away from 0 and 1; of rows, by label or one-hot."""
    metrics = pytest.importorskip("sklearn.metrics")
    p = np.concatenate([[0, 1, 0, 1, 1e-20, 1], SHARES[0]]).astype(dtype)
    t = np.concatenate([[0, 1, 1, 0, 1, 0], BITS[0]])
    rows = WITH_ENDS.astype(dtype)
    for y, true in ((p, t), (p, t.astype(bool)), (rows, LABELS), (rows, ONE_HOT)):
        for normalize in (True, False):
            err = get_err("log_loss", like="sklearn", normalize=normalize)
            near = dict(rel=1e-12 if dtype == "float64" else 1e-6)
            assert err(y_true=true, y_pred=y) == pytest.approx(metrics.log_loss(true, y, normalize=normalize), **near)
            assert repr(eval(repr(err))) == repr(err) and pickle.loads(pickle.dumps(err))(y, true) == err(y, true)
    err, step = get_err("log_loss", like="sklearn"), 1e-6
    y = np.array([0.25, 0.5, 0.75])
    for x, true in ((y, np.array([0, 1, 1])), (SHARES[:3] + 1e-3, LABELS[:3])):
        slopes = [(err(x + step*(np.arange(x.size) == i).reshape(x.shape), true)
                   - err(x - step*(np.arange(x.size) == i).reshape(x.shape), true))/(2*step) for i in range(x.size)]
        assert_allclose(err.backward(x, true), np.reshape(slopes, x.shape), atol=1e-8)
    assert not get_err("log_loss", like="sklearn").backward(np.array([0.0, 1.0]), np.array([1, 0])).any()
    for wrong, true in ((y, [0, 2, 1]), (y, [-1, 1, 1]), (y[:, None], [0, 0, 0]), (np.ones((2, 2, 2)), [0, 1])):
        with pytest.raises(ValueError):
            err(wrong, true)


def test_sklearn_s_losses_of_networks():
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
        assert isinstance(got, type(wanted)) and repr(eval(repr(got), {"get_err": get_err, "array": np.array})) == repr(got)
        assert_allclose(got(y, t), wanted(y, t))
    images = np.where(PLANES < 0, -1, PLANES)
    got, wanted = get_err("softmax_cross_entropy", like="chainer"), get_err("cross_entropy", like="torch")
    assert_allclose(got.value_and_grad(IMAGES, images)[1], wanted.value_and_grad(IMAGES, PLANES)[1])


def test_torchvision_s_focal_loss():
    assert repr(get_err("sigmoid_focal_loss", like="torch")) == repr(get_err("focal", gamma=2))
    assert get_err("sigmoid_focal_loss", like="torch", alpha=-1, reduction="mean").alpha is None
