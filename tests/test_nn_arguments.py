"""What users pass by habit to what is in fastnn.nn: it works, or the error names the argument, before anything is drawn."""
import io

import numpy as np
import pytest

import fastnn
from fastnn.nn import (Affine, BatchNormalization, Callback, Dropout, EarlyStopping, Embedding, LayerNorm, MultiLayerNet,
                       Objective, ProgressBar, RMSNorm, Trainer, initializers, lr_range_test, metrics, minimize,
                       numerical_gradient)

RNG = np.random.default_rng(0)
X, T = RNG.standard_normal((30, 5)), RNG.integers(0, 3, 30)
VECTOR = np.ones(5)


def net(*sizes, **options):
    return MultiLayerNet(*(sizes or (5, [8], 3)), **{"rng": 1, **options})


def trained(*given, **options):
    trainer = Trainer(net(), fastnn.get_opt("SGD"), X, T, 10, rng=0)
    trainer.train(*(given or (3,)), **options)
    return len(trainer.losses)


REFUSED = {
    "input_size": [lambda: net((5,), [8], 3), lambda: net("5", [8], 3), lambda: net(0, [8], 3)],
    "hidden_size_list": [lambda: net(5, "8", 3), lambda: net(5, [8.0], 3), lambda: net(5, [8, None], 3),
                         lambda: net(5, None, 3), lambda: net(5, [0], 3), lambda: net(5, True, 3)],
    "output_size": [lambda: net(5, [8], "3"), lambda: net(5, [8], 0)],
    "dtype": [lambda: net(dtype="foo"), lambda: net(dtype="float16"), lambda: net(dtype=3)],
    "use_dropout": [lambda: net(use_dropout=0.3), lambda: net(use_dropout="yes")],
    "use_batchnorm": [lambda: net(use_batchnorm="batch")], "inverted_dropout": [lambda: net(inverted_dropout=0.5)],
    "dropout_ration": [lambda: net(use_dropout=True, dropout_ration=1.0), lambda: net(dropout_ration="a"),
                       lambda: net(dropout_ration=50)],
    "normalization": [lambda: net(normalization=True), lambda: net(normalization="group")],
    "normalization_args": [lambda: net(normalization="layer", normalization_args={"foo": 1}),
                           lambda: net(normalization="layer", normalization_args=1)],
    "weight_init_std": [lambda: net(weight_init_std=None), lambda: net(weight_init_std=-1)],
    "network": [lambda: Trainer(net, fastnn.get_opt("SGD"), X, T), lambda: Trainer(None, fastnn.get_opt("SGD"), X, T),
                lambda: Trainer(MultiLayerNet, fastnn.get_opt("SGD"), X, T)],
    "optimizer": [lambda: Trainer(net(), None, X, T), lambda: Trainer(fastnn.get_opt("SGD"), net(), X, T),
                  lambda: Trainer(net(), type(fastnn.get_opt("SGD")), X, T), lambda: lr_range_test(net(), None, X, T)],
    "batch_size": [lambda: Trainer(net(), "SGD", X, T, n) for n in ("20", 20.0, 0, None)],
    "iterations": [lambda: trained("5"), lambda: trained(5.0), lambda: trained(-1)],
    "progress": [lambda: trained(5, ProgressBar(io.StringIO())), lambda: trained(5, [print])],
    "a callback": [lambda: trained(callbacks=ProgressBar), lambda: trained(callbacks=[None]),
                   lambda: trained(callbacks=[EarlyStopping])],
    "every": [lambda: EarlyStopping(len, every=1.5), lambda: EarlyStopping(len, every=0)],
    "patience": [lambda: EarlyStopping(len, patience="3"), lambda: EarlyStopping(len, patience=-1)],
    "min_delta": [lambda: EarlyStopping(len, min_delta="0"), lambda: EarlyStopping(len, min_delta=np.nan)],
    "what measure returns": [lambda: trained(callbacks=EarlyStopping(lambda _: value)) for value in (None, "a", VECTOR)],
    "file": [lambda: ProgressBar("bar.txt"), lambda: ProgressBar(5)],
    "W": [lambda: Embedding([]), lambda: Embedding(10), lambda: Embedding(VECTOR), lambda: Embedding("abc"),
          lambda: Embedding(np.ones((3, 2), int)), lambda: Affine(5, 8), lambda: Affine(VECTOR, VECTOR)],
    "b": [lambda: Affine(np.ones((5, 3)), None), lambda: Affine(np.ones((5, 3)), 0.0)],
    "gamma": [lambda: LayerNorm(5), lambda: LayerNorm(None), lambda: RMSNorm("a"), lambda: BatchNormalization(5, 5),
              lambda: LayerNorm(np.ones((5, 1)))],
    "beta": [lambda: LayerNorm(VECTOR, 1e-5), lambda: BatchNormalization(VECTOR, 0.9)],
    "eps": [lambda: RMSNorm(VECTOR, VECTOR), lambda: LayerNorm(VECTOR, VECTOR, "a"),
            lambda: BatchNormalization(VECTOR, VECTOR, eps="a"), lambda: BatchNormalization(VECTOR, VECTOR, eps=-1)],
    "momentum": [lambda: BatchNormalization(VECTOR, VECTOR, "a"), lambda: BatchNormalization(VECTOR, VECTOR, 2)],
    "the dropout ratio": [lambda: Dropout(ratio) for ratio in ("0.5", 50, 1.0, None)],
    "outputs": [lambda: Objective("Huber", None), lambda: Objective("Huber", "3"), lambda: Objective("Huber", 0)],
    "h": [lambda: numerical_gradient(np.sum, np.ones(3), h) for h in (0, -1e-3, "a", np.inf)],
    "steps": [lambda: lr_range_test(net(), "SGD", X, T, steps=steps) for steps in ("10", 10.0, 1)],
    "low": [lambda: lr_range_test(net(), "SGD", X, T, low=None), lambda: lr_range_test(net(), "SGD", X, T, 1, 1e-6),
            lambda: initializers.uniform(3, "a", 0), lambda: initializers.truncated_normal(3, low="a")],
    "high": [lambda: lr_range_test(net(), "SGD", X, T, high="1")],
    "maxiter": [lambda: minimize(net(), X, T, maxiter=maxiter) for maxiter in ("a", 1.0, 0)],
    "shape": [lambda: initializers.glorot_uniform(shape) for shape in ("a", (5, 3.5), (5, -3), None)],
    "std": [lambda: initializers.normal(3, std="a"), lambda: initializers.normal(3, std=-1)],
    "mean": [lambda: initializers.normal(3, None)],
    "gain": [lambda: initializers.orthogonal((5, 3), "a")], "scale": [lambda: initializers.variance_scaling(3, "a")],
    "k": [lambda: metrics.top_k_accuracy(X, T, k) for k in (0, "a", 2.0)],
    "classes": [lambda: metrics.confusion_matrix(T, T, classes) for classes in ("a", 3.0, 0)],
}
CALLS = [pytest.param(name, call, id=f"{name} {i}") for name, calls in REFUSED.items() for i, call in enumerate(calls)]


@pytest.mark.parametrize("name, call", CALLS)
def test_errors_name_the_argument(name, call):
    with pytest.raises((TypeError, ValueError), match=rf"^{name}\b"):
        call()


def test_one_hidden_layer_may_be_a_number():
    one, other = net(5, 8, 3), net(5, [8], 3)
    assert one.hidden_size_list == [8] == net(5, np.int64(8), 3).hidden_size_list
    np.testing.assert_array_equal(one.params["W1"], other.params["W1"])
    assert net(5, np.array([4, 6]), 3).hidden_size_list == [4, 6]


@pytest.mark.parametrize("name, layer", [("LayerNorm", "layer"), ("layer_norm", "layer"), ("Layer Normalization", "layer"),
                                         ("BatchNorm", "batch"), ("batch-normalization", "batch"), ("RMSNorm", "rms")])
def test_normalizations_by_the_names_of_their_layers(name, layer):
    assert net(normalization=name).layers.keys() == net(normalization=layer).layers.keys()


def test_names_of_initializers_and_their_functions():
    np.testing.assert_array_equal(net(weight_init_std=initializers.he).params["W1"], net(weight_init_std="he").params["W1"])


def test_an_optimizer_by_its_name():
    one, other = (Trainer(net(), given, X, T, 10, rng=0) for given in ("Adam", fastnn.get_opt("Adam")))
    for trainer in (one, other):
        trainer.train(5)
    assert one.losses == other.losses and type(one.optimizer) is type(other.optimizer)
    assert lr_range_test(net(), "Adam", X, T, rng=0).losses == lr_range_test(net(), fastnn.get_opt("Adam"), X, T, rng=0).losses
    with pytest.raises(ValueError, match="Adamm.*did you mean"):
        Trainer(net(), "Adamm", X, T)


def test_one_callback_needs_no_list():
    losses = []
    assert trained(callbacks=lambda trainer, loss: losses.append(loss)) == len(losses) == 3
    assert trained(9, callbacks=EarlyStopping(lambda _: 1.0)) == 2
    assert trained(callbacks=None) == trained(callbacks=()) == trained(callbacks=Callback()) == 3


def test_lists_are_parameters():
    layer = Embedding([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(layer.forward([1, 0]), [[3, 4], [1, 2]])
    np.testing.assert_array_equal(Affine([[1.0], [2.0]], [3]).forward(np.ones((1, 2))), [[6]])
    np.testing.assert_array_equal(LayerNorm([1] * 5, [0] * 5).forward(X), LayerNorm(VECTOR, 0 * VECTOR).forward(X))
    W = np.ones((3, 2), np.float32)
    assert Embedding(W).W is W                          # which an optimizer steps in place


def test_outputs_by_name():
    y = np.full((2, 3), 0.5)
    assert Objective("Binary", 3, "sigmoid").forward(y, np.ones((2, 3))) == pytest.approx(np.log(2))


@pytest.mark.parametrize("name", ["accuracy", "confusion_matrix", "precision", "recall", "f1", "mean_squared_error",
                                  "mean_absolute_error", "r2", "top_k_accuracy", "roc_auc"])
def test_metrics_take_scikit_learns_names(name):
    metric = getattr(metrics, name)
    y = np.random.default_rng(1).permutation(T)
    given, options = {"top_k_accuracy": ((np.random.default_rng(2).random((30, 3)), T), {"k": 2}),
                      "roc_auc": ((X[:, 0], T % 2), {})}.get(name, ((y, T), {}))
    wanted = metric(*given, **options)
    np.testing.assert_array_equal(metric(y_true=given[1], y_pred=given[0], **options), wanted)
    np.testing.assert_array_equal(metric(y_score=given[0], y_true=given[1], **options), wanted)
    np.testing.assert_array_equal(metric(y=given[0], t=given[1], **options), wanted)
    for wrong in (lambda: metric(y, y_true=T), lambda: metric(y_pred=y), lambda: metric(y_true=T),
                  lambda: metric(y_pred=y, y_score=y), lambda: metric(y_pred=y, y_true=T, t=T)):
        with pytest.raises(TypeError, match=f"^{name}: give predictions and what is true"):
            wrong()
