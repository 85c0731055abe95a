"""Arrays of every kind that there is: layouts, dtypes, overlaps, subclasses and objects that pass for arrays.

An Operand is an argument, the array that it stands for, and the memory around that.
"""
import ctypes
import warnings

import numpy as np

try:
    import ml_dtypes
    BFLOAT16 = [np.dtype(ml_dtypes.bfloat16)]
except ImportError:
    BFLOAT16 = []

GUARD = 64                  # bytes of known content on both sides of a view
FLOATS = [np.dtype(name) for name in ("f4", "f8", "f2")] + BFLOAT16
REAL = [*FLOATS, *map(np.dtype, ("?", "i1", "u2", "i4", "i8", "u8"))]
SWAPPED = [dtype.newbyteorder() for dtype in REAL if dtype.itemsize > 1 and dtype not in BFLOAT16]
FOREIGN = [np.dtype(dtype) for dtype in ("c8", "c16", "g", "S3", "U2", "M8[s]", "m8[s]", "V5",
                                          [("a", "f4"), ("b", "i2")])]
SHAPES = [(3,), (), (0,), (1,), (7,), (16,), (17,), (40,), (3, 5), (4, 4), (5, 1), (1, 6), (2, 0, 3), (0, 4), (4, 0),
          (2, 3, 4), (1, 1, 9), (2, 1, 3, 2), (1,) * 12, (100,), (9, 30)]
LARGE = [(5000,), (70, 75), (20000,), (300, 130), (600, 33)]
HUGE = [(2**40,), (2**20, 2**21), (2**45,), (2**31, 2**31)]

_numbers = np.random.default_rng(1).standard_normal(50000) * 3
_numbers[::37] = 0
_odd = _numbers.copy()
_odd[::11], _odd[1::13], _odd[2::17], _odd[3::19], _odd[4::23] = np.nan, np.inf, 1e300, -1e-310, -np.inf
_integers = np.random.default_rng(2).integers(0, 3, 50000)


def table(dtype, odd):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dtype.kind in "iu":
            return (_integers * (40 if odd else 1)).astype(dtype)
        if dtype.kind in "SUVMm?":
            return _integers.astype("i8").astype("S3" if dtype.kind == "V" else dtype)
        return (_odd if odd else _numbers).astype(dtype)


TABLES = {(dtype, odd): table(dtype, odd) for dtype in [*REAL, *SWAPPED, *FOREIGN[:-2]] for odd in (False, True)}


class Room:
    """Memory that views are cut from."""

    def __init__(self, size):
        self.buffer = np.full(size, 0xA5, np.uint8)
        self.before = None

    def remember(self):
        self.before = self.buffer.copy()


class Operand:
    """value is what is passed, base the array that it stands for; None: it stands for none."""

    room = how = None

    def __init__(self, value, base):
        self.value, self.base = value, base

    def place(self, room, shape, dtype, offset, strides):
        self.room, self.how = room, (shape, dtype, offset, strides)
        self.base = self.value = self.placed(room.buffer)
        return self

    def placed(self, buffer):
        shape, dtype, offset, strides = self.how
        return np.ndarray(shape, dtype, buffer, offset, strides)

    def plain(self):
        """A new contiguous array in native byte order."""
        return np.array(self.base, self.base.dtype.newbyteorder("="), order="C")


def shape(c):
    if c.once_in(60):
        return c.of(LARGE)
    return c.of(SHAPES)


def dtype(c, mostly=FLOATS):
    kind = c.below(16)
    return c.of(mostly if kind < 12 else REAL if kind < 14 else SWAPPED if kind < 15 else FOREIGN)


def fill(c, a):
    if a.dtype.names or a.dtype.kind in "VO":
        return
    values, start = TABLES[a.dtype, c.once_in(4)], c.below(256) * 17
    a[...] = np.resize(values[start:start + a.size], a.shape)


def strided(c, shape, dtype, broadcast=False):
    """A view of a room of its own: any order of axes, steps of 1, 2, 3 and -1, any alignment."""
    layout = c.below(8)                     # most are contiguous, or nearly
    order = list(range(len(shape)))
    if layout in (1, 2):
        order.reverse()
    elif layout == 3:
        order.sort(key=lambda axis: c.below(8))
    strides, reach, low = [0] * len(shape), dtype.itemsize, 0
    for axis in reversed(order):
        n = max(shape[axis], 1)
        step = c.of((1, 1, 2, -1, 3, -2)) if layout > 3 or layout == 2 else 1
        if broadcast and c.once_in(3):
            step = 0
        strides[axis] = reach * step
        if step:
            low -= min(step, 0) * reach * (n - 1)
            reach *= abs(step) * n
    room = Room(reach + 2 * GUARD + 16)
    offset = GUARD + low + (c.below(8) if c.once_in(5) else 0)
    operand = Operand(None, None).place(room, shape, dtype, offset, tuple(strides))
    if not 0 in shape:
        fill(c, operand.base)
    return operand


def overlapping(c, other):
    """An array of another's shape in the same memory: in place, shifted, reversed or transposed."""
    shape, dtype, offset, strides = other.how
    kind = c.below(6)
    if kind == 1:
        offset += c.of((1, 2, 3, -1, -4)) * dtype.itemsize
    elif kind == 2:
        offset += c.below(9) - 4
    elif kind == 3:
        offset += sum((n - 1) * step for n, step in zip(shape, strides) if n > 1)
        strides = tuple(-step for step in strides)
    elif kind == 4 and len(set(shape)) == 1:
        strides = strides[::-1]
    elif kind == 5:
        offset += strides[0] if strides and abs(strides[0]) <= GUARD else 0
    try:
        return Operand(None, None).place(other.room, shape, dtype, offset, strides)
    except ValueError:                      # beyond the room
        return Operand(None, None).place(*(other.room, *other.how))


class Subclass(np.ndarray):
    """Another class, and no more."""


class Liar(np.ndarray):
    """Says of itself what is not so."""

    shape = property(lambda self: (10**6,))
    strides = property(lambda self: (1,))
    size = property(lambda self: 10**6)
    ndim = property(lambda self: 1)
    itemsize = property(lambda self: 1)
    nbytes = property(lambda self: 10**6)
    dtype = property(lambda self: np.dtype("f8"))
    flags = property(lambda self: np.ones(1).flags)
    __len__ = lambda self: 10**6
    __getitem__ = __iter__ = ravel = reshape = copy = astype = view = lambda self, *args, **kwds: "no array"

    def __array_function__(self, function, types, args, kwds):
        return False

    def __array_ufunc__(self, *args, **kwds):
        return NotImplemented


class Offers:
    """Something that NumPy can make an array of."""

    def __init__(self, name, what):
        setattr(self, name, what)


class Method:
    """Has __array__, which calls `before` first."""

    def __init__(self, a, before=lambda: None):
        self.a, self.before = a, before

    def __array__(self, dtype=None, copy=None):
        self.before()
        return self.a


def interface(a, **lies):
    return Offers("__array_interface__", {**a.__array_interface__, **lies})


def wrap(c, operand, out=False):
    """Sometimes pass another object for the same array, or one that stands for no array."""
    a = operand.base
    kind = c.below(40)
    if kind < 28:
        return operand
    wrapped = Operand(operand.value, a)
    wrapped.room, wrapped.how, wrapped.owner = operand.room, operand.how, operand
    if kind == 28:
        wrapped.value = a.view(Subclass)
    elif kind == 29:
        wrapped.value = a.view(Liar)
    elif kind == 30 and a.ndim == 2:
        wrapped.value = a.view(np.matrix)
    elif kind == 31:
        wrapped.value, wrapped.base = a.view(np.ma.MaskedArray), None       # refused, wherever it is given
    elif kind == 32:
        a.flags.writeable = False
    elif kind == 33 and a.size and a.dtype.kind == "f" and a.dtype.isnative and a.dtype.itemsize == 8:
        wrapped.value = a.tolist()
    elif kind == 34 and a.dtype not in BFLOAT16:
        wrapped.value = interface(a)
    elif kind == 35:
        wrapped.value = Offers("__array_struct__", a.__array_struct__) if a.dtype not in BFLOAT16 else a
    elif kind == 36:
        wrapped.value = Method(a)
    elif kind == 37 and a.flags.c_contiguous and a.dtype.kind in "fiu" and a.dtype not in BFLOAT16:
        wrapped.value = memoryview(a)
    elif kind == 38:
        wrapped.value = a.astype(object) if c.below(2) else np.asarray(a, object)
        wrapped.base, wrapped.room = wrapped.value, operand.room
        wrapped.how = None
    elif kind == 39:
        wrapped.value, wrapped.room, wrapped.how = nonsense(c, a), None, None
        try:
            wrapped.base = np.asarray(wrapped.value)
        except Exception:
            wrapped.base = None
    if out and type(wrapped.value) is not np.ndarray and not isinstance(wrapped.value, np.ndarray):
        wrapped.base = None
    return wrapped


def nonsense(c, a):
    return c.of([
        lambda: None, lambda: "1", lambda: b"12", lambda: {1: 2}, lambda: 1j, lambda: [[1], 2], lambda: [1, "a", None],
        lambda: interface(a, shape=(-1,)), lambda: interface(a, shape=("3",)), lambda: interface(a, typestr="<x9"),
        lambda: interface(a, strides=(1,) * (a.ndim + 1)), lambda: interface(a, data=None),
        lambda: interface(a, shape=None),
        lambda: interface(a, data=("0", False)), lambda: Offers("__array_interface__", 5),
        lambda: Offers("__array_struct__", 5), lambda: Method(None), lambda: Method([1.0]), lambda: Method(Method(a)),
        lambda: Method(np.array(["a"])), lambda: object(), lambda: np.array([None, 1.5], object), lambda: range(3),
        lambda: {1.0, 2.0}, lambda: type, lambda: np.ndarray, lambda: (ctypes.c_char * 3)(), lambda: 10**400])()


def huge(c, dtype):
    """What is cheap to look at but whose result cannot be allocated."""
    one = np.ones((), dtype)
    return Operand(np.broadcast_to(one, c.of(HUGE[:3] if dtype.itemsize > 1 else HUGE)), None)


def operand(c, shape, dtype, broadcast=True):
    return wrap(c, strided(c, shape, dtype, broadcast))
