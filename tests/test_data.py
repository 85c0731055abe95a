"""What users pass as data: by position whatever its own [] means; masks and what is no array of numbers are refused."""
import numpy as np
import pytest

import fastnn
from fastnn import get_act, get_err, get_opt
from fastnn.core.arrays import as_array
from fastnn.nn import (Activation, Affine, BatchNormalization, Dropout, MultiLayerNet, SoftmaxWithLoss, Trainer,
                       clip_grad_norm, numerical_gradient)
from helpers import LOSSES, assert_same_bits

ROWS, FEATURES, CLASSES = 40, 5, 3


class Labelled:
    """Like a pandas Series or DataFrame: [] goes by labels, np.asarray by position."""

    def __init__(self, values, labels):
        self.values, self.labels = np.asarray(values), list(labels)

    def __len__(self):
        return len(self.values)

    def __array__(self, dtype=None, copy=None):
        return self.values if dtype is None else self.values.astype(dtype)

    def __getitem__(self, key):
        places = [self.labels.index(label) for label in np.atleast_1d(key)]
        return Labelled(self.values[places], np.atleast_1d(key))


def shuffled(values):
    """Rows in the order that they were shuffled to, under the labels that they had before."""
    return Labelled(values, np.random.default_rng(3).permutation(len(values)))


def framed(values):
    pandas = pytest.importorskip("pandas")
    index = np.random.default_rng(3).permutation(len(values))
    return (pandas.Series if values.ndim == 1 else pandas.DataFrame)(values, index=index)


KINDS = {"labels": shuffled, "pandas": framed, "list": lambda a: a.tolist(), "tuple": lambda a: tuple(a.tolist()),
         "matrix": lambda a: a if a.ndim == 1 else a.view(np.matrix), "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
         "read-only": lambda a: as_read_only(a)}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def as_read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((ROWS, FEATURES)), rng.integers(0, CLASSES, ROWS)


def net(**options):
    return MultiLayerNet(FEATURES, [4], CLASSES, rng=1, **options)


@each_kind
@pytest.mark.parametrize("one_hot", [False, True])
def test_a_trainer_goes_by_position(kind, one_hot):
    x, t = data()
    t = np.eye(CLASSES)[t] if one_hot else t
    trained = []
    for rows, labels in ((x, t), (kind(x), kind(t))):
        trainer = Trainer(net(), get_opt("Adam"), rows, labels, batch_size=8, rng=2)
        trainer.train(20)
        assert type(trainer.x) is type(trainer.t) is np.ndarray
        trained.append(trainer)
    assert trained[0].losses == trained[1].losses
    for key, p in trained[0].network.params.items():
        assert_same_bits(trained[1].network.params[key], p)


@each_kind
def test_a_network_goes_by_position(kind):
    x, t = data()
    for net_ in (net(), net(use_batchnorm=True)):
        np.testing.assert_allclose(net_.predict(kind(x)), net_.predict(x), rtol=1e-12)
        for call in (net_.loss, net_.accuracy):
            assert call(kind(x), kind(t)) == pytest.approx(call(x, t), rel=1e-12)
        wanted = net_.gradient(x, t)
        for key, g in net_.gradient(kind(x), kind(t)).items():
            np.testing.assert_allclose(g, wanted[key], rtol=1e-12, atol=1e-15)     # the BLAS has ways for each layout


@each_kind
def test_layers_and_losses_go_by_position(kind):
    x, t = data()
    one = np.ones(FEATURES)
    for make in (lambda: Affine(np.ones((FEATURES, 2)), np.zeros(2)), lambda: Activation("tanh"),
                 lambda: Dropout(0.5, rng=0), lambda: BatchNormalization(one, one)):
        mine, wanted = make(), make()
        y = wanted.forward(x)
        for got, right in ((mine.forward(kind(x)), y), (mine.backward(kind(y)), wanted.backward(y)),
                           (mine.forward(kind(x), train_flg=False), wanted.forward(x, train_flg=False))):
            assert type(got) is np.ndarray
            np.testing.assert_allclose(got, right, rtol=1e-12, atol=1e-15)      # a frame lies in Fortran's order
    assert SoftmaxWithLoss().forward(kind(x), kind(t)) == SoftmaxWithLoss().forward(x, t)
    for name, target in (("Square", x[::-1].copy()), ("softmax-cross-entropy", t)):
        err = get_err(name)
        got = err.forward(kind(x), kind(target))
        assert type(got) is np.ndarray and (got == err.forward(x, target)).all()


def test_an_array_is_not_copied(tmp_path):
    x, t = data()
    trainer = Trainer(net(), get_opt("SGD"), x, t)
    assert trainer.x is x and trainer.t is t
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert np.shares_memory(Trainer(net(), get_opt("SGD"), mapped, t).x, mapped)


class Sparse:
    """As scipy's: NumPy makes an array of one object of it."""

    shape = (ROWS, FEATURES)

    def __len__(self):
        raise TypeError("sparse array length is ambiguous")

    def __getitem__(self, key):
        return self

    def toarray(self):
        return np.zeros(self.shape)


X, T = data()


@pytest.mark.parametrize(("wrong", "error", "message"), [
    (Sparse(), TypeError, r"must be an array, or what NumPy makes one of, not Sparse; toarray\(\)"),
    ([[1.0, 2.0], [1.0]], ValueError, "is no array"),
    (np.array([[1.0]*FEATURES]*ROWS, object), TypeError, "must hold real numbers, not objects"),
    ([[None]*FEATURES]*ROWS, TypeError, "must hold real numbers, not objects"),
    (X.astype(str), TypeError, "must hold real numbers"), (X + 0j, TypeError, "must hold real numbers, not complex"),
    (np.zeros(ROWS, "f4,f4"), TypeError, "must hold real numbers"),
    (np.ma.masked_array(X, X > 1), TypeError, "has a mask"),
    ([*X[1:], np.ma.masked_array(X[0])], TypeError, "has a mask"),
    ((row for row in X), TypeError, ".*, not generator"), (dict(enumerate(X)), TypeError, ".*, not dict"),
    (None, TypeError, ".*, not NoneType")])
def test_what_is_no_array_of_numbers_is_refused_at_once(wrong, error, message):
    for arguments, name in (((wrong, T), "x"), ((X, wrong), "t")):
        with pytest.raises(error, match=f"^{name} {message}"):
            Trainer(net(), get_opt("SGD"), *arguments)
        with pytest.raises(error, match=f"^{name} {message}"):
            net().loss(*arguments)


@pytest.mark.parametrize(("x", "t", "message"), [(1.0, T, "x must have rows"), (X, np.array(1), "t must have rows"),
                                                 (X, T[1:], "40 rows and 39 labels"), ([], [], "at least one")])
def test_rows_that_are_not_there(x, t, message):
    with pytest.raises(ValueError, match=message):
        Trainer(net(), get_opt("SGD"), x, t)


# Masks

MASKED = np.ma.masked_array([0.5, 0.25, 0.75], [False, True, False])
PLAIN = np.array([0.5, 0.25, 0.75])


def refuses(call, *args, **kwds):
    with pytest.raises(TypeError, match="has a mask"):
        call(*args, **kwds)


@pytest.mark.parametrize("wrong", [MASKED, MASKED.astype("f4"), MASKED.astype("f2"), MASKED[::2], MASKED[0:0],
                                   np.ma.masked_array(PLAIN), np.ma.masked, [MASKED], (0.5, [1.0, MASKED]),
                                   [0.5, np.ma.masked]],
                         ids=str)
@pytest.mark.parametrize("name", fastnn.activations())
def test_activations_refuse_masks(name, wrong):
    act = get_act(name, *{"threshold": (0, 0), "maxout": (3, 2, 2)}.get(name, ()))
    whole = act.kind in ("elementwise", "rows")
    for call in (act, act.forward, *([act.d2y, act.backward, act.value_and_grad] if whole else [])):
        refuses(call, wrong)
    if act.kind == "layer":
        act.forward(PLAIN)
        refuses(act.backward, wrong)
        return
    x = np.r_[PLAIN, PLAIN] if act.kind == "gated" else PLAIN
    if act.kind == "random":
        act.forward(x)
    if not whole:
        refuses(act.backward, wrong, grad=x)
    refuses(act.backward, x, grad=wrong)
    refuses(act.backward, x, None, wrong)


def test_results_are_not_written_under_masks():
    out = MASKED.copy()
    for act in (get_act("tanh"), get_act("softmax")):
        refuses(act.forward, PLAIN, out=out)
        refuses(act.backward, PLAIN, grad=PLAIN, out=out)
        refuses(act.value_and_grad, PLAIN, out=(out, PLAIN.copy()))
        refuses(act.value_and_grad, PLAIN, out=(PLAIN.copy(), out))
    refuses(get_err("Square").forward, PLAIN, PLAIN, out=out)
    assert (out.data == MASKED.data).all() and (out.mask == MASKED.mask).all()


@pytest.mark.parametrize("name", LOSSES)
def test_losses_refuse_masks(name):
    err = get_err(name)
    for call in (err.forward, err.backward):
        refuses(call, MASKED, PLAIN)
        refuses(call, PLAIN, MASKED)
        refuses(call, PLAIN, [0.5, np.ma.masked, 1.0])
    assert err.error == 0


@pytest.mark.parametrize("name", fastnn.optimizers())
def test_optimizers_refuse_masks(name):
    masked, grad = MASKED.copy(), PLAIN.copy()
    if name != "NAG":
        refuses(get_opt(name).update, masked)
        refuses(get_opt(name).update, grad, masked)
        refuses(get_opt(name, weight_decay=0.1).update, grad, w=masked)
    for params, grads in (({"a": grad, "b": masked}, {"a": grad, "b": grad}), ({"a": PLAIN}, {"a": masked}),
                          ([masked], [grad]), ([[masked]], [[grad]]), ([PLAIN], [masked]), (masked, grad),
                          (PLAIN, masked), ({"a": [1.5, masked]}, {"a": [1.0, grad]})):
        opt = get_opt(name)
        refuses(opt.step, params, grads)
        assert opt.t == 0 and not opt.state
    assert (masked.data == PLAIN).all() and (grad == PLAIN).all()


WRAPPERS = {"Lookahead": lambda opt: fastnn.Lookahead(opt, k=1), "ExponentialAverage": fastnn.ExponentialAverage,
            "Accumulate": lambda opt: fastnn.Accumulate(opt, 2), "SAM": fastnn.SAM}


@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.parametrize("form", [lambda a: {"p": a}, lambda a: [a], lambda a: {"p": [a]}, lambda a: a],
                         ids=["mapping", "list", "nested", "array"])
def test_wrappers_refuse_masks(name, form):
    masked, plain = MASKED.copy(), PLAIN.copy()
    opt = WRAPPERS[name](get_opt("SGD", lr=0.1))
    call = opt.ascend if name == "SAM" else opt.step
    refuses(call, form(masked), form(plain))
    refuses(call, form(plain), form(masked))
    assert opt.t == 0 and (masked.data == PLAIN).all() and (plain == PLAIN).all()
    if name == "SAM":
        opt.ascend(form(plain), form(plain))
        moved = plain.copy()
        refuses(opt.step, form(plain), form(masked))
        assert (plain == moved).all()
        opt.restore()
        assert (plain == PLAIN).all()


def test_rows_refuse_masks():
    indices = np.ma.masked_array([0, 1, 2], [0, 1, 0])
    for arguments in ((indices, np.ones((3, 2))), ([0, 1, 2], np.ma.masked_array(np.ones((3, 2)))),
                      ([0, 1, np.ma.masked], np.ones((3, 2))), ([0, 1, 2], [1.0, np.ma.masked, 2.0])):
        refuses(fastnn.Rows, *arguments)
    refuses(get_opt("SGD").step, {"p": np.ma.masked_array(np.ones((3, 2)))}, {"p": fastnn.Rows([0], np.ones((1, 2)))})


@pytest.mark.parametrize("kind", [dict, list])
def test_a_parameter_that_becomes_masked_is_seen(kind):
    """Of the same memory, so that it lies where it lay at the last step."""
    p, g = PLAIN.copy(), PLAIN.copy()
    held = (lambda a: {"p": a}) if kind is dict else (lambda a: [a])
    opt = get_opt("Adam")
    for _ in range(3):
        opt.step(held(p), held(g))
    before = p.copy()
    refuses(opt.step, held(np.ma.masked_array(p, copy=False)), held(g))
    refuses(opt.step, held(p), held(np.ma.masked_array(g, copy=False)))
    assert opt.t == 3 and (p == before).all()
    opt.step(held(p), held(g))
    assert opt.t == 4


def test_all_else_refuses_masks():
    x, t = data()
    masked, labels = np.ma.masked_array(x, x > 1), np.ma.masked_array(t, t == 1)
    one = np.ones(FEATURES)
    for call in (net().loss, net().accuracy, net().gradient, net().numerical_gradient):
        refuses(call, masked, t)
        refuses(call, x, labels)
    refuses(net().predict, masked)
    for layer in (Affine(np.ones((FEATURES, 2)), np.zeros(2)), Activation("tanh"), Dropout(),
                  BatchNormalization(one, one)):
        refuses(layer.forward, masked)
        refuses(layer.forward, masked, train_flg=False)
        y = layer.forward(x)
        refuses(layer.backward, np.ma.masked_array(y))
    refuses(SoftmaxWithLoss().forward, masked, t)
    refuses(SoftmaxWithLoss().forward, x, labels)
    network = net()
    network.params["W1"] = np.ma.masked_array(network.params["W1"])
    refuses(network.predict, x)
    refuses(clip_grad_norm, {"a": masked}, 1.0)
    refuses(clip_grad_norm, masked, 1.0)
    refuses(numerical_gradient, np.sum, np.ma.masked_array(PLAIN))
    refuses(numerical_gradient, lambda x: np.ma.masked, PLAIN.copy())
    refuses(get_opt, "SGD", lr=np.ma.masked_array(0.1, True))


def test_checkpoints_refuse_masks(tmp_path):
    pytest.importorskip("safetensors")
    path = tmp_path / "run.safetensors"
    fastnn.save(path, params={"p": PLAIN})
    masked = np.ma.masked_array(np.zeros(3), [0, 1, 0])
    refuses(fastnn.load, path, params={"p": masked})
    assert not masked.data.any()
    opt, params = get_opt("Adam"), {"p": PLAIN.copy()}
    opt.step(params, {"p": PLAIN})
    state = opt.state_dict()
    state["by_key"]["p"]["slots"]["m"] = np.ma.masked_array(state["by_key"]["p"]["slots"]["m"])
    with pytest.raises(fastnn.StateError, match="has a mask"):
        opt.load_state_dict(state)


class Own(np.ndarray):
    """A subclass that adds something that fastnn does not look at."""


@pytest.mark.parametrize("view", [np.matrix, Own, np.recarray])
def test_other_subclasses_are_the_numbers_that_they_hold(view):
    x = np.random.default_rng(0).uniform(0.1, 0.9, (4, 3))
    mine = x.copy().view(view)
    assert_same_bits(get_act("tanh").forward(mine), get_act("tanh").forward(x))
    assert_same_bits(get_err("Cross").forward(mine, x), get_err("Cross").forward(x, x))
    wanted = x.copy()
    for p, g in ((mine, x), (wanted, x)):
        get_opt("Adam").step({"p": p}, {"p": g})
    assert (np.asarray(mine) == wanted).all()


def test_lists_without_end_or_bottom():
    """Nothing is asked of them but an answer."""
    endless = [1.0]
    endless.append(endless)
    deep = 1.0
    for _ in range(10_000):
        deep = [deep]
    for value in (endless, deep):
        with pytest.raises((TypeError, ValueError)):
            get_act("tanh").forward(value)
    assert as_array(PLAIN, "x") is PLAIN
