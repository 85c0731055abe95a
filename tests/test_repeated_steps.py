"""Most steps find everything where the step before found it. Whatever has changed since, a step is like that of an
optimizer which has only its state.
"""
import copy
import gc
import warnings
import weakref

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from fastnn import Rows, get_opt, group, optimizers
from test_all_or_nothing import everything

each_form = pytest.mark.parametrize("form", ["mapping", "list", "tuple"])


def numbers(shape, seed, dtype=np.float32):
    return np.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def step(opt, form, params, grads):
    if form == "mapping":
        opt.update(dict(enumerate(params)), dict(enumerate(grads)))
    else:
        opt.step(*({"list": list, "tuple": tuple}[form](arrays) for arrays in (params, grads)))


def checked_step(opt, form, params, grads):
    """A step, compared with that of a copy of the optimizer over copies of the arrays."""
    rooms = [p if p.base is None else p.base for p in params]
    twin, (same, others) = copy.deepcopy(opt), copy.deepcopy((params, [np.array(grad) for grad in grads]))
    for p, q in zip(params, same):
        q.flags.writeable = p.flags.writeable
    before, failed = everything(opt, rooms), []
    for one, ps, gs in ((twin, same, others), (opt, params, grads)):
        try:
            step(one, form, ps, gs)
        except (TypeError, ValueError) as error:
            failed.append(str(error))
    if failed:
        assert len(failed) == 2 and failed[0] == failed[1] and everything(opt, rooms) == before
    else:
        assert everything(opt, [np.array(p) for p in params]) == everything(twin, [np.array(p) for p in same])
    return not failed


SHAPES = [(7,), (7,), (3, 5), (40,), (7,)]


def start():
    return [numbers(shape, i) for i, shape in enumerate(SHAPES)], [numbers(shape, i + 9) for i, shape in enumerate(SHAPES)]


def exchange_in_place(params, grads, i, **attributes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)     # NumPy advises against it
        for name, value in attributes.items():
            setattr(params[i], name, value)
            grads[i] = np.ones(params[i].shape, np.float32)


def at_the_same_address(params, grads, i):
    """Another array where one was that has been freed; there is no promise that the allocator does so."""
    address, shape, held = params[i].ctypes.data, params[i].shape, []
    params[i] = None
    for seed in range(50):
        held.append(numbers(shape, seed))
        if held[-1].ctypes.data == address:
            break
    params[i] = held[-1]


def into_the_memory_of(params, grads, i):
    """A gradient that is, in part, the next parameter of its shape."""
    room = np.zeros(20, np.float32)
    params[0], grads[1] = room[3:10], room[i:i + 7]


CHANGES = {
    "nothing": lambda params, grads, i: None,
    "shorter": lambda params, grads, i: (params.pop(), grads.pop()),
    "longer": lambda params, grads, i: (params.append(numbers(9, i)), grads.append(numbers(9, i))),
    "other parameter": lambda params, grads, i: params.__setitem__(i, params[i].copy()),
    "other gradient": lambda params, grads, i: grads.__setitem__(i, grads[i].copy()),
    "other gradients": lambda params, grads, i: grads.__setitem__(slice(None), [grad*2 for grad in grads]),
    "exchanged": lambda params, grads, i: params.__setitem__(slice(2), params[1::-1]),
    "gradients exchanged": lambda params, grads, i: grads.__setitem__(slice(2), grads[1::-1]),
    "reversed": lambda params, grads, i: (params.reverse(), grads.reverse()),
    "one too few": lambda params, grads, i: grads.pop(),
    "in a parameter": into_the_memory_of,
    "the parameter itself": lambda params, grads, i: grads.__setitem__(i, params[i]),
    "twice": lambda params, grads, i: params.__setitem__(1, params[0]),
    "dtype in place": lambda params, grads, i: exchange_in_place(params, grads, i, dtype=np.int32),
    "shape in place": lambda params, grads, i: exchange_in_place(params, grads, i, shape=(1, params[i].size)),
    "gradient's shape in place": lambda params, grads, i: exchange_in_place(grads, [None]*9, i, shape=(1, grads[i].size)),
    "read-only": lambda params, grads, i: setattr(params[i].flags, "writeable", False),
    "freed": at_the_same_address,
    "float64": lambda params, grads, i: params.__setitem__(i, params[i].astype(np.float64)),
    "gradient in float64": lambda params, grads, i: grads.__setitem__(i, grads[i].astype(np.float64)),
    "half a gradient": lambda params, grads, i: grads.__setitem__(i, grads[i].astype(np.float16)),
    "byte-swapped": lambda params, grads, i: grads.__setitem__(i, grads[i].astype(grads[i].dtype.newbyteorder())),
    "gaps": lambda params, grads, i: params.__setitem__(i, np.repeat(params[i], 2, axis=-1)[..., ::2]),
    "a list": lambda params, grads, i: grads.__setitem__(i, grads[i].tolist()),
}


@pytest.mark.parametrize("change", CHANGES)
@each_form
def test_what_changes_between_two_steps(form, change):
    for i in (0, 2):
        opt, (params, grads) = get_opt("Adam"), start()
        for _ in range(2):
            assert checked_step(opt, form, params, grads)
        CHANGES[change](params, grads, i)
        if form == "mapping" and len(grads) < len(params):
            continue                                    # a KeyError; tests/test_optimizer_calls.py has it
        for _ in range(2):
            checked_step(opt, form, params, grads)


@settings(max_examples=150)
@given(st.data())
def test_any_changes(data):
    """Mappings and sequences in turn, too: they have states of their own."""
    opt, (params, grads) = get_opt(data.draw(st.sampled_from(["SGD", "Adam"]))), start()
    for _ in range(data.draw(st.integers(2, 7))):
        change = data.draw(st.sampled_from(["nothing", "nothing", "nothing", "other gradients", *CHANGES]))
        i = data.draw(st.integers(0, len(params) - 1)) if len(params) > 1 else 0
        before = copy.copy(params), copy.copy(grads)
        if params and len(params) == len(grads) and isinstance(grads[i], np.ndarray) and len(params) > 2:
            CHANGES[change](params, grads, i)
        if len(params) != len(grads) or not checked_step(opt, data.draw(st.sampled_from(["mapping", "list", "tuple"])),
                                                         params, grads):
            params, grads = before
            for p in params:
                p.flags.writeable = True


def test_positions_are_no_keys():
    """0 as a key is not the first of a list, although it is the same object."""
    opt, (params, grads) = get_opt("Adam"), start()
    for form in ("list", "mapping", "list", "mapping"):
        checked_step(opt, form, params, grads)
    by_key, by_position = opt._records
    assert by_key.keys() == by_position.keys() == set(range(len(SHAPES)))
    assert all(by_key[i] is not by_position[i] for i in by_key)


@each_form
def test_a_step_keeps_no_array(form):
    """Neither one that succeeds nor one that fails; each of many would."""
    import sys
    opt, (params, grads) = get_opt("Adam"), start()
    before = [sys.getrefcount(a) for a in (*params, *grads)]
    for _ in range(5):
        step(opt, form, params, grads)
        with pytest.raises(TypeError):
            opt.update(dict(enumerate(params)), dict(enumerate(grads)), t="1")
    assert [sys.getrefcount(a) for a in (*params, *grads)] == before


# A kept plan is of the parameters that were stepped, and of no others at their places.

def step_again(first, second, groups=()):
    """State after two calls, by position."""
    opt = get_opt("Momentum", lr=1.0, groups=groups)
    opt.step(*first)
    opt.step(*second)
    return opt.state_dict()["by_position"]


def test_positions_after_a_gradient_of_none():
    a, b, g = np.zeros(2), np.zeros(2), np.ones(2)
    state = step_again(([a, b], [None, g]), ([b], [g]))
    assert {position: entry["t"] for position, entry in state.items()} == {0: 1, 1: 1}


def test_positions_after_one_that_is_frozen():
    a, b, g = np.zeros(2), np.zeros(2), np.ones(2)
    state = step_again(([a, b], [g, g]), ([b], [g]), [group(lambda key, p: key == 0, freeze=True)])
    assert {position: entry["t"] for position, entry in state.items()} == {1: 1}
    assert (b == -1).all() and not a.any()


def test_positions_after_paths():
    a, b, g = np.zeros(2), np.zeros(2), np.ones(2)
    state = step_again(([(a, b)], [(g, g)]), ([a, b], [g, g]))
    assert {position: entry["t"] for position, entry in state.items()} == {(0, 0): 1, (0, 1): 1, 0: 1, 1: 1}


def test_groups_at_the_second_look():
    """Each parameter keeps its group when others join."""
    seen = []
    opt = get_opt("SGD", lr=1.0, groups=[group(lambda key, p: seen.append(key) or key == "a", lr=2.0)])
    params, g = {"a": np.zeros(2), "b": np.zeros(2)}, np.ones(2)
    opt.step(params, dict.fromkeys(params, g))
    params["c"] = np.zeros(2)
    opt.step(params, dict.fromkeys(params, g))
    assert seen == ["a", "b", "c"]
    assert [p[0] for p in params.values()] == [-4, -2, -1]


def test_a_schedule_of_the_global_norm_has_the_step_that_is_given():
    seen = []
    opt = get_opt("SGD", clip_global_norm=lambda t: seen.append(t) or 1.0)
    for t in (None, 7, None):
        opt.update({"w": np.ones(2)}, {"w": np.ones(2)}, t=t)
    assert list(dict.fromkeys(seen)) == [1, 7, 8]


# What is known of the last step's parameters is not taken for that of an earlier one's.

def test_memory_that_two_calls_of_others_shared():
    room, rest = np.zeros(6), np.zeros(4)
    first, second, g = room[:4], room[2:], np.ones(4)
    opt = get_opt("SGD", lr=1.0)
    opt.step({"a": first, "b": rest}, {"a": g, "b": g})
    opt.step({"c": rest, "d": second}, {"c": g, "d": g})
    before = room.copy()
    with pytest.raises(ValueError, match="'a' and 'd' share memory"):
        opt.step({"a": first, "d": second}, {"a": g, "d": g})
    assert (room == before).all()


def test_a_gradient_in_the_memory_of_its_parameter_after_another_call():
    room = np.arange(65.0)
    p, other = room[1:], np.zeros(64)
    wanted = p - room[:-1]
    opt = get_opt("SGD", lr=1.0)
    opt.step({"a": p}, {"a": np.zeros(64)})
    opt.step({"b": other}, {"b": other})
    opt.step({"a": p}, {"a": room[:-1]})
    assert (p == wanted).all()


def test_a_step_keeps_neither_its_optimizer_nor_what_it_cannot_step_again():
    """Without waiting for the collector."""
    class Own(np.ndarray):
        pass

    gc.disable()
    try:
        for options in ({}, {"groups": [group("w", lr=1.0)]}, {"lr": lambda t: 1.0}):
            opt, g = get_opt("Adam", **options), np.ones((3, 2))
            strided, plain = np.ones((3, 4))[:, ::2].view(Own), np.ones((3, 2)).view(Own)
            nested = {"w": plain, "b": 1.0}
            for _ in range(3):
                opt.step({"w": strided}, {"w": g})
                opt.step(nested, {"w": g, "b": 1.0})
            gone = [weakref.ref(a) for a in (strided, plain)]
            del strided, plain, nested
            assert [a() for a in gone] == [None, None]
            params = [np.ones(3)]
            for _ in range(3):
                opt.step(params, params)
            gone = weakref.ref(opt)
            del opt
            assert gone() is None
    finally:
        gc.enable()


SET = [{}, {"lr": 0.02}, {"lr": np.float64(0.03)}, {}, {"stepsize": 0.01, "lr": 0.04}, {"lr": 0.05, "l2": 0.1}, {},
       {"lr": 0.06}, {"lr": lambda t: 0.1/t}, {"lr": 0.07}, {"learning_rate": 1e-9}, {"lr": 0.02, "l2": 0.0}, {"lr": 1},
       {"weight_decay": 0.1}, {"lr": 0.03}, {"lr": 0.04}]


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"clip_global_norm": 0.5}, {
    "groups": [group("1", lr=0.5), group("2", l1=0.1)]}], ids=["plain", "decay", "norm", "groups"])
@pytest.mark.parametrize("name", optimizers())
def test_numbers_that_are_set_between_steps(name, options):
    (params, grads), opt = start(), get_opt(name, lr=0.01, **options)
    for changes in SET:
        for word, value in changes.items():
            setattr(opt, word, value)
        assert checked_step(opt, "mapping", params, grads)


def test_a_number_that_is_refused_changes_nothing():
    (params, grads), opt = start(), get_opt("Adam", lr=0.01)
    for value in (-0.1, np.nan, np.inf, np.float64(-1), "0.1", None, True):
        with pytest.raises((TypeError, ValueError), match="alpha .lr. must be"):
            opt.lr = value
        assert opt.lr == 0.01
        assert checked_step(opt, "mapping", params, grads)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_a_rate_that_is_set_between_steps_with_rows(name):
    rates, rng = [0.1, 0.1, 0.05, 0.02, 0.02, 0.3], np.random.default_rng(0)
    by_hand, scheduled = get_opt(name), get_opt(name, lr=lambda t: rates[t - 1])
    tables = np.ones((2, 6, 3))
    for rate in rates:
        rows = Rows(rng.integers(6, size=4), rng.standard_normal((4, 3)))
        by_hand.lr = rate
        by_hand.step({"E": tables[0]}, {"E": rows})
        scheduled.step({"E": tables[1]}, {"E": rows})
    assert tables[0].tobytes() == tables[1].tobytes()
