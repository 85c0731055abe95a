"""What is particular to rules that came of Adam, besides what all rules are tried with."""
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastnn import get_opt
from helpers import assert_same_bits
from test_optimizers import gradients, pair


@pytest.mark.parametrize(("name", "plain", "decay"), [
    ("AdamW", "Adam", 0.01), ("AdaMaxW", "AdaMax", 1e-4), ("NAdamW", "Nadam", 0.01)])
def test_rows_that_decay_by_default(name, plain, decay):
    p, q, r = (np.linspace(-1, 1, 7) for _ in range(3))
    opt, same, free = get_opt(name), get_opt(plain, weight_decay=decay), get_opt(name, weight_decay=0)
    bare = get_opt(plain)
    s = r.copy()
    for (grad,) in gradients((7,)):
        opt.step(p, grad)
        same.step(q, grad)
        free.step(r, grad)
        bare.step(s, grad)
    assert_same_bits(p, q)
    assert_same_bits(r, s)
    assert "weight_decay" not in repr(opt) and "weight_decay=0.0" in repr(free)
    assert get_opt(name).weight_decay == decay and eval(repr(free), {"get_opt": get_opt}).weight_decay == 0
    with pytest.raises(TypeError, match="w="):
        get_opt(name).update(np.ones(3))


@pytest.mark.parametrize(("name", "spellings"), [
    ("AdamW", "adamw adam-w"), ("NAdamW", "nadamw"), ("AdaMaxW", "adamaxw"), ("RAdam", "radam RectifiedAdam"),
    ("AdaBelief", "adabelief"), ("Simplified-AdEMAMix", "simplified_ademamix SimAdEMAMix"), ("M-SVAG", "MSVAG msvag")])
def test_spellings(name, spellings):
    assert all(get_opt(spelling).name == name for spelling in spellings.split())


@pytest.mark.parametrize("kwds", [{"alpha_warmup": 7, "beta3_warmup": 7}, {"beta3_warmup": 20, "beta1": 0.2},
                                  {"alpha_warmup": 3, "beta3_warmup": 12, "alpha": 2, "beta3": 0.99}])
def test_warmups_of_ademamix(kwds):
    opt, judge = pair("AdEMAMix", **kwds)
    for grads in gradients((30,), steps=25):
        judge.check([opt.update(*grads)], grads)


@pytest.mark.parametrize(("beta1", "beta3", "wanted"), [
    (0.25, 0.5, 0.5**(4/3)), (0, 0.5, 0.25), (0.25, 0, 0.0625), (0, 0, 0)])
def test_a_warmup_from_or_to_no_memory(beta1, beta3, wanted):
    """Half way: the mean of both half-lives, those of 0 being 0."""
    opt = get_opt("AdEMAMix", beta1=beta1, beta3=beta3, beta3_warmup=2)
    opt.step(np.ones(1), np.ones(1))
    assert_allclose(opt.state[0]["slow"], 1 - wanted, rtol=1e-14)


@pytest.mark.parametrize("threshold", [4, 4.9, 5.0, 100])
@pytest.mark.parametrize("beta2", [0.0, 0.5, 0.6, 0.7, 0.9, 0.999])
def test_rectification(threshold, beta2):
    opt, judge = pair("RAdam", threshold=threshold, beta2=beta2)
    for grads in gradients((20,), steps=30):
        judge.check([opt.update(*grads)], grads)


@pytest.mark.parametrize("name", ["nu1", "nu2"])
def test_shares_of_qhadam(name):
    for share in (0, 0.3, 1):
        opt, judge = pair("QHAdam", **{name: share})
        for grads in gradients((20,)):
            judge.check([opt.update(*grads)], grads)
    for share in (-0.1, 1.0000001, np.nan):
        with pytest.raises(ValueError, match=f"^{name} must be at least 0"):
            get_opt("QHAdam", **{name: share})
    opt = get_opt("QHAdam", **{name: lambda t: t/2})
    opt.update(1.0)
    opt.update(1.0)
    with pytest.raises(ValueError, match=f"^{name} must be at least 0 and at most 1, not 1.5: that is what the sched"):
        opt.update(1.0)


@pytest.mark.parametrize("power", [None, 0, 0.5])
def test_clipping_of_adopt(power):
    opt, judge = pair("ADOPT", clip_power=power)
    p = np.ones(20)
    opt.step([p], [np.zeros(20)])
    assert (p == 1).all() and (opt.state[0]["m"] == 0).all()
    opt, judge = pair("ADOPT", clip_power=power)
    for t, (wave,) in enumerate(gradients((20,), steps=12)):
        grad = 10.0**(t % 4)*wave
        judge.check([opt.update(grad)], [grad])
        if t == 0:
            assert_array_equal(opt.state[0]["v"], grad**2)


def test_adan_begins_anew_where_it_is_told_so():
    first, opt = get_opt("Adan"), get_opt("Adan")
    opt.update(np.full(5, 3.0))
    for slot in ("m", "d", "n"):
        opt.state[0][slot][...] = 0
    assert_same_bits(opt.update(np.ones(5), t=1), first.update(np.ones(5)))


@pytest.mark.parametrize("beta", [0.0, 1e-300, 0.5, 1 - 1e-9])
def test_variance_factors_stay_between_0_and_1(beta):
    opt = get_opt("M-SVAG", beta=beta, lr=1.0)
    m, weight = 0, 0
    for (grad,) in gradients((200,), steps=40):
        m, weight = beta*m + (1 - beta)*grad, beta*weight + (1 - beta)
        delta, mean = opt.update(grad), m/weight
        assert (delta*mean <= 0).all() and (abs(delta) <= abs(mean)*(1 + 1e-6)).all()
    if beta < 1e-9:
        assert_allclose(delta, -grad)
