"""Rules that step along a direction made of whole gradients, with state of other shapes: matrices and more axes."""
import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import get_opt
from fastnn.core import factored
from fastnn.optimizers.along import Along, apart
from helpers import FLOATS, assert_same_bits
from oracles.optimizers import ORACLES

NAMES = [name for name in fastnn.optimizers() if isinstance(get_opt(name), Along)]
SHAPES = [(), (5,), (7, 7), (3, 8), (8, 3), (1, 6), (6, 1), (40, 500), (2, 4, 3), (3, 2, 2, 5), (0, 4)]
# Null spaces have any basis: in SOAP's only gradients of full rank on each axis are told apart.
BOUNDS = {"Adafactor": 1e-12, "SM3": 1e-12, "Muon": 1e-11, "Shampoo": 1e-7, "SOAP": 1e-7}
OTHERS = {"Adafactor": {"lr": 0.1, "beta2_decay": -0.5, "eps1": 1e-3, "eps2": 0.3, "d": 0.5},
          "SM3": {"lr": 0.3, "momentum": 0.5, "eps": 0.1},
          "Muon": {"lr": 0.1, "momentum": 0.7, "ns_steps": 4, "eps": 1.0, "adam_lr": 0.1, "adam_beta1": 0.5,
                   "adam_beta2": 0.7, "adam_eps": 0.1},
          "Shampoo": {"lr": 0.1, "eps": 0.5, "precondition_frequency": 3, "max_matrix_size": 4},
          "SOAP": {"lr": 0.1, "beta1": 0.5, "beta2": 0.7, "eps": 0.1, "precondition_frequency": 3}}

each_name = pytest.mark.parametrize("name", NAMES)


def walk(shape, steps=12, seed=3):
    rng = np.random.default_rng(seed)
    p = np.asarray(rng.standard_normal(shape))
    return p, [np.asarray(rng.standard_normal(shape)) for _ in range(steps)]


def by_oracle(name, p, grads, **values):
    oracle = ORACLES[name](**values)
    for t, grad in enumerate(grads, 1):
        p = p + oracle.delta(grad, t, **({"p": p} if oracle.reads_p else {}))
    return p


def test_every_one_is_tested():
    assert set(NAMES) == set(BOUNDS) == set(OTHERS)


@each_name
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(name, shape):
    if name == "SOAP" and len(shape) > 1 and len(set(shape)) > 1 and 0 not in shape:
        pytest.skip("null spaces have any basis")
    for values in ({}, OTHERS[name]):
        p, grads = walk(shape)
        want, opt = by_oracle(name, p, grads, **values), get_opt(name, **values)
        for grad in grads:
            opt.step(p, grad)
        assert_allclose(p, want, rtol=0, atol=BOUNDS[name])


@each_name
def test_float32(name):
    p, grads = walk((20, 20))
    want, single, opt = by_oracle(name, p, grads), p.astype(np.float32), get_opt(name)
    for grad in grads:
        opt.step(single, grad.astype(np.float32))
    moved = abs(want - p).max()
    assert_allclose(single, want, rtol=0, atol=(1e-2 if name in ("Shampoo", "SOAP") else 1e-4)*moved)


@each_name
def test_layouts_and_halves(name):
    p, grads = walk((6, 6))
    rows, columns, strided, half = p.copy(), np.asfortranarray(p), np.zeros((12, 6))[::2], p.astype(np.float16)
    strided[...] = p
    for opt, q in zip([get_opt(name) for _ in range(4)], (rows, columns, strided, half)):
        for grad in grads:
            opt.step(q, grad)
    assert_array_equal(rows, strided)
    assert_allclose(columns, rows, rtol=0, atol=BOUNDS[name])
    assert_allclose(half, rows, rtol=0, atol=0.05)


@each_name
@pytest.mark.parametrize("through", [copy.deepcopy, lambda opt: pickle.loads(pickle.dumps(opt)), "state", "file"],
                         ids=["copy", "pickle", "state", "file"])
def test_states_go_on(name, through, tmp_path):
    params, grads = walk((5, 5)), walk((4,))
    params, grads = {"W": params[0], "b": grads[0]}, [{"W": W, "b": b} for W, b in zip(params[1], grads[1])]
    opt = get_opt(name)
    for grad in grads[:6]:
        opt.step(params, grad)
    others = {key: p.copy() for key, p in params.items()}
    if through == "state":
        other = get_opt(name)
        other.load_state_dict(opt.state_dict())
    elif through == "file":
        fastnn.save(tmp_path/"opt.npz", opt=opt)
        other = get_opt(name)
        fastnn.load(tmp_path/"opt.npz", opt=other)
    else:
        other = through(opt)
    for grad in grads[6:]:
        opt.step(params, grad)
        other.step(others, grad)
    for key in params:
        assert_same_bits(params[key], others[key])
        for slot, values in opt.state[key].items():
            assert_same_bits(values, other.state[key][slot])


@each_name
def test_damaged_states_are_refused(name):
    opt, (p, grads) = get_opt(name), walk((5, 4))
    opt.step({"W": p}, {"W": grads[0]})
    for slot in opt.state["W"]:
        for bad in (np.zeros((2, 2, 2)), 3, np.zeros(opt.state["W"][slot].shape, np.float16)):
            state = opt.state_dict()
            state["by_key"]["W"]["slots"][slot] = bad
            with pytest.raises(fastnn.StateError, match=slot):
                get_opt(name).load_state_dict(state)


@each_name
def test_what_is_not_finite_skips_the_step(name):
    opt, same = get_opt(name), get_opt(name)
    (p, grads), q = walk((5, 5)), walk((5, 5))[0]
    for step, grad in enumerate(grads):
        if step in (0, 4):
            bad = grad.copy()
            bad[2, 3] = np.nan if step else np.inf
            with pytest.warns(RuntimeWarning, match="skipped"):
                opt.step(p, bad)
            assert_array_equal(p, q)
        opt.step(p, grad)
        same.step(q, grad)
        assert_same_bits(p, q)
    assert opt.skipped == 2 and opt.t == same.t


@each_name
def test_a_step_that_fails_changes_nothing(name):
    class Lurking(type(get_opt(name))):
        def direction(self, h, t, g, *others):
            if t == 3 and g.shape == (4,):
                raise ArithmeticError
            return super().direction(h, t, g, *others)

    opt = Lurking()
    params, grads = {"W": walk((5, 5))[0], "b": walk((4,))[0]}, {"W": walk((5, 5))[1], "b": walk((4,))[1]}
    for step in range(2):
        opt.step(params, {key: each[step] for key, each in grads.items()})
    before = copy.deepcopy((params, opt.state))
    with pytest.raises(ArithmeticError):
        opt.step(params, {key: each[2] for key, each in grads.items()})
    for key in params:
        assert_same_bits(params[key], before[0][key])
        for slot, values in opt.state[key].items():
            assert_same_bits(values, before[1][key][slot])
    assert opt.t == 2


@each_name
def test_views_of_the_state_stay_views(name):
    opt, (p, grads) = get_opt(name), walk((5, 5))
    opt.step({"W": p}, {"W": grads[0]})
    seen = opt.state["W"]
    for grad in grads[1:]:
        opt.step({"W": p}, {"W": grad})
    for slot, values in opt.state["W"].items():
        assert_array_equal(seen[slot], values)
    opt.forget("W")
    with pytest.raises(KeyError):
        opt.state["W"]


@each_name
def test_another_shape_is_refused(name):
    opt, (p, grads) = get_opt(name), walk((5, 5))
    opt.step({"W": p}, {"W": grads[0]})
    with pytest.raises(ValueError, match="shape"):
        opt.step({"W": p[:4].copy()}, {"W": grads[0][:4]})


@each_name
def test_groups_frozen_ones_and_none(name):
    opt = get_opt(name, groups=[fastnn.group("a", lr=0.5), fastnn.group("c", freeze=True)])
    plain, quick = get_opt(name), get_opt(name, lr=0.5)
    params = {key: walk((4, 4))[0] for key in "abcd"}
    one, other = walk((4, 4))[0], walk((4, 4))[0]
    for grad in walk((4, 4))[1]:
        opt.step(params, {"a": grad, "b": grad, "c": grad, "d": None})
        quick.step(one, grad)
        plain.step(other, grad)
    assert_same_bits(params["a"], one)
    assert_same_bits(params["b"], other)
    assert_array_equal(params["c"], walk((4, 4))[0])
    assert_array_equal(params["d"], walk((4, 4))[0])
    assert opt.state.keys() == {"a", "b"}

def test_memory_that_is_kept_has_one_user_at_a_time():
    """Matrices of one shape in one call, and optimizers in turn, beside each alone."""
    walks = {key: (p, list(grads)) for key, (p, grads) in {"a": walk((4, 3)), "b": walk((4, 3))}.items()}
    walks["b"] = walks["b"][0] + 1, [2*grad - 1 for grad in walks["b"][1]]
    alone = {key: p.copy() for key, (p, _) in walks.items()}
    for key, (_, grads) in walks.items():
        opt = get_opt("Muon")
        for grad in grads:
            opt.update({key: alone[key]}, {key: grad})
    together, in_turn = ({key: p.copy() for key, (p, _) in walks.items()} for _ in range(2))
    opt, others = get_opt("Muon"), {key: get_opt("Muon") for key in walks}
    for grads in zip(*(grads for _, grads in walks.values())):
        opt.update(together, dict(zip(walks, grads)))
        for key, grad in zip(walks, grads):
            others[key].update({key: in_turn[key]}, {key: grad})
    for key in walks:
        assert_array_equal(together[key], alone[key])
        assert_array_equal(in_turn[key], alone[key])


def test_muon_decays_vectors_by_their_own_rate():
    opt, (W, grads), (b, others) = get_opt("Muon", weight_decay=0.5), walk((4, 4)), walk((4,))
    plain, W_plain, b_plain = get_opt("Muon"), W.copy(), b.copy()
    opt.step([W, b], [grads[0], others[0]])
    plain.step([W_plain, b_plain], [grads[0], others[0]])
    assert_allclose(W_plain - W, 0.02*0.5*walk((4, 4))[0], rtol=1e-12)
    assert_allclose(b_plain - b, 3e-4*0.5*walk((4,))[0], rtol=1e-9)


def test_muon_by_output_axis():
    p, grads = walk((3, 4, 5))
    for axis in range(3):
        turned, opt, same = np.moveaxis(p, axis, -1).copy(), get_opt("Muon", output_axis=axis), get_opt("Muon")
        q = p.copy()
        for grad in grads:
            opt.step(q, grad)
            same.step(turned, np.moveaxis(grad, axis, -1).copy())
        assert_allclose(np.moveaxis(q, axis, -1), turned, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 3, 700), (4, 3, 2), (2, 200, 333), (1, 5000, 3), (1, 1, 40000)], ids=str)
def test_kernels_of_matrices(shape, dtype):
    rng = np.random.default_rng(2)
    x = rng.standard_normal(shape).astype(dtype)
    wide, bound = x.astype(np.float64), 1e-6 if dtype == np.float32 else 1e-13
    for got, axis in zip(factored.squares(x), (2, 1)):
        assert_allclose(got, (wide**2).sum(axis), rtol=1e-13)
    of_rows, of_columns = (rng.uniform(1, 2, size).astype(dtype) for size in (shape[:2], shape[::2]))
    y = x.copy()
    total = factored.scaled(y, of_rows, of_columns)
    assert_allclose(y, wide*of_rows[:, :, None]*of_columns[:, None], rtol=bound)
    assert_allclose(total, (y.astype(np.float64)**2).sum(), rtol=1e-13)
    if shape[0] == 1:
        y = x.copy()
        rows, columns = factored.bounded(y, of_rows[0], of_columns[0], 0.5)
        nu = np.minimum(of_rows[0][:, None], of_columns[0]) + wide[0]**2
        assert_allclose(rows, nu.max(1), rtol=bound)
        assert_allclose(columns, nu.max(0), rtol=bound)
        assert_allclose(y[0], wide[0]/np.sqrt(nu + 0.5), rtol=bound)


def test_the_same_bits_on_any_number_of_threads():
    found, threads = [], fastnn.get_num_threads()
    try:
        for count in (1, 2, 3):
            fastnn.set_num_threads(count)
            params, opts = [walk((400, 300), 1)[0] for _ in range(2)], [get_opt("Adafactor"), get_opt("SM3")]
            for opt, p in zip(opts, params):
                for grad in walk((400, 300), 3)[1]:
                    opt.step(p, grad)
            found.append(params)
    finally:
        fastnn.set_num_threads(threads)
    for params in found[1:]:
        for one, other in zip(params, found[0]):
            assert_same_bits(one, other)


def test_bad_arrays_are_refused_by_kernels():
    x = np.ones((1, 2, 3))
    for call in (lambda: factored.squares(x[0]), lambda: factored.squares(x.astype(np.float16)),
                 lambda: factored.squares(np.ones((1, 4, 6))[:, ::2]), lambda: factored.scaled(x, np.ones(3), np.ones(3)),
                 lambda: factored.scaled(x, np.ones(2, np.float32), np.ones(3)),
                 lambda: factored.bounded(np.ones((2, 2, 3)), np.ones(4), np.ones(6), 0),
                 lambda: factored.stepped("adam", {}, np.ones(3), np.ones((1, 16))),
                 lambda: apart("soap", {}, np.ones(3), np.ones(3))):
        with pytest.raises(ValueError):
            call()


class TestPeers:
    """60 steps in float64 beside the installed libraries."""

    SHAPES = [(7, 5), (5, 7), (6,), (2, 3, 4)]

    def params(self):
        walks = [walk(shape, 60, seed) for seed, shape in enumerate(self.SHAPES)]
        return [p for p, _ in walks], [list(grads) for grads in zip(*(grads for _, grads in walks))]

    def of_torch(self, make, params, steps):
        torch = pytest.importorskip("torch")
        tensors = [torch.tensor(p) for p in params]
        opt = make(torch, tensors)
        for grads in steps:
            for tensor, grad in zip(tensors, grads):
                tensor.grad = torch.tensor(grad)
            opt.step()
        return [tensor.numpy() for tensor in tensors]

    def of_optax(self, make, params, steps):
        jax = pytest.importorskip("jax")
        optax = pytest.importorskip("optax")
        jax.config.update("jax_enable_x64", True)
        opt = make(optax)
        values, state = [jax.numpy.asarray(p) for p in params], None
        state = opt.init(values)
        for grads in steps:
            updates, state = opt.update([jax.numpy.asarray(grad) for grad in grads], state, values)
            values = optax.apply_updates(values, updates)
        return [np.asarray(value) for value in values]

    def check(self, opt, params, steps, want, rtol=1e-12):
        params = [p.copy() for p in params]
        for grads in steps:
            opt.step(params, grads)
        for p, other in zip(params, want, strict=True):
            assert_allclose(p, other, rtol=0, atol=rtol*max(1, abs(other).max()))

    @pytest.mark.parametrize("foreach", [True, False])
    @pytest.mark.parametrize("values", [{}, {"lr": 0.3, "weight_decay": 0.1, "beta2_decay": -0.5, "d": 2.0}], ids=str)
    def test_adafactor_of_torch(self, values, foreach):
        params, steps = self.params()
        want = self.of_torch(lambda torch, p: torch.optim.Adafactor(p, foreach=foreach, **values), params, steps)
        self.check(get_opt("Adafactor", **values), params, steps, want)

    @pytest.mark.parametrize("values", [{}, {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.1}], ids=str)
    def test_muon_of_torch(self, monkeypatch, values):
        """In bfloat16 as it is, which is taken away here; matrices lie the other way round."""
        torch = pytest.importorskip("torch")
        if not hasattr(torch.optim, "Muon"):
            pytest.skip("this PyTorch has none")
        monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self.clone())
        params, steps = self.params()
        params, steps = params[:2], [[1e6*grad for grad in grads[:2]] for grads in steps]      # beside which eps vanishes
        values = {"lr": 1e-3, "weight_decay": 0.1, "momentum": 0.95, **values}
        want = self.of_torch(lambda torch, p: torch.optim.Muon(p, **values), params, steps)
        self.check(get_opt("Muon", **values, output_axis=0, eps=0), params, steps, want)

    def test_muon_of_optax_orthogonalizes_alike(self):
        optax = pytest.importorskip("optax")
        pytest.importorskip("jax").config.update("jax_enable_x64", True)
        from optax.contrib import _muon
        for shape in [(7, 5), (5, 7), (6, 6)]:
            grad = walk(shape)[1][0]
            want = _muon.orthogonalize_via_newton_schulz(optax.contrib._muon.jnp.asarray(grad),
                                                         optax.contrib._muon.jnp.asarray((3.4445, -4.7750, 2.0315)))
            scale = np.sqrt(max(1, shape[1]/shape[0]))
            delta = get_opt("Muon", momentum=0, lr=1, eps=1e-8).update(grad)
            assert_allclose(-delta, scale*np.asarray(want), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("momentum", [0.9, 0.5])
    def test_sm3_of_optax(self, momentum):
        params, steps = self.params()
        want = self.of_optax(lambda optax: optax.sm3(0.1, momentum), params, steps)
        self.check(get_opt("SM3", lr=0.1, momentum=momentum), params, steps, want)
