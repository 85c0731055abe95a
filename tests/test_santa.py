"""Santa at work: it trains with its defaults, a Trainer hands over the rows of the data, and no rate diverges."""
import copy

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fastnn
from fastnn import datasets, get_opt
from fastnn.cli.experiment import Settings, train
from fastnn.nn import MultiLayerNet, Trainer
from helpers import RULES, assert_same_bits, beside, optimizer, seeded, without_decay
from oracles.optimizers import ORACLES, normal_draws

each_scheme = pytest.mark.parametrize("name", ["SantaE", "SantaSSS"])


def quadratic(p):
    """x^2/20 + y^2 and its gradient."""
    return p[0]**2/20 + p[1]**2, p*[0.1, 2]


def descend(opt, steps, **given):
    """The highest and the last value of the quadratic on the way from (-7, 2)."""
    p, highest = np.array([-7.0, 2.0]), 0
    for _ in range(steps):
        highest = max(highest, quadratic(p)[0])
        opt.update({"p": p}, {"p": quadratic(p)[1]}, **given)
    return highest, quadratic(p)[0]


def gradients(t, shape=(40,)):
    return np.random.default_rng((t, 9)).standard_normal(shape)


@each_scheme
def test_digits(name):
    """As `fastnn compare` trains, with a smaller network in fewer iterations."""
    settings = Settings(hidden=(50, 50), iterations=500, seed=3)
    run = train(name, None, settings, datasets.load_digits(), lambda iteration: None)
    assert run.status == "finished" and run.test_accuracy >= 0.96


@each_scheme
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_digits_without_a_trainer(name, dtype):
    """Nobody says how many rows there are."""
    (x, t), (x_test, t_test) = datasets.load_digits(dtype=dtype)
    net, opt = MultiLayerNet(64, [50], 10, rng=1, dtype=dtype), get_opt(name, rng=2)
    rng = np.random.default_rng(3)
    for _ in range(500):
        rows = rng.choice(len(x), 128)
        opt.step(net.params, net.loss_and_gradient(x[rows], t[rows])[1])
    assert net.accuracy(x_test, t_test) >= 0.95


@each_scheme
@pytest.mark.parametrize("given", [{}, {"N": 1}])
def test_a_quadratic(name, given):
    for seed in range(3):
        assert descend(get_opt(name, rng=seed), 2000, **given)[1] < 1e-12
        assert descend(get_opt(name, rng=seed, lr=0.1), 100, **given)[1] < 0.3


@each_scheme
@pytest.mark.parametrize("lr", [1e-8, 1e-4, 1e-2, 0.3, 1, 30, 1000])
def test_no_rate_diverges(name, lr):
    """At worst each step is as long as the root of the average of squares lets it be, which forgets: 4.5 lr."""
    for N in (1, 1000):
        highest, _ = descend(get_opt(name, rng=0, lr=lr, N=N), 1000)
        assert highest <= 2*((7 + 4.5*lr)**2/20 + (2 + 4.5*lr)**2)


@each_scheme
def test_what_always_had_a_zero_gradient_hardly_moves(name):
    """Such as the weights of a pixel that is never set: noise alone moves them, and refinement not at all."""
    p, opt = np.zeros(10000), get_opt(name, rng=0)
    for _ in range(100):
        opt.step(p, np.zeros_like(p))
    assert 0 < abs(p).max() < 0.3
    for _ in range(300):
        opt.step(p, np.zeros_like(p))
    before = p.copy()
    opt.step(p, np.zeros_like(p))
    assert abs(p - before).max() < 1e-12


# N

@each_scheme
def test_rows_handed_over_win_over_the_hyperparameter(name):
    one, other, oracle = get_opt(name, rng=5), get_opt(name, rng=5, N=60), ORACLES[name]()
    rng = np.random.default_rng(5)
    for t in range(1, 120):
        g, drawn = gradients(t), normal_draws(rng, [(oracle, (40,), t)])[0]
        delta = one.update(g, N=60)
        assert_same_bits(delta, other.update(g))
        np.testing.assert_allclose(delta, oracle.delta(g, t, N=60, **drawn), rtol=1e-9, atol=1e-15)
    assert one.N == 1000 and one.state_dict()["hyperparameters"]["N"] == 1000


@each_scheme
def test_they_are_for_one_step(name):
    one, other, oracle = get_opt(name, rng=5), get_opt(name, rng=5), ORACLES[name]()
    rng = np.random.default_rng(5)
    for t, N in enumerate([None, 7, np.int64(9), 10**400, None, 1], 1):
        g, drawn = gradients(t), normal_draws(rng, [(oracle, (40,), t)])[0]
        delta = one.update(g, **{} if N is None else {"N": N})
        if N != 10**400:
            other.N = 1000 if N is None else N
            assert_same_bits(delta, other.update(g))
            np.testing.assert_allclose(delta, oracle.delta(g, t, N=other.N, **drawn), rtol=1e-12)
        else:                   # no noise at all
            other.N = 10**400
            assert_same_bits(delta, other.update(g))
            oracle.delta(g, t, N=1e100, **drawn)


@each_scheme
@pytest.mark.parametrize("bad", [0, -3, 1.5, True, "60", np.nan, [60], np.array([60, 60])])
def test_bad_rows_change_nothing(name, bad):
    opt, untouched = get_opt(name, rng=5), get_opt(name, rng=5)
    params, same = {"w": np.ones(40)}, {"w": np.ones(40)}
    for t in (1, 2):
        if t == 2:
            with pytest.raises((TypeError, ValueError), match="N must be an integer|N must be .*1"):
                opt.update(params, {"w": gradients(t)}, N=bad)
        for one, p in ((opt, params), (untouched, same)):
            one.update(p, {"w": gradients(t)}, N=60)
        assert_same_bits(params["w"], same["w"])


@pytest.mark.parametrize("title", RULES)
def test_every_other_optimizer_takes_rows_and_leaves_them_unused(title):
    one, other = (optimizer(title, **seeded(title), **without_decay(title)) for _ in range(2))
    used = title in ("SantaE", "SantaSSS")
    for t in (1, 2):
        g, w = gradients(t), beside(one, np.ones_like(gradients(t)))
        assert np.array_equal(one.update(g, N=3, **w), other.update(g, **w)) != used


@each_scheme
def test_the_more_rows_the_less_noise(name):
    """Before the burn-in's end a mean of N rows is N times as sure of its minimum."""
    spread = {}
    for N in (1, 100):
        p, opt = np.zeros(4000), get_opt(name, rng=1, eta=1e-2, lambda_=1, burnin=10**6)
        for _ in range(300):
            opt.step(p, p.copy(), N=N)
        spread[N] = p.std()
    assert 8 < spread[1]/spread[100] < 12


def test_the_trainer_hands_over_the_rows_of_its_data():
    x, t = np.random.default_rng(0).random((37, 4)), np.arange(37) % 3

    class Both:
        def update(self, params, grads, f, N):
            self.seen = f, N

    class Rows:
        def update(self, params, grads, N=None):
            self.seen = N

    class Neither:
        def update(self, params, grads):
            self.seen = True

    for kind in (Both, Rows, Neither):
        opt = kind()
        loss = Trainer(MultiLayerNet(4, [5], 3, rng=0), opt, x, t, batch_size=8, rng=0).step()
        assert opt.seen == {Both: (loss, 37), Rows: 37, Neither: True}[kind]


@each_scheme
def test_a_trainer_and_a_loop_that_hands_over_rows_are_the_same(name):
    x, t = np.random.default_rng(0).random((37, 4)), np.arange(37) % 3
    net = MultiLayerNet(4, [5], 3, rng=0)
    other, opt, rng = copy.deepcopy(net), get_opt(name, rng=1), np.random.default_rng(2)
    trainer = Trainer(net, get_opt(name, rng=1), x, t, batch_size=8, rng=np.random.default_rng(2))
    for _ in range(5):
        trainer.step()
        rows = rng.choice(37, 8)
        opt.update(other.params, other.loss_and_gradient(x[rows], t[rows])[1], N=37)
    for key, p in net.params.items():
        assert_array_equal(p, other.params[key])


# What stays as it was

@each_scheme
def test_the_articles_rule_has_its_own_defaults(name):
    article, plain = fastnn.get_opt(name, like="article"), get_opt(name)
    assert (article.eta, article.lambda_, article.N, article.anne_func(4, 0.5)) == (1e-2, 1e-8, 16, 2)
    assert (plain.eta, plain.lambda_, plain.N, plain.anne_func(4, 0.5)) == (1e-3, 1e-2, 1000, 2000)
