"""The judges judged: derivatives by numerical differentiation, optimizers by known closed forms."""
from functools import partial

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from helpers import APART
from oracles import activations, article, losses, optimizers
from oracles.activations import ORACLES, PLAIN, exact, plain, reference

# Away from every kink, of every parameter set below.
SMOOTH = [-40.0, -7.3, -3.1, -1.7, -0.3, -0.01, 0.02, 0.4, 1.3, 2.2, 4.4, 8.1, 33.0]
PARAMETERS = {
    "hard-shrink": {"lambda_": 0.75}, "soft-shrink": {"lambda_": 0.75}, "leaky-ReLU": {"alpha": 0.3},
    "threshold": {"threshold": -1.25, "value": 3.0}, "ELU": {"alpha": 1.7}, "CELU": {"alpha": 0.6},
    "SELU": {"lambda_": 1.2, "alpha": 0.9}, "Swish": {"beta": 1.9}}
CASES = [(name, {}) for name in ORACLES] + list(PARAMETERS.items())
TINY_TO_HUGE = [sign*10.0**power for sign in (1, -1) for power in
                (-320, -300, -45, -20, -8, -3, -1, 0, 0.5, 1, 1.5, 1.95, 2.5, 2.87, 3, 5, 38, 300)]


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_derivatives_are_those_of_the_function(name, parameters):
    for x in SMOOTH:
        for order in (1, 2):
            with mpmath.workdps(60):
                given = {key: mpmath.mpf(value)
                         for key, value in (ORACLES[name].parameters | parameters).items()}
                numeric = mpmath.diff(partial(ORACLES[name][order - 1], **given), x, h=mpmath.mpf("1e-25"))
                difference = exact(name, order, x, **parameters) - numeric
                assert abs(difference) <= 1e-20*abs(numeric) + mpmath.mpf("1e-30")


@pytest.mark.parametrize(("name", "parameters"), CASES)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_plain_agrees_with_exact(name, parameters, order):
    x = np.concatenate([np.linspace(-15, 15, 121), [0.0, 0.5, -0.5, 1.0, -1.0, 2.5, -2.5, 6.0, 1e-9, -1e-9]])
    assert_allclose(plain(name, order, x, **parameters), reference(name, order, x, **parameters),
                    rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_exact_keeps_its_digits_from_the_smallest_to_the_largest_number(name, order):
    for x in TINY_TO_HUGE:
        value, better = exact(name, order, x), exact(name, order, x, guard=3000)
        with mpmath.workprec(3000):
            assert abs(value - better) <= abs(better)*mpmath.mpf(2)**-100


def test_plain_has_a_row_for_every_oracle():
    assert PLAIN.keys() == ORACLES.keys()


def test_exact_rounds_hyperparameters_to_the_dtype():
    assert exact("leaky-ReLU", 1, -1.0, np.float32) == float(np.float32(0.01))
    assert exact("leaky-ReLU", 1, -1.0) == 0.01
    assert reference("leaky-ReLU", 1, np.float16([-1]))[0] == float(np.float32(0.01))
    assert exact("hard-sigmoid", 1, 0.0, np.float32) != float(np.float32(0.2))
    with pytest.raises(TypeError, match="ReLU takes no alpha"):
        exact("ReLU", 0, 1.0, alpha=1.0)


def test_first_terms_of_series():
    with mpmath.workdps(50):
        e, npdf = mpmath.exp, mpmath.npdf
        for name, order, x, expected in [
                ("tanh-shrink", 0, 1e-45, mpmath.mpf("1e-135")/3),
                ("tanh-shrink", 0, -1e-100, -mpmath.mpf("1e-300")/3),
                ("tanh", 2, 1e-40, -2e-40),
                ("sigmoid", 2, 1e-40, -1e-40/8),
                ("sigmoid", 0, -700.0, e(-700)),
                ("sigmoid", 1, 700.0, e(-700)),
                ("tanh", 1, 300.0, 4*e(-600)),
                ("softplus", 0, -700.0, e(-700)),
                ("log-sigmoid", 0, 700.0, -e(-700)),
                ("Swish", 0, -700.0, -700*e(-700)),
                ("Swish", 1, -700.0, -699*e(-700)),
                ("Mish", 0, -700.0, -700*e(-700)),
                ("Mish", 2, -700.0, -698*e(-700)),
                ("Mish", 2, 300.0, 8*(1 - 300)*e(-600)),
                ("tanhExp", 1, -700.0, -699*e(-700)),
                ("tanhExp", 2, 5.0, 4*e(5)*(7 - 10*e(5))*e(-2*e(5))),
                ("GELU", 2, 35.0, (2 - 35**2)*npdf(35)),
                ("GELU", 0, -1e5, -npdf(1e5)),
                ("bent-identity", 0, -1e38, -5e37),
                ("bent-identity", 2, 1e38, mpmath.mpf("5e-115")),
                ("softsign", 2, 1e38, mpmath.mpf("-2e-114"))]:
            value = exact(name, order, x)
            assert abs(value - expected) < 1e-9*abs(expected), name


# name: (x, derivative there); catalogue and article A decide
KINKS = {
    "step": [(0, 0)], "ReLU": [(0, 0)], "ReLU6": [(0, 0), (6, 0)], "leaky-ReLU": [(0, 1)], "ELU": [(0, 1)],
    "CELU": [(0, 1)], "SELU": [(0, 1.0507)], "hard-tanh": [(-1, 1), (1, 1)], "threshold": [(0.5, 0)],
    "hard-sigmoid": [(-2.5, 0.2), (2.5, 0.2)], "hard-shrink": [(-0.5, 0), (0.5, 0)],
    "soft-shrink": [(-0.5, 0), (0.5, 0)], "softsign": [(0, 1)],
    "h-sigmoid": [(-3, 0), (3, 0)], "sparse-sigmoid": [(-1, 0), (1, 0)], "ReLU-k": [(0, 0), (6, 0)],
    "clipped-linear": [(-1, 0), (1, 0)], "squared-ReLU": [(0, 0)], "StarReLU": [(0, 0)],
    "hard-swish": [(-3, 0), (3, 1)], "sparse-plus": [(-1, 0), (1, 1)], "ISRLU": [(0, 1)]}


@pytest.mark.parametrize("name", KINKS)
def test_kinks(name):
    points, slopes = np.transpose(KINKS[name])
    assert_array_equal(reference(name, 1, points), slopes)
    assert_array_equal(reference(name, 2, points), 0)


def test_reference_of_special_values():
    x = np.array([np.nan, np.inf, -np.inf])
    expected = {
        "step": ([1, 0], [0, 0]), "sigmoid": ([1, 0], [0, 0]), "tanh": ([1, -1], [0, 0]),
        "softplus": ([np.inf, 0], [1, 0]), "log-sigmoid": ([0, -np.inf], [0, 1]),
        "Mish": ([np.inf, 0], [1, 0]), "Swish": ([np.inf, 0], [1, 0]), "GELU": ([np.inf, 0], [1, 0]),
        "tanhExp": ([np.inf, 0], [1, 0]), "tanh-shrink": ([np.inf, -np.inf], [1, 1]),
        "softsign": ([1, -1], [0, 0]), "ELU": ([np.inf, -1], [1, 0]),
        "bent-identity": ([np.inf, -np.inf], [1.5, 0.5]), "threshold": ([np.inf, -0.25], [1, 0]),
        "hard-sigmoid": ([1, 0], [0, 0]), "leaky-ReLU": ([np.inf, -np.inf], [1, 0.01])}
    for name, (values, slopes) in expected.items():
        assert_array_equal(reference(name, 0, x), [np.nan, *values], err_msg=name)
        assert_array_equal(reference(name, 1, x), [np.nan, *slopes], err_msg=name)
        assert_array_equal(reference(name, 2, x), [np.nan, 0, 0], err_msg=name)
    assert_array_equal(np.signbit(reference("tanh", 0, np.array([0.0, -0.0]))), [False, True])


def test_reference_rounds_once():
    subnormal = np.array([-740.0, -745.1, -745.2])
    with mpmath.workprec(3000):  # units of the smallest subnormal, rounded to the nearest even
        units = [int(mpmath.nint(mpmath.exp(x)/mpmath.mpf(2)**-1074)) for x in subnormal.tolist()]
    assert_array_equal(reference("softplus", 0, subnormal), np.array(units)*5e-324)
    assert activations.to_float64(mpmath.mpf(2)**1024) == np.inf
    assert activations.to_float64(-(mpmath.mpf(2)**1023)) == -(2.0**1023)


X = np.array([[0.3, -1.2, 2.0, 0.0], [-700.0, 5.0, 5.5, -3.0], [40.0, 0.0, 1.0, -2.0]])
GRAD = np.array([[1.0, -0.5, 0.25, 2.0], [0.5, 1.5, -1.0, 3.0], [-2.0, 1.0, 4.0, 0.1]])
SOFTMAXES = {
    "softmax": lambda x: np.exp(x)/np.exp(x).sum(),
    "softmin": lambda x: np.exp(-x)/np.exp(-x).sum(),
    "log-softmax": lambda x: x - np.log(np.exp(x).sum())}


@pytest.mark.parametrize("name", SOFTMAXES)
@pytest.mark.parametrize("axis", [-1, 0, None])
def test_softmax_family(name, axis):
    x = np.maximum(X, -30).astype(np.longdouble)

    def whole(x):
        return SOFTMAXES[name](x) if axis is None else np.apply_along_axis(SOFTMAXES[name], axis, x)

    def moved(index, by):
        shifted = x.copy()
        shifted[index] += by
        return whole(shifted)

    y, dy, d2y = activations.softmax_reference(name, x.astype(float), axis)
    pulled = activations.vjp(name, x.astype(float), GRAD, axis)
    assert_allclose(y, whole(x).astype(float), rtol=1e-13, atol=1e-15)
    h = np.longdouble(2)**-14
    for index in np.ndindex(x.shape):
        ahead, behind = moved(index, h), moved(index, -h)
        assert_allclose(dy[index], float((ahead - behind)[index]/(2*h)), atol=1e-8)
        assert_allclose(d2y[index], float((ahead - 2*whole(x) + behind)[index]/h**2), atol=1e-7)
        assert_allclose(pulled[index], float(((ahead - behind)*GRAD).sum()/(2*h)), atol=1e-7)


def test_softmax_far_apart_and_infinite():
    y, dy, _ = activations.softmax_reference("softmax", [[1000.0, 0.0, 300.0]])
    assert_allclose(y[0], [1, 0, np.exp(-700)], rtol=1e-15)
    assert_allclose(dy[0], [np.exp(-700), 0, np.exp(-700)], rtol=1e-15)
    assert_array_equal(activations.softmax_reference("softmax", [[np.inf, 0, -np.inf]])[0], [[1, 0, 0]])
    assert_array_equal(activations.softmax_reference("log-softmax", [[np.inf, 0]])[0], [[0, -np.inf]])
    assert_array_equal(activations.softmax_reference("softmin", [[-np.inf, 0]])[1], [[0, 0]])
    for row in [np.inf, np.inf, 0], [-np.inf]*3, [np.nan, np.inf, 0]:
        for name in SOFTMAXES:
            x = [np.negative(row) if name == "softmin" else row]
            assert np.isnan(activations.softmax_reference(name, x)).all()


# Optimizers.

def run(oracle, gradients, **extra):
    return np.array([oracle.delta(g, t, **extra) for t, g in enumerate(gradients, 1)])


def extras(name, rng, shape, t):
    """What delta needs beyond the gradient."""
    drawn = optimizers.normal_draws(rng, [(RULES[name](), shape, t)])[0]
    read = {"p": np.linspace(-1, 1, np.prod(shape, dtype=int)).reshape(shape)} if RULES[name].reads_p else {}
    return drawn | read | ({"f": 1 + 1/t} if "Eve" in name else {})


RULES = {**optimizers.ORACLES, **{f"DLFS {name}": rule for name, rule in optimizers.DLFS.items()},
         **{f"article's {name}": rule for name, rule in article.ORACLES.items()}}


# noise moves it, and Fromage shrinks it
@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if not rule().draws(1) and name != "Fromage"])
def test_a_zero_gradient_gives_a_zero_step(name):
    oracle = RULES[name](**RULES[name].still)
    for t in range(1, 4):
        assert_array_equal(oracle.delta(np.zeros(2), t, **extras(name, None, 2, t)), 0)


@pytest.mark.parametrize("name", RULES)
def test_longdouble_scalars_and_arrays_agree(name):
    gradients = np.random.default_rng(1).standard_normal((10, 3))
    ordinary, extended, scalar = (RULES[name]() for _ in range(3))
    rng = np.random.RandomState(0)  # some seeds send Santa to infinity
    for t, g in enumerate(gradients, 1):
        extra = extras(name, rng, (3,), t)
        first = {key: value[0] if np.ndim(value) else value for key, value in extra.items()}
        delta, wide = ordinary.delta(g, t, **extra), extended.delta(g.astype(np.longdouble), t, **extra)
        assert delta.dtype == np.float64 and wide.dtype == np.longdouble and delta.shape == (3,)
        assert_allclose(delta, wide.astype(float), rtol=1e-11)
        if name not in optimizers.ORACLES or name in APART:
            assert_allclose(scalar.delta(float(g[0]), t, **first), delta[0], rtol=1e-14)
    assert name.endswith("SGD") or np.any(wide != delta) or any(         # deltas may be signs
        np.any(value != vars(extended)[key]) for key, value in vars(ordinary).items())


def test_unknown_hyperparameters_are_refused():
    with pytest.raises(TypeError):
        optimizers.ORACLES["Adam"](eta=0.1)


def test_momentum_of_the_book():
    assert_allclose(run(optimizers.Momentum(lr=1, momentum=0.9), [1, 1, 1, 1]), [-1, -1.9, -2.71, -3.439])


def test_nesterov_is_momentum_seen_from_the_look_ahead_point():
    def gradient(w):
        return np.sin(w) + 0.3*w

    w, v, mu, lr = 2.0, 0.0, 0.9, 0.1
    oracle, seen = optimizers.Nesterov(lr=lr, momentum=mu), 2.0
    for _ in range(10):
        v = mu*v - lr*gradient(w + mu*v)
        w += v
        seen += oracle.delta(gradient(seen))
        assert_allclose(seen, w + mu*v, rtol=1e-13)


def test_nag_looks_ahead_by_its_last_step():
    oracle = optimizers.NAG(eta=0.1, mu=0.5)
    assert oracle.lookahead(2.0) == 2.0
    first = oracle.delta(oracle.lookahead(2.0))
    assert_allclose(first, -0.1)
    assert_allclose(oracle.lookahead(2.0 + first), 1.85)


G, T = np.array([0.5, -2.0]), np.arange(1, 11)[:, None]      # a constant gradient, ten steps
V = (1 - 0.999**T)*G**2
ADAM = -0.001*G/(np.abs(G) + 1e-8) + 0*T
MU = np.cumprod(0.9*(1 - 0.5*0.96**(0.004*np.arange(1, 12))))[:, None]
MU_NEXT = MU[1:]/MU[:-1]
CLOSED = {
    optimizers: {
        "SGD": -0.01*G + 0*T,
        "SGDMomentum": -0.1*(1 - 0.9**T)*G,
        "SGDNesterov": -0.01*G*(1 + 9*(1 - 0.9**T)),
        "QHM": -0.1*G*(0.3 + 0.7*(1 - 0.999**T)),
        "AggMo": -0.01/3*G*(1 + 10*(1 - 0.9**T) + 100*(1 - 0.99**T)),
        "OptimisticGradientDescent": -0.01*G + 0*T,
        "OptimisticAdam": ADAM,
        "signSGD": -0.001*np.sign(G) + 0*T,
        "Signum": -0.001*np.sign(G) + 0*T,
        "Rprop": -0.01*1.2**(T - 1)*np.sign(G),
        "MSGD": -0.01*(1 - 0.9**T)*G,
        "AdaGrad": -0.001*G/(np.abs(G)*np.sqrt(T) + 1e-10),
        "RMSprop": -0.01*G/(np.sqrt((1 - 0.99**T)*G**2) + 1e-8),
        "RMSpropCentered": -0.01*G/(np.sqrt(0.99**T*(1 - 0.99**T)*G**2) + 1e-8),
        "Adam": ADAM,
        "AMSGrad": ADAM,
        "RMSpropGraves": -1e-4*G/np.sqrt(0.95**T*(1 - 0.95**T)*G**2 + 1e-4),
        "AdaMax": -0.002*G/(np.abs(G) + 1e-8) + 0*T,
        "Nadam": -0.002*G/(np.abs(G) + 1e-8)*(
            MU_NEXT*(1 - 0.9**T)/(1 - MU[1:]) + (1 - MU[:-1]/np.concatenate([[[1]], MU[:-2]]))/(1 - MU[:-1])),
        "Eve": ADAM,                                    # whose loss nobody tells
        "AdaBound": -np.clip(0.001*np.sqrt(1 - 0.999**T)/(1 - 0.9**T)/(np.sqrt(V) + 1e-8), 0.1*0.001*T/(0.001*T + 1),
                             0.1 + 0.1/(0.001*T))*(1 - 0.9**T)*G},
    article: {
        "SGD": -0.01*G + 0*T,
        "AdaGrad": -0.001*np.sign(G)/np.sqrt(T),
        "RMSprop": -0.01*G/np.sqrt((1 - 0.99**T)*G**2 + 1e-8),
        "Adam": -0.001*np.sqrt(1 - 0.999**T)*G/np.sqrt(V + 1e-8),
        "AdaMax": -0.002*np.sign(G) + 0*T,
        "Nadam": -0.002*G*(0.975*(1 - 0.975**T)/(1 - 0.975**(T + 1)) + 0.025/(1 - 0.975**T))
                 /np.sqrt(0.999*G**2 + 1e-8),
        "Eve": ADAM,                                    # d = f/f
        "AMSGrad": -0.001/np.sqrt(T)*(1 - 0.9**T)*G/np.sqrt(V + 1e-8),
        "AdaBound": -np.clip(0.001/np.sqrt(V), 0.1*0.001*T/(0.001*T + 1), 0.1 + 0.1/(0.001*T + 1e-8))
                    /np.sqrt(T)*(1 - 0.9**T)*G}}


@pytest.mark.parametrize("catalogue", CLOSED)
def test_constant_gradients_have_closed_forms(catalogue):
    closed = CLOSED[catalogue]
    for name, expected in {**closed, "AMSBound": closed["AdaBound"]}.items():
        assert_allclose(run(catalogue.ORACLES[name](), np.tile(G, (10, 1))), expected, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("catalogue", CLOSED)
def test_maxima_remember_a_large_gradient(catalogue):
    gradients = [3.0, *[0.01]*400]  # v = 0.009 at first, and less ever after
    amsgrad, amsbound, adabound = (catalogue.ORACLES[name]() for name in ("AMSGrad", "AMSBound", "AdaBound"))
    last = run(amsgrad, gradients)[-1]
    whole = np.sqrt(0.009/(1 - 0.999**401))*(1 - 0.9**401) if catalogue is optimizers else np.sqrt(401*0.009)
    assert_allclose(last, -0.001*amsgrad.m/whole, rtol=1e-5)
    run(amsbound, gradients), run(adabound, gradients)
    assert_allclose(amsbound.vhat, 0.009, rtol=1e-12)
    assert adabound.v < 0.8*amsbound.vhat


def test_places_of_eps():
    """A gradient of 1, so that the roots are of 1, of 0.01 and of 0.001."""
    g, values = 1.0, {"eps": 0.25, "eps_inside_root": 0.5}
    assert_allclose(optimizers.AdaGrad(eta=1, **values).delta(g), -1/(np.sqrt(1.5) + 0.25))
    assert_allclose(optimizers.RMSprop(eta=1, **values).delta(g), -1/(np.sqrt(0.51) + 0.25))
    assert_allclose(optimizers.Adam(alpha=1, eps=0.25).delta(g, 1), -1/1.25)
    assert_allclose(optimizers.AdaMax(alpha=1, eps=0.25).delta(g, 1), -1/1.25)
    assert_allclose(article.Adam(alpha=1, eps=0.25).delta(g, 1), -np.sqrt(0.001)/np.sqrt(0.251))
    assert_allclose(article.RMSprop(eta=1, eps=0.25).delta(g), -1/np.sqrt(0.26))


@pytest.mark.parametrize("name", ["AdaBound", "AMSBound"])
def test_bounds_follow_the_rate(name):
    """eta is the last rate for alpha = base_lr; with alpha = 0 nothing moves."""
    gradients = np.random.default_rng(0).standard_normal((50, 5))
    whole, hundredth = (run(optimizers.ORACLES[name](alpha=alpha), gradients) for alpha in (1e-3, 1e-5))
    assert_allclose(hundredth, whole/100, rtol=1e-12)
    assert_array_equal(run(optimizers.ORACLES[name](alpha=0), gradients), 0)
    late = optimizers.ORACLES[name](alpha=0.002, base_lr=0.004, eta=0.3, gamma=1e6)
    assert_allclose(run(late, gradients[:1])[0], -0.15*0.1*gradients[0], rtol=1e-5)


def test_adadelta_and_smorms3_by_hand():
    v = 0.05*4
    first = -2*np.sqrt(1e-6)/np.sqrt(v + 1e-6)
    second = -1*np.sqrt(0.05*first**2 + 1e-6)/np.sqrt(0.95*v + 0.05 + 1e-6)
    assert_allclose(run(optimizers.AdaDelta(), [2, 1]), [first, second])

    zeta = 1/(2 + 1e-8)  # m = 1, v = 2
    s = 1 + (1 - zeta)
    r = 1/(s + 1)
    m, v = (1 - r) - 3*r, 2*(1 - r) + 9*r
    expected = [-2*0.001/np.sqrt(2 + 1e-8), 3*min(0.001, m**2/(v + 1e-8))/np.sqrt(v + 1e-8)]
    assert_allclose(run(optimizers.SMORMS3(), [2, -3]), expected)


def test_rprop_where_signs_change():
    """By hand: a change of sign halves the size and skips a step; the next one counts as no change."""
    found = run(optimizers.ORACLES["Rprop"](), [1, 2, -1, -3, -0.5, 0, -1, 1])
    assert_allclose(found, [-0.01, -0.012, 0, 0.006, 0.0072, 0, 0.0072, 0])
    held = optimizers.ORACLES["Rprop"](min_step_size=0.006, max_step_size=0.011)
    found = run(held, [1, 1, -1, 1, -1, -1])
    assert_allclose(found, [-0.01, -0.011, 0, -0.006, 0, 0.006])


def test_rmsprop_with_momentum_by_hand():
    first, second = 2/np.sqrt(0.01*4), -1/np.sqrt(0.01*4*0.99 + 0.01)
    found = run(optimizers.ORACLES["RMSpropMomentum"](), [2, -1])
    assert_allclose(found, [-0.01*first, -0.01*(0.9*first + second)], rtol=1e-6)
    first, second = 2/np.sqrt(0.0396), -1/np.sqrt(0.0496 - (0.0198 - 0.01)**2)
    found = run(optimizers.ORACLES["RMSpropCenteredMomentum"](), [2, -1])
    assert_allclose(found, [-0.01*first, -0.01*(0.9*first + second)], rtol=1e-6)


def test_eve_by_the_change_of_the_loss():
    oracle = optimizers.Eve(beta3=0.5, c=10, fstar=-1.0)
    steps = [oracle.delta(1.0, t, f=f) for t, f in enumerate([2.0, 1.0, 3.0, 300.0, 300.0, -1.0, -1.0, 5.0], 1)]
    # d = 1 (t = 1), 1/(1 + 1), 2/(1 + 1), 297/(3 + 1) held at 10, 0 held at 1/10, 301/0 at 10, 0/0 = 1, 6/0 at 10
    assert_allclose(steps, [-0.001/D for D in (1, 0.75, 0.875, 5.4375, 2.76875, 6.384375, 3.6921875, 6.84609375)],
                    rtol=1e-6)


def test_the_articles_eve_slows_down_where_the_loss_jumps():
    oracle = article.Eve(beta3=0.5, c=10)
    steps = [oracle.delta(1.0, t, f=f) for t, f in enumerate([2.0, 1.0, 3.0, 300.0, 0.0], 1)]
    # d = 1 (t = 1), 1 (the loss fell), 3/1, 300/3 held at 10, 1 (fell to fstar); D is their running average
    assert_allclose(steps, [-0.001/D for D in (1, 1, 2, 6, 3.5)], rtol=1e-6)


def test_the_momentum_of_nadam_rises():
    """By hand, two steps: mu_t = mu (1 - 0.96^(t decay)/2), and what of it has been multiplied so far."""
    mu = 0.8*(1 - np.array([0.96, 0.96**2, 0.96**3])/2)
    first = mu[1]*0.2*3/(1 - mu[0]*mu[1]) + (1 - mu[0])*3/(1 - mu[0])
    second = mu[2]*(0.8*0.2*3 - 0.2)/(1 - mu.prod()) - (1 - mu[1])/(1 - mu[0]*mu[1])
    vhat = [9.0, (0.5*0.5*9 + 0.5)/0.75]
    deltas = run(optimizers.Nadam(alpha=1, mu=0.8, nu=0.5, momentum_decay=1), [3.0, -1.0])
    assert_allclose(deltas, [-first/(np.sqrt(vhat[0]) + 1e-8), -second/(np.sqrt(vhat[1]) + 1e-8)], rtol=1e-14)


def test_dlfs_adds_eps_outside_the_root():
    g = 1e-7
    assert_allclose(optimizers.DLFS["AdaGrad"]().delta(g), -0.01/2)
    assert_allclose(optimizers.DLFS["RMSprop"]().delta(g), -0.01*g/(0.1*g + 1e-7))
    assert_allclose(optimizers.DLFS["Adam"]().delta(g, 1),
                    -0.001*np.sqrt(0.001)*g/(np.sqrt(0.001)*g + 1e-7))


def test_the_articles_santa_without_a_gradient_or_exploration():
    u0 = np.array([1.0, -2.0])
    heavy = 1/np.sqrt(1e-8)
    euler = article.SantaE(burnin=0).delta(np.zeros(2), 1, u0=u0)
    assert_allclose(euler, heavy*(1 - 5*0.1)*0.1*u0)
    split = article.SantaSSS(burnin=0).delta(np.zeros(2), 1, u0=u0)
    assert_allclose(split, 0.5*heavy*np.exp(-5*0.1)*0.1*u0)


def test_the_articles_santa_explores_by_hand():
    g, u0, noise = 3.0, 1.5, [0.7, -0.4]
    heat = [0.01, 0.01/np.sqrt(2)]
    v = 0.05*g**2/16**2
    p1, p2 = (1/np.sqrt(1e-8 + np.sqrt(factor*v)) for factor in (1, 1.95))

    def walk(name):
        oracle = article.ORACLES[name]()
        return [oracle.delta(g, 1, u0=u0, noise=noise[0]), oracle.delta(g, 2, noise=noise[1])]

    # No noise enters the first step, since the preconditioner before it was 0.
    def forces(t, u):
        if t == 1:
            return heat[0]/u - 0.01*p1*g
        return heat[1]*(1 - p1/p2)/u + np.sqrt(2*heat[1]*p1)*noise[1] - 0.01*p2*g

    u = 0.1*u0
    a1 = 0.5 + u**2 - heat[0]
    u1 = (1 - a1)*u + forces(1, u)
    a2 = a1 + u1**2 - heat[1]
    u2 = (1 - a2)*u1 + forces(2, u1)
    assert_allclose(walk("SantaE"), [p1*u1, p2*u2], rtol=1e-12)

    a1 = 0.5 + (u**2 - heat[0])/2
    u1 = np.exp(-a1)*u + np.exp(-a1/2)*forces(1, u)
    a2 = a1 + (u1**2 - heat[0])/2 + (u1**2 - heat[1])/2
    u2 = np.exp(-a2)*u1 + np.exp(-a2/2)*forces(2, u1)
    assert_allclose(walk("SantaSSS"), [p1*u1/2, p2*u2/2], rtol=1e-12)


def test_santa_without_a_gradient_or_exploration():
    """Velocity and friction are those of mean gradients, however many rows there are."""
    u0, heavy = np.array([1.0, -2.0]), 10
    for N in (1, 1000):
        u = np.sqrt(1e-3/(1000*N))*u0
        friction = 5*np.sqrt(1e-3)
        euler, split = (optimizers.ORACLES[name](burnin=0, N=N) for name in ("SantaE", "SantaSSS"))
        assert_allclose(euler.delta(np.zeros(2), 1, u0=u0), heavy*(1 - friction)*u)
        assert_allclose(split.delta(np.zeros(2), 1, u0=u0), heavy*(1 + np.exp(-friction))*u/2)
        assert_allclose(euler.delta(np.zeros(2), 2), heavy*(1 - friction)**2*u)


def test_santa_explores_by_hand():
    g, u0, noise = 3.0, 1.5, [0.7, -0.4]
    heat = [1e-3/1e6, 1e-3/(1e6*np.sqrt(2))]
    p1, p2 = (1/np.sqrt(0.01 + np.sqrt(factor*0.05*g**2)) for factor in (1, 1.95))
    hot = np.sqrt(2*heat[1]*p1)*noise[1]        # none in the first step: there was no preconditioner before it

    def walk(name):
        oracle = optimizers.ORACLES[name]()
        return [oracle.delta(g, 1, u0=u0, noise=noise[0]), oracle.delta(g, 2, noise=noise[1])]

    u, a = np.sqrt(heat[0])*u0, 5*np.sqrt(1e-3)
    a1 = a + u**2 - heat[0]
    u1 = (1 - a1)*u - 1e-3*p1*g
    a2 = a1 + u1**2 - heat[1]
    u2 = (1 - a2)*u1 - 1e-3*p2*g + hot
    assert_allclose(walk("SantaE"), [p1*u1, p2*u2], rtol=1e-12)

    a1 = a + (u**2 - heat[0])/2
    u1 = np.exp(-a1)*u - np.exp(-a1/2)*1e-3*p1*g
    a2 = a1 + (u1**2 - heat[0])/2 + (u1**2 - heat[1])/2
    u2 = np.exp(-a2)*u1 + np.exp(-a2/2)*(hot - 1e-3*p2*g)
    assert_allclose(walk("SantaSSS"), [p1*(u + u1)/2, p2*(u1 + u2)/2], rtol=1e-12)


def test_friction_beyond_one_stops_a_velocity():
    oracle = optimizers.SantaE(eta=1, burnin=0)             # sqrt(eta) C is 5
    assert oracle.delta(0.0, 1, u0=1.0) == 0
    assert_allclose(oracle.delta(2.0, 2), -2/(0.01 + np.sqrt(0.05*4)))


def test_santa_draws_in_the_order_of_the_article():
    rng, again, rule = np.random.RandomState(3), np.random.RandomState(3), optimizers.SantaE(burnin=3)
    first = optimizers.normal_draws(rng, [(rule, (2, 3), 1), (rule, (3,), 1)])
    for name, shape, index in [("u0", (2, 3), 0), ("u0", (3,), 1), ("noise", (2, 3), 0), ("noise", (3,), 1)]:
        assert_array_equal(first[index][name], again.randn(*shape))
    second = optimizers.normal_draws(rng, [(rule, (2, 3), 2), (rule, (), 3)])
    assert [set(extra) for extra in second] == [{"noise"}, set()]


# Losses.

@pytest.mark.parametrize("name", losses.ORACLES)
def test_loss_gradients_are_those_of_the_loss(name):
    y = np.array([[0.2, 0.5, 0.3], [0.9, 0.04, 0.06]])
    t = np.array([[0.0, 1.0, 0.0], [0.7, 0.1, 0.2]])
    h = 1e-5
    _, grad = losses.ORACLES[name](y, t)
    for index in np.ndindex(y.shape):
        step = np.zeros_like(y)
        step[index] = h
        change = losses.ORACLES[name](y + step, t)[0] - losses.ORACLES[name](y - step, t)[0]
        assert_allclose(grad[index], change.sum()/(2*h), rtol=1e-5, atol=1e-8)


def test_losses_by_hand():
    assert_array_equal(losses.ORACLES["Square"]([3.0, 1.0], [1.0, 1.0]), [[2, 0], [2, 0]])
    assert_array_equal(losses.ORACLES["Binary"]([0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]),
                       [[0, 0, 100, 100], [0, 0, -1e12, 1e12]])
    assert_array_equal(losses.ORACLES["Cross"]([0.0, 0.0, 1.0, 1e-300], [0.0, 1.0, 1.0, 1.0]),
                       [[0, 100, 0, 100], [0, -1e12, -1, -1e12]])
    for name in "Square", "Binary", "Cross":
        assert np.isnan(losses.ORACLES[name]([np.nan], [1.0])).all()


def test_fused_losses_far_out():
    logits, targets = [[700.0, 0.0], [-np.inf, 0.0]], [[1.0, 0.0], [0.0, 1.0]]
    loss, grad = losses.ORACLES["softmax-cross-entropy"](logits, targets)
    assert_allclose(loss, [np.exp(-700), 0], rtol=1e-15)
    assert_allclose(grad, [[-np.exp(-700), np.exp(-700)], [0, 0]], rtol=1e-15)
    loss, grad = losses.ORACLES["sigmoid-binary-cross-entropy"](
        [700.0, -700.0, 1e300, -np.inf, np.inf], [1.0, 1.0, 0.0, 0.0, 0.0])
    assert_allclose(loss, [np.exp(-700), 700, 1e300, 0, np.inf], rtol=1e-15)
    assert_allclose(grad, [-np.exp(-700), -1, 1, 0, 1], rtol=1e-15)


@pytest.mark.parametrize("values", [{}, {"lambda1": 0.3}, {"lambda2": 2.0}, {"lambda1": 0.3, "lambda2": 2.0, "initial_n": 0.1}])
def test_ftrl_is_the_papers_algorithm_from_zero(values):
    """McMahan et al. 2013, algorithm 1, whose z and n begin at 0 and whose weights follow from them."""
    alpha, beta, l1, l2 = 0.5, 1.5, values.get("lambda1", 0), values.get("lambda2", 0)
    oracle, w, z, n = optimizers.FTRL(alpha=alpha, beta=beta, **values), np.zeros(40), 0, values.get("initial_n", 0)
    seen = w
    for g in np.random.default_rng(0).standard_normal((50, 40)):
        seen = seen + oracle.delta(g, p=seen)
        sigma = (np.sqrt(n + g*g) - np.sqrt(n))/alpha
        z, n = z + g - sigma*w, n + g*g
        w = np.where(abs(z) <= l1, 0, -(z - np.sign(z)*l1)/((beta + np.sqrt(n))/alpha + l2))
        assert_allclose(seen, w, rtol=1e-11, atol=1e-14)
    assert bool(values.get("lambda1")) == (w == 0).any() and (w != 0).any()


def test_ftrl_without_l1_is_adagrad_from_anywhere():
    oracle, adagrad, p = optimizers.FTRL(alpha=0.5, beta=0.25), optimizers.AdaGrad(eta=0.5, eps=0.25), np.array([3.0, -1])
    for g in np.random.default_rng(0).standard_normal((20, 2)):
        delta = oracle.delta(g, p=p)
        assert_allclose(delta, adagrad.delta(g), rtol=1e-12)
        p = p + delta


@pytest.mark.parametrize("r", [0, 2])
def test_schedule_free_is_the_papers_average(r):
    """Defazio et al. 2024, equations 3 to 5: y, z and x from one point."""
    oracle, lr, beta = optimizers.ScheduleFreeSGD(lr=0.3, beta=0.8, r=r), 0.3, 0.8
    x = y = z = seen = np.array([2.0, -1.0])
    for t in range(1, 30):
        seen = seen + oracle.delta(np.sin(y) + y, t)
        z = z - lr*(np.sin(y) + y)
        c = t**r/sum(k**r for k in range(1, t + 1))
        x = (1 - c)*x + c*z
        y = (1 - beta)*z + beta*x
        assert_allclose(seen, y, rtol=1e-12, atol=1e-14)


def test_sophia_is_a_clipped_quotient():
    oracle = optimizers.Sophia(lr=1, beta1=0, gamma=0.5, beta2=0.5)
    g = np.array([3.0, -0.1])
    assert_allclose(oracle.delta(g, 1), [-1, 1])
    assert_allclose(oracle.delta(g, 2, hessian=[8.0, -8.0]), [-1, 1])       # h is 4 and -4
    assert_allclose(oracle.delta(g/6, 3), [-0.25, 1])
