"""Nested parameters: what is found in them, numbers that are written back, and mappings that keep nothing."""
import gc
import sys
from collections import OrderedDict, UserDict, defaultdict, namedtuple
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pytest

from fastnn import StateError, load, messages, save
from fastnn.nn import clip_grad_norm
from fastnn.state import filled
from fastnn.trees import MOST_LEVELS, checked_items, flattened
from helpers import assert_same_bits

Layer = namedtuple("Layer", "W b")


class Proxy(Mapping):
    """Hands out what `read` makes of what it has."""

    def __init__(self, data, read=lambda value: value):
        self.data, self.read = data, read

    def __getitem__(self, key):
        return self.read(self.data[key])

    def __iter__(self):
        return iter(self.data)

    def __len__(self):
        return len(self.data)


def arrays(count, shape=(2,)):
    return [np.full(shape, float(i)) for i in range(count)]


def found(params, grads, paths=None):
    """{key: (parameter, gradient)}; every parameter is an array, and no key comes twice."""
    keys, parameters, gradients, _ = flattened(params, grads, {} if paths is None else paths)
    assert len(keys) == len(parameters) == len(gradients) == len(set(keys))
    assert all(isinstance(p, np.ndarray) for p in parameters)
    return dict(zip(keys, zip(parameters, gradients)))


def assert_found(params, grads, wanted):
    """wanted has, for each key in its order, the very objects."""
    got = found(params, grads)
    assert list(got) == list(wanted)
    for key, pair in wanted.items():
        assert got[key][0] is pair[0] and got[key][1] is pair[1], key


# Structures.

def test_pairs():
    W, b, V, c, *grads = arrays(8)
    wanted = {(0, 0): (W, grads[0]), (0, 1): (b, grads[1]), (2, 0): (V, grads[2]), (2, 1): (c, grads[3])}
    assert_found([(W, b), (), (V, c)], [tuple(grads[:2]), (), tuple(grads[2:])], wanted)
    assert_found(((W, b), [], [V, c]), [grads[:2], (), tuple(grads[2:])], wanted)
    assert_found([Layer(W, b), {}, Layer(V, c)], ([*grads[:2]], {}, Layer(*grads[2:])), wanted)


def test_mappings_in_mappings():
    W, b, V, *grads = arrays(6)
    gradients = {"dense": {"b": grads[1], "W": grads[0], "more": "unread"}, "out": {"V": grads[2]}, "act": {}, "x": 0}
    wanted = {("dense", "W"): (W, grads[0]), ("dense", "b"): (b, grads[1]), ("out", "V"): (V, grads[2])}
    for kind in (dict, OrderedDict, UserDict, MappingProxyType, Proxy):
        params = kind({"dense": kind({"W": W, "b": b}), "act": kind({}), "out": kind({"V": V})})
        assert_found(params, gradients, wanted)
        assert_found({**params}, kind(gradients), wanted)


def test_anything_in_anything():
    a, b, c, d, *grads = arrays(8)
    assert_found({"blocks": [{"W": a}, (b, [c])], "d": d}, {"blocks": ({"W": grads[0]}, [grads[1], (grads[2],)]),
                                                           "d": grads[3]},
                 {("blocks", 0, "W"): (a, grads[0]), ("blocks", 1, 0): (b, grads[1]),
                  ("blocks", 1, 1, 0): (c, grads[2]), "d": (d, grads[3])})


def test_flat_ones_have_their_own_keys():
    W, b, *grads = arrays(4)
    assert_found({"W": W, ("b", 1): b}, {("b", 1): grads[1], "W": grads[0]},
                 {"W": (W, grads[0]), ("b", 1): (b, grads[1])})
    assert_found([W, b], tuple(grads), {0: (W, grads[0]), 1: (b, grads[1])})
    assert flattened({}, {"W": W}, {}) == flattened((), [], {}) == flattened([()], [()], {}) == ([], [], [], None)


def test_what_the_core_looks_at_is_left_to_it():
    """Dtypes, shapes and what NumPy makes of a gradient."""
    p, masked = np.zeros(2, np.int64), np.ma.zeros(3)
    assert_found([[p], masked], [[g := [0.5, 0.25]], h := 3.0], {(0, 0): (p, g), 1: (masked, h)})


def test_the_same_path_is_the_same_tuple():
    paths = {}
    params, other = ({"a": [(np.zeros(1), np.zeros(1))], "b": {"a": np.zeros(1)}} for _ in range(2))
    first, second = list(found(params, params, paths)), list(found(other, other, paths))
    assert first == second == [("a", 0, 0), ("a", 0, 1), ("b", "a")]
    assert all(one is two for one, two in zip(first, second))


def test_none_leaves_out_what_lies_there():
    a, b, c, g = arrays(4)
    assert_found([(a, b), c], [(None, g), None], {(0, 1): (b, g)})
    assert_found({"a": a, "deep": {"b": b, "c": [c]}}, {"a": g, "deep": None}, {"a": (a, g)})
    assert_found({"a": a, "b": None, "c": "no parameter"}, {"a": g, "b": None, "c": None}, {"a": (a, g)})
    shared = {"W": a, "n": 1.0}
    assert list(found({"encoder": shared, "decoder": shared}, {"encoder": {"W": g, "n": 1.0}, "decoder": None})) == [
        ("encoder", "W"), ("encoder", "n")]


# Structures that do not fit.

ONE = np.zeros(1)
MISFITS = {
    "missing": ({"a": {"W": ONE, "b": ONE}}, {"a": {"W": ONE}}, KeyError, r"no gradient for parameter \('a', 'b'\)"),
    "missing at the top": ({"W": ONE}, {"w": ONE}, KeyError, "no gradient for parameter 'W'"),
    "missing whole": ({"a": {"W": ONE}}, {"b": {"W": ONE}}, KeyError, "no gradient for parameter 'a'"),
    "shorter": ([(ONE, ONE)], [(ONE,)], ValueError, "2 parameters, but 1 gradients at 0"),
    "longer": ({"a": [[ONE]]}, {"a": [[ONE, ONE]]}, ValueError, r"1 parameters, but 2 gradients at \('a', 0\)"),
    "other length": ([ONE, ONE], [ONE], ValueError, "2 parameters, but 1 gradients$"),
    "mapping for a sequence": ({"a": [ONE]}, {"a": {0: ONE}}, TypeError, "of 'a' must be a list or tuple.*not dict"),
    "array for a sequence": ({"a": [ONE]}, {"a": np.zeros((1, 1))}, TypeError, "of 'a' must be a list.*not ndarray"),
    "sequence for a mapping": ([{"a": ONE}], [[ONE]], TypeError, "of 0 must be a mapping.*dict.*not list"),
    "mapping for an array": ([{"a": ONE}], [{"a": {"b": ONE}}], TypeError, r"of \(0, 'a'\) must be an array.*not dict"),
    "mapping for a number": ({"a": 1.0}, {"a": {}}, TypeError, "of 'a' must be an array.*not dict"),
    "sequence for a mapping at the top": ({"a": ONE}, [ONE], TypeError, "grads must be a mapping, as params.*not list"),
    "mapping for a sequence at the top": ((ONE,), {0: ONE}, TypeError, "grads must be a list or tuple.*not dict"),
    "None at the top": ({"a": ONE}, None, TypeError, "grads must be a mapping.*not NoneType"),
    "array at the top": (ONE, ONE, TypeError, "params must be a mapping, list or tuple, not ndarray"),
    "string": ({"a": {"W": "zeros"}}, {"a": {"W": ONE}}, TypeError, r"\('a', 'W'\) must be a NumPy array.*not str"),
    "bytes": ([b"1"], [ONE], TypeError, "parameter 0 must be a NumPy array.*not bytes"),
    "set": ([{1.0}], [ONE], TypeError, "parameter 0 must be a NumPy array.*not set"),
    "None": ({"W": None}, {"W": ONE}, TypeError, "parameter 'W' must be a NumPy array.*not NoneType"),
    "bool": ({"W": True}, {"W": 1.0}, TypeError, "parameter 'W' must be a NumPy array or a floating.*not bool"),
    "NumPy integer": ({"W": np.int64(1)}, {"W": 1.0}, TypeError, "parameter 'W' must be a NumPy array or .*not int64"),
    "complex": ({"W": 1j}, {"W": 1.0}, TypeError, "parameter 'W' must be a NumPy array.*not complex"),
    "huge": ([[10**400]], [[1.0]], ValueError, r"parameter \(0, 0\) is an integer beyond float64"),
    "number in a tuple": ({"a": (1.0, ONE)}, {"a": (1.0, ONE)}, TypeError, r"\('a', 0\) is a plain number in a tuple"),
    "number in a proxy": (MappingProxyType({"a": 1.0}), {"a": 1}, TypeError, "'a' is a plain number in a mappingproxy"),
    "a path and a key": ({("a", "W"): ONE, "a": {"W": np.ones(1)}}, {("a", "W"): ONE, "a": {"W": ONE}}, ValueError,
                         r"a key twice: \('a', 'W'\)"),
}


@pytest.mark.parametrize(("params", "grads", "error", "message"), MISFITS.values(), ids=MISFITS)
def test_misfits(params, grads, error, message):
    with pytest.raises(error, match=message):
        flattened(params, grads, {})


def test_a_mapping_that_lists_a_key_twice():
    class Twice(Proxy):
        def __iter__(self):
            return iter([*self.data, *self.data])

    for params in (Twice({"a": ONE}), {"layer": Twice({"a": ONE})}):
        with pytest.raises(ValueError, match="lists a key twice"):
            flattened(params, {"a": ONE, "layer": {"a": ONE}}, {})


def test_errors_of_mappings_come_through():
    class Broken(Proxy):
        def __getitem__(self, key):
            raise OSError("closed")

    for params, grads in ((Broken({"a": ONE}), {"a": ONE}), ({"a": ONE}, Broken({"a": ONE}))):
        with pytest.raises(OSError, match="closed"):
            flattened(params, grads, {})


# Depth.

def nested(levels, leaf):
    for _ in range(levels):
        leaf = [leaf]
    return leaf


def test_depth():
    params = nested(MOST_LEVELS, ONE)
    assert list(found(params, params)) == [(0,) * MOST_LEVELS]
    for params in (nested(MOST_LEVELS + 1, ONE), nested(20 * sys.getrecursionlimit(), ONE)):
        with pytest.raises(ValueError, match=f"more than {MOST_LEVELS} levels"):
            flattened(params, params, {})


def test_in_themselves():
    inside = [ONE]
    inside.append(inside)
    wide = {}
    wide.update(a=wide, b=wide)
    endless = defaultdict(lambda: Proxy({"a": None}, lambda _: endless["a"]), a=None)
    endless["a"] = Proxy({"a": None}, lambda _: Proxy({"a": None}, lambda _: endless["a"]))
    for params in (inside, wide, endless):
        with pytest.raises(ValueError, match="in themselves"):
            flattened(params, params, {})


def test_what_would_fill_the_memory_ends():
    for leaf, error in ((ONE, "comes twice"), ([], None), ({}, None)):
        params = leaf
        for _ in range(50):
            params = [params, params]
        if error:
            with pytest.raises(ValueError, match=error):
                flattened(params, params, {})
        else:
            assert found(params, params) == {}


def test_many_layers_without_parameters():
    """One empty tuple, and one tuple of them, as an interpreter may keep it, thousands of times."""
    relu = ((), ())
    params = [(np.zeros(1),), relu, ()] * 3000
    for i in range(0, len(params), 3):
        params[i] = (np.zeros(1),)
    assert list(found(params, params)) == [(i, 0) for i in range(0, len(params), 3)]


def test_the_same_container_with_other_gradients():
    """Two halves of it may each be left out once."""
    layer = {"W": np.zeros(1), "b": np.zeros(1)}
    got = found([layer] * 2, [{"W": ONE, "b": None}, {"W": None, "b": ONE}])
    assert list(got) == [(0, "W"), (1, "b")]


# Numbers.

class Writable(UserDict):
    """A mapping of the user's that counts what is written to it."""

    writes = 0

    def __setitem__(self, key, value):
        self.writes += 1
        super().__setitem__(key, value)


@pytest.mark.parametrize(("number", "dtype", "kind"), [
    (-7.0, np.float64, float), (3, np.float64, float), (np.float64(2), np.float64, np.float64),
    (np.float32(2), np.float32, np.float32), (np.float16(2), np.float16, np.float16)], ids=repr)
@pytest.mark.parametrize("container", [lambda x: {"x": x}, lambda x: [np.zeros(2), x], lambda x: {"a": [{"b": x}]},
                                       lambda x: ([np.zeros(2)], [x]), lambda x: OrderedDict(x=x),
                                       lambda x: UserDict(x=x), lambda x: {"a": UserDict(x=x)}], ids=range(7))
def test_numbers_are_written_back(container, number, dtype, kind):
    params, grads = container(number), container(0.5)
    _, parameters, gradients, write_back = flattened(params, grads, {})
    p, g = parameters[-1], gradients[-1]
    assert (p.shape, p.dtype, float(p)) == ((), dtype, float(number)) and p.flags.writeable and g == 0.5
    assert write_back.unchanged()
    p += 0.25
    assert repr(params) == repr(container(number))
    write_back()
    assert repr(params) == repr(container(kind(number + 0.25)))


def test_bfloat16():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    params = [bfloat16(1)]
    _, (p,), _, write_back = flattened(params, [1.0], {})
    p[...] = 2
    write_back()
    assert type(params[0]) is bfloat16 and params[0] == 2


def test_many_numbers():
    params = {"a": list(range(50)), "b": {i: np.float32(i) for i in range(50)}, "W": np.zeros(3)}
    _, parameters, _, write_back = flattened(params, params, {})
    for p in parameters:
        p += 0.5
    write_back()
    assert params["a"] == [i + 0.5 for i in range(50)] and set(map(type, params["a"])) == {float}
    assert params["b"] == {i: i + 0.5 for i in range(50)} and set(map(type, params["b"].values())) == {np.float32}


def test_no_signal_is_heard_while_numbers_are_written_back():
    """Handlers run between instructions of Python's, of which there are none."""
    params, frames = {"a": 1.0, "b": np.float32(1), "c": [2]}, []
    write_back = flattened(params, params, {})[3]
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, argument: frames.append(frame.f_code) if event == "call" else None)
    try:
        write_back()
    finally:
        sys.setprofile(before)
    assert not frames and type(params["c"][0]) is float


def test_no_numbers_nothing_to_write_back():
    assert flattened([(ONE,)], [(ONE,)], {})[3] is None
    assert flattened({"x": 1.0, "W": ONE}, {"x": None, "W": ONE}, {})[3] is None


def test_what_has_become_of_a_number_in_between():
    for params, change in (({"x": 1.0}, lambda p: p.update(x=2.0)), ({"x": 1.0}, dict.clear), ([1.0], list.clear)):
        write_back = flattened(params, {"x": 1.0} if type(params) is dict else [1.0], {})[3]
        change(params)
        assert not write_back.unchanged()


def test_numbers_that_come_twice():
    shared = {"x": 1.0}
    with pytest.raises(ValueError, match=r"parameter \(1, 'x'\) is a number that comes twice"):
        flattened([shared, shared], [{"x": 1.0}, {"x": 2.0}], {})
    assert shared == {"x": 1.0}


def test_a_mapping_is_tried_before_the_step():
    class Refusing(UserDict):
        def __setitem__(self, key, value):
            if hasattr(self, "full"):
                raise TypeError("it is sealed")
            super().__setitem__(key, value)

    params, free = Refusing(x=1.0), Writable(x=1.0)
    params.full = True
    with pytest.raises(TypeError, match="'x' is a plain number in a Refusing, .*: it is sealed"):
        flattened(params, {"x": 1.0}, {})
    before = free.writes
    write_back = flattened(free, {"x": 1.0}, {})[3]
    assert free.writes == before + 1 and free["x"] == 1.0
    write_back()
    assert free.writes == before + 2


def test_nothing_is_tried_where_there_is_an_error():
    first = Writable(x=1.0)
    before = first.writes
    with pytest.raises(TypeError, match="plain number in a tuple"):
        flattened([first, (1.0,)], [{"x": 1.0}, (1.0,)], {})
    assert first.writes == before


# Mappings that hand out new arrays.

def npz(folder, **named):
    np.savez(folder / "params.npz", **named)
    return np.load(folder / "params.npz")


def test_an_npz_file_is_refused_as_parameters(tmp_path):
    named = {"W": np.ones((2, 3)), "b": np.zeros(3)}
    with npz(tmp_path, **named) as params:
        for refused, grads in ((params, named), ({"layer": params}, {"layer": named}), ([params], [named])):
            with pytest.raises(TypeError, match=r"'W'\)?: this NpzFile returns a new array .* dict\(npz\)"):
                flattened(refused, grads, {})
        assert list(found(dict(params), params)) == ["W", "b"]           # as gradients it serves
        with pytest.raises(TypeError, match="parameter 'W': this NpzFile"):
            filled(params, named)
        with pytest.raises(TypeError, match="gradient 'W': this NpzFile"):
            clip_grad_norm(params, 0.1)
        grads = dict(params)
        assert clip_grad_norm(grads, 0.5) == pytest.approx(6**0.5)
        assert np.linalg.norm(grads["W"]) == pytest.approx(0.5)


NEW = {"copies": np.copy, "lists of copies": lambda a: [a.copy()], "mappings of copies": lambda a: {"x": a.copy()},
       "tuples of lists": lambda a: ([a.copy()],), "another dtype": lambda a: a.astype(np.float32),
       "proxies of copies": lambda a: Proxy({"x": a}, np.copy), "numbers in new lists": lambda a: [1.0],
       "numbers in new dicts": lambda a: {"x": 0.5}}


@pytest.mark.parametrize("read", NEW.values(), ids=NEW)
def test_new_ones_are_refused(read):
    params = Proxy({"W": np.zeros(3)}, read)
    with pytest.raises(TypeError, match="this Proxy returns a new array at each access"):
        flattened(params, {"W": params["W"]}, {})


@pytest.mark.parametrize("noun", ["parameter", "gradient"])
def test_checked_items(noun):
    named = {"W": np.zeros((2, 3)), "b": np.zeros(3)}
    for mapping in (named, OrderedDict(named), UserDict(named), MappingProxyType(named), Proxy(named)):
        items = checked_items(mapping, noun)
        assert [key for key, _ in items] == ["W", "b"] and all(value is named[key] for key, value in items)
    with pytest.raises(TypeError, match=f"{noun} 'W': this Proxy"):
        checked_items(Proxy(named, np.copy), noun)


class Views(Mapping):
    """New arrays over one buffer."""

    def __init__(self, shapes):
        self.places, start = {}, 0
        for key, shape in shapes.items():
            self.places[key] = start, start + int(np.prod(shape)), shape
            start += int(np.prod(shape))
        self.buffer = np.arange(start, dtype=np.float64)

    def __getitem__(self, key):
        start, end, shape = self.places[key]
        return self.buffer[start:end].reshape(shape)

    def __iter__(self):
        return iter(self.places)

    def __len__(self):
        return len(self.places)


def test_new_views_of_the_same_memory_serve():
    params = Views({"W": (2, 3), "none": (0, 4), "b": (3,), "s": ()})
    saved = {key: np.asarray(-params[key]) for key in params}
    for tree in (params, {"layer": params}, Proxy({"layer": params})):
        got = found(tree, saved if tree is params else {"layer": saved})
        assert len(got) == 4 and all(p.base is not None and np.shares_memory(p, params.buffer) or p.size == 0
                                     for p, _ in got.values())
    for copy in filled(params, saved):
        copy()
    assert_same_bits(params.buffer, -np.arange(10.0))
    assert clip_grad_norm(params, 1.0) > 1 and np.linalg.norm(params.buffer) == pytest.approx(1.0)


def test_mappings_that_wrap_what_they_hand_out():
    """As flax's FrozenDict: new mappings at each access, of the same arrays."""
    class Frozen(Proxy):
        def __init__(self, data):
            super().__init__(data, lambda value: Frozen(value) if isinstance(value, dict) else value)

    layers = {f"layer{i}": {"inner": {"W": np.zeros(2), "b": np.zeros(2)}} for i in range(40)}
    got = found(Frozen(layers), layers)
    assert len(got) == 80 and got["layer7", "inner", "b"][0] is layers["layer7"]["inner"]["b"]


def test_what_is_not_stepped_is_looked_at_once():
    counted = []
    params = Proxy({"W": ONE, "frozen": ONE}, lambda a: counted.append(a) or a.copy())
    with pytest.raises(TypeError, match="'W'"):
        flattened(params, {"W": ONE, "frozen": None}, {})
    del counted[:]
    assert found(params, {"W": None, "frozen": None}) == {}
    assert len(counted) == 2


def test_nothing_is_kept():
    params, grads = [(np.zeros(3), np.ones(3))], [(np.zeros(3), np.ones(3))]
    paths, counts = {}, [sys.getrefcount(a) for pair in (*params, *grads) for a in pair]
    for _ in range(3):
        flattened(params, grads, paths)
    gc.collect()
    assert counts == [sys.getrefcount(a) for pair in (*params, *grads) for a in pair]


# What was saved, put into nested parameters.

def tree():
    """With Python's numbers, as files have them."""
    return {"layers": [(np.ones((2, 3), np.float32), np.zeros(3, np.float16)), ()], "x": -7.0, "bias": None,
            "inner": {"n": 3, "more": [2.0, np.full((), 5.0)]}}


def other_tree():
    return {"layers": [(np.full((2, 3), 9, np.float32), np.ones(3, np.float16)), ()], "x": 1.5, "bias": None,
            "inner": {"n": 1, "more": [np.float32(4), np.full((), 6.0)]}}


def assert_taken_from_tree(params):
    wanted = tree()
    wanted["inner"].update(n=3.0, more=[np.float32(2), np.full((), 5.0)])
    assert repr(params) == repr(wanted)


def test_what_was_saved_is_put_into_nested_parameters():
    params = other_tree()
    W, s = params["layers"][0][0], params["inner"]["more"][1]
    put = filled(params, tree())
    assert repr(params) == repr(other_tree())
    for commit in put:
        commit()
    assert_taken_from_tree(params)
    assert params["layers"][0][0] is W and params["inner"]["more"][1] is s


def test_nested_parameters_through_a_file(tmp_path):
    pytest.importorskip("safetensors")
    params, saved = other_tree(), tree()
    saved["inner"]["more"][0] = np.float32(2)
    save(tmp_path / "run", params=saved)
    load(tmp_path / "run", params=params)
    assert_taken_from_tree(params)


def put(value, *path):
    def change(params):
        *above, last = path
        for key in above:
            params = params[key]
        params[last] = value
    return change


@pytest.mark.parametrize(("change", "error", "message"), [
    (put([()], "layers"), StateError, "not 1 parameters in a sequence were saved at 'layers'"),
    (put([(np.ones((2, 3)), np.zeros(3, np.float16)), ()], "layers"), StateError,
     r"\('layers', 0, 0\) was saved as float32"),
    (put({"n": 1}, "inner"), StateError, "the saved parameters at 'inner' are not 'n'"),
    (put(np.zeros(3), "inner"), StateError, "'inner' was saved as dict"),
    (put([0.0], "inner", "more", 1), TypeError, r"\('inner', 'more', 1\) must be a NumPy array, not list"),
    (put(np.zeros(1), "x"), StateError, "'x' was saved as float"),
    (put("x", "x"), TypeError, "'x' must be a NumPy array, not str"),
    (put(True, "x"), TypeError, "'x' must be a NumPy array or a floating-point number, not bool"),
    (put((np.float32(1), np.full((), 5.0)), "inner", "more"), TypeError, "plain number in a tuple"),
    (put(2.0, "bias"), StateError, "'bias' was saved as NoneType"),
    (put(Proxy({"n": np.zeros(()), "more": []}, np.copy), "inner"), TypeError, "this Proxy returns"),
], ids=range(11))
def test_nested_parameters_that_do_not_fit(change, error, message):
    params = other_tree()
    change(params)
    before = repr(params)
    with pytest.raises(error, match=message):
        filled(params, tree())
    assert repr(params) == before


def test_numbers_that_no_float_holds():
    with pytest.raises(StateError, match="'x' was saved as an integer beyond float64"):
        filled({"x": 1.0}, {"x": 10**400})


def test_parameters_in_themselves_end_where_what_was_saved_does():
    params = {}
    params["a"] = params
    with pytest.raises(StateError):
        filled(params, {"a": {"a": {"a": {}}}})


# What errors say.

@pytest.mark.parametrize(("text", "words"), [
    (messages.changed_dtype("W", np.dtype("float32"), np.dtype("float64")),
     ["'W' had dtype float32, now float64", "W = W - 0.1*g", "W -= 0.1*g", "W.astype(np.float32)", "opt.forget('W')"]),
    (messages.changed_dtype(("a", 0), "bfloat16", "float64"), ["ml_dtypes.bfloat16", "opt.forget(('a', 0))"]),
    (messages.changed_dtype(0, "float64", "float32"), ["parameter 0 had dtype float64, now float32", "opt.forget(0)"]),
    (messages.changed_shape("E", (3, 2), (4, 2)), ["'E' had shape (3, 2), now (4, 2)", "opt.forget('E')"]),
    (messages.another_part(0), ["parameter 0", "step the whole array", "a key of its own", "an optimizer of its own"]),
    (messages.named_parameter("W1"), ["step({'W1': w}, {'W1': g})"]),
    (messages.named_parameter("W1", "step"), ["step takes no name", "step({'W1': w}, {'W1': g})"]),
    (messages.another_part_of_another_shape("E", (3, 2), (1, 2)),
     ["'E' was a part", "(3, 2)", "(1, 2)", "step the whole array", "a key of its own", "an optimizer of its own"]),
    (messages.gradients_missing(), ["gradients are missing", "update(params, grads)"]),
    (messages.one_sequence(), ["two sequences, update(params, grads)", "two arguments", "update(grad_w, grad_b)"]),
    (messages.number_alone(), ["cannot be changed in place", "{'x': g}", "params = {'x': x}", "x += opt.update(g)"]),
    (messages.mixed("update", [], np.ones(2)), ["two sequences", "not list and ndarray"]),
    (messages.mixed("update", {}, []), ["two mappings", "two sequences", "arrays or numbers", "not dict and list"]),
    (messages.mixed("step", {}, None), ["step takes", "one array each", "not dict and NoneType"]),
], ids=range(14))
def test_what_errors_say(text, words):
    assert all(word in text for word in words), text
    assert text[-1] != "." and "\n" not in text


def test_no_advice_about_promotion_where_there_was_none():
    assert "0.1*g" not in messages.changed_dtype("W", "float64", "float32")


def test_no_advice_to_forget_what_another_part_has():
    """Its state would be lost with each batch."""
    assert "forget" not in messages.another_part("E") + messages.another_part_of_another_shape("E", (3, 2), (1, 2))
