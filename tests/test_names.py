"""Names, hyperparameters, reprs, copies, and the articles' own calling sequences."""
import copy
import inspect
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest

import fastnn
from fastnn import get_act, get_err, get_opt
from helpers import ELEMENTWISE, LOSSES, ROWS, activation, assert_same_bits, python, seeded

ARTICLE_A = {
    get_act: """step identity bent-identity hard-shrink soft-shrink threshold sigmoid hard-sigmoid log-sigmoid
                tanh tanh-shrink hard-tanh ReLU ReLU6 leaky-ReLU ELU SELU CELU softmax softmin log-softmax softplus
                softsign Swish Mish tanhExp""",
    get_opt: """SGD SDG MSGD NAG AdaGrad RMSprop AdaDelta Adam RMSpropGraves SMORMS3 AdaMax Nadam Eve SantaE
                SantaSSS AMSGrad AdaBound AMSBound""",
    get_err: "Square Binary Cross",
}
LISTS = {get_act: fastnn.activations, get_opt: fastnn.optimizers, get_err: fastnn.losses}
NOUNS = {get_act: "activator", get_opt: "optimizer", get_err: "error function"}
REQUIRED = {"threshold": {"threshold": 0.5, "value": -0.25}, "maxout": {"n_prev": 4, "n": 3, "k": 2}}
EVERYTHING = [(get, name) for get, names in LISTS.items() for name in names()]

each_entry = pytest.mark.parametrize(("get", "name"), EVERYTHING)
each_get = pytest.mark.parametrize("get", LISTS)
each_activation = pytest.mark.parametrize("name", ELEMENTWISE + ROWS)


def make(get, name, **kwds):
    return get(name, **REQUIRED.get(name, {}) | kwds)


@pytest.mark.parametrize("name", ["datasets", "dlfs", "nn"])
def test_submodules_are_imported_when_they_are_asked_for(name):
    done = python(f"import fastnn, sys; n = 'fastnn.{name}'; print(n in sys.modules, fastnn.{name} is sys.modules[n])")
    assert done.stdout.split() == ["False", "True"]
    with pytest.raises(AttributeError, match="no attribute 'nnn'"):
        fastnn.nnn


@each_get
def test_the_lists(get):
    """The articles' names, each once, among others; "SDG" is another name of SGD. A list is the caller's own.

    That nothing else is missing, test_benchmarks.py looks up in the source.
    """
    listed = LISTS[get]()
    assert {*ARTICLE_A[get].split()} - {"SDG"} <= {*listed} and "SDG" not in listed
    assert len({*listed}) == len(listed)
    listed.clear()
    assert LISTS[get]()
    assert type(get_opt("SDG")) is type(get_opt("SGD")) and get_opt("SDG").name == "SGD"


@each_entry
def test_spellings(get, name):
    wanted = type(make(get, name))
    bare = name.replace("-", "")
    for spelling in (name.upper(), name.lower(), name.replace("-", "_"), name.replace("-", " "), f" {name} ",
                     bare, f"-{'_'.join(bare)}-", " ".join(bare.upper())):
        assert type(get(spelling, **REQUIRED.get(name, {}))) is wanted


@each_entry
def test_names_that_are_nearly_right(get, name):
    for wrong in {name + "x", name[:-1] + "qq", name[0] + name} - {"ELUx", "RReLU"}:
        if len(name) > 3:
            with pytest.raises(ValueError, match=f"Unknown {NOUNS[get]}") as caught:
                get(wrong)
            assert wrong in str(caught.value) and "did you mean" in str(caught.value)
            assert any(known in str(caught.value).split("did you mean")[1] for known in LISTS[get]())


@each_get
@pytest.mark.parametrize("name", ["", " ", "-", "xylophone", "Ada\nGrad", "\u212aELU", "a"*10000])
def test_unknown_names(get, name):
    with pytest.raises(ValueError, match=f"Unknown {NOUNS[get]}") as caught:
        get(name)
    assert repr(name)[1:-1] in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


@each_get
@pytest.mark.parametrize("name", [None, 3, b"ReLU", ["ReLU"], np.float64])
def test_names_are_strings(get, name):
    with pytest.raises(TypeError, match="must be a string"):
        get(name)


@pytest.mark.parametrize(("get", "name", "nearest"), [
    (get_act, "mich", "Mish"), (get_act, "leakyrelou", "leaky-ReLU"), (get_act, "soft-max", None),
    (get_opt, "adm", "Adam"),
    (get_opt, "rms-propp", "RMSprop"), (get_err, "crss", "Cross"),
    (get_err, "softmaxcrossentrpy", "softmax-cross-entropy")])
def test_nearest_name(get, name, nearest):
    if nearest is None:
        assert get(name).name == "softmax"
        return
    with pytest.raises(ValueError, match=f"did you mean .*{nearest}"):
        get(name)


# Hyperparameters

@each_entry
def test_unknown_hyperparameters(get, name):
    for wrong in ("nonsense", "x", "self", "names"):
        with pytest.raises(TypeError, match=wrong):
            make(get, name, **{wrong: 1})
    with pytest.raises(TypeError):
        get(name, *[0.5]*(len(make(get, name).hyperparameters) + 1))


@pytest.mark.parametrize(("get", "name", "wrong", "nearest"), [
    (get_act, "ELU", "alhpa", "alpha"), (get_act, "hard-shrink", "lambda", "lambda_"),
    (get_act, "softmax", "axes", "axis"),
    (get_act, "threshold", "treshold", "threshold"), (get_opt, "Adam", "beta", "beta1"),
    (get_opt, "SGD", "etta", "eta")])
def test_nearest_hyperparameter(get, name, wrong, nearest):
    with pytest.raises(TypeError, match=f"{wrong}.*did you mean .*{nearest}"):
        make(get, name, **{wrong: 0.5})


def test_missing_hyperparameters():
    for args, missing in (((), "threshold"), ((0.5,), "value")):
        with pytest.raises(TypeError, match=missing):
            get_act("threshold", *args)
    with pytest.raises(TypeError, match="multiple values for argument 'threshold'"):
        get_act("threshold", 0.5, threshold=0.5)


@pytest.mark.parametrize(("get", "name", "key", "value", "range_"), [
    (get_act, "ELU", "alpha", 1e12, "below 1e.12"), (get_act, "ELU", "alpha", -1e12, "above -1e.12"),
    (get_act, "ELU", "alpha", math.nan, "above -1e.12"),
    (get_act, "ELU", "alpha", math.inf, "below 1e.12"),
    pytest.param(get_act, "ELU", "alpha", 10**400, "below 1e.12", id="huge"),
    (get_act, "SELU", "lambda_", 0, "at least 1e-06"), (get_act, "CELU", "alpha", 0.0, "at least 1e-12"),
    (get_act, "leaky-ReLU", "alpha", -1e30, "above -1e.30"), (get_act, "Swish", "beta", 0, "at least 1e-09"),
    (get_act, "hard-shrink", "lambda_", -1e-9, "at least 0"),
    (get_act, "soft-shrink", "lambda_", -math.inf, "at least 0"),
    (get_act, "threshold", "value", math.nan, "finite"),
    (get_act, "threshold", "threshold", math.inf, "finite"),
    (get_act, "maxout", "n", 0, "at least 1"), (get_act, "maxout", "wb_width", -1, "at least 0"),
    (get_opt, "Adam", "beta1", 1.0, "below 1"), (get_opt, "SGD", "eta", math.nan, ""),
    (get_opt, "RMSprop", "rho", -0.1, "at least 0")])
def test_out_of_range(get, name, key, value, range_):
    told = rf"{key} (\(lr\) )?must be .*{range_}"
    with pytest.raises(ValueError, match=told):
        make(get, name, **{key: value})
    made = make(get, name)
    before = getattr(made, key)
    with pytest.raises(ValueError, match=told):
        setattr(made, key, value)
    assert getattr(made, key) == before


@pytest.mark.parametrize("value", ["1", None, 1j, True, [1.0], np.ones(1), object()])
def test_hyperparameters_are_numbers(value):
    for call in (lambda: get_act("ELU", value), lambda: get_act("threshold", 1, value),
                 lambda: setattr(get_act("ELU"), "alpha", value)):
        with pytest.raises(TypeError, match="must be a number"):
            call()


@pytest.mark.parametrize("value", [2, np.float32(2), np.int8(2), Fraction(2), 2.0])
def test_any_real_number_will_do(value):
    assert repr(get_act("ELU", value)) == repr(get_act("ELU", alpha=2.0))


@each_entry
def test_signature(get, name):
    made = make(get, name)
    parameters = inspect.signature(type(made)).parameters
    assert list(parameters) == [*made.hyperparameters, *made.options]
    for key, parameter in parameters.items():
        assert (parameter.default is parameter.empty) == (key in REQUIRED.get(name, {}))
        if isinstance(parameter.default, float):
            assert getattr(made, key) == parameter.default


@each_activation
def test_signatures_of_methods(name):
    act = activation(name) if name in ELEMENTWISE else get_act(name)
    assert list(inspect.signature(act.forward).parameters) == ["x", "out"]
    assert list(inspect.signature(act.backward).parameters) == ["x", "y", "grad", "out"]
    assert list(inspect.signature(act.d2y).parameters) == ["x", "out"]
    assert act.forward.__doc__ and type(act).__doc__


@pytest.mark.parametrize(("name", "parameters"), [
    ("ELU", {"alpha": 1.0}), ("CELU", {"alpha": 1.0}), ("SELU", {"lambda_": 1.0507, "alpha": 1.67326}),
    ("leaky-ReLU", {"alpha": 0.01}), ("hard-shrink", {"lambda_": 0.5}), ("soft-shrink", {"lambda_": 0.5}),
    ("Swish", {"beta": 1.0}),
    ("softmax", {"axis": -1}), ("softmin", {"axis": -1}), ("log-softmax", {"axis": -1})])
def test_defaults(name, parameters):
    for key, value in parameters.items():
        assert getattr(get_act(name), key) == value


@each_entry
def test_repr_rebuilds(get, name):
    made = make(get, name)
    again = eval(repr(made), {"get_act": get_act, "get_opt": get_opt, "get_err": get_err})
    assert type(again) is type(made) and repr(again) == repr(made)
    assert all(getattr(again, key) == getattr(made, key) for key in made.hyperparameters)
    assert repr(name) in repr(made)


@pytest.mark.parametrize("made", [
    get_act("ELU", 1/3), get_act("Swish", beta=1e-9), get_act("softmax", axis=None), get_act("softmin", 0),
    get_act("threshold", -1, 5), get_act("maxout", 4, 3, 2, rng=11), get_opt("Adam", lr=0.1, beta2=0.5),
    get_opt("SantaE", rng=3)], ids=lambda made: made.name)
def test_repr_rebuilds_what_is_not_the_default(made):
    again = eval(repr(made), {"get_act": get_act, "get_opt": get_opt})
    for key in set(made.hyperparameters) - {"rng"}:
        assert getattr(again, key) == getattr(made, key)
    assert repr(again) == repr(made)


# Copies

COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy,
          "pickle": lambda made: pickle.loads(pickle.dumps(made)),
          "old pickle": lambda made: pickle.loads(pickle.dumps(made, 2))}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@each_activation
def test_copies_of_activations(copied, name):
    act = activation(name) if name in ELEMENTWISE else get_act(name, axis=0)
    for key in act.hyperparameters:
        setattr(act, key, 0 if key == "axis" else 0.7)
    again = copied(act)
    x = np.random.default_rng(0).normal(size=(40, 3))
    wanted = act.forward(x)
    assert type(again) is type(act) and repr(again) == repr(act)
    assert_same_bits(again.forward(x), wanted)
    for key in act.hyperparameters:
        setattr(again, key, None if key == "axis" else 0.2)
    assert_same_bits(act.forward(x), wanted)


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("name", LOSSES)
def test_copies_of_losses(copied, name):
    y, t = np.random.default_rng(0).uniform(0.1, 0.9, (2, 3, 4))
    err = get_err(name)
    loss, gradient = err.forward(y, t), err.backward()
    again = copied(err)
    assert_same_bits(again.forward(y, t), loss)
    assert_same_bits(again.backward(), gradient)


READ = """
import pickle, sys
from pathlib import Path
import numpy as np
x = np.full((2, 4), 0.5)
for path in sorted(Path(sys.argv[1]).glob("*.pickle")):
    print(path.stem, flush=True)
    made, wanted = pickle.loads(path.read_bytes())
    got = made.forward(*[x]*len(made.inputs)) if hasattr(made, "total_error") else made.forward(x)
    assert got.tobytes() == wanted
"""


@pytest.mark.parametrize("get", [get_act, get_err])
def test_pickles_are_read_by_another_process(get, tmp_path):
    """Where the kernels lie elsewhere in memory."""
    x = np.full((2, 4), 0.5)
    for name in LISTS[get]():
        made = make(get, name)
        if getattr(made, "kind", None) == "random":
            made.training = False               # else the next noise is another
        wanted = made.forward(x) if get is get_act else made.forward(*[x]*len(made.inputs))
        (tmp_path/f"{name}.pickle").write_bytes(pickle.dumps((made, wanted.tobytes())))
    done = python(READ, tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


@pytest.mark.parametrize("made", [
    "get_act('ReLU')", "get_act('softmax')", "get_err('Square')", "get_err('softmax-cross-entropy')"])
def test_an_object_without_init_is_an_error_and_no_crash(made):
    """As of a subclass that forgets super().__init__()."""
    done = python("import numpy as np\n"
                  "from fastnn import get_act, get_err\n"
                  f"cls = type({made})\n"
                  "made, x = cls.__new__(cls), np.ones((2, 2))\n"
                  "made.forward(x, x) if hasattr(cls, 'total_error') else made.forward(x)")
    assert done.returncode == 1 and "Error" in done.stderr


def test_copies_of_maxout():
    act = get_act("maxout", 4, 3, 2, rng=1)
    x = np.ones((5, 4))
    for copied in COPIES.values():
        assert_same_bits(copied(act).forward(x), act.forward(x))
    again = copy.deepcopy(act)
    again.w += 1
    assert not np.shares_memory(again.w, act.w)


# Article A's calling sequences

@pytest.mark.parametrize("name", ARTICLE_A[get_act].split())
def test_calls_of_activations(name):
    act = make(get_act, name)
    x = np.random.default_rng(0).normal(size=(5, 4))
    y = act.forward(x)
    grad = act.backward(x, y)
    assert y.shape == grad.shape == x.shape
    assert act.update() is act.update(1, 2, t=3) is None
    assert_same_bits(act.backward(x), grad)


@pytest.mark.parametrize("name", ARTICLE_A[get_err].split())
def test_calls_of_losses(name):
    err = get_err(name)
    y, t = np.random.default_rng(0).uniform(0.1, 0.9, (2, 5, 4))
    error = err.forward(y, t)
    assert err.error is error and err.backward(y, t).shape == error.shape == y.shape
    assert err.total_error() == pytest.approx(np.sum(err.error)/err.error.size)


@pytest.mark.parametrize("name", [name for name in ARTICLE_A[get_opt].split() if name != "NAG"])
def test_calls_of_optimizers(name):
    # with an unlucky draw SantaSSS leaves float64's range in three steps
    opt, rng = get_opt(name, **seeded(name, 0)), np.random.default_rng(0)
    w, b = rng.normal(size=(4, 3)), rng.normal(size=3)
    for t in range(1, 4):
        dw, db = opt.update(rng.normal(size=(4, 3)), rng.normal(size=3), t=t, f=1/t)
        w += dw
        b += db
    assert np.isfinite(w).all() and np.isfinite(b).all()


@pytest.mark.parametrize("name", ["Lookahead", "exponential average", "ACCUMULATE", "SAM"])
def test_wrappers_are_no_optimizers_by_name_and_the_error_says_what_they_are(name):
    with pytest.raises(ValueError, match=r"^Unknown optimizer: .* \(it is fastnn\.\w+\(get_opt\("):
        fastnn.get_opt(name)
    assert not {"Lookahead", "SAM"} & set(fastnn.optimizers())


@pytest.mark.parametrize("name", ["L-BFGS", "lbfgs", "L-BFGS-B"])
def test_who_looks_for_lbfgs_is_told_of_minimize(name):
    with pytest.raises(ValueError, match=r"\(it is fastnn\.nn\.minimize\(network, x, t\)\)$"):
        fastnn.get_opt(name)


def test_the_functions_of_articles_say_that_they_take_no_like():
    for get in (fastnn.articles.get_act, fastnn.articles.get_opt, fastnn.articles.get_err):
        with pytest.raises(TypeError, match="^like: functions of fastnn.articles are like='article' by themselves"):
            get("Adam", like=None)


def test_the_bounds_authors_word_for_their_last_rate():
    for name in ("AdaBound", "AMSBound"):
        opt = fastnn.get_opt(name, final_lr=0.2)
        assert opt.eta == opt.final_lr == 0.2
    with pytest.raises(TypeError, match="SGD has no hyperparameter 'final_lr'"):
        fastnn.get_opt("SGD", final_lr=0.2)


@pytest.mark.parametrize("loss", [None, "0.5", [0.5], 1j])
def test_a_loss_that_is_no_number(loss):
    opt, params = fastnn.get_opt("Eve"), {"w": np.ones(2)}
    with pytest.raises(TypeError, match="^the loss f must be a number, not"):
        opt.step(params, {"w": np.ones(2)}, f=loss)
    assert opt.t == 0 and (params["w"] == 1).all()
