"""Error functions and their gradients, exact in mpmath and rounded once to float64.

``ORACLES[name](y, t)`` takes two arrays of one shape and returns (loss, gradient). Square, Binary and Cross
are elementwise. The fused pairs take logits: sigmoid-binary-cross-entropy is elementwise too;
softmax-cross-entropy has its classes on the last axis, targets that sum to one there, and one loss a sample.
"""
from mpmath import cosh, exp, fsum, isnan, log, log1p, mpf, nan, pi, sign, tanh

from .activations import FAR, SOFTMAX_ROWS, by_rows

# Where the logarithm and the gradient's denominator are held.
LOG_FLOOR = -100
DENOMINATOR_FLOOR = mpf("1e-12", prec=512)


def _log(y):
    if isnan(y) or y < 0:
        return nan
    return max(log(y), LOG_FLOOR) if y else LOG_FLOOR


def _square(y, t):
    return (y - t)**2/2, y - t


def _parts(t, label_smoothing, class_weight):
    """What the terms of 1 - t and of t count, t smoothed."""
    s, (negative, positive) = t*(1 - label_smoothing) + mpf(label_smoothing)/2, class_weight or (1, 1)
    return negative*(1 - s), positive*s


def _weight(share, class_weight):
    """Of an element with that share in the second class."""
    negative, positive = class_weight or (1, 1)
    return negative*(1 - share) + positive*share


def _binary(y, t, label_smoothing=0, class_weight=None):
    n, p = _parts(t, label_smoothing, class_weight)
    return -p*_log(y) - n*_log(1 - y), (n*y - p*(1 - y))/max(y*(1 - y), DENOMINATOR_FLOOR)


def _cross_row(y, t, label_smoothing=0, class_weight=None):
    t = [w*(c*(1 - label_smoothing) + label_smoothing/len(t)) for c, w in zip(t, class_weight or [1]*len(t))]
    return [-c*_log(a) for a, c in zip(y, t)], [-c/max(a, DENOMINATOR_FLOOR) for a, c in zip(y, t)]


def _softmax_cross_row(x, t):
    log_p, q, _ = SOFTMAX_ROWS["log-softmax"](x)
    p, _, _ = SOFTMAX_ROWS["softmax"](x)
    loss = -fsum(a*b for a, b in zip(t, log_p) if a)  # a class of target 0 costs nothing, however unlikely
    return [loss]*len(x), [(fsum(t) - c)*a - c*b for a, b, c in zip(p, q, t)]  # p - t without cancellation


# Differences d = y - t. A derivative at a kink is 0.

def _absolute(y, t):
    return abs(y - t), sign(y - t)


def _squared(y, t):
    return (y - t)**2, 2*(y - t)


def _huber(y, t, delta=1):
    d = y - t
    return (d*d/2, d) if abs(d) <= delta else (delta*(abs(d) - delta/2), delta*sign(d))


def _smooth_l1(y, t, beta=1):
    d = y - t
    return (d*d/(2*beta), d/beta) if abs(d) < beta else (abs(d) - beta/2, sign(d))


def _log_cosh(y, t):
    d = y - t
    far = abs(d) > 500                      # cosh is exp/2 then, to more digits than there are
    return (abs(d) - log(2), sign(d)) if far else (log(cosh(d)), tanh(d))


def _quantile(y, t, q=mpf("0.5")):
    d = y - t
    return max(q*-d, (1 - q)*d), -q if d < 0 else 1 - q if d > 0 else 0


def _epsilon_insensitive(y, t, epsilon=mpf("0.1")):
    d = y - t
    return max(abs(d) - epsilon, 0), sign(d) if abs(d) > epsilon else 0


def _squared_epsilon_insensitive(y, t, epsilon=mpf("0.1")):
    beyond = max(abs(y - t) - epsilon, 0)
    return beyond**2, 2*beyond*sign(y - t)


def _percentage(y, t, epsilon=mpf("1e-7"), scale=100):
    size = max(abs(t), epsilon)
    return scale*abs(y - t)/size, scale*sign(y - t)/size


def _squared_log(y, t):
    d = log1p(y) - log1p(t)
    return d*d, 2*d/(1 + y)


def _contrastive(y, t, margin=1):
    below = max(margin - y, 0)
    return t*y*y + (1 - t)*below**2, 2*t*y - 2*(1 - t)*below


# Probabilities, rates and their logarithms; 0 log 0 is 0.

def _kl(y, t, log_input=True, log_target=False):
    if log_target:
        return exp(t)*(t - y), -exp(t)
    if t == 0:
        return 0, 0
    return (t*(log(t) - y), -t) if log_input else (t*log(t/y), -t/y)


def _jensen_shannon(y, t):
    m = (y + t)/2
    if y == t:
        return 0, 0
    of_t, of_y = t*log(t/m) if t else 0, y*log(y/m) if y else 0
    return (of_t + of_y)/2, log(y/m)/2 if y else mpf(-1000)         # -inf is held


def _poisson(y, t, log_input=True, full=False, eps=mpf("1e-8")):
    more = t*log(t) - t + log(2*pi*t)/2 if full and t > 1 else 0
    if log_input:
        y = max(min(y, FAR), -FAR)
        power = mpf("inf") if y > 10**6 else exp(y)
        return power - t*y + more, power - t
    return y - t*log(y + eps) + more, 1 - t/(y + eps)


# Logits and scores.

def _smoothed_sigmoid_binary(x, t, label_smoothing=0, class_weight=None, pos_weight=None):
    x = max(min(x, FAR), -FAR)
    negative, positive = _parts(t, label_smoothing, class_weight)
    positive *= 1 if pos_weight is None else pos_weight
    p, q = 1/(1 + exp(-x)), 1/(1 + exp(x))
    return positive*log1p(exp(-x)) + negative*log1p(exp(x)), negative*p - positive*q


def _focal(x, t, label_smoothing=0, class_weight=None, alpha=mpf("0.25"), gamma=2):
    x, weight = max(min(x, FAR), -FAR), _weight(t, class_weight)
    t = t*(1 - label_smoothing) + mpf(label_smoothing)/2
    p, rest = 1/(1 + exp(-x)), 1/(1 + exp(x))
    cross = t*log1p(exp(-x)) + (1 - t)*log1p(exp(x))
    wrong = p*(1 - t) + rest*t
    share = weight*(1 if alpha is None else alpha*t + (1 - alpha)*(1 - t))
    if not wrong:
        return 0, 0
    slope = wrong**gamma*((1 - t)*p - t*rest) + gamma*wrong**(gamma - 1)*(1 - 2*t)*p*rest*cross
    return share*wrong**gamma*cross, share*slope


def _hinge(y, t, label_smoothing=0, class_weight=None):
    side = t or mpf(-1)
    weight, side = _weight((1 + side)/2, class_weight), side*(1 - label_smoothing)
    return weight*max(1 - side*y, 0), weight*(-side if side*y < 1 else 0)


def _squared_hinge(y, t, label_smoothing=0, class_weight=None):
    side = t or mpf(-1)
    weight, side = _weight((1 + side)/2, class_weight), side*(1 - label_smoothing)
    return weight*max(1 - side*y, 0)**2, -2*weight*side*max(1 - side*y, 0)


def _soft_margin(y, t, label_smoothing=0, class_weight=None):
    side = t or mpf(-1)
    weight, side = _weight((1 + side)/2, class_weight), side*(1 - label_smoothing)
    z = side*max(min(y, FAR), -FAR)
    return weight*log1p(exp(-z)), -weight*side/(1 + exp(z))


def _hinge_embedding(y, t, margin=1):
    """As torch.nn.HingeEmbeddingLoss documents it."""
    if t > 0:
        return y, 1
    return max(margin - y, 0), -1 if y < margin else 0


def _elementwise(rule):
    def oracle(y, t, **h):
        h = {name: mpf(value) if isinstance(value, float) else value for name, value in h.items()}

        def of_one(y, t):
            return (nan, nan) if isnan(y) or isnan(t) else map(mpf, rule(y, t, **h))
        return by_rows(lambda y, t: list(zip(*map(of_one, y, t))), None, y, t)
    return oracle


# Rows: the loss once, the gradient of each element.

def _softmax_focal_row(x, t, gamma=2):
    shares = [exp(a - max(x)) for a in x]
    p = [a/fsum(shares) for a in shares]
    rest = [(fsum(shares) - a)/fsum(shares) for a in shares]
    loss = -fsum(c*q**gamma*log(a) for a, q, c in zip(p, rest, t) if c)
    g = [c*((gamma*a*q**(gamma - 1)*log(a) if gamma else 0) - q**gamma) for a, q, c in zip(p, rest, t)]
    return loss, [a - b*fsum(g) for a, b in zip(g, p)]


def _sparsemax_row(x, t):
    """By sorting, as in the paper's algorithm 1."""
    ranked = sorted(x, reverse=True)
    k = max(k for k in range(1, len(x) + 1) if 1 + k*ranked[k - 1] > fsum(ranked[:k]))
    tau = (fsum(ranked[:k]) - 1)/k
    p = [max(a - tau, 0) for a in x]
    return (fsum(a*a - tau*tau for a in x if a > tau)/2 + fsum(c*c for c in t)/2 - fsum(a*c for a, c in zip(x, t)),
            [a - c for a, c in zip(p, t)])


def _log_likelihood_row(y, t):
    return -fsum(a*c for a, c in zip(y, t) if c), [-c for c in t]


def _categorical_hinge_row(x, t):
    """keras.losses.categorical_hinge."""
    others = [(1 - c)*a for a, c in zip(x, t)]
    top, loss = others.index(max(others)), 1 + max(others) - fsum(a*c for a, c in zip(x, t))
    if loss <= 0:
        return 0, [0]*len(x)
    return loss, [(1 - c if i == top else 0) - c for i, c in enumerate(t)]


def _cosine_row(x, t, eps=mpf("1e-8")):
    inner, x_norm, t_norm = fsum(a*c for a, c in zip(x, t)), fsum(a*a for a in x)**.5, fsum(c*c for c in t)**.5
    n, m = max(x_norm, eps), max(t_norm, eps)
    return 1 - inner/(n*m), [-(c/(n*m) - (inner*a/(n**3*m) if x_norm > eps else 0)) for a, c in zip(x, t)]


def _tversky_row(x, t, alpha=mpf("0.5"), beta=mpf("0.5"), smooth=mpf("1e-7")):
    hit = fsum(a*c for a, c in zip(x, t)) + smooth
    whole = hit + alpha*fsum(a*(1 - c) for a, c in zip(x, t)) + beta*fsum((1 - a)*c for a, c in zip(x, t))
    return 1 - hit/whole, [-(c*whole - hit*(c + alpha*(1 - c) - beta*c))/whole**2 for c in t]


def _dice_row(x, t, smooth=mpf("1e-7")):
    """As in keras.losses.dice: of the sums."""
    inner, both = 2*fsum(a*c for a, c in zip(x, t)) + smooth, fsum(x) + fsum(t) + smooth
    return 1 - inner/both, [-(2*c*both - inner)/both**2 for c in t]


def _by_terms(rule):
    """Of a loss that is linear in the target rows: what becomes of them with smoothing and weights of classes."""
    def weighted(x, t, label_smoothing=0, class_weight=None, **h):
        return rule(x, [w*(c*(1 - label_smoothing) + label_smoothing/len(t))
                        for c, w in zip(t, class_weight or [1]*len(t))], **h)
    return weighted


def _by_rows(rule):
    """Of any loss: the smoothed row's, times the weight of the one that was given."""
    def weighted(x, t, label_smoothing=0, class_weight=None, **h):
        loss, slope = rule(x, [c*(1 - label_smoothing) + label_smoothing/len(t) for c in t], **h)
        weight = fsum(c*w for c, w in zip(t, class_weight or [1]*len(t)))
        return weight*loss, [weight*a for a in slope]
    return weighted


def _each_of_rows(rule):
    """Losses of elements, of rows of distributions."""
    def oracle(y, t, **h):
        h = {name: mpf(value) if isinstance(value, float) else value for name, value in h.items()}

        def of_row(y, t):
            bad = [isnan(a) or isnan(c) for a, c in zip(y, t)]
            return [[nan if out else mpf(a) for a, out in zip(row, bad)] for row in rule(y, t, **h)]
        return by_rows(of_row, -1, y, t)
    return oracle


def _rows(rule):
    def oracle(x, t, **h):
        h = {name: mpf(value) if isinstance(value, float) else value for name, value in h.items()}

        def of_row(x, t):
            if any(map(isnan, (*x, *t))):
                return [nan]*len(x), [nan]*len(x)
            loss, grad = rule(x, t, **h)
            return [mpf(loss)]*len(x), list(map(mpf, grad))
        loss, grad = by_rows(of_row, -1, x, t)
        return loss[..., 0], grad
    return oracle


ORACLES = {
    "Square": _elementwise(_square),
    "squared-error": _elementwise(_squared),
    "L1": _elementwise(_absolute),
    "Huber": _elementwise(_huber),
    "smooth-L1": _elementwise(_smooth_l1),
    "log-cosh": _elementwise(_log_cosh),
    "quantile": _elementwise(_quantile),
    "epsilon-insensitive": _elementwise(_epsilon_insensitive),
    "squared-epsilon-insensitive": _elementwise(_squared_epsilon_insensitive),
    "MAPE": _elementwise(_percentage),
    "MSLE": _elementwise(_squared_log),
    "contrastive": _elementwise(_contrastive),
    "hinge-embedding": _elementwise(_hinge_embedding),
    "Binary": _elementwise(_binary),
    "Cross": _each_of_rows(_cross_row),
    "KL": _elementwise(_kl),
    "Jensen-Shannon": _elementwise(_jensen_shannon),
    "Poisson": _elementwise(_poisson),
    "sigmoid-binary-cross-entropy": _elementwise(_smoothed_sigmoid_binary),
    "sigmoid-focal": _elementwise(_focal),
    "hinge": _elementwise(_hinge),
    "squared-hinge": _elementwise(_squared_hinge),
    "soft-margin": _elementwise(_soft_margin),
    "NLL": _rows(_by_terms(_log_likelihood_row)),
    "softmax-cross-entropy": _rows(_by_terms(lambda x, t: (lambda loss, grad: (loss[0], grad))(*_softmax_cross_row(x, t)))),
    "softmax-focal": _rows(_by_terms(_softmax_focal_row)),
    "sparsemax-loss": _rows(_by_rows(_sparsemax_row)),
    "categorical-hinge": _rows(_by_rows(_categorical_hinge_row)),
    "cosine": _rows(_cosine_row),
    "Tversky": _rows(_tversky_row),
    "dice": _rows(_dice_row),
}

# Of several arrays: ``OF_SEVERAL[name](*arrays, **hyperparameters)`` is (losses, gradients in those that have one).

def _gaussian(y, t, var, full=False, eps=mpf("1e-6")):
    """-log of the density of the normal distribution, without log(2 pi)/2 unless `full`."""
    v = max(var, eps)
    return (log(v) + (y - t)**2/v)/2 + (log(2*pi)/2 if full else 0), (y - t)/v, (1/v - (y - t)**2/v**2)/2


def _laplace(y, t, scale, full=False, eps=mpf("1e-6")):
    """-log(exp(-|y - t|/b)/(2 b)), without log(2) unless `full`."""
    b = max(scale, eps)
    return log(b) + abs(y - t)/b + (log(2) if full else 0), sign(y - t)/b, 1/b - abs(y - t)/b**2


def _of_three(rule):
    def oracle(y, t, spread, **h):
        h = {name: mpf(value) if isinstance(value, float) else value for name, value in h.items()}
        loss, of_y, of_spread = by_rows(lambda *row: list(zip(*(map(mpf, rule(*one, **h)) for one in zip(*row)))), None,
                                        y, t, spread)
        return loss, (of_y, of_spread)
    return oracle


def _norm(u, p):
    """The p-norm and its gradient; where several elements are the largest, each has its share."""
    sizes = [abs(a) for a in u]
    if p == mpf("inf"):
        top = max(sizes)
        return top, [sign(a)/sizes.count(top) if abs(a) == top else mpf(0) for a in u]
    norm = fsum(a**p for a in sizes)**(1/p)
    return norm, [sign(a)*(abs(a)/norm)**(p - 1) if norm else mpf(0) for a in u]


def _triplet(anchor, positive, negative, margin=1, p=mpf(2), eps=mpf("1e-6"), swap=False):
    margin, p, eps = mpf(margin), mpf(p), mpf(eps)

    def row(a, b, c):
        near, of_near = _norm([x - y + eps for x, y in zip(a, b)], p)
        far, of_far = _norm([x - y + eps for x, y in zip(a, c)], p)
        other, of_other = _norm([x - y + eps for x, y in zip(b, c)], p)
        part = (0 if other < far else mpf("0.5") if other == far else 1) if swap else 1
        loss = max(margin + near - (min(far, other) if swap else far), 0)
        on = loss > 0
        return ([loss]*len(a), [on*(u - part*v) for u, v in zip(of_near, of_far)],
                [on*(-u - (1 - part)*w) for u, w in zip(of_near, of_other)],
                [on*(part*v + (1 - part)*w) for v, w in zip(of_far, of_other)])
    loss, *gradients = by_rows(row, -1, anchor, positive, negative)
    return loss[..., 0], tuple(gradients)


def _info_nce(queries, keys, temperature=1, normalize=False, symmetric=False):
    """By the definition: -log of the share of exp(q_i k_i/T) in the sum over all keys."""
    n, d = queries.shape
    temperature = mpf(temperature)

    def unit(row):
        norm = max(fsum(a*a for a in row)**.5, mpf("1e-12"))
        return [a/norm for a in row], norm

    def rows(q, k):
        q, k = ([x[i*d:(i + 1)*d] for i in range(n)] for x in (q, k))
        (q, q_norms), (k, k_norms) = (zip(*map(unit, x)) if normalize else (x, [mpf(1)]*n) for x in (q, k))
        powers = [[exp(fsum(a*b for a, b in zip(u, v))/temperature) for v in k] for u in q]
        along, across = [fsum(row) for row in powers], [fsum(column) for column in zip(*powers)]
        losses = [log(along[i]/powers[i][i]) for i in range(n)]
        slopes = [[powers[i][j]/along[i] - (i == j) for j in range(n)] for i in range(n)]
        if symmetric:
            losses = [(a + log(across[i]/powers[i][i]))/2 for i, a in enumerate(losses)]
            slopes = [[(slopes[i][j] + powers[i][j]/across[j] - (i == j))/2 for j in range(n)] for i in range(n)]
        of_q = [[fsum(slopes[i][j]*k[j][e] for j in range(n))/temperature for e in range(d)] for i in range(n)]
        of_k = [[fsum(slopes[i][j]*q[i][e] for i in range(n))/temperature for e in range(d)] for j in range(n)]
        if normalize:
            for grads, units, norms in ((of_q, q, q_norms), (of_k, k, k_norms)):
                for g, u, norm in zip(grads, units, norms):
                    inner = fsum(a*b for a, b in zip(g, u))
                    g[:] = [(a - inner*b)/norm for a, b in zip(g, u)]
        return [a for loss in losses for a in [loss]*d], sum(of_q, []), sum(of_k, [])
    loss, of_queries, of_keys = by_rows(rows, None, queries, keys)
    return loss[:, 0], (of_queries, of_keys)


OF_SEVERAL = {"Gaussian-NLL": _of_three(_gaussian), "Laplace-NLL": _of_three(_laplace), "triplet": _triplet,
              "InfoNCE": _info_nce}

# one loss a row; all others are elementwise
ROWS = ["NLL", "softmax-cross-entropy", "softmax-focal", "sparsemax-loss", "categorical-hinge", "cosine", "Tversky",
        "dice"]
