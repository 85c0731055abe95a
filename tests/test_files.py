"""Checkpoints: what comes back, how they are written, and that nothing else is ever taken for one."""
import copy
import json
import os
import random
import stat
import sys
import zlib

import numpy as np
import pytest

from fastnn import StateError, encoding, get_opt, load, save
from helpers import assert_same_bits, python
from test_state import (BAD, DIALECTS, RULES, assert_goes_on_like, assert_same_state, each_dialect, each_rule, frozen,
                        gradients, in_mappings, make, start)

ml_dtypes, safetensors = pytest.importorskip("ml_dtypes"), pytest.importorskip("safetensors")
pytest.importorskip("safetensors.numpy")
posix = pytest.mark.skipif(os.name != "posix", reason="permissions, links and signals of POSIX")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


def small(path, **extra):
    """A checkpoint of a few bytes with something of each kind; its optimizer and parameters."""
    opt = get_opt("SantaE", rng=5)
    params = {"W": np.ones((2, 3), np.float32), ("a", 1): np.asfortranarray(np.ones((2, 2)))}
    opt.update(params, {key: np.ones(p.shape) for key, p in params.items()})
    save(path, opt=opt, params=params, epoch=3, notes=["x", (None, True, 0.5)], **extra)
    return opt, params


# Going on.

@each_dialect
@each_rule
def test_half_way_through_a_file_is_like_all_the_way(name, state_dtype, step, path):
    opt, params = start(name, state_dtype, step)
    save(path, opt=opt, params=params)
    other, other_params = make(name, state_dtype), {key: np.zeros_like(p) for key, p in params.items()}
    saved = load(path, opt=other, params=other_params)
    assert_same_state(saved.opt, opt.state_dict())
    assert_goes_on_like(other, other_params, opt, params, step)


def later(folder):
    """Takes three more steps with each rule."""
    for number, (name, state_dtype) in enumerate(RULES):
        step = DIALECTS[number % len(DIALECTS)]
        path = os.path.join(folder, f"{number}.safetensors")
        opt = make(name, state_dtype)
        params = load(path, opt=opt).params
        for t in range(4, 7):
            step(opt, params, t)
        save(path, opt=opt, params=params)


def test_a_fresh_process_goes_on(tmp_path):
    for number, (name, state_dtype) in enumerate(RULES):
        opt, params = start(name, state_dtype, DIALECTS[number % len(DIALECTS)])
        save(tmp_path / f"{number}.safetensors", opt=opt, params=params)
    done = python("import sys, test_files; test_files.later(sys.argv[1])", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for number, (name, state_dtype) in enumerate(RULES):
        opt, params = start(name, state_dtype, DIALECTS[number % len(DIALECTS)], steps=6)
        saved = load(tmp_path / f"{number}.safetensors")
        assert_same_state(saved.opt, opt.state_dict())
        for key, p in params.items():
            assert_same_bits(saved.params[key], p)


# What comes back.

def test_names_for_other_readers(path):
    _, params = small(path)
    arrays = safetensors.numpy.load_file(path)
    assert_same_bits(arrays["params.W"], params["W"])
    assert {"params.('a', 1)", "opt.by_key.W.slots.v"} <= arrays.keys()


ARRAYS = {
    **{dtype: np.arange(6).reshape(2, 3).astype(dtype)
       for dtype in sorted(encoding.DTYPES.keys() - encoding.OF_ML_DTYPES)},
    **{dtype: np.arange(6).astype(np.float32).astype(getattr(ml_dtypes, dtype)) for dtype in encoding.OF_ML_DTYPES},
    "0-d": np.array(2.5), "empty": np.zeros((0, 3)), "emptier": np.zeros((3, 0, 2), np.int8), "one": np.ones((1, 1)),
    "Fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "every other": np.arange(10)[::2],
    "backwards": np.arange(10.0)[::-1], "transposed": np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0),
    "broadcast": np.broadcast_to(np.float32(3), (4, 2)), "NaN": np.array([np.nan, -0.0]),
    "swapped": np.arange(3.0).astype(np.dtype(float).newbyteorder()), "swapped half": np.arange(3, dtype=">f2"),
    "unaligned": np.zeros(9, np.uint8)[1:].view(float),
}


@pytest.mark.parametrize("a", ARRAYS.values(), ids=ARRAYS)
def test_arrays(a, path):
    save(path, params=[a], a=a)
    saved = load(path)
    for got in (saved.params[0], saved.extra["a"]):
        assert_same_bits(np.array(got, order="C"), np.array(a, a.dtype.newbyteorder("="), order="C", subok=False))
        assert got.dtype.isnative and got.flags.writeable and got.flags.aligned
        assert got.flags.f_contiguous == (a.flags.f_contiguous or a.size < 2) or not a.flags.f_contiguous


def test_values(path):
    values = {"none": None, "yes": True, "n": -3, "huge": 10**300, "x": 0.1, "least": 5e-324, "minus zero": -0.0,
              "s": "ä\ud800\0",
              "nan": float("nan"), "inf": float("-inf"), "list": [1, [2.0, "3"]], "tuple": (1, (2,), []), "": {},
              "dict": {1: "int", "1": "str", None: 0, (1, "a"): {"deep": np.arange(3)}, 0.5: 1}, "np": np.float32(0.1),
              "np int": np.int64(5), "np bool": np.True_, "a.b": np.ones(1), "a": {"b": np.zeros(1)},
              "__metadata__": np.ones(2)}
    save(path, **values)
    extra = load(path).extra
    assert list(extra) == list(values)
    assert_same_bits(extra["a.b"], np.ones(1))
    assert_same_bits(extra["a"]["b"], np.zeros(1))
    assert repr(extra) == repr({**values, "np": 0.10000000149011612, "np int": 5, "np bool": True})
    assert load(path)[:2] == (None, None)


def test_generators_and_optimizers_among_the_rest(path):
    rng, state = np.random.default_rng(3), np.random.RandomState(4)
    pair = [get_opt("Adam"), get_opt("Eve")]
    save(path, opt=pair[0], both=pair, rng=rng, state=state)
    saved = load(path)
    assert saved.extra["rng"].random() == rng.random() and saved.extra["state"].randn() == state.randn()
    assert_same_state(saved.extra["both"][1], pair[1].state_dict())


def test_into_what_there_is(path):
    opt, params = small(path)
    other, room = get_opt("SantaE", rng=0), np.zeros((4, 9), np.float32)
    mine = {"W": room[::2, ::3], ("a", 1): np.zeros((2, 2))}
    load(path, opt=other, params=dict(reversed(mine.items())))
    assert (room != 0).sum() == 6
    assert_goes_on_like(other, mine, opt, params, in_mappings)


@pytest.mark.parametrize(("mine", "error", "message"), [
    ({"W": np.zeros((2, 3), np.float32)}, StateError, "parameters are not 'W'"),
    ({"W": np.zeros((3, 2), np.float32), ("a", 1): np.zeros((2, 2))}, StateError, r"'W' was saved.*\(2, 3\).*\(3, 2\)"),
    ({("a", 1): np.zeros((2, 2)), "W": np.zeros((2, 3))}, StateError, "'W' was saved as float32"),
    ({("a", 1): np.zeros((2, 2)), "W": [[0.0] * 3] * 2}, TypeError, "'W' must be a NumPy array"),
    ({("a", 1): np.zeros((2, 2)), "W": np.broadcast_to(np.float32(0), (2, 3))}, ValueError, "'W' is read-only"),
    ([np.zeros((2, 3), np.float32)] * 2, StateError, "2 parameters in a sequence"),
    (np.zeros(3), StateError, "saved as dict"),
], ids=range(7))
def test_parameters_that_do_not_fit(mine, error, message, path):
    small(path)
    opt = get_opt("SantaE", rng=0)
    before = frozen(opt)
    with pytest.raises(error, match=message):
        load(path, opt=opt, params=mine)
    assert frozen(opt) == before
    assert not any(np.any(p) for p in (mine.values() if isinstance(mine, dict) else mine))


@pytest.mark.parametrize(("opt", "error"), [(get_opt("SGD"), StateError), (object(), TypeError), ("Adam", TypeError)])
def test_an_optimizer_that_does_not_fit(opt, error, path):
    small(path)
    params = {"W": np.zeros((2, 3), np.float32), ("a", 1): np.zeros((2, 2))}
    with pytest.raises(error):
        load(path, opt=opt, params=params)
    assert not any(p.any() for p in params.values())
    save(path, params=params)
    with pytest.raises(StateError, match="no optimizer was saved"):
        load(path, opt=get_opt("Adam"))


CIRCLE = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(("value", "error"), [
    (object(), TypeError), ({1, 2}, TypeError), (b"bytes", TypeError), (1j, TypeError),
    (np.ones(2, complex), TypeError), (np.array(["a"]), TypeError), (np.array([object()]), TypeError),
    (np.ones(2, "m8[s]"), TypeError),
    pytest.param(np.longdouble(1), TypeError,
                 marks=pytest.mark.skipif(np.dtype("g").itemsize == 8, reason="a float64")),
    (np.zeros(2, "i4,f4"), TypeError), (np.ma.masked_array([1, 2], [0, 1]), TypeError),
    ({frozenset(): 1}, TypeError), ({b"k": 1}, TypeError), ({(1, (b"k",)): 1}, TypeError), (CIRCLE, ValueError),
    (np.random.Generator, TypeError)], ids=lambda value: f"{value!r:.40}".partition(" at 0x")[0])
def test_what_cannot_be_saved_leaves_the_file(value, error, path):
    small(path)
    before = path.read_bytes()
    with pytest.raises(error):
        save(path, params=[np.ones(3), {"x": value}])
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]


def test_a_missing_package_is_named(path):
    done = python("""import sys; sys.modules["safetensors"] = None
import fastnn
for call in (lambda: fastnn.save(sys.argv[1]), lambda: fastnn.load(sys.argv[1])):
    try: call()
    except ImportError as error: print(error)""", path)
    assert done.stdout == 'checkpoints need the package safetensors: pip install "fastnn[files]"\n' * 2, done.stderr
    assert python("import sys, fastnn; print('safetensors' in sys.modules)").stdout == "False\n"


# How they are written.

@posix
def test_permissions_are_the_umasks_or_those_of_the_file_before(path):
    before = os.umask(0o027)
    try:
        small(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        for mode in (0o600, 0o444, 0o664):
            path.chmod(mode)
            small(path)
            assert stat.S_IMODE(path.stat().st_mode) == mode
    finally:
        os.umask(before)


@posix
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    link, target = tmp_path / "link", tmp_path / "there" / "target"
    link.symlink_to("there/target")
    for _ in range(2):
        small(link)
        assert link.is_symlink() and not target.is_symlink() and load(target).extra["epoch"] == 3
    assert os.listdir(target.parent) == ["target"] and sorted(os.listdir(tmp_path)) == ["link", "there"]


@posix
@pytest.mark.parametrize("make", [os.mkdir, getattr(os, "mkfifo", None)])
def test_only_files_are_replaced(make, path):
    make(path)
    with pytest.raises(OSError, match="not a regular file"):
        small(path)
    assert not path.is_file() and os.listdir(path.parent) == [path.name]


def test_relative_paths_and_strings(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    small(path.name)
    small(str(path))
    assert load(path.name).extra["epoch"] == 3 and os.listdir() == [path.name]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_a_failing_disk_leaves_the_old_file_alone(step, error, path, monkeypatch):
    small(path)
    before = path.read_bytes()

    def fails(*args):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fails)
        if step == "fsync" and sys.platform == "darwin":
            patch.setattr("fcntl.fcntl", fails)
        with pytest.raises(type(error)):
            small(path, more=1)
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]


def test_folders_and_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        small(tmp_path / "nowhere" / "file")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing")
    with pytest.raises(OSError):
        load(tmp_path)


KILLED = """import os, random, signal, sys, time, warnings
import numpy as np
from fastnn import get_opt, load, save

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)     # by the BLAS

path, rng, seen, slow = sys.argv[1], random.Random(0), [], 1
save(path, opt=get_opt("Adam"), params={"w": np.zeros(20_000, np.float32)}, t=0)
def left():
    "Whether a writer's temporary file has stayed."
    return len(os.listdir(os.path.dirname(path))) > 1
while len(seen) < 100 or len(set(seen)) <= 10 or not left():
    writer = os.fork()
    if not writer:
        opt = get_opt("Adam")
        params = load(path, opt=opt).params
        while True:
            opt.update(params, {"w": np.ones(20_000, np.float32)})
            save(path, opt=opt, params=params, t=opt.t)
    time.sleep(slow*rng.uniform(0.005, 0.05))
    os.kill(writer, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1]) == -signal.SIGKILL
    opt = get_opt("Adam")
    saved = load(path, opt=opt)
    assert saved.extra["t"] == opt.t and len(set(saved.params["w"])) == 1
    slow = slow*1.2 if opt.t == max(seen, default=0) else max(1, slow/1.2)      # a writer has to come far enough
    seen.append(opt.t)
print(seen == sorted(seen))
"""


@posix
def test_a_writer_may_be_killed_at_any_moment(path):
    """A hundred times, and until ten came to write: the file is the old one or a new one. A step moves every weight alike: a mixture would show.

    Some of them were killed while they wrote: their temporary files have stayed.
    """
    done = python(KILLED, path)
    assert (done.stdout, done.stderr) == ("True\n", "")


# What is no checkpoint.

def refused(path, data, opt=None):
    path.write_bytes(data)
    with pytest.raises(StateError, match=path.name):
        load(path, opt=opt)


@pytest.fixture
def whole(path):
    opt = get_opt("Adam")
    params = {"W": np.ones((2, 3), np.float32)}
    opt.update(params, {"W": np.ones((2, 3))})
    save(path, opt=opt, params=params, x=(0.5, None))
    return path.read_bytes()


def test_every_prefix(whole, path):
    opt = get_opt("Adam")
    before = frozen(opt)
    for n in range(len(whole)):
        refused(path, whole[:n], opt)
    for more in (b"\0", b" ", whole):
        refused(path, whole + more, opt)
    assert frozen(opt) == before


def test_every_flipped_byte(whole, path):
    """A bit of every byte, and every byte of the numbers."""
    rng = random.Random(1)
    first = 8 + int.from_bytes(whole[:8], "little")
    for i in range(len(whole)):
        for flip in {1 << rng.randrange(8), *((255, 1, 128) if i >= first or i < 8 else ())}:
            refused(path, whole[:i] + bytes([whole[i] ^ flip]) + whole[i + 1:])


def test_random_damage(whole, path):
    rng = random.Random(2)
    for _ in range(500):
        data = bytearray(whole)
        i, j = sorted(rng.sample(range(len(data)), 2))
        change = rng.choice(["noise", "cut", "repeat", "swap", "zeros"])
        if change == "noise":
            data[i:j] = rng.randbytes(j - i)
        elif change == "cut":
            del data[i:j]
        elif change == "repeat":
            data[j:j] = data[i:j]
        elif change == "swap":
            data[i], data[j] = data[j], data[i]
        else:
            data[i:j] = bytes(j - i)
        if data != whole:
            refused(path, bytes(data))


@pytest.mark.parametrize("length", [0, 1, 7, 2**20, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1])
def test_absurd_header_lengths(length, whole, path):
    refused(path, length.to_bytes(8, "little") + whole[8:])


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"\x93NUMPY\1\0", b"\x80\4\x95" + bytes(20), b"{}" * 50, bytes(100),
                                  b"\xff" * 100])
def test_foreign_files(data, path):
    refused(path, data)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"fastnn": "{}"}, {"fastnn": "{}", "fastnn.format": "1"}])
def test_other_safetensors_files(metadata, path):
    refused(path, safetensors.numpy.save({"params.W": np.ones(3)}, metadata))


# Files with right checksums and wrong contents, as somebody might write them.

def forged(description, arrays=(), version="1", **header):
    text = description if isinstance(description, str) else json.dumps(description)
    crc = str(zlib.crc32(f"{version}\n{text}".encode()))
    data = safetensors.numpy.save(dict(arrays), {"fastnn.format": version, "fastnn": text, "fastnn.crc32": crc})
    if header:
        length = int.from_bytes(data[:8], "little")
        new = json.dumps(json.loads(data[8:8 + length]) | header).encode()
        data = len(new).to_bytes(8, "little") + new + data[8 + length:]
    return data


def described(arrays):
    return {name: [a.dtype.name, list(a.shape), zlib.crc32(a.tobytes())] for name, a in arrays.items()}


def tree(params=None, opt=None, extra=None):
    return {"dict": [["opt", opt], ["params", params], ["extra", {"dict": extra or []}]]}


ONE = {"a": np.ones(3)}


def test_the_forger_can_forge(path):
    extra = [["n", {"tuple": [1]}]]
    path.write_bytes(forged({"tree": tree({"array": "a"}, extra=extra), "arrays": described(ONE)}, ONE))
    assert_same_bits(load(path).params, np.ones(3))
    assert load(path).extra == {"n": (1,)}


def nested(value, depth, wrap):
    for _ in range(depth):
        value = wrap(value)
    return value


FORGED = {
    "newer": forged({"tree": tree(), "arrays": {}}, version="2"),
    "older": forged({"tree": tree(), "arrays": {}}, version="0"),
    "no number": forged({"tree": tree(), "arrays": {}}, version="1.0"),
    "no JSON": forged("}{"), "a number": forged("1"), "no tree": forged({"arrays": {}}), "null": forged("null"),
    "more": forged({"tree": tree(), "arrays": {}, "more": 1}),
    "empty tree": forged({"tree": {"dict": []}, "arrays": {}}),
    "not closed": forged('{"tree": ' + "[" * 50), "NaN": forged({"tree": tree(float("nan")), "arrays": {}}),
    "infinity": forged({"tree": tree(float("inf")), "arrays": {}}), "1e999": forged('{"tree": 1e999, "arrays": {}}'),
    "thousands of digits": forged('{"tree": %s, "arrays": {}}' % ("9" * 100_000)),
    "a key twice": forged('{"tree": 1, "tree": 2, "arrays": {}}'),
    "a dict's key twice": forged({"tree": tree({"dict": [["a", 1], ["a", 2]]}), "arrays": {}}),
    "1 and true": forged({"tree": tree({"dict": [[1, 1], [True, 2]]}), "arrays": {}}),
    "a list for a key": forged({"tree": tree({"dict": [[[1], 1]]}), "arrays": {}}),
    "a list in a tuple for a key": forged({"tree": tree({"dict": [[{"tuple": [[1]]}, 1]]}), "arrays": {}}),
    "no pairs": forged({"tree": tree({"dict": [["a", 1, 2]]}), "arrays": {}}),
    "pairs of letters": forged({"tree": tree({"dict": ["ab"]}), "arrays": {}}),
    "unknown kind": forged({"tree": tree({"pickle": "x"}), "arrays": {}}),
    "no kind": forged({"tree": tree({}), "arrays": {}}),
    "two kinds": forged({"tree": tree({"tuple": [], "list": []}), "arrays": {}}),
    "another float": forged({"tree": tree({"float": "0x1"}), "arrays": {}}),
    "deep lists": forged({"tree": tree(nested(1, 150, lambda value: [value])), "arrays": {}}),
    "deep tuples": forged({"tree": tree(nested(1, 150, lambda value: {"tuple": [value]})), "arrays": {}}),
    "deeper": forged('{"tree": %s, "arrays": {}}' % ("[" * 100_000 + "]" * 100_000)),
    "deepest": forged('{"a": ' * 100_000 + "1" + "}" * 100_000),
    "no array": forged({"tree": tree({"array": "a"}), "arrays": {}}),
    "an array too many": forged({"tree": tree(), "arrays": described(ONE)}, ONE),
    "an array that is not described": forged({"tree": tree({"array": "a"}), "arrays": {}}, ONE),
    "an array twice": forged({"tree": tree([{"array": "a"}] * 2), "arrays": described(ONE)}, ONE),
    "an array by number": forged({"tree": tree({"array": 0}), "arrays": described(ONE)}, ONE),
    "another shape": forged(
        {"tree": tree({"array": "a"}), "arrays": {"a": ["float64", [1, 3], zlib.crc32(ONE["a"])]}}, ONE),
    "another dtype": forged(
        {"tree": tree({"array": "a"}), "arrays": {"a": ["int64", [3], zlib.crc32(ONE["a"])]}}, ONE),
    "descriptions": forged({"tree": tree({"array": "a"}), "arrays": ["a"]}, ONE),
    "neither true nor false": forged(
        {"tree": tree({"array": "a"}), "arrays": {"a": ["bool", [2], zlib.crc32(b"\2\1")]}},
        {"a": np.array([2, 1], np.uint8)}, a={"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}),
    "unknown dtype": forged({"tree": tree({"array": "a"}), "arrays": {"a": [None, [24], zlib.crc32(ONE["a"])]}}, ONE,
                            a={"dtype": "F8_E8M0", "shape": [24], "data_offsets": [0, 24]}),
    "dtype of nothing": forged({"tree": tree({"array": "a"}), "arrays": described(ONE)}, ONE,
                               a={"dtype": "X", "shape": [3], "data_offsets": [0, 24]}),
    **{f"shape {shape}": forged({"tree": tree({"array": "a"}), "arrays": {"a": ["float64", shape, 0]}},
                                {"a": np.zeros(0)}, a={"dtype": "F64", "shape": shape, "data_offsets": [0, 0]})
       for shape in ([2**62, 0], [2**70, 0], [0] * 100, [-1, 0], [2**61, 8], [2**40], [0.5], "0", None, [[0]])},
    "offsets beyond": forged({"tree": tree({"array": "a"}), "arrays": described(ONE)}, ONE,
                             a={"dtype": "F64", "shape": [3], "data_offsets": [8, 32]}),
    "huge offsets": forged({"tree": tree({"array": "a"}), "arrays": described(ONE)}, ONE,
                           a={"dtype": "F64", "shape": [3], "data_offsets": [0, 2**63]}),
    "metadata of numbers": forged({"tree": tree(), "arrays": {}}, __metadata__={"fastnn": 1}),
    "metadata of lists": forged({"tree": tree(), "arrays": {}}, __metadata__=["fastnn"]),
    "generator of os": forged(
        {"tree": tree({"generator": {"dict": [["bit_generator", "os"], ["class", "system"]]}}), "arrays": {}}),
    "generator of nothing": forged({"tree": tree({"generator": None}), "arrays": {}}),
    "extra is a list": forged({"tree": {"dict": [["opt", 1], ["params", 1], ["extra", [1]]]}, "arrays": {}}),
}


@pytest.mark.parametrize("data", FORGED.values(), ids=FORGED)
def test_forged_files(data, path):
    refused(path, data)


def test_a_tensor_twice_in_the_header(whole, path):
    length = int.from_bytes(whole[:8], "little")
    header = whole[8:8 + length].rstrip()
    entry = header[header.index(b'"params.W"'):]
    entry = entry[:entry.index(b"}") + 1]
    for doubled in (header[:-1] + b"," + entry + b"}", header[:-1] + b',"__metadata__":{}}'):
        refused(path, len(doubled).to_bytes(8, "little") + doubled + whole[8 + length:])


@pytest.mark.parametrize("fault", [name for name in BAD if name not in ("another mapping", "shape (6,)")])
def test_states_that_do_not_fit_from_files(fault, path):
    """What load_state_dict refuses is refused with the file's name, and the parameters stay as they are, too."""
    opt, params = start("Adam", "float32", in_mappings)
    state = BAD[fault][0](opt.state_dict() | {"by_position": {}})
    mine = {key: np.zeros_like(p) for key, p in params.items()}
    before = frozen(opt)
    try:
        save(path, opt=state, params=params)
    except TypeError:                           # some cannot even be written
        pytest.skip("no file can have this")
    with pytest.raises(StateError, match=path.name):
        load(path, opt=opt, params=mine)
    assert frozen(opt) == before and not any(np.any(p) for p in mine.values())


def test_a_copy_of_a_file_is_as_good(whole, path):
    other = path.with_name("other")
    other.write_bytes(whole)
    assert_same_state(load(other).opt, load(path).opt)
    opt = get_opt("Adam")
    first = load(path, opt=opt).params
    opt.update(first, copy.deepcopy(gradients(first, 1)))
    assert opt.t == 2
