"""Groups of parameters: which they fit, what their values are, and how they are kept."""
import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

from fastnn import dlfs, get_opt
from fastnn.groups import Numbers, group, group_of, numbers_at, restored
from fastnn.state import StateError


def halved(t):
    return 0.5**t


def flat(key, p):
    return p.ndim < 2


def made(*groups, name="Adam", **kwds):
    return get_opt(name, groups=groups, **kwds)


def one(*args, name="Adam", **values):
    """An optimizer and its only group."""
    opt = made(group(*args or ("b*",), **values), name=name)
    return opt, opt.groups[0]


# Which parameters

@pytest.mark.parametrize(("pattern", "key", "fits"), [
    ("b*", "b1", True), ("b*", "W1", False), ("b*", "B1", False), ("b", "b1", False), ("W[12]", "W2", True),
    ("W?", "W12", False), ("*", "", True), ("layer1/*", ("layer1", "W"), True), ("*/W", ("layer1", "W"), True),
    ("layer1", ("layer1", "W"), False), ("0/1", (0, 1), True), ("0", 0, True), ("1", 0, False),
    ("(0, 1)", (0, 1), False),
    ("None", None, True), ("*.5", 0.5, True)])
def test_patterns(pattern, key, fits):
    assert group(pattern, lr=1).fits(key, np.ones(3)) is fits
    assert group("never", pattern, lr=1).fits(key, None) is fits


def test_functions_get_key_and_parameter():
    seen, p = [], np.ones((2, 2))
    for answer in (True, False, np.True_, np.False_):
        found = group(lambda *args: seen.append(args) or answer, lr=1).fits(("a", 0), p)
        assert found is bool(answer)
    assert all(key == ("a", 0) and given is p for key, given in seen) and len(seen) == 4


@pytest.mark.parametrize("answer", [None, 1, 0, "", "yes", [], np.ones(2), np.array(True), 1.0])
def test_functions_answer_true_or_false(answer):
    with pytest.raises(TypeError, match=r"group\(.*lr=1\): the function must return True or False, not .* for 'W'"):
        group(lambda key, p: answer, lr=1).fits("W", np.ones(3))


def test_a_function_that_fails():
    with pytest.raises(ValueError, match=r"^group\(.*\): for 'W' .* flat_only raises KeyError: 'W'") as caught:
        group(flat_only).fits("W", np.ones(3))
    assert type(caught.value.__cause__) is KeyError
    with pytest.raises(TypeError, match=r"the function .*lambda.* \(test_groups\.py, line \d+\) raises TypeError: "):
        group(lambda key, p: key + 1).fits("W", np.ones(3))


def flat_only(key, p):
    return {}[key]


@pytest.mark.parametrize("wrong", [lambda: True, lambda key: True, lambda key, p, more: True, lambda key, *, p: True])
def test_a_function_takes_key_and_parameter(wrong):
    with pytest.raises(TypeError, match="^group: .* cannot be called with key and parameter: "):
        group(wrong, lr=1)


def test_what_is_meant_by_lists_and_dicts():
    with pytest.raises(TypeError, match=r"""not by \['b\*', 'c\*'\]: group\('b\*', 'c\*'\)$"""):
        group(["b*", "c*"], lr=1)
    with pytest.raises(TypeError, match="not .*params.*: PyTorch's dicts hold parameters; a group says by their keys"):
        get_opt("Adam", groups=[{"params": [np.ones(2)], "lr": 0.1}])


def test_the_first_that_fits():
    opt = made(group("b*", lr=1), group(flat, lr=2), group("*", lr=3, freeze=True))
    first, second, third = opt.groups
    assert group_of(opt, "b", np.ones((2, 2))) is first
    assert group_of(opt, "W", np.ones(2)) is second
    assert group_of(opt, "W", np.ones((2, 2))) is third
    assert group_of(made(group("b*")), "W", np.ones(2)).name == "Adam"


@pytest.mark.parametrize("which", [(), (3,), ("b*", None), (b"b*",), (["b*"],), (np.ndarray,)])
def test_what_groups_are_given_by(which):
    with pytest.raises(TypeError, match=r"group\(\) needs patterns|a group is given by patterns"):
        group(*which, lr=1)


@pytest.mark.parametrize("freeze", [1, 0, None, "yes", np.array(True)])
def test_freeze_is_true_or_false(freeze):
    with pytest.raises(TypeError, match="freeze must be True or False, not"):
        group("b*", freeze=freeze)
    opt, g = one()
    with pytest.raises(TypeError, match="freeze must be True or False, not"):
        g.freeze = freeze
    assert g.freeze is False


@pytest.mark.parametrize("groups", [group("b*"), {"b*": {"lr": 1}}, [{"params": "b*", "lr": 1}], ["b*"], None, 3, "b*"])
def test_groups_are_a_list_of_groups(groups):
    with pytest.raises(TypeError, match=r"groups must be a list of groups, \[group\("):
        get_opt("Adam", groups=groups)


# Values

def test_own_values_and_the_optimizers():
    opt, g = one(weight_decay=np.float32(0.5), b1=0.25)
    assert g.weight_decay == 0.5 and type(g.weight_decay) is float and g.beta1 == 0.25
    assert (g.lr, g.alpha, g.learning_rate, g.beta2, g.clip_norm) == (1e-3, 1e-3, 1e-3, 0.999, None)
    assert g.betas == (0.25, 0.999)
    opt.lr, opt.weight_decay, opt.beta1 = 2, 3, 0
    assert (g.lr, g.weight_decay, g.beta1) == (2, 0.5, 0.25)
    assert g.values() == {"weight_decay": 0.5, "beta1": 0.25}
    g.values()["weight_decay"] = 7
    assert g.weight_decay == 0.5


def test_setting_and_deleting():
    opt, g = one(lr=0.5)
    before = opt._version
    g.lr = np.array(0.25)
    assert (g.lr, g.alpha, opt.lr) == (0.25, 0.25, 1e-3) and type(g.lr) is float and opt._version is not before
    g.betas = 0.5, 0.75
    assert (g.beta1, g.beta2) == (0.5, 0.75)
    g.weight_decay, g.maximize = halved, True
    assert g.weight_decay is halved and g.maximize is True
    del g.stepsize
    assert g.lr == 1e-3
    del g.betas
    assert g.betas == (0.9, 0.999) == opt.betas
    params, grads = {"b1": np.ones(2), "W": np.ones(2)}, {"b1": np.ones(2), "W": np.ones(2)}
    opt.step(params, grads)
    before = params["b1"].copy()
    g.freeze = np.True_
    assert g.freeze is True
    opt.step(params, grads)
    assert (params["b1"] == before).all() and (params["W"] != before).all()
    for name in ("lr", "eps"):
        with pytest.raises(AttributeError, match="of its own"):
            delattr(g, name)


WRONG_NAMES = {"aplha": "did you mean alpha", "momentum": "did you mean beta1", "nonsense": "nonsense",
               "decay": "by weight_decay", "state_dtype": "state_dtype is the optimizer's", "t": "'t'"}


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_names_that_are_not_known(name):
    wanted = group("b*", **{name: 1})                       # the optimizer knows
    with pytest.raises(TypeError) as caught:
        get_opt("Adam", groups=[wanted])
    if name != "state_dtype":
        assert str(caught.value).startswith(f"Adam, group('b*', {name}=1) has no hyperparameter {name!r}")
    assert WRONG_NAMES[name] in str(caught.value)
    opt, g = one()
    for use in (lambda: setattr(g, name, 1), lambda: getattr(g, name), lambda: delattr(g, name)):
        with pytest.raises(AttributeError) as caught:
            use()
        assert WRONG_NAMES[name] in str(caught.value)
        assert f"Adam has no hyperparameter {name!r}" in str(caught.value) or name == "state_dtype"


@pytest.mark.parametrize("name", ["state_dtype", "groups"])
def test_names_that_are_the_optimizers(name):
    told = f"{name} is the optimizer's, not a group's"
    with pytest.raises(TypeError, match=told):
        get_opt("Adam", groups=[group("b*", **{name: "int8"})])
    with pytest.raises(AttributeError, match=told):
        opt, g = one()
        setattr(g, name, "int8")


@pytest.mark.parametrize(("name", "value", "error", "told"), [
    ("lr", -1, ValueError, "alpha (lr) must be at least 0, not -1.0"),
    ("alpha", "1", TypeError, "alpha (lr) must be a number"),
    ("weight_decay", np.nan, ValueError, "weight_decay must be at least 0"),
    ("maximize", 1, TypeError, "maximize must be True or False"),
    ("clip_norm", 0, ValueError, "clip_norm must be above 0"),
    ("beta1", True, TypeError, "beta1 must be a number or a schedule"),
    ("output_axis", halved, TypeError, "output_axis"),
    ("betas", 0.5, TypeError, "a pair (beta1, beta2) is expected")])
def test_values_out_of_range(name, value, error, told):
    with pytest.raises(error) as caught:
        made(group("W*", "gamma", lr=0) if name == "lr" else group("*"), group("b*", **{name: value}))
    assert told in str(caught.value) and (name == "betas" or "Adam, group('b*', " in str(caught.value))
    opt, g = one(lr=0.5)
    before = opt._version
    with pytest.raises(error) as caught:
        setattr(g, name, value)
    assert told in str(caught.value) and opt._version is before and g.values() == {"alpha": 0.5}


def test_two_words_for_one():
    with pytest.raises(TypeError, match=r"^Adam, group\('b\*', lr=1, alpha=1\): lr is alpha, give one of them"):
        made(group("b*", lr=1, alpha=1))


def test_what_belongs_to_the_optimizer_alone():
    reason = "clip_global_norm is the optimizer's, not a group's: it is one norm over all parameters"
    with pytest.raises(TypeError, match=reason):
        made(group("b*", clip_global_norm=1))
    opt, g = one()
    with pytest.raises(AttributeError, match=reason):
        g.clip_global_norm = 1
    opt.clip_global_norm = 2
    assert g.clip_global_norm == 2
    with pytest.raises(TypeError, match="rng is the optimizer's, not a group's: all parameters draw"):
        get_opt("SantaE", groups=[group("b*", rng=3)])


def test_one_clip_at_a_time():
    with pytest.raises(ValueError, match=r"group\('b\*'.*clipped by one of clip_value and clip_norm"):
        made(group("b*", clip_value=1, clip_norm=1))
    with pytest.raises(ValueError, match=r"group\('b\*'.*clipped by one of clip_value and clip_norm"):
        made(group("b*", clip_value=1), clip_norm=1)
    opt = made(group("b*", clip_value=1, clip_norm=None), clip_norm=1)
    g = opt.groups[0]
    assert (g.clip_value, g.clip_norm) == (1, None)
    with pytest.raises(ValueError, match="clipped by one of clip_value and clip_norm"):
        del g.clip_norm
    assert g.clip_norm is None
    opt.clip_norm = None
    del g.clip_norm
    with pytest.raises(ValueError, match=r"group\('b\*'.*clipped by one of clip_value and clip_global_norm"):
        opt.clip_global_norm = 1
    assert opt.clip_global_norm is None


@pytest.mark.parametrize("name", ["which", "fits", "values", "stored", "bound"])
def test_what_cannot_be_set(name):
    opt, g = one()
    with pytest.raises(AttributeError, match=f"{name} of a group cannot be set"):
        setattr(g, name, 1)


def test_a_group_before_it_has_an_optimizer():
    g = group("b*", lr=1)
    assert g.which == ("b*",) and g.freeze is False and g.values() == {"lr": 1}
    g.freeze = True
    for use in (lambda: g.lr, lambda: setattr(g, "lr", 2), lambda: delattr(g, "lr")):
        with pytest.raises(AttributeError, match="does not belong to an optimizer: opt.groups has"):
            use()


def test_optimizers_have_groups_of_their_own():
    given = [group("b*", lr=1)]
    first, second = get_opt("Adam", groups=given), get_opt("SGD", groups=given)
    first.groups[0].lr = 2
    assert second.groups[0].eta == 1 and given[0].values() == {"lr": 1}
    given.append(3)
    assert isinstance(first.groups, tuple) and len(first.groups) == 1
    third = get_opt("AdaMax", groups=first.groups)
    assert third.groups[0].alpha == 2 and third.groups[0] is not first.groups[0]
    assert get_opt("Adam").groups == ()
    fourth = dlfs.Adam(groups=given[:1])
    assert fourth.groups[0].lr == 1


def test_a_group_does_not_keep_its_optimizer():
    opt, g = one()
    gone = weakref.ref(opt)
    numbers_at(opt, 1), numbers_at(g, 1)
    gc.disable()
    try:
        del opt
        assert gone() is None                               # without waiting for the collector
    finally:
        gc.enable()
    with pytest.raises(ReferenceError, match="the optimizer of group.* no longer exists"):
        g.lr


# Representation

def test_repr_rebuilds():
    opt = made(group("b*", "gamma*", weight_decay=0), group("embedding", freeze=True), group("W?", betas=(0, 0.5)),
               lr=1)
    shown = ("get_opt('Adam', alpha=1.0, beta1=0.9, beta2=0.999, eps=1e-08, groups=[group('b*', 'gamma*', "
             "weight_decay=0.0), group('embedding', freeze=True), group('W?', beta1=0.0, beta2=0.5)])")
    assert repr(opt) == shown == repr(eval(shown, {"get_opt": get_opt, "group": group}))
    assert repr(made(group("b"), state_dtype="int8")).endswith("groups=[group('b')], state_dtype='int8')")
    assert "groups" not in repr(get_opt("Adam"))
    assert repr(group(flat, lr=1)) == f"group({flat!r}, lr=1)"


def test_dir_lists_hyperparameters_and_options():
    opt, g = one()
    assert {"alpha", "weight_decay", "freeze", "fits"} <= set(dir(g))
    assert "alpha" not in dir(group("b*"))


# Copies

COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda opt: pickle.loads(pickle.dumps(opt)),
          "old pickle": lambda opt: pickle.loads(pickle.dumps(opt, 2))}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("name", ["Adam", "SantaE"])
def test_copies_of_optimizers(copied, name):
    opt = made(group("b*", lr=halved), group(flat, freeze=True), name=name)
    opt.groups[0].weight_decay = 0.5
    numbers_at(opt.groups[0], 1)
    again = copied(opt)
    assert repr(again) == repr(opt) and again.groups[0] is not opt.groups[0]
    assert again.groups[0].lr is halved and again.groups[1].which == (flat,)
    again.lr = 3
    again.groups[0].lr = 2
    assert (again.groups[0].lr, again.groups[1].lr) == (2, 3)
    assert opt.groups[0].lr is halved and opt.groups[1].lr == opt.lr != 3


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_copies_of_groups_have_no_optimizer(copied):
    opt, g = one(lr=1, freeze=True)
    again = copied(g)
    assert repr(again) == repr(g) == "group('b*', freeze=True, alpha=1.0)"
    other = made(again)
    assert other.groups[0].lr == 1
    with pytest.raises(AttributeError, match="does not belong to an optimizer: opt.groups has"):
        again.lr


def test_begun_anew():
    opt, g = one(clip_norm=1)
    opt.__init__(clip_value=1)
    assert opt.groups == () and opt.clip_value == 1


# Numbers at a step

def test_numbers_without_schedules_are_kept_and_do_not_change():
    opt, g = one(freeze=True)
    for holder in (opt, g):
        found = numbers_at(holder, 1)
        assert found is numbers_at(holder, 5) and found.alpha == found.lr == opt.lr
    before = opt.lr
    opt.lr = 1
    assert found.alpha == before and numbers_at(g, 1).alpha == numbers_at(opt, 1).alpha == 1
    g.lr = 2
    assert numbers_at(opt, 1).alpha == 1 and numbers_at(g, 5).alpha == 2
    del g.lr
    assert numbers_at(g, 5).alpha == 1
    for name in ("SantaE", "SantaSSS", "Eve"):              # functions that are no schedules
        opt = get_opt(name)
        assert numbers_at(opt, 3) is numbers_at(opt, 4)


def test_numbers_of_a_group():
    opt, g = one(lr=0.5, weight_decay=0.25, maximize=True)
    found = numbers_at(g, 1)
    assert found is numbers_at(g, 2) and isinstance(found, Numbers)
    assert (found.alpha, found.lr, found.weight_decay, found.maximize) == (0.5, 0.5, 0.25, True)
    for name in (*opt.hyperparameters, *opt.options):
        assert getattr(found, name) == getattr(g, name)
    opt.eps = 0.125
    assert numbers_at(g, 1).eps == 0.125
    g.lr = 2
    assert numbers_at(g, 1).alpha == 2 and found.alpha == 0.5


def test_numbers_with_schedules():
    opt, g = one(weight_decay=lambda t: np.float32(t))
    opt.lr = halved
    for t in (1, 2, 7, 2):
        for holder, decay in ((opt, 0), (g, t)):
            found = numbers_at(holder, t)
            assert type(found.alpha) is type(found.weight_decay) is float
            assert (found.alpha, found.weight_decay, found.beta1, found.clip_norm) == (0.5**t, decay, 0.9, None)
            assert found.betas == (0.9, 0.999) and found.learning_rate == 0.5**t
    opt.lr = 1
    assert numbers_at(opt, 1).alpha == numbers_at(g, 3).alpha == 1
    g.weight_decay = halved
    assert numbers_at(g, 1).weight_decay == 0.5
    opt = get_opt("SantaE", burnin=lambda t: np.int64(t), anne_func=pow)
    found = numbers_at(opt, 4)
    assert found.burnin == 4 and type(found.burnin) is int and found.anne_func is pow


def test_a_schedule_in_the_group_and_another_in_the_optimizer():
    opt, g = one(lr=lambda t: 10*t)
    opt.lr = halved
    assert numbers_at(g, 2).alpha == 20 and numbers_at(opt, 2).alpha == 0.25


def test_a_schedule_that_gives_what_could_not_be_set():
    opt, g = one(beta1=lambda t: 1 if t == 3 else 0)
    assert numbers_at(g, 2).beta1 == 0
    with pytest.raises(ValueError, match=r"beta1 must be at least 0 and below 1, not 1\.0: .*<lambda>.* at t = 3"):
        numbers_at(g, 3)
    assert numbers_at(opt, 3).beta1 == 0.9


# States

def test_stored_groups_are_plain():
    opt = made(group("b*", flat, weight_decay=0.5, lr=halved, maximize=True), group("W", freeze=True))
    assert [g.stored() for g in opt.groups] == [
        {"which": ["b*", {"function": "flat"}], "freeze": False,
         "values": {"weight_decay": 0.5, "alpha": {"function": "halved"}, "maximize": True}},
        {"which": ["W"], "freeze": True, "values": {}}]


def states(opt):
    return [g.stored() for g in opt.groups]


def values(opt):
    return {name: getattr(opt, name) for name in (*opt.hyperparameters, *opt.options)}


def test_restored_in_place():
    opt = made(group("b*", flat, lr=halved, weight_decay=0.5), group("W", freeze=True))
    saved = states(opt)
    twin = made(group("b*", flat, lr=halved, eps=1), group("W"))
    kept = twin.groups
    groups, put = restored(twin, saved, values(twin))
    assert groups is kept and twin.groups[0].values() == {"alpha": halved, "eps": 1} and not twin.groups[1].freeze
    for function in put:
        function()
    assert repr(twin) == repr(opt) and states(twin) == saved


def test_an_optimizer_without_groups_gets_those_of_the_state():
    opt = made(group("b*", "gamma", weight_decay=0.5), group("W", freeze=True))
    twin = get_opt("Adam")
    groups, put = restored(twin, states(opt), values(twin))
    for function in put:
        function()
    assert twin.groups == () and list(map(repr, groups)) == list(map(repr, opt.groups))
    assert groups[0].weight_decay == 0.5 and groups[0].lr == 1e-3
    assert restored(twin, [], values(twin))[0] == ()


@pytest.mark.parametrize("groups", [
    (), (group("c*"), group("W")), (group("b*"),), (group("b*"), group("W"), group("x")), (group("W"), group("b*")),
    (group("b*", "c"), group("W")), (group(flat), group("W"))])
def test_states_of_other_groups(groups):
    opt, saved = made(*groups), states(made(group("b*"), group("W", lr=1)))
    if not groups:
        opt, saved = made(group("b*")), []
    with pytest.raises(StateError, match=r"the state's groups are .*, those of the optimizer .*into the state"):
        restored(opt, saved, values(opt))


def test_functions_and_schedules_must_be_there():
    opt = made(group(flat, lr=1))
    with pytest.raises(StateError, match=r"group 0 of the state is given by the function 'flat'"):
        restored(get_opt("Adam"), states(opt), values(opt))
    with pytest.raises(StateError, match="the state's groups are"):
        restored(made(group(flat_only)), states(opt), values(opt))
    opt, saved = made(group("b*")), states(made(group("b*", lr=halved)))
    with pytest.raises(StateError, match=r"group 0: alpha \(lr\): the schedule must be the function .halved. as"):
        restored(opt, saved, values(opt))


def test_lambdas_are_known_by_their_places():
    """They have no names; another one, in another line, is not taken for that of the state."""
    first, again = (made(group(which, lr=rate)) for which, rate in [(lambda key, p: key == "a", lambda t: t)]*2)
    restored(again, states(first), values(first))
    for other in (group(lambda key, p: key == "a", lr=lambda t: t), group(flat, lr=1)):
        with pytest.raises(StateError, match=r"\(test_groups\.py, line \d+\).*: a lambda is known by its place"):
            restored(made(other), states(first), values(first))
    opt = get_opt("Adam", lr=lambda t: t)
    state = opt.state_dict()
    opt.load_state_dict(state)
    with pytest.raises(StateError, match=r"lambda.*\(test_groups\.py, line .*: a lambda is known by its place"):
        get_opt("Adam", lr=lambda t: 2*t).load_state_dict(state)
    state["hyperparameters"]["alpha"] = {"function": "<lambda>"}             # of an earlier release
    with pytest.raises(StateError, match="a lambda is known by its place"):
        opt.load_state_dict(state)


DAMAGED = {
    "no list": {}, "None": None, "no dict": [3], "no which": [{"freeze": False, "values": {}}],
    "more": [{"which": ["b*"], "freeze": False, "values": {}, "more": 1}],
    "freeze": [{"which": ["b*"], "freeze": 1, "values": {}}],
    "pattern": [{"which": [3], "freeze": False, "values": {}}],
    "array": [{"which": np.ones(3), "freeze": False, "values": {}}],
    "arrays": [{"which": [np.ones(3)], "freeze": False, "values": {}}],
    "no patterns": [{"which": [], "freeze": False, "values": {}}],
    "a string": [{"which": "b*", "freeze": False, "values": {}}],
    "values": [{"which": ["b*"], "freeze": False, "values": [1]}],
    "unknown": [{"which": ["b*"], "freeze": False, "values": {"nonsense": 1}}],
    "synonym": [{"which": ["b*"], "freeze": False, "values": {"lr": 1}}],
    "shared": [{"which": ["b*"], "freeze": False, "values": {"clip_global_norm": 1}}],
    "number": [{"which": ["b*"], "freeze": False, "values": {3: 1}}],
    "range": [{"which": ["b*"], "freeze": False, "values": {"alpha": -1}}],
    "NaN": [{"which": ["b*"], "freeze": False, "values": {"alpha": np.nan}}],
    "type": [{"which": ["b*"], "freeze": False, "values": {"alpha": "1"}}],
    "flag": [{"which": ["b*"], "freeze": False, "values": {"maximize": 1}}],
    "clips": [{"which": ["b*"], "freeze": False, "values": {"clip_norm": 1, "clip_value": 1}}],
    "function": [{"which": [{"function": 3}], "freeze": False, "values": {}}]}


@pytest.mark.parametrize("saved", DAMAGED.values(), ids=DAMAGED)
def test_damaged_states(saved):
    for opt in (made(group("b*", lr=0.5)), get_opt("Adam")):
        before = repr(opt)
        with pytest.raises(StateError):
            restored(opt, saved, values(opt))
        assert repr(opt) == before


def test_clips_of_the_state_together():
    opt = made(group("b*", clip_value=1))
    with pytest.raises(StateError, match="clipped by one of clip_value and clip_norm"):
        restored(opt, states(opt), {**values(opt), "clip_norm": 1.0})


def test_a_group_that_has_been_met_is_not_looked_for_again():
    """Frozen parameters have no state to tell, nor do those of a state that was put in, until they are stepped."""
    params = {key: np.zeros(2) for key in "abc"}
    opt = get_opt("SGD", groups=[group("a", freeze=True)])
    opt.step({key: params[key] for key in "ab"}, params)
    opt.step({key: params[key] for key in "bc"}, params)
    opt, twin = (get_opt("SGD", groups=[group("b", lr=0.1)]) for _ in range(2))
    opt.step({key: params[key] for key in "ab"}, params)
    twin.load_state_dict(opt.state_dict())
    for one in (opt, twin, copy.deepcopy(opt)):
        one.step({key: params[key] for key in "ac"}, params)
    for one in (get_opt("SGD", groups=[group("x", lr=0.1)]), get_opt("SGD", groups=[group("a"), group("x")])):
        with pytest.raises(ValueError, match="fits none of the parameters 'a', 'b', 'c'"):
            one.step(params, params)


def test_a_group_that_parameters_of_a_state_may_have_fitted():
    """They are of no group until they are stepped, by their keys in mappings as by positions."""
    params = {key: np.zeros(2) for key in "abcdef"}

    def step(opt, keys):
        opt.step({key: params[key] for key in keys}, params)

    opt = get_opt("SGD", groups=[group("b", lr=0.1)])
    step(opt, "ab")
    for one in (opt, copy.deepcopy(opt)):
        one.step([params["a"], params["b"]], [params["c"], params["c"]])
    twin = copy.deepcopy(opt)
    step(twin, "ab")
    opt.step([params["a"], params["b"]], [params["c"], params["c"]])
    for one in (opt, copy.deepcopy(opt)):
        step(one, "ab")
        step(one, "cd")
    step(opt, "ef")


def test_parameters_one_by_one_meet_groups():
    opt, params = get_opt("SGD", groups=[group("a", lr=0.1)]), {key: np.zeros(2) for key in "abc"}
    for keys in ("a", "bc"):
        opt.step({key: params[key] for key in keys}, params)
    with pytest.raises(ValueError, match="fits none"):
        get_opt("SGD", groups=opt.groups).step({key: params[key] for key in "bc"}, params)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_one_array_that_no_group_fits(dtype):
    """It may be the first of many; the second step tells, whether it finds everything as it was or not."""
    opt, p = get_opt("SGD", groups=[group("x/*")]), np.ones(3)
    opt.step(p, np.ones(3))
    with pytest.raises(ValueError, match="fits none of the parameters 0"):
        opt.step(p, np.ones(3, dtype))
    assert opt.t == 1
