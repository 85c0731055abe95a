"""Trainers with wrappers: what they hand over, SAM's two passes, and states."""
import numpy as np
import pytest

import fastnn
from fastnn import SAM, Accumulate, ExponentialAverage, Lookahead, get_opt
from fastnn.nn import MultiLayerNet, Trainer
from fastnn.nn.layers import BatchNormalization, Dropout
from helpers import assert_same_bits
from test_wrappers import everything, flat

RNG = np.random.default_rng(1)
X, T = RNG.standard_normal((60, 6)).astype(np.float32), RNG.integers(0, 3, 60)


def network(**kwds):
    return MultiLayerNet(6, [8, 5], 3, rng=np.random.default_rng(2), **kwds)


def trainer(opt, net=None, **kwds):
    return Trainer(network() if net is None else net, opt, X, T, batch_size=20, rng=np.random.default_rng(3), **kwds)


def bits(net):
    return {key: p.tobytes() for key, p in net.params.items()}


def running(net):
    return [(layer.running_mean.tobytes(), layer.running_var.tobytes()) for layer in net.layers.values()
            if isinstance(layer, BatchNormalization)]


MAKES = {"Lookahead": lambda: Lookahead(get_opt("Adam"), 3), "average": lambda: ExponentialAverage(get_opt("Eve"), 0.9),
         "Accumulate": lambda: Accumulate(get_opt("Eve"), 3), "SAM": lambda: SAM(get_opt("Adam")),
         "NAG": lambda: Lookahead(get_opt("NAG"), 2),
         "nested": lambda: ExponentialAverage(Lookahead(SAM(get_opt("Momentum")), 2), 0.5)}
each = pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)


@each
def test_a_loop_by_hand(make):
    """The trainer's steps are those of a loop that asks for gradients where the wrapper wants them."""
    training, opt, net = trainer(make()), make(), network()
    rng, losses = np.random.default_rng(3), []
    training.train(7)
    for _ in range(7):
        rows = rng.choice(60, 20)
        params = net.params
        net.params = opt.gradient_point(params)
        loss, grads = net.loss_and_gradient(X[rows], T[rows])
        net.params = params
        if hasattr(opt, "ascend"):
            opt.ascend(params, grads)
            _, grads = net.loss_and_gradient(X[rows], T[rows])
        opt.update(params, grads, f=loss)
        losses.append(loss)
    assert training.losses == losses and not training.nonfinite
    assert bits(training.network) == bits(net)
    assert everything(training.optimizer, []) == everything(opt, [])


def test_nag_inside_is_asked():
    nag, plain = trainer(Lookahead(get_opt("NAG", lr=0.5), 10**6)), trainer(get_opt("NAG", lr=0.5))
    nag.train(5)
    plain.train(5)
    assert bits(nag.network) == bits(plain.network)


@each
def test_states_of_trainers(make, tmp_path):
    pytest.importorskip("safetensors")
    training = trainer(make(), network(use_dropout=True, use_batchnorm=True))
    training.train(4)
    fastnn.save(tmp_path/"saved", training=training)
    other = trainer(make(), network(use_dropout=True, use_batchnorm=True))
    fastnn.load(tmp_path/"saved", training=other)
    training.train(5)
    other.train(5)
    assert flat(other.state_dict()) == flat(training.state_dict())


# SAM

def test_both_passes_differentiate_one_function():
    """The second pass has the first one's dropout masks, and moves no running mean."""
    net = network(use_dropout=True, use_batchnorm=True)
    seen, pass_ = [], net.loss_and_gradient

    def spied(x, t):
        found = pass_(x, t)
        masks = [layer.mask.copy() for layer in net.layers.values() if isinstance(layer, Dropout)]
        seen.append((x.copy(), masks, running(net), bits(net)))
        return found

    net.loss_and_gradient = spied
    training = trainer(SAM(get_opt("Adam")), net)
    for step in range(3):
        training.step()
        assert len(seen) == 2*step + 2 and len(training.losses) == step + 1
        (x, masks, means, where), (again, same_masks, moved, elsewhere) = seen[-2:]
        assert (x == again).all() and all((a == b).all() for a, b in zip(masks, same_masks))
        assert moved != means and running(net) == means and where != elsewhere
        assert not any(layer.frozen for layer in net.layers.values() if isinstance(layer, Dropout))
    assert any((a != b).any() for a, b in zip(seen[0][1], seen[2][1]))


@pytest.mark.parametrize("where", ["second pass", "transform", "optimizer"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_all_as_it_was(where, error):
    calls = []

    def fail(*args):
        if calls:
            raise error("planned")

    net = network(use_batchnorm=True)
    opt = ExponentialAverage(SAM(get_opt("Adam", lr=lambda t: (where == "optimizer" and fail()) or 1e-3)), 0.5)
    training = trainer(opt, net, transform=(lambda grads, loss: fail()) if where == "transform" else None)
    training.train(2)
    before = bits(net), everything(opt, []), list(training.losses)
    means = running(net)
    if where == "second pass":
        pass_, passes = net.loss_and_gradient, []

        def failing(x, t):
            passes.append(1)
            if len(passes) == 2:
                raise error("planned")
            return pass_(x, t)

        net.loss_and_gradient = failing
    calls.append(1)
    with pytest.raises(error, match="planned"):
        training.step()
    assert (bits(net), everything(opt, []), training.losses[:2]) == before
    if error is ValueError:
        assert running(net) == means and len(training.losses) == 2
    calls.clear()
    training.step()
    assert opt.t == 3


@pytest.mark.parametrize("bad", ["first", "second"])
def test_a_pass_that_is_not_finite(bad):
    net = network()
    pass_, passes = net.loss_and_gradient, []

    def spoilt(x, t):
        loss, grads = pass_(x, t)
        passes.append(1)
        if len(passes) == (1 if bad == "first" else 2):
            grads["W1"][0, 0] = np.nan
        return loss, grads

    training = trainer(SAM(get_opt("Adam")), net, on_nonfinite="skip")
    training.train(2)
    net.loss_and_gradient = spoilt
    before = bits(net), everything(training.optimizer, [])
    training.step()
    assert (bits(net), everything(training.optimizer, [])) == before
    assert len(training.nonfinite) == 1 and len(training.losses) == 3
    passes[:] = [1]*9
    training.step()
    assert training.optimizer.t == 3


def test_a_norm_beyond_float64_is_told_once():
    net = MultiLayerNet(6, [4], 3, rng=0, dtype=np.float64)
    pass_ = net.loss_and_gradient
    net.loss_and_gradient = lambda x, t: (lambda loss, grads: (loss, {
        key: np.full(g.shape, 1e308) for key, g in grads.items()}))(*pass_(x, t))
    training = Trainer(net, SAM(get_opt("SGD")), X.astype(float), T, batch_size=20, rng=1, on_nonfinite="skip")
    before = bits(net)
    training.step()
    assert "norm" in str(training.nonfinite[0]) and bits(net) == before and training.optimizer.skipped == 1
    net.loss_and_gradient = pass_
    training.step()
    assert training.optimizer.t == 1


def test_accumulating_is_a_larger_batch():
    """Three batches of 20 rows as one of 60, for a loss that is their mean."""
    net, whole = (MultiLayerNet(6, [8], 3, rng=np.random.default_rng(2), dtype=np.float64) for _ in range(2))
    opt, plain = Accumulate(get_opt("Adam"), 3), get_opt("Adam")
    x = X.astype(float)
    for _ in range(4):
        for part in range(3):
            rows = slice(20*part, 20*part + 20)
            opt.step(net.params, net.gradient(x[rows], T[rows]))
        plain.step(whole.params, whole.gradient(x, T))
    for key, p in net.params.items():
        np.testing.assert_allclose(p, whole.params[key], rtol=1e-12)


def test_a_network_is_tried_with_its_average():
    training = trainer(ExponentialAverage(get_opt("Adam", lr=0.01), 0.9))
    training.train(30)
    net = network()
    net.params = training.optimizer.params
    assert net.accuracy(X, T) > 0.3
    with pytest.raises(ValueError, match="read-only"):
        get_opt("SGD").update(net.params, net.gradient(X, T))
    for key, p in net.params.items():
        assert_same_bits(np.array(p), np.array(training.optimizer.params[key]))
