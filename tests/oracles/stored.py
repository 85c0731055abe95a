"""Reduced-precision optimizer state, from its description in fastnn/core/stored.h: the numbers that come back.

``stored(x, state_dtype, spacing, count, slot)`` takes a flat float32 array of one slot as the rule left it at pass
`count` (from 0), and returns what the next step finds.
"""
import numpy as np

BLOCK = 256
WEYL = 0x9E349E37
INT8_OCTAVE = 16                # logarithmic codes from one power of two to the next
WORD = 2**32


def random_start(count, slot):
    x = (8*count + slot) % WORD
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = (x ^ x >> shift)*factor % WORD
    return x ^ x >> 16


def stored(x, state_dtype, spacing, count, slot):
    x = np.asarray(x, np.float32)
    grain = 32 if state_dtype == "int8" else 16
    out = np.zeros(-(-x.size//grain)*grain, np.float32)
    out[:x.size] = x
    for first in range(0, out.size, BLOCK):
        block = out[first:first + BLOCK]
        index = np.arange(block.size)
        if state_dtype == "bfloat16":
            block[:] = in_bfloat16(block, weyl(count, slot, first + index % (block.size//2)))
        else:
            way = {"linear": in_linear_int8, "logarithmic": in_logarithmic_int8}[spacing]
            block[:] = way(block, weyl(count, slot, first + index))
    return out[:x.size]


def weyl(count, slot, index):
    return np.array([(random_start(count, slot) + int(i)*WEYL) % WORD for i in index], np.uint64)


def in_bfloat16(x, w):
    """Up to the next number of 16 bits with the probability of what is cut off; the second half by the low bits."""
    r = np.where(np.arange(x.size) < x.size//2, w >> 16, w & 0xFFFF)
    bits = x.view(np.uint32).astype(np.uint64) + np.where(np.isnan(x), 0, r)
    return (bits & 0xFFFF0000).astype(np.uint32).view(np.float32)


def in_linear_int8(x, w):
    finite = np.isfinite(x)
    top = abs(x[finite]).max(initial=0)
    if top < 2.0**-100:
        return np.where(finite, np.float32(0), np.float32(np.nan))
    step, inverse = top/np.float32(127), np.float32(127)/top
    if np.float64(step)*127 > np.finfo(np.float32).max:
        step = np.nextafter(step, np.float32(0))
    fine = np.rint((np.where(finite, x, 0)*inverse).astype(np.float64)*2**15)
    code = (fine + (w >> 17)) // 2**15
    return np.where(finite, code.astype(np.float32)*step, np.float32(np.nan))


def in_logarithmic_int8(x, w):
    finite = np.isfinite(x)
    if not abs(x).max(initial=0) > 0 and finite.all():
        return np.zeros_like(x)
    one = 2**23//INT8_OCTAVE
    bits = np.where(finite, x, 0).view(np.int32).astype(np.int64)
    top = min(-(-bits.max(initial=0)//one), 0x7F780000//one)        # the largest finite number that is a code
    floor = max(top, 255) - 254                                     # of the 255 codes; 0 is NaN
    code = np.minimum((np.maximum(bits, floor*one) + (w % one).astype(np.int64))//one, max(top, 255))
    return np.where(finite, (code*one).astype(np.int32).view(np.float32), np.float32(np.nan))
