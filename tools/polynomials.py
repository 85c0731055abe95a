"""Print the polynomials of fastnn/core/*.pxd and fastnn/jit/coefficients.py, each with the weighted error it leaves.

Run `python tools/polynomials.py` (needs mpmath, a minute). `MINIMAX` are Remez polynomials whose coefficients are rounded
together. `ROUNDED` are fits at Chebyshev nodes whose coefficients are rounded one by one, from the constant up, and the rest
fitted anew each time: what the rounding of one has lost, the next ones make up for. `QUOTIENTS` are two such polynomials, the
second 1 at 0.
"""
import mpmath as mp
import numpy as np

mp.mp.dps = 60


def exp_tail(r):
    """q in exp(r) = 1 + r + r^2 q(r)."""
    return mp.nsum(lambda k: r**k / mp.factorial(k + 2), [0, 40]) if abs(r) < 0.1 else (mp.exp(r) - 1 - r) / r**2


def log1p_tail(w):
    """L in log1p(e) = e - s (e - w L(w)), s = e / (2 + e), w = s^2."""
    if w < mp.mpf(10) ** -6:
        return sum(2 * w**k / (2 * k + 3) for k in range(12))
    s = mp.sqrt(w)
    return (2 * mp.atanh(s) / s - 2) / w


def tanh_shrink_ratio(w):
    """R in x - tanh(x) = x^3 (1/3 - w R(w)), w = x^2."""
    if w < mp.mpf(10) ** -6:
        return 2 / mp.mpf(15) - 17 * w / 315 + 62 * w**2 / 2835 - 1382 * w**3 / 155925
    x = mp.sqrt(w)
    return (mp.mpf(1) / 3 - (1 - mp.tanh(x) / x) / w) / w


def normal_tail(a):
    """exp(a^2/2) Phi(-a), Phi the normal distribution function."""
    return mp.exp(a * a / 2) * mp.erfc(a / mp.sqrt(2)) / 2


START = mp.mpf(11) / 16         # of GELU's tail; T(0) happens to be a float there
DENSITY = 1 / mp.sqrt(2 * mp.pi)


def gelu_tail(c):
    """a normal_tail(a), u = (a - START) / (a + c)."""
    def t(u):
        a = (START + c * u) / (1 - u)
        return a * normal_tail(a)
    return t


def gelu_d1_tail(c):
    """(a phi(0) - normal_tail(a)) / (a + c)."""
    def k(u):
        a = (START + c * u) / (1 - u)
        return (a * DENSITY - normal_tail(a)) / (a + c)
    return k


def gelu_core(w):
    """((Phi(x) - 1/2) / x - phi(0)) / w, w = x^2."""
    if w < mp.mpf(10) ** -9:
        return DENSITY * (-mp.mpf(1) / 6 + w / 40 - w * w / 336)
    x = mp.sqrt(w)
    return (mp.erf(x / mp.sqrt(2)) / 2 / x - DENSITY) / w


def gelu_d1_core(w):
    """((f'(x) - 1/2) / x - 2 phi(0)) / w."""
    if w < mp.mpf(10) ** -9:
        return gelu_core(w) + (-mp.mpf(1) / 2 + w / 8 - w * w / 48) * DENSITY
    return gelu_core(w) + (mp.exp(-w / 2) - 1) * DENSITY / w


def odd_tail(function):
    """S in function(s) = s + s^3 S(s^2)."""
    def tail(w):
        if w < mp.mpf(10) ** -12:
            return mp.taylor(function, 0, 3)[3]
        s = mp.sqrt(w)
        return (function(s) / s - 1) / w
    return tail


def cos_tail(w):
    """C in cos(r) = 1 - w/2 + w^2 C(w), w = r^2."""
    return mp.mpf(1) / 24 - w / 720 if w < mp.mpf(10) ** -8 else (mp.cos(mp.sqrt(w)) - 1 + w / 2) / w**2


def atanh_rest(w):
    """Q in atanh(s) = s (1 + w/3 + w^2 Q(w)), w = s^2."""
    if w < mp.mpf(10) ** -12:
        return mp.mpf(1) / 5 + w / 7
    s = mp.sqrt(w)
    return (mp.atanh(s) / s - 1 - w / 3) / w**2


def erf_core(w):
    """E in erf(x) = x + x E(x^2)."""
    return 2 / mp.sqrt(mp.pi) - 1 if w < mp.mpf(10) ** -20 else mp.erf(mp.sqrt(w)) / mp.sqrt(w) - 1


def erfc_far(t):
    """erfc(a), t = a S + O with floats S and O that take [0.85, 3.95] to [-1, 1]."""
    return mp.erfc((t + mp.mpf(1.548387050628662)) / mp.mpf(0.6451612710952759))


def erfc_ratio(u):
    """(a + 4) exp(a^2) erfc(a), u = (a - 4) / (a + 4)."""
    a = 4 * (1 + u) / (1 - u)
    return (a + 4) * mp.exp(a * a) * mp.erfc(a)


def erfc_tail(u):
    """T in erfc_ratio(u) = erfc_ratio(0) + u T(u)."""
    return mp.diff(erfc_ratio, 0) if abs(u) < mp.mpf(10) ** -15 else (erfc_ratio(u) - erfc_ratio(0)) / u


def log_cosh_tail(w):
    """L in log(cosh(x)) = w/2 + w^2 L(w), w = x^2."""
    if w < mp.mpf(10) ** -10:
        return -mp.mpf(1) / 12 + w / 45
    return (mp.log(mp.cosh(mp.sqrt(w))) - w / 2) / w**2


def cube_root(m):
    return mp.cbrt(m)


tiny = mp.mpf(10) ** -12

# name, function, degree, bits of the coefficients, interval, weight that turns its error into one of the result
MINIMAX = [
    ("exp, float", exp_tail, 4, 24, (-0.3467, 0.3467), lambda r: r * r + tiny),
    ("exp, double", exp_tail, 9, 53, (-0.3467, 0.3467), lambda r: r * r + tiny),
    ("exp_short, float", exp_tail, 3, 24, (-0.3467, 0.3467), lambda r: r * r + tiny),
    ("exp_short, double", exp_tail, 8, 53, (-0.3467, 0.3467), lambda r: r * r + tiny),
    ("log1p, float", log1p_tail, 3, 24, (0, 1 / 9), lambda w: w / 2 + tiny),
    ("log1p, double", log1p_tail, 8, 53, (0, 1 / 9), lambda w: w / 2 + tiny),
    ("log of a ratio, float", log1p_tail, 2, 24, (0, 0.0402), lambda w: w / 2 + tiny),
    ("log of a ratio, double", log1p_tail, 6, 53, (0, 0.0402), lambda w: w / 2 + tiny),
]


def of_log_cosh(w):
    return w * w / mp.log(mp.cosh(mp.sqrt(w))) if w else tiny


def of_odd(w):
    return w + tiny


def of_sine(w):
    r = mp.sqrt(w)
    return r**3/mp.sin(r) + tiny if w else tiny


def jit_rows(name, function, degrees, end):
    return [(f"{name}, {kind}", odd_tail(function), degree, bits, (0, end), of_odd)
            for kind, degree, bits in zip(("float", "double"), degrees, (24, 53))]


MINIMAX += [
    ("log_cosh, float", log_cosh_tail, 6, 24, (0, 1), of_log_cosh),
    ("log_cosh, double", log_cosh_tail, 14, 53, (0, 1), of_log_cosh),
]
MINIMAX += [                            # of fastnn/jit, sin_half_turn, atan and erf of fastnn/core, too
    *jit_rows("sin", mp.sin, (2, 5), 0.64),
    ("sin_half_turn, double", odd_tail(mp.sin), 8, 53, (0, 2.468), of_sine),
    ("cos, float", cos_tail, 2, 24, (0, 0.64), lambda w: w * w + tiny),
    ("cos, double", cos_tail, 5, 53, (0, 0.64), lambda w: w * w + tiny),
    *jit_rows("atan", mp.atan, (4, 10), 0.1716),
    *jit_rows("asin", mp.asin, (4, 11), 0.25),
    *jit_rows("sinh", mp.sinh, (3, 6), 1),
    ("tanh, float", odd_tail(mp.tanh), 4, 24, (0, 0.36), of_odd),
    ("atanh_rest, double", atanh_rest, 6, 53, (0, 0.0295), lambda w: w * w + tiny),
    ("erf_core, float", erf_core, 6, 24, (0, 0.7225), lambda w: 1),
    ("erf_core, double", erf_core, 11, 53, (0, 0.7225), lambda w: 1),
    ("cube_root, double", cube_root, 4, 53, (1, 2), lambda m: 1),
]


def of_core(w):
    return w * mp.sqrt(w) / (mp.erfc(mp.sqrt(w / 2)) / 2) + tiny


def of_d1_core(w):
    return 8 * w * mp.sqrt(w) + tiny


def gelu_rows(kind, bits, degrees, c, end):
    core, tail, d1_core, d1_tail = degrees
    near, far = (0, START**2), (0, (end - START) / (end + c))
    return [
        (f"core, {kind}", gelu_core, core, bits, near, of_core),
        (f"tail, {kind}", gelu_tail(c), tail, bits, far, lambda u: 1 / gelu_tail(c)(u)),
        (f"slope_core, {kind}", gelu_d1_core, d1_core, bits, near, of_d1_core),
        (f"slope_tail, {kind}", gelu_d1_tail(c), d1_tail, bits, far,
         lambda u: 1 / max(abs(gelu_d1_tail(c)(u)), mp.mpf("0.02"))),
    ]


def of_tail(u):
    return (abs(u) + tiny) / erfc_ratio(u)


ROUNDED = [
    ("erfc_far, float", erfc_far, 14, 24, (-1, 1), lambda t: 1),
    ("erfc_tail, float", erfc_tail, 8, 53, (-3.31 / 4.69, 6.1 / 14.1), of_tail),
    ("erfc_tail, double", erfc_tail, 19, 53, (-3.31 / 4.69, 23.3 / 31.3), of_tail),
    *gelu_rows("float", 24, (3, 9, 4, 8), 2, 15),
    *gelu_rows("double", 53, (8, 22, 8, 22), 3, 39),
]


def of_shrink(w):
    return w / (mp.mpf(1) / 3 - w * tanh_shrink_ratio(w))


# name, function, degrees, bits of the coefficients, interval, weight
QUOTIENTS = [
    ("tanh_shrink, float", tanh_shrink_ratio, (1, 2), 24, (0, 1.1025), of_shrink),
    ("tanh_shrink, double", tanh_shrink_ratio, (2, 3), 53, (0, 1.1025), of_shrink),
]


def remez(f, weight, interval, degree, rounds=8):
    """The minimax polynomial's coefficients, from the constant up."""
    lo, hi = map(mp.mpf, interval)
    n = degree + 2
    nodes = [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(mp.pi * k / (n - 1)) for k in range(n)]
    grid = [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(mp.pi * k / (40 * n)) for k in range(40 * n + 1)]
    values, weights = [f(x) for x in grid], [weight(x) for x in grid]
    for _ in range(rounds):
        matrix = mp.matrix([[x**p for p in range(degree + 1)] + [(-1) ** i / weight(x)] for i, x in enumerate(nodes)])
        *coefficients, _level = mp.lu_solve(matrix, mp.matrix([f(x) for x in nodes]))
        error = [(v - mp.polyval(coefficients[::-1], x)) * w for x, v, w in zip(grid, values, weights)]
        extremes, run = [], [0]
        for i in range(1, len(grid)):                   # the largest error of each run of one sign
            if (error[i] >= 0) != (error[run[-1]] >= 0):
                extremes.append(max(run, key=lambda k: abs(error[k])))
                run = []
            run.append(i)
        extremes.append(max(run, key=lambda k: abs(error[k])))
        if len(extremes) < n:
            break
        start = max(range(len(extremes) - n + 1), key=lambda s: min(abs(error[k]) for k in extremes[s:s + n]))
        nodes = [grid[k] for k in extremes[start:start + n]]
    return coefficients


def rounded_together(f, degree, bits, interval, weight):
    """Coefficients from the constant up."""
    return [to_bits(c, bits) for c in remez(f, weight, interval, degree)]


def rounded_one_by_one(f, degree, bits, interval, weight):
    """Coefficients from the constant up."""
    lo, hi = map(mp.mpf, interval)
    n = max(60, 3 * degree)
    nodes = [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(mp.pi * (k + mp.mpf("0.5")) / n) for k in range(n)]
    weights, rest, done = [weight(x) for x in nodes], [f(x) for x in nodes], []
    for k in range(degree + 1):
        powers = mp.matrix([[w * x**p for p in range(k, degree + 1)] for x, w in zip(nodes, weights)])
        c = to_bits(mp.lu_solve(powers, mp.matrix([w * r for w, r in zip(weights, rest)]))[0], bits)
        done.append(c)
        rest = [r - c * x**k for x, r in zip(nodes, rest)]
    return done


def quotient(f, degrees, bits, interval, weight):
    """Coefficients of numerator and divisor from the constant up, rounded in turn."""
    lo, hi = map(mp.mpf, interval)
    nodes = [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(mp.pi * (k + mp.mpf("0.5")) / 80) for k in range(80)]
    values, weights = [f(x) for x in nodes], [weight(x) for x in nodes]
    names = sorted(((power, part) for part, degree in enumerate(degrees) for power in range(part, degree + 1)),
                   key=lambda name: 2 * name[0] - name[1])
    done = {}

    def column(name, x, v):
        return x**name[0] * (-v if name[1] else 1)

    for name in names:
        free, scale = [each for each in names if each not in done], [mp.mpf(1)] * len(nodes)
        for _ in range(6):              # weighted by the divisor of the fit before
            rows = [(s * w, x, v) for s, w, x, v in zip(scale, weights, nodes, values)]
            matrix = mp.matrix([[w * column(each, x, v) for each in free] for w, x, v in rows])
            rest = mp.matrix([w * (v - sum(c * column(each, x, v) for each, c in done.items())) for w, x, v in rows])
            fitted = done | dict(zip(free, mp.lu_solve(matrix, rest)))
            scale = [1 / (1 + sum(c * x**each[0] for each, c in fitted.items() if each[1])) for x in nodes]
        done[name] = to_bits(fitted[name], bits)
    return [[c for each, c in sorted(done.items()) if each[1] == part] for part in (0, 1)]


def to_bits(c, bits):
    return mp.mpf(float((np.float32 if bits == 24 else np.float64)(float(c))))


def largest_error(coefficients, f, interval, weight):
    lo, hi = map(mp.mpf, interval)
    points = [lo + (hi - lo) * mp.mpf(i) / 500 for i in range(501)]
    return max(abs((f(x) - mp.polyval(coefficients[::-1], x)) * weight(x)) for x in points)


if __name__ == "__main__":
    for make, rows in ((rounded_together, MINIMAX), (rounded_one_by_one, ROUNDED)):
        for name, f, degree, bits, interval, weight in rows:
            coefficients = make(f, degree, bits, interval, weight)
            error = largest_error(coefficients, f, interval, weight)
            print(f"{name}: degree {degree}, 2^{float(mp.log(error, 2)):.1f}")
            for c in coefficients:
                print(f"    {mp.nstr(c, 10 if bits == 24 else 18)}")
    for name, f, degrees, bits, interval, weight in QUOTIENTS:
        top, bottom = quotient(f, degrees, bits, interval, weight)

        def ratio(x):
            return mp.polyval(top[::-1], x) / mp.polyval([*bottom[::-1], 1], x)

        lo, hi = map(mp.mpf, interval)
        points = [lo + (hi - lo) * (i + mp.mpf("0.01")) / 500 for i in range(500)]
        error = max(abs((f(x) - ratio(x)) * weight(x)) for x in points)
        print(f"{name}: degrees {degrees}, 2^{float(mp.log(error, 2)):.1f}")
        for part in (top, bottom):
            print(*(f"    {mp.nstr(c, 10 if bits == 24 else 18)}" for c in part), sep="\n")
