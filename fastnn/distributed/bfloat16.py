"""Numbers in bfloat16 on the wire, and what rounding has taken from them."""
import numpy as np

INFINITE = np.uint32(0x7F800000)
ROUNDED = np.uint32(0x7FFF)
NAN = np.uint16(0x7FC0)


def rounded(x, out):
    """float32 to bfloat16, to nearest even, as uint16; NaN stays NaN."""
    bits = x.view(np.uint32)
    carried = bits >> np.uint32(16)
    carried &= np.uint32(1)
    carried += ROUNDED
    carried += bits                             # a NaN of all ones overflows, and is mended below
    carried >>= np.uint32(16)
    out[...] = carried
    spoilt = (bits & np.uint32(0x7FFFFFFF)) > INFINITE
    if spoilt.any():
        out[spoilt] = NAN


def widened(x, out):
    """bfloat16 to float32."""
    bits = out.view(np.uint32)
    bits[...] = x
    bits <<= np.uint32(16)


def sent(x, residual, out):
    """Round x + residual to `out`, and keep in `residual` what that takes away. x becomes what is sent."""
    with np.errstate(all="ignore"):
        np.add(x, residual, out=residual)
        rounded(residual, out)
        widened(out, x)
        np.subtract(residual, x, out=residual)
        if not np.isfinite(residual).all():     # an infinite or NaN gradient is told once, and not for ever
            residual[~np.isfinite(residual)] = 0
