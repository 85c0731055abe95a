"""Hyperparameters and options: what they take, what they keep, by which names, and what cannot be set."""
import copy
import functools
import inspect
import math
import pickle
import re
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

import fastnn
from fastnn import dlfs, get_act, get_err, get_opt
from fastnn.hyperparameters import Choice, Configurable, Flag, Hyperparameter, Option
from fastnn.optimizers import Optimizer

RATES = {"Adam": "alpha", "SGD": "eta", "Momentum": "lr", "AdaDelta": "lr", "AdaBound": "alpha", "SantaE": "eta"}
OPTIONS = {"weight_decay": 0, "l2": 0, "l1": 0, "clip_value": None, "clip_norm": None, "clip_global_norm": None,
           "clip_adaptive": None, "maximize": False, "grad_scale": 1, "centralize": False, "output_axis": -1}
ADAM = type(get_opt("Adam"))


def halved(t):
    return 0.5**t


class Ten:
    """A schedule that is an object."""

    def __call__(self, t):
        return 10.0

    def __repr__(self):
        return "Ten()"


# Numbers

NUMBERS = {"float": 0.25, "int": 1, "Fraction": Fraction(1, 4), "float32": np.float32(0.25),
           "float16": np.float16(0.25), "longdouble": np.longdouble(0.25), "int8": np.int8(1), "bfloat16":
           ml_dtypes.bfloat16(0.25), "array": np.array(0.25), "float32 array": np.array(0.25, np.float32),
           "int array": np.array(1), "bfloat16 array": np.array(0.25, ml_dtypes.bfloat16),
           "object array": np.array(Fraction(1, 4), object)}


@pytest.mark.parametrize("value", NUMBERS.values(), ids=NUMBERS)
def test_numbers_become_python_floats(value):
    made = get_opt("Adam", lr=value, grad_scale=value)
    for opt in (made, get_opt("Adam")):
        opt.lr = opt.grad_scale = value
        for kept in (opt.alpha, opt.grad_scale):
            assert type(kept) is float and kept == float(value)
    act = get_act("ELU")
    act.alpha = value
    assert type(act.alpha) is float and act.alpha == float(value)


def test_a_float32_is_not_rounded_to_fewer_digits():
    opt = get_opt("SGD")
    opt.lr = np.float32(0.1)
    assert opt.eta == 0.10000000149011612


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3), np.array(3, np.int16)])
def test_integers_become_python_ints(value):
    opt = get_opt("SantaE", N=value, output_axis=value)
    opt.burnin = value
    assert {type(kept) for kept in (opt.N, opt.output_axis, opt.burnin)} == {int}
    assert opt.N == opt.output_axis == opt.burnin == 3


WRONG = {"bool": True, "bool_": np.True_, "bool array": np.array(True), "string": "0.1", "None": None, "complex": 1j,
         "complex array": np.array(1j), "vector": np.array([0.1]), "list": [0.1], "date": np.datetime64(1, "s"),
         "text array": np.array("0.1"), "class": float, "class with call": Ten}


def title(name, of="alpha"):
    """What errors call a hyperparameter, as a pattern: the learning rate has the word that users know, too."""
    return rf"{name} \(lr\)" if name == of != "lr" else name


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("name", ["alpha", "grad_scale", "weight_decay", "clip_norm"])
def test_no_numbers(name, value):
    if name == "clip_norm" and value is None:
        assert get_opt("Adam", clip_norm=None).clip_norm is None
        return
    opt = get_opt("Adam", **{name: 0.5})
    shown = "not array" if isinstance(value, np.ndarray) else f"not {re.escape(repr(value))}"
    with pytest.raises(TypeError, match=f"{title(name)} must be a number.* or a schedule, {shown}"):
        get_opt("Adam", **{name: value})
    with pytest.raises(TypeError, match=f"{title(name)} must be a number.* or a schedule, {shown}"):
        setattr(opt, name, value)
    assert getattr(opt, name) == 0.5


@pytest.mark.parametrize("value", [1.0, np.float32(1), np.array(1.0), True, "1", None])
def test_no_integers(value):
    for name in ("N", "output_axis"):
        with pytest.raises(TypeError, match=f"{name} must be an integer.*, not"):
            get_opt("SantaE", **{name: value})


@pytest.mark.parametrize("value", [np.float32("nan"), np.array(np.inf), np.array(-0.5), -1, 10**400])
def test_range_of_numpy_numbers(value):
    opt = get_opt("Adam")
    for name in ("alpha", "l2", "weight_decay"):
        wanted = "at least 0 and finite, not inf" if value > 1 else "at least 0, not"
        with pytest.raises(ValueError, match=f"{title(name)} must be {wanted}"):
            setattr(opt, name, value)
    assert (opt.alpha, opt.l2, opt.weight_decay) == (1e-3, 0, 0)


# Schedules

@pytest.mark.parametrize("schedule", [halved, Ten(), lambda t: 0.1, np.sqrt])
def test_schedules_are_kept_as_they_are(schedule):
    opt = get_opt("Adam", lr=schedule, weight_decay=schedule, clip_norm=schedule, beta1=schedule)
    opt.eps = schedule
    assert all(getattr(opt, name) is schedule for name in ("alpha", "weight_decay", "clip_norm", "beta1", "eps", "lr"))
    opt.lr = 0.5
    assert opt.alpha == 0.5


@pytest.mark.parametrize(("make", "key"), [(lambda **kwds: get_act("ELU", **kwds), "alpha"),
                                           (lambda **kwds: get_act("threshold", **{"value": 0, **kwds}), "threshold"),
                                           (lambda **kwds: get_opt("Adam", **kwds), "maximize"),
                                           (lambda **kwds: get_opt("Adam", **kwds), "output_axis")])
def test_where_there_are_no_schedules(make, key):
    with pytest.raises(TypeError, match=f"{key} must be .*, not <function halved.*: it takes no schedule"):
        make(**{key: halved})


def descriptor(name, of="Adam"):
    return getattr(type(get_opt(of)), name)


@pytest.mark.parametrize("given", [0.25, np.float32(0.25), np.array(0.25), Fraction(1, 4)])
def test_number_at_a_step(given):
    found = descriptor("alpha").at(lambda t: given*t, 3)
    assert type(found) is float and found == 0.75
    assert descriptor("alpha").at(0.1, 3) == 0.1
    assert descriptor("clip_norm").at(None, 3) is None
    assert descriptor("clip_norm").at(lambda t: None, 3) is None
    assert type(descriptor("N", "SantaE").at(lambda t: np.int64(t), 5)) is int
    assert descriptor("anne_func", "SantaE").at(halved, 3) is halved
    assert descriptor("maximize").at(True, 1) is True


@pytest.mark.parametrize(("name", "given", "error"), [
    ("alpha", -0.5, ValueError), ("alpha", np.nan, ValueError), ("beta1", 1.0, ValueError), ("beta1", "0.9", TypeError),
    ("alpha", None, TypeError), ("alpha", True, TypeError), ("alpha", np.array([0.1]), TypeError),
    ("clip_norm", 0, ValueError), ("grad_scale", np.inf, ValueError), ("alpha", halved, TypeError)])
def test_a_schedule_that_gives_what_could_not_be_set(name, given, error):
    class Given:
        def __call__(self, t):
            return given

        def __repr__(self):
            return "Given()"

    told = rf"^{title(name)} must be .*, not .*the schedule Given\(\) gives at t = 17"
    with pytest.raises(error, match=told) as caught:
        descriptor(name).at(Given(), 17)
    assert (repr(given) if isinstance(given, str) else str(given)) in str(caught.value)


class Failing:
    """A schedule or a group's function that fails."""

    def __init__(self, error):
        self.error = error

    def __call__(self, *args):
        raise self.error


@pytest.mark.parametrize(("error", "kind"), [
    (KeyError("mine"), ValueError), (ZeroDivisionError("mine"), ValueError), (AttributeError("mine"), ValueError),
    (TypeError("mine"), TypeError), (ValueError("mine"), ValueError)])
def test_a_schedule_that_fails(error, kind):
    """The hyperparameter, the schedule and t are named, and the group whose value it is."""
    where = rf"alpha \(lr\): at t = 2 the schedule Failing raises {type(error).__name__}: '?mine"
    for opt, told in ((get_opt("Adam", lr=Failing(error)), f"^{where}"),
                      (get_opt("Adam", lr=Failing(error), groups=[fastnn.group("a", l2=1)]), f"^{where}"),
                      (get_opt("Adam", groups=[fastnn.group("a", lr=Failing(error))]),
                       rf"^group\('a', alpha=.*\): {where}")):
        with pytest.raises(kind, match=told) as caught:
            opt.update({"a": np.ones(2)}, {"a": np.ones(2)}, t=2)
        assert type(caught.value) is kind and caught.value.__cause__ is error and opt.t == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), RuntimeError("in use"), TimeoutError()])
def test_what_comes_through_a_schedule_is_left_alone(error):
    with pytest.raises(type(error)) as caught:
        get_opt("Adam", lr=Failing(error)).step(np.ones(2), np.ones(2))
    assert caught.value is error


class NoStep:
    def __call__(self):
        return 0.1


class Own:
    def none(self):
        return 0.1

    def one(self, t):
        return 0.1


@pytest.mark.parametrize("wrong", [
    lambda: 0.1, lambda a, b: 0.1, lambda *, t: 0.1, NoStep(), Own().none, functools.partial(halved, 1),
    fastnn.schedules.warmup])
def test_functions_that_cannot_be_called_with_t(wrong):
    for make in (lambda: get_opt("Adam", lr=wrong), lambda: setattr(get_opt("Adam"), "lr", wrong),
                 lambda: get_opt("Adam", groups=[fastnn.group("a", lr=wrong)])):
        with pytest.raises(TypeError, match=r"alpha \(lr\): .* cannot be called with t: "):
            make()


@pytest.mark.parametrize("right", [
    lambda t, more=1: 0.1, lambda *t: 0.1, Own().one, functools.partial(pow, 0.5), functools.lru_cache(halved), np.sqrt,
    math.sqrt, fastnn.schedules.cosine(1, 10)])
def test_functions_that_can(right):
    assert get_opt("Adam", lr=right).lr is right


def test_a_schedule_that_has_not_been_made():
    for wrong in (fastnn.schedules.cosine, "cosine"):
        with pytest.raises(TypeError, match=r"alpha \(lr\) must be .*: call it, schedules\.cosine\(value, steps, \*,"):
            get_opt("Adam", lr=wrong)
    with pytest.raises(TypeError, match="not 'cosines'$"):
        get_opt("Adam", lr="cosines")
    with pytest.raises(TypeError, match=r"join: schedules\[0\] must be .*: call it, schedules\.cosine\("):
        fastnn.schedules.join([fastnn.schedules.cosine, halved], [3])


def test_stored_and_restored():
    alpha, fills = descriptor("alpha"), []
    assert alpha.stored(0.1) == 0.1 and alpha.restored(0.1, halved, fills) == 0.1
    stored = alpha.stored(halved)
    assert stored == {"function": "halved"}
    assert alpha.restored(stored, halved, fills) is halved and not fills
    for current in (0.1, Ten()):
        with pytest.raises(ValueError, match=r"alpha \(lr\): the schedule must be the function 'halved' as in"):
            alpha.restored(stored, current, fills)
    with pytest.raises(TypeError, match=r"alpha \(lr\) must be"):
        alpha.restored(halved, halved, fills)                      # a function is no plain data


# Options

@pytest.mark.parametrize("name", [name for name in fastnn.optimizers()])
def test_options_of_every_optimizer(name):
    cls = type(get_opt(name))
    assert cls.options == tuple(OPTIONS)
    assert not set(cls.hyperparameters) & set(OPTIONS)
    parameters = inspect.signature(cls).parameters
    assert list(parameters) == [*cls.hyperparameters, *OPTIONS]
    for key, default in OPTIONS.items():
        given = parameters[key].default
        assert given == default or key == "weight_decay" and given > 0          # AdamW's
        assert parameters[key].kind is parameters[key].KEYWORD_ONLY and getattr(get_opt(name), key) == given
    for key in cls.hyperparameters:
        assert parameters[key].kind is parameters[key].POSITIONAL_OR_KEYWORD


def test_options_are_not_given_by_position():
    with pytest.raises(TypeError, match="too many positional"):
        get_opt("SGD", 0.1, 0.01)


def test_repr_shows_options_that_differ():
    assert repr(get_opt("SGD")) == "get_opt('SGD', eta=0.01)"
    assert repr(get_opt("SGD", weight_decay=0, clip_norm=None, maximize=False)) == "get_opt('SGD', eta=0.01)"
    opt = get_opt("SGD", weight_decay=0.1, clip_norm=5, maximize=np.True_, output_axis=0)
    shown = "get_opt('SGD', eta=0.01, weight_decay=0.1, clip_norm=5.0, maximize=True, output_axis=0)"
    assert repr(opt) == shown == repr(eval(shown, {"get_opt": get_opt}))
    opt.weight_decay, opt.maximize = 0, False
    assert repr(opt) == "get_opt('SGD', eta=0.01, clip_norm=5.0, output_axis=0)"
    assert repr(get_opt("SGD", Ten())) == "get_opt('SGD', eta=Ten())"


@pytest.mark.parametrize("name", ["maximize", "centralize"])
def test_flags(name):
    opt = get_opt("Adam")
    for value in (True, np.True_, False, np.False_):
        setattr(opt, name, value)
        assert getattr(opt, name) is bool(value)
    for wrong in (0, 1, 1.0, None, "True", np.array(True)):
        with pytest.raises(TypeError, match=f"{name} must be True or False, not"):
            setattr(opt, name, wrong)
        with pytest.raises(TypeError, match=f"{name} must be True or False, not"):
            get_opt("Adam", **{name: wrong})


@pytest.mark.parametrize("name", ["clip_value", "clip_norm", "clip_global_norm", "clip_adaptive"])
def test_limits(name):
    opt = get_opt("Adam", **{name: 2})
    assert type(getattr(opt, name)) is float
    setattr(opt, name, None)
    assert getattr(opt, name) is None
    for wrong in (0, -1, np.inf, np.nan):
        wanted = "above 0 and finite" if wrong == np.inf else "above 0"
        with pytest.raises(ValueError, match=f"{name} must be {wanted}, not"):
            setattr(opt, name, wrong)


def test_one_clip_at_a_time():
    with pytest.raises(ValueError, match="clipped by one of clip_value and clip_norm"):
        get_opt("Adam", clip_norm=1, clip_value=1)
    opt = get_opt("Adam", clip_norm=1)
    with pytest.raises(ValueError, match="clipped by one of clip_norm and clip_adaptive"):
        opt.clip_adaptive = halved
    assert opt.clip_adaptive is None
    opt.clip_norm = None
    opt.clip_adaptive = halved
    assert opt.clip_adaptive is halved


def test_options_declared_by_a_class():
    class First(Configurable):
        b = Option(2.0)
        a = Hyperparameter(1.0)

    class Second(First):
        flag = Flag()
        c = Hyperparameter(3.0)
        choice = Choice(None, lambda value: value)

    assert (First.hyperparameters, First.options) == (("a",), ("b",))
    assert (Second.hyperparameters, Second.options) == (("a", "c", "choice"), ("b", "flag"))
    assert str(inspect.signature(Second)) == "(a=1.0, c=3.0, choice=None, *, b=2.0, flag=False)"
    assert repr(Second(5, flag=True)) == "Second(a=5.0, c=3.0, flag=True)"

    class Third(First):
        b = Hyperparameter(7.0)             # the nearest declaration decides

    assert (Third.hyperparameters, Third.options) == (("b", "a"), ()) and Third(8).b == 8


# Words of other libraries

@pytest.mark.parametrize("word", ["lr", "learning_rate", "stepsize", "step_size"])
@pytest.mark.parametrize("name", RATES)
def test_words_for_the_learning_rate(name, word):
    opt = get_opt(name, **{word: 0.5})
    assert getattr(opt, RATES[name]) == getattr(opt, word) == 0.5
    setattr(opt, word, np.float32(0.25))
    assert getattr(opt, RATES[name]) == getattr(opt, word) == opt.lr == 0.25
    with pytest.raises(ValueError, match=f"{title(RATES[name], RATES[name])} must be"):
        setattr(opt, word, -1)
    assert word not in opt.__dict__ or word == RATES[name]


@pytest.mark.parametrize(("name", "word", "meant"), [
    ("Adam", "epsilon", "eps"), ("Adam", "beta_1", "beta1"), ("Adam", "b1", "beta1"), ("Adam", "beta_2", "beta2"),
    ("Adam", "b2", "beta2"), ("RMSprop", "decay_rate", "rho"), ("AdaDelta", "decay_rate", "rho"),
    ("RMSpropGraves", "epsilon", "eps")])
def test_words(name, word, meant):
    opt = get_opt(name, **{word: 0.5})
    assert getattr(opt, meant) == getattr(opt, word) == 0.5
    setattr(opt, word, 0.25)
    assert getattr(opt, meant) == getattr(opt, word) == 0.25
    assert f"{meant}=0.25" in repr(opt)


def test_betas():
    opt = get_opt("Adam", betas=(0.5, 0.75))
    assert (opt.beta1, opt.beta2) == opt.betas == (0.5, 0.75)
    opt.betas = np.array([0.25, 0.5])
    assert opt.betas == (0.25, 0.5) and type(opt.beta2) is float
    opt.betas = halved, 0.5
    assert opt.beta1 is halved
    opt.betas = 0.25, 0.5
    for wrong in (0.9, (0.9,), (0.1, 0.2, 0.3), "ab", None):
        with pytest.raises(TypeError, match="a pair \\(beta1, beta2\\) is expected, not"):
            opt.betas = wrong
        with pytest.raises(TypeError, match="a pair \\(beta1, beta2\\) is expected, not"):
            get_opt("Adam", betas=wrong)
    with pytest.raises(ValueError, match="beta2 must be"):
        opt.betas = 0.75, 1
    assert opt.betas == (0.25, 0.5)                         # neither is set


@pytest.mark.parametrize(("name", "given", "row", "values"), [
    ("SGD", {"momentum": 0.5}, "SGDMomentum", {"momentum": 0.5, "dampening": 0}),
    ("SGD", {"momentum": 0, "nesterov": False, "dampening": 0.25}, "SGDMomentum", {"momentum": 0, "dampening": 0.25}),
    ("sgd", {"momentum": 0.5, "nesterov": True, "lr": 2}, "SGDNesterov", {"momentum": 0.5, "eta": 2}),
    ("SGD", {"nesterov": np.False_, "lr": 3}, "SGD", {"eta": 3}),
    ("RMSprop", {"momentum": 0.5, "rho": 0.25}, "RMSpropMomentum", {"momentum": 0.5, "rho": 0.25}),
    ("RMSprop", {"centered": True}, "RMSpropCentered", {"eta": 0.01}),
    ("RMSprop", {"centered": False, "weight_decay": 0.5}, "RMSprop", {"weight_decay": 0.5}),
    ("RMSprop", {"centered": True, "momentum": 0.5}, "RMSpropCenteredMomentum", {"momentum": 0.5})])
def test_arguments_that_ask_for_more_state(name, given, row, values):
    opt = get_opt(name, **given)
    assert opt.name == row and {key: getattr(opt, key) for key in values} == values
    again = eval(repr(opt), {"get_opt": get_opt})
    assert type(again) is type(opt) and repr(again) == repr(opt)
    twin = get_opt(row)
    opt.step(np.ones(3), np.ones(3))
    twin.load_state_dict(opt.state_dict())
    assert repr(twin) == repr(opt)


@pytest.mark.parametrize(("name", "given", "told"), [
    ("SGD", {"nesterov": True}, "SGD: nesterov goes with momentum"),
    ("SGD", {"momentum": 0.9, "nesterov": 1}, "SGD: nesterov must be True or False, not 1"),
    ("SGD", {"momentum": 0.9, "nesterov": True, "dampening": 0.1}, "SGDNesterov has no hyperparameter 'dampening'"),
    ("SGD", {"momentum": 0.9, "like": "article"}, "SGD has no hyperparameter 'momentum'"),
    ("RMSprop", {"centered": None}, "RMSprop: centered must be True or False, not None")])
def test_arguments_that_ask_for_no_rule(name, given, told):
    with pytest.raises(TypeError, match=f"^{told}"):
        get_opt(name, **given)


def test_pairs_and_triples_of_a_rules_own():
    assert get_opt("Rprop", etas=(0.25, 2), step_sizes=(1e-3, 8)).step_sizes == (1e-3, 8)
    opt = get_opt("AggMo", betas=(0.25, 0.5, 0.75))
    assert opt.betas == (opt.beta1, opt.beta2, opt.beta3) == (0.25, 0.5, 0.75)
    with pytest.raises(TypeError, match="a sequence of 3 \\(beta1, beta2, beta3\\) is expected, not"):
        opt.betas = 0.5, 0.75


@pytest.mark.parametrize(("name", "given", "told"), [
    ("Adam", {"lr": 1, "alpha": 1}, "lr is alpha, give one of them"),
    ("Adam", {"alpha": 1, "stepsize": 1}, "stepsize is alpha, give one of them"),
    ("Adam", {"lr": 1, "learning_rate": 1}, "lr and learning_rate are alpha, give one of them"),
    ("Momentum", {"learning_rate": 1, "lr": 1}, "learning_rate is lr, give one of them"),
    ("Adam", {"betas": (0, 0), "beta2": 0}, "betas is beta1 and beta2, give one of them"),
    ("Adam", {"beta1": 0, "betas": (0, 0)}, "betas is beta1 and beta2, give one of them"),
    ("Adam", {"b1": 0, "beta_1": 0}, "b1 and beta_1 are beta1, give one of them"),
    ("RMSprop", {"rho": 0.5, "decay_rate": 0.5}, "decay_rate is rho, give one of them")])
def test_two_words_for_one(name, given, told):
    with pytest.raises(TypeError, match=f"^{name}: {told}"):
        get_opt(name, **given)


def test_a_word_and_a_position():
    with pytest.raises(TypeError, match="multiple values for argument 'alpha'"):
        get_opt("Adam", 0.1, learning_rate=0.1)


@pytest.mark.parametrize("given", [[np.ones(3)], np.ones(3), {"w": np.ones(3)}, (np.ones(3), np.ones(2))])
@pytest.mark.parametrize("make", [functools.partial(get_opt, "Adam"), dlfs.Adam])
def test_parameters_are_not_for_the_constructor(make, given):
    for words in ({}, {"lr": 0.1}):
        with pytest.raises(TypeError, match="takes no parameters at construction: .* opt.step"):
            make(given, **words)


@pytest.mark.parametrize(("name", "word", "told"), [
    ("RMSprop", "alpha", "PyTorch's alpha is rho; the learning rate is eta"),
    ("RMSprop", "decay", "optax's decay is rho; parameters decay by weight_decay, the learning rate by a schedule"),
    ("Adam", "decay", "parameters decay by weight_decay, the learning rate by a schedule"),
    ("MSGD", "momentum", "did you mean mu"), ("NAG", "momentum", "did you mean mu"),
    ("AdaGrad", "momentum", 'get_opt("SGD", momentum=0.9) has it'), ("SGD", "dampening", 'get_opt("SGD", momentum=0.9'),
    ("Momentum", "nesterov", 'get_opt("SGD", momentum=0.9, nesterov=True) has it'),
    ("Momentum", "mu", "did you mean momentum"), ("Adam", "amsgrad", 'get_opt("AMSGrad") is that'),
    ("Adam", "gamma", "a learning rate decays by a schedule: fastnn.schedules"), ("Adam", "eta", "did you mean alpha"),
    ("SGD", "alpha", "did you mean eta"), ("Adam", "rho", "did you mean beta2"),
    ("Adam", "aplha", "did you mean alpha"),
    ("SGD", "momentun", 'did you mean momentum? get_opt("SGD", momentum=0.9) has it'),
    ("Adam", "clipnorm", "did you mean clip_norm"), ("Adam", "clipvalue", "did you mean clip_value"),
    ("Adam", "global_clipnorm", "did you mean clip_global_norm"), ("Adam", "max_norm", "did you mean clip_global_norm"),
    ("Adam", "max_grad_norm", "did you mean clip_global_norm or clip_norm?"),
    ("Adam", "LR", "did you mean lr?"), ("Adam", "Alpha", "did you mean alpha?"), ("SGD", "L2", "did you mean l2?"),
    ("Adam", "Beta_1", "did you mean beta1?"), ("SGD", "wd", "did you mean weight_decay?"),
    ("SGD", "initial_lr", "did you mean eta?"), ("RMSprop", "discounting_factor", "did you mean rho?"),
    ("Momentum", "beta", "did you mean momentum?"), ("SGD", "use_nesterov", 'get_opt("SGD", momentum=0.9, nest'),
    ("AdaGrad", "lr_decay", "a learning rate decays by a schedule"), ("Adam", "iter", "the number of steps is opt.t"),
    ("Adam", "centered", 'get_opt("RMSprop", centered=True) has it; centralize takes the mean out of gradients'),
    ("Adam", "warmup", "a learning rate warms up in a schedule: schedules.cosine(1e-3, 10_000, warmup=500)"),
    ("Adam", "freeze", 'a group freezes parameters: groups=[group("b*", freeze=True)]'),
    ("Adam", "weightdecay", "did you mean weight_decay"), ("Adam", "learningrate", "did you mean learning_rate"),
    ("Adam", "state_dtyp", "did you mean state_dtype"), ("Adam", "group", "did you mean groups")])
def test_words_that_are_not_understood(name, word, told):
    with pytest.raises(TypeError) as caught:
        get_opt(name, **{word: 0.5})
    assert f"{name} has no hyperparameter {word!r} ({told}" in str(caught.value)
    opt = get_opt(name)
    with pytest.raises(AttributeError) as caught:
        setattr(opt, word, 0.5)
    assert f"{name} has no attribute {word!r} ({told}" in str(caught.value)
    assert word not in opt.__dict__


@pytest.mark.parametrize("word", ["eps", "epsilon", "betas", "beta_1", "b1", "beta2", "rho", "foreach", "fused",
                                  "minimize", "EPS", "tau"])
@pytest.mark.parametrize(("name", "like"), [("SGD", None), ("AdaGrad", "article")])
def test_words_for_what_a_rule_lacks(name, like, word):
    """Nothing that is merely spelled alike is proposed."""
    with pytest.raises(TypeError, match=f"^{name} has no hyperparameter '{word}'$"):
        get_opt(name, like=like, **{word: 0.5})


@pytest.mark.parametrize(("make", "word", "told"), [
    (lambda: get_opt("Adam"), "decay_rate", "Adam has no attribute 'decay_rate' (did you mean beta2?)"),
    (lambda: get_opt("SGD"), "epsilon", "SGD has no attribute 'epsilon'"),
    (lambda: get_opt("Adam"), "m", "m is state of each parameter: see opt.state"),
    (lambda: dlfs.AdaGrad(), "h", "h is state of each parameter: see opt.state"),
    (lambda: dlfs.Adam(), "iter", "Adam has no attribute 'iter' (the number of steps is opt.t)"),
    (lambda: get_act("leaky-ReLU"), "slope", "leaky-ReLU has no attribute 'slope' (did you mean alpha?)"),
    (lambda: Recording(), "other", "Adam has no attribute 'other'")])
def test_attributes_that_are_read(make, word, told):
    made = make()
    for _ in range(2):
        with pytest.raises(AttributeError) as caught:
            getattr(made, word)
        assert str(caught.value).startswith(told) and "in its body" not in str(caught.value)
    assert not hasattr(made, word) and getattr(made, word, 3) == 3


def test_what_python_asks_for():
    """Names with an underscore have Python's own error, and so have properties."""
    with pytest.raises(AttributeError, match="object has no attribute '_nothing'"):
        get_opt("Adam")._nothing
    with pytest.raises(AttributeError, match="object has no attribute '__array__'"):
        get_act("ELU").__array__

    class Broken(ADAM):
        @property
        def broken(self):
            return self.lr.nothing

    with pytest.raises(AttributeError, match="'float' object has no attribute 'nothing'"):
        Broken().broken
    blank = ADAM.__new__(ADAM)
    assert not hasattr(blank, "nothing") and not hasattr(blank, "_nothing")


def test_groups_of_an_optimizer_are_given_at_construction():
    with pytest.raises(AttributeError, match=r"groups of Adam cannot be set: they are .*opt\.groups\[0\]\.lr = 0\.1"):
        get_opt("Adam").groups = []


def test_words_of_the_book():
    assert dlfs.RMSprop(decay_rate=0.5).decay_rate == 0.5
    with pytest.raises(TypeError, match="did you mean decay_rate"):
        dlfs.RMSprop(rho=0.5)
    opt = dlfs.Adam(learning_rate=0.5, epsilon=1e-3)
    assert (opt.lr, opt.eps, opt.learning_rate) == (0.5, 1e-3, 0.5)


def test_words_of_activations():
    with pytest.raises(TypeError, match="did you mean alpha"):
        get_act("leaky-ReLU", negative_slope=0.2)
    with pytest.raises(TypeError, match="did you mean axis"):
        get_act("softmax", dim=0)
    for word in ("lr", "learning_rate", "momentum", "decay"):
        with pytest.raises(TypeError, match=f"no hyperparameter '{word}'"):
            get_act("ELU", **{word: 0.5})
    assert not hasattr(get_act("ELU"), "learning_rate")


def test_the_nearest_class_decides_what_a_word_means():
    class Slow(ADAM):
        slow = Hyperparameter(0.5, at_least=0)
        b1 = Hyperparameter(0.125)
        _rate_name = "slow"

    opt = Slow(learning_rate=0.25, b1=0.5, beta_1=0.75)
    assert (opt.slow, opt.alpha, opt.b1, opt.beta1) == (0.25, 1e-3, 0.5, 0.75)
    opt.step_size = 1
    assert (opt.slow, opt.alpha) == (1, 1e-3)


# What cannot be set

MADE = {"Adam": lambda: get_opt("Adam"), "dlfs": lambda: dlfs.Adam(), "ELU": lambda: get_act("ELU"),
        "softmax": lambda: get_act("softmax"), "maxout": lambda: get_act("maxout", 2, 2, 2),
        "Square": lambda: get_err("Square"), "softmax-cross-entropy": lambda: get_err("softmax-cross-entropy")}


@pytest.mark.parametrize("name", ["nonsense", "Alpha", "x", "gradient", "momentum"])
@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_unknown_attributes(make, name):
    made = make()
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'"):
        setattr(made, name, 1)
    assert not hasattr(made, name)


@pytest.mark.parametrize("name", ["name", "kernel", "maker", "hyperparameters", "options"])
@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_constants_of_the_class(make, name):
    made = make()
    before = getattr(made, name)
    with pytest.raises(AttributeError, match=f"{name} of .* cannot be set"):
        setattr(made, name, "other")
    assert getattr(made, name) == before


@pytest.mark.parametrize("name", ["slots", "stored", "state_dtype", "state", "groups"])
def test_constants_of_optimizers(name):
    opt = get_opt("Adam")
    with pytest.raises(AttributeError, match=name):
        setattr(opt, name, {})


def test_the_number_of_steps():
    with pytest.raises(AttributeError, match=r"number of steps is counted per parameter; update\(\.\.\., t=t\)"):
        get_opt("Adam").t = 3


@pytest.mark.parametrize("name", ["m", "v"])
def test_state_is_no_attribute(name):
    with pytest.raises(AttributeError, match=f"{name} is state of each parameter"):
        setattr(get_opt("Adam"), name, None)


def test_what_may_be_set_as_ever():
    opt, act = get_opt("Adam"), get_act("ELU")
    opt._own = act._own = 3
    assert opt._own == act._own == 3
    with pytest.raises(AttributeError, match="cannot be set"):
        opt.step = 3
    seen = []
    opt.step = lambda *args: seen.append(args)              # as spies in tests do
    opt.step(1, 2)
    del opt.step
    assert seen == [(1, 2)] and opt.step.__func__ is Optimizer.step
    err = get_err("Square")
    err.error = np.ones(3)
    assert err.total_error() == 1
    for name in ("alpha", "lr", "betas", "weight_decay", "groups", "name"):
        with pytest.raises(AttributeError, match=f"^{name} of Adam cannot be deleted"):
            delattr(opt, name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        del opt.nothing
    assert (opt.alpha, opt.weight_decay) == (1e-3, 0)


class Recording(ADAM):
    """A user's subclass."""

    history = None
    limit = 3
    slots = {"m": 0, "v": 0}

    def __init__(self, *args, **kwds):
        super().__init__(*args, **kwds)
        self.history = []

    @property
    def half(self):
        return self.alpha/2

    @half.setter
    def half(self, value):
        self.alpha = 2*value


def test_subclasses_declare_their_attributes():
    opt = Recording(lr=0.5)
    opt.history.append(1)
    opt.limit, opt.half = 4, 0.125
    assert (opt.history, opt.limit, opt.alpha) == ([1], 4, 0.25)
    assert Recording.history is None and Recording.limit == 3
    for name in ("slots", "name", "kernel"):
        with pytest.raises(AttributeError, match="cannot be set"):
            setattr(opt, name, None)
    with pytest.raises(AttributeError, match=r"no attribute 'other'.*a value in its body: other = None"):
        opt.other = 1

    class Further(Recording):
        pass

    further = Further()
    further.history = 5
    assert further.history == 5
    for copied in (copy.copy, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))):
        assert copied(opt).history == [1] and copied(opt).limit == 4 and repr(copied(opt)) == repr(opt)


def test_every_change_is_told():
    class Told(ADAM):
        changes = None

        def _hyperparameter_set(self):
            super()._hyperparameter_set()
            self.changes = (self.changes or 0) + 1

    opt = Told()
    assert opt.changes == 1
    versions = [opt._version]
    for name, value in {"alpha": 1, "lr": 1, "betas": (0, 0), "weight_decay": 1, "maximize": True}.items():
        setattr(opt, name, value)
        versions.append(opt._version)
    assert opt.changes == 6 and len({id(version) for version in versions}) == 6
    with pytest.raises(ValueError):
        opt.lr = -1
    assert opt.changes == 6 and opt._version is versions[-1]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_copies_keep_options_and_schedules(copied):
    opt = get_opt("Adam", lr=halved, weight_decay=0.1, clip_norm=halved, maximize=True)
    again = copied(opt)
    assert repr(again) == repr(opt) and again.alpha is halved and again.clip_norm is halved
    again.weight_decay = 0.5
    assert opt.weight_decay == 0.1


@pytest.mark.parametrize("name", fastnn.get_opt("SGD").options)
def test_every_option_is_explained(name):
    """What help(get_opt("Adam")) shows of it."""
    option = getattr(type(fastnn.get_opt("Adam")), name)
    assert option.__doc__ != type(option).__doc__ and len(option.__doc__) > 40
