"""Other libraries' names, arguments and arithmetic: ``like="torch"`` and the others, beside the libraries themselves."""
import copy
import pickle
import re
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest

import dialect_peers
import fastnn
from dialect_peers import CASES
from fastnn import dialects, get_act, get_err, get_opt, group
from fastnn.dialects.translation import Row, Rule
from fastnn.activations import _registry as activations
from fastnn.losses import _registry as losses
from fastnn.optimizers import _registry as optimizers
from helpers import assert_same_bits, python

LIBRARIES = [source for source in dialects.SOURCES if source not in ("article", "dlfs")]
CLOSE = 1e-12                   # of the largest parameter
MAKERS = {get_act: activations, get_opt: optimizers, get_err: losses}
MUST = {"optax": {"learning_rate": 0.01}}
THRESHOLD = {"threshold": 0.5, "value": -0.25}


def row(get, name, like):
    return dialects.of_source(MAKERS[get], like)[name]


def names(get, like):
    return dialects.of_source(MAKERS[get], like).names()


def optimizer(name, like, **kwds):
    return get_opt(name, like=like, **musts(name, like) | kwds)


def musts(name, like):
    """Arguments without a default, and those whose default is refused."""
    parameters = row(get_opt, name, like).parameters
    found = {key: value for key, value in MUST.get(like, {}).items() if key in parameters}
    return found | ({"nesterov": False} if name in ("optimistic_adam", "optimistic_adam_v2") else {})


EACH_OPTIMIZER = [(name, like) for like in LIBRARIES for name in names(get_opt, like)]
each_library = pytest.mark.parametrize("library", LIBRARIES)
each_optimizer = pytest.mark.parametrize(("name", "like"), EACH_OPTIMIZER)
each_case = pytest.mark.parametrize(("library", "case"), [(library, case) for library in LIBRARIES
                                                          for case in CASES[library]],
                                    ids=lambda value: value if isinstance(value, str) else value.title)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("peers")


@cache
def computed(library, folder):
    """({title: values}, {name: arguments}): of the library if it is installed, else what was written down of it."""
    if not find_spec(library):
        return dialect_peers.read(dialect_peers.DATA/f"{library}.npz")
    path = folder/f"{library}.npz"
    done = python(f"import dialect_peers, pathlib; dialect_peers.write({library!r}, pathlib.Path({str(path)!r}))")
    assert done.returncode == 0, done.stderr
    return dialect_peers.read(path)


def made(library, case, **more):
    arguments = dict(case.arguments)
    if case.scheduled:
        arguments[case.scheduled] = case.value
    return get_opt(case.name, like=library, **arguments, **case.options, **more)


# Arithmetic

@each_case
def test_sixty_steps_as_the_library_takes_them(library, case, folder):
    opt = made(library, case)
    got = dialect_peers.run(lambda params, grads, t: opt.step(params, grads, **dialect_peers.told(case, params)))
    wanted = computed(library, folder)[0][case.title]
    assert abs(got - wanted).max() <= CLOSE*abs(wanted).max()


@each_library
def test_what_is_written_down_is_of_these_cases(library):
    values, _ = dialect_peers.read(dialect_peers.DATA/f"{library}.npz")
    assert list(values) == [case.title for case in CASES[library]]


@each_library
def test_every_optimizer_has_a_case(library):
    assert {*names(get_opt, library)} == {case.name for case in CASES[library]} | {
        "chainer": {"NesterovAG"}, "optax": {"rprop", "madgrad"}, "torch": {"SparseAdam"}}.get(library, set())


def test_where_the_library_is_wrong_or_takes_other_gradients():
    """Chainer's NesterovAG applies momentum^2 to the new velocity, optax's rprop steps one call late. PyTorch's SparseAdam takes
    sparse gradients alone:
    test_sparse_of_peers.py."""
    assert type(get_opt("NesterovAG", like="chainer")) is type(get_opt("Nesterov"))
    assert type(get_opt("rprop", 0.01, like="optax")) is type(get_opt("Rprop"))
    assert type(get_opt("SparseAdam", like="torch")) is type(get_opt("SparseAdam"))


# Arguments

@each_optimizer
def test_arguments_and_defaults_are_the_librarys(name, like, folder):
    wanted = computed(like, folder)[1].get(name)
    if wanted is None:          # scikit-learn's solvers have no constructor that is public
        assert like == "sklearn" or (name, like) in [("SparseAdam", "torch"), ("NesterovAG", "chainer"),
                                                            ("rprop", "optax"), ("madgrad", "optax")]
        return
    entry = row(get_opt, name, like)
    ours = {key: "" if each.default is each.empty else repr(each.default) for key, each in entry.parameters.items()}
    common = [key for key in ours if key in wanted]
    assert set(wanted) <= set(ours)
    assert {*ours} - {*wanted} <= {"fused", "capturable", "differentiable", "foreach"}      # not in all of PyTorch's
    for key in common:
        if key in ("learning_rate", "clip_value_fn") and name in ("adadelta", "adopt"):    # None; a function
            continue
        same = number(ours[key]) == number(wanted[key]) or {ours[key], wanted[key]} <= {"None", "'adam'"}
        assert same or key == "name", (key, ours[key], wanted[key])
    positional = [key for key, each in entry.parameters.items() if each.kind is not each.KEYWORD_ONLY]
    assert positional == [key for key in wanted if key in positional]


def number(text):
    return eval(text, {}) if re.fullmatch(r"[\d.e+-]+|\([\d., ]+\)|True|False|None", text) else text


@pytest.mark.parametrize(("name", "like", "wrong", "nearest"), [
    ("Adam", "torch", "bettas", "betas"), ("SGD", "torch", "learning", ""), ("adam", "optax", "beta1", ""),
    ("Adam", "keras", "beta1", "beta_1"), ("Adam", "keras", "clip_nrom", "clip"),
    ("SGD", "chainer", "lrr", "lr")])
def test_arguments_that_the_library_has_not(name, like, wrong, nearest):
    with pytest.raises(TypeError, match=rf"^get_opt\('{name}', like='{like}'\) has no argument '{wrong}'") as caught:
        optimizer(name, like, **{wrong: 0.1})
    assert not nearest or f"did you mean {nearest}" in str(caught.value)


@pytest.mark.parametrize(("name", "like", "argument", "value"), [
    ("Adam", "torch", "foreach", True), ("Adam", "torch", "fused", True), ("SGD", "torch", "differentiable", True),
    ("NAdam", "torch", "capturable", True), ("Adam", "keras", "use_ema", True),
    ("Adam", "keras", "gradient_accumulation_steps", 4), ("adamw", "optax", "mask", {"w": True}),
    ("adam", "optax", "mu_dtype", "bfloat16"), ("adam", "sklearn", "alpha", 1e-4),
    ("sgd", "sklearn", "learning_rate", "adaptive")])
def test_arguments_that_fastnn_has_not(name, like, argument, value):
    with pytest.raises(TypeError, match=rf"^get_opt\('{name}', like='{like}'\): fastnn has no {argument}"):
        optimizer(name, like, **{argument: value})
    default = row(get_opt, name, like).parameters[argument].default
    for harmless in (None, False, default):
        optimizer(name, like, **{argument: harmless})


def test_values_are_checked_as_ever():
    for kwds, error in (({"lr": -1}, "alpha (lr) must be at least 0"), ({"lr": "x"}, "must be a number"),
                        ({"betas": (0.9, 1)}, "beta2 must be"), ({"betas": 0.9}, "betas must be a pair"),
                        ({"betas": (1, 2, 3)}, "betas must be a pair"), ({"weight_decay": -1}, "l2 must be")):
        with pytest.raises((TypeError, ValueError), match=re.escape(error)):
            get_opt("Adam", like="torch", **kwds)
    with pytest.raises(ValueError, match="nesterov needs a momentum and no dampening"):
        get_opt("SGD", like="torch", nesterov=True)
    with pytest.raises(TypeError, match="takes no parameters at construction"):
        get_opt("Adam", [np.ones(3)], like="torch")
    with pytest.raises(TypeError, match="multiple values|missing"):
        get_opt("Adam", 1e-3, like="torch", lr=1e-3)
    with pytest.raises(TypeError, match="missing a required argument: 'learning_rate'"):
        get_opt("adam", like="optax")
    with pytest.raises(TypeError, match="l2 is given twice"):
        get_opt("Adam", like="torch", weight_decay=0.1, l2=0.2)


def test_by_position_as_in_the_library():
    assert repr(get_opt("Adam", 0.1, (0.5, 0.75), 1e-4, like="torch")) == repr(
        get_opt("Adam", 0.1, 0.5, 0.75, 1e-4))
    assert repr(get_opt("adam", 0.1, 0.5, 0.75, like="optax")) == repr(get_opt("Adam", 0.1, 0.5, 0.75))


def test_what_is_made_is_said():
    """A rule of the catalogue where it has the arithmetic; the library's own under its name where it has not."""
    opt = get_opt("Adam", like="torch", lr=0.1, weight_decay=0.01)
    assert opt.like is None and repr(opt) == repr(get_opt("Adam", 0.1, l2=0.01))
    opt = get_opt("AdamW", like="torch")
    assert (opt.weight_decay, opt.l2) == (0.01, 0)
    opt = get_opt("Adam", like="keras", amsgrad=True)
    assert repr(opt) == ("get_opt('Adam', learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07, like='keras', "
                         "amsgrad=True)")
    assert opt.lr == opt.learning_rate == 1e-3


def test_the_repr_tells_no_lie_of_a_word_that_means_something_else_there():
    opt = get_opt("Adagrad", like="torch", lr_decay=0.1, l2=0.1)
    before = repr(opt)
    assert get_opt("Adagrad", like="torch", lr_decay=0.1, weight_decay=0.1).l2 == 0.1
    opt.weight_decay = 0.2
    assert repr(opt) == f"<{before} with weight_decay=0.2>"
    opt.weight_decay = 0
    assert repr(opt) == before and repr(eval(before)) == before
    opt = get_opt("Adam", like="keras", maximize=True)
    opt.weight_decay, opt.clip_norm = 0.2, 1.0
    assert repr(eval(repr(opt))) == repr(opt) and "weight_decay=0.2" in repr(opt)


# What goes on around the rule

def step(opt, params, t):
    opt.step(params, {key: dialect_peers.gradient(key, p, t) for key, p in params.items()})


def started(opt):
    params = dialect_peers.start()
    for t in range(1, 4):
        step(opt, params, t)
    return params


def assert_goes_on(opt, params, other):
    mine, wanted = copy.deepcopy(params), copy.deepcopy(params)
    for t in (4, 5):
        step(opt, wanted, t)
        step(other, mine, t)
    for key, p in wanted.items():
        assert_same_bits(mine[key], p)


each_made = pytest.mark.parametrize(("library", "case"), [
    (library, next(case for case in CASES[library] if case.title == title))
    for library in LIBRARIES for title in {type(made(library, case)): case.title for case in CASES[library]
                                           if not case.scheduled}.values()],
    ids=lambda value: value if isinstance(value, str) else value.title)


@each_made
def test_copies_states_and_files(library, case, tmp_path):
    opt = made(library, case)
    params = started(opt)
    again = eval(repr(opt), {"get_opt": get_opt})
    assert type(again) is type(opt) and repr(again) == repr(opt)
    again.load_state_dict(opt.state_dict())
    for other in (again, copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))):
        assert type(other) is type(opt) and repr(other) == repr(opt)
        assert_goes_on(copy.deepcopy(opt), params, other)
    if find_spec("safetensors"):
        fastnn.save(tmp_path/"file", opt=opt)
        other = made(library, case)
        fastnn.load(tmp_path/"file", opt=other)
        assert_goes_on(opt, params, other)


@each_made
def test_in_float32_and_in_fewer_bits(library, case):
    opt = made(library, case)
    exact = started(opt)
    for state_dtype in ("float32", *(("bfloat16", "int8") if type(opt).stored else ())):
        params = {key: p.astype(np.float32) for key, p in dialect_peers.start().items()}
        small = made(library, case, state_dtype=state_dtype)
        for t in range(1, 4):
            step(small, params, t)
        for key, p in params.items():
            assert abs(p - exact[key]).max() <= (1e-5 if state_dtype == "float32" else 0.1)*abs(exact[key]).max()


@each_optimizer
def test_no_gradient_no_step(name, like):
    opt, params = optimizer(name, like, **({"weight_decay": 0} if like == "optax" and "weight_decay" in
                                           row(get_opt, name, like).parameters else {})), {"W": np.ones(3)}
    opt.weight_decay = opt.l2 = 0
    opt.step(params, {"W": np.zeros(3)})
    assert (params["W"] == 1).all() or name in ("yogi", "ASGD", "fromage")         # which decay


def test_groups_are_in_the_librarys_words():
    opt = get_opt("Adam", like="torch", weight_decay=0.1, groups=[
        group("b*", weight_decay=0), group("g*", lr=0.5, betas=(0.5, 0.999), clip_value=1.0)])
    first, second = opt.groups
    assert first.values() == {"l2": 0} and second.values() == {"alpha": 0.5, "beta1": 0.5, "clip_value": 1.0}
    assert (opt.l2, first.l2, second.l2) == (0.1, 0, 0.1)
    opt = get_opt("AdamW", like="torch", groups=[group("b*", weight_decay=0.0)])
    assert opt.groups[0].weight_decay == 0 and opt.weight_decay == 0.01
    opt = get_opt("Adam", like="keras", groups=[group("b*", learning_rate=0.5, clipnorm=1.0)])
    assert opt.groups[0].lr == 0.5 and opt.groups[0].clip_norm == 1
    with pytest.raises(TypeError, match="amsgrad would change the rule"):
        get_opt("Adam", like="torch", groups=[group("b*", amsgrad=True)])
    with pytest.raises(TypeError, match="fastnn has no fused"):
        get_opt("Adam", like="torch", groups=[group("b*", fused=True)])
    with pytest.raises(TypeError, match="has no hyperparameter 'nonsense'"):
        get_opt("Adam", like="torch", groups=[group("b*", nonsense=1)])
    with pytest.raises(TypeError, match="groups must be a list"):
        get_opt("Adam", like="torch", groups=3)


@pytest.mark.parametrize(("name", "like", "word", "decay"), [
    ("Adam", "torch", "weight_decay", "l2"), ("SGD", "torch", "weight_decay", "l2"),
    ("AdamW", "torch", "weight_decay", "weight_decay"), ("adamw", "optax", "weight_decay", "weight_decay"),
    ("adadelta", "optax", "weight_decay", "l2"), ("SGD", "keras", "weight_decay", "weight_decay"),
    ("AdamW", "chainer", "weight_decay_rate", "weight_decay")])
def test_which_decay_is_meant(name, like, word, decay):
    opt = optimizer(name, like, **{word: 0.25})
    assert {key: getattr(opt, key) for key in ("l2", "weight_decay")} == {"l2": 0, "weight_decay": 0} | {decay: 0.25}


def test_schedules_may_be_given_wherever_a_number_may():
    falling = fastnn.schedules.cosine(1e-3, 100)
    opt = get_opt("Adam", like="torch", lr=falling, weight_decay=falling)
    assert opt.lr is falling and opt.l2 is falling
    opt = get_opt("SGD", like="torch", momentum=falling)
    assert opt.momentum is falling
    opt = get_opt("Adam", like="keras", learning_rate=falling, weight_decay=falling, clipnorm=falling)
    assert opt.learning_rate is opt.weight_decay is opt.clip_norm is falling


# Names

@each_library
@pytest.mark.parametrize("get", MAKERS)
def test_everything_can_be_made(get, library):
    for name in names(get, library):
        entry = row(get, name, library)
        required = {key: each for key, each in entry.__signature__.parameters.items() if each.default is each.empty}
        known = {"learning_rate": 0.01, "negative_slope": 0.2, **THRESHOLD}
        kwds = {key: known[key] for key in required}
        if library == "keras" and "from_logits" in entry.parameters:
            kwds["from_logits"] = True
        if get is get_opt:
            kwds |= {key: value for key, value in musts(name, library).items() if key == "nesterov"}
        if (name, library) == ("gelu", "optax"):
            kwds["approximate"] = False
        one = get(name, like=library, **kwds)
        assert one.name in MAKERS[get].names() or one.like == "torch" or one.like == library
        assert type(eval(repr(one), {get.__name__: get})) is type(one)
        for spelling in (name.upper(), name.replace("_", "-")):
            assert type(get(spelling, like=library, **kwds)) is type(one)


@pytest.mark.parametrize(("get", "name", "other"), [
    (get_act, "linear", "identity"), (get_act, "silu", "Swish"), (get_act, "swish", "Swish"),
    (get_opt, "GradientDescent", "SGD")])
def test_names_that_people_type(get, name, other):
    assert type(get(name)) is type(get(other)) and get(name).name == other
    assert name not in MAKERS[get].names()


@pytest.mark.parametrize("name", ["mse", "MSE", "mean_squared_error", "MSELoss"])
def test_the_mean_squared_error_is_not_square(name):
    assert get_err(name).name == "squared-error" and get_err(name)(3.0, 1.0) == 2*get_err("Square")(3.0, 1.0) == 4


@pytest.mark.parametrize(("said", "like"), [
    ("jax", "optax"), ("JAX", "optax"), ("jax.nn", "optax"), ("pytorch", "torch"), ("PyTorch", "torch"),
    ("scikit-learn", "sklearn"), ("tf.keras", "keras")])
def test_other_words_for_sources(said, like):
    for get, name in ((get_act, "relu"), (get_err, names(get_err, like)[0])):
        assert repr(get(name, like=said)) == repr(get(name, like=like))
    if like == "optax":
        with pytest.raises(ValueError, match="optimizers that go with it are optax's: like='optax'"):
            get_opt("adam", like=said, learning_rate=0.1)
    else:
        name = names(get_opt, like)[0]
        assert repr(get_opt(name, like=said)) == repr(get_opt(name, like=like))


@pytest.mark.parametrize(("name", "said"), [
    ("cross_entropy", "softmax-cross-entropy of logits, as in PyTorch, or Cross of probabilities"),
    ("categorical_crossentropy", "logits, or get_err('CategoricalCrossentropy', like='keras') of probabilities"),
    ("SparseCategoricalCrossentropy", "of logits, or get_err("), ("binary_focal_crossentropy", "sigmoid-focal, of logits"),
    ("KLDivergence", "log_input=False of probabilities"), ("cosine_similarity", "cosine, which is 1 minus the similarity"),
    ("margin_ranking_loss", "get_err('MarginRankingLoss', like='torch')")])
def test_names_that_mean_one_thing_here_and_another_there(name, said):
    with pytest.raises(ValueError, match=f"^Unknown error function: '{name}' \\(it is .*{re.escape(said)}"):
        get_err(name)


@pytest.mark.parametrize(("get", "name", "said"), [
    (get_err, "msee", "did you mean mse, which is squared-error"), (get_act, "Sillu", "SiLU, which is Swish"),
    (get_opt, "GradientDescnt", "GradientDescent, which is SGD")])
def test_names_that_are_nearly_an_alias(get, name, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        get(name)


def test_words_of_others_that_are_taken_or_told():
    assert get_err("quantile", alpha=0.25).q == get_err("pinball", tau=0.25).q == 0.25
    assert get_act("snake", alpha=2).a == 2 and get_act("ACON").name == "ACON-C"
    for get, name, word, said in (
            (get_act, "GELU", "approximate", "GELU-tanh is"), (get_act, "ReLU", "negative_slope", "leaky-ReLU has"),
            (get_act, "ReLU", "max_value", "ReLU-k has"), (get_act, "softmax", "dim", "did you mean axis"),
            (get_act, "softmax", "tau", "did you mean temperature"),
            (get_err, "softmax-cross-entropy", "weight", "class_weight"),
            (get_err, "softmax-cross-entropy", "ignore_index", "ignore_label"), (get_err, "mse", "reduce", "reduction"),
            (get_err, "MAPE", "eps", "epsilon")):
        with pytest.raises(TypeError, match=f"'{word}' .*{said}"):
            get(name, **{word: 0.5})
    with pytest.raises(ValueError, match="PReLU learns its alpha"):
        get_act("leaky-ReLU", learn="alpha")


@pytest.mark.parametrize(("get", "name"), [
    (get_err, "xylophone"), (get_act, "jjjj"), (get_opt, "xylophone")])
def test_an_unknown_name_lists_what_there_is(get, name):
    for like in (None, "torch", "keras"):
        with pytest.raises(ValueError, match="there are ") as caught:
            get(name, like=like)
        known = MAKERS[get].names() if like is None else names(get, like)
        assert all(each in str(caught.value) for each in known)


def test_a_name_that_the_library_has_not():
    with pytest.raises(ValueError, match="PyTorch has no 'Lion'; without like= there is one"):
        get_opt("Lion", like="torch")
    with pytest.raises(ValueError, match="did you mean Adam"):
        get_opt("Addam", like="torch")


@pytest.mark.parametrize(("like", "name"), [(like, name) for like, found in dialects.OTHER_RULES.items()
                                            for name in found])
def test_names_whose_rule_is_another_one(like, name):
    with pytest.raises(ValueError, match=f"^there is no '{name.upper()}' like .*docs/dialects.md"):
        get_opt(name.upper(), like=like)
    assert name not in names(get_opt, like)


def test_the_book():
    for name in fastnn.dlfs.__all__:
        assert type(get_opt(name, like="dlfs")) is getattr(fastnn.dlfs, name)
    assert type(get_act("relu", like="dlfs")) is type(get_act("ReLU"))


def test_dialects_are_imported_when_they_are_asked_for():
    done = python("import fastnn, sys; print([name for name in sys.modules if name.startswith('fastnn.dialects.')]); "
                  "fastnn.get_opt('Adam', like='torch'); print('torch' in sys.modules)")
    assert done.stdout.split() == ["[]", "False"], done.stderr


# Activations and losses

X = np.linspace(-4, 4, 161)


@pytest.mark.parametrize("like", ["torch", "keras", "optax"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hard_sigmoid(like, dtype):
    x, act = X.astype(dtype), get_act("hard-sigmoid", like=like)
    wanted = np.clip((x.astype(np.longdouble) + 3)/6, 0, 1)
    assert (abs(act.forward(x) - wanted) <= 2*np.finfo(dtype).eps*wanted).all()
    inside = abs(x) < 3
    np.testing.assert_allclose(act.backward(x), inside/dtype(6), rtol=np.finfo(dtype).eps)
    np.testing.assert_allclose(act.backward(x, act.forward(x)),
                               inside/dtype(6), rtol=np.finfo(dtype).eps)
    assert (act.d2y(x) == 0).all() and np.isnan(act.forward(dtype(np.nan))) and np.isnan(act.backward(dtype(np.nan)))
    for copied in (copy.deepcopy(act), pickle.loads(pickle.dumps(act)), eval(repr(act))):
        assert type(copied) is type(act) and and_same(copied.forward(x), act.forward(x))


def and_same(one, other):
    assert_same_bits(one, other)
    return True


@pytest.mark.parametrize("like", ["chainer", None])
def test_the_other_hard_sigmoid(like):
    np.testing.assert_allclose(get_act("hard-sigmoid", like=like).forward(X), np.clip(0.2*X + 0.5, 0, 1), atol=1e-15)


@pytest.mark.parametrize(("like", "name"), [
    ("torch", "MSELoss"), ("torch", "mse"), ("torch", "Square"), ("keras", "MeanSquaredError"), ("keras", "mse"),
    ("optax", "squared_error"), ("chainer", "mean_squared_error"), ("sklearn", "mean_squared_error"), ("sklearn", "mse")])
def test_squared_errors(like, name):
    err, y, t = get_err(name, like=like), X, np.sin(X)
    assert err.reduction == ("none" if like == "optax" else "mean")
    np.testing.assert_allclose(err.forward(y, t, reduction="none"), (y - t)**2, rtol=1e-15)
    np.testing.assert_allclose(err.backward(y, t, reduction="none"), 2*(y - t), rtol=1e-15)
    assert err.total_error() == pytest.approx(np.mean((y - t)**2))
    for copied in (copy.deepcopy(err), pickle.loads(pickle.dumps(err)), eval(repr(err))):
        assert type(copied) is type(err) and and_same(copied.backward(y, t), err.backward(y, t))


def test_half_of_it():
    for name, like in (("l2_loss", "optax"), ("squared_error", "sklearn"), ("mean_squared_error", "dlfs")):
        assert type(get_err(name, like=like)) is type(get_err("Square"))


@pytest.mark.parametrize(("name", "like", "kwds", "other"), [
    ("Cross", "torch", {}, "softmax-cross-entropy"), ("CrossEntropyLoss", "torch", {}, "softmax-cross-entropy"),
    ("Binary", "torch", {}, "Binary"), ("BCELoss", "torch", {}, "Binary"),
    ("BCEWithLogitsLoss", "torch", {"reduction": "mean"}, "sigmoid-binary-cross-entropy"),
    ("BinaryCrossentropy", "keras", {"from_logits": True}, "sigmoid-binary-cross-entropy"),
    ("Cross", "keras", {"from_logits": True}, "softmax-cross-entropy"),
    ("softmax_cross_entropy", "optax", {}, "softmax-cross-entropy"),
    ("softmax_cross_entropy", "chainer", {}, "softmax-cross-entropy")])
def test_cross_entropies(name, like, kwds, other):
    assert isinstance(get_err(name, like=like, **kwds), type(get_err(other)))


def test_what_is_refused_of_losses_and_activations():
    for get, name, like, kwds, said in (
            (get_err, "MSELoss", "torch", {"size_average": 1}, "size_average must be True, False or None"),
            (get_err, "MSELoss", "torch", {"reduction": "avg"}, "reduction must be one of"),
            (get_err, "KLDivLoss", "torch", {"reduction": "batchmean"}, "divided by the number of rows"),
            (get_err, "multi_margin_loss", "torch", {}, "sums over all classes"),
            (get_err, "BCELoss", "torch", {"weight": [1.0]}, "sample_weight="),
            (get_err, "BCEWithLogitsLoss", "torch", {"pos_weight": [[1.0, 2.0]]}, "for each column of the last axis, not"),
            (get_err, "CrossEntropyLoss", "torch", {"ignore_index": 0.5}, "ignore_label must be an integer"),
            (get_err, "CrossEntropyLoss", "torch", {"label_smothing": 0.5}, "did you mean label_smoothing"),
            (get_err, "BinaryFocalCrossentropy", "keras", {}, "fastnn has it with from_logits=True"),
            (get_err, "MeanSquaredError", "keras", {"dtype": "float32"}, "fastnn has no dtype"),
            (get_err, "CategoricalHinge", "keras", {"reduction": "avg"}, "reduction must be one of"),
            (get_err, "CategoricalFocalCrossentropy", "keras", {}, "clips at 1e-7"),
            (get_err, "kl_divergence", "optax", {"axis": 0}, "axis must be -1"),
            (get_err, "mean_squared_error", "sklearn", {"reduction": "sum"}, "reduction is given twice"),
            (get_err, "softmax_cross_entropy", "chainer", {"class_weight": [1, 2]}, "divides by the rows"),
            (get_err, "sigmoid_cross_entropy", "chainer", {"normalize": False}, "ignored ones among them"),
            (get_err, "sigmoid_cross_entropy", "chainer", {"reduce": "sum"}, "reduce must be"),
            (get_act, "ReLU", "torch", {"inplace": True}, "fastnn has no inplace"),
            (get_act, "Softplus", "torch", {"beta": 2}, "beta must be 1"),
            (get_act, "Softplus", "torch", {"threshold": 5}, "threshold must be at least 20"),
            (get_act, "Hardtanh", "torch", {"min_val": 2}, "at most high"),
            (get_act, "relu", "keras", {"max_value": 3, "negative_slope": 0.1}, "max_value"),
            (get_act, "ELU", "torch", {"alhpa": 3}, "did you mean alpha")):
        with pytest.raises((TypeError, ValueError), match=said):
            get(name, like=like, **kwds)


@pytest.mark.parametrize(("name", "like", "kwds", "attribute", "value"), [
    ("LeakyReLU", "torch", {}, "alpha", 0.01), ("leaky_relu", "chainer", {}, "alpha", 0.2),
    ("leaky_relu", "keras", {"negative_slope": 0.2}, "alpha", 0.2), ("leaky_relu", "optax", {"negative_slope": 0.3}, "alpha", 0.3),
    ("Softmax", "torch", {"dim": 0}, "axis", 0), ("Softmax2d", "torch", {}, "axis", -3),
    ("softmax", "chainer", {}, "axis", 1),
    ("softmax", "keras", {}, "axis", -1), ("Hardshrink", "torch", {"lambd": 0.25}, "lambda_", 0.25),
    ("SELU", "torch", {}, "lambda_", 1.0507009873554804934193349852946),
    ("selu", "chainer", {"scale": 1.5}, "lambda_", 1.5)])
def test_arguments_of_activations(name, like, kwds, attribute, value):
    assert getattr(get_act(name, like=like, **kwds), attribute) == value


# beside the defaults of every elementwise activation, these arguments
ALSO = {
    "torch": {"Hardtanh": [{"min_val": -2.0, "max_val": 0.5}, {"min_val": 0.0, "max_val": 6.0}],
              "GELU": [{"approximate": "tanh"}],
              "LeakyReLU": [{"negative_slope": 0.25}, {"negative_slope": -0.25}, {"negative_slope": 0.0}],
              "ELU": [{"alpha": 0.5}, {"alpha": 2.0}], "CELU": [{"alpha": 0.5}], "Hardshrink": [{"lambd": 2.0}],
              "Softshrink": [{"lambd": 2.0}, {"lambd": 0.0}], "Threshold": [{"threshold": 0.0, "value": 0.0}]},
    "jax": {"leaky_relu": [{"negative_slope": 0.25}], "elu": [{"alpha": 0.5}], "celu": [{"alpha": 0.5}],
            "squareplus": [{"b": 0.5}], "gelu": [{"approximate": False}]}}
# where docs/dialects.md says that the library's derivative, or value and derivative, are others
SLOPES_APART = {("jax", "sparse_sigmoid"): (-1, 1)}
APART = {("torch", "Softplus"): (20.5, 30.0, 400.0)}
NEAR = {("torch", "Hardsigmoid"): 1e-7, ("jax", "tanh"): 1e-9}     # 1/6 in float32; 1 - tanh^2, which cancels


def of_library(library, kind):
    """(name, arguments) of each activation of that kind that the library has."""
    like = {"jax": "optax"}.get(library, library)
    for name in names(get_act, like):
        required = THRESHOLD if name == "Threshold" else {}
        if get_act(name, like=like, **required).kind == kind:
            yield from ((name, arguments) for arguments in [required, *ALSO[library].get(name, ())])


def torch_value_and_slope(name, arguments, x):
    import torch
    x = torch.tensor(x, requires_grad=True)
    y = getattr(torch.nn, name)(**arguments)(x)
    y.backward(torch.cos(torch.arange(x.numel(), dtype=x.dtype)).reshape(x.shape))
    return y.detach().numpy(), x.grad.numpy()


def jax_value_and_slope(name, arguments, x):
    import jax
    with jax.enable_x64(True):
        y, pull = jax.vjp(lambda x: getattr(jax.nn, name)(x, **arguments), jax.numpy.asarray(x))
        return np.asarray(y), np.asarray(pull(jax.numpy.cos(jax.numpy.arange(float(x.size))).reshape(x.shape))[0])


def beside(library, name, arguments, x):
    """(value, x's gradient) of the library and here, of a gradient without zeros."""
    theirs = {"torch": torch_value_and_slope, "jax": jax_value_and_slope}[library](name, arguments, x)
    assert theirs[0].dtype == np.float64
    act = get_act(name, like={"jax": "optax"}.get(library, library), **arguments)
    grad = np.cos(np.arange(float(x.size))).reshape(x.shape)
    y = act.forward(x)
    and_same(act.backward(x, y, grad=grad) if act.kind == "elementwise" else np.zeros(1),
             act.backward(x, grad=grad) if act.kind == "elementwise" else np.zeros(1))
    return theirs, (y, act.backward(x, grad=grad))


@pytest.mark.parametrize("library", ALSO)
def test_activations_are_those_of_the_library(library):
    """Every one: values and slopes, at 0 and -0, at each kink, and far out; but where docs/dialects.md says otherwise."""
    pytest.importorskip(library)
    x = np.concatenate([np.linspace(-8, 8, 129), [-0.0, 0.0, -0.3, 0.7, 20.0, 20.5, 30.0, -30.0, 400.0, -400.0]])
    found = list(of_library(library, "elementwise"))
    assert len(found) > 25
    for name, arguments in found:
        (y, slope), (ours, our_slope) = beside(library, name, arguments, x)
        near = NEAR.get((library, name), 1e-12)
        same = ~np.isin(x, APART.get((library, name), ()))
        np.testing.assert_allclose(ours[same], y[same], rtol=1e-12, atol=1e-13, err_msg=f"{name} {arguments}")
        same &= ~np.isin(x, SLOPES_APART.get((library, name), ()))
        np.testing.assert_allclose(our_slope[same], slope[same], rtol=near, atol=1e-13, err_msg=f"{name} {arguments}")


@pytest.mark.parametrize(("library", "name"), [*SLOPES_APART, *APART])
def test_where_they_are_apart(library, name):
    """What docs/dialects.md says of them is still so."""
    pytest.importorskip(library)
    x = np.array([*SLOPES_APART.get((library, name), ()), *APART.get((library, name), ())], float)
    (y, slope), (ours, our_slope) = beside(library, name, {}, x)
    assert (slope != our_slope).any()
    np.testing.assert_allclose(y, ours, rtol=1e-9)


@pytest.mark.parametrize("library", ALSO)
def test_infinities_and_nan_where_the_library_is_not_nan(library):
    """f of infinity is its limit, and so is f', where libraries may have NaN; NaN gives NaN."""
    pytest.importorskip(library)
    x = np.array([np.inf, -np.inf, np.nan])
    for name, arguments in of_library(library, "elementwise"):
        (y, slope), (ours, our_slope) = beside(library, name, arguments, x)
        assert np.isnan(ours[2]) and np.isnan(our_slope[2]), name
        for theirs, here in ((y, ours), (slope, our_slope)):
            told = ~np.isnan(theirs[:2])
            np.testing.assert_allclose(here[:2][told], theirs[:2][told], rtol=1e-7, err_msg=f"{name} {arguments}")


@pytest.mark.parametrize("library", ALSO)
def test_softmax_and_its_like_are_those_of_the_library(library):
    pytest.importorskip(library)
    rng, found = np.random.default_rng(0), list(of_library(library, "rows"))
    assert found
    for name, _ in found:
        x = rng.normal(size=(2, 3, 4, 5) if name == "Softmax2d" else (5, 8))*3
        for axis in (0, 1):
            given = {} if name == "Softmax2d" else {"dim" if library == "torch" else "axis": axis}
            (y, slope), (ours, our_slope) = beside(library, name, given, x)
            np.testing.assert_allclose(ours, y, rtol=1e-12, atol=1e-14, err_msg=name)
            np.testing.assert_allclose(our_slope, slope, rtol=1e-11, atol=1e-14, err_msg=name)


@pytest.mark.parametrize(("name", "like", "arguments", "other", "values"), [
    ("hard_silu", "keras", {}, "hard-swish", {}), ("hard_sigmoid", "keras", {}, "h-sigmoid", {}),
    ("gelu", "keras", {"approximate": True}, "GELU-tanh", {}), ("gelu", "keras", {}, "GELU", {}),
    ("relu", "keras", {"max_value": 3}, "ReLU-k", {"k": 3}), ("exponential", "keras", {}, "exponential", {}),
    ("squareplus", "keras", {}, "squareplus", {"b": 4}), ("sparse_plus", "keras", {}, "sparse-plus", {}),
    ("sparse_sigmoid", "keras", {}, "sparse-sigmoid", {}), ("clipped_relu", "chainer", {}, "ReLU-k", {"k": 20}),
    ("exp", "chainer", {}, "exponential", {}), ("erf", "chainer", {}, "erf", {}),
    ("arctan", "chainer", {}, "arctan", {}), ("sin", "chainer", {}, "sinusoid", {}),
    ("crelu", "chainer", {}, "CReLU", {"axis": 1})])
def test_what_names_of_activations_mean(name, like, arguments, other, values):
    act = get_act(name, like=like, **arguments)
    assert type(act) is type(get_act(other))
    assert {key: getattr(act, key) for key in values} == values


def test_rules_of_their_own_are_documented():
    for library in LIBRARIES:
        module = import_module(f"fastnn.dialects.{library}")
        rules = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, Rule)]
        assert all(each.__doc__ and each.like for each in rules if each is not Rule)
        assert all(isinstance(row(get_opt, name, library), Row) for name in names(get_opt, library))
