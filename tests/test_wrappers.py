"""Wrappers: Lookahead, ExponentialAverage, Accumulate and SAM, alone and in each other."""
import copy
import pickle
import random
import re
import warnings
from collections import UserDict

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import SAM, Accumulate, ExponentialAverage, Lookahead, StateError, get_opt, group, schedules
from helpers import assert_same_bits
from oracles import optimizers, steps, wrappers as plain
from test_state import bfloat16

SHAPES = {"W": (4, 3), "b": (3,), "conv": (2, 3, 2), "gain": (), "long": (300,)}


def falling(t):
    return 1 - 1/t if t > 1 else 0.25


KINDS = {
    "Lookahead": (Lookahead, plain.Lookahead, [{"k": 1}, {"k": 2, "alpha": 0.8}, {"k": 3}, {}]),
    "ExponentialAverage": (ExponentialAverage, plain.ExponentialAverage, [{"decay": 0.9}, {"decay": 0}, {},
                                                                          {"decay": falling}]),
    "Accumulate": (Accumulate, plain.Accumulate, [{"k": 1}, {"k": 2}, {"k": 3}])}
RULES = {"SGD": {"lr": 0.1}, "Momentum": {"lr": 0.05, "weight_decay": 0.1}, "AdaDelta": {},
         "MSGD": {"lr": 0.2, "clip_global_norm": 2.0}}


def start(dtype=np.float64):
    rng = np.random.default_rng(5)
    return {key: np.asarray(rng.standard_normal(shape), dtype) for key, shape in SHAPES.items()}


def gradients(t, params, dtype=np.float64):
    rng = np.random.default_rng((t, 7))
    return {key: np.asarray(rng.standard_normal(np.shape(p)), dtype) for key, p in params.items()}


def nested_in(chance, rule=None, depth=None):
    """(an optimizer in wrappers, its oracle, all wrappers with their oracles) by chance; at most one Accumulate."""
    rule = rule or chance.choice(list(RULES))
    opt = get_opt(rule, **RULES[rule])
    oracle = plain.Plain(steps.Loop(optimizers.ORACLES[rule], **RULES[rule]))
    pairs = []
    for _ in range(chance.randrange(1, 4) if depth is None else depth):
        name = chance.choice(list(KINDS))
        if name == "Accumulate" and any(isinstance(one, Accumulate) for one, _ in pairs):
            name = "Lookahead"
        own, other, arguments = KINDS[name]
        arguments = chance.choice(arguments)
        if not arguments and name == "Accumulate":
            arguments = {"k": 2}
        opt, oracle = own(opt, **arguments), other(oracle, **arguments)
        pairs.append((opt, oracle))
    return opt, oracle, pairs


@pytest.mark.parametrize("seed", range(60))
def test_any_nesting_beside_plain_numpy(seed):
    """Parameters that join, gradients of None, calls for some of them."""
    chance = random.Random(seed)
    opt, oracle, pairs = nested_in(chance)
    params = start()
    same = {key: p.copy() for key, p in params.items()}
    holes = chance.random() < 0.5
    for t in range(1, 26):
        keys = [key for key in params if not holes or (t > 4 or key != "b") and chance.random() < 0.9]
        grads = gradients(t, {key: params[key] for key in keys})
        if holes:
            grads = {key: g if chance.random() < 0.85 else None for key, g in grads.items()}
        opt.step({key: params[key] for key in keys} if holes else params, grads)
        now = {key: same[key] for key in keys}
        oracle.step(now, grads)
        same |= now
        for key, p in params.items():
            assert_allclose(p, same[key], rtol=0, atol=1e-12*abs(same[key]).max(), err_msg=f"{opt!r}, {key}, step {t}")
        for one, other in pairs:
            if isinstance(one, ExponentialAverage):
                for key, average in other.params.items():
                    assert_allclose(one.params[key], average, rtol=0, atol=1e-12*abs(average).max())


def both(make, steps_of=8, dtype=np.float64):
    """Parameters after some steps of a wrapper, in the form that it is given."""
    opt, params = make(), start(dtype)
    for t in range(1, steps_of + 1):
        opt.step(params, gradients(t, params, dtype))
    return opt, params


NESTINGS = {
    "Lookahead": lambda **kwds: Lookahead(get_opt("Momentum", **kwds), 3),
    "ExponentialAverage": lambda **kwds: ExponentialAverage(get_opt("Momentum", **kwds), 0.9),
    "Accumulate": lambda **kwds: Accumulate(get_opt("Momentum", **kwds), 3),
    "Lookahead, Accumulate": lambda **kwds: Lookahead(Accumulate(get_opt("Momentum", **kwds), 2), 2),
    "average, Lookahead, Accumulate": lambda **kwds: ExponentialAverage(
        Lookahead(Accumulate(get_opt("Momentum", **kwds), 2), 2), 0.5),
    "Accumulate, average, Lookahead": lambda **kwds: Accumulate(
        ExponentialAverage(Lookahead(get_opt("Momentum", **kwds), 2), falling), 2)}
each_nesting = pytest.mark.parametrize("make", NESTINGS.values(), ids=NESTINGS)


def average_of(opt):
    return opt.params if "ExponentialAverage" in repr(opt) else None


# Forms

@each_nesting
def test_all_forms_are_one(make):
    """Mappings, sequences, nested ones with plain numbers, and a call for each parameter: the same bits."""
    opt, params = both(make)
    wanted = {key: p.copy() for key, p in params.items()}
    for form in ("list", "tuple", "UserDict", "nested", "apart", "numbers"):
        opt, params = make(), start()
        for t in range(1, 9):
            grads = gradients(t, params)
            if form in ("list", "tuple"):
                kind = list if form == "list" else tuple
                opt.update(kind(params.values()), list(grads.values()))
            elif form == "UserDict":
                opt.step(UserDict(params), UserDict(grads))
            elif form == "nested":
                opt.step({"x": [params["W"], params["b"]], "y": ({"conv": params["conv"]}, params["gain"]),
                          "long": params["long"]},
                         {"x": [grads["W"], grads["b"]], "y": ({"conv": grads["conv"]}, grads["gain"]),
                          "long": grads["long"]})
            elif form == "apart":
                for key in params:
                    opt.step({key: params[key]}, {key: grads[key]})
            else:
                params["gain"] = float(params["gain"])
                opt.step(params, grads)
                assert type(params["gain"]) is float
        for key, p in wanted.items():
            assert_same_bits(np.asarray(params[key]), p, (form, key))


@each_nesting
def test_layouts_and_dtypes(make):
    """Gaps, reversed, Fortran's order, byte-swapped; float32 and halves as with contiguous copies."""
    for dtype in (np.float64, np.float32, np.float16, bfloat16):
        opt, params = both(make, dtype=dtype)
        for layout in ("gaps", "reversed", "fortran", "swapped"):
            same, twin = {}, make()
            for key, p in start(dtype).items():
                if layout == "gaps" and p.ndim:
                    room = np.zeros((*p.shape[:-1], 2*p.shape[-1]), p.dtype)
                    same[key] = room[..., ::2]
                    same[key][...] = p
                elif layout == "reversed" and p.ndim:
                    same[key] = p[::-1].copy()[::-1]
                elif layout == "fortran":
                    same[key] = np.array(p, order="F")
                elif layout == "swapped" and p.dtype.kind == "f":
                    same[key] = p.astype(p.dtype.newbyteorder())
                else:
                    same[key] = p
            for t in range(1, 9):
                twin.step(same, gradients(t, same, dtype))
            for key, p in params.items():
                assert_same_bits(np.array(same[key], p.dtype), p, (layout, key))
            if average_of(opt):
                for key, average in opt.params.items():
                    assert average.dtype == (np.float64 if dtype == np.float64 else np.float32)
                    assert_same_bits(np.array(twin.params[key], order="C"), np.array(average), (layout, key))


def test_one_array():
    opt, p = ExponentialAverage(Lookahead(get_opt("SGD", lr=1.0), 2, 0.5), 0.5), np.zeros(3)
    opt.step(p, np.ones(3))
    opt.step(p, np.ones(3))
    assert_array_equal(p, np.full(3, -1.0))
    assert_array_equal(opt.params, np.full(3, -1.0))


def test_averages_have_the_structure_of_parameters():
    opt = ExponentialAverage(get_opt("SGD", lr=1.0), 0.5)
    with pytest.raises(ValueError, match="no average yet"):
        opt.params
    params = [(np.zeros(2), 1.0), {"gamma": np.float32(2), "frozen": np.full(1, 7.0)}, np.zeros((1, 2))]
    grads = [(np.ones(2), 1.0), {"gamma": 1.0, "frozen": None}, None]
    with pytest.raises(TypeError, match="plain number in a tuple"):
        opt.step(params, grads)
    params[0] = [*params[0]]
    grads[0] = [*grads[0]]
    for _ in range(2):
        opt.step(params, grads)
    found = opt.params
    assert type(found) is list and type(found[0]) is list and type(found[0][1]) is float
    assert type(found[1]["gamma"]) is np.float32 and found[1]["gamma"] == 0.5
    assert found[0][1] == -0.5 and params[0][1] == -1.0
    assert_array_equal(found[0][0], [-1.5, -1.5])
    assert found[1]["frozen"] == 7 and found[2].shape == (1, 2)
    with pytest.raises(ValueError, match="read-only"):
        found[0][0][...] = 1
    twin = ExponentialAverage(get_opt("SGD", lr=1.0), 0.5)
    twin.load_state_dict(opt.state_dict())
    assert repr(twin.params[0]) == repr(found[0]) and repr(twin.params[2]) == repr(found[2])


# None, frozen, later, forgotten, replaced

def test_what_does_not_move_is_no_step():
    look = Lookahead(get_opt("SGD", lr=1.0, groups=[group("f", freeze=True)]), 2, 0.5)
    opt = ExponentialAverage(look, 0.5)
    f = np.array([-np.inf, -0.0, np.nan])
    f.flags.writeable = False
    params = {"a": np.zeros(1), "f": f, "n": np.zeros(1)}
    for t in range(4):
        opt.step(params, {"a": np.ones(1), "f": np.ones(3), "n": np.ones(1) if t == 1 else None})
    assert params["a"] == -2 and params["n"] == -1
    assert_same_bits(opt.params["f"], f)
    assert opt.params["n"] == -1
    look.groups[0].freeze = False
    params["f"] = np.zeros(3)
    opt.step(params, {key: np.ones(p.shape) for key, p in params.items()})
    assert_array_equal(opt.params["f"], [-1, -1, -1])


def test_forget_drops_what_wrappers_keep():
    for make in NESTINGS.values():
        opt, params = make(), {"a": np.ones(3), "b": np.ones(3)}
        for _ in range(5):
            opt.step(params, {"a": np.ones(3), "b": np.ones(3)})
        opt.forget("a")
        with pytest.raises(KeyError, match="no state of 'a'"):
            opt.forget("a")
        params["a"] = np.ones((2, 2), np.float32)
        fresh, same = make(), {"a": np.ones((2, 2), np.float32)}
        for _ in range(8):
            opt.step(params, {"a": np.ones((2, 2)), "b": np.ones(3)})
            fresh.step(same, {"a": np.ones((2, 2))})
        assert_same_bits(params["a"], same["a"])


@each_nesting
def test_another_shape_or_dtype_under_a_key(make):
    for dtype in (np.float64, np.float32):
        opt, params = make(), {"a": np.ones(3, dtype), "b": np.ones(2)}
        grads = {"a": np.ones(3), "b": np.ones(2)}
        for t in range(7):
            other = np.float32 if dtype is np.float64 else np.float64
            for bad in (np.ones(4, dtype), np.ones((3, 1), dtype), np.ones(3, other)):
                if t == 0:
                    continue
                kept, values = opt.state_dict(), [p.copy() for p in params.values()]
                with pytest.raises(ValueError, match="'a'"):
                    for _ in range(6):          # where it is no error yet, it is one when its turn comes
                        opt.step({**params, "a": bad}, {**grads, "a": np.ones(bad.shape)})
                if t > 5:
                    break
                opt.load_state_dict(kept)
                for p, value in zip(params.values(), values):
                    p[...] = value
            opt.step(params, grads)


def test_a_new_array_under_a_key_goes_on():
    opt, params = both(NESTINGS["average, Lookahead, Accumulate"])
    twin, same = NESTINGS["average, Lookahead, Accumulate"](), start()
    for t in range(1, 9):
        same = {key: p.copy() for key, p in same.items()}
        twin.step(same, gradients(t, same))
    for key, p in params.items():
        assert_same_bits(same[key], p)


@pytest.mark.parametrize("nested", [False, True])
def test_the_optimizer_inside_steps_another_list(nested):
    """State goes by key, whatever lay where at the last step."""
    p, q, g = np.ones(3), np.ones(3), np.ones(3)
    first = group(lambda key, p: key == 0, freeze=True)
    opt = Lookahead(get_opt("Momentum"), 2) if nested else Accumulate(get_opt("Momentum", groups=[first]), 2)
    for _ in range(4):
        opt.step(*([[p]], [[g]]) if nested else ([q, p], [g, g]))
    key = (0, 0) if nested else 1
    before = {name: slot.tobytes() for name, slot in opt.state[key].items()}
    opt.optimizer.step([p], [g])
    assert opt.state.keys() == ({(0, 0), 0} if nested else {1})
    assert {name: slot.tobytes() for name, slot in opt.state[key].items()} == before


def test_what_a_call_that_failed_leaves():
    opt = Accumulate(get_opt("SGD"), 2)
    with pytest.raises(ValueError):
        opt.step({"a": np.ones(3)}, {"a": np.ones(2)})
    with pytest.raises(KeyError, match="there is no state of 'a'"):
        opt.forget("a")


@pytest.mark.parametrize("more", [{}, {"b": np.ones(3)}])
def test_frozen_parameters_have_a_group(more):
    """Accumulate takes them out before the optimizer sees them."""
    opt = Accumulate(get_opt("SGD", groups=[group("f", freeze=True)]), 2)
    params = {"f": np.ones(3), "a": np.ones(3), **more}
    for _ in range(6):
        opt.step(params, params)
    assert opt.t == 3 and (params["f"] == 1).all()


# Skipped steps

@each_nesting
def test_skipped_steps_are_none(make):
    opt, twin = make(clip_global_norm=1.0), make(clip_global_norm=1.0)
    params, same = start(), start()
    turns = 3 if "k=3" in repr(opt) and "Acc" in repr(opt) else 2 if "Acc" in repr(opt) else 1
    for t in range(1, 7):
        for turn in range(turns):
            grads = gradients(t, params)
            grads["b"][1] = np.nan if turn == 0 else 0
            before = [p.tobytes() for p in params.values()]
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                opt.step(params, grads)
            assert len(caught) == (turn == turns - 1)
            assert [p.tobytes() for p in params.values()] == before
        if caught:
            assert caught[0].filename == __file__ and "Momentum: the norm of a gradient" in str(caught[0].message)
        assert opt.skipped == t
        for turn in range(turns):
            opt.step(params, gradients((t, turn), params))
            twin.step(same, gradients((t, turn), same))
    for key, p in params.items():
        assert_same_bits(p, same[key])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="skipped"):
            for _ in range(turns):
                opt.step(params, {key: np.full(p.shape, np.inf) for key, p in params.items()})
        opt.step(params, gradients(1, params))


# Arguments, attributes

def test_the_losses_of_k_calls_are_one():
    opt, twin = Accumulate(get_opt("Eve"), 2), get_opt("Eve")
    p, q = np.ones(3), np.ones(3)
    for t in range(1, 5):
        for part in (0.0, 1.0):
            opt.step([p], [np.full(3, t + part)], f=t + part)
        twin.step([q], [np.full(3, t + 0.5)], f=t + 0.5)
    assert_allclose(p, q, rtol=1e-14)
    assert opt.t == 4


def test_hyperparameters_through_wrappers():
    opt = ExponentialAverage(Lookahead(get_opt("Adam", weight_decay=0.1), k=4), decay=0.5)
    adam = opt.optimizer.optimizer
    assert opt.lr == adam.lr and opt.beta1 == 0.9 and opt.weight_decay == 0.1 and opt.groups == ()
    opt.lr, opt.beta1, opt.betas = 0.5, 0.8, (0.7, 0.99)
    assert (adam.lr, adam.beta1, adam.beta2) == (0.5, 0.7, 0.99)
    opt.k, opt.decay = 7, schedules.linear(0.5, 10)
    assert opt.optimizer.k == 7
    assert opt.optimizer.alpha == 0.5 and opt.alpha == 0.5          # Lookahead's own; Adam's is lr
    opt.alpha = 0.25
    assert opt.optimizer.alpha == 0.25 and adam.alpha == 0.5
    assert {"lr", "beta1", "clip_norm", "k", "params", "state"} <= {*dir(opt)}
    with pytest.raises(AttributeError, match=re.escape("Adam has no attribute 'bta1' (did you mean beta1")):
        opt.bta1 = 3
    with pytest.raises(AttributeError, match="Adam has no attribute 'wieght_decay'"):
        opt.wieght_decay
    for name in ("t", "skipped", "optimizer", "step", "params"):
        with pytest.raises(AttributeError, match=f"{name} of ExponentialAverage cannot be set"):
            setattr(opt, name, 1)
    for name, value, error in (("decay", 1, ValueError), ("decay", "x", TypeError), ("decay", -0.1, ValueError),
                               ("k", 0, ValueError), ("k", 1.5, TypeError), ("alpha", 0, ValueError),
                               ("alpha", 1.5, ValueError), ("lr", -1, ValueError)):
        with pytest.raises(error, match=name):
            setattr(opt, name, value)


def test_reprs_rebuild():
    for make in list(NESTINGS.values())[:-1]:
        assert repr(eval(repr(make()), vars(fastnn))) == repr(make())
    assert repr(SAM(get_opt("SGD"))) == "SAM(get_opt('SGD', eta=0.01), rho=0.05)"
    assert repr(Lookahead(SAM(get_opt("SGD")), 3, alpha=1)) == (
        "Lookahead(SAM(get_opt('SGD', eta=0.01), rho=0.05), k=3, alpha=1.0)")


def test_calls_that_are_refused():
    opt = Lookahead(get_opt("Adam"))
    for arguments in ((np.ones(3),), (np.ones(3), np.ones(3)), (1.0, 2.0), ({"a": np.ones(1)},)):
        with pytest.raises(TypeError, match="Lookahead changes parameters in place and returns no deltas"):
            opt.update(*arguments)
    for call in (lambda: opt.step(1.0, 2.0), lambda: opt.step({"a": np.ones(1)}, [np.ones(1)]),
                 lambda: opt.step([np.ones(1)], np.ones(1)), lambda: opt.step("a", "b"),
                 lambda: opt.step({}, {}, rate=1), lambda: opt.update({}, {}, 1, 2),
                 lambda: opt.step({"a": np.ones(1)}, {"a": np.ones(1)}, t="x")):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(KeyError, match="no gradient for parameter 'a'"):
        opt.step({"a": np.ones(1)}, {})
    with pytest.raises(ValueError, match="2 parameters, but 1 gradients"):
        opt.step([np.ones(1), np.ones(1)], [np.ones(1)])
    assert opt.t == 0 and opt.update(params={}, grads={}) is None


@pytest.mark.parametrize("kind", [Lookahead, ExponentialAverage, lambda opt: Accumulate(opt, 2), SAM])
def test_what_is_no_optimizer(kind):
    for inner, said in (("Adam", r"\(get_opt\('Adam'\)\)"), (None, "around NoneType"), (3, "around int"),
                        (type(get_opt("Adam")), "not the class Adam"), (fastnn.get_act("ReLU"), "around ReLU")):
        with pytest.raises(TypeError, match=f"wraps an optimizer of fastnn.*{said}"):
            kind(inner)


def test_what_cannot_be_combined():
    for make, said in (
            (lambda: Accumulate(SAM(get_opt("Adam")), 2), "Accumulate cannot wrap SAM"),
            (lambda: Accumulate(Lookahead(SAM(get_opt("Adam"))), 2), "Accumulate cannot wrap SAM"),
            (lambda: SAM(SAM(get_opt("Adam"))), "SAM cannot wrap SAM"),
            (lambda: SAM(Lookahead(SAM(get_opt("Adam")))), "SAM cannot wrap SAM"),
            (lambda: SAM(get_opt("NAG")), "SAM cannot wrap NAG"),
            (lambda: SAM(ExponentialAverage(get_opt("NAG"))), "SAM cannot wrap NAG"),
            (lambda: Accumulate(Lookahead(Accumulate(get_opt("Adam"), 2)), 2), "the product of both k")):
        with pytest.raises(TypeError, match=said):
            make()
    with pytest.raises(TypeError):
        Accumulate(get_opt("Adam"))
    with pytest.raises(ValueError, match="rho must be at least 0"):
        SAM(get_opt("Adam"), -1)


def test_k_of_accumulate_while_gradients_wait():
    opt, params = Accumulate(get_opt("SGD"), 2), [np.ones(3)]
    opt.k = 3
    opt.step(params, [np.ones(3)])
    with pytest.raises(ValueError, match="k cannot be set while gradients wait"):
        opt.k = 2
    opt.step(params, [np.ones(3)])
    opt.step(params, [np.ones(3)])
    opt.k = 2


# States

ANY = {**NESTINGS, "SAM": lambda **kwds: SAM(get_opt("Momentum", **kwds)),
       "average, SAM, Lookahead": lambda **kwds: ExponentialAverage(
           SAM(Lookahead(get_opt("Momentum", **kwds), 2)), 0.9),
       "Lookahead, SAM, Accumulate": lambda **kwds: Lookahead(SAM(Accumulate(get_opt("Momentum", **kwds), 2)), 2)}
any_nesting = pytest.mark.parametrize("make", ANY.values(), ids=ANY)


def flat(value):
    if isinstance(value, dict):
        return tuple((key, flat(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(map(flat, value))
    return (value.dtype, value.shape, value.tobytes("A")) if isinstance(value, np.ndarray) else value


def everything(opt, rooms):
    return flat(opt.state_dict()), [room.tobytes() for room in rooms]


def take(opt, params, t, form=dict):
    """A step, with both halves of SAM."""
    grads = gradients(t, params)
    given = (params, grads) if form is dict else (list(params.values()), list(grads.values()))
    if opt._ascending() is not None:
        opt.ascend(*given)
    opt.step(*given)


@any_nesting
@pytest.mark.parametrize("form", [dict, list])
def test_states_go_on_bit_for_bit(make, form, tmp_path):
    for stop in range(1, 8):
        opt, params = make(), start()
        for t in range(stop):
            take(opt, params, t, form)
        others = [make() for _ in range(4)]
        others[0].load_state_dict(opt.state_dict())
        take(others[1], start(), 1, form)
        others[1].load_state_dict(others[0].state_dict())
        others[2], others[3] = pickle.loads(pickle.dumps(opt)), copy.deepcopy(opt)
        others.append(copy.copy(opt))
        copies = [{key: p.copy() for key, p in params.items()} for _ in others]
        for t in range(stop, stop + 7):
            take(opt, params, t, form)
            for other, same in zip(others, copies):
                take(other, same, t, form)
                assert everything(other, same.values()) == everything(opt, params.values())
        assert repr(others[2]) == repr(opt)


@any_nesting
def test_files(make, tmp_path):
    pytest.importorskip("safetensors")
    opt, params = make(), start()
    for t in range(3):
        take(opt, params, t)
    fastnn.save(tmp_path/"saved", opt=opt, params=params, other=opt)
    twin, same = make(), start()
    saved = fastnn.load(tmp_path/"saved", opt=twin, params=same)
    assert everything(twin, same.values()) == everything(opt, params.values())
    assert saved.opt["wrapper"] == type(opt).__name__
    for t in range(3, 9):
        take(opt, params, t)
        take(twin, same, t)
    assert everything(twin, same.values()) == everything(opt, params.values())


def damaged(state):
    """The state with each of its entries taken out, replaced by rubbish, and with one too many."""
    def places(node, path):
        if isinstance(node, dict):
            for key in node:
                yield (*path, key)
                yield from places(node[key], (*path, key))

    for path in places(state, ()):
        for change in ("out", 3.5, "x", None, np.ones(2, int), {"x": 1}, -1, [1]):
            found = copy.deepcopy(state)
            node = found
            for key in path[:-1]:
                node = node[key]
            if isinstance(change, str) and change == "out":
                del node[path[-1]]
            else:
                node[path[-1]] = change
            yield path, change, found


@any_nesting
def test_damaged_states_change_nothing(make):
    opt, params = make(), {"a": np.ones(3), "b": np.ones((2, 2), np.float32)}
    for t in range(4):
        take(opt, params, t)
    twin = make()
    for t in range(3):
        take(twin, {"a": np.ones(3)}, t)
    before, kept, refused, taken = everything(twin, []), twin.state_dict(), 0, []
    for path, change, state in damaged(opt.state_dict()):
        try:
            twin.load_state_dict(state)
        except StateError:
            refused += 1
            assert everything(twin, []) == before, (path, change)
        else:
            taken.append(path)
            twin.load_state_dict(kept)
    assert refused > 50
    assert {path[-1] for path in taken} <= {
        "lr", "momentum", "eta", "k", "alpha", "decay", "rho", "weight_decay", "l2", "l1", "clip_value", "clip_norm",
        "clip_global_norm", "clip_adaptive", "grad_scale", "passes", "skipped", "t", "by_key", "a", "b", "sum", "count",
        "losses", "average", "slow", "like", "output_axis", "structures", "by_position", "scalars"}, taken


def test_states_of_others():
    look, adam = Lookahead(get_opt("Adam")), get_opt("Adam")
    with pytest.raises(StateError, match="not that of a Lookahead, but of an optimizer alone"):
        look.load_state_dict(adam.state_dict())
    with pytest.raises(StateError, match="the state is that of 'Lookahead' around an optimizer"):
        adam.load_state_dict(look.state_dict())
    with pytest.raises(StateError, match="wrapper is 'Lookahead', not 'SAM'"):
        SAM(adam).load_state_dict(look.state_dict())
    with pytest.raises(StateError, match="name is 'Adam', not 'SGD'"):
        Lookahead(get_opt("SGD")).load_state_dict(look.state_dict())
    with pytest.raises(StateError):
        look.load_state_dict(3)
    with pytest.raises(StateError, match="format 2"):
        look.load_state_dict({**look.state_dict(), "format": 2})


def test_a_schedule_is_kept_with_the_average():
    opt, p = ExponentialAverage(get_opt("SGD"), schedules.linear(0.5, 10, end_value=0.9)), [np.ones(2)]
    for _ in range(5):
        opt.step(p, [np.ones(2)])
    twin, q = ExponentialAverage(get_opt("SGD"), schedules.linear(0.1, 3)), [p[0].copy()]
    twin.load_state_dict(opt.state_dict())
    assert twin.decay == opt.decay
    for _ in range(5):
        opt.step(p, [np.ones(2)])
        twin.step(q, [np.ones(2)])
    assert everything(twin, q) == everything(opt, p)
    wrong = ExponentialAverage(get_opt("SGD"), lambda t: 1.5)
    wrong.step(p, [np.ones(2)])
    before = p[0].copy()
    with pytest.raises(ValueError, match="decay must be at least 0 and below 1.*at t = 2"):
        wrong.step(p, [np.ones(2)])
    assert_array_equal(p[0], before)


# SAM

@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("wrap", [lambda opt: opt, lambda opt: Lookahead(opt, 3)], ids=["alone", "around"])
def test_sam_beside_plain_numpy(rule, wrap):
    def gradient(params, t):
        noise = gradients(t, params)
        return {key: 0.3*p + np.sin(p) + noise[key] if (t + len(key)) % 5 else None for key, p in params.items()}

    opt = SAM(get_opt(rule, **RULES[rule]), 0.1)
    loop = plain.SAM(plain.Plain(steps.Loop(optimizers.ORACLES[rule], **RULES[rule])), 0.1)
    outer = wrap(opt)
    if outer is not opt:
        slow = plain.Lookahead(loop, 3)
    params, same = start(), start()
    for t in range(1, 31):
        outer.ascend(params, gradient(params, t))
        outer.step(params, gradient(params, t))
        (loop if outer is opt else slow).step(same, (lambda p, t=t: gradient(p, t)))
        for key, p in params.items():
            assert_allclose(p, same[key], rtol=0, atol=1e-12*abs(same[key]).max())


def test_sam_comes_back_bit_for_bit():
    for dtype in (np.float64, np.float32, np.float16, bfloat16):
        rng = np.random.default_rng(1)
        room = np.zeros((6, 8), dtype)
        params = {"a": np.asarray(rng.standard_normal(5000), dtype), "v": room[::2, ::-2],
                  "c": np.ones((2, 3), dtype).T}
        params["v"][...] = rng.standard_normal((3, 4))
        opt = SAM(get_opt("SGD", lr=0.0), rho=30.0)
        before = {key: p.copy() for key, p in params.items()}
        for _ in range(3):
            grads = {key: rng.standard_normal(p.shape) for key, p in params.items()}
            opt.ascend(params, grads)
            assert all((p != before[key]).any() for key, p in params.items())
            opt.restore(params)
            for key, p in params.items():
                assert_same_bits(np.array(p), np.array(before[key]))
            opt.ascend(params, grads)
            opt.step(params, grads)
            for key, p in params.items():
                assert_same_bits(np.array(p), np.array(before[key]))
    opt.restore()
    opt.restore(params)


def test_sam_between_its_calls():
    opt = ExponentialAverage(SAM(Lookahead(get_opt("SGD"))))
    params, grads = {"a": np.ones(3)}, {"a": np.ones(3)}
    with pytest.raises(RuntimeError, match=re.escape("SAM.step comes after ascend: sam.ascend(params, grads)")):
        opt.step(params, grads)
    opt.ascend(params, grads)
    away = params["a"].copy()
    for use in (lambda: opt.ascend(params, grads), opt.state_dict, lambda: pickle.dumps(opt), lambda: copy.copy(opt),
                lambda: opt.forget("a"), lambda: opt.load_state_dict(
                    ExponentialAverage(SAM(Lookahead(get_opt("SGD")))).state_dict())):
        with pytest.raises(RuntimeError, match="between ascend and step"):
            use()
    for bad in ({"a": np.ones(3)}, {"b": params["a"]}, [params["a"]], {"a": params["a"][:2]}):
        with pytest.raises((ValueError, TypeError)):
            opt.step(bad, {"a": np.ones(3), "b": np.ones(3)} if isinstance(bad, dict) else [np.ones(3)])
        with pytest.raises(ValueError, match="not the one that ascend moved"):
            opt.restore(bad)
    with pytest.raises(KeyError):
        opt.step(params, {})
    with pytest.raises(ValueError, match="shape"):
        opt.step(params, {"a": np.ones(4)})
    assert_array_equal(params["a"], away)           # still there
    opt.step({"a": params["a"][:]}, grads)
    assert_allclose(params["a"], 0.99)
    with pytest.raises(TypeError, match="make plain numbers"):
        opt.ascend({"a": 1.0}, {"a": 1.0})
    opt.ascend(params, {"a": None})
    opt.step(params, {"a": None})
    assert opt.t == 1


def test_sam_of_norms_that_are_none():
    opt, params = SAM(get_opt("SGD", lr=1.0)), [np.ones(3)]
    opt.ascend(params, [np.zeros(3)])
    assert_array_equal(params[0], np.ones(3))
    opt.step(params, [np.ones(3)])
    assert_array_equal(params[0], np.zeros(3))
    opt.ascend(params, [np.array([1e-300, 0, 0])])
    assert np.isfinite(params[0]).all()
    opt.restore(params)
    for bad in (np.nan, np.inf):
        with pytest.warns(RuntimeWarning, match="skipped"):
            opt.ascend(params, [np.full(3, bad)])
        with pytest.raises(RuntimeError, match="between ascend and step"):
            opt.ascend(params, [np.ones(3)])
        opt.step(params, [np.full(3, bad)])
        assert_array_equal(params[0], np.zeros(3))
    assert opt.skipped == 2 and opt.t == 1
    opt.ascend(params, [np.ones(3)])
    opt.step(params, [np.ones(3)])
    assert opt.t == 2


def test_sam_goes_down_where_steps_go_up():
    up, down = SAM(get_opt("SGD", maximize=True), 0.5), SAM(get_opt("SGD"), 0.5)
    p, q, g = np.zeros(4), np.zeros(4), np.ones(4)
    up.ascend(p, g)
    down.ascend(q, -g)
    assert_array_equal(p, q)
    assert_array_equal(p, np.full(4, -0.25))


def test_sam_whose_step_is_skipped():
    opt, p = SAM(get_opt("SGD", clip_norm=1.0)), np.ones(3)
    opt.ascend(p, np.ones(3))
    with pytest.warns(RuntimeWarning, match="skipped"):
        opt.step(p, np.full(3, np.nan))
    assert_array_equal(p, np.ones(3))
    opt.ascend(p, np.ones(3))


# NAG

def test_nag_says_where_it_wants_its_gradient():
    opt = get_opt("NAG", groups=[group("f", freeze=True)])
    params = {"a": np.ones(3), "f": np.ones(2), "n": {"x": [np.ones(2), 1.0]}}
    for _ in range(2):
        opt.step(params, {"a": np.ones(3), "f": np.ones(2), "n": {"x": [np.ones(2), 1.0]}})
    point = opt.gradient_point(params)
    assert_array_equal(point["a"], opt.lookahead(params["a"], "a"))
    assert (point["a"] < params["a"]).all() and point["f"] is params["f"]
    assert type(point["n"]["x"]) is list and point["n"]["x"][1] < params["n"]["x"][1]
    assert_array_equal(point["n"]["x"][0], opt.lookahead(params["n"]["x"][0], ("n", "x", 0)))
    listed = get_opt("NAG")
    values = [np.ones(3), np.ones(2)]
    listed.step(values, [np.ones(3), np.ones(2)])
    moved = listed.lookahead(values[1], 1)
    assert (moved < values[1]).all() and (listed.gradient_point(values)[1] == moved).all()
    alone = get_opt("NAG")
    alone.step(values[0], np.ones(3))
    assert (alone.gradient_point(values[0]) < values[0]).all()
    for wrap in (Lookahead, ExponentialAverage, lambda opt: Accumulate(opt, 2)):
        assert_array_equal(wrap(opt).gradient_point(params)["a"], point["a"])
    other = Lookahead(get_opt("Adam"))
    assert other.gradient_point(params) is params and not hasattr(other, "lookahead")


def test_a_loss_that_is_no_number_is_the_rules_matter():
    adam, eve, params = Accumulate(get_opt("Adam"), 2), Accumulate(get_opt("Eve"), 2), [np.ones(3)]
    for f in ("x", None, 10**400, np.nan):
        adam.step(params, [np.ones(3)], f=f)
        with pytest.raises((TypeError, ValueError)):
            eve.step(params, [np.ones(3)], f=f)
    assert adam.t == 2 and eve.state_dict()["by_position"] == {}


# Rows

def some_rows(t, dtype=np.float64):
    rng = np.random.default_rng((t, 3))
    indices = rng.integers(0, 7, (2, 3))
    return fastnn.Rows(indices, rng.standard_normal((2, 3, 4)).astype(dtype))


def whole(rows, shape):
    dense = np.zeros(shape)
    np.add.at(dense, rows.indices, rows.values)
    return dense


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdaGrad"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_accumulated_rows_stay_rows(name, dtype):
    """As one step with all of them, scaled; what a caller does with the arrays meanwhile is no matter."""
    opt, twin = Accumulate(get_opt(name), 3), get_opt(name)
    params, same = ({"E": np.ones((9, 4), dtype), "b": np.ones(3, dtype)} for _ in range(2))
    for t in range(4):
        found = [some_rows(3*t + part, dtype) for part in range(3)]
        for part, rows in enumerate(found):
            values = np.array(rows.values)
            opt.step(params, {"E": fastnn.Rows(rows.indices, values), "b": np.full(3, t + part, dtype)})
            values[...] = np.nan
            if part == t % 3:
                opt = pickle.loads(pickle.dumps(opt))
        joined = fastnn.Rows(np.concatenate([rows.indices.ravel() for rows in found]),
                             np.concatenate([rows.values.reshape(-1, 4) for rows in found])*dtype(1/3))
        twin.step(same, {"E": joined, "b": np.full(3, t + 1, dtype)})
        for key in params:
            assert_allclose(params[key], same[key], rtol=0, atol=1e-12 if dtype is np.float64 else 1e-6)
    assert (params["E"][7:] == 1).all() and not params["E"][7:].size == 0


@pytest.mark.parametrize("order", range(6))
def test_rows_among_whole_gradients(order):
    opt, p, q = Accumulate(get_opt("SGD", lr=1.0), 4), np.ones((9, 4)), np.ones((9, 4))
    kinds = ["rows whole rows none", "whole rows rows none", "rows rows none whole", "rows none none rows",
             "none rows whole rows", "none whole none rows"][order].split()
    for turn in range(3):
        mean = 0
        for t, kind in enumerate(kinds):
            rows = some_rows(10*turn + t)
            grad = {"rows": rows, "whole": whole(rows, q.shape), "none": None}[kind]
            mean = mean + (0 if kind == "none" else whole(rows, q.shape)/4)
            opt.step([p], [grad])
            if (turn, t) == (1, 2):
                opt = copy.deepcopy(opt)
        q -= mean
        assert_allclose(p, q, rtol=0, atol=1e-14)


def test_rows_in_every_wrapper():
    for make in ANY.values():
        opt, twin = make(), make()
        params, same = [np.ones((9, 4))], [np.ones((9, 4))]
        for t in range(7):
            rows = some_rows(t)
            every = fastnn.Rows(np.r_[rows.indices.ravel(), np.arange(9)],
                                np.concatenate([rows.values.reshape(-1, 4), np.zeros((9, 4))]))
            for one, p, grad in ((opt, params, every), (twin, same, whole(rows, (9, 4)))):
                if one._ascending() is not None:
                    one.ascend(p, [grad])
                one.step(p, [grad])
            assert_allclose(params[0], same[0], rtol=0, atol=1e-13)


def test_rows_that_do_not_fit():
    opt, p = Accumulate(get_opt("Adam"), 3), np.ones((9, 4))
    opt.step([p], [some_rows(1)])
    before = everything(opt, [p])
    for bad in (fastnn.Rows([9], np.ones((1, 4))), fastnn.Rows([1], np.ones((1, 3)))):
        with pytest.raises(ValueError, match="0"):
            opt.step([p], [bad])
        assert everything(opt, [p]) == before
    with pytest.raises(TypeError, match="Rows"):
        Accumulate(get_opt("NAG"), 2).step([p], [some_rows(1)])
    opt.forget(0)
    assert opt.state_dict()["by_position"] == {}
