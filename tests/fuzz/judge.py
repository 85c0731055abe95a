"""What may come of a call: a documented error that has changed nothing, or the bits that plain copies give."""
import numpy as np

ALLOWED = (TypeError, ValueError, KeyError, MemoryError)


class Fault(Exception):
    """What user code raises in the middle of a call."""


class Finding(AssertionError):
    """Something that must not be."""


def attempt(function, *args, **kwds):
    """(result, None) or (None, error)."""
    try:
        return function(*args, **kwds), None
    except Exception as error:
        return None, error


def check_error(error, also=()):
    if not isinstance(error, (*ALLOWED, Fault, *also)) or not (str(error) or isinstance(error, (Fault, MemoryError))):
        raise Finding(f"not a documented error: {error!r}") from error


def same_bits(got, wanted):
    """dtype, shape and bits, but for those of a NaN."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    if (got.dtype, got.shape) != (wanted.dtype, wanted.shape):
        return False
    if got.tobytes() == wanted.tobytes():
        return True
    with np.errstate(all="ignore"):
        same = (got == wanted) & (np.signbit(got) == np.signbit(wanted)) | (got != got) & (wanted != wanted)
    return bool(same.all())


def check_same(got, wanted, what):
    if isinstance(wanted, tuple):
        if not isinstance(got, tuple) or len(got) != len(wanted):
            raise Finding(f"{what}: {got!r} instead of {wanted!r}")
        for one, other in zip(got, wanted):
            check_same(one, other, what)
    elif isinstance(wanted, (float, bool)) or wanted is None:
        if repr(got) != repr(wanted):
            raise Finding(f"{what}: {got!r} instead of {wanted!r}")
    elif not same_bits(got, wanted):
        raise Finding(f"{what}: {got!r} instead of {wanted!r}")


def native(a):
    return np.array(a, a.dtype.newbyteorder("="))


def check_memory(operands, written=()):
    """Memory, guard bands included, is as before, but for `written`: [(operand, the values it should have)]."""
    expected = {}
    for operand in operands:
        if operand.room is not None:
            expected[id(operand.room)] = operand.room
    after = {key: room.before.copy() for key, room in expected.items()}
    targets = []
    for operand, values in written:
        if operand.room is None:
            targets.append((operand.base, np.asarray(values)))
            continue
        view = operand.placed(after[id(operand.room)])
        view[...] = values
        targets.append((operand.placed(operand.room.buffer), operand.placed(after[id(operand.room)])))
    for (got, wanted), (operand, _) in reversed(list(zip(targets, written))):       # the last write lies on top
        if not same_bits(native(got), native(wanted)):
            raise Finding(f"written: {got!r} instead of {wanted!r}")
        if operand.room is not None:
            wanted[...] = got                   # a NaN may have other bits
    for key, room in expected.items():
        if after[key].tobytes() != room.buffer.tobytes():
            at = np.flatnonzero(after[key] != room.buffer)
            raise Finding(f"bytes {at[:8]} of {room.buffer.size} were {'overwritten' if written else 'changed'}")
