"""Numbers in bfloat16 on the wire, and what rounding has taken from them.

Each pass over the numbers is one of NumPy's: they go block by block, which stays in a second-level cache.
"""
import numpy as np

BLOCK = 1 << 14         # elements
INFINITE = np.uint32(0x7F800000)
MAGNITUDE = np.uint32(0x7FFFFFFF)
HALF = np.uint32(0x7FFF)
NAN = np.uint16(0x7FC0)
ONE, WIDTH = np.uint32(1), np.uint32(16)


def rounded(x, out, room):
    """float32 to bfloat16, to nearest even, as uint16; NaN stays NaN. Returns whether all are finite."""
    bits = x.view(np.uint32)
    np.bitwise_and(bits, MAGNITUDE, out=room)
    most = room.max(initial=0)
    np.right_shift(bits, WIDTH, out=room)
    room &= ONE
    room += HALF
    room += bits                                # a NaN of all ones overflows, and is mended below
    room >>= WIDTH
    out[...] = room
    if most > INFINITE:
        out[(bits & MAGNITUDE) > INFINITE] = NAN
    return most < INFINITE


def widened(x, out):
    """bfloat16 to float32."""
    for start in range(0, x.size, BLOCK):
        bits = out[start:start + BLOCK].view(np.uint32)
        bits[...] = x[start:start + BLOCK]
        bits <<= WIDTH


def sent(x, residual, out):
    """Round x + residual to `out`, and keep in `residual` what that takes away. x becomes what is sent."""
    room = np.empty(min(BLOCK, x.size), np.uint32)
    with np.errstate(all="ignore"):
        for start in range(0, x.size, BLOCK):
            block = slice(start, start + BLOCK)
            left, narrow, wide = residual[block], out[block], x[block]
            left += wide
            finite = rounded(left, narrow, room[:left.size])
            widened(narrow, wide)
            left -= wide
            if not finite:                      # an infinite or NaN gradient is told once, and not for ever
                left[~np.isfinite(left)] = 0
