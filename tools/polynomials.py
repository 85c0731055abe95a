"""Print the polynomials that stand in fastnn/core/vecmath.pxd, each with the relative error it leaves in the result.

Run `python tools/polynomials.py` (needs mpmath, a few seconds). Every row of `FITS` is a minimax polynomial (Remez
exchange); the coefficients are then rounded to the type they are used in.
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
    """S in x - tanh(x) = x^3 S(x^2)."""
    if w < mp.mpf(10) ** -6:
        return mp.mpf(1) / 3 - 2 * w / 15 + 17 * w**2 / 315 - 62 * w**3 / 2835 + 1382 * w**4 / 155925
    x = mp.sqrt(w)
    return (1 - mp.tanh(x) / x) / w


def mills(c):
    """P in Phi(-a) = exp(-a^2/2) P(t) / (a + c), t = (a - c) / (a + c)."""
    def p(t):
        a = c * (1 + t) / (1 - t)
        return mp.exp(a * a / 2) * mp.erfc(a / mp.sqrt(2)) / 2 * (a + c)
    return p


tiny = mp.mpf(10) ** -12

# name, function, degree, bits of the type, interval, weight that turns its error into one of the result
FITS = [
    ("exp, float", exp_tail, 4, 24, (-0.3467, 0.3467), lambda r: r * r + tiny),
    ("exp, double", exp_tail, 9, 53, (-0.3467, 0.3467), lambda r: r * r + tiny),
    ("log1p, float", log1p_tail, 3, 24, (0, 1 / 9), lambda w: w / 2 + tiny),
    ("log1p, double", log1p_tail, 8, 53, (0, 1 / 9), lambda w: w / 2 + tiny),
    ("tanh_shrink, float", tanh_shrink_ratio, 7, 24, (0, 1), lambda w: 1 / tanh_shrink_ratio(w)),
    ("tanh_shrink, double", tanh_shrink_ratio, 15, 53, (0, 1), lambda w: 1 / tanh_shrink_ratio(w)),
    ("normal_tail, float", mills(4), 9, 24, (-1, 11 / 19), lambda t: 1 / mills(4)(t)),
    ("normal_tail, double", mills(3), 22, 53, (-1, 36 / 42), lambda t: 1 / mills(3)(t)),
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


def fit(f, degree, bits, interval, weight):
    """Coefficients from the constant up, rounded to `bits`, and the largest weighted error they leave."""
    cast = np.float32 if bits == 24 else np.float64
    rounded = [mp.mpf(float(cast(float(c)))) for c in remez(f, weight, interval, degree)]
    lo, hi = interval
    points = [lo + (hi - lo) * mp.mpf(i) / 500 for i in range(501)]
    return rounded, max(abs((f(x) - mp.polyval(rounded[::-1], x)) * weight(x)) for x in points)


if __name__ == "__main__":
    for name, *spec in FITS:
        coefficients, error = fit(*spec)
        print(f"{name}: degree {spec[1]}, 2^{float(mp.log(error, 2)):.1f}")
        for c in coefficients:
            print(f"    {mp.nstr(c, 10 if spec[2] == 24 else 18)}")
