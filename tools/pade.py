"""Print the coefficients of the safe Pade unit (PAU) that is nearest to leaky ReLU (alpha = 0.01) from -3 to 3.

Run `python tools/pade.py` (needs mpmath, a second). Nearest means the least integral of the squared error. Leaky ReLU is
(1 + alpha)/2 x + (1 - alpha)/2 |x|, and over an even denominator the first part is exact: what is to be fitted is |x|, by
(p0 + p1 w + p2 w^2)/(1 + b2 w + b4 w^2), w = x^2, on half of the interval. Odd terms of the denominator do not help.
"""
import mpmath as mp

mp.mp.dps = 40
ALPHA, END, NODES = mp.mpf(1)/100, mp.mpf(3), 80


def gauss_legendre(count):
    """Nodes and weights on [0, END]."""
    found = []
    for k in range(count):
        x = mp.cos(mp.pi*(k + mp.mpf(3)/4)/(count + mp.mpf(1)/2))
        for _ in range(8):
            value, before = mp.legendre(count, x), mp.legendre(count - 1, x)
            slope = count*(x*value - before)/(x*x - 1)
            x -= value/slope
        found.append(((x + 1)*END/2, END/((1 - x*x)*slope*slope)))
    return found


def fitted(rounds=200):
    """(p0, p1, p2, b2, b4), by Gauss and Newton with Levenberg's damping."""
    nodes, c, damping = gauss_legendre(NODES), mp.matrix([0.07, 3.3, 1.9, 4, 0.3]), mp.mpf(1)/100

    def errors(c):
        return [((c[0] + c[1]*w + c[2]*w*w)/(1 + c[3]*w + c[4]*w*w) - x, weight) for x, weight in nodes for w in [x*x]]

    def cost(c):
        return sum(weight*error*error for error, weight in errors(c))

    best = cost(c)
    for _ in range(rounds):
        normal, right = mp.zeros(5), mp.zeros(5, 1)
        for (x, _), (error, weight) in zip(nodes, errors(c)):
            w = x*x
            r = 1/(1 + c[3]*w + c[4]*w*w)
            row = [r, w*r, w*w*r, -(error + x)*w*r, -(error + x)*w*w*r]
            for i in range(5):
                right[i] += weight*row[i]*error
                for j in range(5):
                    normal[i, j] += weight*row[i]*row[j]
        for i in range(5):
            normal[i, i] *= 1 + damping
        step = mp.lu_solve(normal, right)
        if (now := cost(c - step)) <= best:
            c, best, damping = c - step, now, damping/10
        else:
            damping *= 10
        if mp.norm(step) < mp.mpf(10)**-25:
            break
    return c, mp.sqrt(best/END)


if __name__ == "__main__":
    (p0, p1, p2, b2, b4), error = fitted()
    odd, even = (1 + ALPHA)/2, (1 - ALPHA)/2
    for name, value in (("a0", even*p0), ("a1", odd), ("a2", even*p1), ("a3", odd*b2), ("a4", even*p2), ("a5", odd*b4),
                        ("b1", 0), ("b2", b2), ("b3", 0), ("b4", b4)):
        print(f"{name} = {mp.nstr(mp.mpf(value), 10)}")
    print(f"root mean square of the error: {mp.nstr(even*error, 4)}")
